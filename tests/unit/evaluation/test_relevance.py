"""What is relevant, and at which ranks: against a naive loop, scikit-learn, and hand-worked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from gallerist.data.manifest import DISTRACTOR
from gallerist.evaluation.relevance import Relevance, evaluate
from gallerist.evaluation.relevant_ranks import RelevantRanks, TruncatedRanking
from gallerist.io.errors import UserError
from gallerist.search.ranking import Ranking


@st.composite
def evaluated(draw):
    """A dense ranking, cut at some depth, with labels; some queries are gallery pictures."""
    label = st.sampled_from(["cat", "dog", "bird", DISTRACTOR])
    gallery = draw(st.lists(label, min_size=1, max_size=12))
    queries = draw(st.lists(label, max_size=8))
    depth = draw(st.integers(0, len(gallery)))
    itself = [draw(st.integers(-1, len(gallery) - 1)) for _ in queries]
    matrix = np.full((len(queries), depth), -1, dtype=np.int32)
    for line, own in zip(matrix, itself, strict=True):
        order = [row for row in draw(st.permutations(range(len(gallery)))) if row != own]
        line[: len(order)] = order[:depth]
    return matrix, queries, gallery, itself


def naive(line, label, gallery, own):
    """Ranks of the right answers, R and the number of answers, one answer at a time."""
    ranks, answers = [], 0
    for rank, row in enumerate(line, start=1):
        if row < 0:
            break
        answers = rank
        if gallery[row] == label and label != DISTRACTOR:
            ranks.append(rank)
    total = 0
    for row, other in enumerate(gallery):
        total += other == label and label != DISTRACTOR and row != own
    return ranks, total, answers


def rows_of(ranks):
    """The ranks as one list a query."""
    return [part.tolist() for part in np.split(ranks.ranks, ranks.offsets[1:-1])][: len(ranks)]


def by_id(matrix, queries, gallery, itself):
    """The same with ids: the ranking, and the classes of queries and gallery."""
    itself = [
        own if own not in itself[:number] else -1 for number, own in enumerate(itself)
    ]  # two queries cannot be one file
    names = [f"g{row}" for row in range(len(gallery))]
    ids = [names[own] if own >= 0 else f"q{row}" for row, own in enumerate(itself)]
    answers = tuple(
        tuple(names[row] for row in line if row >= 0 and row != own)
        for line, own in zip(matrix, itself, strict=True)
    )
    distances = tuple(tuple(0.1 * n for n in range(len(line))) for line in answers)
    label_of, gallery_of = (
        dict(zip(each, labels, strict=True)) for each, labels in ((ids, queries), (names, gallery))
    )
    expected = [
        naive([names.index(answer) for answer in line], label, gallery, own)
        for line, label, own in zip(answers, queries, itself, strict=True)
    ]
    return Ranking(tuple(ids), answers, distances), label_of, gallery_of, expected


@settings(deadline=None)
@given(evaluated(), st.randoms(use_true_random=False))
def test_a_ranking_is_evaluated_as_a_naive_loop_does_in_any_order_of_the_queries(case, random):
    ranking, queries, gallery, expected = by_id(*case)
    relevance = Relevance.of_classes(queries, gallery)
    assert [relevance.total(query) for query in queries] == [each[1] for each in expected]
    kept = [query for query, each in zip(queries, expected, strict=True) if each[1]]
    assert list(relevance.answerable) == kept
    assert list(relevance.excluded) == [query for query in queries if query not in kept]
    random.shuffle(kept)
    ranks = relevance.ranks(dict(zip(ranking.query_ids, ranking.answers, strict=True)), kept)
    of_query = dict(zip(queries, expected, strict=True))
    assert rows_of(ranks) == [of_query[query][0] for query in kept]
    assert ranks.total.tolist() == [of_query[query][1] for query in kept]
    assert ranks.depth.tolist() == [of_query[query][2] for query in kept]
    assert ranks.first == [next(iter(of_query[query][0]), None) for query in kept]


@settings(deadline=None)
@given(evaluated())
def test_single_answers_the_evaluation_and_the_ranks_agree_on_what_is_relevant(case):
    ranking, queries, gallery, expected = by_id(*case)
    evaluation = evaluate(ranking, queries, gallery)
    relevance = Relevance.of_classes(queries, gallery)
    assert evaluation.queries == relevance.answerable
    assert rows_of(evaluation.ranks) == [each[0] for each in expected if each[1]]
    for result in evaluation.results:
        single = [relevance.is_relevant(result.query_id, answer) for answer in result.answers]
        assert list(result.relevant) == single
        assert not any(
            label == DISTRACTOR and mark
            for label, mark in zip(result.answer_labels, single, strict=True)
        )


def test_where_ids_are_names_in_two_folders_equal_ones_are_two_pictures():
    queries, gallery = {"a.png": "cat", "b.png": "dog"}, {"a.png": "cat", "c.png": "dog"}
    two = Relevance.of_classes(queries, gallery, same_files=False)
    assert two.answerable == ("a.png", "b.png")
    assert two.is_relevant("a.png", "a.png")
    assert Relevance.of_classes(queries, gallery).excluded == ("a.png",)


def test_rows_of_right_and_wrong():
    relevant = np.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=bool)
    ranks = RelevantRanks.from_marks([*relevant[:2], relevant[2, :2]], [2, 5, 1])
    assert rows_of(ranks) == [[2, 4], [], [1]]
    assert ranks.found.tolist() == [2, 0, 1]
    assert ranks.query_of.tolist() == [0, 0, 2]
    assert ranks.numbers.tolist() == [1, 2, 1]
    assert ranks.depth.tolist() == [4, 4, 2]
    assert all(
        each.dtype == np.int64 for each in (ranks.ranks, ranks.offsets, ranks.total, ranks.depth)
    )


def test_some_of_the_queries_can_be_kept_in_any_order():
    relevant = np.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=bool)
    ranks = RelevantRanks.from_marks(relevant, [2, 5, 1])
    turned = ranks.of([2, 1, 0, 0])
    assert rows_of(turned) == [[1], [], [2, 4], [2, 4]]
    assert turned.total.tolist() == [1, 5, 2, 2]
    assert rows_of(ranks.of(np.array([True, False, True]))) == [[2, 4], [1]]
    assert len(ranks.of(np.zeros(3, dtype=bool))) == 0


def test_what_was_cut_off_is_unknown_unless_nothing_is_left_to_find():
    ranks = RelevantRanks.from_marks(np.array([[1, 0], [0, 1]], dtype=bool), [2, 1])
    ranks.require_known(2, "mAP@2", "mAP@{depth}")
    with pytest.raises(TruncatedRanking, match=r"mAP@3 cannot .* 1 of 2 .* rank 2 .* mAP@2\."):
        ranks.require_known(3, "mAP@3", "mAP@{depth}")
    ranks.of([1]).require_known(10**9, "mAP", "mAP@{depth}")
    ranks.require_known(np.array([2, 99]), "R-precision", "precision@{depth}")
    with pytest.raises(TruncatedRanking):
        ranks.require_known(np.array([3, 1]), "R-precision", "precision@{depth}")


def test_a_query_without_answers_asks_for_no_metric_at_zero():
    ranks = RelevantRanks.from_marks(np.zeros((1, 0), dtype=bool), [1])
    with pytest.raises(TruncatedRanking, match=r"Keep a deeper ranking\.$"):
        ranks.require_known(1, "mAP@1", "mAP@{depth}")


def test_queries_without_a_right_picture_are_refused_and_counted():
    with pytest.raises(UserError, match=r"2 of 3 queries have no relevant .* number 0"):
        RelevantRanks.from_marks(np.zeros((3, 2), dtype=bool), [0, 1, 0])


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("c1 d1 c1", "ranked twice"),
        ("c1 q d1", "ranked as its own answer"),
        ("c1 gone", "names gone, which the gallery does not have"),
    ],
)
def test_a_ranking_that_cannot_be_is_refused(answers, message):
    relevance = Relevance.of_classes({"q": "cat"}, {"c1": "cat", "d1": "dog", "q": "cat"})
    with pytest.raises(UserError, match=message):
        relevance.ranks({"q": answers.split()})


def test_more_relevant_answers_than_there_are_pictures_are_refused():
    with pytest.raises(UserError, match=r"1 of 2 .* more relevant answers than the gallery has"):
        RelevantRanks.from_marks([[True, False], [True, True]], [1, 1])


def test_a_query_that_is_not_ranked_is_named():
    relevance = Relevance.of_classes({"q": "cat", "q2": "cat"}, {"g1": "cat"})
    with pytest.raises(UserError, match="lacks the query q2"):
        relevance.ranks({"q": ["g1"]})
    with pytest.raises(UserError, match="1 of 1 queries have no relevant picture"):
        Relevance.of_classes({"q": "dog"}, {"g1": "cat"}).ranks({"q": ["g1"]}, ["q"])


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
def labelled(draw):
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
@given(labelled())
def test_every_query_is_either_evaluated_or_excluded(case):
    result = evaluate(*case)
    evaluated_ids = [each.query_id for each in result.results]
    assert sorted([*evaluated_ids, *result.excluded]) == sorted(case[1])


@settings(deadline=None)
@given(labelled())
def test_distractors_are_never_right_and_never_evaluated(case):
    for each in evaluate(*case).results:
        assert each.label != DISTRACTOR
        assert not any(
            right
            for right, label in zip(each.relevant, each.answer_labels, strict=True)
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
    names, counts, *_ = result.confusion()
    assert names == classes
    np.testing.assert_array_equal(counts, confusion_matrix(truth, order[:, 0], labels=range(20)))


def test_a_worked_case():
    ranking = ranked(q1="c1 d1 x1", q2="c1 x1 d2", q3="x1 x2 c1", q4="b1 c1 d1", q5="x1 b1 c2")
    labels = {"q1": "cat", "q2": "dog", "q3": "dog", "q4": "bird", "q5": "cat"}
    result = evaluate(ranking, labels, GALLERY)
    assert result.ranks.first == [1, 3, None, 1, 3]
    assert [each.label for each in result.results] == list(labels.values())
    first = result.results[0]
    assert first.answer_labels == ("cat", "dog", DISTRACTOR)
    assert first.relevant == (True, False, False)
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
    assert [each.relevant for each in result.results] == [(True,), (False,)]


def test_a_query_that_is_the_only_gallery_picture_of_its_class_is_excluded():
    labels = {"b1": "bird", "c1": "cat"}
    result = evaluate(ranked(b1="c1 d1", c1="d1 c2"), labels, GALLERY)
    assert result.excluded == ("b1",)  # nothing but itself could be right
    assert [each.query_id for each in result.results] == ["c1"]
    assert result.ranks.first == [2]


def test_a_query_whose_file_is_in_the_gallery_under_another_class_is_evaluated():
    result = evaluate(ranked(d1="b1 c1"), {"d1": "bird"}, GALLERY)
    assert result.excluded == ()
    assert result.ranks.first == [1]


def test_an_evaluation_of_nothing_is_empty():
    empty = evaluate(Ranking(("q",), ((),), ((),)), {"q": "whale"}, GALLERY)
    classes, counts, *_ = empty.confusion()
    assert classes == []
    assert counts.shape == (0, 0)


def test_a_query_without_answers_is_a_miss_and_stands_in_no_row_of_the_confusion():
    result = evaluate(Ranking(("q",), ((),), ((),)), {"q": "cat"}, GALLERY)
    assert result.ranks.first == [None]
    assert result.confusion()[1].sum() == 0


def test_confusion_counts_queries_by_the_class_of_their_first_answer():
    labels = {"q1": "cat", "q2": "cat", "q3": "dog", "q4": "cat", "q5": "whale"}
    ranking = ranked(q1="c1 d1", q2="x1 c1", q3="d2 c1", q4="c2 d1", q5="b1")
    classes, counts, *_ = evaluate(ranking, labels, GALLERY).confusion()
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


def test_queries_of_which_none_can_be_evaluated_are_an_error_for_people():
    evaluation = evaluate(Ranking(("q1",), (("g1",),), ((0.1,),)), {"q1": "cat"}, {"g1": "dog"})
    with pytest.raises(ValueError, match=r"none of the 1 queries .* called the same"):
        evaluation.require_results()


@settings(deadline=None)
@given(evaluated(), st.data())
def test_junk_is_as_if_it_was_not_in_the_gallery(case, data):
    ranking, queries, gallery, _ = by_id(*case)
    junk = set(data.draw(st.lists(st.sampled_from(sorted(gallery)))))
    right = [(q, g, 1.0) for q, label in queries.items() for g in gallery if gallery[g] == label]
    pairs = [(q, g, relevance) for q, g, relevance in right if g not in junk]
    pairs += [(q, g, -1.0) for q in queries for g in junk]
    with_junk = Relevance.of_pairs(queries, gallery, pairs)
    without = Relevance.of_pairs(queries, gallery, [p for p in pairs if p[2] > 0])
    answers = dict(zip(ranking.query_ids, ranking.answers, strict=True))
    judged = {q: [a for a in row if a not in junk] for q, row in answers.items()}
    ranks, expected = with_junk.ranks(answers), without.ranks(judged)
    assert rows_of(ranks) == rows_of(expected)
    assert ranks.total.tolist() == expected.total.tolist()
    assert ranks.depth.tolist() == expected.depth.tolist()
    assert ranks.gains is None
    for query, row in answers.items():
        marks = with_junk.mark(query, row)
        assert [mark is None for mark in marks] == [answer in junk for answer in row]
        assert list(marks) == [with_junk.judge(query, answer) for answer in row]


def test_grades_follow_the_queries_and_leave_the_own_file_out():
    pairs = [("a", "x", 3.0), ("a", "y", 1.0), ("b", "b", 2.0), ("b", "y", 2.0)]
    relevance = Relevance.of_pairs(["a", "b"], ["x", "y", "b", "z"], pairs)
    ranks = relevance.ranks({"a": ["y", "z", "x"], "b": ["y"]})
    assert ranks.gains.tolist() == [1, 3, 2]
    assert ranks.ideal.tolist() == [3, 1, 2]
    turned = ranks.of([1, 0])
    assert turned.gains.tolist() == [2, 1, 3]
    assert turned.ideal.tolist() == [2, 3, 1]
