"""Candidates of an exact search in a large gallery: block by block, for many queries at once.

The product of many queries with a block of the gallery is as quick as a BLAS is; that of few
queries with all of it is only as quick as memory is. What is kept from block to block are the rows
that can still be among the answers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gallerist.io.arrays import Indices, Vectors

ROWS = 1 << 15
"""Of a gallery, in a block."""

FEW = 8
"""Answers are few where a block has so many times as many rows: most of it is passed over."""

MOST = 4_000_000
"""Pairs that are kept; in the gallery of a collapsed network all are ties, and so answers."""

Nearness = Callable[[slice], tuple[Vectors, Vectors]]
"""Of a block of gallery rows: (queries, rows) nearness, and how far each may err, which broadcasts
to that."""


def is_large(pictures: int, depth: int) -> bool:
    """Whether a gallery is worth it, when `depth` answers are asked for."""
    return pictures > 2 * ROWS and depth * FEW <= ROWS


@dataclass
class _Kept:
    """Pairs that can still be answers: (n,) each. best, worst: nearness, with its error."""

    of_query: Indices
    rows: Indices
    best: Vectors
    worst: Vectors

    def chosen(self, which: Indices) -> "_Kept":
        return _Kept(*(each[which] for each in vars(self).values()))

    @classmethod
    def together(cls, parts: list["_Kept"]) -> "_Kept":
        return cls(*map(np.concatenate, zip(*(vars(each).values() for each in parts), strict=True)))


def candidates(
    queries: int, pictures: int, depth: int, nearness: Nearness, cells: int
) -> tuple[Indices, Indices] | None:
    """Which queries have to look again at which rows of the gallery: pairs, query by query.

    None where they are too many to be kept.

    They are all rows that are, at their best, as near as the `depth`-th is at its worst; never one
    whose nearness is minus infinity. A block's bar is what the blocks before it say, which is never
    above the last one. cells: looked through at once.
    """
    bar = np.full((queries, 1), -4.0, np.float32)  # below every nearness, above minus infinity
    parts: list[_Kept] = []
    waiting = 0
    for start in range(0, pictures, ROWS):
        parts.append(_above(*nearness(slice(start, start + ROWS)), bar, start, depth, cells))
        waiting += len(parts[-1].rows)
        if waiting > MOST:
            return None
        if waiting > queries * depth:
            parts = [_still(_Kept.together(parts), bar, depth)]
            waiting = len(parts[0].rows) - queries * depth
    kept = _still(_Kept.together(parts), bar, depth)
    order = np.lexsort((kept.rows, kept.of_query))
    return kept.of_query[order], kept.rows[order]


def _above(
    block: Vectors, allowance: Vectors, bar: Vectors, start: int, depth: int, cells: int
) -> _Kept:
    """The pairs of a block that reach the bar at their best. start: its first row.

    The first block says by itself where the bar begins.
    """
    step = max(1, cells // max(1, block.shape[1]))
    parts = []
    for first in range(0, len(block), step):
        part = slice(first, first + step)
        near, err = block[part], allowance if allowance.ndim < 2 else allowance[part]
        if start == 0:
            worst = near - err
            worst.partition(worst.shape[1] - depth, axis=1)
            bar[part] = np.maximum(bar[part], worst[:, -depth, None])
        threshold = bar[part] - err
        wanted = np.flatnonzero(near >= np.nextafter(threshold, np.float32(-np.inf)))
        of_query, rows = np.divmod(wanted, block.shape[1])
        found = near[of_query, rows]
        errs = np.broadcast_to(err, near.shape)[of_query, rows]
        parts.append(_Kept(of_query + first, rows + start, found + errs, found - errs))
    return _Kept.together(parts)


def _still(kept: _Kept, bar: Vectors, depth: int) -> _Kept:
    """Raise the bars to what the pairs say, and keep those that reach theirs."""
    order = np.lexsort((-kept.worst, kept.of_query))
    of_query, worst = kept.of_query[order], kept.worst[order]
    starts = np.searchsorted(of_query, np.arange(len(bar)))
    ends = np.searchsorted(of_query, np.arange(len(bar)), side="right")
    enough = ends - starts >= depth
    bar[enough, 0] = np.maximum(bar[enough, 0], worst[starts[enough] + depth - 1])
    return kept.chosen(np.flatnonzero(kept.best >= bar[kept.of_query, 0]))
