"""Approximate nearest neighbours with an index of FAISS, and what it costs in answers.

FAISS finds the candidates; their distances are computed again, as the exact search does, and order
them. So a distance means the same in every ranking, and an index can only miss an answer, never
misplace one. (Johnson, Douze and Jégou, Billion-scale similarity search with GPUs, 2019.)
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from gallerist.io.arrays import Floats, Indices, Integers, Vectors
from gallerist.io.files import PathLike
from gallerist.search import ties
from gallerist.search.distances import Measure, distances
from gallerist.search.exact import search
from gallerist.search.faiss_index import (
    BuiltIndex,
    as_given,
    empty_index,
    faiss_errors,
    faiss_threads,
    sample_rows,
    set_effort,
)
from gallerist.search.kept_index import kept_index
from gallerist.search.ranking import Ranking
from gallerist.settings.ranking import Search

SAMPLE = 1_000
"""Queries at most whose recall is measured: the exact search costs what the index was to save."""

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
    finding candidates and ordering them. file: that the index is kept in, if it is.
    """

    recall: dict[int, float]
    recall_queries: int
    index_bytes: int
    build_seconds: float
    queries_per_second: float
    file: Path | None = None


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
    kept_in: PathLike | None = None,
) -> tuple[Ranking, IndexReport]:
    """Rank the gallery for every query as `search` does, as far as an index finds the answers.

    settings: the metric, and an index, which is trained on the gallery: "Flat", "HNSW32",
    "IVF1024,PQ64", "OPQ16,IVF256,PQ16". nprobe (FAISS's default: 1) and ef_search (16) keep FAISS's
    names. The rest is as in `search`; fewer than `depth` answers also where the index finds no
    more.

    The index is built by one thread, because a graph depends on the order in which threads come to
    it; `threads` are for the queries. kept_in: see `kept_index`.

    Raises UserError as `search`; when FAISS cannot build the index for vectors of that length with
    that metric, or the index has no such setting; and when there are too few vectors to train it.
    """
    measure = Measure.of(settings.metric, queries, gallery, query_norms, gallery_norms)
    text = str(settings.index)
    set_effort(empty_index(text, gallery.shape[1], measure.metric), text, settings)
    built, file = kept_index(kept_in, gallery, text, measure)
    started = time.perf_counter()
    pictures = queries, query_ids, gallery, gallery_ids
    ranking = search_index(built, *pictures, depth, measure, settings, threads=threads)
    seconds = time.perf_counter() - started
    sample = sample_rows(len(queries), SAMPLE)
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
        file=file,
    )
    return ranking, report


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
    set_effort(built.index, built.factory, settings)
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
    vectors = as_given(queries, np.arange(len(queries)), measure.queries)
    with faiss_threads(threads), faiss_errors(built.factory):
        _, rows = built.index.search(vectors, asked)
    there = rows >= 0  # FAISS fills up with -1
    return np.nonzero(there)[0], rows[there].astype(np.intp)
