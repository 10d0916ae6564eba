"""Rule encode_images: the pictures of all parts -> vectors by an encoder that others trained."""

from gallerist.records.made import is_noted, verify_output
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    given, threads = snakemake.input, snakemake.threads
    for file in filter(is_noted, given.encoder):
        verify_output(file, given.imported)
    # Imported with the stage open, because a kill may come while they load.
    from gallerist.features.extraction import extract_parts
    from gallerist.features.network import NetworkExtractor
    from gallerist.networks.inference import engine_for, prepare, uses_tensorflow

    compute = run.param("compute")
    engine, precision = engine_for(given.encoder[0], compute["engine"]), compute["gpu_precision"]
    device = prepare(engine=engine, threads=threads, gpu_precision=precision)
    extractor = NetworkExtractor(
        given.encoder[0],
        given.preprocessing,
        threads=threads,
        engine=engine,
        xla=compute["gpu_xla"],
    )
    manifests = {part: given[part] for part in run.param("parts")}
    made_by = [uses_tensorflow(engine), precision]
    outputs = dict(snakemake.output.items())
    extract_parts(run, extractor, manifests, outputs, snakemake.params.store, *made_by)
    run.parameters(device=device, engine=extractor.engine_name)
