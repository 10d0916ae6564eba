"""Searches in which the pictures of one gallery ask each other, but not all of them all others."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import numpy as np

from gallerist.data.groups import Groups
from gallerist.features.store import Features
from gallerist.io.arrays import take_rows
from gallerist.search.ranking import Ranking

Rank = Callable[[Features, Features, int | None], Ranking]
"""Queries, gallery and depth (None: all) -> the ranking."""


def rank_grouped(
    queries: Features, gallery: Features, depth: int | None, groups: Groups | None, rank: Rank
) -> Ranking:
    """Rank the gallery for all queries; with groups, of which all are, those that these admit.

    depth: answers kept of each query, None for all. Each fold is a search of its own, of its
    pictures in those that they are admitted to. Where many groups of few pictures are left out, as
    copies of one original are, all are searched, deeper by as many as there may be copies, and
    these are taken out. No vector is computed or mixed beside those of `rank`.
    """
    if groups is None:
        return rank(queries, gallery, depth)
    if not groups.within and max(groups.sizes.values(), default=1) * 2 < len(groups.sizes):
        deeper = None if depth is None else depth + max(groups.sizes.values()) - 1
        return _admitted(rank(queries, gallery, deeper), groups, depth)
    found: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {}
    asking = [groups.of.get(name) for name in queries.ids]
    group_of = [groups.of.get(name) for name in gallery.ids]
    for group in Counter(asking):
        asked = [row for row, each in enumerate(asking) if each == group]
        shown = [
            row
            for row, each in enumerate(group_of)
            if group is None or each is None or (each == group) == groups.within
        ]
        ranking = rank(_of_rows(queries, asked), _of_rows(gallery, shown), depth)
        answers = zip(ranking.answers, ranking.distances, strict=True)
        found |= zip(ranking.query_ids, answers, strict=True)
    ordered = [found[name] for name in queries.ids]
    answered, far = tuple(each for each, _ in ordered), tuple(each for _, each in ordered)
    return Ranking(queries.ids, answered, far)


def _of_rows(features: Features, rows: list[int]) -> Features:
    ids = tuple(features.ids[row] for row in rows)
    vectors, norms = take_rows(features.vectors, np.array(rows, np.intp)), features.norms[rows]
    return replace(features, vectors=vectors, norms=norms, ids=ids)


def _admitted(ranking: Ranking, groups: Groups, depth: int | None) -> Ranking:
    """The first `depth` answers to each query that the groups admit."""
    answers, distances = [], []
    for query, names, far in zip(
        ranking.query_ids, ranking.answers, ranking.distances, strict=True
    ):
        kept = islice((n for n, name in enumerate(names) if groups.admits(query, name)), depth)
        places = [*kept]
        answers.append(tuple(names[place] for place in places))
        distances.append(tuple(far[place] for place in places))
    return Ranking(ranking.query_ids, tuple(answers), tuple(distances))
