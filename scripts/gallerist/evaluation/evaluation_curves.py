"""The curves of one experiment's ranking: computed from it, and kept as a file."""

import csv
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gallerist.data.manifest import DISTRACTOR, Manifest
from gallerist.evaluation.curves import (
    Curve,
    CurveFault,
    curve,
    hit_rate_curve,
    hits_among_distractors,
    precision_recall_curve,
)
from gallerist.evaluation.evaluate import Evaluation
from gallerist.evaluation.relevance import RelevantRanks, TruncatedRanking
from gallerist.evaluation.scores import Settings
from gallerist.io.files import PathLike, write_csv

logger = logging.getLogger("gallerist")

COLUMNS = ("curve", "at", "mean", "low", "high")
HIT_RATE, PRECISION, GROWTH = "hit rate", "precision", "growth"
"""Hit rate at k against k; interpolated precision against recall; hit rate at 1 against the number
of distractors in the gallery."""

_STEPS = 12
"""Numbers of distractors that the growth is computed at."""


def curves_of(
    evaluation: Evaluation,
    ranks: RelevantRanks,
    originals: Sequence[str],
    gallery: Manifest,
    settings: Settings,
    *,
    by_distance: bool,
) -> dict[str, Curve]:
    """Every curve that the ranking is deep enough for; those left out are named in the log.

    ranks, originals: of the judged queries, in the order of `evaluation.results`. by_distance: a
    picture's place depends on its own distance to the query alone, so that the growth can be
    computed from one ranking: see `retrieval_curves.hits_among_distractors`.
    """
    drawn = settings.draws()
    depth = min(int(ranks.depth.min()), len(gallery))
    curves = {HIT_RATE: hit_rate_curve(ranks, originals, depth=depth, **drawn)}
    distractors = gallery.labels.count(DISTRACTOR)
    further: dict[str, Callable[[], Curve]] = {
        PRECISION: lambda: precision_recall_curve(ranks, originals, **drawn)
    }
    if distractors and by_distance:
        further[GROWTH] = lambda: _growth(evaluation, distractors, originals, drawn)
    for name, compute in further.items():
        try:
            curves[name] = compute()
        except (TruncatedRanking, CurveFault) as error:
            logger.warning("the curve of %s is left out: %s", name, error)
    return curves


def _growth(
    evaluation: Evaluation, distractors: int, originals: Sequence[str], drawn: Mapping[str, Any]
) -> Curve:
    right = evaluation.relevance()
    strange = np.zeros_like(right)
    for line, result in zip(strange, evaluation.results, strict=True):
        line[: len(result.right)] = [label == DISTRACTOR for label in result.answer_labels]
    counts = np.unique(np.linspace(0, distractors, _STEPS).round().astype(int)).tolist()
    depth = [len(result.right) for result in evaluation.results]
    chances = hits_among_distractors(
        right, strange, counts, k=1, distractors=distractors, depth=depth
    )
    return curve(counts, chances, originals, **drawn)


def write_curves(path: PathLike, curves: Mapping[str, Curve]) -> None:
    """Write name -> curve as CSV, a row a place; unknown ends of intervals are empty."""
    rows = (
        (name, *("" if np.isnan(x) else f"{x:.9g}" for x in row))
        for name, curve in curves.items()
        for row in zip(curve.at, curve.means, curve.lows, curve.highs, strict=True)
    )
    write_csv(path, COLUMNS, rows)


def read_curves(path: PathLike) -> dict[str, Curve]:
    """Read what `write_curves` wrote. Raises ValueError naming the file for anything else."""
    rows: dict[str, list[list[float]]] = {}
    with Path(path).open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        if tuple(next(reader, ())) != COLUMNS:
            raise ValueError(f"{path}: the columns of curves are {', '.join(COLUMNS)}")
        for cells in reader:
            try:
                name, *numbers = (cell for cell, _ in zip(cells, COLUMNS, strict=True))
                row = [float(number) if number else np.nan for number in numbers]
            except ValueError:
                raise ValueError(
                    f"{path}, line {reader.line_num}: a row is {', '.join(COLUMNS)}; this one has "
                    "too few or too many, or something that is no number"
                ) from None
            rows.setdefault(name, []).append(row)
    try:
        return {name: Curve(*np.array(each).T) for name, each in rows.items()}
    except CurveFault as error:
        raise ValueError(f"{path}: {error}") from None
