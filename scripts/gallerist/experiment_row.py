"""One experiment as one row: what every job upstream was given and measured, under one name."""

from collections.abc import Mapping, Sequence

from gallerist.records import Record, Scalar


def upstream_parameters(upstream: Sequence[Record]) -> dict[str, Scalar]:
    """Parameters of all jobs that an accuracy rests on.

    They become `stage.parameter`, or `stage.part.parameter` where a stage runs once a part.
    """
    return {
        ".".join(filter(None, (record.stage, record.part, name))): value
        for record in upstream
        for name, value in record.parameters.items()
    }


def costs(upstream: Sequence[Record]) -> dict[str, float]:
    """What the experiment took and what it works with, from the records of its jobs.

    training_seconds: all epochs, validation included. trunk_seconds: what frozen layers took, once,
    for the pictures that are trained on and validated; 0 where they are in every epoch.
    extraction_images_per_second: gallery and queries together, frozen layers and all.
    feature_length: numbers a picture. images_skipped, _warned: of all parts.
    """
    training = of_stage(upstream, "train_network")[0].metrics
    extractions = [record.metrics for record in of_stage(upstream, "extract_features")]
    imports = [record.metrics for record in of_stage(upstream, "import_images")]
    trunk = {
        record.part: record.metrics["extraction_seconds"]
        for record in of_stage(upstream, "extract_trunk")
    }
    described = sum(trunk.pop(part, 0.0) for part in ("gallery", "query"))
    described += sum(metrics["extraction_seconds"] for metrics in extractions)
    kept = ("training_seconds", "epochs_run", "parameters", "parameters_trained")
    return {
        **{name: training[name] for name in kept},
        "trunk_seconds": sum(trunk.values()),
        "feature_length": extractions[0]["feature_length"],
        "extraction_images_per_second": sum(each["images"] for each in extractions) / described,
        "images_skipped": sum(metrics["images_skipped"] for metrics in imports),
        "images_warned": sum(metrics["images_warned"] for metrics in imports),
    }


def of_stage(records: Sequence[Record], stage: str) -> list[Record]:
    """The records of one stage."""
    return [record for record in records if record.stage == stage]


def note(
    experiment: str, dataset: str, weights: str, rates: Mapping[int, float], queries: int
) -> str:
    """What a reader sees above the row's page in MLflow, in Markdown."""
    figures = ", ".join(f"top-{k} {rate:.4f}" for k, rate in rates.items())
    return (
        f"**{experiment}** on **{dataset}**: {figures} over {queries} queries.\n\n"
        f"Weights it started from: {weights}. Top-k is the share of the queries with a picture of "
        "their class among the first k answers. Pictures and tables are under Artifacts."
    )
