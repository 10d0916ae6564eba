"""Grades of the challenge: by hand, by simulation, and the published fault on the real truth."""

import csv
import itertools

import numpy as np
import pytest
from checkout import SHARED
from sklearn.metrics import average_precision_score

from gallerist.challenge.grading import (
    CHANCE,
    RANDOM,
    chance,
    grade,
    grade_with_key_fault,
    growth,
    random_answers,
    study,
    write_study,
)
from gallerist.challenge.truth import CONFUSION, Truth
from gallerist.evaluation.curves import CurveFault
from gallerist.io.errors import UserError

# Gallery in the order of names: a cat, b dog, c and d confusion images, e cat, f owl.
TRUTH = Truth(
    {"q1": "cat", "q2": "dog", "q3": "emu", "q4": CONFUSION},
    {"f": "owl", "a": "cat", "b": "dog", "c": CONFUSION, "d": CONFUSION, "e": "cat"},
    {"q1": "photo", "q2": "sketch"},
)
ANSWERS = {
    "q1": ("c", "e", "b", "a", "d", "f"),
    "q2": ("b", "c", "d", "a", "e", "f"),
    "q3": ("d", "c", "a", "b", "e", "f"),
    "q4": ("c", "d", "f", "a", "b", "e"),
}
SEEDED = {"seed": 3, "rounds": 200}


def means(measures):
    return {name: each.mean for name, each in measures.items()}


@pytest.fixture(scope="module")
def real_truth():
    file = SHARED / "data/challenge/ground_truth.json"
    if not file.is_file():
        pytest.skip("the challenge's ground truth is not here")
    return Truth.read(file)


def test_grades_are_those_worked_out_by_hand():
    found = grade(ANSWERS, TRUTH, ks=(1, 2, 3), **SEEDED)
    assert found.assessment.queries == ("q1", "q2")
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
    found = grade(ANSWERS, TRUTH, **SEEDED).assessment
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
    assert not set(found.overall) & set(found.assessment.unknown)


def test_a_query_and_a_gallery_picture_of_one_name_are_two_pictures():
    truth = Truth({"1": "cat", "2": "dog"}, {"1": "cat", "2": "dog"})
    found = grade({"1": ("1", "2"), "2": ("1", "2")}, truth, ks=(1,), **SEEDED)
    assert found.assessment.values["hit rate@1"].tolist() == [1, 0]


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


def test_growth_is_the_mean_over_all_draws_of_distractors():
    found = growth(ANSWERS, TRUTH, k=1, step=1, **SEEDED)
    assert found.at.tolist() == [0, 1, 2]
    # q1 has one of the two confusion images ahead of its cat; q2 none ahead of its dog.
    assert found.means.tolist() == pytest.approx([1, (1 / 2 + 1) / 2, 1 / 2])


def test_growth_ends_at_the_hit_rate_of_the_whole_gallery_whatever_the_step():
    found = growth(ANSWERS, TRUTH, k=1, step=500, **SEEDED)
    assert (found.at.tolist(), found.means[-1]) == ([0, 2], 0.5)


def test_growth_of_a_list_that_is_too_short_is_refused():
    with pytest.raises(CurveFault, match="keep a deeper ranking"):
        growth({"q1": ("c",), "q2": ("c",)}, TRUTH, k=1, **SEEDED)


def test_the_fault_files_answers_under_gallery_names_where_distractors_match():
    found = grade_with_key_fault(ANSWERS, TRUTH, ks=(1, 2), **SEEDED)
    assert found.keys == {"q1": "a", "q2": "b", "q3": "c", "q4": "d"}
    assert found.distractor_keys == 2
    # a is a cat: c, then e, a cat. b is a dog: itself. c and d match confusion images.
    assert means(found.by_name) == {"hit rate@1": 3 / 4, "hit rate@2": 1}


def test_the_expected_fault_is_the_mean_over_all_orders_of_the_gallery():
    def mean_over_orders(k):
        hits = [
            any(TRUTH.gallery[key] == TRUTH.gallery[name] for name in ANSWERS[query][:k])
            for order in itertools.permutations(TRUTH.gallery)
            for query, key in zip(ANSWERS, order, strict=False)
        ]
        return np.mean(hits)

    found = grade_with_key_fault(ANSWERS, TRUTH, ks=(1, 2, 3), **SEEDED)
    for k in (1, 2, 3):
        assert found.expected[f"hit rate@{k}"].mean == pytest.approx(mean_over_orders(k))


def test_the_fault_needs_answers_deep_enough_and_names_enough():
    with pytest.raises(UserError, match="6 answers to q1 are too few for a hit rate at 10"):
        grade_with_key_fault(ANSWERS, TRUTH, **SEEDED)
    with pytest.raises(UserError, match="2 queries cannot be filed under the names of 1"):
        grade_with_key_fault(
            {"p": ("a",), "q": ("a",)}, Truth({"q": "cat"}, {"a": "cat"}), ks=(1,), **SEEDED
        )


def test_chance_is_what_random_rankings_reach_in_the_mean():
    rounds = 400
    drawn = np.zeros(3)
    for seed in range(rounds):
        answers = random_answers(TRUTH, 2, seed)
        fault = grade_with_key_fault(answers, TRUTH, ks=(2,), seed=0, rounds=100)
        hits = [
            any(TRUTH.gallery[name] == TRUTH.query[query] for name in answers[query])
            for query in TRUTH.judged
        ]
        both = (fault.by_name["hit rate@2"].mean, fault.expected["hit rate@2"].mean)
        drawn += (np.mean(hits), *both)
    assert drawn / rounds == pytest.approx(chance(TRUTH, 2), abs=0.06)


def test_a_random_ranking_has_no_repetition_and_depends_on_the_seed_alone():
    answers = random_answers(TRUTH, 99, 1)
    assert all(sorted(named) == sorted(TRUTH.gallery) for named in answers.values())
    assert answers == random_answers(TRUTH, 99, 1) != random_answers(TRUTH, 99, 2)


def test_the_study_has_a_row_a_ranker_and_k_and_is_written_as_such(tmp_path):
    rows = study({"mine": ANSWERS}, TRUTH, ks=(1, 2), **SEEDED)
    rankers = ["mine", "mine", RANDOM, RANDOM, CHANCE, CHANCE]
    assert [(row.ranker, row.k) for row in rows] == list(zip(rankers, [1, 2] * 3, strict=True))
    write_study(tmp_path / "study.csv", rows)
    with (tmp_path / "study.csv").open(newline="") as file:
        first, *_, last = csv.DictReader(file)
    assert (first["ranker"], first["right"], first["fault"]) == ("mine", "0.5000", "0.7500")
    assert (last["ranker"], last["right_low"]) == (CHANCE, "")
    assert float(last["fault_expected"]) == pytest.approx(chance(TRUTH, 2)[2], abs=1e-4)


def test_the_study_names_the_ranker_that_cannot_be_graded():
    with pytest.raises(UserError, match="short: 1 answers to q1 are too few"):
        study({"short": dict.fromkeys(TRUTH.query, ("a",))}, TRUTH, ks=(2,), **SEEDED)
    with pytest.raises(UserError, match="no ranker can be called random"):
        study({RANDOM: ANSWERS}, TRUTH, **SEEDED)


def test_a_random_ranking_of_the_real_challenge_is_graded_by_the_fault_as_published(real_truth):
    assert (len(real_truth.judged), real_truth.distractors) == (65, 5335)
    assert real_truth.excluded == ()
    rows = {(row.ranker, row.k): row for row in study({}, real_truth, seed=0, rounds=200)}
    published_about = {1: 0.70, 5: 0.84, 10: 0.84}
    for k, figure in published_about.items():
        assert rows[RANDOM, k].right.mean < 0.1
        assert rows[CHANCE, k].right.mean < 0.03
        assert rows[RANDOM, k].fault.mean == pytest.approx(figure, abs=0.06)
        assert rows[CHANCE, k].fault.mean == pytest.approx(figure, abs=0.03)
        assert rows[CHANCE, k].fault_expected.mean == pytest.approx(figure, abs=0.035)


def test_the_fault_ranks_a_perfect_ranker_of_the_real_challenge_far_below_chance(real_truth):
    of_class = {}
    for name, label in real_truth.gallery.items():
        of_class.setdefault(label, []).append(name)
    spare = sorted(set(real_truth.gallery))
    perfect = {
        query: tuple(dict.fromkeys([*of_class[label], *spare]))[:5]
        for query, label in real_truth.query.items()
    }
    row = study({"perfect": perfect}, real_truth, ks=(1, 5), seed=0, rounds=200)[1]
    assert row.right.mean == 1
    assert row.fault.mean < 0.1
    assert row.fault_expected.mean < 0.1
