"""Re-ranking by k-reciprocal neighbours: pictures are near when they have the same neighbourhood.

Zhong, Zheng, Cao and Li, Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017.
The defaults of the settings are the paper's.

Here every query is asked alone. In the authors' program the queries are each other's neighbours
too, so that an answer depends on what else is asked; and its distances are scaled by the largest
one among all.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from gallerist.io.arrays import AnyArray, Floats, Indices, Integers, Vectors
from gallerist.io.errors import UserError
from gallerist.search import ties
from gallerist.search.distances import UNIT_ROWS, distances
from gallerist.search.exact import search
from gallerist.search.ranking import Ranking
from gallerist.settings.ranking import KReciprocal

logger = logging.getLogger("gallerist")

Sparse = Any
"""A scipy.sparse.csr_array, which has no types of its own."""

MANY_PICTURES = 20_000
"""Galleries beyond are warned of: each is searched with itself, which takes its size squared."""

CHUNK_CELLS = 500_000
"""Distances from queries to the gallery in memory at once, some 80 MB while they are ordered."""

DECIMALS = 12
"""Of a mixed distance: the order in which it was added up must not decide between equals."""


def k_reciprocal(
    queries: Vectors,
    query_ids: Sequence[str],
    gallery: Vectors,
    gallery_ids: Sequence[str],
    settings: KReciprocal,
    *,
    depth: int,
) -> Ranking:
    """Rank the gallery for every query by a mixture of neighbourhood and distance.

    queries: (q, d) float32, gallery: (g, d) float32, rows of length 1 (or 0: without content).
    settings: k1, neighbours of a picture; k2, pictures whose neighbourhoods are averaged, the
    picture itself included, of which 1 averages nothing; weight, the λ of the original distance.
    k1 and k2 beyond the gallery mean all of it. depth: answers kept of each query, at least 1.

    The definition, with d(a, b) = |a - b|² / 2, which for unit vectors is 1 - cosine:
    N(x, k): the k nearest gallery pictures of x, ties by gallery id; of a gallery picture, itself
    besides. A query p is in N(g, k) when it is as near to g as the k-th nearest is.
    R(x, k): those g of N(x, k) with x in N(g, k).
    R*(x): R(x, k1) and every R(g, k1/2) of a g in R(x, k1) that has at least 2/3 of its pictures in
    R(x, k1); k1/2 is rounded to even and at least 1.
    V(x): over the gallery, exp(-d(x, g)) for g in R*(x), else 0; then the mean of V over x and its
    k2 - 1 nearest gallery pictures.
    Distance: (1 - λ) (1 - Σ min(V(p), V(g)) / Σ max(V(p), V(g))) + λ d(p, g), in [0, 2], float64.
    It is rounded to DECIMALS; equal distances are ordered by gallery id.

    A gallery picture with the query's own id is no answer and none of its nearest; to the gallery
    it remains what it is.

    Memory beyond arguments and result, with k1 = 20 and k2 = 6: some 300 MB for the search, and
    about 10 KB a gallery picture. Beyond MANY_PICTURES a warning says so.

    Raises UserError for an empty gallery.
    """
    if len(gallery) == 0:
        raise UserError("the gallery is empty: there are no neighbours to rank by")
    if len(gallery) > MANY_PICTURES:
        logger.warning(
            "k-reciprocal re-ranking of %d gallery pictures takes some %d MB, and time with the "
            "square of their number: it is made for up to %d",
            *(len(gallery), 300 + len(gallery) // 100, MANY_PICTURES),
        )
    k1, k2, weight, pictures = settings.k1, settings.k2, settings.weight, len(gallery)
    row_of = {identifier: row for row, identifier in enumerate(gallery_ids)}
    place = np.argsort(sorted(range(pictures), key=gallery_ids.__getitem__))  # by id
    neighbourhoods = _of_gallery(gallery, gallery_ids, row_of, k1, k2)
    answers: list[tuple[str, ...]] = []
    mixtures: list[tuple[float, ...]] = []
    step = max(1, CHUNK_CELLS // pictures)
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        near = search(np.asarray(queries[part]), query_ids[part], gallery, gallery_ids, pictures)
        for found, found_distances in zip(near.answers, near.distances, strict=True):
            rows = np.array([row_of[identifier] for identifier in found], dtype=np.intp)
            mixed = _mix_distances(rows, np.array(found_distances), neighbourhoods, k2, weight)
            order = np.lexsort((place[rows], mixed))[:depth]
            answers.append(tuple(gallery_ids[row] for row in rows[order]))
            mixtures.append(tuple(mixed[order].tolist()))
    return Ranking(tuple(query_ids), tuple(answers), tuple(mixtures))


@dataclass(frozen=True, eq=False)
class _Neighbourhoods:
    """What is known of the gallery before a query is asked.

    reach: (g,) Euclidean distance to the k1-th nearest other picture. near: k1 of the queries.
    small: (g, g) bool, row g is R(g, k1/2); sizes: (g,) how many those are.
    encoded: (g, g) V without the mean over neighbours. by_column: V, in columns. sums: (g,) ΣV.
    """

    near: int
    reach: Floats
    small: Sparse
    sizes: Integers
    encoded: Sparse
    by_column: Sparse
    sums: Floats


def _of_gallery(
    gallery: Vectors, gallery_ids: Sequence[str], row_of: dict[str, int], k1: int, k2: int
) -> _Neighbourhoods:
    pictures = len(gallery)
    lists = search(gallery, gallery_ids, gallery, gallery_ids, max(k1, k2))
    # A gallery picture is not its own answer, so all lists are of one length.
    width = min(max(k1, k2), pictures - 1)
    others = np.array(
        [row_of[identifier] for found in lists.answers for identifier in found], dtype=np.intp
    ).reshape(pictures, width)
    reach = np.full(pictures, np.inf)
    if pictures > k1:
        reach[:] = [found[k1 - 1] for found in lists.distances]
    del lists
    itself = np.arange(pictures)[:, None]
    nearest = np.concatenate([itself, others], axis=1)
    reciprocal = _reciprocal(nearest[:, : k1 + 1])
    small = _reciprocal(nearest[:, : _half(k1) + 1])
    sizes = np.diff(small.indptr).astype(np.int64)
    expanded = _expand(reciprocal, small, sizes)
    of_picture = np.repeat(np.arange(pictures), np.diff(expanded.indptr))
    others_of = expanded.indices.astype(np.intp)
    weights = np.exp(-(distances(gallery, of_picture, gallery, others_of, UNIT_ROWS) ** 2) / 2)
    encoded = sparse.csr_array((weights, expanded.indices, expanded.indptr), shape=expanded.shape)
    averaged = nearest[:, :k2]
    mean = _rows_to_matrix(averaged, pictures, np.full(averaged.size, 1 / averaged.shape[1]))
    final = mean @ encoded
    return _Neighbourhoods(
        k1, reach, small, sizes, encoded, sparse.csc_array(final), np.asarray(final.sum(axis=1))
    )


def _mix_distances(
    rows: Indices, distances: Floats, gallery: _Neighbourhoods, k2: int, weight: float
) -> Floats:
    """The mixed distance of one query to each of its answers.

    rows: all gallery pictures that may be answers, nearest first; distances: Euclidean ones.
    """
    half_squares = distances**2 / 2
    pictures = len(gallery.reach)
    first = rows[: gallery.near]
    mutual = np.sort(first[ties.key(distances[: gallery.near]) <= ties.key(gallery.reach[first])])
    reciprocal = _rows_to_matrix(mutual[None, :], pictures, np.ones(len(mutual), dtype=np.bool_))
    members = _expand(reciprocal, gallery.small, gallery.sizes).indices
    distance_of = np.zeros(pictures)  # a picture that is the query itself may be a neighbour's
    distance_of[rows] = half_squares
    own = np.zeros(pictures)
    own[members] = np.exp(-distance_of[members])
    averaged = rows[: k2 - 1]
    vector = (own + gallery.encoded[averaged].sum(axis=0)) / (1 + len(averaged))
    common = _common(vector, gallery.by_column)[rows]
    union = vector.sum() + gallery.sums[rows] - common
    # A query that no picture counts among its neighbours shares nothing.
    jaccard = 1 - np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    mixed = (1 - weight) * jaccard + weight * half_squares
    return np.asarray(np.round(mixed, DECIMALS))


def _common(vector: Floats, by_column: Sparse) -> Floats:
    """Σ min(V(p), V(g)) for every g, from the columns in which V(p) is not 0."""
    columns = np.flatnonzero(vector)
    part = by_column[:, columns]
    smaller = np.minimum(part.data, np.repeat(vector[columns], np.diff(part.indptr)))
    sums = np.bincount(part.indices, weights=smaller, minlength=by_column.shape[0])
    return sums.astype(np.float64)  # of nothing at all they are integers


def _rows_to_matrix(columns: Indices, width: int, values: AnyArray) -> Sparse:
    """A sparse matrix with `values` in the given columns, (rows, per row), of each row."""
    ends = np.arange(len(columns) + 1) * columns.shape[1]
    matrix = sparse.csr_array((values, columns.flatten(), ends), shape=(len(columns), width))
    matrix.sort_indices()
    return matrix


def _reciprocal(nearest: Indices) -> Sparse:
    """(g, g) bool: those pictures that are in each other's row of `nearest`."""
    listed = _rows_to_matrix(nearest, len(nearest), np.ones(nearest.size, dtype=np.bool_))
    return sparse.csr_array(listed.multiply(listed.T))


def _expand(reciprocal: Sparse, small: Sparse, sizes: Integers) -> Sparse:
    """R*: each row with the small sets of those of its members that it has 2/3 of."""
    shared = (reciprocal.astype(np.int64) @ small.astype(np.int64).T).multiply(
        reciprocal.astype(np.int64)
    )
    shared = sparse.csr_array(shared)
    taken = 3 * shared.data >= 2 * sizes[shared.indices]
    admitted = sparse.csr_array(
        (taken.astype(np.int64), shared.indices, shared.indptr), shape=shared.shape
    )
    admitted.eliminate_zeros()
    united = sparse.csr_array(reciprocal.astype(np.int64) + admitted @ small.astype(np.int64))
    united.sort_indices()
    return united


def _half(k1: int) -> int:
    return max(1, round(k1 / 2))
