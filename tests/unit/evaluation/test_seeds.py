"""Intervals over originals and seeds: against an analysis of variance, and what they cover."""

import numpy as np
import pytest
from benchmarks.seeds import World, simulated
from scipy.stats import norm as normal
from scipy.stats import t as student

from gallerist.evaluation.bootstrap import Estimate, IntervalSettings
from gallerist.evaluation.scores import OtherQueries, Scores, mean_over_seeds
from gallerist.evaluation.seeds import (
    SeedVariance,
    macro_seed_variance,
    seed_variance,
    two_way_p_value,
    widened,
)
from gallerist.evaluation.significance import TWO_WAY, find_differences

DRAWN = IntervalSettings(3, 500)


def table(seeds, queries, by_seed=0.1, seed=0):
    """(seeds, queries) values with effects of both."""
    random = np.random.default_rng(seed)
    effects = 0.1 * random.normal(size=queries) + by_seed * random.normal(size=(seeds, 1))
    return 0.5 + np.clip(effects + 0.1 * random.normal(size=(seeds, queries)), -0.5, 0.5)


def scored(values, originals=None, labels=None):
    """The scores of one training by the metric x."""
    count = len(values)
    names = tuple(f"q{n}" for n in range(count))
    return Scores(
        names, tuple(labels or ["c"] * count), tuple(originals or names), {"x": values}, {}
    )


def mean_squares(values):
    """Of seeds and of the rest, of a table of one value a cell: sums of squares as in textbooks."""
    seeds, queries = values.shape
    grand = values.mean()
    of_seed, of_query = values.mean(axis=1), values.mean(axis=0)
    rest = values - of_seed[:, None] - of_query[None] + grand
    return (
        queries * ((of_seed - grand) ** 2).sum() / (seeds - 1),
        (rest**2).sum() / ((seeds - 1) * (queries - 1)),
    )


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_variance_by_seeds_is_that_of_an_analysis_of_variance(seeds):
    values = table(seeds, 40)
    between, rest = mean_squares(values)
    found = seed_variance([*values], np.arange(40))
    assert found.observed == pytest.approx(between / (seeds * 40))
    assert found.explained == pytest.approx(rest / (seeds * 40))
    expected = student.ppf(0.975, seeds - 1) ** 2 * found.observed
    expected -= normal.ppf(0.975) ** 2 * found.explained
    assert found.squared_half_width(0.05) == pytest.approx(expected)


def test_copies_of_one_original_count_as_one():
    values = table(3, 20)
    once = seed_variance([*values], np.arange(20))
    copied = seed_variance([*np.repeat(values, 6, axis=1)], np.repeat(np.arange(20), 6))
    assert copied.observed == pytest.approx(once.observed)
    assert copied.explained == pytest.approx(once.explained)


def test_the_mean_over_equal_classes_has_the_variance_of_the_mean_over_queries():
    """But for the degrees of freedom: each class has its own mean."""
    values, labels = table(3, 400), ["a", "b"] * 200
    found = macro_seed_variance([*values], np.arange(400), labels)
    plain = seed_variance([*values], np.arange(400))
    assert found.observed == pytest.approx(plain.observed)
    assert found.explained == pytest.approx(plain.explained, rel=0.02)


def test_less_spread_than_chance_among_originals_brings_about_is_none():
    found = SeedVariance(observed=0.1, explained=0.2, seeds=3)
    assert found.squared_half_width(0.05) == 0


def by_seeds(observed):
    """Of three seeds, where chance among originals explains nothing of it."""
    return SeedVariance(observed, 0.0, 3)


def test_half_widths_are_the_sides_of_a_right_angle():
    seeds = student.ppf(0.975, 2) * 0.02
    found = widened(Estimate(0.8, 0.7, 0.85), [by_seeds(0.02**2)], 0.95)
    assert found.low == pytest.approx(0.8 - np.hypot(0.1, seeds))
    assert found.high == pytest.approx(0.8 + np.hypot(0.05, seeds))
    assert widened(Estimate(0.8, 0.7, 0.85), [by_seeds(0.5)], 0.95) == Estimate(0.8, 0.0, 1.0)
    assert widened(Estimate(0.1, 0.0, 0.2), [by_seeds(0.5)], 0.95, signed=True).low == -1
    for same in (Estimate(0.8), Estimate(0.8, 0.7, 0.85)):
        assert widened(same, [by_seeds(0.0)], 0.95) == same


def test_the_p_value_is_the_level_at_which_the_interval_loses_0():
    random = np.random.default_rng(2)
    difference = random.normal(0.05, 0.2, 50)
    p = two_way_p_value(difference, np.arange(50), [by_seeds(0.001)])
    queries = difference.var(ddof=1) / 50
    half = student.ppf(1 - p / 2, 49) ** 2 * queries + student.ppf(1 - p / 2, 2) ** 2 * 0.001
    assert difference.mean() ** 2 == pytest.approx(half, rel=1e-6)
    assert two_way_p_value(np.zeros(9), np.arange(9), [by_seeds(0.1)]) == 1
    assert two_way_p_value(np.ones(9), np.arange(9), [by_seeds(0.0)]) <= 1e-12


def test_trainings_that_agree_are_one_training():
    values = table(1, 60)[0]
    one = scored(values)
    three = mean_over_seeds([one, one, one])
    assert three.overall(DRAWN) == pytest.approx(one.overall(DRAWN))
    assert mean_over_seeds([one]) is one


def test_seeds_widen_the_interval_of_mean_macro_mean_and_classes():
    values, labels = table(3, 80, by_seed=0.05), ["a", "b"] * 40
    three = mean_over_seeds([scored(each, labels=labels) for each in values])
    alone = scored(values.mean(axis=0), labels=labels)
    for wide, narrow in (
        (three.overall(DRAWN), alone.overall(DRAWN)),
        (three.macro(DRAWN), alone.macro(DRAWN)),
        *(
            (one.overall(DRAWN), other.overall(DRAWN))
            for (_, one), (_, other) in zip(three.of_classes(), alone.of_classes(), strict=True)
        ),
    ):
        assert wide["x"].mean == pytest.approx(narrow["x"].mean)
        assert wide["x"].low < narrow["x"].low
        assert wide["x"].high > narrow["x"].high


def test_a_difference_that_another_seed_would_turn_is_none():
    """One seed of three is far better: over queries alone the mean is ahead of the other."""
    random = np.random.default_rng(4)
    base = random.random(80) / 2
    three = mean_over_seeds([scored(base + lead) for lead in (0.3, 0.0, 0.01)])
    alone = scored(base + 0.31 / 3)
    other = scored(base + 0.01 * random.random(80))
    (without,) = find_differences({"a": alone, "b": other}, DRAWN, {"a", "b"})
    (seeds,) = find_differences({"a": three, "b": other}, DRAWN, {"b"})
    assert without.different
    assert without.trained_once == ("a", "b")
    assert not seeds.different
    assert seeds.trained_once == ("b",)
    assert seeds.pair.method == TWO_WAY
    assert seeds.interval.low < 0 < without.interval.low


def test_trainings_of_other_queries_are_refused_and_metrics_of_one_alone_left_out():
    one = scored(np.ones(3))
    with pytest.raises(OtherQueries, match="not evaluated on the same queries"):
        mean_over_seeds([one, scored(np.ones(4))])
    more = Scores(one.queries, one.labels, one.originals, {"x": np.zeros(3), "y": np.ones(3)}, {})
    both = mean_over_seeds([more, one])
    assert {name: each.tolist() for name, each in both.values.items()} == {"x": [0.5] * 3}


@pytest.mark.parametrize(
    "world", [World(True, 0.55, 3, 1.0), World(False, 0.45, 3, 0.3)], ids=["hits", "AP"]
)
def test_95_percent_intervals_cover_the_truth_and_the_test_keeps_its_level(world):
    """400 simulations; docs/evaluation.md has the figures of 2,000."""
    found = simulated(world, 400, seed=11)
    assert 0.93 <= found["covered"] <= 0.985
    assert found["by queries alone"] < found["covered"]
    assert found["level"] <= 0.055
    assert found["level, against one untrained"] <= 0.055
