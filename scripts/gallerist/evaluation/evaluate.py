"""Which answers of a ranking are right, and which queries can be judged at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gallerist.data.manifest import DISTRACTOR
from gallerist.search.ranking import Ranking

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class QueryResult:
    """One query: its answers and whether each is right.

    first_right: rank of the first right answer, from 1; None when none of the answers is.
    """

    query_id: str
    label: str
    answers: tuple[str, ...]
    answer_labels: tuple[str, ...]
    distances: tuple[float, ...]
    right: tuple[bool, ...]

    @property
    def first_right(self) -> int | None:
        """Rank of the first right answer, from 1."""
        return self.right.index(True) + 1 if True in self.right else None


@dataclass(frozen=True)
class Evaluation:
    """Results of all judged queries, and the ids of those that cannot be judged.

    excluded: queries of the distractor class or without any right picture in the gallery.
    No ranking could answer them, so they count neither as hit nor as miss; they are named.
    """

    results: tuple[QueryResult, ...]
    excluded: tuple[str, ...]

    def require_judged(self) -> None:
        """Raise ValueError when no query at all can be judged."""
        if not self.results:
            raise ValueError(
                f"none of the {len(self.excluded)} queries has a picture of its class in the "
                "gallery: are the class folders of gallery and query called the same?"
            )

    def relevance(self) -> BoolArray:
        """(queries, answers) bool, padded with False where a query has fewer answers."""
        width = max((len(result.right) for result in self.results), default=0)
        matrix = np.zeros((len(self.results), width), dtype=np.bool_)
        for row, result in enumerate(self.results):
            matrix[row, : len(result.right)] = result.right
        return matrix

    def confusion(self) -> tuple[list[str], npt.NDArray[np.int64]]:
        """Classes, and counts (class of the query, class of the first answer)."""
        labels = {result.label for result in self.results}
        first = {result.answer_labels[0] for result in self.results if result.answer_labels}
        classes = sorted(labels | first)
        counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
        position = {label: index for index, label in enumerate(classes)}
        for result in self.results:
            if result.answer_labels:
                counts[position[result.label], position[result.answer_labels[0]]] += 1
        return classes, counts


def evaluate(
    ranking: Ranking, query_labels: Mapping[str, str], gallery_labels: Mapping[str, str]
) -> Evaluation:
    """Judge a ranking by the labels of its queries and of the gallery, both by id.

    An answer is right when it has the query's label and is not a distractor. Raises ValueError
    naming the first id of the ranking that has no label, or a query that is not ranked.
    """
    _check_known(ranking.query_ids, query_labels, "query")
    unranked = set(query_labels) - set(ranking.query_ids)
    if unranked:
        raise ValueError(f"the ranking lacks {len(unranked)} queries, {min(unranked)} among them")
    classes = set(gallery_labels.values()) - {DISTRACTOR}
    own_class: dict[str, int] = {}
    for label in gallery_labels.values():
        own_class[label] = own_class.get(label, 0) + 1
    results, excluded = [], []
    for query, answers, distances in zip(
        ranking.query_ids, ranking.answers, ranking.distances, strict=True
    ):
        _check_known(answers, gallery_labels, "gallery")
        label = query_labels[query]
        itself = int(gallery_labels.get(query) == label)
        if label not in classes or own_class[label] - itself == 0:
            excluded.append(query)
            continue
        labels = tuple(gallery_labels[answer] for answer in answers)
        right = tuple(answer == label for answer in labels)
        results.append(QueryResult(query, label, answers, labels, distances, right))
    return Evaluation(tuple(results), tuple(excluded))


def _check_known(ids: Sequence[str], labels: Mapping[str, str], part: str) -> None:
    for identifier in ids:
        if identifier not in labels:
            raise ValueError(f"the ranking names {identifier}, which the {part} does not have")
