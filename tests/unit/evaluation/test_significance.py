"""Paired tests: hand-worked, against SciPy, and uniform p-values where there is no difference."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.evaluation import significance as paired_tests
from gallerist.evaluation.significance import PairingError, all_pairs, holm, mcnemar, sign_flip

halves = st.integers(-4, 4).map(lambda number: number / 2)


def by_hand(sums):
    """The share of all sign flips with a sum as far from 0, in exact fractions."""
    sums = [Fraction(each) for each in sums]
    flips = [
        abs(sum(sign * each for sign, each in zip(signs, sums, strict=True)))
        for signs in product((1, -1), repeat=len(sums))
    ]
    return sum(flip >= abs(sum(sums)) for flip in flips) / len(flips)


def of_differences(differences, groups=None, **settings):
    """The test of an experiment against one that reaches 0 everywhere."""
    column = np.asarray(differences, dtype=float)
    chosen = np.arange(len(column)) if groups is None else groups
    return sign_flip(column, np.zeros(len(column)), chosen, seed=1, **settings)


def test_mcnemar_of_a_worked_case():
    """Nine discordant queries, one against eight: 2 (1 + 9) / 2^9."""
    first = [1] * 8 + [0] + [1] * 5 + [0] * 6
    second = [0] * 8 + [1] + [1] * 5 + [0] * 6
    test = mcnemar(first, second)
    assert test.p_value == pytest.approx(20 / 512)
    assert (test.ahead, test.behind) == (8, 1)
    assert test.difference == pytest.approx(7 / 20)
    assert mcnemar(second, first).p_value == test.p_value
    assert mcnemar(first, first).p_value == 1


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 20))
def test_the_sign_flip_test_of_hits_is_the_exact_mcnemar_test(ahead, behind, alike):
    if ahead + behind + alike == 0:
        alike = 1
    first = np.array([1.0] * ahead + [0.0] * behind + [1.0] * alike)
    second = np.array([0.0] * ahead + [1.0] * behind + [1.0] * alike)
    flipped = sign_flip(first, second, np.arange(len(first)), seed=1)
    exact = mcnemar(first, second)
    assert flipped.p_value == pytest.approx(exact.p_value, rel=1e-9)
    assert flipped.method == "exact sign flip"
    assert (flipped.ahead, flipped.behind) == (exact.ahead, exact.behind) == (ahead, behind)
    if ahead + behind:
        theirs = scipy.stats.binomtest(ahead, ahead + behind).pvalue
        assert exact.p_value == pytest.approx(theirs)


def test_the_sign_flip_test_of_a_worked_case():
    """All eight sums of 3, 2 and 1 (in tenths): only 6 and -6 are as far as 6."""
    assert of_differences([0.3, 0.2, 0.1]).p_value == 2 / 8
    assert of_differences([0.3, 0.2, -0.1]).p_value == 4 / 8  # 6, 4, -4, -6
    assert of_differences([0.3, -0.2, -0.1]).p_value == 1
    assert of_differences([0.0, 0.0]).p_value == 1


@settings(deadline=None)
@given(st.lists(halves, min_size=1, max_size=9))
def test_few_originals_get_all_their_flips(differences):
    assert of_differences(differences).p_value == pytest.approx(by_hand(differences))


@settings(deadline=None)
@given(st.lists(st.integers(-6, 6), min_size=1, max_size=9))
def test_whole_differences_are_counted_without_enumeration(differences):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paired_tests, "ENUMERATED", -1)
        test = of_differences(differences)
    assert test.method == "exact sign flip"
    assert test.p_value == pytest.approx(by_hand(differences))


def test_hits_of_copies_get_an_exact_test_however_many():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(400), 6)
    hard = rng.random(400)[groups]
    first, second = ((rng.random(2400) < hard + shift).astype(float) for shift in (0.02, 0.0))
    test = sign_flip(first, second, groups, seed=1)
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
        test = of_differences(differences)
        assert test.method == "exact sign flip"
        assert test.p_value == pytest.approx(theirs.pvalue, rel=1e-9)


def test_random_flips_agree_with_all_flips(monkeypatch):
    differences = np.random.default_rng(3).normal(0.35, 1, 19)
    exact = of_differences(differences)
    monkeypatch.setattr(paired_tests, "ENUMERATED", 0)
    drawn = of_differences(differences, rounds=200_000)
    assert drawn.method == "sign flip, 200000 rounds"
    assert 0.05 < exact.p_value < 0.5
    assert drawn.p_value == pytest.approx(exact.p_value, abs=4 * (0.25 / 200_000) ** 0.5)


def test_many_originals_get_random_flips_and_never_a_p_value_of_zero():
    test = of_differences(np.random.default_rng(1).normal(3, 1, 300), rounds=999)
    assert test.p_value == 1 / 1000


def test_random_flips_equal_students_t_where_that_is_right():
    differences = np.random.default_rng(4).normal(0.08, 1, 1000)
    theirs = scipy.stats.ttest_1samp(differences, 0).pvalue
    assert of_differences(differences).p_value == pytest.approx(theirs, abs=0.005)


def null_p_values(method, originals, replications):
    """p-values of experiments that are alike, three correlated queries an original."""
    rng = np.random.default_rng(11)
    groups = np.repeat(np.arange(originals), 3)
    for _ in range(replications):
        shared = rng.normal(0, 1, originals)[groups]
        yield method(shared + rng.normal(0, 0.5, len(groups)), groups)


def test_p_values_are_uniform_where_there_is_no_difference():
    def clustered(differences, groups):
        return of_differences(differences, groups, rounds=499).p_value

    values = list(null_p_values(clustered, 60, 2000))
    assert scipy.stats.kstest(values, "uniform").pvalue > 0.01
    assert np.mean(np.array(values) <= 0.05) == pytest.approx(0.05, abs=0.015)


def test_flipping_copies_one_by_one_finds_differences_that_are_not_there():
    def careless(differences, groups):
        return of_differences(differences, rounds=499).p_value

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
        values.append(all_pairs({"a": first, "b": second}, groups, seed=1)[0].test.p_value)
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
        alone = sign_flip(values[pair.first], values[pair.second], groups, seed=5, rounds=2000)
        assert pair.test == alone
        expected = (values[pair.first] - values[pair.second]).mean()
        assert pair.test.difference == pytest.approx(expected)
    adjusted = holm([pair.test.p_value for pair in found])
    assert [pair.adjusted for pair in found] == adjusted.tolist()


def test_a_further_experiment_changes_no_p_value_but_the_adjusted_ones():
    values = experiments()
    few = dict(list(values.items())[:3])
    groups = np.arange(120)
    before, after = (
        {(pair.first, pair.second): pair for pair in all_pairs(each, groups, seed=5, rounds=500)}
        for each in (few, values)
    )
    assert all(after[names].test == pair.test for names, pair in before.items())
    assert all(after[names].adjusted >= pair.adjusted for names, pair in before.items())


def test_hits_get_mcnemars_test_only_where_every_query_is_an_original():
    hits = {name: (column > 0.5).astype(float) for name, column in experiments(3).items()}
    single = all_pairs(hits, [f"q{row}" for row in range(120)], seed=1)
    assert [pair.test for pair in single] == [
        mcnemar(hits[pair.first], hits[pair.second]) for pair in single
    ]
    assert {pair.test.method for pair in single} == {"exact McNemar"}
    copied = all_pairs(hits, np.arange(120) // 2, seed=1)
    assert {pair.test.method for pair in copied} == {"exact sign flip"}


def test_the_result_does_not_depend_on_memory_nor_on_who_comes_first(monkeypatch):
    values = experiments(2)
    groups = np.arange(120)
    test = sign_flip(values["e0"], values["e1"], groups, seed=5, rounds=3000)
    turned = sign_flip(values["e1"], values["e0"], groups, seed=5, rounds=3000)
    assert turned.p_value == test.p_value
    assert (turned.difference, turned.ahead, turned.behind) == (
        -test.difference, test.behind, test.ahead,
    )  # fmt: skip
    monkeypatch.setattr(paired_tests, "CHUNK_CELLS", 12_345)
    assert sign_flip(values["e0"], values["e1"], groups, seed=5, rounds=3000) == test
    other = sign_flip(values["e0"], values["e1"], groups, seed=6, rounds=3000)
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
        (lambda: mcnemar([0.5, 1], [0, 1]), "hits are 0 or 1"),
        (lambda: mcnemar([1], [0, 1]), "1 values, 2 values and 1 groups"),
        (lambda: sign_flip(np.ones(2), np.ones(2), ["a"], seed=1), "2 values and 1 groups"),
        (lambda: sign_flip(np.ones(0), np.ones(0), [], seed=1), "nothing to compare"),
        (lambda: of_differences([1, np.nan]), "not numbers"),
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
    with pytest.raises(PairingError, match=message):
        call()
