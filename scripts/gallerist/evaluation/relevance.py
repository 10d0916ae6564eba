"""At which ranks the right answers to every query stand: all that a retrieval metric looks at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gallerist.data.manifest import DISTRACTOR
from gallerist.search.ranking import Ranking

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Labels = Sequence[str] | npt.NDArray[np.str_]

CHUNK_CELLS = 4_000_000
"""Answers of a dense ranking judged at once: some 50 MB."""


class RankingFault(ValueError):
    """A ranking, its labels or its counts that no metric can be computed from."""


class TruncatedRanking(RankingFault):
    """A metric needs ranks beyond those that were kept."""


@dataclass(frozen=True, eq=False)
class RelevantRanks:
    """The ranks of each query's right answers, in little memory, however large the gallery.

    ranks: (n,) int64, from 1, ascending within a query; the queries one after the other.
    offsets: (queries + 1,) int64: those of query i are ranks[offsets[i]:offsets[i + 1]].
    total: (queries,) int64, R: right pictures that the gallery has for the query, at least 1.
    depth: (queries,) int64, answers that were kept. What stands below is unknown.

    Raises RankingFault when the numbers contradict each other, and when R is 0: no ranking could
    answer such a query, so it is neither hit nor miss. Exclude and count those before.
    """

    ranks: IntArray
    offsets: IntArray
    total: IntArray
    depth: IntArray

    def __post_init__(self) -> None:
        """Check every number: a metric of inconsistent ones would look like any other."""
        queries = len(self.total)
        if len(self.depth) != queries or len(self.offsets) != queries + 1:
            raise RankingFault(
                f"R of {queries} queries, depth of {len(self.depth)} and "
                f"{len(self.offsets)} offsets do not belong together"
            )
        ends = self.offsets[[0, -1]].tolist()
        if ends != [0, len(self.ranks)] or (self.found < 0).any():
            raise RankingFault(f"the offsets do not divide {len(self.ranks)} ranks")
        _refuse(self.total < 1, "have no right picture in the gallery: exclude and count them")
        _refuse(self.found > self.total, "have more right answers than the gallery has pictures")
        falling = np.diff(self.ranks, prepend=0) < 1
        falling[self.offsets[:-1][self.found > 0]] = False
        wrong = falling | (self.ranks < 1) | (self.ranks > self.depth[self.query_of])
        _refuse(
            np.bincount(self.query_of[wrong], minlength=queries) > 0,
            "have ranks that do not rise from 1 to the depth",
        )

    def __len__(self) -> int:
        return len(self.total)

    @property
    def found(self) -> IntArray:
        """(queries,) int64: right answers within the depth."""
        return np.diff(self.offsets)

    @property
    def query_of(self) -> IntArray:
        """(n,) int64: the query each rank belongs to."""
        return np.repeat(np.arange(len(self.total)), self.found)

    @property
    def numbers(self) -> IntArray:
        """(n,) int64: 1 for a query's first right answer, 2 for its second, and so on."""
        return np.arange(1, len(self.ranks) + 1) - self.offsets[:-1][self.query_of]

    def require_known(self, k: int | IntArray, metric: str, instead: str) -> None:
        """Raise TruncatedRanking unless it is known which of the first k answers are right.

        It is when k answers were kept, or when no right picture is left to stand further down.
        k: one for all, or (queries,). metric, instead: what to call it, and what could be asked
        for instead; "{depth}" in it becomes the depth.
        """
        unknown = (self.depth < k) & (self.found < self.total)
        if unknown.any():
            depth = int(self.depth[unknown].min())
            raise TruncatedRanking(
                f"{metric} cannot be known: the ranking of {int(unknown.sum())} of {len(self)} "
                f"queries ends at rank {depth} with right pictures still to come. "
                "Keep a deeper ranking"
                + (f", or ask for {instead.format(depth=depth)}." if depth else ".")
            )

    def of(self, queries: npt.ArrayLike) -> "RelevantRanks":
        """Keep those queries, in that order. queries: positions, or (queries,) bool."""
        rows = np.arange(len(self))[np.asarray(queries)]
        counts = self.found[rows]
        offsets = _offsets(counts)
        taken = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], counts)
        return RelevantRanks(self.ranks[taken], offsets, self.total[rows], self.depth[rows])

    @classmethod
    def from_relevance(
        cls, relevant: BoolArray, total: npt.ArrayLike, *, depth: npt.ArrayLike | None = None
    ) -> "RelevantRanks":
        """Take it from rows of right and wrong.

        relevant: (queries, answers) bool, answer j of query i is right, best answer first.
        total: (queries,) R. depth: (queries,) answers that a query really has, where rows are
        padded with False; all columns unless given.
        """
        rows, columns = np.nonzero(relevant)
        queries, answers = relevant.shape
        depths = np.full(queries, answers) if depth is None else np.asarray(depth)
        return cls(
            columns.astype(np.int64) + 1,
            _offsets(np.bincount(rows, minlength=queries)),
            np.asarray(total, dtype=np.int64),
            depths.astype(np.int64),
        )

    @classmethod
    def from_matrix(
        cls,
        ranking: npt.NDArray[np.signedinteger[Any]],
        query_labels: Labels,
        gallery_labels: Labels,
        *,
        itself: npt.ArrayLike | None = None,
        judged: npt.ArrayLike | None = None,
    ) -> "RelevantRanks":
        """Judge a dense ranking by labels, some rows at a time: it may be mapped from a file.

        ranking: (queries, depth) signed integers, rows of the gallery, best first; -1 where a query
            has no more answers. query_labels, gallery_labels: the class of each.
        itself: (queries,) gallery row that is the query's own file, or -1. It is no answer.
        judged: positions of the queries to judge, in the order wanted; all unless given. They are
            those of which `count_right` finds at least one.

        Raises RankingFault for rows that the gallery does not have, a right picture that is ranked
        twice, an answer after -1, a query ranked as its own answer, and a query with R = 0.
        """
        own = _own_rows(itself, len(query_labels))
        if ranking.ndim != 2 or len(ranking) != len(query_labels):
            raise RankingFault(
                f"a ranking of shape {ranking.shape} is not one of {len(query_labels)} queries"
            )
        total = count_right(query_labels, gallery_labels, itself=own)
        chosen = np.arange(len(total)) if judged is None else np.asarray(judged, dtype=np.int64)
        wanted, codes = _codes(query_labels, gallery_labels)
        step = max(1, CHUNK_CELLS // max(1, ranking.shape[1]))
        ranks, counts, depths = [], [], []
        for start in range(0, len(chosen), step):
            rows = chosen[start : start + step]
            block = np.asarray(ranking[rows])
            depths.append(_depths(block, len(gallery_labels), own[rows]))
            of_query, columns = _right_answers(block, wanted[rows], codes)
            ranks.append(columns + 1)
            counts.append(np.bincount(of_query, minlength=len(rows)))
        return cls(_joined(ranks), _offsets(_joined(counts)), total[chosen].copy(), _joined(depths))

    @classmethod
    def from_ranking(
        cls, ranking: Ranking, query_labels: Mapping[str, str], gallery_labels: Mapping[str, str]
    ) -> "RelevantRanks":
        """Judge a ranking by the labels of queries and gallery, both by id.

        query_labels: the queries to judge, in the order wanted; further ones of the ranking are
        left out. A gallery picture with a query's id is that query's own file, and no answer.
        Raises RankingFault as `from_matrix` does, and for an id that one side does not have.
        """
        row_of = {identifier: row for row, identifier in enumerate(gallery_labels)}
        answers_of = dict(zip(ranking.query_ids, ranking.answers, strict=True))
        for query in query_labels:
            if query not in answers_of:
                raise RankingFault(f"the ranking lacks the query {query}")
        depth = max((len(answers_of[query]) for query in query_labels), default=0)
        matrix = np.full((len(query_labels), depth), -1, dtype=np.int32)
        for line, query in zip(matrix, query_labels, strict=True):
            answers = answers_of[query]
            try:
                line[: len(answers)] = [row_of[answer] for answer in answers]
            except KeyError as missing:
                raise RankingFault(
                    f"the ranking names {missing.args[0]}, which the gallery does not have"
                ) from None
        return cls.from_matrix(
            matrix,
            list(query_labels.values()),
            list(gallery_labels.values()),
            itself=[row_of.get(query, -1) for query in query_labels],
        )


def count_right(
    query_labels: Labels, gallery_labels: Labels, *, itself: npt.ArrayLike | None = None
) -> IntArray:
    """R of each query: gallery pictures of its class, not counting its own file.

    itself: (queries,) gallery row that is the query's own file, or -1. Returns (queries,) int64;
    0 for a query that cannot be judged, as is every distractor.
    """
    wanted, codes = _codes(query_labels, gallery_labels)
    own = _own_rows(itself, len(wanted))
    pictures = np.bincount(codes[codes >= 0], minlength=int(wanted.max(initial=0)) + 1)
    counted = np.where(wanted >= 0, pictures[np.maximum(wanted, 0)], 0)
    return np.asarray(counted - ((own >= 0) & (codes[own] == wanted)), dtype=np.int64)


def _codes(query_labels: Labels, gallery_labels: Labels) -> tuple[IntArray, npt.NDArray[np.int32]]:
    """Labels as numbers: -2 for a distractor query; -1 for a distractor of the gallery.

    The gallery's have one more at their end, which stands for "no answer": row -1 finds it.
    """
    queries = np.asarray(query_labels, dtype=np.str_)
    gallery = np.asarray(gallery_labels, dtype=np.str_)
    _, codes = np.unique(np.concatenate([queries, gallery]), return_inverse=True)
    wanted = np.where(queries == DISTRACTOR, -2, codes[: len(queries)])
    pictures = np.where(gallery == DISTRACTOR, -1, codes[len(queries) :])
    return wanted.astype(np.int64), np.append(pictures, -1).astype(np.int32)


def _own_rows(itself: npt.ArrayLike | None, queries: int) -> IntArray:
    if itself is None:
        return np.full(queries, -1, dtype=np.int64)
    rows = np.asarray(itself, dtype=np.int64)
    if rows.shape != (queries,):
        raise RankingFault(f"{rows.size} own pictures are not those of {queries} queries")
    return rows


def _depths(block: npt.NDArray[np.signedinteger[Any]], pictures: int, own: IntArray) -> IntArray:
    """Answers of each query, having checked that they are answers."""
    least, last = int(block.min(initial=0)), int(block.max(initial=-1))
    if least < -1 or last >= pictures:
        raise RankingFault(
            f"the ranking names row {least if least < -1 else last} of a gallery of {pictures}"
        )
    with_own = own >= 0
    if (block[with_own] == own[with_own, None]).any():
        raise RankingFault("a query is ranked as its own answer: leave its own file out")
    if least >= 0:
        return np.full(len(block), block.shape[1], dtype=np.int64)
    answers = block >= 0
    if (answers[:, 1:] > answers[:, :-1]).any():
        raise RankingFault("an answer stands after -1, which means that there are no more")
    return np.asarray(np.count_nonzero(answers, axis=1), dtype=np.int64)


def _right_answers(
    block: npt.NDArray[np.signedinteger[Any]], wanted: IntArray, codes: npt.NDArray[np.int32]
) -> tuple[IntArray, IntArray]:
    """Row and column of every right answer, row by row."""
    right = codes[block] == wanted[:, None].astype(np.int32)
    rows, columns = np.divmod(np.flatnonzero(right), max(1, block.shape[1]))
    pairs = rows * len(codes) + block[rows, columns]
    if len(np.unique(pairs)) < len(pairs):
        raise RankingFault("a right picture is ranked twice for one query")
    return rows.astype(np.int64), columns.astype(np.int64)


def _offsets(counts: npt.NDArray[np.signedinteger[Any]]) -> IntArray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _joined(parts: list[IntArray]) -> IntArray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])


def _refuse(wrong: BoolArray, what: str) -> None:
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise RankingFault(
            f"{int(wrong.sum())} of {len(wrong)} queries {what} (the first is number {first})"
        )
