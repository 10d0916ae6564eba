"""The pictures of one experiment's evaluation: queries with their answers, confusion, classes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gallerist.data.manifest import Manifest
from gallerist.evaluation.evaluate import Evaluation
from gallerist.evaluation.metrics import FloatArray
from gallerist.evaluation.scores import Assessment, Settings
from gallerist.figures import answer_strips, plots
from gallerist.figures import classes as class_bars
from gallerist.io.files import PathLike
from gallerist.io.metric_names import top

logger = logging.getLogger("gallerist")

KINDS = ("best", "median", "worst", "chosen")


@dataclass(frozen=True)
class Drawn:
    """What is drawn: answers beside a query, queries in each picture, file names of chosen ones."""

    answers: int
    queries: int
    chosen: Sequence[str]


def draw_strips(
    evaluation: Evaluation,
    scores: FloatArray,
    queries: Manifest,
    gallery: Manifest,
    paths: Mapping[str, PathLike],
    *,
    drawn: Drawn,
    title: str,
) -> None:
    """Draw the best, the median, the worst and the chosen queries with their answers, as PNG.

    scores: (queries,) of each judged query, in the order of `evaluation.results`; the higher the
    better. paths: a file for each of KINDS. Chosen names that no query has are named in the log.
    """
    unknown = {*drawn.chosen} - {Path(path).name for path in queries.paths}
    if unknown:
        logger.warning("no query is called %s", ", ".join(sorted(unknown)))
    ids = [result.query_id for result in evaluation.results]
    wanted = {
        "best": answer_strips.best(ids, scores, drawn.queries),
        "median": answer_strips.median(ids, scores, drawn.queries),
        "worst": answer_strips.worst(ids, scores, drawn.queries),
        "chosen": [picture.id for picture in queries if Path(picture.path).name in drawn.chosen],
    }
    files = dict(zip(gallery.ids, gallery.paths, strict=True))
    query_files = dict(zip(queries.ids, queries.paths, strict=True))
    results = dict(zip(ids, evaluation.results, strict=True))
    for kind, names in wanted.items():
        judged = [results[name] for name in names if name in results]
        rows = answer_strips.strips(judged, files, query_files, drawn.answers)
        answer_strips.draw(rows, paths[kind], title=f"{title}: {kind} queries")


def draw_classes(
    evaluation: Evaluation,
    judged: Assessment,
    settings: Settings,
    *,
    k: int,
    confusion: PathLike,
    bars: PathLike,
    title: str,
) -> None:
    """Draw the confusion of the first answer, and each class's hit rate at k, as PNG."""
    plots.draw_confusion(*evaluation.confusion(), confusion, title=title)
    found = class_bars.class_bars(
        judged.values[top(k)],
        judged.labels,
        judged.originals,
        seed=settings.seed,
        rounds=settings.rounds,
        level=settings.confidence,
    )
    measure = f"hit rate at {k} (share of queries)"
    class_bars.draw(found, bars, title=title, metric=measure, level=settings.confidence)
