"""Distances between pairs of vectors, in float64: what a ranking says and is ordered by."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from gallerist.io.arrays import Floats, Indices, Vectors, release_pages
from gallerist.io.errors import UserError
from gallerist.search import ties

Metric = Literal["cosine", "euclidean"]

METRICS: tuple[Metric, ...] = get_args(Metric)

GATHERED_CELLS = 4_000_000
"""Elements of single rows read from a mapped file before its pages are let go: 16 MB. The kernel
may map 2 MB more at each end of a row."""

CACHED_CELLS = 1 << 16
"""Differences held at once: half a megabyte of float64, which a processor's cache can hold."""


@dataclass(frozen=True)
class Measure:
    """How far apart a query and a gallery vector are: made by `of`, used by `distances`.

    queries: (q,), gallery: (g,) float64 in [0, 1): the lengths of the vectors as a part of
    2^exponent, a power of two so that dividing by it rounds nothing. None: those of the rows.
    """

    metric: Metric
    queries: Floats | None = None
    gallery: Floats | None = None
    exponent: int = 0

    @classmethod
    def of(
        cls,
        metric: Metric,
        queries: Vectors,
        gallery: Vectors,
        query_norms: Floats | None = None,
        gallery_norms: Floats | None = None,
    ) -> "Measure":
        """The measure for two sets of rows; arguments and refusals as of `exact.search`."""
        if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
            raise UserError(
                f"queries {queries.shape} and gallery {gallery.shape} are not of one feature length"
            )
        if (query_norms is None) != (gallery_norms is None):
            raise UserError("the norms of the queries and of the gallery come together")
        if query_norms is None or gallery_norms is None:
            return cls(metric)
        _check_norms("query", query_norms, queries)
        _check_norms("gallery", gallery_norms, gallery)
        if metric == "cosine":  # in which a length has no part
            return cls(metric)
        greatest = max(query_norms.max(initial=0.0), gallery_norms.max(initial=0.0))
        exponent = int(np.frexp(greatest)[1])
        of_queries, of_gallery = (np.ldexp(n, -exponent) for n in (query_norms, gallery_norms))
        return cls(metric, of_queries, of_gallery, exponent)

    def of_queries(self, part: slice | Indices) -> "Measure":
        """The same for some of the queries."""
        return self if self.queries is None else replace(self, queries=self.queries[part])

    def of_pairs(self, of_query: Indices, rows: Indices) -> tuple[Floats, Floats] | None:
        """The lengths of queries and gallery vectors, pair by pair; None for those of the rows."""
        if self.queries is None or self.gallery is None:
            return None
        return self.queries[of_query], self.gallery[rows]

    def of_gallery(self, part: slice) -> "Measure":
        """The same for some of the gallery."""
        return self if self.gallery is None else replace(self, gallery=self.gallery[part])


UNIT_ROWS = Measure("euclidean")


def distances(
    queries: Vectors, of_query: Indices, gallery: Vectors, rows: Indices, measure: Measure
) -> Floats:
    """The distances between queries[of_query] and gallery[rows], pair by pair, in float64.

    They do not depend on which other pairs are asked for. For their definition see `exact.search`,
    for what is at a right angle `ties`.
    """
    squares = np.empty(len(rows))
    vectors = np.asarray(gallery)  # indexing a np.memmap costs more than reading it
    for part in _parts(len(rows), gallery):
        squares[part] = _squares(queries, of_query[part], vectors, rows[part], measure)
    near = _near_right_angle(squares, of_query, rows, measure)
    for part in _parts(len(near), gallery):
        pairs = near[part]
        asked, found = of_query[pairs], rows[pairs]
        squares[pairs] = _by_products(
            squares[pairs], queries[asked], vectors[found], measure.of_pairs(asked, found)
        )
    if measure.metric == "cosine":
        return squares / 2
    return np.asarray(np.ldexp(np.sqrt(squares), measure.exponent))


def _parts(count: int, gallery: Vectors) -> Iterator[slice]:
    """So many pairs, as many at a time as a cache holds; a mapped gallery's pages are let go."""
    length = max(1, gallery.shape[1])
    step, read = max(1, CACHED_CELLS // length), 0
    for start in range(0, count, step):
        yield slice(start, start + step)
        read += step * length
        if read >= GATHERED_CELLS:
            release_pages(gallery)
            read = 0
    release_pages(gallery)


def _squares(
    queries: Vectors, of_query: Indices, gallery: Vectors, rows: Indices, measure: Measure
) -> Floats:
    """Squared distances; 2, as at a right angle, where a cosine has no direction to go by."""
    if (of_query == of_query[0]).all():
        of_query = of_query[:1]  # read once, and not for each of its answers
    asked = queries[of_query].astype(np.float64, order="C")
    first, last = rows[0], rows[-1]
    together = len(rows) == last - first + 1 and (np.diff(rows) == 1).all()
    found = gallery[first : last + 1] if together else gallery[rows]
    difference = found.astype(np.float64, order="C")
    if measure.metric == "cosine":
        without = ~(difference.any(axis=1) & asked.any(axis=1))
    if measure.queries is None or measure.gallery is None:
        difference -= asked
    else:
        difference *= measure.gallery[rows, None]
        difference -= asked * measure.queries[of_query, None]
    # Not a BLAS product, whose last bits depend on its threads.
    squares = np.einsum("ij,ij->i", difference, difference)
    if measure.metric == "cosine":
        squares[without] = 2
    return np.asarray(squares)


def _near_right_angle(
    squares: Floats, of_query: Indices, rows: Indices, measure: Measure
) -> Indices:
    """Which pairs may be at a right angle, or without content: few, of dense vectors."""
    if (lengths := measure.of_pairs(of_query, rows)) is not None:
        return np.flatnonzero(ties.near_right_angle(squares, lengths[0] ** 2 + lengths[1] ** 2))
    near = ties.near_right_angle(squares, 2)
    if measure.metric == "euclidean":  # where one is without content
        near |= ties.near_right_angle(squares, 1)
    return np.flatnonzero(near)


def _by_products(
    squares: Floats, asked: Vectors, found: Vectors, lengths: tuple[Floats, Floats] | None
) -> Floats:
    """Squared distances of pairs of rows, from their cosines where these are about 0; see `ties`.

    lengths: that the vectors have; None for those of the rows, 1 or without content 0.
    """
    one, other = lengths or tuple(each.any(axis=1).astype(np.float64) for each in (asked, found))
    cosines = ties.cosines(asked, found)
    whole = one**2 + other**2
    right = (np.abs(cosines) <= ties.RIGHT_ANGLE) & ties.near_right_angle(squares, whole)
    return np.asarray(np.where(right, whole - 2 * one * other * cosines, squares))


def _check_norms(part: str, norms: Floats, vectors: Vectors) -> None:
    if norms.shape != (len(vectors),):
        raise UserError(f"{len(vectors)} {part} vectors have norms of shape {norms.shape}")
    if not (np.isfinite(norms) & (norms >= 0)).all():
        raise UserError(f"the {part} norms are not all finite and at least 0")
