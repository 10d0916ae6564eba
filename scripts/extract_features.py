"""Rule extract_features: pictures of one part -> vectors of length 1, in manifest order."""

from gallerist.records.record import require_made
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    require_made(snakemake.input.model, snakemake.input.training)
    # Imported with the stage open: TensorFlow takes seconds to load, and a kill may come then.
    from gallerist.data.manifest import Manifest
    from gallerist.features.network import Describer
    from gallerist.features.store import write_features
    from gallerist.features.views import Views
    from gallerist.networks.runtime import configure
    from gallerist.networks.trunk_cache import TrunkCache

    given, output = snakemake.input, snakemake.output
    compute = run.param("compute")
    device = configure(threads=snakemake.threads, gpu_precision=compute["gpu_precision"])
    images = Manifest.read(given.manifest)
    describer = Describer(
        given.model,
        given.preprocessing,
        threads=snakemake.threads,
        engine=compute["engine"],
        xla=compute["gpu_xla"],
        views=Views.of(run.param("views")),
    )
    with run.timed("extraction_seconds") as timer:
        if given.rows:
            kept = TrunkCache.read(*given.rows)
            vectors, ids = describer.vectors_of_rows(kept), kept.ids
        else:
            vectors, ids = describer.vectors_of_pictures(images.paths), images.ids
        written = write_features(
            vectors,
            ids,
            model=describer.model_sha256,
            preprocessing=describer.preprocessing_sha256,
            vectors=output.vectors,
            ids_file=output.ids,
            origin=output.origin,
            length=describer.feature_length,
        )

    run.parameters(device=device, engine=describer.engine_name)
    run.metrics(written.figures_of_extraction(timer.seconds))
    run.dataset(snakemake.wildcards.part, given.manifest, images.digest, len(images))
