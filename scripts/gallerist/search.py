"""Exact nearest neighbours: every query against the whole gallery, in bounded memory."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gallerist.ranking import Ranking

Vectors = npt.NDArray[np.float32]

CHUNK_CELLS = 32_000_000
"""Similarities held at once: 128 MB of float32."""

MARGIN = 1e-5
"""Float32 similarities this near to the last answer's are computed again in float64.

Unit vectors: the error of a float32 product of 100,000 terms stays below it (measured)."""


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

    Order: by Euclidean distance computed in float64, equal distances by gallery id. Candidates come
    from one float32 matrix product; all that might belong among the first `depth` within float32's
    error are computed again, so that the result does not depend on the chunks or on the threads.
    """
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"queries {queries.shape} and gallery {gallery.shape} are not of one feature length"
        )
    row_of = {gallery_id: row for row, gallery_id in enumerate(gallery_ids)}
    names = np.asarray(gallery_ids)
    answers: list[tuple[str, ...]] = []
    distances: list[tuple[float, ...]] = []
    step = max(1, CHUNK_CELLS // max(1, len(gallery)))
    for start in range(0, len(queries), step):
        similarities = queries[start : start + step] @ gallery.T
        for offset, row in enumerate(similarities):
            own = row_of.get(query_ids[start + offset])
            if own is not None:
                row[own] = -np.inf
            candidates = _candidates(row, depth)
            exact = _distances(queries[start + offset], gallery[candidates])
            order = np.lexsort((names[candidates], exact))[:depth]
            answers.append(tuple(str(name) for name in names[candidates[order]]))
            distances.append(tuple(float(distance) for distance in exact[order]))
    return Ranking(tuple(query_ids), tuple(answers), tuple(distances))


def _candidates(similarities: Vectors, depth: int) -> npt.NDArray[np.intp]:
    """Rows that can be among the first `depth`: everything down to the last one, and its margin."""
    allowed = np.flatnonzero(similarities > -np.inf)
    if len(allowed) <= depth:
        return allowed
    last = np.partition(similarities, len(similarities) - depth)[len(similarities) - depth]
    return np.flatnonzero(similarities >= last - MARGIN)


def _distances(query: Vectors, gallery: Vectors) -> npt.NDArray[np.float64]:
    difference = gallery.astype(np.float64) - query.astype(np.float64)
    return np.asarray(np.sqrt(np.square(difference).sum(axis=1)))
