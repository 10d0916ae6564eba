"""Search as an experiment has it set: its metric, its index, and what mixes vectors before it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from gallerist.features.store import Features
from gallerist.io.arrays import Vectors
from gallerist.io.files import PathLike
from gallerist.search.distances import Measure
from gallerist.search.exact import search
from gallerist.search.expansion import augment_gallery, expand_queries
from gallerist.search.ranking import Ranking
from gallerist.settings.ranking import Search

if TYPE_CHECKING:
    from gallerist.search.faiss_index import BuiltIndex


def search_gallery(
    queries: Features,
    gallery: Features,
    depth: int,
    settings: Search,
    *,
    threads: int,
    kept_in: PathLike | None = None,
) -> tuple[Ranking, Any]:
    """Rank the gallery for every query; keep `depth` answers.

    The gallery is augmented first, then the queries are expanded with the augmented gallery. Mixed
    vectors are of length 1, so that there are no norms left for a Euclidean distance. kept_in: the
    folder of indexes, see `kept_index`; None keeps none.

    Returns the ranking, and the `approximate.IndexReport` where there is an index, else
    None. Raises as `search`, `expansion` and `search_approximately`.
    """
    targets = _augment(gallery, settings)
    rows = _expand(queries, targets, gallery, settings)
    data = rows, queries.ids, targets, gallery.ids, depth
    norms = _norms(queries, gallery, settings)
    if settings.index is None:
        return search(*data, metric=settings.metric, **norms), None
    from gallerist.search.approximate import search_approximately

    return search_approximately(*data, settings, threads=threads, kept_in=kept_in, **norms)


class PreparedGallery:
    """A gallery that is searched again and again: augmented, and in its index, once.

    Its answers are those of `search_gallery`. Not for several threads at once.
    """

    def __init__(
        self,
        gallery: Features,
        settings: Search,
        *,
        threads: int,
        kept_in: PathLike | None = None,
    ) -> None:
        """Augment the gallery where the settings say so; threads: for queries of an index.

        kept_in: the folder of indexes, see `kept_index`; None keeps none.
        """
        self._kept_in = kept_in
        self._gallery, self._settings, self._threads = gallery, settings, threads
        self._targets = np.asarray(_augment(gallery, settings))
        self._built: tuple[int, BuiltIndex] | None = None

    def rank(self, queries: Features, depth: int) -> Ranking:
        """Rank the gallery for every query; keep `depth` answers. Raises as `search_gallery`."""
        rows = _expand(queries, self._targets, self._gallery, self._settings)
        data = rows, queries.ids, self._targets, self._gallery.ids, depth
        settings = self._settings
        norms = _norms(queries, self._gallery, settings)
        if settings.index is None:
            return search(*data, metric=settings.metric, **norms)
        from gallerist.search.approximate import search_index
        from gallerist.search.kept_index import kept_index

        measure = Measure.of(settings.metric, rows, self._targets, **norms)
        # Its vectors are as long as the measure has them, which a very long query changes.
        if self._built is None or self._built[0] != measure.exponent:
            built, _ = kept_index(self._kept_in, self._targets, settings.index, measure)
            self._built = measure.exponent, built
        return search_index(self._built[1], *data, measure, settings, threads=self._threads)


def _norms(queries: Features, gallery: Features, settings: Search) -> dict[str, Any]:
    if settings.database_augmentation or settings.query_expansion:
        return {}
    return {"query_norms": queries.norms, "gallery_norms": gallery.norms}


def _augment(gallery: Features, settings: Search) -> Vectors:
    if not settings.database_augmentation:
        return gallery.vectors
    return augment_gallery(gallery.vectors, gallery.ids, settings.database_augmentation)


def _expand(queries: Features, targets: Vectors, gallery: Features, settings: Search) -> Vectors:
    if not settings.query_expansion:
        return queries.vectors
    data = queries.vectors, queries.ids, targets, gallery.ids
    return expand_queries(*data, settings.query_expansion)
