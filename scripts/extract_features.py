"""Rule extract_features: pictures of one part -> vectors of length 1, in manifest order."""

import json
import time

from gallerist.records.record import verify_output
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    verify_output(snakemake.input.model, snakemake.input.training)
    # Imported with the stage open: TensorFlow takes seconds to load, and a kill may come then.
    from gallerist.data.manifest import Manifest
    from gallerist.features.network import Describer
    from gallerist.features.store import write_features
    from gallerist.features.views import Views
    from gallerist.networks.runtime import configure
    from gallerist.networks.trunk_cache import TrunkCache

    given, output = snakemake.input, snakemake.output
    compute = json.loads(snakemake.params.compute)
    device = configure(threads=snakemake.threads, gpu_precision=compute["gpu_precision"])
    images = Manifest.read(given.manifest)
    describer = Describer(
        given.model,
        given.preprocessing,
        threads=snakemake.threads,
        engine=compute["engine"],
        xla=compute["gpu_xla"],
        views=Views.of(json.loads(snakemake.params.views)),
    )
    started = time.monotonic()
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
    seconds = time.monotonic() - started

    run.parameters(device=device, engine=describer.engine_name)
    run.metrics(written.figures_of_extraction(seconds))
    run.dataset(snakemake.wildcards.part, given.manifest, images.digest, len(images))
