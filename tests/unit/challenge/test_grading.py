"""Grades of the challenge: by hand, and by simulation."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from small_challenge import ANSWERS, SEEDED, TRUTH, means

from gallerist.challenge.grading import grade, hit_rate_among_distractors
from gallerist.challenge.key_fault import study
from gallerist.challenge.truth import Truth
from gallerist.evaluation.curves import CurveError
from gallerist.io.errors import UserError


def test_grades_are_those_worked_out_by_hand():
    found = grade(ANSWERS, TRUTH, ks=(1, 2, 3), **SEEDED)
    assert found.scores.queries == ("q1", "q2")
    expected = {
        "hit rate@1": 1 / 2,
        "hit rate@2": 1,
        "hit rate@3": 1,
        "MRR@3": (1 / 2 + 1) / 2,
        "MRR": (1 / 2 + 1) / 2,
        "mAP": ((1 / 2 + 2 / 4) / 2 + 1) / 2,
        "mAP@R": ((1 / 2) / 2 + 1) / 2,
        "distractors@1": (1 + 0) / 2,
        "distractors@2": (1 / 2 + 1 / 2) / 2,
        "distractors@3": (1 / 3 + 2 / 3) / 2,
    }
    assert means(found.overall) == pytest.approx(expected)


def test_the_whole_ranking_has_the_average_precision_of_scikit_learn():
    found = grade(ANSWERS, TRUTH, **SEEDED).scores
    for query, value in zip(found.queries, found.values["mAP"], strict=True):
        right = [TRUTH.gallery[name] == TRUTH.query[query] for name in ANSWERS[query]]
        assert value == pytest.approx(average_precision_score(right, -np.arange(len(right))))


def test_distractors_and_queries_without_a_right_picture_are_excluded_and_named():
    found = grade(ANSWERS, TRUTH, **SEEDED)
    assert found.excluded == ("q3", "q4")
    figures = grade({**ANSWERS, "extra": ("a",)}, TRUTH, **SEEDED).figures()
    assert (figures["queries"], figures["excluded"]) == (2, ["q3", "q4"])
    assert figures["unlabelled"] == ["extra"]


def test_each_domain_has_its_own_grade():
    found = grade(ANSWERS, TRUTH, ks=(1,), **SEEDED)
    assert means(found.by_domain["photo"])["hit rate@1"] == 0
    assert means(found.by_domain["sketch"])["hit rate@1"] == 1
    assert found.by_domain["sketch"]["hit rate@1"].low is None  # one query allows no interval
    assert found.figures()["domains"]["photo"]["queries"] == 1


def test_what_a_short_list_cannot_tell_is_said_and_not_guessed():
    found = grade({query: named[:2] for query, named in ANSWERS.items()}, TRUTH, **SEEDED)
    assert {"hit rate@1", "distractors@1"} < set(found.overall)
    assert {"hit rate@5", "mAP", "distractors@5"} < set(found.figures()["unknown"])
    assert not set(found.overall) & set(found.scores.unknown)


def test_a_query_and_a_gallery_picture_of_one_name_are_two_pictures():
    truth = Truth({"1": "cat", "2": "dog"}, {"1": "cat", "2": "dog"})
    found = grade({"1": ("1", "2"), "2": ("1", "2")}, truth, ks=(1,), **SEEDED)
    assert found.scores.values["hit rate@1"].tolist() == [1, 0]


def test_the_order_of_the_truth_and_of_the_answers_changes_nothing():
    turned = Truth(
        dict(reversed(TRUTH.query.items())), dict(reversed(TRUTH.gallery.items())), TRUTH.domains
    )
    answers = dict(reversed(ANSWERS.items()))
    assert grade(answers, turned, **SEEDED).figures() == grade(ANSWERS, TRUTH, **SEEDED).figures()
    assert study({"r": answers}, turned, ks=(1, 2), **SEEDED) == study(
        {"r": ANSWERS}, TRUTH, ks=(1, 2), **SEEDED
    )


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"q1": ("a",)}, "1 queries, q2 the first, lack answers"),
        ({"a": ("a",), "b": ("a",)}, "keys were taken from the wrong list"),
        (
            {**ANSWERS, "q1": ("a", "zebra.jpg")},
            "zebra.jpg, an answer to q1, is not in the gallery",
        ),
        ({**ANSWERS, "q2": ("a", "c", "c")}, "c is an answer to q2 more than once"),
    ],
)
def test_answers_that_cannot_be_graded_are_named(answers, said):
    with pytest.raises(UserError, match=said):
        grade(answers, TRUTH, **SEEDED)


def test_a_truth_without_any_judged_query_is_refused():
    with pytest.raises(UserError, match="none of the 1 queries has a picture of its class"):
        grade({"q": ("a",)}, Truth({"q": "emu"}, {"a": "cat"}), **SEEDED)


def test_the_hit_rate_among_distractors_is_the_mean_over_all_draws_of_distractors():
    found = hit_rate_among_distractors(ANSWERS, TRUTH, k=1, step=1, **SEEDED)
    assert found.at.tolist() == [0, 1, 2]
    # q1 has one of the two confusion images ahead of its cat; q2 none ahead of its dog.
    assert found.means.tolist() == pytest.approx([1, (1 / 2 + 1) / 2, 1 / 2])


def test_the_hit_rate_among_distractors_ends_at_that_of_the_whole_gallery_whatever_the_step():
    found = hit_rate_among_distractors(ANSWERS, TRUTH, k=1, step=500, **SEEDED)
    assert (found.at.tolist(), found.means[-1]) == ([0, 2], 0.5)


def test_the_hit_rate_among_distractors_of_a_list_that_is_too_short_is_refused():
    with pytest.raises(CurveError, match="keep a deeper ranking"):
        hit_rate_among_distractors({"q1": ("c",), "q2": ("c",)}, TRUTH, k=1, **SEEDED)
