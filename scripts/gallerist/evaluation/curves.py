"""Curves of retrieval: hit rate against k, precision against recall, hit rate against distractors.

Each is computed per query first and reduced by `bootstrap.mean_intervals`, so its intervals are
those of the tables: over originals, at every point by itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import hypergeom

from gallerist.evaluation.bootstrap import ROUNDS, Groups, mean_intervals
from gallerist.evaluation.metrics import hit_rate_at_k
from gallerist.evaluation.relevance import BoolArray, IntArray, RelevantRanks

FloatArray = npt.NDArray[np.float64]

LINEAR_DEPTH = 50
"""Beyond it the axis of k is logarithmic, and only so many k a factor of ten are computed."""

_A_DECADE = 40


class CurveFault(ValueError):
    """Arrays from which there is no curve, or curves that cannot be drawn together."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Means and their intervals along an axis.

    at: (n,) float64, rising: k, recall, or number of distractors. means, lows, highs: (n,) float64
    in [0, 1]; lows and highs are NaN where there is no interval.
    """

    at: FloatArray
    means: FloatArray
    lows: FloatArray
    highs: FloatArray

    def __post_init__(self) -> None:
        """Refuse arrays of different lengths, an empty curve, and places that do not rise."""
        if {len(self.means), len(self.lows), len(self.highs)} != {len(self.at)}:
            raise CurveFault("the arrays of a curve are not of one length")
        if len(self.at) == 0 or (np.diff(self.at) <= 0).any():
            raise CurveFault("a curve needs at least one place, and places that rise")


def curve(
    at: npt.ArrayLike, values: FloatArray, groups: Groups, *, seed: int, rounds: int = ROUNDS,
    level: float = 0.95,
) -> Curve:  # fmt: skip
    """Reduce values of each query along an axis to means and their intervals.

    at: (n,) places. values: (queries, n) in [0, 1]. groups: (queries,) original of each query;
    when all are of one original there are no intervals. seed, rounds, level: as for
    `bootstrap.mean_intervals`.
    """
    places = np.asarray(at, dtype=np.float64)
    if values.shape != (len(groups), len(places)) or not len(groups):
        raise CurveFault(
            f"values of shape {values.shape} are not those of {len(groups)} queries at "
            f"{len(places)} places"
        )
    means = values.mean(axis=0)
    if len(np.unique(np.asarray(groups))) < 2:
        unknown = np.full(len(places), np.nan)
        return Curve(places, means, unknown, unknown)
    columns = {str(column): values[:, column] for column in range(len(places))}
    found = mean_intervals(columns, groups, seed=seed, rounds=rounds, level=level)
    lows = np.array([found[name].low for name in columns])
    return Curve(places, means, lows, np.array([found[name].high for name in columns]))


def ks_up_to(depth: int) -> IntArray:
    """The k that a curve is computed at: all from 1 to 50, then as many as a logarithm shows."""
    if depth < 1:
        raise CurveFault(f"a ranking of depth {depth} has no hit rate")
    if depth <= LINEAR_DEPTH:
        return np.arange(1, depth + 1)
    steps = math.ceil(_A_DECADE * math.log10(depth / LINEAR_DEPTH))
    spread = np.geomspace(LINEAR_DEPTH, depth, steps + 1).round().astype(np.int64)
    return np.unique(np.concatenate([np.arange(1, LINEAR_DEPTH + 1), spread, [depth]]))


def hit_rate_curve(
    ranks: RelevantRanks, groups: Groups, *, depth: int, seed: int, rounds: int = ROUNDS,
    level: float = 0.95,
) -> Curve:  # fmt: skip
    """Hit rate at k (`metrics.hit_rate_at_k`) for k from 1 to the depth.

    groups, seed, rounds, level: as for `curve`. Raises TruncatedRanking when the ranking was not
    kept so deep.
    """
    ks = ks_up_to(depth)
    values = np.stack([hit_rate_at_k(ranks, int(k)) for k in ks], axis=1)
    return curve(ks, values, groups, seed=seed, rounds=rounds, level=level)


def interpolated_precision(ranks: RelevantRanks, levels: int = 11) -> FloatArray:
    """Precision of each query at levels of recall, evenly from 0 to 1: (queries, levels) float64.

    Interpolated: at recall r, the highest precision at any rank at which the recall is r or more.
    The levels are 0, 1 / (levels - 1), ..., 1: 11 of them as in TREC, 101 as in COCO. Their mean
    over the queries is the curve. Manning, Raghavan, Schütze, Introduction to Information
    Retrieval (2008), 8.4; iprec_at_recall in trec_eval.

    Only ranks of right pictures need to be looked at: between two of them precision falls. Raises
    TruncatedRanking when the rank of any right picture is unknown, as `average_precision` does.
    """
    if levels < 2:
        raise CurveFault(f"{levels} levels of recall are no curve: take 11 or 101")
    everything = np.full(len(ranks), np.iinfo(np.int64).max)
    ranks.require_known(everything, "precision at a level of recall", "")
    precision = ranks.numbers / ranks.ranks
    values = np.zeros((len(ranks), levels))
    for query, (start, end) in enumerate(zip(ranks.offsets[:-1], ranks.offsets[1:], strict=True)):
        total = int(ranks.total[query])
        highest = np.zeros(total)  # 0 for what a ranking that ended by itself did not find
        highest[: end - start] = np.maximum.accumulate(precision[start:end][::-1])[::-1]
        # Recall reaches level i at the right picture number ceil(i R / (levels - 1)): in whole
        # numbers, because 0.1 * 10 may be more than 1 in others.
        needed = -(-np.arange(levels) * total // (levels - 1))
        values[query] = highest[np.maximum(needed, 1) - 1]
    return values


def precision_recall_curve(
    ranks: RelevantRanks, groups: Groups, *, seed: int, levels: int = 101, rounds: int = ROUNDS,
    level: float = 0.95,
) -> Curve:  # fmt: skip
    """Mean over the queries of `interpolated_precision` at so many levels of recall.

    groups, seed, rounds, level: as for `curve`; level is of confidence.
    """
    values = interpolated_precision(ranks, levels)
    places = np.linspace(0, 1, levels)
    return curve(places, values, groups, seed=seed, rounds=rounds, level=level)


def hits_among_distractors(
    right: BoolArray, distractor: BoolArray, counts: Sequence[int], *, k: int, distractors: int,
    depth: npt.ArrayLike | None = None,
) -> FloatArray:  # fmt: skip
    """Chance of a hit at k of each query in a gallery with fewer distractors: (queries, n) float64.

    Of the gallery's distractors, as many as `counts` says stay, drawn at random; the mean over all
    possible draws is computed, not sampled. A query hits when fewer than k pictures stand ahead of
    its first right one: o others, which stay, and of d distractors as many as were drawn, which is
    hypergeometric. So the chance is P(X <= k - 1 - o), X ~ H(distractors, d, n). At n = distractors
    it is the hit rate at k of the ranking.

    That holds for rankings by a distance of two pictures. Query expansion, database augmentation,
    re-ranking by neighbours and an index trained on the gallery rank anew in a smaller gallery.

    right, distractor: (queries, answers) bool, what answer j of query i is, best first. counts:
    (n,) numbers of distractors, 0 to `distractors`, the number in the whole gallery. depth:
    (queries,) answers that a query really has, where rows are padded; all columns unless given.

    Raises CurveFault when a first right picture stands below the ranking and might be among the
    first k with fewer distractors: then the ranking has to be kept deeper.
    """
    answers = np.asarray(right.shape[1] if depth is None else depth)
    found = np.asarray(right.any(axis=1))
    first = np.where(found, right.argmax(axis=1), answers)
    ahead = np.arange(right.shape[1]) < first[:, None]
    drawn_from = (distractor & ahead).sum(axis=1)
    others = first - drawn_from
    unknown = ~found & (others < k)
    if unknown.any():
        raise CurveFault(
            f"{int(unknown.sum())} queries have no right picture in the ranking that was kept, but "
            f"might have one among the first {k} with fewer distractors: keep a deeper ranking"
        )
    drawn = np.asarray(counts, dtype=np.int64)
    if drawn_from.max(initial=0) > distractors or ((drawn < 0) | (drawn > distractors)).any():
        raise CurveFault(
            f"the gallery has {distractors} distractors: no fewer than 0 and no more can be drawn, "
            "nor be ranked"
        )
    spare = np.asarray(k - 1 - others)
    everything = max(distractors, 1)  # of none at all, SciPy has no distribution
    chances = hypergeom.cdf(spare[:, None], everything, drawn_from[:, None], drawn[None, :])
    return np.asarray(np.clip(np.where(found[:, None], chances, 0.0), 0.0, 1.0))
