"""At which ranks a ranking has the relevant answers to its queries: what metrics are made of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

import numpy as np
import numpy.typing as npt

from gallerist.io.arrays import Booleans, Floats, Integers
from gallerist.io.errors import UserError

Marks = Sequence[bool | None]
"""Whether each answer is relevant, best first; None for junk."""


class TruncatedRanking(UserError):
    """A metric needs ranks beyond those that were kept."""


@dataclass(frozen=True, eq=False)
class RelevantRanks:
    """The ranks of each query's relevant answers, in little memory, however large the gallery.

    ranks: (n,) int64, from 1, ascending within a query; the queries one after the other.
    offsets: (queries + 1,) int64: those of query i are ranks[offsets[i]:offsets[i + 1]].
    total: (queries,) int64, R: relevant pictures that the gallery has, at least 1.
    depth: (queries,) int64, answers that were kept. What stands below is unknown.
    gains: (n,) float64, how relevant each of those answers is. ideal: (sum of total,) float64, the
    gains of all R relevant pictures, falling within a query. Both None where all are alike, 1.

    Raises UserError when more are found than there are, and when R is 0: no ranking could answer
    such a query, so it is neither hit nor miss. Exclude and count those before.
    """

    ranks: Integers
    offsets: Integers
    total: Integers
    depth: Integers
    gains: Floats | None = None
    ideal: Floats | None = None

    def __post_init__(self) -> None:
        """Check what comes from outside: a metric of inconsistent numbers would seem right."""
        for refused, reason in (
            (self.total < 1, "have no relevant picture in the gallery: exclude and count them"),
            (self.found > self.total, "have more relevant answers than the gallery has"),
        ):
            if refused.any():
                raise UserError(
                    f"{int(refused.sum())} of {len(self)} queries {reason} (the first is number "
                    f"{int(refused.argmax())})"
                )

    def __len__(self) -> int:
        return len(self.total)

    @property
    def found(self) -> Integers:
        """(queries,) int64: relevant answers within the depth."""
        return np.diff(self.offsets)

    @property
    def query_of(self) -> Integers:
        """(n,) int64: the query each rank belongs to."""
        return np.repeat(np.arange(len(self.total)), self.found)

    @property
    def numbers(self) -> Integers:
        """(n,) int64: 1 for a query's first relevant answer, 2 for its second, and so on."""
        return np.arange(1, len(self.ranks) + 1) - self.offsets[:-1][self.query_of]

    @cached_property
    def first(self) -> list[int | None]:
        """Rank of each query's first relevant answer; None where none is within the depth."""
        found = zip(self.offsets[:-1], self.found, strict=True)
        return [int(self.ranks[start]) if count else None for start, count in found]

    def require_known(self, k: int | Integers, metric: str, instead: str) -> None:
        """Raise TruncatedRanking unless it is known which of the first k answers are relevant.

        It is when k answers were kept, or when no relevant picture is left to stand further down.
        k: one for all, or (queries,). metric, instead: what to call it, and what could be asked
        for instead; "{depth}" in it becomes the depth.
        """
        unknown = (self.depth < k) & (self.found < self.total)
        if unknown.any():
            depth = int(self.depth[unknown].min())
            raise TruncatedRanking(
                f"{metric} cannot be known: the ranking of {int(unknown.sum())} of {len(self)} "
                f"queries ends at rank {depth} with relevant pictures still to come. "
                "Keep a deeper ranking"
                + (f", or ask for {instead.format(depth=depth)}." if depth else ".")
            )

    def of(self, queries: npt.ArrayLike) -> "RelevantRanks":
        """Keep those queries, in that order. queries: positions, or (queries,) bool."""
        rows = np.arange(len(self))[np.asarray(queries)]
        counts = self.found[rows]
        offsets = _offsets(counts)
        taken = _of_rows(rows, self.offsets)
        gains, ideal = self.gains, self.ideal
        return RelevantRanks(
            self.ranks[taken],
            offsets,
            self.total[rows],
            self.depth[rows],
            None if gains is None else gains[taken],
            None if ideal is None else ideal[_of_rows(rows, _offsets(self.total))],
        )

    def ended_by_itself(self, depth: int | None) -> "RelevantRanks":
        """The same ranks, with nothing unknown where fewer than `depth` answers were kept.

        depth: answers that were asked for, None for all. Where there are fewer the ranking ended by
        itself, as that of an approximate index may: a relevant picture that it lacks is not
        unknown, but was not found, as in trec_eval.
        """
        ended = np.full(len(self), True) if depth is None else self.depth < depth
        return replace(self, depth=np.where(ended, np.iinfo(np.int64).max, self.depth))

    @classmethod
    def from_marks(
        cls,
        marks: Sequence[Marks] | Booleans,
        total: npt.ArrayLike,
        gains: Sequence[Sequence[float]] | None = None,
        ideal: Sequence[Sequence[float]] | None = None,
    ) -> "RelevantRanks":
        """Take it from marks: for each query whether answer j is relevant, best answer first.

        An answer that is marked None is junk, and taken out before ranks are counted. total:
        (queries,) R. The depth is how many other marks there are. gains: of each query's relevant
        answers in their order; ideal: of all its relevant pictures, in any order.
        """
        judged = [[mark for mark in row if mark is not None] for row in marks]
        rows = [np.flatnonzero(np.asarray(row, dtype=np.bool_)) + 1 for row in judged]
        return cls(
            np.concatenate([np.zeros(0, dtype=np.int64), *rows]),
            _offsets(np.array([len(row) for row in rows], dtype=np.int64)),
            np.asarray(total, dtype=np.int64),
            np.array([len(row) for row in judged], dtype=np.int64),
            None if gains is None else _joined(gains),
            None if ideal is None else _joined(sorted(each, reverse=True) for each in ideal),
        )


def _of_rows(rows: Integers, offsets: Integers) -> Integers:
    """Where the numbers of those rows are, of rows that stand one after the other."""
    counts = np.diff(offsets)[rows]
    return np.arange(counts.sum()) + np.repeat(offsets[rows] - _offsets(counts)[:-1], counts)


def _joined(rows: Iterable[Sequence[float]]) -> Floats:
    return np.fromiter(chain.from_iterable(rows), np.float64)


def _offsets(counts: npt.NDArray[np.signedinteger]) -> Integers:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
