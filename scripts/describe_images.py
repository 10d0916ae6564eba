"""Rule describe_images: pictures of one part -> vectors by colour, texture or shape."""

from gallerist.data.manifest import Manifest
from gallerist.features.descriptors.extract import DescriptorExtractor
from gallerist.features.store import write_features
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    output = snakemake.output
    settings = run.settings
    images = Manifest.read(snakemake.input.manifest)
    extractor = DescriptorExtractor(
        settings, max_pixels=snakemake.params.max_pixels, threads=snakemake.threads
    )
    with run.timed("extraction_seconds") as timer:
        files = output.vectors, output.ids, output.origin
        written = write_features(extractor.batches(images.paths), images.ids, extractor, files)
        run.parameters(settings)
    run.metrics(written, images_per_second=len(images) / timer.seconds)
    run.dataset(snakemake.wildcards.part, snakemake.input.manifest, images.digest, len(images))
