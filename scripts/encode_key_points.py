"""Rule encode_key_points: the pictures of all parts -> vectors of the visual words in them."""

from gallerist.features.extraction import extract_parts
from gallerist.features.kept_key_points import KeptKeyPoints
from gallerist.features.vocabulary import Vocabulary, WordExtractor
from gallerist.workflow.stage import stage

with stage(snakemake) as run:
    settings, params = run.settings, snakemake.params
    vocabulary = Vocabulary.read(snakemake.input.vocabulary, max_pixels=params.max_pixels)
    extractor = WordExtractor(
        vocabulary,
        settings["encoding"],
        square_root=settings["square_root"],
        threads=snakemake.threads,
    )
    manifests = {part: snakemake.input[part] for part in run.param("parts")}
    kept = KeptKeyPoints(vocabulary.detector, params.key_points, *manifests.values())
    run.tag(key_points=kept.folder)
    outputs = dict(snakemake.output.items())
    with kept as extractor.detect:
        extract_parts(run, extractor, manifests, outputs, params.store)
