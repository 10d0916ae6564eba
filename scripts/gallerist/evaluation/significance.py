"""Is one experiment better than another? Paired tests on the same queries.

All are one test: were the two experiments alike, their names could be exchanged on any original
without changing the distribution. So the sign of each original's difference is flipped, and the
p-value (two-sided) is the share of all flips with a mean difference at least as large as was found.
An original is the group of all queries made from one picture: flipping copies one by one would take
them for independent, and find differences that are not there.

- Hits, one query an original: the exact McNemar test, a binomial test of the discordant queries
  (McNemar, Note on the Sampling Error of the Difference between Correlated Proportions, 1947). The
  conditional one, not mid-p: mid-p is less conservative but does not keep its level, and only the
  exact one is the sign-flip test that all other metrics get.
- Hits, several queries an original: all flips counted exactly, by adding up originals one by one.
- Other metrics: all flips up to 20 originals that differ, else as many random ones as are asked
  for, with (b + 1) / (m + 1), which is never 0 and keeps the level (Phipson, Smyth, Permutation
  p-values Should Never Be Zero, 2010).

Where one of the two is the mean over several trainings, the p-value is that of `seeds`, over
originals and seeds, and no less than the one over originals alone.

Sign-flip tests of retrieval metrics: Smucker, Allan, Carterette, A Comparison of Statistical
Significance Tests for Information Retrieval Evaluation (2007).
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from gallerist.evaluation.bootstrap import Estimate, Groups, IntervalSettings, mean_intervals
from gallerist.evaluation.scores import OtherQueries, Scores
from gallerist.evaluation.seeds import SeedVariance, two_way_p_value, widened
from gallerist.io.arrays import Floats, Integers
from gallerist.io.files import PathLike, write_csv

ROUNDS = 99_999
"""Random flips unless given: the smallest p-value is 0.00001, which 45 pairs leave below 0.001."""

ENUMERATED = 20
"""Originals that differ of which all flips are gone through: half a million."""

ADDITIONS = 200_000_000
"""Additions up to which flips of whole differences are counted exactly: a second."""

CHUNK_CELLS = 4_000_000
"""Signs held at once: 32 MB as float64."""

SAME = 1e-9
"""Sums nearer than this part of the largest possible one are equal but for rounding."""

COLUMNS = (
    *("metric", "first", "second", "difference", "low", "high"),
    *("first_ahead", "second_ahead", "p", "p_adjusted", "different", "test"),
    "training_left_out",
)

TWO_WAY = "t over originals and seeds"


@dataclass(frozen=True)
class PairedTest:
    """Two experiments among several, the first against the second.

    difference: mean of the first minus mean of the second, over the queries.
    ahead, behind: originals on which the first is better, and worse; on the others they are equal.
    p_value: two-sided. method: how it was found. adjusted: Holm's p-value over the whole family.
    """

    first: str
    second: str
    difference: float
    ahead: int
    behind: int
    p_value: float
    method: str
    adjusted: float


@dataclass(frozen=True)
class Difference:
    """Two experiments by one metric.

    pair: the test, with its p-value before and after Holm's correction over all pairs by this
    metric. interval: of the mean difference, first minus second.
    different: the adjusted p-value is at most 1 - confidence.
    trained_once: those of the two of which there is one training, so that the chance in it is in
    neither test nor interval.
    """

    metric: str
    pair: PairedTest
    interval: Estimate
    different: bool
    trained_once: tuple[str, ...] = ()


def all_pairs(
    values: Mapping[str, Floats],
    groups: Groups,
    *,
    seed: int,
    rounds: int = ROUNDS,
    variances: Mapping[str, SeedVariance] | None = None,
) -> list[PairedTest]:
    """Test every pair of experiments by one metric, in the order in which they are given.

    values: experiment -> (queries,) its metric, the same queries in the same order. groups:
    (queries,) the original that each query was made from, such as its source id. seed, rounds: of
    the random flips. variances: of the experiments that are means over several trainings. Hits get
    the exact McNemar test where every query is an original of its own, all others `sign_flip`. A
    pair's own p-value does not depend on which other experiments there are.

    The family of Holm's correction is all pairs by this one metric: the chance that any of them is
    called different while it is not stays below the level. Metrics are not added to it: they are
    views of the same answers. Whoever looks at several must say before which one decides.
    """
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    for experiment, column in values.items():
        if len(column) != len(codes) or not len(codes):
            raise ValueError(
                f"{experiment}: {len(column)} values and {len(codes)} groups do not belong together"
            )
        if not np.isfinite(column).all():
            raise ValueError(f"{experiment}: some values are not numbers")
    pairs = list(combinations(values, 2))
    if not pairs:
        return []
    columns = [np.bincount(codes, weights=values[one] - values[other]) for one, other in pairs]
    ahead, behind = ([int((sign * column > 0).sum()) for column in columns] for sign in (1, -1))
    single = len(names) == len(codes)
    hits = {name for name, each in values.items() if single and np.isin(each, (0, 1)).all()}
    p_values = list(map(mcnemar, ahead, behind))
    methods = ["exact McNemar"] * len(pairs)
    flipped = [place for place, pair in enumerate(pairs) if not hits.issuperset(pair)]
    if flipped:
        found = sign_flip(np.stack([columns[place] for place in flipped], axis=1), seed, rounds)
        for place, p_value, method in zip(flipped, *found, strict=True):
            p_values[place], methods[place] = p_value, method
    for place, pair in enumerate(pairs if len(names) > 1 else ()):
        if parts := [each for name in pair if (each := (variances or {}).get(name))]:
            difference = values[pair[0]] - values[pair[1]]
            two_way = two_way_p_value(difference, groups, parts)
            p_values[place], methods[place] = max(p_values[place], two_way), TWO_WAY
    means = [float(column.sum() / len(codes)) for column in columns]
    adjusted = holm(p_values).tolist()
    firsts, seconds = zip(*pairs, strict=True)
    fields = firsts, seconds, means, ahead, behind, map(float, p_values), methods, adjusted
    return [PairedTest(*each) for each in zip(*fields, strict=True)]


def mcnemar(ahead: int, behind: int) -> float:
    """The exact test's p-value: twice the chance that a fair coin falls so unevenly, at most 1."""
    tosses = ahead + behind
    tail = ways = 1
    for heads in range(1, min(ahead, behind) + 1):
        ways = ways * (tosses + 1 - heads) // heads
        tail += ways
    return min(1.0, tail / 2 ** (tosses - 1)) if tosses else 1.0


def sign_flip(differences: Floats, seed: int, rounds: int) -> tuple[list[float], list[str]]:
    """(pairs,) p-values of (originals, pairs) summed differences, and how each was found.

    seed, rounds: of the random flips, where there are too many originals to go through all.
    """
    p_values = np.ones(differences.shape[1])
    methods = []
    sampled = []
    for pair, column in enumerate(differences.T):
        steps = np.abs(column[column != 0])
        if (steps == np.rint(steps)).all() and len(steps) * 2 * steps.sum() <= ADDITIONS:
            p_values[pair] = _counted(steps.astype(np.int64), round(abs(column.sum())))
            methods.append("exact sign flip")
        elif len(steps) <= ENUMERATED:
            p_values[pair] = _enumerated(steps, abs(float(column.sum())))
            methods.append("exact sign flip")
        else:
            sampled.append(pair)
            methods.append(f"sign flip, {rounds} rounds")
    if sampled:
        p_values[sampled] = _random(differences[:, sampled], seed, rounds)
    return p_values.tolist(), methods


def holm(p_values: npt.ArrayLike) -> Floats:
    """Adjust the p-values of one family, in their order, so that each can be held to the level.

    Holm, A Simple Sequentially Rejective Multiple Test Procedure (1979): the i-th smallest of n
    times n - i + 1, at least the one before it, at most 1. Holds however the tests depend on each
    other, and rejects whatever Bonferroni's does.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("p-values are between 0 and 1")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def find_differences(
    scores: Mapping[str, Scores], settings: IntervalSettings, trained_once: Container[str] = ()
) -> list[Difference]:
    """Test every pair of experiments by every metric that all of them have.

    scores: experiment -> its values by query. trained_once: experiments of which there is one
    training. Raises OtherQueries, naming two experiments, when they are not of the same queries in
    the same order.
    """
    (name, first), *others = scores.items()
    for other, each in others:
        if each.queries != first.queries:
            raise OtherQueries(f"{name} and {other} were not evaluated on the same queries")
    tests: list[tuple[str, PairedTest]] = []
    differences, variances = {}, _variances(scores)
    for metric in first.values:
        if all(metric in each.values for _, each in others):
            values = {name: each.values[metric] for name, each in scores.items()}
            seeds = {name: each[metric] for name, each in variances.items()}
            found_pairs = all_pairs(values, first.originals, seed=settings.seed, variances=seeds)
            for pair in found_pairs:
                differences[str(len(tests))] = values[pair.first] - values[pair.second]
                tests.append((metric, pair))
    intervals: Mapping[str, Estimate] = {}
    if tests and len(set(first.originals)) > 1:  # all at once: the same samples serve them
        intervals = mean_intervals(differences, first.originals, settings, signed=True)
    found = []
    for n, (metric, pair) in enumerate(tests):
        # Not against 1 - confidence, which is less than 0.1 for a confidence of 0.9.
        different = pair.adjusted + settings.confidence <= 1
        interval = intervals.get(str(n), Estimate(pair.difference))
        names = pair.first, pair.second
        parts = [variances[name][metric] for name in names if name in variances]
        interval = widened(interval, parts, settings.confidence, signed=True)
        once = tuple(name for name in names if name in trained_once)
        found.append(Difference(metric, pair, interval, different, once))
    return found


def _variances(scores: Mapping[str, Scores]) -> dict[str, dict[str, SeedVariance]]:
    """Experiment -> metric -> what its seeds contribute, of those that have several."""
    found = {name: each.seed_variances() for name, each in scores.items() if each.seeds}
    return {name: each for name, each in found.items() if each}


def better_than(found: Sequence[Difference], metric: str) -> dict[str, list[str]]:
    """Experiment -> those that it really surpasses by the metric that decides."""
    surpassed: dict[str, list[str]] = {}
    for each in found:
        if each.metric == metric and each.different:
            names = each.pair.first, each.pair.second
            better, worse = names if each.pair.difference > 0 else names[::-1]
            surpassed.setdefault(better, []).append(worse)
    return surpassed


def write_differences(path: PathLike, found: Sequence[Difference]) -> None:
    """Write a row a difference as CSV; first_ahead: originals on which the first is better."""
    write_csv(path, COLUMNS, map(_row, found))


def _counted(steps: Integers, found: int) -> float:
    """Probability that the sum of +-steps is at least as far from 0 as `found`, for whole steps."""
    reach = int(steps.sum())
    chances = np.zeros(2 * reach + 1)
    chances[reach] = 1.0
    for step in steps.tolist():
        flipped = np.zeros_like(chances)
        flipped[step:] = chances[:-step] / 2
        flipped[:-step] += chances[step:] / 2
        chances = flipped
    sums = np.abs(np.arange(-reach, reach + 1))
    return min(1.0, float(chances[sums >= found].sum()))


def _enumerated(steps: Floats, found: float) -> float:
    """Likewise for any steps, of which there are few: all sums, but for the sign of all at once."""
    sums = steps[:1]
    for step in steps[1:]:
        sums = np.concatenate([sums + step, sums - step])
    return float((np.abs(sums) >= found - SAME * steps.sum()).mean())


def _random(differences: Floats, seed: int, rounds: int) -> Floats:
    """(pairs,) (b + 1) / (m + 1), b of m random flips being at least as far from 0 as was found.

    The same flips serve all pairs.
    """
    if rounds < 1:
        raise ValueError(f"{rounds} rounds; there is at least 1")
    originals, pairs = differences.shape
    total = differences.sum(axis=0)
    bar = np.abs(total) - SAME * np.abs(differences).sum(axis=0)
    generator = np.random.default_rng(seed)
    as_far = np.zeros(pairs, dtype=np.int64)
    step = max(1, CHUNK_CELLS // originals)
    for start in range(0, rounds, step):
        count = min(step, rounds - start)
        # Whole words, so that the flips do not depend on how many are held at once.
        words = generator.integers(1 << 64, size=(count, -(-originals // 64)), dtype=np.uint64)
        octets = words.astype("<u8").view(np.uint8)
        kept = np.unpackbits(octets, axis=1, count=originals).astype(np.float64)
        # The sum with signs is twice that of those kept, less that of all.
        as_far += np.count_nonzero(np.abs(2 * (kept @ differences) - total) >= bar, axis=0)
    return np.asarray((as_far + 1) / (rounds + 1))


def _row(each: Difference) -> tuple[object, ...]:
    pair, interval = each.pair, each.interval
    ends = ("" if end is None else f"{end:.4f}" for end in (interval.low, interval.high))
    return (
        *(each.metric, pair.first, pair.second),
        *(f"{pair.difference:.4f}", *ends, pair.ahead, pair.behind),
        *(f"{pair.p_value:.3g}", f"{pair.adjusted:.3g}"),
        *("yes" if each.different else "no", pair.method),
        " ".join(each.trained_once),
    )
