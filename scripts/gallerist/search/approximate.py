"""Approximate nearest neighbours with an index of FAISS, and what it costs in answers.

FAISS finds the candidates; their distances are computed again, as the exact search does, and order
them. So a distance means the same in every ranking, and an index can only miss an answer, never
misplace one. (Johnson, Douze and Jégou, Billion-scale similarity search with GPUs, 2019.)
"""

import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import faiss as faiss_with_stubs
import numpy as np

from gallerist.io.arrays import Floats, Indices, Integers, Vectors
from gallerist.io.errors import UserError
from gallerist.search import ties
from gallerist.search.distances import Measure, Metric, distances
from gallerist.search.exact import search
from gallerist.search.ranking import Ranking
from gallerist.settings.ranking import Search

logger = logging.getLogger("gallerist")

faiss: Any = faiss_with_stubs  # whose stubs lack some of what it has

SEED = 0
"""Of the vectors that train an index, and of the queries whose recall is measured."""

SAMPLE = 1_000
"""Queries at most whose recall is measured: the exact search costs what the index was to save."""

ADVISED = 39
"""Training vectors for a centroid below which FAISS warns of a bad quantizer."""

USEFUL = 256
"""Training vectors for a centroid above which FAISS samples."""

OPQ_CENTROIDS = 256
"""OPQ learns its rotation with a product quantizer of 8 bits."""

ADDED_CELLS = 16_000_000
"""Elements of gallery vectors added to an index at once: 64 MB. Another number makes another, as
good, HNSW graph."""

ASKED_CELLS = 16_000_000
"""Elements of queries, or of candidates, handed to FAISS and back at once: 64 MB."""

TIED = 4_096
"""Candidates that an index is asked for, at most, where a tie goes on beyond the answers: which of
them it returns is its own choice. Of a longer tie the answers are those that it returned."""


@dataclass(frozen=True)
class IndexReport:
    """What an index costs and what it misses.

    recall: k -> the share of the exact first k answers that are among the first k found, for k of
    1, 10 and the depth; empty when no query has an answer. An answer counts when it is as near as
    the k-th exact one, so that any of several equally near will do. (Aumüller, Bernhardsson and
    Faithfull, ANN-Benchmarks, 2020.) recall_queries: how many queries that was measured on.
    index_bytes: of the index as a file. build_seconds: training and adding. queries_per_second: of
    finding candidates and ordering them.
    """

    recall: dict[int, float]
    recall_queries: int
    index_bytes: int
    build_seconds: float
    queries_per_second: float


@dataclass(frozen=True)
class BuiltIndex:
    """A gallery in an index. factory: its FAISS string. index: of FAISS."""

    factory: str
    index: Any
    seconds: float

    @property
    def bytes(self) -> int:
        """What the index takes as a file, and hardly more in memory."""
        count = 0

        def counted(data: bytes) -> None:
            nonlocal count
            count += len(data)

        faiss.write_index(self.index, faiss.PyCallbackIOWriter(counted))
        return count


def search_approximately(
    queries: Vectors,
    query_ids: Sequence[str],
    gallery: Vectors,
    gallery_ids: Sequence[str],
    depth: int,
    settings: Search,
    *,
    query_norms: Floats | None = None,
    gallery_norms: Floats | None = None,
    threads: int = 1,
) -> tuple[Ranking, IndexReport]:
    """Rank the gallery for every query as `search` does, as far as an index finds the answers.

    settings: the metric, and an index, which is trained on the gallery: "Flat", "HNSW32",
    "IVF1024,PQ64", "OPQ16,IVF256,PQ16". nprobe (FAISS's default: 1) and ef_search (16) keep FAISS's
    names. The rest is as in `search`; fewer than `depth` answers also where the index finds no
    more.

    The index is built by one thread, because a graph depends on the order in which threads come to
    it; `threads` are for the queries.

    Raises UserError as `search`; when FAISS cannot build the index for vectors of that length with
    that metric, or the index has no such setting; and when there are too few vectors to train it.
    """
    measure = Measure.of(settings.metric, queries, gallery, query_norms, gallery_norms)
    text = str(settings.index)
    _set_effort(_empty_index(text, gallery.shape[1], measure.metric), text, settings)
    built = build_index(gallery, text, measure)
    started = time.perf_counter()
    pictures = queries, query_ids, gallery, gallery_ids
    ranking = search_index(built, *pictures, depth, measure, settings, threads=threads)
    seconds = time.perf_counter() - started
    sample = _sample(len(queries), SAMPLE)
    exact = search(
        np.asarray(queries)[sample],
        [query_ids[row] for row in sample],
        *(gallery, gallery_ids, depth),
        metric=settings.metric,
        query_norms=None if query_norms is None else query_norms[sample],
        gallery_norms=gallery_norms,
    )
    found = [ranking.distances[row] for row in sample]
    report = IndexReport(
        recall=recall(exact.distances, found, depth),
        recall_queries=len(sample),
        index_bytes=built.bytes,
        build_seconds=built.seconds,
        queries_per_second=len(queries) / seconds,
    )
    return ranking, report


def build_index(gallery: Vectors, text: str, measure: Measure) -> BuiltIndex:
    """Train an index on the gallery, or on a seeded sample of as many as it can use, and fill it.

    Raises UserError, saying how many there must be, when there are too few vectors to train it.
    """
    started = time.perf_counter()
    index = _empty_index(text, gallery.shape[1], measure.metric)
    with _threads(1), _faiss_errors(text):
        if not index.is_trained and len(gallery):
            _train(index, text, gallery, measure)
        step = max(1, ADDED_CELLS // max(1, gallery.shape[1]))
        for start in range(0, len(gallery), step):
            rows = np.arange(start, min(start + step, len(gallery)))
            index.add(_as_given(gallery, rows, measure.gallery))
    return BuiltIndex(text, index, time.perf_counter() - started)


def search_index(
    built: BuiltIndex,
    queries: Vectors,
    query_ids: Sequence[str],
    gallery: Vectors,
    gallery_ids: Sequence[str],
    depth: int,
    measure: Measure,
    settings: Search,
    *,
    threads: int = 1,
) -> Ranking:
    """The answers that the index finds, ordered by their exact distance, ties by id: see `ties`.

    gallery: the vectors that the index was built from, in the same order. Where the last answer is
    a tie with the last candidate, the index is asked for more of them, up to TIED.
    """
    _set_effort(built.index, built.factory, settings)
    answers: list[tuple[str, ...]] = []
    found: list[tuple[float, ...]] = []
    step = max(1, ASKED_CELLS // max(1, gallery.shape[1], depth + 1))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        chunk = np.asarray(queries[part]), query_ids[part], measure.of_queries(part)
        for names, exact in _answers(built, *chunk, gallery, gallery_ids, depth, threads):
            answers.append(tuple(names))
            found.append(tuple(exact))
    return Ranking(tuple(query_ids), tuple(answers), tuple(found))


def _answers(
    built: BuiltIndex,
    queries: Vectors,
    query_ids: Sequence[str],
    measure: Measure,
    gallery: Vectors,
    gallery_ids: Sequence[str],
    depth: int,
    threads: int,
) -> list[tuple[list[str], list[float]]]:
    """Ids and distances of each query's answers. One more is asked for: it may be the query."""
    found: list[tuple[list[str], list[float]]] = [([], [])] * len(queries)
    left, asked = np.arange(len(queries)), min(depth + 1, len(gallery))
    while asked and len(left):
        some, of_some = queries[left], measure.of_queries(left)
        of_query, rows = _candidates(built, some, of_some, asked, threads)
        more = np.bincount(of_query, minlength=len(left)) == asked
        names = np.array([gallery_ids[row] for row in rows], np.str_)
        others = names != np.array([query_ids[row] for row in left.tolist()], np.str_)[of_query]
        of_query, rows, names = of_query[others], rows[others], names[others]
        exact = distances(some, of_query, gallery, rows, of_some)
        order = ties.order(of_query, exact, names)
        names, exact, keys = names[order], exact[order], ties.key(exact[order])
        ends = np.searchsorted(of_query, np.arange(len(left) + 1)).tolist()
        for number, (first, last) in enumerate(pairwise(ends)):
            kept = slice(first, min(last, first + depth))
            found[left[number]] = names[kept].tolist(), ties.never_falling(exact[kept])
            more[number] &= kept.stop > first and keys[kept.stop - 1] == keys[last - 1]
        if asked >= min(TIED, len(gallery)):
            break
        left, asked = left[more], min(max(4 * asked, 64), TIED, len(gallery))
    return found


def recall(
    exact: Sequence[Sequence[float]], found: Sequence[Sequence[float]], depth: int
) -> dict[int, float]:
    """The share of the exact first k answers that were found: k -> share, for 1, 10 and `depth`.

    exact, found: for each query the distances of its answers, ascending, computed alike.
    """
    shares = {}
    for k in sorted({min(k, depth) for k in (1, 10, depth)}):
        wanted = sum(min(k, len(line)) for line in exact)
        hits = sum(
            np.count_nonzero(_keys(line[:k]) <= _keys(best[:k])[-1])
            for best, line in zip(exact, found, strict=True)
            if best
        )
        if wanted:
            shares[k] = hits / wanted
    return shares


def _keys(line: Sequence[float]) -> Integers:
    return ties.key(np.array(line, np.float64))


def _candidates(
    built: BuiltIndex, queries: Vectors, measure: Measure, asked: int, threads: int
) -> tuple[Indices, Indices]:
    """Pairs of query and gallery row, query by query: `asked` of each, or all that it finds."""
    vectors = _as_given(queries, np.arange(len(queries)), measure.queries)
    with _threads(threads), _faiss_errors(built.factory):
        _, rows = built.index.search(vectors, asked)
    there = rows >= 0  # FAISS fills up with -1
    return np.nonzero(there)[0], rows[there].astype(np.intp)


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
    sample = _sample(len(gallery), USEFUL * max(centroids, OPQ_CENTROIDS))
    with _trained_briefly(index):
        index.train(_as_given(gallery, sample, measure.gallery))


def _empty_index(text: str, length: int, metric: Metric) -> Any:
    # The cosine is the inner product of rows of length 1, and 0 for rows of zeros as it should be.
    measured = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    with _faiss_errors(text, f" for vectors of length {length} by {metric} distance"):
        index = faiss.index_factory(length, text, measured)
    if isinstance(index, faiss.IndexIDMap | faiss.IndexIDMap2):
        raise UserError(f"index '{text}': IDMap is not needed, pictures keep their ids anyway")
    return index


def _set_effort(index: Any, text: str, settings: Search) -> None:
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


def _as_given(vectors: Vectors, rows: Indices, lengths: Floats | None) -> Vectors:
    """Indices of vectors in the order of memory that FAISS wants, as long as they were."""
    chosen = np.ascontiguousarray(vectors[rows], np.float32)
    return chosen if lengths is None else chosen * lengths[rows, None].astype(np.float32)


def _sample(count: int, most: int) -> Indices:
    """Which of `count` rows stand for all: all, or a seeded choice of `most`, ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(SEED).choice(count, most, replace=False))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """FAISS's threads are those of the whole process: they are put back."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@contextmanager
def _faiss_errors(text: str, wanted: str = "") -> Iterator[None]:
    """Say which index FAISS will not have, and why, without the place in its sources."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        reason = re.sub(r"^Error in .* at \S+:\d+: ", "", str(error), flags=re.DOTALL)
        raise UserError(
            f"'{text}' is no index that FAISS can build{wanted}: {reason.strip()}. "
            "Examples: Flat, HNSW32, IVF64,Flat, OPQ16,IVF64,PQ16"
        ) from error
