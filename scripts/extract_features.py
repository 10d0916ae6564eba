"""Rule extract_features: the pictures of all parts -> vectors by a network."""

from gallerist.records.made import verify_output
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    for file in (snakemake.input.model, snakemake.input.exported[2]):
        verify_output(file, snakemake.input.training_record)
    # Imported with the stage open, because a kill may come while they load.
    from gallerist.data.manifest import Manifest
    from gallerist.features.extraction import extract_parts
    from gallerist.features.network import NetworkExtractor
    from gallerist.features.views import Views
    from gallerist.networks.inference import prepare, uses_tensorflow
    from gallerist.networks.trunk_rows import Trunk, TrunkRows
    from gallerist.networks.weights import Weights
    from gallerist.workflow.data_plan import CHALLENGE_PARTS

    given, params, threads = snakemake.input, snakemake.params, snakemake.threads
    compute = run.param("compute")
    engine, precision = compute["engine"], compute["gpu_precision"]
    device = prepare(engine=engine, threads=threads, gpu_precision=precision)
    extractor = NetworkExtractor(
        given.model,
        given.preprocessing,
        threads=threads,
        engine=engine,
        xla=compute["gpu_xla"],
        views=Views(**run.param("views") or {}),
    )
    manifests = {part: given[part] for part in run.param("parts")}
    made_by = [uses_tensorflow(engine), precision]
    if given.trunk:
        file = Weights.read(given.weights).file
        how = {"weights": file, "threads": threads, "compute": compute}
        trunk = Trunk(given.trunk[2], run.param("trunk_settings"), extractor.pictures, **how)
        rows = TrunkRows(trunk, params.trunk_store)
        images = {part: Manifest.read(path) for part, path in manifests.items()}
        # A challenge is seen once.
        passing = [images.pop(part) for part in CHALLENGE_PARTS if part in images]
        extractor.rows = rows.of(*images.values(), passing=passing)
        made_by += trunk.identity
        run.tag(trunk_store=rows.store.folder)
    outputs = dict(snakemake.output.items())
    extract_parts(run, extractor, manifests, outputs, params.store, *made_by)
    if given.trunk:
        taken = rows.metrics(images)
        run.metrics(trunk_seconds_per_image=taken["extraction_seconds"] / taken["images"])
    run.parameters(device=device, engine=extractor.engine_name)
