"""Which experiments really differ: pairs, correction, direction, and the list as a file."""

import csv
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control

from gallerist.evaluation.bootstrap import IntervalError, difference_intervals
from gallerist.evaluation.differences import (
    COLUMNS,
    OtherQueries,
    better_than,
    differences,
    write_differences,
)
from gallerist.evaluation.scores import Assessment, Settings
from gallerist.evaluation.significance import sign_flip

DRAWN = Settings(seed=1, rounds=500, confidence=0.95)


def judged(originals=None, **values):
    """An experiment's values by metric; every query its own original unless given."""
    columns = {name: np.array(column, dtype=np.float64) for name, column in values.items()}
    count = len(next(iter(columns.values())))
    ids = tuple(f"q{number}" for number in range(count))
    return Assessment(ids, ("cat",) * count, tuple(originals or ids), columns, {})


def hits(right, of=40):
    """Hits on the first so many queries."""
    return judged(hit=[1.0] * right + [0.0] * (of - right))


def experiments(seed, queries=30, count=3):
    rng = np.random.default_rng(seed)
    return {
        f"e{number}": judged(mAP=rng.random(queries), hit=rng.integers(0, 2, queries))
        for number in range(count)
    }


def test_every_pair_is_tested_by_every_metric_in_the_order_given():
    found = differences(experiments(1), DRAWN)
    pairs = [("e0", "e1"), ("e0", "e2"), ("e1", "e2")]
    assert [(each.metric, each.pair.first, each.pair.second) for each in found] == [
        *(("mAP", *pair) for pair in pairs),
        *(("hit", *pair) for pair in pairs),
    ]


def test_one_experiment_differs_from_none():
    assert differences({"only": hits(3)}, DRAWN) == []


def test_only_metrics_that_all_experiments_have_are_compared():
    two = {"deep": judged(a=[1, 0, 0.5], b=[1, 0, 1]), "short": judged(b=[0, 0, 1], c=[1, 1, 1])}
    assert [each.metric for each in differences(two, DRAWN)] == ["b"]
    assert differences({"one": judged(a=[1, 0]), "other": judged(b=[1, 0])}, DRAWN) == []


def test_hits_are_tested_by_the_binomial_of_scipy():
    """Nine queries on which they differ, one against eight."""
    first = judged(hit=[1] * 8 + [0] + [1] * 5 + [0] * 6)
    second = judged(hit=[0] * 8 + [1] + [1] * 5 + [0] * 6)
    [found] = differences({"first": first, "second": second}, DRAWN)
    test = found.pair.test
    assert test.p_value == pytest.approx(binomtest(8, 9).pvalue)
    assert found.pair.adjusted == test.p_value
    assert (test.ahead, test.behind) == (8, 1)
    assert test.difference == pytest.approx(7 / 20)
    assert found.different


def test_other_metrics_are_tested_by_originals():
    rng = np.random.default_rng(3)
    originals = [f"o{number // 4}" for number in range(40)]
    first, second = rng.random(40), rng.random(40)
    [found] = differences(
        {"a": judged(originals, mAP=first), "b": judged(originals, mAP=second)}, DRAWN
    )
    expected = sign_flip(first, second, originals, seed=1)
    assert found.pair.test == expected
    assert expected.ahead + expected.behind == 10


def test_p_values_are_corrected_by_holm_over_all_pairs_of_one_metric():
    found = differences({"a": hits(20), "b": hits(14), "c": hits(8)}, DRAWN)
    raw = {(each.pair.first, each.pair.second): each.pair.test.p_value for each in found}
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
    found = differences(experiments(seed, queries=12, count=count), Settings(seed, 100, 0.95))
    for metric in ("mAP", "hit"):
        family = [each for each in found if each.metric == metric]
        assert len(family) == count * (count - 1) // 2
        raw = np.array([each.pair.test.p_value for each in family])
        adjusted = np.array([each.pair.adjusted for each in family])
        assert (adjusted >= raw).all()
        assert (adjusted <= np.minimum(1, raw * len(family)) + 1e-12).all()
        assert (adjusted >= false_discovery_control(raw) - 1e-12).all()  # Benjamini-Hochberg
        assert [each.different for each in family] == (adjusted <= 0.05).tolist()


def test_metrics_are_not_corrected_for_each_other():
    alone = differences({"a": judged(x=[1, 1, 1, 0, 0]), "b": judged(x=[0, 0, 0, 0, 0])}, DRAWN)
    among = differences(
        {
            "a": judged(x=[1, 1, 1, 0, 0], y=[1, 0, 1, 0, 1]),
            "b": judged(x=[0, 0, 0, 0, 0], y=[0, 0, 1, 0, 1]),
        },
        DRAWN,
    )
    assert [each for each in among if each.metric == "x"] == alone


@pytest.mark.parametrize(
    ("confidence", "queries", "different"), [(0.9, 10, True), (0.99, 5, False)]
)
def test_the_level_is_what_the_confidence_leaves(confidence, queries, different):
    """Ten queries ahead: 2 / 2^10; five: 2 / 2^5."""
    one, other = judged(hit=[1] * queries), judged(hit=[0] * queries)
    [found] = differences({"a": one, "b": other}, Settings(1, 500, confidence))
    assert found.pair.adjusted == pytest.approx(2 / 2**queries)
    assert found.different is different


def test_a_p_value_of_exactly_the_level_is_different(monkeypatch):
    """1 - 0.9 is less than 0.1 as a computer has it."""
    from gallerist.evaluation import differences as module
    from gallerist.evaluation.significance import PairedTest, PairOfExperiments

    test = PairedTest(0.1, 2, 1, 0.1, "made up")
    pairs = [PairOfExperiments("a", "b", test, 0.1)]
    monkeypatch.setattr(module, "all_pairs", lambda *_, **__: pairs)
    two = {"a": judged(x=[1, 0.5]), "b": judged(x=[0, 0.5])}
    assert [each.different for each in differences(two, Settings(1, 500, 0.9))] == [True]
    assert [each.different for each in differences(two, Settings(1, 500, 0.91))] == [False]


# Intervals


def test_intervals_are_those_of_the_paired_differences():
    rng = np.random.default_rng(7)
    originals = [f"o{number // 2}" for number in range(40)]
    first, second = rng.random(40), rng.random(40)
    two = {"a": judged(originals, mAP=first), "b": judged(originals, mAP=second)}
    [found] = differences(two, DRAWN)
    expected = difference_intervals(
        {"mAP": first}, {"mAP": second}, originals, seed=1, rounds=500, level=0.95
    )["mAP"]
    assert found.interval == expected
    assert found.interval.low < (first - second).mean() < found.interval.high


def test_changing_the_two_turns_the_difference_round():
    rng = np.random.default_rng(8)
    a, b = judged(x=rng.random(30)), judged(x=rng.random(30))
    [there] = differences({"a": a, "b": b}, DRAWN)
    [back] = differences({"b": b, "a": a}, DRAWN)
    assert back.pair.test.difference == pytest.approx(-there.pair.test.difference)
    assert (back.pair.test.ahead, back.pair.test.behind) == (
        there.pair.test.behind,
        there.pair.test.ahead,
    )
    assert back.pair.test.p_value == pytest.approx(there.pair.test.p_value)
    assert back.interval.mean == pytest.approx(-there.interval.mean)


def test_a_single_original_has_neither_an_interval_nor_a_difference():
    one = judged(["o", "o"], x=[1.0, 0.9])
    [found] = differences({"a": one, "b": judged(["o", "o"], x=[0.1, 0.0])}, DRAWN)
    assert found.interval is None
    assert found.pair.adjusted == 1
    assert not found.different


def test_wrong_settings_are_refused_and_do_not_just_leave_no_interval():
    with pytest.raises(IntervalError, match="rounds"):
        differences({"a": hits(3), "b": hits(5)}, Settings(1, 10, 0.95))


# Queries


@pytest.mark.parametrize("queries", [("q1", "q0", "q2"), ("q0", "q1"), ("q0", "q1", "q3")])
def test_experiments_judged_on_other_queries_are_refused_by_name(queries):
    first, same = judged(x=[1, 0, 1]), judged(x=[0, 0, 1])
    values = {"x": np.ones(len(queries))}
    other = Assessment(queries, ("cat",) * len(queries), queries, values, {})
    with pytest.raises(OtherQueries, match="net and colour were not judged on the same queries"):
        differences({"net": first, "twin": same, "colour": other}, DRAWN)


# Who is better


def test_the_better_one_surpasses_the_worse_one_whichever_is_named_first():
    best, middle, worst = hits(36), hits(18), hits(2)
    found = differences({"middle": middle, "best": best, "worst": worst}, DRAWN)
    assert all(each.different for each in found)
    assert better_than(found, "hit") == {"best": ["middle", "worst"], "middle": ["worst"]}
    turned = differences({"worst": worst, "best": best, "middle": middle}, DRAWN)
    assert {name: sorted(each) for name, each in better_than(turned, "hit").items()} == {
        "best": ["middle", "worst"],
        "middle": ["worst"],
    }


def test_nobody_surpasses_by_chance_or_by_another_metric():
    found = differences({"a": hits(20), "b": hits(19)}, DRAWN)
    assert better_than(found, "hit") == {}
    found = differences({"a": hits(30), "b": hits(3)}, DRAWN)
    assert better_than(found, "hit") == {"a": ["b"]}
    assert better_than(found, "mAP") == {}
    assert better_than([], "hit") == {}


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 40), min_size=2, max_size=5))
def test_whoever_surpasses_has_more_hits(rights):
    given_hits = {f"e{number}": right for number, right in enumerate(rights)}
    found = differences({name: hits(n) for name, n in given_hits.items()}, Settings(1, 100, 0.95))
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
    found = differences(
        {
            "net": judged(hit=[1] * 10 + [0, 1], mAP=rng.random(12)),
            "colour, texture": judged(hit=[0] * 10 + [0, 1], mAP=rng.random(12)),
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
    }
    row = dict(zip(COLUMNS, second, strict=True))
    assert row["metric"] == "mAP"
    assert row["different"] == ("yes" if found[1].different else "no")
    assert float(row["p"]) == pytest.approx(found[1].pair.test.p_value, rel=0.01)


def test_without_an_interval_its_ends_are_empty(tmp_path):
    one, other = judged(["o", "o"], x=[1.0, 0.9]), judged(["o", "o"], x=[0.1, 0.0])
    write_differences(tmp_path / "list.csv", differences({"a": one, "b": other}, DRAWN))
    line = (tmp_path / "list.csv").read_text().splitlines()[1]
    assert line == "x,a,b,0.9000,,,1,0,1,1,no,exact sign flip"


def test_without_pairs_there_is_only_the_header(tmp_path):
    write_differences(tmp_path / "list.csv", [])
    assert (tmp_path / "list.csv").read_text() == ",".join(COLUMNS) + "\n"
