"""How many wrong labels change the winner: the bound against all relabellings of small cases."""

from itertools import combinations, product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gallerist.evaluation.wrong_labels import WrongLabels, fewest_wrong_labels

LABELS = 3
queries = st.lists(st.tuples(*[st.integers(0, LABELS - 1)] * 3), min_size=1, max_size=5)


def fewest_by_trying(labels, first, second):
    """The fewest queries whose relabelling lets the second experiment hit as often."""
    for count in range(len(labels) + 1):
        for rows in combinations(range(len(labels)), count):
            for others in product(range(LABELS), repeat=count):
                changed = list(labels)
                for row, label in zip(rows, others, strict=True):
                    changed[row] = label
                hits = [sum(map(int.__eq__, changed, answers)) for answers in (first, second)]
                if hits[0] <= hits[1]:
                    return count
    return None


@given(queries)
def test_of_hit_rates_at_1_it_is_the_fewest_labels_by_which_the_winner_changes(drawn):
    labels, first, second = zip(*drawn, strict=True)
    values = {
        name: np.array(
            [label == answer for label, answer in zip(labels, answers, strict=True)], float
        )
        for name, answers in (("first", first), ("second", second))
    }
    found = fewest_wrong_labels(values, [str(row) for row in range(len(labels))])
    answers = {"first": first, "second": second}
    assert found.wrong_labels == fewest_by_trying(labels, answers[found.best], answers[found.rival])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12))
def test_fewer_labels_than_that_leave_the_best_ahead(drawn):
    """Whatever the values of the relabelled queries become."""
    one, other = np.array(drawn).T
    found = fewest_wrong_labels({"one": one, "other": other}, list(range(len(one))))
    if found.wrong_labels > 1:
        lead = abs(one.sum() - other.sum())
        difference = (one - other) * np.sign(one.sum() - other.sum())
        falls = np.sort(1 + difference)[::-1]
        assert falls[: found.wrong_labels - 1].sum() < lead


def test_copies_of_one_original_have_one_label():
    best, rival = np.ones(6), np.zeros(6)
    by_query = fewest_wrong_labels({"a": best, "b": rival}, range(6))
    by_original = fewest_wrong_labels({"a": best, "b": rival}, [0, 0, 0, 1, 1, 1])
    assert (by_query.wrong_labels, by_original.wrong_labels) == (3, 1)


def test_the_rival_is_the_one_that_needs_fewest():
    values = {"far": np.zeros(4), "best": np.ones(4), "near": np.array([1.0, 1, 0, 0])}
    assert fewest_wrong_labels(values, range(4)) == ("best", "near", 1)


def test_experiments_that_are_level_need_none_and_one_alone_has_no_rival():
    level = fewest_wrong_labels({"a": np.array([1.0, 0]), "b": np.array([0.0, 1])}, range(2))
    assert level == ("a", "b", 0)
    assert fewest_wrong_labels({"a": np.ones(3)}, range(3)) is None


def test_the_sentence_says_how_many_and_by_what():
    assert WrongLabels("a", "b", 0).sentence("top-1") == "a and b are level by top-1."
    assert WrongLabels("a", "b", 1).sentence("mAP").startswith("a is best by mAP unless 1 label of")
