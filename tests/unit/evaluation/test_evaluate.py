"""Right answers and judged queries: hand-worked, by their properties, and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from gallerist.data.manifest import DISTRACTOR
from gallerist.evaluation.evaluate import Evaluation, evaluate
from gallerist.search.ranking import Ranking

GALLERY = {
    "c1": "cat", "c2": "cat", "d1": "dog", "d2": "dog", "b1": "bird",
    "x1": DISTRACTOR, "x2": DISTRACTOR,
}  # fmt: skip


def ranked(**answers: str) -> Ranking:
    """A ranking: q="a b" gives query q the answers a and b, at distances 0.1, 0.2, ..."""
    found = tuple(tuple(line.split()) for line in answers.values())
    return Ranking(
        tuple(answers),
        found,
        tuple(tuple((number + 1) / 10 for number in range(len(line))) for line in found),
    )


@st.composite
def judged(draw):
    """A random ranking with the labels of its queries and of the gallery."""
    label = st.sampled_from(["cat", "dog", "bird", DISTRACTOR])
    gallery = {f"g{n}": draw(label) for n in range(draw(st.integers(1, 12)))}
    queries = {f"q{n}": draw(label) for n in range(draw(st.integers(0, 8)))}
    depth = draw(st.integers(0, len(gallery)))
    answers = tuple(tuple(draw(st.permutations(list(gallery))))[:depth] for _ in queries)
    distances = tuple(
        tuple(sorted(draw(st.lists(st.floats(0, 2), min_size=depth, max_size=depth))))
        for _ in queries
    )
    return Ranking(tuple(queries), answers, distances), queries, gallery


@settings(deadline=None)
@given(judged())
def test_every_query_is_either_judged_or_excluded(case):
    result = evaluate(*case)
    judged_ids = [each.query_id for each in result.results]
    assert sorted([*judged_ids, *result.excluded]) == sorted(case[1])


@settings(deadline=None)
@given(judged())
def test_distractors_are_never_right_and_never_judged(case):
    for each in evaluate(*case).results:
        assert each.label != DISTRACTOR
        assert not any(
            right
            for right, label in zip(each.right, each.answer_labels, strict=True)
            if label == DISTRACTOR
        )


def test_the_confusion_is_scikit_learns_of_a_classifier():
    """One gallery picture a class makes retrieval a classification by nearest picture."""
    rng = np.random.default_rng(1)
    classes = [f"class{number:02d}" for number in range(20)]
    truth = rng.integers(0, 20, 300)
    scores = rng.random((300, 20)) + 0.5 * np.eye(20)[truth]
    order = np.argsort(-scores, axis=1)
    ranking = Ranking(
        tuple(f"q{row}" for row in range(300)),
        tuple(tuple(f"g{column}" for column in line) for line in order),
        tuple(tuple(line) for line in -np.take_along_axis(scores, order, axis=1)),
    )
    result = evaluate(
        ranking,
        {f"q{row}": classes[label] for row, label in enumerate(truth)},
        {f"g{number}": name for number, name in enumerate(classes)},
    )
    names, counts = result.confusion()
    assert names == classes
    np.testing.assert_array_equal(counts, confusion_matrix(truth, order[:, 0], labels=range(20)))


def test_a_worked_case():
    ranking = ranked(q1="c1 d1 x1", q2="c1 x1 d2", q3="x1 x2 c1", q4="b1 c1 d1", q5="x1 b1 c2")
    labels = {"q1": "cat", "q2": "dog", "q3": "dog", "q4": "bird", "q5": "cat"}
    result = evaluate(ranking, labels, GALLERY)
    assert [each.first_right for each in result.results] == [1, 3, None, 1, 3]
    assert [each.label for each in result.results] == list(labels.values())
    first = result.results[0]
    assert first.answer_labels == ("cat", "dog", DISTRACTOR)
    assert first.right == (True, False, False)
    assert first.distances == (0.1, 0.2, 0.3)
    assert result.excluded == ()


def test_a_distractor_query_does_not_match_distractors():
    result = evaluate(ranked(q="x1 x2"), {"q": DISTRACTOR}, GALLERY)
    assert result.results == ()
    assert result.excluded == ("q",)


def test_queries_without_a_right_picture_are_excluded_and_named():
    labels = {"q1": "cat", "q2": "whale", "q3": DISTRACTOR, "q4": "bird"}
    ranking = ranked(q1="c1", q2="c1", q3="x1", q4="c1")
    result = evaluate(ranking, labels, GALLERY)
    assert result.excluded == ("q2", "q3")
    assert [each.right for each in result.results] == [(True,), (False,)]


def test_a_query_that_is_the_only_gallery_picture_of_its_class_is_excluded():
    labels = {"b1": "bird", "c1": "cat"}
    result = evaluate(ranked(b1="c1 d1", c1="d1 c2"), labels, GALLERY)
    assert result.excluded == ("b1",)  # nothing but itself could be right
    assert [each.query_id for each in result.results] == ["c1"]
    assert result.results[0].first_right == 2


def test_a_query_whose_file_is_in_the_gallery_under_another_class_is_judged():
    result = evaluate(ranked(d1="b1 c1"), {"d1": "bird"}, GALLERY)
    assert result.excluded == ()
    assert result.results[0].first_right == 1


def test_an_evaluation_of_nothing_is_empty():
    empty = Evaluation((), ("q",))
    assert empty.relevance().shape == (0, 0)
    classes, counts = empty.confusion()
    assert classes == []
    assert counts.shape == (0, 0)


def test_a_query_without_answers_is_a_miss_and_stands_in_no_row_of_the_confusion():
    result = evaluate(Ranking(("q",), ((),), ((),)), {"q": "cat"}, GALLERY)
    assert result.results[0].first_right is None
    assert result.relevance().shape == (1, 0)
    assert result.confusion()[1].sum() == 0


def test_answers_of_different_numbers_are_padded_as_wrong():
    labels = {"q1": "cat", "q2": "cat", "q3": "cat"}
    result = evaluate(ranked(q1="d1", q2="d1 d2 c1", q3="c2 d1"), labels, GALLERY)
    np.testing.assert_array_equal(result.relevance(), [[0, 0, 0], [0, 0, 1], [1, 0, 0]])


def test_confusion_counts_queries_by_the_class_of_their_first_answer():
    labels = {"q1": "cat", "q2": "cat", "q3": "dog", "q4": "cat", "q5": "whale"}
    ranking = ranked(q1="c1 d1", q2="x1 c1", q3="d2 c1", q4="c2 d1", q5="b1")
    classes, counts = evaluate(ranking, labels, GALLERY).confusion()
    assert classes == ["cat", DISTRACTOR, "dog"]
    np.testing.assert_array_equal(counts, [[2, 1, 0], [0, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("ranking", "message"),
    [
        (ranked(nobody="c1"), "the ranking names nobody, which the query does not have"),
        (ranked(q="c1 gone"), "the ranking names gone, which the gallery does not have"),
    ],
)
def test_an_unknown_id_is_named(ranking, message):
    with pytest.raises(ValueError, match=message):
        evaluate(ranking, {"q": "cat"}, GALLERY)


def test_a_ranking_that_lacks_a_query_is_refused():
    ranking = Ranking(("q1",), (("g1",),), ((0.1,),))
    with pytest.raises(ValueError, match="lacks 1 queries, q2 among them"):
        evaluate(ranking, {"q1": "cat", "q2": "dog"}, {"g1": "cat"})


def test_queries_of_which_none_can_be_judged_are_an_error_for_people():
    evaluation = evaluate(Ranking(("q1",), (("g1",),), ((0.1,),)), {"q1": "cat"}, {"g1": "dog"})
    with pytest.raises(ValueError, match=r"none of the 1 queries .* called the same"):
        evaluation.require_judged()
