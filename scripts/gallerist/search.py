"""Exact nearest neighbours: every query against the whole gallery, in bounded memory."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gallerist.ranking import Ranking

Vectors = npt.NDArray[np.float32]

CHUNK_CELLS = 32_000_000
"""Similarities held at once: 128 MB of float32."""

BLOCK_CELLS = 4_000_000
"""Differences held at once: 32 MB of float64."""

MARGIN = 1e-4
"""Float32 similarities this near to the last answer's are computed again in float64.

It must exceed twice the error of a float32 product. Measured with OpenBLAS, unit vectors of length
100,000, for five generations of processor: at most 5e-7 for random ones after ReLU, 1.5e-6 for near
duplicates, 1.4e-5 for constant ones and those with one large element, whose roundings add up."""


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

    Order: by Euclidean distance computed in float64, equal distances by gallery id. Candidates come
    from one float32 matrix product; all that might belong among the first `depth` within float32's
    error are computed again, so that the result does not depend on the chunks or on the threads.
    """
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"queries {queries.shape} and gallery {gallery.shape} are not of one feature length"
        )
    if depth < 1:
        raise ValueError(f"depth is {depth}; it is at least 1")
    # |q - g|² = |q|² + |g|² - 2 q·g: the nearest has the greatest q·g - |g|²/2.
    half_squares = np.where(gallery.any(axis=1), np.float32(0.5), np.float32(0))
    row_of = {gallery_id: row for row, gallery_id in enumerate(gallery_ids)}
    names = np.asarray(gallery_ids)
    answers: list[tuple[str, ...]] = []
    distances: list[tuple[float, ...]] = []
    step = max(1, CHUNK_CELLS // max(1, len(gallery)))
    for start in range(0, len(queries), step):
        nearness = queries[start : start + step] @ gallery.T
        nearness -= half_squares
        for offset, row in enumerate(nearness):
            own = row_of.get(query_ids[start + offset])
            if own is not None:
                row[own] = -np.inf
            candidates = _candidates(row, depth)
            exact = _distances(queries[start + offset], gallery, candidates)
            order = np.lexsort((names[candidates], exact))[:depth]
            answers.append(tuple(str(name) for name in names[candidates[order]]))
            distances.append(tuple(float(distance) for distance in exact[order]))
    return Ranking(tuple(query_ids), tuple(answers), tuple(distances))


def _candidates(nearness: Vectors, depth: int) -> npt.NDArray[np.intp]:
    """Rows that can be among the first `depth`: everything down to the last one, and its margin."""
    allowed = np.flatnonzero(nearness > -np.inf)
    if len(allowed) <= depth:
        return allowed
    last = np.partition(nearness, len(nearness) - depth)[len(nearness) - depth]
    return np.flatnonzero(nearness >= last - MARGIN)


def _distances(
    query: Vectors, gallery: Vectors, rows: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Euclidean distances to some rows. Block by block: a collapsed network makes all rows ties."""
    squares = np.empty(len(rows))
    step = max(1, BLOCK_CELLS // max(1, len(query)))
    for start in range(0, len(rows), step):
        block = gallery[rows[start : start + step]].astype(np.float64, order="C")
        block -= query
        squares[start : start + step] = np.square(block, out=block).sum(axis=1)
    return np.asarray(np.sqrt(squares))
