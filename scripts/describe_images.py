"""Rule describe_images: pictures of one part -> vectors by colour, texture or shape."""

from gallerist.data.manifest import Manifest
from gallerist.data.preprocessing import Preprocessing
from gallerist.features.descriptors.extract import (
    describe_in_parallel,
    descriptor_settings,
    model_of,
)
from gallerist.features.descriptors.registry import vector_length
from gallerist.features.store import write_features
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    output = snakemake.output
    settings = run.settings
    name, chosen = descriptor_settings(settings)
    images = Manifest.read(snakemake.input.manifest)
    preprocessing = Preprocessing(
        settings["image_size"], snakemake.params.max_pixels, settings["look"]
    )
    with run.timed("extraction_seconds") as timer:
        written = write_features(
            describe_in_parallel(
                name, chosen, images.paths, preprocessing, threads=snakemake.threads
            ),
            images.ids,
            model=model_of(name, chosen),
            preprocessing=preprocessing.sha256,
            vectors=output.vectors,
            ids_file=output.ids,
            origin=output.origin,
            length=vector_length(name, chosen),
        )
    run.parameters(settings)
    run.metrics(written.figures_of_extraction(timer.seconds))
    run.dataset(snakemake.wildcards.part, snakemake.input.manifest, images.digest, len(images))
