"""The figure that one protocol makes of a ranking, in arrays of all queries at once.

Three steps, of which each needs less than the one before: at which ranks the right answers stand
(`find_ranks`), what each query gets for them (`query_values`), the figure of all queries
(`overall`). `score` is all three. What a ranking does not list counts as not found, as in
trec_eval.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from gallerist.evaluation.judged_ranking import JudgedRanking, contains
from gallerist.evaluation.metrics import hit_rate_at_k, ndcg_at_k, recall_at_k, reciprocal_rank_at_k
from gallerist.evaluation.protocols import Measure, Protocol
from gallerist.evaluation.relevant_ranks import RelevantRanks
from gallerist.io.arrays import Booleans, Floats, Indices, Integers

_ALL = int(np.iinfo(np.int64).max)
_LARGE = 1 << 40
"""A cutoff beyond any ranking that leaves room to compute with."""


class FoundRanks(NamedTuple):
    """Where right answers stand.

    ranks: of the queries that have right pictures under the protocol. rows: which those are. share:
    how often it is so; 1 unless the protocol leaves something to chance.
    """

    ranks: RelevantRanks
    rows: Indices
    share: float = 1.0


class Figure(NamedTuple):
    """The figure of all queries; with chance in the protocol its mean and standard deviation."""

    value: float
    deviation: float = 0.0


def score(judged: JudgedRanking, protocol: Protocol, measure: Measure) -> Figure:
    """The figure of a ranking; 0 where no query has a right picture.

    Raises ValueError for a choice that the truth does not allow.
    """
    return figure_of(judged, find_ranks(judged, protocol), protocol, measure)


def figure_of(
    judged: JudgedRanking, found: Sequence[FoundRanks], protocol: Protocol, measure: Measure
) -> Figure:
    """The figure from ranks that `find_ranks` found by the same choices `OF_ORDER`."""
    if len(found) == 1:
        values = query_values(found[0].ranks, protocol, measure)
        return Figure(overall(judged, values, found[0].rows, protocol))
    means, squares = np.zeros(len(judged.queries)), np.zeros(len(judged.queries))
    for each in found:
        values = query_values(each.ranks, protocol, measure)
        means[each.rows] += values * each.share
        squares[each.rows] += values**2 * each.share
    deviation = np.sqrt(np.maximum(squares - means**2, 0).sum()) / len(judged.queries)
    rows = np.arange(len(judged.queries))
    return Figure(overall(judged, means, rows, protocol), float(deviation))


# -- at which ranks the right answers stand -------------------------------------------------------


class _Marks(NamedTuple):
    """right, junk: of each answer. pairs: sorted keys of all that is right, listed or not."""

    right: Booleans
    junk: Booleans
    pairs: Integers


@dataclass(frozen=True, eq=False)
class _List:
    """Answers of queries one after the other, best first, with what is known of each."""

    query: Integers
    picture: Integers
    distance: Floats
    right: Booleans
    junk: Booleans

    def take(self, rows: Indices | Booleans) -> "_List":
        return _List(
            self.query[rows],
            self.picture[rows],
            self.distance[rows],
            self.right[rows],
            self.junk[rows],
        )

    def places(self, queries: int) -> Integers:
        """(n,) int64, from 0: the place among the answers of its query."""
        return places_within(self.query, queries)


def places_within(query_of: Integers, queries: int) -> Integers:
    """(n,) int64, from 0: the place of each entry among those of its query; ascending queries."""
    counts = np.bincount(query_of, minlength=queries)
    return np.arange(len(query_of)) - np.repeat(np.cumsum(counts) - counts, counts)


def find_ranks(judged: JudgedRanking, protocol: Protocol) -> tuple[FoundRanks, ...]:
    """Find where the right answers stand, by the choices `OF_ORDER`.

    The order of what happens: own files that a tool left out come back where they are to be in,
    ties are broken, the list is cut, own files and junk go out, copies become one.

    With keys of a gallery in any order, the key of a query is each gallery picture equally often:
    there is one result for each class, with the class's share of the gallery. That mean is exact; a
    standard deviation takes the keys of two queries for independent, though they are never the same
    picture. Raises ValueError where a key could be a distractor that matches nothing.
    """
    if protocol.keys == "queries":
        classes = None if judged.classes is None else judged.classes.queries
        return (_ranks_of(judged, protocol, classes),)
    if judged.classes is None:
        raise ValueError("without classes there is nothing that a wrong key could match")
    gallery = judged.classes.gallery
    if protocol.keys == "gallery, by name":
        in_order = np.argsort(np.array(judged.queries, dtype=object), kind="stable")
        keyed = np.empty(len(judged.queries), dtype=np.int64)
        keyed[in_order] = gallery[: len(judged.queries)]
        return (_ranks_of(judged, protocol, keyed),)
    labels, sizes = np.unique(gallery, return_counts=True)
    if protocol.distractors == "match nothing" and judged.classes.distractor in labels:
        raise ValueError("a key that is a distractor would match nothing")
    return tuple(
        _ranks_of(judged, protocol, np.full(len(judged.queries), label))._replace(
            share=float(size / len(gallery))
        )
        for label, size in zip(labels, sizes, strict=True)
    )


def _ranks_of(judged: JudgedRanking, protocol: Protocol, classes: Integers | None) -> FoundRanks:
    count = len(judged.queries)
    marks = _mark(judged, protocol, classes)
    listed = _List(judged.query_of, judged.answers, judged.distances, marks.right, marks.junk)
    if protocol.own == "in" and judged.own_is_file:
        listed = _with_own(judged, listed, marks.pairs)
    listed = _break_ties(listed, protocol.ties)
    if protocol.depth is not None:
        listed = listed.take(listed.places(count) < protocol.depth)
    pairs = marks.pairs
    if protocol.own != "in":
        listed = listed.take(~_is_own(judged, listed.query, listed.picture, protocol.own))
        queries, pictures = np.divmod(pairs, len(judged.gallery))
        pairs = pairs[~_is_own(judged, queries, pictures, protocol.own)]
    if protocol.junk == "out":
        listed = listed.take(~listed.junk)
    if protocol.copies == "one":
        listed, pairs = _by_original(judged, listed, pairs)
    total = np.bincount(pairs // len(judged.gallery), minlength=count)
    return _found(listed, total, count)


def _mark(judged: JudgedRanking, protocol: Protocol, classes: Integers | None) -> _Marks:
    if classes is None or judged.classes is None:
        return _Marks(*judged.marks[protocol.setup], judged.setups[protocol.setup].right)
    if protocol.distractors == "match nothing":
        classes = np.where(classes == judged.classes.distractor, -2, classes)
    order, listed = judged.classes_listed
    first = np.searchsorted(listed, classes, side="left")
    sizes = np.searchsorted(listed, classes, side="right") - first
    queries = np.repeat(np.arange(len(classes)), sizes)
    members = order[np.repeat(first, sizes) + places_within(queries, len(classes))]
    right = judged.classes.gallery[judged.answers] == classes[judged.query_of]
    pairs = np.sort(judged.keys(queries, members))
    return _Marks(right, np.zeros(len(right), dtype=np.bool_), pairs)


def _with_own(judged: JudgedRanking, listed: _List, pairs: Integers) -> _List:
    """Put each query's own file first where the gallery has it and the ranking has it nowhere."""
    present = np.unique(listed.query[listed.picture == judged.own[listed.query]])
    lacking = np.setdiff1d(np.flatnonzero(judged.own >= 0), present)
    own = judged.own[lacking]
    added = _List(
        lacking,
        own,
        np.full(len(lacking), -np.inf),
        contains(pairs, judged.keys(lacking, own)),
        np.zeros(len(lacking), dtype=np.bool_),
    )
    columns = (
        np.concatenate([getattr(added, name), getattr(listed, name)])
        for name in ("query", "picture", "distance", "right", "junk")
    )
    joined = _List(*columns)
    return joined.take(np.argsort(joined.query, kind="stable"))


def _break_ties(listed: _List, ties: str) -> _List:
    if ties == "as ranked":
        return listed
    keys: Mapping[str, Integers] = {
        "right first": (~listed.right).astype(np.int64),
        "right last": listed.right.astype(np.int64),
        "by id": listed.picture,
        "by id, falling": -listed.picture,
    }
    new = (np.diff(listed.query) != 0) | (np.diff(listed.distance) != 0)
    group = np.concatenate([np.zeros(min(1, len(listed.query)), dtype=np.int64), np.cumsum(new)])
    return listed.take(np.lexsort((keys[ties], group)))


def _is_own(judged: JudgedRanking, queries: Integers, pictures: Integers, own: str) -> Booleans:
    """(n,) bool: which pictures are their query's own file, or made from its original."""
    same = pictures == judged.own[queries]
    if own == "out, with its copies":
        of_query, of_picture = judged.originals
        same |= of_query[queries] == of_picture[pictures]
    return np.asarray(same)


def _by_original(judged: JudgedRanking, listed: _List, pairs: Integers) -> tuple[_List, Integers]:
    """Keep the first picture of each original, right where any of its pictures is."""
    original, size = judged.originals[1], len(judged.gallery)
    numbers = int(original.max(initial=0)) + 1
    queries, pictures = np.divmod(pairs, size)
    right, at = np.unique(queries * numbers + original[pictures], return_index=True)
    keys = listed.query * numbers + original[listed.picture]
    first = np.sort(np.unique(keys, return_index=True)[1])
    kept = replace(listed.take(first), right=contains(right, keys[first]))
    return kept, pairs[at]


def _found(listed: _List, total: Integers, count: int) -> FoundRanks:
    rows = np.flatnonzero(total)
    places = listed.places(count)[listed.right] + 1
    found = np.bincount(listed.query[listed.right], minlength=count)[rows]
    offsets = np.concatenate([[0], np.cumsum(found)]).astype(np.int64)
    depth = np.full(len(rows), _ALL)
    return FoundRanks(RelevantRanks(places, offsets, total[rows].astype(np.int64), depth), rows)


# -- what each query gets -------------------------------------------------------------------------


def query_values(ranks: RelevantRanks, protocol: Protocol, measure: Measure) -> Floats:
    """(queries,) float64 in [0, 1], for queries with right pictures."""
    if measure.family == "mAP":
        return _average_precision(ranks, protocol, _cutoffs(ranks, measure))
    if measure.family == "precision":
        return _precision(ranks, protocol, _cutoffs(ranks, measure))
    k = measure.k if isinstance(measure.k, int) else _LARGE
    if measure.family == "nDCG":
        return ndcg_at_k(ranks, k)
    return {"hit rate": hit_rate_at_k, "recall": recall_at_k, "MRR": reciprocal_rank_at_k}[
        measure.family
    ](ranks, k)


def _cutoffs(ranks: RelevantRanks, measure: Measure) -> Integers:
    if measure.k == "R":
        return ranks.total
    return np.full(len(ranks), _LARGE if measure.k is None else measure.k, dtype=np.int64)


def _average_precision(ranks: RelevantRanks, protocol: Protocol, k: Integers) -> Floats:
    """The precisions at right answers, or areas between them, over the divisor.

    Trapezoids: the area below the precision-recall curve between the points of two right answers,
    as compute_ap of the Oxford buildings has it (Philbin et al., 2007): half the sum of the
    precision at a right answer and of that just before it, which is 1 before the first rank.
    """
    counted = ranks.ranks <= k[ranks.query_of]
    places, numbers = ranks.ranks[counted], ranks.numbers[counted]
    terms = numbers / places
    if protocol.integration == "trapezoids":
        before = np.where(places > 1, (numbers - 1) / np.maximum(places - 1, 1), 1.0)
        terms = (terms + before) / 2
    query_of = ranks.query_of[counted]
    sums = np.bincount(query_of, weights=terms, minlength=len(ranks))
    hits = np.bincount(query_of, minlength=len(ranks))
    divisor = {
        "R": ranks.total,
        "min(k, R)": np.minimum(k, ranks.total),
        "hits": np.maximum(hits, 1),
    }[protocol.divisor]
    return np.asarray(sums / divisor, dtype=np.float64)


def _precision(ranks: RelevantRanks, protocol: Protocol, k: Integers) -> Floats:
    if protocol.divisor == "min(k, last right rank)":
        last = np.zeros(len(ranks), dtype=np.int64)
        np.maximum.at(last, ranks.query_of, ranks.ranks)
        k = np.maximum(np.minimum(k, last), 1)  # nothing found: 0 of 1
    counted = ranks.ranks <= k[ranks.query_of]
    hits = np.bincount(ranks.query_of[counted], minlength=len(ranks))
    divisor = np.minimum(k, ranks.total) if protocol.divisor == "min(k, R)" else k
    return np.asarray(hits / divisor, dtype=np.float64)


# -- the figure of all queries --------------------------------------------------------------------


def overall(judged: JudgedRanking, values: Floats, rows: Indices, protocol: Protocol) -> float:
    """One figure of (queries,) values of the queries in those rows."""
    if protocol.unanswerable == "count as 0":
        whole = np.zeros(len(judged.queries))
        whole[rows] = values
        values, rows = whole, np.arange(len(whole))
    if not len(values):
        return 0.0
    if protocol.batch is not None:
        filled = np.arange(-(-len(values) // protocol.batch) * protocol.batch) % len(values)
        values, rows = values[filled], rows[filled]
    if protocol.average == "queries":
        return float(values.mean())
    if protocol.average == "classes":
        if judged.classes is None:
            raise ValueError("a truth of pairs has no classes to average over")
        groups = judged.classes.queries[rows]
    else:
        groups = judged.originals[0][rows]
    numbers = np.unique(groups, return_inverse=True)[1]
    return float(np.mean(np.bincount(numbers, weights=values) / np.bincount(numbers)))
