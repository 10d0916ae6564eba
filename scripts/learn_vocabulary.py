"""Rule learn_vocabulary: training pictures -> the visual words of their key points."""

from gallerist.data.manifest import Manifest
from gallerist.features.kept_key_points import KeptKeyPoints
from gallerist.features.key_points import Detector
from gallerist.features.vocabulary import count_words, learn, sample
from gallerist.figures.key_points import draw
from gallerist.workflow.stage import stage

DRAWN = 4
"""Training pictures of different classes that are drawn with their key points."""

with stage(snakemake) as run:
    settings = run.settings
    training = Manifest.read(snakemake.input.training)
    detector = Detector(
        settings["descriptor"],
        settings["max_side"],
        settings["max_points"],
        settings.get("root", False),
        **run.param("reading"),
    )
    kept = KeptKeyPoints(detector, snakemake.params.key_points, snakemake.input.training)
    run.tag(key_points=kept.folder)
    with run.timed("vocabulary_seconds"):
        with kept as detect:
            descriptors = sample(
                training.paths,
                detector,
                at_most=settings["sample"],
                seed=settings["seed"],
                threads=snakemake.threads,
                detect=detect,
            )
        vocabulary = learn(descriptors, settings["words"], settings["seed"], detector=detector)
        if settings["encoding"] == "bag_of_words":
            with kept as detect:
                vocabulary = count_words(
                    vocabulary, training.paths, threads=snakemake.threads, detect=detect
                )
    vocabulary.write(snakemake.output.vocabulary)

    one_a_class = {picture.label: picture.path for picture in reversed(training.pictures)}
    shown = [one_a_class[label] for label in sorted(one_a_class)[:DRAWN]]
    title = f"{run.title}: key points"
    draw(shown, snakemake.output.drawn, detector=detector, title=title)
    run.parameters(settings)
    run.metrics(
        images=len(training),
        descriptors=len(descriptors),
        words=len(vocabulary),
    )
    run.artifact(snakemake.output.drawn, "pictures")
    run.dataset("training", snakemake.input.training, training.digest, len(training))
