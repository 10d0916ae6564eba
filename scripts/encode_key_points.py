"""Rule encode_key_points: pictures of one part -> vectors of the visual words in them."""

from gallerist.data.manifest import Manifest
from gallerist.features.store import write_features
from gallerist.features.vocabulary import Vocabulary, described, encoded_length, encoding_sha256
from gallerist.io.files import sha256_of_text
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    output = snakemake.output
    settings = run.settings
    images = Manifest.read(snakemake.input.manifest)
    vocabulary = Vocabulary.read(snakemake.input.vocabulary)
    encoding = settings["encoding"]
    with run.timed("extraction_seconds") as timer:
        written = write_features(
            described(
                images.paths,
                vocabulary,
                encoding=encoding,
                threads=snakemake.threads,
                square_root=settings["square_root"],
            ),
            images.ids,
            model=encoding_sha256(vocabulary, encoding, settings["square_root"]),
            preprocessing=sha256_of_text(vocabulary.detector.to_json()),
            vectors=output.vectors,
            ids_file=output.ids,
            origin=output.origin,
            length=encoded_length(vocabulary, encoding),
        )
    run.metrics(written.figures_of_extraction(timer.seconds))
    run.dataset(snakemake.wildcards.part, snakemake.input.manifest, images.digest, len(images))
