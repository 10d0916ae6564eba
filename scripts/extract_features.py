"""Rule extract_features: the pictures of all parts -> vectors by a network."""

from gallerist.records.record import verify_output
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    verify_output(snakemake.input.model, snakemake.input.training_record)
    # Imported with the stage open: TensorFlow takes seconds to load, and a kill may come then.
    from gallerist.features.extraction import extract_parts
    from gallerist.features.network import NetworkExtractor
    from gallerist.features.views import Views
    from gallerist.networks.runtime import configure

    given, threads, compute = snakemake.input, snakemake.threads, run.param("compute")
    device = configure(threads=threads, gpu_precision=compute["gpu_precision"])
    extractor = NetworkExtractor(
        given.model,
        given.preprocessing,
        threads=threads,
        engine=compute["engine"],
        xla=compute["gpu_xla"],
        views=Views(**run.param("views") or {}),
    )
    manifests = {part: given[part] for part in run.param("parts")}
    outputs, store = dict(snakemake.output.items()), snakemake.params.store
    extract_parts(run, extractor, manifests, outputs, store, device, compute)
    run.parameters(device=device, engine=extractor.engine_name)
