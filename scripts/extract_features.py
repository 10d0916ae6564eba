"""Rule extract_features: pictures of one part -> vectors of length 1, in manifest order."""

import time

from gallerist.stage import stage

with stage(snakemake) as run:
    # Imported with the stage open: TensorFlow takes seconds to load, and a kill may come then.
    from gallerist.describer import Describer
    from gallerist.manifest import Manifest
    from gallerist.runtime import configure

    run.parameters(device=configure(threads=snakemake.threads, seed=0))
    images = Manifest.read(snakemake.input.manifest)
    describer = Describer(
        snakemake.input.model, snakemake.input.preprocessing, threads=snakemake.threads
    )
    started = time.monotonic()
    features = describer.features(images.paths, images.ids)
    seconds = time.monotonic() - started
    features.write(snakemake.output.vectors, snakemake.output.ids, snakemake.output.origin)
    run.metrics(
        images=len(images),
        extraction_seconds=seconds,
        images_per_second=len(images) / seconds,
        feature_length=features.vectors.shape[1],
    )
    run.dataset(snakemake.wildcards.part, snakemake.input.manifest, images.digest, len(images))
