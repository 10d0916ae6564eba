"""Indexes of FAISS: built of a gallery, trained on a sample of it, searched with some effort."""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import faiss as faiss_with_stubs
import numpy as np

from gallerist.io.arrays import Floats, Indices, Vectors
from gallerist.io.errors import UserError
from gallerist.search.distances import Measure, Metric
from gallerist.settings.ranking import Search

logger = logging.getLogger("gallerist")

faiss: Any = faiss_with_stubs  # whose stubs lack some of what it has

SEED = 0
"""Of the vectors that train an index, and of the queries whose recall is measured."""

ADVISED = 39
"""Training vectors for a centroid below which FAISS warns of a bad quantizer."""

USEFUL = 256
"""Training vectors for a centroid above which FAISS samples."""

OPQ_CENTROIDS = 256
"""OPQ learns its rotation with a product quantizer of 8 bits."""

ADDED_CELLS = 16_000_000
"""Elements of gallery vectors added to an index at once: 64 MB. Another number makes another, as
good, HNSW graph."""


@dataclass(frozen=True)
class BuiltIndex:
    """A gallery in an index. factory: its FAISS string. index: of FAISS. seconds: of building it.

    file_bytes: of the file that it is kept in; None where it is in none.
    """

    factory: str
    index: Any
    seconds: float
    file_bytes: int | None = None

    @property
    def bytes(self) -> int:
        """What the index takes as a file, and hardly more in memory."""
        if self.file_bytes is not None:
            return self.file_bytes
        count = 0

        def counted(data: bytes) -> None:
            nonlocal count
            count += len(data)

        faiss.write_index(self.index, faiss.PyCallbackIOWriter(counted))
        return count


def build_index(gallery: Vectors, text: str, measure: Measure) -> BuiltIndex:
    """Train an index on the gallery, or on a seeded sample of as many as it can use, and fill it.

    Raises UserError, saying how many there must be, when there are too few vectors to train it.
    """
    started = time.perf_counter()
    index = empty_index(text, gallery.shape[1], measure.metric)
    with faiss_threads(1), faiss_errors(text):
        if not index.is_trained and len(gallery):
            _train(index, text, gallery, measure)
        step = max(1, ADDED_CELLS // max(1, gallery.shape[1]))
        for start in range(0, len(gallery), step):
            rows = np.arange(start, min(start + step, len(gallery)))
            index.add(as_given(gallery, rows, measure.gallery))
    return BuiltIndex(text, index, time.perf_counter() - started)


def _train(index: Any, text: str, gallery: Vectors, measure: Measure) -> None:
    """Train an index in place."""
    centroids = _centroids(index)
    if len(gallery) < centroids:
        raise UserError(
            f"index '{text}' needs at least {centroids} gallery vectors to be trained, better "
            f"{ADVISED * centroids}; there are {len(gallery)}. Smaller numbers in it need fewer; "
            "Flat and HNSW32 need none."
        )
    if len(gallery) < ADVISED * centroids:
        logger.warning(
            "index '%s' is trained on %d gallery vectors; FAISS advises %d for %d centroids",
            *(text, len(gallery), ADVISED * centroids, centroids),
        )
    sample = sample_rows(len(gallery), USEFUL * max(centroids, OPQ_CENTROIDS))
    with _trained_briefly(index):
        index.train(as_given(gallery, sample, measure.gallery))


def empty_index(text: str, length: int, metric: Metric) -> Any:
    """The index of a FAISS factory string, not trained. Raises UserError where there is none."""
    # The cosine is the inner product of rows of length 1, and 0 for rows of zeros as it should be.
    measured = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    with faiss_errors(text, f" for vectors of length {length} by {metric} distance"):
        index = faiss.index_factory(length, text, measured)
    if isinstance(index, faiss.IndexIDMap | faiss.IndexIDMap2):
        raise UserError(f"index '{text}': IDMap is not needed, pictures keep their ids anyway")
    return index


def set_effort(index: Any, text: str, settings: Search) -> None:
    """How much of the index is looked through. Raises UserError where it has no such setting."""
    for name, faiss_name in (("nprobe", "nprobe"), ("ef_search", "efSearch")):
        value = getattr(settings, name)
        if value is None:
            continue
        try:
            faiss.ParameterSpace().set_index_parameter(index, faiss_name, value)
        except RuntimeError as error:
            raise UserError(
                f"index '{text}' has no {name}: nprobe is for IVF, ef_search for HNSW"
            ) from error


def _parts(index: Any) -> Iterator[Any]:
    """An index and those inside it: transforms, quantizer, storage, what it refines."""
    index = faiss.downcast_index(index)
    yield index
    if isinstance(index, faiss.IndexPreTransform):
        for number in range(index.chain.size()):
            yield faiss.downcast_VectorTransform(index.chain.at(number))
        yield from _parts(index.index)
    elif isinstance(index, faiss.IndexRefine):
        yield from _parts(index.base_index)
    elif isinstance(index, faiss.IndexIVF):
        yield from _parts(index.quantizer)
    elif isinstance(index, faiss.IndexHNSW):
        yield from _parts(index.storage)


def _centroids(index: Any) -> int:
    """The most centroids that a part of the index learns: FAISS takes no fewer vectors for it."""
    most = 1
    for part in _parts(index):
        if isinstance(part, faiss.OPQMatrix):
            most = max(most, OPQ_CENTROIDS)
        elif isinstance(part, faiss.IndexIVF) and part.quantizer_trains_alone != 1:
            most = max(most, part.nlist)
        if isinstance(getattr(part, "pq", None), faiss.ProductQuantizer):
            most = max(most, part.pq.ksub)
    return most


@contextmanager
def _trained_briefly(index: Any) -> Iterator[None]:
    """Have FAISS learn no polysemous codes, which take over a second for each byte of a code, and
    print nothing about few vectors, which it does a thousand times for OPQ.
    """
    replaced = []
    for part in _parts(index):
        if isinstance(part, faiss.OPQMatrix):
            quantizer = faiss.ProductQuantizer(part.d_out, part.M, 8)
            quantizer.cp.min_points_per_centroid = 1
            part.pq = quantizer
            replaced.append(
                (part, quantizer)
            )  # FAISS has a pointer to it, and does not keep it alive
        if hasattr(part, "do_polysemous_training"):
            part.do_polysemous_training = False
        for clustered in (part, getattr(part, "pq", part)):
            if hasattr(clustered, "cp"):
                clustered.cp.min_points_per_centroid = 1
    try:
        yield
    finally:
        for part, _ in replaced:
            part.pq = None


def as_given(vectors: Vectors, rows: Indices, lengths: Floats | None) -> Vectors:
    """Indices of vectors in the order of memory that FAISS wants, as long as they were."""
    chosen = np.ascontiguousarray(vectors[rows], np.float32)
    return chosen if lengths is None else chosen * lengths[rows, None].astype(np.float32)


def sample_rows(count: int, most: int) -> Indices:
    """Which of `count` rows stand for all: all, or a seeded choice of `most`, ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(SEED).choice(count, most, replace=False))


@contextmanager
def faiss_threads(count: int) -> Iterator[None]:
    """FAISS's threads are those of the whole process: they are put back."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@contextmanager
def faiss_errors(text: str, wanted: str = "") -> Iterator[None]:
    """Say which index FAISS will not have, and why, without the place in its sources."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        reason = re.sub(r"^Error in .* at \S+:\d+: ", "", str(error), flags=re.DOTALL)
        raise UserError(
            f"'{text}' is no index that FAISS can build{wanted}: {reason.strip()}. "
            "Examples: Flat, HNSW32, IVF64,Flat, OPQ16,IVF64,PQ16"
        ) from error
