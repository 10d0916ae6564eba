"""Rule encode_key_points: pictures of one part -> vectors of the visual words in them."""

from gallerist.data.manifest import Manifest
from gallerist.features.store import write_features
from gallerist.features.vocabulary import Vocabulary, WordExtractor
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    output = snakemake.output
    settings = run.settings
    images = Manifest.read(snakemake.input.manifest)
    extractor = WordExtractor(
        Vocabulary.read(snakemake.input.vocabulary),
        settings["encoding"],
        square_root=settings["square_root"],
        threads=snakemake.threads,
    )
    with run.timed("extraction_seconds") as timer:
        files = output.vectors, output.ids, output.origin
        written = write_features(extractor.batches(images.paths), images.ids, extractor, files)
    run.metrics(written, images_per_second=len(images) / timer.seconds)
    run.dataset(snakemake.wildcards.part, snakemake.input.manifest, images.digest, len(images))
