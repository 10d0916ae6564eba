"""Rule describe_images: the pictures of all parts -> vectors by colour, texture or shape."""

from gallerist.features.descriptors.extract import DescriptorExtractor
from gallerist.features.extraction import extract_parts
from gallerist.settings.descriptors import read_descriptor
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    extractor = DescriptorExtractor(
        run.settings_as(read_descriptor),
        threads=snakemake.threads,
        **run.param("reading"),
    )
    manifests = {part: snakemake.input[part] for part in run.param("parts")}
    outputs, store = dict(snakemake.output.items()), snakemake.params.store
    extract_parts(run, extractor, manifests, outputs, store)
