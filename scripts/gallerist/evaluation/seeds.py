"""How sure a mean over several trainings is: over originals *and* seeds.

An experiment that is trained from several seeds answers the same queries with each, so its values
stand in a table of originals by seeds, both drawn by chance. The variance of its mean has a part of
the originals, which `bootstrap` knows, and a part of the seeds: that of the seeds' means, less what
chance among originals explains of it (analysis of variance of two crossed random effects:
Searle, Casella, McCulloch, Variance Components, 1992, 4.3). Each part alone gives an interval: BCa
over originals, and Student's t with one degree of freedom less than there are seeds, for three
seeds are few. Their half-widths are joined as the sides of a right angle (Howe, Approximate
Confidence Limits on the Mean of X + Y Where X and Y Are Two Tabled Independent Random Variables,
1974), side by side, so that a lopsided interval stays lopsided. Without variance of the seeds it is
the interval over originals alone.

Why no bootstrap of both: three seeds drawn from three vary too little by a third, and their
quantiles are no t. Drawing originals and seeds together (Owen, The Pigeonhole Bootstrap, 2007) also
counts the chance of a query with a seed some three times. `benchmarks/seeds.py` simulates both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gallerist.evaluation.bootstrap import Estimate, Groups
from gallerist.io.arrays import Floats, Integers

PRECISION = 1e-12
"""Relative, of a p-value that is searched."""


@dataclass(frozen=True)
class SeedVariance:
    """Of a mean over seeds, what the seeds contribute.

    observed: variance of the seeds' means, divided by their number. explained: how much of that
    chance among originals brings about, their interaction. seeds: how many there are.
    """

    observed: float
    explained: float
    seeds: int

    def squared_half_width(self, p: float) -> float:
        """Of the interval by seeds alone that leaves out `p`, beside one over originals.

        That of what is observed, less what chance among originals explains, which the other one
        has in it; 0 where that is all. The variance without bias, the difference, times Student's
        t, would cover the truth too seldom: its own chance is larger than t knows.
        """
        from scipy.special import ndtri, stdtrit

        if self.observed <= self.explained:
            return 0.0
        seeds, originals = float(stdtrit(self.seeds - 1, p / 2)), float(ndtri(p / 2))
        return seeds**2 * self.observed - originals**2 * self.explained


def seed_variance(columns: Sequence[Floats], groups: Groups) -> SeedVariance:
    """The seeds' part of the variance of a mean over queries and seeds.

    columns: of each seed, (queries,) float64 values. groups: (queries,) original of each query;
    there are two at least.
    """
    return _of_strata(np.stack(columns), _codes(groups), [None])


def macro_seed_variance(
    columns: Sequence[Floats], groups: Groups, labels: Sequence[str]
) -> SeedVariance:
    """The same of the mean over the classes of each class's mean.

    labels: (queries,) class of each, with two originals or more.
    """
    classes = np.unique(np.asarray(labels), return_inverse=True)[1]
    strata = [np.flatnonzero(classes == number) for number in range(classes.max() + 1)]
    return _of_strata(np.stack(columns), _codes(groups), strata)


def widened(
    estimate: Estimate, parts: Sequence[SeedVariance], confidence: float, *, signed: bool = False
) -> Estimate:
    """An interval over originals, widened by the seeds; as it is, where it has no ends.

    parts: of each experiment with several seeds. signed: of a difference, whose range is [-1, 1]
    and not [0, 1].
    """
    seeds = sum(each.squared_half_width(1 - confidence) for each in parts)
    if estimate.low is None or estimate.high is None or not seeds:
        return estimate
    mean, low, high = estimate.mean, estimate.low, estimate.high
    below = float(np.hypot(mean - low, np.sqrt(seeds)))
    above = float(np.hypot(high - mean, np.sqrt(seeds)))
    least = -1.0 if signed else 0.0
    return Estimate(mean, max(mean - below, least), min(mean + above, 1.0))


def two_way_p_value(difference: Floats, groups: Groups, parts: Sequence[SeedVariance]) -> float:
    """Two-sided p-value of a mean difference over originals and seeds: where `widened` loses 0.

    difference: (queries,) of the means over seeds. parts: as for `widened`. The originals' interval
    is that of Student's t here, and not BCa.
    """
    from scipy.optimize import brentq
    from scipy.special import stdtrit

    influence = _influence(difference[None], _codes(groups), None)[0]
    originals = len(influence)
    variance = float(influence.var(ddof=1)) / originals
    square = float(difference.mean()) ** 2

    def excess(log_p: float) -> float:
        p = float(np.exp(log_p))
        queries = float(stdtrit(originals - 1, p / 2)) ** 2 * variance
        return queries + sum(each.squared_half_width(p) for each in parts) - square

    least = np.log(1e-15)
    if square == 0:
        return 1.0
    if excess(least) <= 0:
        return float(np.exp(least))
    return float(np.exp(brentq(excess, least, 0.0, xtol=PRECISION)))


def _codes(groups: Groups) -> Integers:
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)


def _of_strata(values: Floats, codes: Integers, strata: Sequence[Integers | None]) -> SeedVariance:
    """values: (seeds, queries). codes: (queries,) originals. strata: queries of each; None: all."""
    seeds, weight = len(values), 1 / len(strata)
    means = np.zeros(seeds)
    explained = 0.0
    for rows in strata:
        means += weight * (values if rows is None else values[:, rows]).mean(axis=1)
        influence = _influence(values, codes, rows)
        originals = influence.shape[1]
        rest = influence - influence.mean(axis=0)
        square = (rest**2).sum() / ((originals - 1) * (seeds - 1))
        explained += weight**2 * square / originals
    return SeedVariance(float(means.var(ddof=1)) / seeds, float(explained) / seeds, seeds)


def _influence(values: Floats, codes: Integers, rows: Integers | None) -> Floats:
    """(seeds, originals) by how much each original moves a seed's mean, times their number.

    Their variance, divided by their number, is that of the mean (a ratio, where originals have
    different numbers of queries, linearised).
    """
    if rows is not None:
        values, codes = values[:, rows], np.unique(codes[rows], return_inverse=True)[1]
    sizes = np.bincount(codes).astype(np.float64)
    sums = np.stack([np.bincount(codes, weights=each) for each in values])
    centred = sums - values.mean(axis=1, keepdims=True) * sizes
    return np.asarray(centred * (len(sizes) / sizes.sum()))


def of_seeds(
    values: Sequence[Mapping[str, Floats]], groups: Groups, labels: Sequence[str] | None = None
) -> dict[str, SeedVariance]:
    """Metric -> its `SeedVariance`; of the mean over classes, where labels are given.

    values: of each seed, metric -> (queries,) values.
    """
    return {
        name: seed_variance(columns, groups)
        if labels is None
        else macro_seed_variance(columns, groups, labels)
        for name in values[0]
        for columns in [[each[name] for each in values]]
    }
