"""Rule extract_features: pictures of one part -> vectors of length 1, in manifest order."""

from gallerist.records.record import verify_output
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    for file in (snakemake.input.model, snakemake.input.exported[2]):
        verify_output(file, snakemake.input.training)
    # Imported with the stage open, because a kill may come while they load.
    from gallerist.data.manifest import Manifest
    from gallerist.features.network import NetworkExtractor
    from gallerist.features.store import write_features
    from gallerist.features.views import Views
    from gallerist.networks.inference import prepare
    from gallerist.networks.trunk_cache import TrunkCache

    given, output = snakemake.input, snakemake.output
    compute = run.param("compute")
    engine, threads = compute["engine"], snakemake.threads
    device = prepare(engine=engine, threads=threads, gpu_precision=compute["gpu_precision"])
    images = Manifest.read(given.manifest)
    extractor = NetworkExtractor(
        given.model,
        given.preprocessing,
        threads=threads,
        engine=engine,
        xla=compute["gpu_xla"],
        views=Views(**run.param("views") or {}),
    )
    with run.timed("extraction_seconds") as timer:
        files = output.vectors, output.ids, output.origin
        if given.rows:
            rows = TrunkCache.read(*given.rows)
            written = write_features(extractor.batches_of_rows(rows), rows.ids, extractor, files)
        else:
            batches = extractor.batches(images.paths)
            written = write_features(batches, images.ids, extractor, files)
    run.parameters(device=device, engine=extractor.engine_name)
    run.metrics(written, images_per_second=len(images) / timer.seconds)
    run.dataset(snakemake.wildcards.part, given.manifest, images.digest, len(images))
