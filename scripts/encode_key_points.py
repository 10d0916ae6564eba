"""Rule encode_key_points: the pictures of all parts -> vectors of the visual words in them."""

from gallerist.features.extraction import extract_parts
from gallerist.features.kept_key_points import KeptKeyPoints
from gallerist.features.vocabulary import Vocabulary, WordExtractor
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    settings, vocabulary = (
        run.settings,
        Vocabulary.read(snakemake.input.vocabulary, max_pixels=snakemake.params.max_pixels),
    )
    extractor = WordExtractor(
        vocabulary,
        settings["encoding"],
        square_root=settings["square_root"],
        threads=snakemake.threads,
    )
    manifests = {part: snakemake.input[part] for part in run.param("parts")}
    folder = snakemake.params.key_points
    kept = KeptKeyPoints(vocabulary.detector, folder, *manifests.values())
    run.tag(key_points=kept.folder)
    outputs, store = dict(snakemake.output.items()), snakemake.params.store
    with kept as extractor.detect:
        extract_parts(run, extractor, manifests, outputs, store)
