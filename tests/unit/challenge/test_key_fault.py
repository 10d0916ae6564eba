"""The published key fault: by hand, by simulation, and on the real ground truth."""

import csv
import itertools

import numpy as np
import pytest
from checkout import SHARED
from small_challenge import ANSWERS, SEEDED, TRUTH, means, studied

from gallerist.challenge.key_fault import (
    CHANCE,
    RANDOM,
    chance,
    grade_with_key_fault,
    random_answers,
    write_study,
)
from gallerist.challenge.truth import Truth
from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.io.errors import UserError


@pytest.fixture(scope="module")
def real_truth():
    file = SHARED / "data/challenge/ground_truth.json"
    if not file.is_file():
        pytest.skip("the challenge's ground truth is not here")
    return Truth.read(file)


def test_the_fault_files_answers_under_gallery_names_where_distractors_match():
    by_name, _ = grade_with_key_fault(ANSWERS, TRUTH, SEEDED, ks=(1, 2))
    # The keys of q1 to q4 are a to d. a is a cat: c, then e, a cat. b is a dog: itself. c and d
    # match confusion images.
    assert means(by_name) == {"hit rate@1": 3 / 4, "hit rate@2": 1}


def test_the_expected_fault_is_the_mean_over_all_orders_of_the_gallery():
    def mean_over_orders(k):
        hits = [
            any(TRUTH.gallery[key] == TRUTH.gallery[name] for name in ANSWERS[query][:k])
            for order in itertools.permutations(TRUTH.gallery)
            for query, key in zip(ANSWERS, order, strict=False)
        ]
        return np.mean(hits)

    _, expected = grade_with_key_fault(ANSWERS, TRUTH, SEEDED, ks=(1, 2, 3))
    for k in (1, 2, 3):
        assert expected[f"hit rate@{k}"].mean == pytest.approx(mean_over_orders(k))


def test_the_fault_needs_answers_deep_enough_and_names_enough():
    with pytest.raises(UserError, match="6 answers to q1 are too few for a hit rate at 10"):
        grade_with_key_fault(ANSWERS, TRUTH, SEEDED)
    with pytest.raises(UserError, match="2 queries cannot be filed under the names of 1"):
        grade_with_key_fault(
            {"p": ("a",), "q": ("a",)}, Truth({"q": "cat"}, {"a": "cat"}), SEEDED, ks=(1,)
        )


def test_chance_is_what_random_rankings_reach_in_the_mean():
    rounds = 400
    drawn = np.zeros(3)
    for seed in range(rounds):
        answers = random_answers(TRUTH, 2, seed)
        both = grade_with_key_fault(answers, TRUTH, IntervalSettings(0, 100), ks=(2,))
        hits = [
            any(TRUTH.gallery[name] == TRUTH.query[query] for name in answers[query])
            for query in TRUTH.answerable
        ]
        drawn += (np.mean(hits), *(each["hit rate@2"].mean for each in both))
    assert drawn / rounds == pytest.approx([each.mean for each in chance(TRUTH, 2)], abs=0.06)


def test_a_random_ranking_has_no_repetition_and_depends_on_the_seed_alone():
    answers = random_answers(TRUTH, 99, 1)
    assert all(sorted(named) == sorted(TRUTH.gallery) for named in answers.values())
    assert answers == random_answers(TRUTH, 99, 1) != random_answers(TRUTH, 99, 2)


def test_the_study_has_a_row_a_ranker_and_k_and_is_written_as_such(tmp_path):
    rows = studied({"mine": ANSWERS}, TRUTH, ks=(1, 2))
    rankers = ["mine", "mine", RANDOM, RANDOM, CHANCE, CHANCE]
    assert [(row.ranker, row.k) for row in rows] == list(zip(rankers, [1, 2] * 3, strict=True))
    write_study(tmp_path / "study.csv", rows)
    with (tmp_path / "study.csv").open(newline="") as file:
        first, *_, last = csv.DictReader(file)
    assert (first["ranker"], first["right"], first["fault"]) == ("mine", "0.5000", "0.7500")
    assert (last["ranker"], last["right_low"]) == (CHANCE, "")
    assert float(last["fault_expected"]) == pytest.approx(chance(TRUTH, 2)[2].mean, abs=1e-4)


def test_the_study_names_the_ranker_that_cannot_be_graded():
    with pytest.raises(UserError, match="short: 1 answers to q1 are too few"):
        studied({"short": dict.fromkeys(TRUTH.query, ("a",))}, TRUTH, ks=(2,))
    with pytest.raises(UserError, match="no ranker can be called random"):
        studied({RANDOM: ANSWERS}, TRUTH)


def test_a_random_ranking_of_the_real_challenge_is_graded_by_the_fault_as_published(real_truth):
    assert (len(real_truth.answerable), real_truth.distractors) == (65, 5335)
    assert real_truth.relevance.excluded == ()
    settings = IntervalSettings(0, 200)
    rows = {(row.ranker, row.k): row for row in studied({}, real_truth, settings)}
    published_about = {1: 0.70, 5: 0.84, 10: 0.84}
    for k, figure in published_about.items():
        right, fault, _ = (each.mean for each in rows[RANDOM, k].estimates)
        assert right < 0.1
        assert fault == pytest.approx(figure, abs=0.06)
        right, fault, expected = (each.mean for each in rows[CHANCE, k].estimates)
        assert right < 0.03
        assert fault == pytest.approx(figure, abs=0.03)
        assert expected == pytest.approx(figure, abs=0.035)


def test_the_fault_ranks_a_perfect_ranker_of_the_real_challenge_far_below_chance(real_truth):
    of_class = {}
    for name, label in real_truth.gallery.items():
        of_class.setdefault(label, []).append(name)
    spare = sorted(set(real_truth.gallery))
    perfect = {
        query: tuple(dict.fromkeys([*of_class[label], *spare]))[:5]
        for query, label in real_truth.query.items()
    }
    row = studied({"perfect": perfect}, real_truth, IntervalSettings(0, 200), ks=(1, 5))[1]
    right, fault, expected = (each.mean for each in row.estimates)
    assert right == 1
    assert fault < 0.1
    assert expected < 0.1
