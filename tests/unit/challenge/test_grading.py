"""Grades of the challenge: by hand, and by simulation."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from small_challenge import ANSWERS, SEEDED, TRUTH, means, studied

from gallerist.challenge.grading import ALL, grade, hit_rate_among_distractors
from gallerist.challenge.truth import Truth, match
from gallerist.evaluation.curves import CurveError
from gallerist.io.errors import UserError


def test_grades_are_those_worked_out_by_hand():
    found = grade(ANSWERS, TRUTH, SEEDED, ks=(1, 2, 3))[ALL]
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
    assert means(found.estimates) == pytest.approx(expected)


def test_the_whole_ranking_has_the_average_precision_of_scikit_learn():
    found = grade(ANSWERS, TRUTH, SEEDED)[ALL].scores
    for query, value in zip(found.queries, found.values["mAP"], strict=True):
        relevant = [TRUTH.gallery[name] == TRUTH.query[query] for name in ANSWERS[query]]
        expected = average_precision_score(relevant, -np.arange(len(relevant)))
        assert value == pytest.approx(expected)


def test_distractors_and_queries_without_a_relevant_picture_are_excluded_and_named():
    assert TRUTH.relevance.excluded == ("q3", "q4")
    found = grade({**ANSWERS, "extra": ("a",)}, TRUTH, SEEDED)[ALL]
    assert found.scores.queries == ("q1", "q2")
    assert match(TRUTH, ANSWERS, TRUTH.gallery)[1] == [
        "2 queries have no picture of their class in the gallery: q3, q4"
    ]


def test_each_domain_has_its_own_grade():
    found = grade(ANSWERS, TRUTH, SEEDED, ks=(1,))
    assert list(found) == [ALL, "photo", "sketch"]
    assert means(found["photo"].estimates)["hit rate@1"] == 0
    assert means(found["sketch"].estimates)["hit rate@1"] == 1
    assert found["sketch"].estimates["hit rate@1"].low is None  # one query allows no interval
    assert found["photo"].scores.queries == ("q1",)


def test_metrics_beyond_a_short_ranking_are_unknown_with_the_reason():
    found = grade({query: named[:2] for query, named in ANSWERS.items()}, TRUTH, SEEDED)[ALL]
    assert {"hit rate@1", "distractors@1"} < set(found.estimates)
    assert {"hit rate@5", "mAP", "distractors@5"} < set(found.scores.unknown)
    assert not set(found.estimates) & set(found.scores.unknown)


def test_a_query_and_a_gallery_picture_of_one_name_are_two_pictures():
    truth = Truth({"1": "cat", "2": "dog"}, {"1": "cat", "2": "dog"})
    found = grade({"1": ("1", "2"), "2": ("1", "2")}, truth, SEEDED, ks=(1,))[ALL]
    assert found.scores.values["hit rate@1"].tolist() == [1, 0]


def test_the_order_of_the_truth_and_of_the_answers_changes_nothing():
    turned = Truth(
        dict(reversed(TRUTH.query.items())), dict(reversed(TRUTH.gallery.items())), TRUTH.domains
    )
    answers = dict(reversed(ANSWERS.items()))
    found, expected = grade(answers, turned, SEEDED), grade(ANSWERS, TRUTH, SEEDED)
    for domain in (ALL, "photo", "sketch"):
        assert found[domain].estimates == expected[domain].estimates
    one, other = (studied({"r": a}, t, ks=(1, 2)) for a, t in ((answers, turned), (ANSWERS, TRUTH)))
    assert one == other


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"q1": ("a",)}, "the ranking lacks the query q2"),
        ({**ANSWERS, "q1": ("a", "zebra.jpg")}, "names zebra.jpg, which the gallery does not have"),
        ({**ANSWERS, "q2": ("a", "b", "b")}, "relevant picture is ranked twice for the query q2"),
    ],
)
def test_answers_that_cannot_be_graded_are_named(answers, message):
    with pytest.raises(UserError, match=message):
        grade(answers, TRUTH, SEEDED)


def test_a_truth_without_any_answerable_query_is_refused():
    with pytest.raises(UserError, match="none of the 1 queries has a picture of its class"):
        grade({"q": ("a",)}, Truth({"q": "emu"}, {"a": "cat"}), SEEDED)


def test_the_hit_rate_among_distractors_is_the_mean_over_all_draws_of_distractors():
    found = hit_rate_among_distractors(ANSWERS, TRUTH, SEEDED, k=1, step=1)
    assert found.at.tolist() == [0, 1, 2]
    # q1 has one of the two confusion images ahead of its cat; q2 none ahead of its dog.
    assert found.means.tolist() == pytest.approx([1, (1 / 2 + 1) / 2, 1 / 2])


def test_the_hit_rate_among_distractors_ends_at_that_of_the_whole_gallery_whatever_the_step():
    found = hit_rate_among_distractors(ANSWERS, TRUTH, SEEDED, k=1, step=500)
    assert (found.at.tolist(), found.means[-1]) == ([0, 2], 0.5)


def test_the_hit_rate_among_distractors_of_a_list_that_is_too_short_is_refused():
    with pytest.raises(CurveError, match="keep a deeper ranking"):
        hit_rate_among_distractors({"q1": ("c",), "q2": ("c",)}, TRUTH, SEEDED, k=1)
