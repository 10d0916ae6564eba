"""Paired tests: hand-worked, against SciPy, and uniform p-values where there is no difference."""

import csv
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control

from gallerist.evaluation import significance as paired_tests
from gallerist.evaluation.bootstrap import IntervalSettings, mean_intervals
from gallerist.evaluation.scores import Scores
from gallerist.evaluation.significance import (
    COLUMNS,
    OtherQueries,
    PairedTest,
    all_pairs,
    better_than,
    find_differences,
    holm,
    sign_flip,
    write_differences,
)

halves = st.integers(-4, 4).map(lambda number: number / 2)


def by_hand(sums):
    """The share of all sign flips with a sum as far from 0, in exact fractions."""
    sums = [Fraction(each) for each in sums]
    flips = [
        abs(sum(sign * each for sign, each in zip(signs, sums, strict=True)))
        for signs in product((1, -1), repeat=len(sums))
    ]
    return sum(flip >= abs(sum(sums)) for flip in flips) / len(flips)


def of_differences(differences, groups=None, rounds=99_999):
    """The p-value and the method of the sign-flip test of queries' differences."""
    sums = np.asarray(differences, dtype=float)
    if groups is not None:
        sums = np.bincount(groups, weights=sums)
    return tuple(each[0] for each in sign_flip(sums[:, None], 1, rounds))


def of_two(first, second, groups=None, **settings):
    """The test of two experiments."""
    two = {"first": np.array(first, dtype=float), "second": np.array(second, dtype=float)}
    chosen = np.arange(len(two["first"])) if groups is None else groups
    [test] = all_pairs(two, chosen, **{"seed": 5, **settings})
    return test


def test_mcnemar_of_a_worked_case():
    """Nine discordant queries, one against eight: 2 (1 + 9) / 2^9."""
    first = [1] * 8 + [0] + [1] * 5 + [0] * 6
    second = [0] * 8 + [1] + [1] * 5 + [0] * 6
    test = of_two(first, second)
    assert test.p_value == pytest.approx(20 / 512)
    assert (test.ahead, test.behind) == (8, 1)
    assert test.difference == pytest.approx(7 / 20)
    assert of_two(second, first).p_value == test.p_value
    assert of_two(first, first).p_value == 1
    assert test.method == "exact McNemar"


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 20))
def test_the_sign_flip_test_of_hits_is_the_exact_mcnemar_test(ahead, behind, alike):
    if ahead + behind + alike == 0:
        alike = 1
    first = np.array([1.0] * ahead + [0.0] * behind + [1.0] * alike)
    second = np.array([0.0] * ahead + [1.0] * behind + [1.0] * alike)
    p_value, method = of_differences(first - second)
    exact = of_two(first, second)
    assert p_value == pytest.approx(exact.p_value, rel=1e-9)
    assert (method, exact.method) == ("exact sign flip", "exact McNemar")
    assert (exact.ahead, exact.behind) == (ahead, behind)
    if ahead + behind:
        theirs = scipy.stats.binomtest(ahead, ahead + behind).pvalue
        assert exact.p_value == pytest.approx(theirs)


def test_the_sign_flip_test_of_a_worked_case():
    """All eight sums of 3, 2 and 1 (in tenths): only 6 and -6 are as far as 6."""
    assert of_differences([0.3, 0.2, 0.1])[0] == 2 / 8
    assert of_differences([0.3, 0.2, -0.1])[0] == 4 / 8  # 6, 4, -4, -6
    assert of_differences([0.3, -0.2, -0.1])[0] == 1
    assert of_differences([0.0, 0.0])[0] == 1


@settings(deadline=None)
@given(st.lists(halves, min_size=1, max_size=9))
def test_few_originals_get_all_their_flips(differences):
    assert of_differences(differences)[0] == pytest.approx(by_hand(differences))


@settings(deadline=None)
@given(st.lists(st.integers(-6, 6), min_size=1, max_size=9))
def test_whole_differences_are_counted_without_enumeration(differences):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paired_tests, "ENUMERATED", -1)
        p_value, method = of_differences(differences)
    assert method == "exact sign flip"
    assert p_value == pytest.approx(by_hand(differences))


def test_hits_of_copies_get_an_exact_test_however_many():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(400), 6)
    hard = rng.random(400)[groups]
    first, second = ((rng.random(2400) < hard + shift).astype(float) for shift in (0.02, 0.0))
    test = of_two(first, second, groups)
    assert test.method == "exact sign flip"
    sums = np.bincount(groups, weights=first - second)
    theirs = scipy.stats.permutation_test(
        (sums,), lambda column, axis: column.sum(axis), permutation_type="samples",
        n_resamples=20_000, vectorized=True, batch=2000, rng=np.random.default_rng(2),
    )  # fmt: skip
    assert test.p_value == pytest.approx(theirs.pvalue, abs=0.015)
    assert 0.01 < test.p_value < 0.99


def test_all_flips_of_real_differences_equal_scipys():
    rng = np.random.default_rng(2)
    for count in (2, 5, 9, 12):
        differences = rng.normal(0.3, 1, count)
        theirs = scipy.stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        p_value, method = of_differences(differences)
        assert method == "exact sign flip"
        assert p_value == pytest.approx(theirs.pvalue, rel=1e-9)


def test_random_flips_agree_with_all_flips(monkeypatch):
    differences = np.random.default_rng(3).normal(0.35, 1, 19)
    exact, _ = of_differences(differences)
    monkeypatch.setattr(paired_tests, "ENUMERATED", 0)
    drawn, method = of_differences(differences, rounds=200_000)
    assert method == "sign flip, 200000 rounds"
    assert 0.05 < exact < 0.5
    assert drawn == pytest.approx(exact, abs=4 * (0.25 / 200_000) ** 0.5)


def test_many_originals_get_random_flips_and_never_a_p_value_of_zero():
    p_value, _ = of_differences(np.random.default_rng(1).normal(3, 1, 300), rounds=999)
    assert p_value == 1 / 1000


def test_random_flips_equal_students_t_where_that_is_right():
    differences = np.random.default_rng(4).normal(0.08, 1, 1000)
    theirs = scipy.stats.ttest_1samp(differences, 0).pvalue
    assert of_differences(differences)[0] == pytest.approx(theirs, abs=0.005)


def null_p_values(method, originals, replications):
    """p-values of experiments that are alike, three correlated queries an original."""
    rng = np.random.default_rng(11)
    groups = np.repeat(np.arange(originals), 3)
    for _ in range(replications):
        shared = rng.normal(0, 1, originals)[groups]
        yield method(shared + rng.normal(0, 0.5, len(groups)), groups)


def test_p_values_are_uniform_where_there_is_no_difference():
    def clustered(differences, groups):
        return of_differences(differences, groups, rounds=499)[0]

    values = list(null_p_values(clustered, 60, 2000))
    assert scipy.stats.kstest(values, "uniform").pvalue > 0.01
    assert np.mean(np.array(values) <= 0.05) == pytest.approx(0.05, abs=0.015)


def test_flipping_copies_one_by_one_finds_differences_that_are_not_there():
    def careless(differences, groups):
        return of_differences(differences, rounds=499)[0]

    values = np.array(list(null_p_values(careless, 60, 400)))
    assert np.mean(values <= 0.05) > 0.15


@pytest.mark.parametrize("copies", [1, 4])
def test_exact_tests_keep_their_level_where_there_is_no_difference(copies):
    rng = np.random.default_rng(12)
    groups = np.repeat(np.arange(40), copies)
    values = []
    for _ in range(1500):
        hard = rng.beta(2, 1, 40)[groups]
        first, second = ((rng.random(len(groups)) < hard).astype(float) for _ in range(2))
        values.append(all_pairs({"a": first, "b": second}, groups, seed=1)[0].p_value)
    for level in (0.01, 0.05, 0.2, 0.5):
        error = (level * (1 - level) / 1500) ** 0.5
        assert np.mean(np.array(values) <= level) <= level + 3 * error


def experiments(count=4, queries=120, seed=1):
    rng = np.random.default_rng(seed)
    hard = rng.random(queries)
    return {
        f"e{number}": np.clip(hard + 0.02 * number + rng.normal(0, 0.15, queries), 0, 1)
        for number in range(count)
    }


def test_all_pairs_are_those_of_single_tests_in_order():
    values = experiments()
    groups = np.arange(120) // 2
    found = all_pairs(values, groups, seed=5, rounds=2000)
    assert [(pair.first, pair.second) for pair in found] == [
        ("e0", "e1"), ("e0", "e2"), ("e0", "e3"), ("e1", "e2"), ("e1", "e3"), ("e2", "e3"),
    ]  # fmt: skip
    for pair in found:
        alone = of_two(values[pair.first], values[pair.second], groups, rounds=2000)
        assert (pair.p_value, pair.ahead, pair.method) == (
            alone.p_value, alone.ahead, alone.method,
        )  # fmt: skip
        expected = (values[pair.first] - values[pair.second]).mean()
        assert pair.difference == pytest.approx(expected)
    adjusted = holm([pair.p_value for pair in found])
    assert [pair.adjusted for pair in found] == adjusted.tolist()


def test_a_further_experiment_changes_no_p_value_but_the_adjusted_ones():
    values = experiments()
    few = dict(list(values.items())[:3])
    groups = np.arange(120)
    before, after = (
        {(pair.first, pair.second): pair for pair in all_pairs(each, groups, seed=5, rounds=500)}
        for each in (few, values)
    )
    assert all(
        replace(after[names], adjusted=pair.adjusted) == pair for names, pair in before.items()
    )
    assert all(after[names].adjusted >= pair.adjusted for names, pair in before.items())


def test_hits_get_mcnemars_test_only_where_every_query_is_an_original():
    hits = {name: (column > 0.5).astype(float) for name, column in experiments(3).items()}
    single = all_pairs(hits, [f"q{row}" for row in range(120)], seed=1)
    assert [pair.p_value for pair in single] == [
        binomtest(pair.ahead, pair.ahead + pair.behind).pvalue for pair in single
    ]
    assert {pair.method for pair in single} == {"exact McNemar"}
    copied = all_pairs(hits, np.arange(120) // 2, seed=1)
    assert {pair.method for pair in copied} == {"exact sign flip"}


def test_the_result_does_not_depend_on_memory_nor_on_who_comes_first(monkeypatch):
    values = experiments(2)
    groups = np.arange(120)
    test = of_two(values["e0"], values["e1"], groups, seed=5, rounds=3000)
    turned = of_two(values["e1"], values["e0"], groups, seed=5, rounds=3000)
    assert turned.p_value == test.p_value
    assert (turned.difference, turned.ahead, turned.behind) == (
        -test.difference, test.behind, test.ahead,
    )  # fmt: skip
    monkeypatch.setattr(paired_tests, "CHUNK_CELLS", 12_345)
    assert of_two(values["e0"], values["e1"], groups, seed=5, rounds=3000) == test
    other = of_two(values["e0"], values["e1"], groups, seed=6, rounds=3000)
    assert other.p_value == pytest.approx(test.p_value, abs=0.05)


def test_one_experiment_makes_no_pair():
    assert all_pairs({"e0": np.ones(3)}, np.arange(3), seed=1) == []


def test_holm_of_a_worked_case():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]).tolist() == [1, 1]
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.999))
def test_holm_rejects_what_the_stepwise_procedure_rejects(p_values, level):
    order = np.argsort(p_values, kind="stable")
    rejected = np.zeros(len(p_values), dtype=bool)
    for step, place in enumerate(order):
        if p_values[place] * (len(p_values) - step) > level:
            break
        rejected[place] = True
    adjusted = holm(p_values)
    assert (adjusted <= level).tolist() == rejected.tolist()
    assert (adjusted >= p_values).all()
    assert (adjusted <= np.minimum(1, np.array(p_values) * len(p_values))).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: of_two(np.ones(2), np.ones(2), ["a"]), "2 values and 1 groups"),
        (lambda: of_two(np.ones(0), np.ones(0), []), "0 values and 0 groups"),
        (lambda: of_two([1, np.nan], [1, 1]), "not numbers"),
        (lambda: of_differences(np.arange(30) / 7, rounds=0), "0 rounds"),
        (
            lambda: all_pairs({"a": np.ones(2), "b": np.ones(3)}, [1, 2], seed=1),
            "b: 3 values and 2 groups",
        ),
        (lambda: holm([0.1, 1.2]), "between 0 and 1"),
        (lambda: holm([np.nan]), "between 0 and 1"),
    ],
)
def test_what_are_not_two_experiments_on_the_same_queries_is_refused(call, message):
    with pytest.raises(match=message):
        call()


# All experiments

DRAWN = IntervalSettings(seed=1, rounds=500, confidence=0.95)


def scored(originals=None, **values):
    """An experiment's values by metric; every query its own original unless given."""
    columns = {name: np.array(column, dtype=np.float64) for name, column in values.items()}
    count = len(next(iter(columns.values())))
    ids = tuple(f"q{number}" for number in range(count))
    return Scores(ids, ("cat",) * count, tuple(originals or ids), columns, {})


def hits(right, of=40):
    """Hits on the first so many queries."""
    return scored(hit=[1.0] * right + [0.0] * (of - right))


def some_experiments(seed, queries=30, count=3):
    rng = np.random.default_rng(seed)
    return {
        f"e{number}": scored(mAP=rng.random(queries), hit=rng.integers(0, 2, queries))
        for number in range(count)
    }


def test_every_pair_is_tested_by_every_metric_in_the_order_given():
    found = find_differences(some_experiments(1), DRAWN)
    pairs = [("e0", "e1"), ("e0", "e2"), ("e1", "e2")]
    assert [(each.metric, each.pair.first, each.pair.second) for each in found] == [
        *(("mAP", *pair) for pair in pairs),
        *(("hit", *pair) for pair in pairs),
    ]


def test_one_experiment_differs_from_none():
    assert find_differences({"only": hits(3)}, DRAWN) == []


def test_only_metrics_that_all_experiments_have_are_compared():
    two = {"deep": scored(a=[1, 0, 0.5], b=[1, 0, 1]), "short": scored(b=[0, 0, 1], c=[1, 1, 1])}
    assert [each.metric for each in find_differences(two, DRAWN)] == ["b"]
    assert find_differences({"one": scored(a=[1, 0]), "other": scored(b=[1, 0])}, DRAWN) == []


def test_hits_are_tested_by_the_binomial_of_scipy():
    """Nine queries on which they differ, one against eight."""
    first = scored(hit=[1] * 8 + [0] + [1] * 5 + [0] * 6)
    second = scored(hit=[0] * 8 + [1] + [1] * 5 + [0] * 6)
    [found] = find_differences({"first": first, "second": second}, DRAWN)
    test = found.pair
    assert test.p_value == pytest.approx(binomtest(8, 9).pvalue)
    assert found.pair.adjusted == test.p_value
    assert (test.ahead, test.behind) == (8, 1)
    assert test.difference == pytest.approx(7 / 20)
    assert found.different


def test_other_metrics_are_tested_by_originals():
    rng = np.random.default_rng(3)
    originals = [f"o{number // 4}" for number in range(40)]
    first, second = rng.random(40), rng.random(40)
    [found] = find_differences(
        {"a": scored(originals, mAP=first), "b": scored(originals, mAP=second)}, DRAWN
    )
    expected = of_two(first, second, originals, seed=1)
    assert found.pair == replace(expected, first="a", second="b")
    assert expected.ahead + expected.behind == 10


def test_p_values_are_corrected_by_holm_over_all_pairs_of_one_metric():
    found = find_differences({"a": hits(20), "b": hits(14), "c": hits(8)}, DRAWN)
    raw = {(each.pair.first, each.pair.second): each.pair.p_value for each in found}
    adjusted = {(each.pair.first, each.pair.second): each.pair.adjusted for each in found}
    # Worked by hand: 2 / 2^6 twice, 2 / 2^12 once; the smallest counts three times, the rest twice.
    assert raw == pytest.approx({("a", "b"): 2**-5, ("a", "c"): 2**-11, ("b", "c"): 2**-5})
    assert adjusted == pytest.approx(
        {("a", "b"): 2 * 2**-5, ("a", "c"): 3 * 2**-11, ("b", "c"): 2 * 2**-5}
    )
    assert [each.different for each in found] == [False, True, False]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.integers(2, 5))
def test_corrected_p_values_lie_between_the_raw_ones_and_bonferronis(seed, count):
    found = find_differences(
        some_experiments(seed, queries=12, count=count), IntervalSettings(seed, 100, 0.95)
    )
    for metric in ("mAP", "hit"):
        family = [each for each in found if each.metric == metric]
        assert len(family) == count * (count - 1) // 2
        raw = np.array([each.pair.p_value for each in family])
        adjusted = np.array([each.pair.adjusted for each in family])
        assert (adjusted >= raw).all()
        assert (adjusted <= np.minimum(1, raw * len(family)) + 1e-12).all()
        assert (adjusted >= false_discovery_control(raw) - 1e-12).all()  # Benjamini-Hochberg
        assert [each.different for each in family] == (adjusted <= 0.05).tolist()


def test_metrics_are_not_corrected_for_each_other():
    alone = find_differences(
        {"a": scored(x=[1, 1, 1, 0, 0]), "b": scored(x=[0, 0, 0, 0, 0])}, DRAWN
    )
    among = find_differences(
        {
            "a": scored(x=[1, 1, 1, 0, 0], y=[1, 0, 1, 0, 1]),
            "b": scored(x=[0, 0, 0, 0, 0], y=[0, 0, 1, 0, 1]),
        },
        DRAWN,
    )
    assert [each for each in among if each.metric == "x"] == alone


@pytest.mark.parametrize(
    ("confidence", "queries", "different"), [(0.9, 10, True), (0.99, 5, False)]
)
def test_the_level_is_what_the_confidence_leaves(confidence, queries, different):
    """Ten queries ahead: 2 / 2^10; five: 2 / 2^5."""
    one, other = scored(hit=[1] * queries), scored(hit=[0] * queries)
    [found] = find_differences({"a": one, "b": other}, IntervalSettings(1, 500, confidence))
    assert found.pair.adjusted == pytest.approx(2 / 2**queries)
    assert found.different is different


def test_a_p_value_of_exactly_the_level_is_different(monkeypatch):
    """1 - 0.9 is less than 0.1 as a computer has it."""
    pairs = [PairedTest("a", "b", 0.1, 2, 1, 0.1, "made up", 0.1)]
    monkeypatch.setattr(paired_tests, "all_pairs", lambda *_, **__: pairs)
    two = {"a": scored(x=[1, 0.5]), "b": scored(x=[0, 0.5])}
    assert [each.different for each in find_differences(two, IntervalSettings(1, 500, 0.9))] == [
        True
    ]
    assert [each.different for each in find_differences(two, IntervalSettings(1, 500, 0.91))] == [
        False
    ]


# Intervals


def test_intervals_are_those_of_the_paired_differences():
    rng = np.random.default_rng(7)
    originals = [f"o{number // 2}" for number in range(40)]
    first, second = rng.random(40), rng.random(40)
    two = {"a": scored(originals, mAP=first), "b": scored(originals, mAP=second)}
    [found] = find_differences(two, DRAWN)
    expected = mean_intervals({"mAP": first - second}, originals, DRAWN, signed=True)["mAP"]
    assert found.interval == expected
    assert found.interval.low < (first - second).mean() < found.interval.high


def test_changing_the_two_turns_the_difference_round():
    rng = np.random.default_rng(8)
    a, b = scored(x=rng.random(30)), scored(x=rng.random(30))
    [there] = find_differences({"a": a, "b": b}, DRAWN)
    [back] = find_differences({"b": b, "a": a}, DRAWN)
    assert back.pair.difference == pytest.approx(-there.pair.difference)
    assert (back.pair.ahead, back.pair.behind) == (
        there.pair.behind,
        there.pair.ahead,
    )
    assert back.pair.p_value == pytest.approx(there.pair.p_value)
    assert back.interval.mean == pytest.approx(-there.interval.mean)


def test_a_single_original_has_neither_an_interval_nor_a_difference():
    one = scored(["o", "o"], x=[1.0, 0.9])
    [found] = find_differences({"a": one, "b": scored(["o", "o"], x=[0.1, 0.0])}, DRAWN)
    assert (found.interval.low, found.interval.high) == (None, None)
    assert found.pair.adjusted == 1
    assert not found.different


def test_wrong_settings_are_refused_and_do_not_just_leave_no_interval():
    with pytest.raises(ValueError, match="rounds"):
        find_differences({"a": hits(3), "b": hits(5)}, IntervalSettings(1, 10, 0.95))


# Queries


@pytest.mark.parametrize("queries", [("q1", "q0", "q2"), ("q0", "q1"), ("q0", "q1", "q3")])
def test_experiments_evaluated_on_other_queries_are_refused_by_name(queries):
    first, same = scored(x=[1, 0, 1]), scored(x=[0, 0, 1])
    values = {"x": np.ones(len(queries))}
    other = Scores(queries, ("cat",) * len(queries), queries, values, {})
    with pytest.raises(OtherQueries, match="net and colour were not evaluated on the same queries"):
        find_differences({"net": first, "twin": same, "colour": other}, DRAWN)


# Who is better


def test_the_better_one_surpasses_the_worse_one_whichever_is_named_first():
    best, middle, worst = hits(36), hits(18), hits(2)
    found = find_differences({"middle": middle, "best": best, "worst": worst}, DRAWN)
    assert all(each.different for each in found)
    assert better_than(found, "hit") == {"best": ["middle", "worst"], "middle": ["worst"]}
    turned = find_differences({"worst": worst, "best": best, "middle": middle}, DRAWN)
    assert {name: sorted(each) for name, each in better_than(turned, "hit").items()} == {
        "best": ["middle", "worst"],
        "middle": ["worst"],
    }


def test_nobody_surpasses_by_chance_or_by_another_metric():
    found = find_differences({"a": hits(20), "b": hits(19)}, DRAWN)
    assert better_than(found, "hit") == {}
    found = find_differences({"a": hits(30), "b": hits(3)}, DRAWN)
    assert better_than(found, "hit") == {"a": ["b"]}
    assert better_than(found, "mAP") == {}
    assert better_than([], "hit") == {}


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 40), min_size=2, max_size=5))
def test_whoever_surpasses_has_more_hits(rights):
    given_hits = {f"e{number}": right for number, right in enumerate(rights)}
    found = find_differences(
        {name: hits(n) for name, n in given_hits.items()}, IntervalSettings(1, 100, 0.95)
    )
    surpassed = better_than(found, "hit")
    for name, others in surpassed.items():
        assert all(given_hits[name] > given_hits[other] for other in others)
    count = sum(len(others) for others in surpassed.values())
    assert count == sum(each.different for each in found)
    clear = [pair for pair in combinations(rights, 2) if abs(pair[0] - pair[1]) >= 12]
    assert count >= len(clear)  # 10 pairs at most: 10 * 2 / 2^12 is below 0.05


# The file


def test_the_list_has_a_row_a_difference(tmp_path):
    rng = np.random.default_rng(9)
    found = find_differences(
        {
            "net": scored(hit=[1] * 10 + [0, 1], mAP=rng.random(12)),
            "colour, texture": scored(hit=[0] * 10 + [0, 1], mAP=rng.random(12)),
        },
        DRAWN,
    )
    write_differences(tmp_path / "differences.csv", found)
    with (tmp_path / "differences.csv").open(encoding="utf-8", newline="") as file:
        header, first, second = csv.reader(file)
    assert tuple(header) == COLUMNS
    row = dict(zip(COLUMNS, first, strict=True))
    interval = found[0].interval
    assert row == {
        "metric": "hit",
        "first": "net",
        "second": "colour, texture",
        "difference": "0.8333",
        "low": f"{interval.low:.4f}",
        "high": f"{interval.high:.4f}",
        "first_ahead": "10",
        "second_ahead": "0",
        "p": "0.00195",  # 2 / 2^10
        "p_adjusted": "0.00195",
        "different": "yes",
        "test": "exact McNemar",
        "training_left_out": "",
    }
    row = dict(zip(COLUMNS, second, strict=True))
    assert row["metric"] == "mAP"
    assert row["different"] == ("yes" if found[1].different else "no")
    assert float(row["p"]) == pytest.approx(found[1].pair.p_value, rel=0.01)


def test_without_an_interval_its_ends_are_empty(tmp_path):
    one, other = scored(["o", "o"], x=[1.0, 0.9]), scored(["o", "o"], x=[0.1, 0.0])
    write_differences(tmp_path / "list.csv", find_differences({"a": one, "b": other}, DRAWN))
    line = (tmp_path / "list.csv").read_text().splitlines()[1]
    assert line == "x,a,b,0.9000,,,1,0,1,1,no,exact sign flip,"


def test_without_pairs_there_is_only_the_header(tmp_path):
    write_differences(tmp_path / "list.csv", [])
    assert (tmp_path / "list.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_hits_are_tested_by_mcnemar_whatever_else_is_compared():
    """A mean over seeds is no hit, and gets another test; the pair of hits does not."""
    values = {"a": [1.0, 0, 1, 1, 1], "b": [0.0, 0, 1, 0, 0], "mean": [0.5, 0, 1, 0.5, 1]}
    arrays = {name: np.array(column) for name, column in values.items()}
    alone = all_pairs({name: arrays[name] for name in ("a", "b")}, np.arange(5), seed=1)[0]
    beside = all_pairs(arrays, np.arange(5), seed=1)
    assert [each.method for each in beside] == ["exact McNemar", *["exact sign flip"] * 2]
    assert beside[0].p_value == alone.p_value == 0.25
