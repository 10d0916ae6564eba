"""Search as an experiment has it set: its metric, its index, and what mixes vectors before it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gallerist.features import Features, Vectors
from gallerist.query_expansion import augmented_gallery, expanded
from gallerist.ranking import Ranking
from gallerist.search import Metric, search

Mixture = Mapping[str, Any] | None
"""neighbours and alpha of `query_expansion`, or None to mix nothing."""


@dataclass(frozen=True)
class Settings:
    """How an experiment's gallery is searched: the keys of the configuration's `search`.

    index: a FAISS factory string, or None for exact search. nprobe, ef_search: its effort, or None.
    """

    metric: Metric = "cosine"
    index: str | None = None
    nprobe: int | None = None
    ef_search: int | None = None
    database_augmentation: Mixture = None
    query_expansion: Mixture = None


def searched(
    queries: Features, gallery: Features, depth: int, settings: Settings, *, threads: int
) -> tuple[Ranking, Any]:
    """Rank the gallery for every query; keep `depth` answers.

    The gallery is augmented first, then the queries are expanded with the augmented gallery. Mixed
    vectors are of length 1, so that there are no norms left for a Euclidean distance.

    Returns the ranking, and the `approximate_search.IndexReport` where there is an index, else
    None. Raises as `search`, `query_expansion` and `approximate_search`.
    """
    rows, targets = _mixed(queries, gallery, settings)
    mixed = settings.database_augmentation or settings.query_expansion
    measure: dict[str, Any] = {"metric": settings.metric}
    if not mixed:
        measure |= {"query_norms": queries.norms, "gallery_norms": gallery.norms}
    data = rows, queries.ids, targets, gallery.ids, depth
    if settings.index is None:
        return search(*data, **measure), None
    from gallerist.approximate_search import approximate

    return approximate(
        *data,
        index=settings.index,
        nprobe=settings.nprobe,
        ef_search=settings.ef_search,
        threads=threads,
        **measure,
    )


def _mixed(queries: Features, gallery: Features, settings: Settings) -> tuple[Vectors, Vectors]:
    rows, targets = queries.vectors, gallery.vectors
    if settings.database_augmentation:
        batches = augmented_gallery(targets, gallery.ids, **settings.database_augmentation)
        targets = np.concatenate([np.empty((0, targets.shape[1]), np.float32), *batches])
    if settings.query_expansion:
        rows = expanded(rows, queries.ids, targets, gallery.ids, **settings.query_expansion)
    return rows, targets
