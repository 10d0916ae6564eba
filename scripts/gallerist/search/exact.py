"""Exact nearest neighbours: every query against the whole gallery, in bounded memory.

Two passes. A float32 product of all queries with all gallery vectors says which rows can be among
the answers, as far as its rounding errors allow; the distances of those few are computed again in
float64, and order them. The first pass is a matrix product and nearly all of the time.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from gallerist.io.arrays import Floats, Indices, Vectors, release_pages
from gallerist.io.errors import UserError
from gallerist.search import ties
from gallerist.search.blocks import ROWS, candidates, is_large
from gallerist.search.distances import UNIT_ROWS, Measure, Metric, distances
from gallerist.search.products import margin, multiply
from gallerist.search.ranking import Ranking

CHUNK_CELLS = 32_000_000
"""Similarities held at once: 128 MB of float32."""

BLOCK_CELLS = 64_000_000
"""Elements of queries, and of gallery vectors, multiplied at once: of vectors mapped from files, no
more are in memory, 256 MB of either kind. In smaller blocks the threads of a BLAS wait for each
other more often, which is what takes the time on a busy machine."""

GROUP_CELLS = 250_000
"""Similarities looked through at once: 1 MB of float32, which stays in a processor's cache. In a
collapsed network's gallery, where all rows are ties, so many distances are computed again."""

FAINTEST = 2.0**-120
"""What a product of float32 numbers may be off by where it is too small for 24 binary digits, even
where a library has such numbers set to zero, which are below 2⁻¹²⁶."""


def search(
    queries: Vectors,
    query_ids: Sequence[str],
    gallery: Vectors,
    gallery_ids: Sequence[str],
    depth: int,
    *,
    metric: Metric = "euclidean",
    query_norms: Floats | None = None,
    gallery_norms: Floats | None = None,
) -> Ranking:
    """Rank the gallery for every query; keep the first `depth` answers (all, if there are fewer).

    queries: (q, d) float32, gallery: (g, d) float32, rows of length 1 (or 0: an image without
    content). A gallery picture with the query's own id, which is the same file, is no answer.
    depth: at least 1. query_norms: (q,), gallery_norms: (g,) float64, the lengths that the vectors
    had before they were scaled to 1; both or neither.

    metric, the distance in the ranking:
    - "euclidean": of the vectors norm · row; without norms, of the rows as they are, in [0, 2].
    - "cosine": 1 - cosine, in [0, 2], the norms having no part in it. Between rows of length 1 it
      is half their squared Euclidean distance, which is how it is computed: near 0 nothing cancels,
      and copies are at exactly 0. A row of zeros has no direction: its cosine with any vector,
      itself included, is taken as 0, so it is at distance 1, behind everything within a right
      angle. scikit-learn says the same. (The Euclidean distance of a row of zeros is 1 as well, but
      there it comes where 60° do.)

    Order: by the distance computed in float64, ties by gallery id; what a tie is, see `ties`. It
    depends neither on the chunks nor on the threads, nor on how a BLAS adds up: see `margin`.

    Memory beyond arguments and result: some 250 MB at most, up to galleries of a million pictures;
    and as much of each of two mapped files as BLOCK_CELLS says.

    Raises UserError for vectors of different lengths, norms that do not fit them, and a depth
    below 1.
    """
    measure = Measure.of(metric, queries, gallery, query_norms, gallery_norms)
    if depth < 1:
        raise UserError(f"depth is {depth}; it is at least 1")
    row_of = {gallery_id: row for row, gallery_id in enumerate(gallery_ids)}
    place = np.empty(len(gallery), np.intp)
    place[sorted(range(len(gallery)), key=gallery_ids.__getitem__)] = np.arange(len(gallery))
    answers: list[tuple[str, ...]] = []
    found: list[tuple[float, ...]] = []
    pictures, length = gallery.shape
    blocks = is_large(pictures, depth)
    step = CHUNK_CELLS // max(1, ROWS if blocks else pictures)
    step = max(1, min(step, BLOCK_CELLS // max(1, length)))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        chunk, of_chunk = np.asarray(queries[part]), measure.of_queries(part)
        own = np.array([row_of.get(query_id, -1) for query_id in query_ids[part]], np.intp)
        ranked = _ranked_by_blocks if blocks else _ranked_at_once
        for rows, exact in ranked(chunk, own, gallery, place, depth, of_chunk):
            answers.append(tuple(gallery_ids[row] for row in rows))
            found.append(tuple(exact))
        release_pages(queries)
    return Ranking(tuple(query_ids), tuple(answers), tuple(found))


def _nearness(queries: Vectors, gallery: Vectors, measure: Measure = UNIT_ROWS) -> Vectors:
    """Greater for nearer: q·g - |g|²/2, since |q - g|² = |q|² + |g|² - 2 q·g. (q, g) float32.

    In the cosine distance, which is 1 - q·g, a row of zeros has the half of all others.
    """
    nearness = np.empty((len(queries), len(gallery)), np.float32)
    # The products of a slice take a quarter of a block's memory at most.
    step = max(1, BLOCK_CELLS // max(1, 4 * len(queries), gallery.shape[1]))
    for start in range(0, len(gallery), step):
        part = slice(start, start + step)
        block = np.asarray(gallery[part])
        target = nearness[:, part]
        multiply(queries, block, target)
        half = np.float32(0.5)
        if measure.metric == "cosine":
            target -= half
        elif measure.queries is None or measure.gallery is None:
            target -= np.where(block.any(axis=1), half, np.float32(0))
        else:
            lengths = np.where(block.any(axis=1), measure.gallery[part], 0).astype(np.float32)
            target *= measure.queries.astype(np.float32)[:, None]
            target -= half * lengths
            target *= lengths
        release_pages(gallery)
    return nearness


def _allowance(measure: Measure, length: int) -> Vectors:
    """By how much a nearness may err: one number for all, or (q, g)."""
    error = margin(length) / 2
    if measure.queries is None or measure.gallery is None:
        return np.asarray(error, np.float32)
    of_gallery = measure.gallery.astype(np.float32)
    allowance = np.maximum(measure.queries.astype(np.float32)[:, None], of_gallery)
    # `ties` takes a part of the longer one's square for equal: more, where that is far longer.
    allowance *= of_gallery * np.float32(error) + np.float32(2.0 ** (2 - ties.DIGITS))
    allowance += np.float32(FAINTEST)
    return allowance


Answers = Iterator[tuple[list[int], list[float]]]
"""For each query the gallery rows of its answers and their distances, best first."""


def _ranked_at_once(
    queries: Vectors,
    own: Indices,
    gallery: Vectors,
    place: Indices,
    depth: int,
    measure: Measure,
) -> Answers:
    """own: (q,) the gallery row that is the query's own, -1 for none. place: see `_ordered`."""
    step = max(1, CHUNK_CELLS // max(1, len(gallery)))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        chunk, of_chunk = queries[part], measure.of_queries(part)
        nearness = _nearness(chunk, gallery, of_chunk)
        mine = np.flatnonzero(own[part] >= 0)
        nearness[mine, own[part][mine]] = -np.inf
        yield from _ranked(chunk, nearness, gallery, place, depth, of_chunk)


def _ranked_by_blocks(
    queries: Vectors,
    own: Indices,
    gallery: Vectors,
    place: Indices,
    depth: int,
    measure: Measure,
) -> Answers:
    """The same in a large gallery. See `blocks`."""

    def nearness(part: slice) -> tuple[Vectors, Vectors]:
        rows, of_rows = gallery[part], measure.of_gallery(part)
        near = _nearness(queries, rows, of_rows)
        mine = np.flatnonzero((own >= part.start) & (own < part.start + len(rows)))
        near[mine, own[mine] - part.start] = -np.inf
        return near, _allowance(of_rows, queries.shape[1])

    found = candidates(len(queries), len(gallery), depth, nearness, GROUP_CELLS)
    if found is None:
        yield from _ranked_at_once(queries, own, gallery, place, depth, measure)
    else:
        yield from _ordered(queries, *found, gallery, place, depth, measure)


def _ranked(
    queries: Vectors,
    nearness: Vectors,
    gallery: Vectors,
    place: Indices,
    depth: int,
    measure: Measure,
) -> Answers:
    step = max(1, GROUP_CELLS // max(1, nearness.shape[1]))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        group, of_group = nearness[part], measure.of_queries(part)
        allowance = _allowance(of_group, queries.shape[1])
        of_query, rows = _candidates(group, depth, allowance)
        yield from _ordered(queries[part], of_query, rows, gallery, place, depth, of_group)


def _ordered(
    queries: Vectors,
    of_query: Indices,
    rows: Indices,
    gallery: Vectors,
    place: Indices,
    depth: int,
    measure: Measure,
) -> Answers:
    """Pairs of queries and gallery rows by their distances, the first `depth` of each query.

    place: where each gallery row stands in the order of the ids, which decides between ties.
    """
    exact = distances(queries, of_query, gallery, rows, measure)
    order = ties.order(of_query, exact, place[rows])
    rows, exact = rows[order], exact[order]
    ends = np.searchsorted(of_query, np.arange(len(queries) + 1))
    for first, last in pairwise(ends.tolist()):
        kept = slice(first, min(last, first + depth))
        yield rows[kept].tolist(), ties.never_falling(exact[kept])


def _candidates(nearness: Vectors, depth: int, allowance: Vectors) -> tuple[Indices, Indices]:
    """Which queries have to look again at which rows of the gallery: pairs, query by query.

    They are all rows that are, at their best, as near as the `depth`-th is at its worst; never the
    query's own. allowance: how far best and worst are from the nearness that was computed.
    """
    pictures = nearness.shape[1]
    # Below every nearness, but above minus infinity.
    bar = np.full((len(nearness), 1), -4.0, np.float32)
    if pictures > depth:
        worst = nearness - allowance
        worst.partition(pictures - depth, axis=1)
        bar = np.maximum(bar, worst[:, pictures - depth, None])
    wanted = np.flatnonzero(nearness + allowance >= bar)
    of_query, rows = np.divmod(wanted, max(1, pictures))
    return of_query, rows
