"""The threshold below which a search answers, against exact binomial bounds."""

import json
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from gallerist.evaluation.abstaining import (
    FirstAnswers,
    candidates,
    fewest,
    fit,
    highest_threshold,
)
from gallerist.evaluation.abstaining_report import Abstaining
from gallerist.evaluation.relevance import Relevance
from gallerist.evaluation.risk_coverage import curve, risk_coverage
from gallerist.evaluation.scores import flatten
from gallerist.evaluation.threshold import Promise, Threshold
from gallerist.search.ranking import Ranking

SIMULATED = 400

PROMISE = Promise(risk=0.05, confidence=0.95, absent=0.5)

shares = st.floats(0.01, 0.4)
queries = st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=300)


def _upper_end(wrong, total, delta):
    """Clopper and Pearson's upper end at confidence 1 - delta, from SciPy's beta distribution."""
    return 1.0 if wrong == total else beta.ppf(1 - delta, wrong + 1, total - wrong)


@given(shares, shares)
def test_the_fewest_right_answers_are_those_whose_exact_bound_keeps_the_risk(risk, delta):
    least = fewest(risk, delta)
    assert _upper_end(0, least, delta) <= risk * (1 + 1e-9)
    assert least == 1 or _upper_end(0, least - 1, delta) > risk * (1 - 1e-9)


def test_59_right_answers_promise_one_in_twenty():
    assert fewest(0.05, 0.05) == 59


@given(st.integers(0, 3000), shares, shares)
@example(75, 0.05, 0.05)
@example(90, 0.05, 0.05)
def test_candidates_rise_to_all_queries_each_can_pass_and_their_levels_are_spent_once(
    count, risk, delta
):
    found = candidates(count, risk, delta)
    counts = [each for each, _ in found]
    assert bool(found) == (count >= fewest(risk, delta))
    assert counts == sorted(set(counts))
    assert sum(level for _, level in found) <= delta * (1 + 1e-9)
    for each, level in found:
        assert each <= count
        assert binom.cdf(0, each, risk) <= level * (1 + 1e-9)
    if len(found) > 1:
        assert counts[-1] == count


@given(queries, shares, shares)
def test_the_threshold_is_the_largest_candidate_whose_exact_bound_keeps_the_risk(
    drawn, risk, delta
):
    distances = np.array([distance for distance, _ in drawn], dtype=float)
    wrong = np.array([each for _, each in drawn], dtype=bool)
    ends = [*sorted(distances.tolist()), math.inf]
    passing = []
    for count, level in candidates(len(drawn), risk, delta):
        answered = distances < ends[count]
        total, mistakes = int(answered.sum()), int((answered & wrong).sum())
        if total and _upper_end(mistakes, total, level) <= risk:
            passing.append(ends[count])
    assert highest_threshold(distances, wrong, risk, delta) == max(passing, default=None)


@pytest.mark.parametrize(
    "error_at",
    [
        lambda distance: 0.02 + 0.4 * distance**2,  # rises, as one expects
        lambda distance: np.where(distance < 0.1, 0.5, 0.03),  # near answers are the worst
        lambda distance: np.full_like(distance, 0.0501),  # never keeps it, by a hair
        lambda distance: 0.05 + 0.04 * np.sign(np.sin(40 * distance)),  # in and out
    ],
    ids=["rising", "falling", "flat", "wavy"],
)
@pytest.mark.parametrize("tied", [False, True])
def test_the_promise_is_broken_no_more_often_than_it_says(error_at, tied):
    """Calibrations with 400 queries; the risk below a threshold is known exactly."""
    rng = np.random.default_rng(99)
    places = (np.arange(20_000) + 0.5) / 20_000
    places = np.round(places, 1) if tied else places
    errors = error_at(places)
    broken = 0
    for _ in range(SIMULATED):
        rows = rng.integers(len(places), size=400)
        wrong = rng.random(400) < errors[rows]
        below = highest_threshold(places[rows], wrong, 0.05, 0.05)
        broken += below is not None and errors[places < below].mean() > 0.05
    # So many would be seen with chance 1e-3 were it .05.
    assert broken <= binom.ppf(0.999, SIMULATED, 0.05)


def test_copies_of_an_original_are_one_query():
    """100 copies of each of 50 originals promise nothing that takes 59 originals."""
    names = tuple(f"original {row % 50}" for row in range(5000))
    first = FirstAnswers(names, np.linspace(0, 1, 5000), np.zeros(5000, bool), np.ones(5000))
    found = fit(first, Promise(0.05, 0.95, 0), seed=1)
    assert (found.originals, found.below) == (50, None)
    assert found.refusal == (
        "that takes at least 59 held-out training pictures, copies counted once; there are 50"
    )


def test_half_absent_asks_each_original_once_in_one_of_two_ways():
    names = tuple(f"original {row}" for row in range(2000))
    first = FirstAnswers(names, np.zeros(2000), np.zeros(2000, bool), np.ones(2000))
    distances, wrong = first.calibration(0.5, seed=1)
    assert (distances == wrong).all()
    assert abs(wrong.mean() - 0.5) < 4 * math.sqrt(0.25 / 2000)


def test_another_picture_changes_no_draw():
    names = tuple(f"original {row}" for row in range(300))
    first = FirstAnswers(names, np.zeros(300), np.zeros(300, bool), np.ones(300))
    fewer = FirstAnswers(names[50:], np.zeros(250), np.zeros(250, bool), np.ones(250))
    assert (first.calibration(0.5, 7)[0][50:] == fewer.calibration(0.5, 7)[0]).all()


def test_a_threshold_between_right_and_absent_is_found():
    names = tuple(f"original {row}" for row in range(600))
    first = FirstAnswers(names, np.linspace(0, 0.4, 600), np.zeros(600, bool), np.full(600, 0.9))
    found = fit(first, PROMISE, seed=1)
    assert found.below is not None
    assert 0.2 < found.below <= 0.9
    assert found.answers(0.1)
    assert found.answers(0.95) is False


RANKING = Ranking(
    ("a", "b", "c", "d"),
    (("g1", "g2", "g3"), ("g3", "g1", "g2"), ("g1", "g3"), ()),
    ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), (0.7, 0.8), ()),
)
LABELS = {"g1": "cat", "g2": "cat", "g3": "dog"}
ORIGINALS = {"a": "A", "b": "B", "c": "C", "d": "D"}


def test_first_answers_are_right_or_wrong_and_would_be_others_without_the_class():
    relevance = Relevance.of_classes({"a": "cat", "b": "cat", "c": "emu", "d": "dog"}, LABELS)
    found = FirstAnswers.of(RANKING, relevance, ORIGINALS, by_distance=True)
    assert found.distances.tolist() == [0.1, 0.4, 0.7, math.inf]
    assert found.wrong.tolist() == [False, True, True, True]
    assert found.other is not None
    assert found.other.tolist() == [0.3, 0.4, 0.7, math.inf]
    assert FirstAnswers.of(RANKING, relevance, ORIGINALS, by_distance=False).other is None


def test_without_another_class_in_the_ranking_it_is_as_near_as_it_can_be():
    ranking = Ranking(("a",), (("g1", "g2"),), ((0.1, 0.2),))
    for gallery, expected in ((LABELS, 0.2), ({"g1": "cat", "g2": "cat"}, math.inf)):
        relevance = Relevance.of_classes({"a": "cat"}, gallery)
        found = FirstAnswers.of(ranking, relevance, ORIGINALS, by_distance=True)
        assert found.other is not None
        assert found.other.tolist() == [expected]


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 9)), min_size=1),
       st.floats(0, 0.9))  # fmt: skip
def test_coverage_and_risk_are_counted(drawn, share):
    near, wrong, more = map(np.array, zip(*drawn, strict=True))
    near, other = near.astype(float), np.where(wrong, near, near + more).astype(float)
    first = FirstAnswers(tuple(map(str, range(len(drawn)))), near, wrong, other)
    found = curve(first, share)
    assert found.coverage[-1] == 1
    assert found.risk[-1] == pytest.approx(wrong.mean())
    for place, below in enumerate(found.below):
        answered = near < below
        assert found.coverage[place] == answered.mean()
        assert found.risk[place] == pytest.approx(wrong[answered].mean())
        assert found.absent is not None
        assert found.open_risk is not None
        assert found.absent[place] == (other < below).mean()
        # Pictures that are there, and pictures that are not, in these shares.
        weights = [(1 - share) * answered, share * (other < below)]
        bad = (weights[0] * wrong).sum() + weights[1].sum()
        assert found.open_risk[place] == pytest.approx(bad / np.sum(weights))
        assert found.open_risk[place] >= found.risk[place] - 1e-12


def test_where_nothing_is_answered_there_is_no_risk():
    first = FirstAnswers(("a",), np.array([0.5]), np.array([False]), None)
    found = risk_coverage(first, 0.5, np.array([0.1]))
    assert found.figures() == {"coverage": 0.0}


def test_what_would_be_answered_without_others_is_not_guessed():
    first = FirstAnswers(("a",), np.array([0.5]), np.array([False]), None)
    found = fit(first, PROMISE, seed=1)
    assert found.below is None
    assert "depends on more than its own distance" in str(found)


@pytest.mark.parametrize(
    "made",
    [
        Threshold(None, PROMISE, 80, "too few"),
        Threshold(math.inf, PROMISE, 200),
        Threshold(0.25, PROMISE, 200),
    ],
)
def test_a_threshold_is_the_same_when_it_is_read_again(made):
    assert Threshold.of(json.loads(json.dumps(made.as_json(), allow_nan=False))) == made


def test_a_threshold_says_what_it_promises():
    assert str(Promise(0.05, 0.95, 0)) == (
        "with 95 % certainty at most 5 % of the answers are wrong"
    )
    text = f"{Promise(0.05, 0.95, 0)}, even if the gallery has nothing of 50 % of the pictures"
    assert str(PROMISE) == text
    assert str(Threshold(None, PROMISE, 80, "why")) == f"no threshold can promise that {text}: why"
    assert str(Threshold(0.25, PROMISE, 99)) == f"answers below a distance of 0.25: {text}"
    assert str(Threshold(math.inf, PROMISE, 99)) == f"answers at every distance: {text}"


def test_what_is_reached_is_named_for_a_record():
    first = FirstAnswers(
        tuple(map(str, range(100))), np.arange(100.0), np.arange(100) > 80, np.arange(100.0) + 20
    )
    threshold = Threshold(50.0, PROMISE, 100)
    reached = risk_coverage(first, 0.5, np.array([50.0]))
    found = Abstaining(threshold, curve(first, 0.5), reached).as_json()
    assert flatten({}, found) == {
        "abstaining/distance below": 50.0,
        "abstaining/coverage": 0.5,
        "abstaining/risk": 0.0,
        "abstaining/absent answered": 0.3,
        "abstaining/open risk": pytest.approx(0.3 / 0.8),
    }
    nothing = Abstaining(Threshold(None, PROMISE, 1, "why"), curve(first, 0.5), None).as_json()
    assert flatten({}, nothing) == {}
