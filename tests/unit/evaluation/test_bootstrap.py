"""Intervals: their coverage on simulated data, against SciPy, and what they refuse."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.evaluation import bootstrap
from gallerist.evaluation.bootstrap import (
    IntervalSettings,
    macro_mean_intervals,
    mean_intervals,
)

DRAWN, FEW = IntervalSettings(1), IntervalSettings(1, 1000)
REPLICATIONS = 3000


def correlated_hits(originals, copies, rate, seed):
    """Replication -> hits of the copies of originals, and the original of each.

    An original's copies have one rate, Beta distributed around `rate`; correlation within .6.
    """
    rng = np.random.default_rng(seed)
    spread = 1 / 0.6 - 1
    rates = rng.beta(rate * spread, (1 - rate) * spread, (REPLICATIONS, originals))
    hits = rng.random((REPLICATIONS, originals * copies)) < np.repeat(rates, copies, axis=1)
    values = {f"{number}": row for number, row in enumerate(hits.astype(float))}
    return values, np.repeat(np.arange(originals), copies)


def coverage(intervals, truth):
    """Share of the intervals with the truth inside, with it below, with it above."""
    below = np.mean([truth < each.low for each in intervals.values()])
    above = np.mean([truth > each.high for each in intervals.values()])
    return 1 - below - above, below, above


@pytest.mark.parametrize(
    ("originals", "copies", "rate"), [(100, 6, 0.5), (100, 6, 0.95), (300, 3, 0.8), (200, 1, 0.9)]
)
def test_95_percent_intervals_cover_the_truth_in_95_percent_of_simulations(originals, copies, rate):
    values, groups = correlated_hits(originals, copies, rate, seed=5)
    covered, below, above = coverage(mean_intervals(values, groups, FEW), rate)
    assert 0.93 <= covered <= 0.97
    assert below <= 0.05
    assert above <= 0.05


def test_taking_copies_for_independent_queries_covers_far_less():
    values, groups = correlated_hits(100, 6, 0.5, seed=5)
    some = dict(list(values.items())[:500])
    covered, *_ = coverage(mean_intervals(some, np.arange(len(groups)), FEW), 0.5)
    assert covered < 0.8


def test_intervals_of_differences_cover_the_truth():
    first, groups = correlated_hits(150, 3, 0.8, seed=6)
    second, _ = correlated_hits(150, 3, 0.7, seed=7)
    differences = {name: first[name] - second[name] for name in first}
    found = mean_intervals(differences, groups, FEW, signed=True)
    assert 0.93 <= coverage(found, 0.1)[0] <= 0.97


def test_intervals_of_the_macro_mean_cover_the_truth():
    """Two classes of different size and rate: the mean over queries is another figure."""
    large, _ = correlated_hits(120, 2, 0.7, seed=8)
    small, _ = correlated_hits(40, 2, 0.9, seed=9)
    values = {name: np.concatenate([large[name], small[name]]) for name in large}
    groups = np.repeat(np.arange(160), 2)
    labels = ["large"] * 240 + ["small"] * 80
    found = macro_mean_intervals(values, groups, labels, FEW)
    covered, *_ = coverage(found, (0.7 + 0.9) / 2)
    assert 0.93 <= covered <= 0.97
    assert coverage(mean_intervals(values, groups, FEW), 0.8)[0] < 0.8


def test_the_interval_is_scipys_bca_of_a_ratio_of_sums():
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 7, 60)
    groups = np.repeat(np.arange(60), sizes)
    values = {
        "hit rate@1": (rng.random(len(groups)) < rng.beta(3, 0.6, 60)[groups]).astype(float),
        "mAP": np.clip(rng.beta(3, 1, 60)[groups] + rng.normal(0, 0.1, len(groups)), 0, 1),
    }
    found = mean_intervals(values, groups, IntervalSettings(1, 40_000))
    for name, column in values.items():
        theirs = scipy.stats.bootstrap(
            (np.bincount(groups, weights=column), sizes.astype(float)),
            lambda sums, counts, axis=-1: sums.sum(axis) / counts.sum(axis),
            paired=True, vectorized=True, n_resamples=20_000, batch=2000, method="BCa",
            rng=np.random.default_rng(2),
        ).confidence_interval  # fmt: skip
        mine = found[name]
        assert mine.mean == pytest.approx(column.mean())
        tolerance = 0.03 * (mine.high - mine.low)
        assert (mine.low, mine.high) == pytest.approx(tuple(theirs), abs=tolerance)


def test_the_macro_interval_has_the_width_of_independent_class_means():
    """Against the normal interval, from the unbiased variance within each class."""
    rng = np.random.default_rng(4)
    labels = np.repeat(["a", "b", "c"], [80, 20, 5])
    values = rng.beta(4, 4, 105)
    found = macro_mean_intervals({"mAP": values}, np.arange(105), labels, DRAWN)["mAP"]
    parts = [values[labels == name] for name in "abc"]
    error = math.sqrt(sum(part.var(ddof=1) / len(part) for part in parts)) / 3
    assert found.mean == pytest.approx(np.mean([part.mean() for part in parts]))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_without_copies_every_query_is_drawn_by_itself():
    values = {"mAP": np.random.default_rng(1).random(500)}
    found = mean_intervals(values, [f"q{row}" for row in range(500)], DRAWN)["mAP"]
    error = values["mAP"].std(ddof=1) / math.sqrt(500)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_copies_that_say_the_same_do_not_narrow_the_interval():
    values = np.random.default_rng(1).random(50)
    once = mean_intervals({"mAP": values}, np.arange(50), DRAWN)["mAP"]
    copied = mean_intervals({"mAP": values.repeat(6)}, np.arange(50).repeat(6), DRAWN)["mAP"]
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))


@pytest.mark.parametrize(("value", "ends"), [(1.0, (0.025**0.02, 1)), (0.0, (0, 1 - 0.025**0.02))])
def test_where_all_hit_or_all_miss_the_interval_is_clopper_and_pearsons(value, ends):
    values = {"hit rate@10": np.full(100, value)}
    groups = np.arange(50).repeat(2)
    found = mean_intervals(values, groups, DRAWN)["hit rate@10"]
    theirs = scipy.stats.binomtest(int(50 * value), 50).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == pytest.approx(tuple(theirs))
    assert (found.low, found.high) == pytest.approx(ends)
    assert found.mean == value
    labels = ["a"] * 60 + ["b"] * 40  # 30 and 20 originals: as wide as with 2 classes of 20
    macro = macro_mean_intervals(values, groups, labels, DRAWN)["hit rate@10"]
    theirs = scipy.stats.binomtest(int(40 * value), 40).proportion_ci(0.95, "exact")
    assert (macro.low, macro.high) == pytest.approx(tuple(theirs))


def test_equal_values_otherwise_leave_no_width():
    found = mean_intervals({"mAP": np.full(6, 0.25)}, np.arange(6), DRAWN)["mAP"]
    assert (found.low, found.high) == (0.25, 0.25)
    [none] = mean_intervals({"top-1": np.zeros(6)}, np.arange(6), DRAWN, signed=True).values()
    assert (none.mean, none.low, none.high) == (0, 0, 0)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([0.0, 0.25, 1.0])),
        min_size=2,
        max_size=30,
    ).filter(lambda rows: len({group for group, _ in rows}) > 1),
    st.integers(0, 2**32),
)
def test_every_interval_lies_in_0_to_1_and_a_higher_level_is_wider(rows, seed):
    groups = [group for group, _ in rows]
    values = {"mAP": np.array([each for _, each in rows])}
    narrow, wide = (
        mean_intervals(values, groups, IntervalSettings(seed, 200, level))["mAP"]
        for level in (0.5, 0.95)
    )
    assert 0 <= wide.low <= narrow.low <= narrow.high <= wide.high <= 1
    assert wide.mean == narrow.mean == pytest.approx(values["mAP"].mean())
    assert wide.low <= wide.mean + 1e-12
    assert wide.mean <= wide.high + 1e-12


def close(one, other):
    """Whether two sets of intervals are equal but for rounding."""
    return list(one) == list(other) and all(
        dataclasses.astuple(one[name])[:3] == pytest.approx(dataclasses.astuple(other[name])[:3])
        for name in one
    )


def test_the_interval_depends_on_the_seed_alone(monkeypatch):
    rng = np.random.default_rng(1)
    groups = np.array([f"original{number:03d}" for number in rng.integers(80, size=300)])
    values = {"mAP": rng.random(300), "hit rate@1": (rng.random(300) < 0.9).astype(float)}
    labels = np.array(["cat", "dog"])[[int(group[-1]) % 2 for group in groups]]
    found = mean_intervals(values, groups, DRAWN)
    macro = macro_mean_intervals(values, groups, labels, DRAWN)
    assert not close(found, mean_intervals(values, groups, IntervalSettings(2)))
    order = rng.permutation(300)
    turned = {name: column[order] for name, column in values.items()}
    assert close(found, mean_intervals(turned, groups[order], DRAWN))
    assert close(macro, macro_mean_intervals(turned, groups[order], labels[order], DRAWN))
    alone = mean_intervals({"mAP": values["mAP"]}, groups, DRAWN)
    assert close(alone, {"mAP": found["mAP"]})
    monkeypatch.setattr(bootstrap, "CHUNK_CELLS", 777)
    assert close(found, mean_intervals(values, groups, DRAWN))
    assert close(macro, macro_mean_intervals(values, groups, labels, DRAWN))


def test_a_paired_difference_is_narrower_than_the_two_rates():
    rng = np.random.default_rng(1)
    hard = rng.random(200)
    first, second = {"mAP": hard}, {"mAP": np.clip(hard - 0.02 * rng.random(200), 0, 1)}
    differences = {"mAP": first["mAP"] - second["mAP"]}
    found = mean_intervals(differences, np.arange(200), DRAWN, signed=True)["mAP"]
    assert 0 < found.low < found.mean < found.high < 0.015
    rates = [mean_intervals(each, np.arange(200), DRAWN)["mAP"] for each in (first, second)]
    assert rates[0].low < rates[1].high


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_intervals({"m": np.ones(3)}, ["a"] * 3, DRAWN), "two originals, not 1"),
        (lambda: mean_intervals({"m": np.ones(3)}, ["a", "b"], DRAWN), "m: 3 values and 2 groups"),
        (lambda: mean_intervals({"m": np.ones(0)}, [], DRAWN), "m: no query was evaluated"),
        (
            lambda: mean_intervals({"m": np.array([1, np.nan])}, list("ab"), DRAWN),
            "between 0 and 1",
        ),
        (lambda: mean_intervals({"m": np.array([1, 1.1])}, list("ab"), DRAWN), "between 0 and 1"),
        (
            lambda: mean_intervals({"m": np.ones(2)}, list("ab"), IntervalSettings(1, 10)),
            "10 rounds are too",
        ),
        (
            lambda: mean_intervals({"m": np.ones(2)}, list("ab"), IntervalSettings(1, 1000, 95)),
            "confidence of 95",
        ),
        (
            lambda: macro_mean_intervals({"m": np.ones(3)}, list("abc"), list("xxy"), DRAWN),
            "class y has a single original",
        ),
        (
            lambda: macro_mean_intervals({"m": np.ones(4)}, list("aabb"), list("xyxy"), DRAWN),
            "made from a are of more than one class",
        ),
        (
            lambda: macro_mean_intervals({"m": np.ones(2)}, list("ab"), list("x"), DRAWN),
            "2 groups and 1 labels",
        ),
    ],
)
def test_what_has_no_interval_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
