"""Rule extract_trunk: pictures of one part -> what a backbone's frozen layers make of them."""

import logging

from gallerist.records.record import verify_output
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    # Imported with the stage open, because a kill may come while they load.
    from gallerist.data.manifest import Manifest
    from gallerist.data.preprocessing import Preprocessing, decode_ahead
    from gallerist.networks.exported import Exported
    from gallerist.networks.inference import compile_exported, prepare
    from gallerist.networks.trunk_cache import write_trunk_cache
    from gallerist.networks.weights import Weights

    given, output, threads = snakemake.input, snakemake.output, snakemake.threads
    settings, compute = run.settings, run.param("compute")
    engine, description = compute["engine"], given.exported[2]
    verify_output(description, given.export)
    device = prepare(engine=engine, threads=threads, gpu_precision=compute["gpu_precision"])
    images, weights = Manifest.read(given.manifest), Weights.read(given.weights)
    size, max_pixels = settings["image_size"], snakemake.params.max_pixels
    preprocessing = Preprocessing(size, max_pixels, settings["look"])
    exported = Exported.read(description, f"Remove {description}, and it is made again.")
    facts = exported.facts
    logging.getLogger("gallerist").info("kept of each picture: %s", facts["cut"])

    def in_keras():  # noqa: D103
        from gallerist.networks.trunk import load_trunk

        return load_trunk(settings, weights.file)[0]

    xla = compute["gpu_xla"]
    forward = compile_exported(exported, in_keras, engine=engine, threads=threads, xla=xla)
    with run.timed("extraction_seconds") as timer:
        cache = write_trunk_cache(
            forward.stream(decode_ahead(images.pictures, preprocessing, threads=threads)),
            images.ids,
            part=snakemake.wildcards.part,
            trunk=exported.model,
            preprocessing=preprocessing.sha256,
            values=exported.length,
            dtype=settings["trunk_cache"],
            rows=output.rows,
            ids_file=output.ids,
            origin=output.origin,
        )

    run.parameters(device=device, engine=forward.name, cut=facts["cut"], weights_used=weights.label)
    run.metrics(
        images=len(images),
        images_per_second=len(images) / timer.seconds,
        values=exported.length,
        bytes=cache.rows.bytes,
        share_of_multiply_adds=facts["share_of_multiply_adds"],
    )
    run.dataset(snakemake.wildcards.part, given.manifest, images.digest, len(images))
