"""One experiment as one row: what every job upstream was given and measured, under one name."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gallerist.evaluation.compared import Compared
from gallerist.evaluation.curves import Curve
from gallerist.evaluation.scores import flatten
from gallerist.io.files import PathLike
from gallerist.io.metric_names import HIT_RATE, accuracies
from gallerist.records.record import RUN_ID, Record, Scalar
from gallerist.workflow.run import Run

EXTRACTING = ("extract_features", "encode_images", "describe_images", "encode_key_points")
"""The stages that turn pictures into vectors."""

WITH_NETWORK = ("train_network", "import_onnx", "import_keras")
"""Stages that leave the network that an experiment's vectors are made by."""

_RECALLED = 10
"""Answers of which it is said how many an index finds, or as many as are kept."""

SEARCHED = ("gallery", "query")

BROWSE = "http://127.0.0.1:5002/"
"""Where `gallerist browse` is unless told otherwise."""

_DRAWN_TO = 100
_STRIP = "pictures/median.png"
"""The artifact of a row that its description shows."""


def row(
    upstream: Sequence[Record],
    experiment: str,
    parameters: Iterable[tuple[str, Scalar]],
    metrics: Mapping[str, float],
    hit_rates: Curve,
) -> dict[str, Any]:
    """The row of an experiment, as `Run.compare` takes it.

    upstream: records of all jobs that it rests on. parameters, metrics: of the evaluation.
    hit_rates: against k.
    """
    return {
        "parameters": {
            **outline(upstream, weights(upstream)),
            **upstream_parameters(upstream, experiment),
            **{f"evaluate_retrieval.{name}": value for name, value in parameters},
        },
        "metrics": {**metrics, **costs(upstream)},
        "curves": {
            **training_curves(upstream),
            HIT_RATE: hit_rate_points(hit_rates.at, hit_rates.means),
        },
    }


def mean_row(line: Compared, dataset: str, decided_by: str, hit_rates: Curve) -> dict[str, Any]:
    """The row of an experiment that was trained from several seeds, as `Run.compare` takes it.

    Parameters are those that all seeds have in common, costs are means. hit_rates: against k.
    """
    metrics = line.metrics["metrics"]
    each = {
        f"seeds/{member} {decided_by}".replace("@", "-"): seed["metrics"][decided_by]["mean"]
        for member, seed in zip(line.members, line.of_seeds, strict=True)
        if decided_by in seed["metrics"]
    }
    head = (
        f"**{line.name}** on **{dataset}**: the mean of {len(line.members)} trainings, each from "
        f"another seed and a row of its own: {', '.join(line.members)}. Intervals are drawn over "
        "queries and seeds.\n\n"
    )
    return {
        "parameters": {**line.record.parameters, "seeds": len(line.members)},
        "metrics": {**line.record.metrics, **flatten(metrics), **each},
        "curves": {HIT_RATE: hit_rate_points(hit_rates.at, hit_rates.means)},
        "tags": {**line.record.tags, "mlflow.note.content": head + _table(metrics)},
    }


def tags(
    upstream: Sequence[Record],
    experiment: str,
    dataset: str,
    metrics: Mapping[str, Mapping[str, float | None]],
    queries: int,
) -> dict[str, str]:
    """What the row says in words: its weights, and the description on its page."""
    started = weights(upstream)
    text = format_description(experiment, dataset, started, metrics, queries)
    return {"weights": started, "mlflow.note.content": text}


def show(
    run: Run,
    upstream: Iterable[Record],
    made: Mapping[str, str],
    pictures: Sequence[str],
    history: Sequence[str] | str,
) -> list[tuple[PathLike, str]]:
    """Add to an evaluation's run what is shown of it: file, and the folder that it is shown in.

    With the sets of pictures that the jobs before worked on, each once.

    made: output of the evaluating rule -> file. pictures, history: of its experiment, if any.
    """
    drawn = ("best", "median", "worst", "chosen", "confusion", "bars", "risk", "map")
    written = ("metrics", "answers", "queries", "classes", "domains", "curves", "risk_coverage")
    for each in {each.name: each for record in upstream for each in record.datasets}.values():
        run.dataset(each.name, each.path, each.digest, each.images)
    shown = in_folders(
        training=[made["training"], str(history)] if history else [],
        pictures=[*(made[name] for name in drawn if name in made), *pictures],
        tables=[made[name] for name in written if name in made],
    )
    for path, folder in shown:
        run.artifact(path, folder)
    return shown


def in_folders(**paths: Iterable[PathLike]) -> list[tuple[PathLike, str]]:
    """Files with the folder of artifacts that each belongs to. paths: folder -> files."""
    return [(path, folder) for folder, files in paths.items() for path in files]


def upstream_parameters(upstream: Sequence[Record], experiment: str) -> dict[str, Scalar]:
    """Parameters of all jobs that an accuracy rests on.

    They become `stage.parameter`, or `stage.part.parameter` where a stage runs once a part; those
    of another experiment, which this one is combined from, `stage.experiment.parameter`; of several
    pretrained weights or trunks, which its members start from, `stage.weights.parameter`.
    """
    items: dict[str, set[str | None]] = {}
    for record in upstream:
        items.setdefault(record.stage, set()).add(record.item)
    found = {}
    for record in upstream:
        other = record.experiment if record.experiment != experiment else None
        item = record.item if len(items[record.stage]) > 1 else None
        for name, value in record.parameters.items():
            found[".".join(filter(None, (record.stage, other, item, record.part, name)))] = value
    return found


def costs(upstream: Sequence[Record]) -> dict[str, float]:
    """What the experiment took and what it works with, from the records of its jobs.

    training_seconds: all epochs, validation included. trunk_seconds: what frozen layers took, once,
    for the pictures that are trained on and validated; 0 where they are in every epoch.
    extraction_images_per_second: frozen layers and all; a picture that several members extract is
    one picture, which takes the time of all of them.
    feature_length: numbers a picture. images_skipped, _warned: of all parts. index_recall: see
    `approximate.recall` for k of 10, or the depth where that is less; of several searches that it
    rests on the least, and there only where one of them is by an index.

    What an experiment does without, such as the epochs of a descriptor, is 0.
    """
    trained = [record.metrics for record in of_stage(upstream, "train_network")]
    extracted = [record for stage in EXTRACTING for record in of_stage(upstream, stage)]
    imports = [record.metrics for record in of_stage(upstream, "import_images")]
    seconds = _seconds_a_picture(extracted)
    seconds += sum(record.metrics.get("trunk_seconds_per_image", 0.0) for record in extracted)
    kept = ("training_seconds", "epochs_run", "parameters", "parameters_trained")
    return {
        **{name: sum(metrics[name] for metrics in trained) for name in kept},
        "trunk_seconds": _extraction_seconds(of_stage(upstream, "extract_trunk")),
        "feature_length": _feature_length(upstream),
        "extraction_images_per_second": 1 / seconds if seconds else 0.0,
        "images_skipped": sum(metrics["images_skipped"] for metrics in imports),
        "images_warned": sum(metrics["images_warned"] for metrics in imports),
        **_index_recall(of_stage(upstream, "search_gallery")),
    }


def _index_recall(searches: Iterable[Record]) -> dict[str, float]:
    recalls = []
    for record in searches:
        of = {name.removeprefix("recall-"): value for name, value in record.metrics.items()}
        known = [k for k in map(int, filter(str.isdecimal, of)) if k <= _RECALLED]
        recalls += [of[str(max(known))]] if known else []
    return {"index_recall": min(recalls)} if recalls else {}


def _seconds_a_picture(records: Iterable[Record]) -> float:
    """Of all steps that extract: one that runs part by part counts by the parts searched."""
    steps: dict[tuple[str | None, ...], list[Record]] = {}
    for record in records:
        if record.part in (None, *SEARCHED):
            key = (record.stage, record.experiment, record.item)
            steps.setdefault(key, []).append(record)
    return sum(
        _extraction_seconds(step) / sum(record.metrics["images"] for record in step)
        for step in steps.values()
    )


def _extraction_seconds(records: Iterable[Record]) -> float:
    return sum(record.metrics["extraction_seconds"] for record in records)


def _feature_length(upstream: Sequence[Record]) -> float:
    """Of what was searched: the last of the steps that made vectors; 0 for fused rankings."""
    if of_stage(upstream, "fuse_rankings"):
        return 0.0
    joined = {record.experiment for record in of_stage(upstream, "fuse_features")}
    for stage in ("reduce_features", "fuse_features", *EXTRACTING):
        for record in of_stage(upstream, stage):
            own = not joined or record.experiment in joined  # a member's vectors are not searched
            if own:
                return record.metrics["feature_length"]
    return 0.0


def weights(upstream: Sequence[Record]) -> str:
    """The weights its networks started from, each once; "none" where there is no network."""
    left = [record for stage in WITH_NETWORK for record in of_stage(upstream, stage)]
    started = [record.tags["weights"] for record in left]
    return ", ".join(dict.fromkeys(started)) or "none"


def outline(upstream: Sequence[Record], weights: str) -> dict[str, Scalar]:
    """The main parameters under short names, the same for every experiment.

    kind: the network or the descriptor; of a combination, all of them, joined by +. Where networks
    differ, theirs stand side by side; what an experiment does without is "none", epochs 0.
    """
    trained = [record.parameters for record in of_stage(upstream, "train_network")]
    extracted = [record for stage in EXTRACTING for record in of_stage(upstream, stage)]
    left = [record.parameters for stage in WITH_NETWORK for record in of_stage(upstream, stage)]
    sized = [*left, *(record.parameters for record in extracted)]
    kinds = [
        str(each[name]) for name in ("network", "descriptor") for each in sized if name in each
    ]
    return {
        "kind": " + ".join(dict.fromkeys(kinds)) or "none",
        "backbone": _side_by_side(trained, "backbone"),
        "weights": weights,
        "pooling": _side_by_side(left, "pooling"),
        "image_size": _side_by_side(sized, "image_size"),
        "epochs": _side_by_side(trained, "epochs") if trained else 0,
    }


def _side_by_side(parameters: Iterable[Mapping[str, Scalar]], name: str) -> Scalar:
    """The values of a parameter, each once; itself where it is one, "none" where there is none."""
    found = [each[name] for each in parameters if each.get(name) is not None]
    different = list(dict.fromkeys(found))
    if len(different) == 1:
        return different[0]
    return ", ".join(map(str, different)) or "none"


def hit_rate_points(at: Iterable[float], means: Iterable[float]) -> list[tuple[int, float]]:
    """The hit rate at each k as points of a curve whose step is k, up to k = 100."""
    points = ((round(k), float(mean)) for k, mean in zip(at, means, strict=True))
    return [(k, mean) for k, mean in points if k <= _DRAWN_TO]


def training_curves(upstream: Sequence[Record]) -> dict[str, list[tuple[int, float]]]:
    """The curves of its one training; none where there is none, or several."""
    trained = of_stage(upstream, "train_network")
    return dict(trained[0].curves) if len(trained) == 1 else {}


def of_stage(records: Sequence[Record], stage: str) -> list[Record]:
    """The records of one stage."""
    return [record for record in records if record.stage == stage]


def format_description(
    experiment: str,
    dataset: str,
    weights: str,
    metrics: Mapping[str, Mapping[str, float | None]],
    queries: int,
) -> str:
    """What a reader sees above the row's page in MLflow, in Markdown.

    metrics: as `Scores.as_json` gives them. The address of the picture is relative to the page
    of MLflow's UI, and lacks the id of the run (RUN_ID) until that is known.
    """
    summary = ", ".join(f"{name} {metrics[name]['mean']:.4f}" for name in accuracies(metrics))
    page = f"{BROWSE}#/{dataset}/experiment/{experiment}"
    return (
        f"**{experiment}** on **{dataset}**, {queries} queries: {summary}.\n\n"
        f"Weights it started from: {weights}. Top-k is the share of the queries with a picture of "
        "their class among the first k answers. Pictures and tables are under Artifacts.\n\n"
        f"{_table(metrics)}\n\n"
        f"[Its queries with their answers]({page}), while `make browse` is at work.\n\n"
        "Queries of middling average precision, each with its answers:\n\n"
        f"![its middling queries](get-artifact?path={_STRIP}&run_uuid={RUN_ID})"
    )


def _table(metrics: Mapping[str, Mapping[str, float | None]]) -> str:
    lines = [
        f"| {name} | {figures['mean']:.4f} | {_interval(figures)} |"
        for name, figures in metrics.items()
    ]
    return "\n".join(["| metric | mean | interval |", "|---|---|---|", *lines])


def _interval(figures: Mapping[str, float | None]) -> str:
    low, high = figures["low"], figures["high"]
    return "" if low is None or high is None else f"{low:.4f} to {high:.4f}"
