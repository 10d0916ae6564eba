"""Exact nearest neighbours: every query against the whole gallery, in bounded memory.

Two passes. A float32 product of all queries with all gallery vectors says which rows can be among
the answers, as far as its rounding errors allow; the distances of those few are computed again in
float64, and order them. The first pass is a matrix product and nearly all of the time.
"""

import mmap
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from gallerist.ranking import Ranking

Vectors = npt.NDArray[np.float32]
Distances = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

CHUNK_CELLS = 32_000_000
"""Similarities held at once: 128 MB of float32."""

BLOCK_CELLS = 64_000_000
"""Elements of queries, and of gallery vectors, multiplied at once: of vectors mapped from files, no
more are in memory, 256 MB of either kind. In smaller blocks the threads of a BLAS wait for each
other more often, which is what takes the time on a busy machine."""

GROUP_CELLS = 250_000
"""Similarities looked through at once: 1 MB of float32, which stays in a processor's cache. In a
collapsed network's gallery, where all rows are ties, so many distances are computed again."""

GATHERED_CELLS = 4_000_000
"""Elements of single rows read from a mapped file before its pages are let go: 16 MB. The kernel
may map 2 MB more at each end of a row."""

CACHED_CELLS = 1 << 16
"""Differences held at once: half a megabyte of float64, which a processor's cache can hold."""

SLICE = 2048
SLICES = 16
"""A vector is multiplied in slices of SLICE elements, which are added up: the bound of a product's
rounding error grows with its length. Longer vectors have SLICES longer slices instead, because with
every product the threads of a BLAS wait for each other."""


def search(
    queries: Vectors,
    query_ids: Sequence[str],
    gallery: Vectors,
    gallery_ids: Sequence[str],
    depth: int,
) -> Ranking:
    """Rank the gallery for every query; keep the first `depth` answers (all, if there are fewer).

    queries: (q, d) float32, gallery: (g, d) float32, rows of length 1 (or 0: an image without
    content). A gallery picture with the query's own id, which is the same file, is no answer.
    depth: at least 1.

    Order: by Euclidean distance computed in float64, equal distances by gallery id. It depends
    neither on the chunks nor on the threads, nor on how a BLAS adds up: see `margin`.

    Memory beyond arguments and result: some 250 MB at most, up to galleries of a million pictures;
    and as much of each of two mapped files as BLOCK_CELLS says.
    """
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"queries {queries.shape} and gallery {gallery.shape} are not of one feature length"
        )
    if depth < 1:
        raise ValueError(f"depth is {depth}; it is at least 1")
    row_of = {gallery_id: row for row, gallery_id in enumerate(gallery_ids)}
    place = np.empty(len(gallery), np.intp)
    place[sorted(range(len(gallery)), key=gallery_ids.__getitem__)] = np.arange(len(gallery))
    answers: list[tuple[str, ...]] = []
    distances: list[tuple[float, ...]] = []
    pictures, length = gallery.shape
    step = max(1, min(CHUNK_CELLS // max(1, pictures), BLOCK_CELLS // max(1, length)))
    for start in range(0, len(queries), step):
        chunk = np.asarray(queries[start : start + step])
        nearness = _nearness(chunk, gallery)
        for row, query_id in enumerate(query_ids[start : start + step]):
            if (own := row_of.get(query_id)) is not None:
                nearness[row, own] = -np.inf
        for rows, found in _ranked(chunk, nearness, gallery, place, depth):
            answers.append(tuple(gallery_ids[row] for row in rows))
            distances.append(tuple(found))
        _let_go(queries)
    return Ranking(tuple(query_ids), tuple(answers), tuple(distances))


def margin(length: int) -> float:
    """How far two float32 nearnesses can stand in the wrong order, for vectors of that length.

    A sum of n products rounded to unit roundoff u, in any order, with or without fused operations,
    errs by at most γ(n) Σ|q||g| with γ(n) = n u / (1 - n u), and Σ|q||g| is at most 1 for unit
    vectors. (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1.) Adding
    up m slices of n makes it γ(n + m). 8 more u cover the squared length of a row rounded to
    float32, the subtraction of a half, and the comparison. Twice that: both may err.

    2.5e-4 for a length of 2048, 7.5e-4 for 100,352. The errors met in practice are far smaller:
    measured with OpenBLAS kernels of five processor generations, at most 1.5e-6 for near duplicates
    and 1.4e-5 for vectors made so that the roundings add up.
    """
    roundings = min(length, _slice(length)) + -(-length // _slice(length)) + 8
    unit = 2.0**-24
    return 2 * roundings * unit / (1 - roundings * unit)


def _slice(length: int) -> int:
    return max(SLICE, -(-length // SLICES))


def _nearness(queries: Vectors, gallery: Vectors) -> Vectors:
    """Greater for nearer: q·g - |g|²/2, since |q - g|² = |q|² + |g|² - 2 q·g. (q, g) float32."""
    nearness = np.empty((len(queries), len(gallery)), np.float32)
    # The products of a slice take a quarter of a block's memory at most.
    step = max(1, BLOCK_CELLS // max(1, 4 * len(queries), gallery.shape[1]))
    for start in range(0, len(gallery), step):
        block = np.asarray(gallery[start : start + step])
        target = nearness[:, start : start + step]
        _multiply(queries, block, target)
        target -= np.where(block.any(axis=1), np.float32(0.5), np.float32(0))
        _let_go(gallery)
    return nearness


def _multiply(queries: Vectors, block: Vectors, target: Vectors) -> None:
    """Write queries @ block.T to `target`, one slice of the vectors after the other."""
    length = queries.shape[1]
    step = _slice(length)
    np.matmul(queries[:, :step], block[:, :step].T, out=target)
    part = np.empty(target.shape, np.float32) if length > step else target
    for start in range(step, length, step):
        columns = slice(start, start + step)
        np.matmul(queries[:, columns], block[:, columns].T, out=part)
        target += part


def _ranked(
    queries: Vectors, nearness: Vectors, gallery: Vectors, place: Rows, depth: int
) -> Iterator[tuple[list[int], list[float]]]:
    """For each query the gallery rows of its answers and their distances, best first.

    place: where each gallery row stands in the order of the ids, which decides between ties.
    """
    step = max(1, GROUP_CELLS // max(1, nearness.shape[1]))
    for start in range(0, len(queries), step):
        group = nearness[start : start + step]
        of_query, rows = _candidates(group, depth, margin(queries.shape[1]))
        exact = _distances(queries[start : start + step], of_query, gallery, rows)
        order = np.lexsort((place[rows], exact, of_query))
        rows, exact = rows[order], exact[order]
        ends = np.searchsorted(of_query, np.arange(len(group) + 1))
        for first, last in pairwise(ends.tolist()):
            kept = slice(first, min(last, first + depth))
            yield rows[kept].tolist(), exact[kept].tolist()


def _candidates(nearness: Vectors, depth: int, allowance: float) -> tuple[Rows, Rows]:
    """Which queries have to look again at which rows of the gallery: pairs, query by query.

    They are all rows down to the `depth`-th and `allowance` below it; never the query's own.
    """
    pictures = nearness.shape[1]
    bar = np.full((len(nearness), 1), -4.0)  # below every nearness, but above minus infinity
    if pictures > depth:
        last = np.partition(nearness, pictures - depth, axis=1)[:, pictures - depth, None]
        bar = np.maximum(bar, last.astype(np.float64) - allowance)
    wanted = np.flatnonzero(nearness >= bar.astype(np.float32))
    of_query, rows = np.divmod(wanted, max(1, pictures))
    return of_query, rows


def _distances(queries: Vectors, of_query: Rows, gallery: Vectors, rows: Rows) -> Distances:
    """Euclidean distances in float64 between queries[of_query] and gallery[rows], pair by pair."""
    squares = np.empty(len(rows))
    step = max(1, CACHED_CELLS // max(1, queries.shape[1]))
    vectors = np.asarray(gallery)  # indexing a np.memmap costs more than reading it
    read = 0
    for start in range(0, len(rows), step):
        pairs = slice(start, start + step)
        difference = vectors[rows[pairs]].astype(np.float64, order="C")
        difference -= queries[of_query[pairs]]
        # Not a BLAS product, whose last bits depend on its threads.
        squares[pairs] = np.einsum("ij,ij->i", difference, difference)
        read += difference.size
        if read >= GATHERED_CELLS:
            _let_go(gallery)
            read = 0
    _let_go(gallery)
    return np.asarray(np.sqrt(squares))


def _let_go(vectors: Vectors) -> None:
    """Count the pages of a mapped file no longer as this process's memory. They stay cached."""
    base: Any = vectors
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
