"""The published key fault: by hand, by simulation, and on the real ground truth."""

import csv
import itertools

import numpy as np
import pytest
from checkout import SHARED
from small_challenge import ANSWERS, SEEDED, TRUTH, means

from gallerist.challenge.key_fault import (
    CHANCE,
    RANDOM,
    chance,
    grade_with_key_fault,
    random_answers,
    study,
    write_study,
)
from gallerist.challenge.truth import Truth
from gallerist.io.errors import UserError


@pytest.fixture(scope="module")
def real_truth():
    file = SHARED / "data/challenge/ground_truth.json"
    if not file.is_file():
        pytest.skip("the challenge's ground truth is not here")
    return Truth.read(file)


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
            for query in TRUTH.answerable
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
    assert (len(real_truth.answerable), real_truth.distractors) == (65, 5335)
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
