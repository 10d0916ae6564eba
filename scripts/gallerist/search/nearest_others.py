"""The nearest neighbours that each of some pictures has among the others."""

from collections.abc import Sequence

import numpy as np

from gallerist.features.store import Features, check_comparable
from gallerist.io.arrays import Integers
from gallerist.search.distances import Metric
from gallerist.search.exact import search

Searched = tuple[Features, Features]
"""The vectors of the queries and of the gallery by one experiment."""


def nearest_others(
    parts: Sequence[tuple[Features, Sequence[str]]],
    groups: Integers,
    count: int,
    metric: Metric = "cosine",
) -> Integers:
    """(n, count) int64: the rows of each picture's nearest others, nearest first.

    parts: vectors with the ids of those pictures in them that are meant; n ids, part after part,
    each once. groups: (n,) of pictures of one group, such as the copies of an original, only the
    first is a neighbour, and none to its own group. -1 where there are fewer neighbours.

    Distances and their ties are those of `exact.search`.
    """
    for one, _ in parts[1:]:
        check_comparable(parts[0][0], one)
    ids = [name for _, names in parts for name in names]
    row_of = {name: row for row, name in enumerate(ids)}
    vectors = np.concatenate([each.rows_of(names) for each, names in parts])
    norms = np.concatenate([each.norms_of(names) for each, names in parts])
    first = np.sort(np.unique(groups, return_index=True)[1])
    ranking = search(
        *(vectors, ids, vectors[first], [ids[row] for row in first]),
        count + 1,  # one of them may be of its own group
        metric=metric,
        query_norms=norms,
        gallery_norms=norms[first],
    )
    found = np.full((len(ids), count), -1, np.int64)
    for row, answers in enumerate(ranking.answers):
        others = [row_of[answer] for answer in answers]
        others = [other for other in others if groups[other] != groups[row]][:count]
        found[row, : len(others)] = others
    return found
