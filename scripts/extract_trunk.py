"""Rule extract_trunk: pictures of one part -> what a backbone's frozen layers make of them."""

import logging

from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    # Imported with the stage open: TensorFlow takes seconds to load, and a kill may come then.
    from gallerist.data.manifest import Manifest
    from gallerist.data.preprocessing import Preprocessing, decode_ahead
    from gallerist.networks import trunk
    from gallerist.networks.architectures import backbone_on_pixels
    from gallerist.networks.inference import compile_network
    from gallerist.networks.runtime import configure
    from gallerist.networks.trunk_cache import write_trunk_cache
    from gallerist.networks.weights import Weights

    params, output, threads = snakemake.params, snakemake.output, snakemake.threads
    settings, compute = run.settings, run.param("compute")
    device = configure(threads=threads, gpu_precision=compute["gpu_precision"])
    images = Manifest.read(snakemake.input.manifest)
    weights = Weights.read(snakemake.input.weights)
    preprocessing = Preprocessing(settings["image_size"], params.max_pixels, settings["look"])
    network = backbone_on_pixels(
        settings["backbone"], settings["image_size"], settings["freeze_until"], weights.file
    )
    cut = trunk.cut_of_network(network)
    logging.getLogger("gallerist").info("kept of each picture: %s", cut)
    forward = compile_network(
        trunk.trunk_of(network), engine=compute["engine"], threads=threads, xla=compute["gpu_xla"]
    )
    with run.timed("extraction_seconds") as timer:
        cache = write_trunk_cache(
            forward.stream(decode_ahead(images.pictures, preprocessing, threads=threads)),
            images.ids,
            part=snakemake.wildcards.part,
            trunk=trunk.trunk_identity(network),
            preprocessing=preprocessing.sha256,
            values=cut.values,
            dtype=settings["trunk_cache"],
            rows=output.rows,
            ids_file=output.ids,
            origin=output.origin,
        )

    run.parameters(device=device, engine=forward.name, cut=str(cut), weights_used=weights.label)
    run.metrics(
        images=len(images),
        images_per_second=len(images) / timer.seconds,
        values=cut.values,
        bytes=cache.rows.bytes,
        share_of_multiply_adds=cut.trunk_share,
    )
    run.dataset(snakemake.wildcards.part, snakemake.input.manifest, images.digest, len(images))
