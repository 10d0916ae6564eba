"""Ranks of right answers: from every kind of ranking the same, against a naive loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.data.manifest import DISTRACTOR
from gallerist.evaluation import relevance as relevant_ranks
from gallerist.evaluation.evaluate import evaluate
from gallerist.evaluation.relevance import (
    RankingFault,
    RelevantRanks,
    TruncatedRanking,
    count_right,
)
from gallerist.search.ranking import Ranking

GALLERY = ["cat", "cat", "dog", "dog", DISTRACTOR, "bird"]


@st.composite
def judged(draw):
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


@settings(deadline=None)
@given(judged(), st.integers(1, 40))
def test_a_dense_ranking_is_judged_as_a_naive_loop_does(case, cells):
    matrix, queries, gallery, itself = case
    expected = [
        naive(line, label, gallery, own)
        for line, label, own in zip(matrix, queries, itself, strict=True)
    ]
    total = count_right(queries, gallery, itself=itself)
    assert total.tolist() == [each[1] for each in expected]
    kept = np.flatnonzero(total)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relevant_ranks, "CHUNK_CELLS", cells)
        ranks = RelevantRanks.from_matrix(matrix, queries, gallery, itself=itself, judged=kept)
    assert len(ranks) == len(kept)
    assert rows_of(ranks) == [expected[row][0] for row in kept]
    assert ranks.total.tolist() == [expected[row][1] for row in kept]
    assert ranks.depth.tolist() == [expected[row][2] for row in kept]


@settings(deadline=None)
@given(judged())
def test_a_ranking_by_id_is_judged_as_the_dense_one_and_as_the_evaluation(case):
    matrix, queries, gallery, itself = case
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
    ranking = Ranking(tuple(ids), answers, distances)
    label_of, gallery_of = (
        dict(zip(ids, queries, strict=True)),
        dict(zip(names, gallery, strict=True)),
    )
    evaluation = evaluate(ranking, label_of, gallery_of)
    total = count_right(queries, gallery, itself=itself)
    assert [each.query_id for each in evaluation.results] == [
        ids[row] for row in np.flatnonzero(total)
    ]
    ranks = RelevantRanks.from_ranking(
        ranking, {each.query_id: each.label for each in evaluation.results}, gallery_of
    )
    assert rows_of(ranks) == [
        [rank for rank, right in enumerate(each.right, start=1) if right]
        for each in evaluation.results
    ]
    assert ranks.total.tolist() == total[total > 0].tolist()
    assert ranks.depth.tolist() == [len(each.answers) for each in evaluation.results]


def test_rows_of_right_and_wrong():
    relevant = np.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=bool)
    ranks = RelevantRanks.from_relevance(relevant, [2, 5, 1], depth=[4, 4, 2])
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
    ranks = RelevantRanks.from_relevance(relevant, [2, 5, 1])
    turned = ranks.of([2, 1, 0, 0])
    assert rows_of(turned) == [[1], [], [2, 4], [2, 4]]
    assert turned.total.tolist() == [1, 5, 2, 2]
    assert rows_of(ranks.of(np.array([True, False, True]))) == [[2, 4], [1]]
    assert len(ranks.of(np.zeros(3, dtype=bool))) == 0


def test_a_ranking_mapped_from_a_file_is_judged_as_one_in_memory(tmp_path):
    rng = np.random.default_rng(1)
    gallery = rng.choice(["a", "b", "c"], 50).tolist()
    matrix = np.stack([rng.permutation(50) for _ in range(9)]).astype(np.int32)
    np.save(tmp_path / "ranking.npy", matrix)
    mapped = np.load(tmp_path / "ranking.npy", mmap_mode="r")
    queries = rng.choice(["a", "b", "c"], 9).tolist()
    one, other = (RelevantRanks.from_matrix(each, queries, gallery) for each in (matrix, mapped))
    np.testing.assert_array_equal(one.ranks, other.ranks)
    assert len(one.ranks) == sum(gallery.count(label) for label in queries)


def test_what_was_cut_off_is_unknown_unless_nothing_is_left_to_find():
    ranks = RelevantRanks.from_relevance(np.array([[1, 0], [0, 1]], dtype=bool), [2, 1])
    ranks.require_known(2, "mAP@2", "mAP@{depth}")
    with pytest.raises(TruncatedRanking, match=r"mAP@3 cannot .* 1 of 2 .* rank 2 .* mAP@2\."):
        ranks.require_known(3, "mAP@3", "mAP@{depth}")
    ranks.of([1]).require_known(10**9, "mAP", "mAP@{depth}")
    ranks.require_known(np.array([2, 99]), "R-precision", "precision@{depth}")
    with pytest.raises(TruncatedRanking):
        ranks.require_known(np.array([3, 1]), "R-precision", "precision@{depth}")


def test_a_query_without_answers_asks_for_no_metric_at_zero():
    ranks = RelevantRanks.from_relevance(np.zeros((1, 0), dtype=bool), [1])
    with pytest.raises(TruncatedRanking, match=r"Keep a deeper ranking\.$"):
        ranks.require_known(1, "mAP@1", "mAP@{depth}")


def test_queries_without_a_right_picture_are_refused_and_counted():
    with pytest.raises(RankingFault, match=r"2 of 3 queries have no right .* number 0"):
        RelevantRanks.from_relevance(np.zeros((3, 2), dtype=bool), [0, 1, 0])
    with pytest.raises(RankingFault, match="1 of 2 queries have no right picture"):
        RelevantRanks.from_matrix(np.array([[0], [0]]), ["cat", DISTRACTOR], GALLERY)


@pytest.mark.parametrize(
    ("matrix", "queries", "itself", "message"),
    [
        ([[0, 6]], ["cat"], None, "row 6 of a gallery of 6"),
        ([[0, -2]], ["cat"], None, "row -2 of a gallery of 6"),
        ([[0, -1, 1]], ["cat"], None, "an answer stands after -1"),
        ([[0, 1, 0]], ["cat"], None, "ranked twice"),
        ([[0, 1, 2]], ["cat"], [1], "ranked as its own answer"),
        ([[0, 1]], ["cat", "dog"], None, r"shape \(1, 2\) is not one of 2 queries"),
        ([[0, 1]], ["cat"], [1, 2], "2 own pictures are not those of 1 queries"),
    ],
)
def test_a_ranking_that_cannot_be_is_refused(matrix, queries, itself, message):
    with pytest.raises(RankingFault, match=message):
        RelevantRanks.from_matrix(np.array(matrix), queries, GALLERY, itself=itself)


@pytest.mark.parametrize(
    ("ranks", "offsets", "total", "depth", "message"),
    [
        ([1, 1], [0, 2], [2], [5], "do not rise"),
        ([2, 1], [0, 2], [2], [5], "do not rise"),
        ([0, 1], [0, 2], [2], [5], "do not rise"),
        ([1, 6], [0, 2], [2], [5], "do not rise from 1 to the depth"),
        ([1, 2], [0, 2], [1], [5], "more right answers than the gallery has"),
        ([1, 2], [0, 1], [2], [5], "do not divide 2 ranks"),
        ([1, 2], [0, 2, 1, 2], [2, 2, 2], [5, 5, 5], "do not divide 2 ranks"),
        ([1, 2], [0, 2], [2], [5, 5], "do not belong together"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(ranks, offsets, total, depth, message):
    with pytest.raises(RankingFault, match=message):
        RelevantRanks(*(np.array(each, dtype=np.int64) for each in (ranks, offsets, total, depth)))


def test_unknown_ids_are_named():
    ranking = Ranking(("q",), (("g1", "gone"),), ((0.1, 0.2),))
    with pytest.raises(RankingFault, match="names gone, which the gallery does not have"):
        RelevantRanks.from_ranking(ranking, {"q": "cat"}, {"g1": "cat"})
    with pytest.raises(RankingFault, match="lacks the query q2"):
        RelevantRanks.from_ranking(ranking, {"q2": "cat"}, {"g1": "cat", "gone": "cat"})
