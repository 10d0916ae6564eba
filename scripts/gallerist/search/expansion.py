"""Vectors mixed with those of their nearest neighbours: query expansion, database augmentation."""

from collections.abc import Iterator, Sequence

import numpy as np

from gallerist.features.store import normalise
from gallerist.io.arrays import Floats, Vectors
from gallerist.search.exact import search
from gallerist.settings.ranking import Neighbourhood

BATCH_CELLS = 4_000_000
"""Elements of mixed vectors held at once: 32 MB of float64."""


def expand_queries(
    queries: Vectors,
    query_ids: Sequence[str],
    gallery: Vectors,
    gallery_ids: Sequence[str],
    settings: Neighbourhood,
) -> Vectors:
    """Each query, mixed with the nearest `settings.neighbours` vectors of the gallery.

    queries: (q, d), gallery: (g, d) float32, rows of length 1 (or 0: a picture without content).
    Returns (q, d) float32, rows of length 1. A query of zeros stays zeros. A gallery picture with
    the query's own id is no neighbour of it.

    The mixture is q + sum of w_i g_i, scaled to length 1, over the neighbours g_i. Its weights are
    w_i = max(0, q·g_i)^alpha: with alpha = 0 all are 1, which is average query expansion (Chum et
    al., Total recall, 2007); with alpha > 0 it is alpha query expansion (Radenovic, Tolias and
    Chum, Fine-tuning CNN image retrieval with no human annotation, 2018, where alpha is 3).

    Memory beyond arguments and result: that of `search`, and BATCH_CELLS.
    """
    batches = _mix(queries, query_ids, gallery, gallery_ids, settings)
    return np.concatenate([np.empty((0, queries.shape[1]), np.float32), *batches])


def augment_gallery(
    gallery: Vectors, gallery_ids: Sequence[str], settings: Neighbourhood
) -> Vectors:
    """Each gallery vector, mixed with its nearest `settings.neighbours` others.

    gallery: (g, d) float32, rows of length 1 or 0. Returns as many, of length 1 (or 0).

    Database-side feature augmentation (Arandjelovic and Zisserman, Three things everyone should
    know to improve object retrieval, 2012; Gordo et al., End-to-end learning of deep visual
    representations for image retrieval, 2017), with the weights of `expand_queries`. All neighbours
    are those of the gallery as given: no vector is mixed with an already mixed one.
    """
    return expand_queries(gallery, gallery_ids, gallery, gallery_ids, settings)


def _mix(
    vectors: Vectors,
    ids: Sequence[str],
    gallery: Vectors,
    gallery_ids: Sequence[str],
    settings: Neighbourhood,
) -> Iterator[Vectors]:
    row_of = {gallery_id: row for row, gallery_id in enumerate(gallery_ids)}
    nearest = search(vectors, ids, gallery, gallery_ids, settings.neighbours).answers
    others = np.asarray(gallery)  # indexing a np.memmap costs more than reading it
    step = max(1, BATCH_CELLS // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), step):
        mixtures = vectors[start : start + step].astype(np.float64)
        for mixture, answers in zip(mixtures, nearest[start : start + step], strict=True):
            rows = [row_of[answer] for answer in answers]
            if mixture.any():
                mixture += _weigh(mixture, others[rows].astype(np.float64), settings.alpha)
        yield normalise(mixtures)


def _weigh(vector: Floats, neighbours: Floats, alpha: float) -> Floats:
    # einsum, not a BLAS product, whose last bits depend on its threads.
    cosines = np.einsum("d,nd->n", vector, neighbours)
    weights = np.maximum(cosines, 0.0) ** alpha  # 0 ** 0 is 1: an average weighs all alike
    return np.asarray(np.einsum("n,nd->d", weights, neighbours))
