"""Who is champion: by hand-worked hits, whose exact McNemar test a pencil can do.

Of n queries on which only one of the two is right, all on one side, p is 2 / 2^n: .0625 for 5 and
.03125 for 6. So 5 are not enough at 95 % confidence, and 6 are.
"""

from dataclasses import replace

import numpy as np
import pytest

from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.evaluation.scores import Scores
from gallerist.serving.champion import Candidate, decide

AT_95 = IntervalSettings(seed=99, rounds=1000, confidence=0.95)


def candidate(title, hits, **changes):
    values = {"top-1": np.array(hits, np.float64)}
    ids = tuple(f"q{number}" for number in range(len(hits)))
    scores = Scores(ids, ("cat",) * len(hits), ids, values, {})
    return Candidate(**{"title": title, "gallery": "g", "query": "q", "scores": scores} | changes)


def hits(right, of=10):
    return [1] * right + [0] * (of - right)


def decided(challenger, champion, settings=AT_95):
    return decide(candidate("new", challenger), candidate("old", champion), "top-1", settings)


def test_the_first_is_champion():
    found = decide(candidate("new", hits(0)), None, "top-1", AT_95)
    assert found.moves
    assert found.reason == "new is champion: there was none"


def test_six_queries_ahead_and_none_behind_are_enough():
    found = decided(hits(8), hits(2))
    assert found.moves
    assert found.reason == (
        "new is champion: better than old by top-1, +0.6000, ahead on 6 pictures and behind on 0, "
        "p = 0.031 (exact McNemar), at 95% confidence"
    )


def test_five_queries_ahead_and_none_behind_are_not():
    found = decided(hits(7), hits(2))
    assert not found.moves
    assert "old stays champion: new is not really better by top-1, +0.5000" in found.reason
    assert "p = 0.062" in found.reason


def test_five_are_enough_where_less_confidence_is_asked():
    assert decided(hits(7), hits(2), replace(AT_95, confidence=0.9)).moves


def test_seven_ahead_and_one_behind_are_not():
    # 2 (C(8,0) + C(8,1)) / 2^8 = 18 / 256 = .0703
    found = decided([0] + [1] * 7 + [0, 0], [1] + [0] * 9)
    assert not found.moves
    assert "ahead on 7 pictures and behind on 1, p = 0.07 " in found.reason


def test_one_that_is_really_worse_does_not_take_its_place():
    found = decided(hits(2), hits(8))
    assert not found.moves
    assert "-0.6000" in found.reason


def test_equal_ones_leave_the_champion_where_it_is():
    assert not decided(hits(5), hits(5)).moves


@pytest.mark.parametrize("part", ["gallery", "query"])
def test_other_pictures_cannot_be_compared_however_much_better(part):
    new = candidate("new", hits(10), **{part: "other"})
    found = decide(new, candidate("old", hits(0)), "top-1", AT_95)
    assert not found.moves
    assert f"evaluated on another {part}" in found.reason
    assert "--as-champion" in found.reason


def test_other_queries_of_the_same_data_cannot_be_compared():
    found = decided(hits(10, of=10), hits(0, of=9))
    assert not found.moves
    assert "evaluated on other queries" in found.reason


def test_a_metric_that_one_of_them_lacks_decides_nothing():
    found = decide(candidate("new", hits(9)), candidate("old", hits(0)), "mAP", AT_95)
    assert not found.moves
    assert "new was not evaluated by mAP" in found.reason
