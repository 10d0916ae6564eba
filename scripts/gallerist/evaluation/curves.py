"""Curves of retrieval: hit rate against k, precision against recall, hit rate against distractors.

Each is computed per query first and reduced by `bootstrap.mean_intervals`, so its intervals are
those of the tables: over originals, at every point by itself.
"""

import csv
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gallerist.data.manifest import DISTRACTOR, Manifest
from gallerist.evaluation.bootstrap import Groups, IntervalSettings, mean_intervals
from gallerist.evaluation.metrics import hit_rate_at_k
from gallerist.evaluation.relevance import Evaluation
from gallerist.evaluation.relevant_ranks import RelevantRanks, TruncatedRanking
from gallerist.io.arrays import Booleans, Floats, Integers
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, write_csv

logger = logging.getLogger("gallerist")

Rows = Sequence[Sequence[bool | None]] | Booleans

COLUMNS = ("curve", "at", "mean", "low", "high")
HIT_RATE, PRECISION, AMONG_DISTRACTORS = "hit rate", "precision", "growth"
"""Hit rate at k against k; interpolated precision against recall; hit rate at 1 against the number
of distractors in the gallery."""

_STEPS = 12
"""Numbers of distractors that the hit rate is computed at."""

LINEAR_DEPTH = 50
"""Beyond it the axis of k is logarithmic, and only so many k a factor of ten are computed."""

_A_DECADE = 40


class CurveError(UserError):
    """Arrays from which there is no curve, or curves that cannot be drawn together."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Means and their intervals along an axis.

    at: (n,) float64, rising: k, recall, or number of distractors. means, lows, highs: (n,) float64
    in [0, 1]; lows and highs are NaN where there is no interval.
    """

    at: Floats
    means: Floats
    lows: Floats
    highs: Floats

    def __post_init__(self) -> None:
        """Refuse arrays of different lengths, an empty curve, and places that do not rise."""
        if {len(self.means), len(self.lows), len(self.highs)} != {len(self.at)}:
            raise CurveError("the arrays of a curve are not of one length")
        if len(self.at) == 0 or (np.diff(self.at) <= 0).any():
            raise CurveError("a curve needs at least one place, and places that rise")


def curve(at: npt.ArrayLike, values: Floats, groups: Groups, settings: IntervalSettings) -> Curve:
    """Reduce values of each query along an axis to means and their intervals.

    at: (n,) places. values: (queries, n) in [0, 1]. groups: (queries,) original of each query;
    when all are of one original there are no intervals.
    """
    places = np.asarray(at, dtype=np.float64)
    if values.shape != (len(groups), len(places)) or not len(groups):
        raise CurveError(
            f"values of shape {values.shape} are not those of {len(groups)} queries at "
            f"{len(places)} places"
        )
    if len(np.unique(np.asarray(groups))) < 2:
        unknown = np.full(len(places), np.nan)
        return Curve(places, values.mean(axis=0), unknown, unknown)
    columns = {str(column): values[:, column] for column in range(len(places))}
    found = mean_intervals(columns, groups, settings).values()
    lows, highs = np.array([(each.low, each.high) for each in found]).T
    return Curve(places, values.mean(axis=0), lows, highs)


def ks_up_to(depth: int) -> Integers:
    """The k that a curve is computed at: all from 1 to 50, then as many as a logarithm shows."""
    if depth < 1:
        raise CurveError(f"a ranking of depth {depth} has no hit rate")
    if depth <= LINEAR_DEPTH:
        return np.arange(1, depth + 1)
    steps = math.ceil(_A_DECADE * math.log10(depth / LINEAR_DEPTH))
    spread = np.geomspace(LINEAR_DEPTH, depth, steps + 1).round().astype(np.int64)
    return np.unique(np.concatenate([np.arange(1, LINEAR_DEPTH + 1), spread, [depth]]))


def hit_rate_curve(
    ranks: RelevantRanks, groups: Groups, settings: IntervalSettings, *, depth: int
) -> Curve:
    """Hit rate at k (`metrics.hit_rate_at_k`) for k from 1 to the depth.

    groups: as for `curve`. Raises TruncatedRanking when the ranking was not kept so deep.
    """
    ks = ks_up_to(depth)
    values = np.stack([hit_rate_at_k(ranks, int(k)) for k in ks], axis=1)
    return curve(ks, values, groups, settings)


def interpolated_precision(ranks: RelevantRanks, levels: int = 11) -> Floats:
    """Precision of each query at levels of recall, evenly from 0 to 1: (queries, levels) float64.

    Interpolated: at recall r, the highest precision at any rank at which the recall is r or more.
    The levels are 0, 1 / (levels - 1), ..., 1: 11 of them as in TREC, 101 as in COCO. Their mean
    over the queries is the curve. Manning, Raghavan, Schütze, Introduction to Information
    Retrieval (2008), 8.4; iprec_at_recall in trec_eval.

    Only ranks of relevant pictures matter: between two of them precision falls.
    Raises TruncatedRanking when the rank of any is unknown, as `average_precision` does.
    """
    if levels < 2:
        raise CurveError(f"{levels} levels of recall are no curve: take 11 or 101")
    everything = np.full(len(ranks), np.iinfo(np.int64).max)
    ranks.require_known(everything, "precision at a level of recall", "")
    precision = ranks.numbers / ranks.ranks
    values = np.zeros((len(ranks), levels))
    for query, (start, end) in enumerate(zip(ranks.offsets[:-1], ranks.offsets[1:], strict=True)):
        total = int(ranks.total[query])
        highest = np.zeros(total)  # 0 for what a ranking that ended by itself did not find
        highest[: end - start] = np.maximum.accumulate(precision[start:end][::-1])[::-1]
        # Recall reaches level i at the relevant picture number ceil(i R / (levels - 1)): in whole
        # numbers, because 0.1 * 10 may be more than 1 in others.
        needed = -(-np.arange(levels) * total // (levels - 1))
        values[query] = highest[np.maximum(needed, 1) - 1]
    return values


def precision_recall_curve(
    ranks: RelevantRanks, groups: Groups, settings: IntervalSettings, *, levels: int = 101
) -> Curve:
    """Mean over the queries of `interpolated_precision` at so many levels of recall."""
    places = np.linspace(0, 1, levels)
    return curve(places, interpolated_precision(ranks, levels), groups, settings)


def hits_among_distractors(
    relevant: Rows, distractor: Rows, counts: Sequence[int], *, k: int, distractors: int
) -> Floats:
    """Chance of a hit at k of each query in a gallery with fewer distractors: (queries, n) float64.

    Of the gallery's distractors, as many as `counts` says stay, drawn at random; the mean over all
    possible draws is computed, not sampled. A query hits when fewer than k pictures stand ahead of
    its first relevant one: o others, which stay, and of d distractors as many as were drawn, which
    is hypergeometric. So the chance is P(X <= k - 1 - o), X ~ H(distractors, d, n). At n =
    distractors it is the hit rate at k of the ranking.

    That holds for rankings by a distance of two pictures. Query expansion, database augmentation,
    re-ranking by neighbours and an index trained on the gallery rank anew in a smaller gallery.

    relevant, distractor: for each query what its answers are, best first. counts: (n,) numbers of
    distractors, 0 to `distractors`, the number in the whole gallery.

    Raises CurveError when a first relevant picture stands below the ranking and might be among the
    first k with fewer distractors: then the ranking has to be kept deeper.
    """
    found = np.array([any(row) for row in relevant], dtype=np.bool_)
    first = np.array([[*row, True].index(True) for row in relevant], dtype=np.int64)
    before = zip(distractor, first, strict=True)
    ahead_of = np.array([np.count_nonzero(row[:count]) for row, count in before], dtype=np.int64)
    others = first - ahead_of
    unknown = ~found & (others < k)
    if unknown.any():
        raise CurveError(
            f"{int(unknown.sum())} queries have no relevant picture in the ranking that was kept, "
            f"but might have one among the first {k} with fewer distractors: keep a deeper ranking"
        )
    kept = np.asarray(counts, dtype=np.int64)
    if ahead_of.max(initial=0) > distractors or ((kept < 0) | (kept > distractors)).any():
        raise CurveError(
            f"the gallery has {distractors} distractors: no fewer than 0 and no more can be drawn, "
            "nor be ranked"
        )
    spare = np.asarray(k - 1 - others)
    none_too_many = _few_drawn(int(ahead_of.max(initial=0)), kept, distractors, k)
    chances = none_too_many[ahead_of, :, np.maximum(spare, 0)]
    return np.asarray(np.where((found & (spare >= 0))[:, None], chances, 0.0))


def _few_drawn(most: int, counts: Integers, total: int, k: int) -> Floats:
    """(most + 1, n, k) chance that of d pictures among `total` at most x are drawn, x below k.

    counts: (n,) pictures that are drawn. One of the d after the other: it is drawn with the chance
    (n - x) / (total - j) when x of the j before it were. So every chance is a sum of products of
    positive numbers, to some d roundings.
    """
    drawn = np.arange(k)
    exactly = np.zeros((most + 1, len(counts), k))
    exactly[0, :, 0] = 1
    for before in range(most):
        share = np.clip((counts[:, None] - drawn) / (total - before), 0.0, 1.0)
        exactly[before + 1] = exactly[before] * (1 - share)
        exactly[before + 1, :, 1:] += (exactly[before] * share)[:, :-1]
    return np.asarray(np.minimum(exactly.cumsum(axis=2), 1.0))


def curves_of(
    evaluation: Evaluation,
    ranks: RelevantRanks,
    originals: Sequence[str],
    gallery: Manifest,
    settings: IntervalSettings,
    *,
    by_distance: bool,
) -> dict[str, Curve]:
    """Every curve that the ranking is deep enough for; those left out are named in the log.

    ranks, originals: of the queries of `evaluation.results`, in that order. by_distance: a
    picture's place depends on its own distance to the query alone, so that the hit rate among fewer
    distractors can be computed from one ranking: see `hits_among_distractors`.
    """
    depth = min(int(ranks.depth.min()), len(gallery))
    curves = {HIT_RATE: hit_rate_curve(ranks, originals, settings, depth=depth)}
    distractors = gallery.labels.count(DISTRACTOR)

    def among_distractors() -> Curve:
        counts = np.unique(np.linspace(0, distractors, _STEPS).round().astype(int)).tolist()
        rows = [
            [
                pair
                for pair in zip(each.relevant, each.answer_labels, strict=True)
                if pair[0] is not None
            ]
            for each in evaluation.results
        ]
        chances = hits_among_distractors(
            [[bool(mark) for mark, _ in row] for row in rows],
            [[label == DISTRACTOR for _, label in row] for row in rows],
            counts,
            k=1,
            distractors=distractors,
        )
        return curve(counts, chances, originals, settings)

    further: dict[str, Callable[[], Curve]] = {
        PRECISION: lambda: precision_recall_curve(ranks, originals, settings)
    }
    if distractors and by_distance:
        further[AMONG_DISTRACTORS] = among_distractors
    for name, compute in further.items():
        try:
            curves[name] = compute()
        except (TruncatedRanking, CurveError) as error:
            logger.warning("the curve of %s is left out: %s", name, error)
    return curves


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
    except CurveError as error:
        raise ValueError(f"{path}: {error}") from None
