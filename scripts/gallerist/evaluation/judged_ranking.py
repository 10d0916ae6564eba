"""A ranking and what is right, as arrays of whole numbers, for scoring under many protocols.

Everything that any protocol may ask is kept: the query's own file, junk, distances, originals. So
nothing is refused here that `Relevance.mark` refuses.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from gallerist.data.manifest import DISTRACTOR
from gallerist.evaluation.external_rankings import Truth
from gallerist.evaluation.judged_truth import JudgedTruth
from gallerist.io.arrays import Booleans, Floats, Integers
from gallerist.io.errors import UserError, first_of
from gallerist.search.ranking import Ranking


@dataclass(frozen=True, eq=False)
class Pairs:
    """What is right and what is junk: sorted, different int64 keys, query * gallery + picture."""

    right: Integers
    junk: Integers


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes as numbers: of each query, and of each gallery picture. distractor: -1 for none."""

    queries: Integers
    gallery: Integers
    distractor: int


@dataclass(frozen=True, eq=False)
class JudgedRanking:
    """A ranking whose queries the truth knows, in the order of the ranking.

    queries, gallery: ids; the gallery's sorted, so that numbers are in the order of ids.
    query_of, answers, distances: (n,) query, picture and distance of each answer, query by query,
    best first. own: (queries,) the gallery picture that is the query's own file or has its id, -1
    for none. own_is_file: whether such a picture is that file.
    setups: name -> pairs; of classes, which need none, empty. originals: of queries and of gallery
    pictures, by the same numbers.
    """

    queries: tuple[str, ...]
    gallery: tuple[str, ...]
    query_of: Integers
    answers: Integers
    distances: Floats
    own: Integers
    own_is_file: bool
    setups: Mapping[str, Pairs]
    classes: Classes | None
    originals: tuple[Integers, Integers]

    @property
    def lengths(self) -> Integers:
        """(queries,) int64: how many answers each query has."""
        return np.bincount(self.query_of, minlength=len(self.queries))

    def keys(self, queries: Integers, pictures: Integers) -> Integers:
        """Pairs of a query and a gallery picture as one number each."""
        return np.asarray(queries * len(self.gallery) + pictures, dtype=np.int64)

    @cached_property
    def marks(self) -> dict[str, tuple[Booleans, Booleans]]:
        """Setup -> which answers are right, and which are junk: (n,) bool each."""
        keys = self.keys(self.query_of, self.answers)
        return {
            name: (contains(pairs.right, keys), contains(pairs.junk, keys))
            for name, pairs in self.setups.items()
        }

    @cached_property
    def classes_listed(self) -> tuple[Integers, Integers]:
        """Gallery pictures by class, and the classes of those: what is searched for members."""
        if self.classes is None:
            raise ValueError("a truth of pairs has no classes")
        order = np.argsort(self.classes.gallery, kind="stable")
        return order, self.classes.gallery[order]


def contains(sorted_keys: Integers, keys: Integers) -> Booleans:
    """(n,) bool: which keys are among the sorted ones."""
    if not len(sorted_keys):
        return np.zeros(len(keys), dtype=np.bool_)
    places = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return np.asarray(sorted_keys[places] == keys)


def judge(ranking: Ranking, judged: JudgedTruth) -> JudgedRanking:
    """Bring a ranking and a truth together.

    Of pairs, a query that is ranked and not in the truth is left out. Raises UserError when a query
    that has right pictures is not ranked, when with classes a ranked query has none, and for an
    answer that the gallery does not have.
    """
    truth = judged.truth
    known = truth.queries.by_id()
    unknown = [query for query in ranking.query_ids if query not in known]
    if unknown and truth.gallery is not None:
        raise UserError(f"the truth has no class of {len(unknown)} queries: {first_of(unknown)}")
    chosen = [row for row, query in enumerate(ranking.query_ids) if query in known]
    queries = tuple(ranking.query_ids[row] for row in chosen)
    if not queries:
        raise UserError("the ranking has no query that the truth knows: are they of the same data?")
    missing = sorted(set(truth.relevance.answerable) - set(queries))
    if missing:
        raise UserError(
            f"{len(missing)} queries of the truth are not in the ranking: {first_of(missing)}. "
            "Rank them, or take them out of the truth"
        )
    answers = [ranking.answers[row] for row in chosen]
    gallery = _gallery_of(judged, answers)
    number_of = {name: number for number, name in enumerate(gallery)}
    strange = [name for name in chain.from_iterable(answers) if name not in number_of]
    if strange:
        raise UserError(f"the ranking names {strange[0]}, which the gallery does not have")
    return JudgedRanking(
        queries,
        gallery,
        np.repeat(np.arange(len(queries)), [len(each) for each in answers]),
        np.array([number_of[name] for name in chain.from_iterable(answers)], dtype=np.int64),
        np.fromiter(chain.from_iterable(ranking.distances[row] for row in chosen), np.float64),
        np.array([number_of.get(query, -1) for query in queries], dtype=np.int64),
        truth.relevance.same_files,
        _setups(judged, queries, number_of),
        _classes(truth, queries, gallery),
        _originals(truth, queries, gallery),
    )


def _gallery_of(judged: JudgedTruth, answers: Sequence[Sequence[str]]) -> tuple[str, ...]:
    listed = judged.truth.relevance.gallery
    if listed is not None:
        return tuple(sorted(listed))
    found = set(chain.from_iterable(answers))
    for right, junk in judged.setups.values():
        found.update(*right.values(), *junk.values())
    return tuple(sorted(found))


def _setups(
    judged: JudgedTruth, queries: Sequence[str], number_of: Mapping[str, int]
) -> dict[str, Pairs]:
    def keys(pictures_of: Mapping[str, Collection[str]]) -> Integers:
        pairs = [
            row * len(number_of) + number_of[name]
            for row, query in enumerate(queries)
            for name in pictures_of.get(query, ())
        ]
        return np.unique(np.array(pairs, dtype=np.int64))

    return {name: Pairs(keys(right), keys(junk)) for name, (right, junk) in judged.setups.items()}


def _classes(truth: Truth, queries: Sequence[str], gallery: Sequence[str]) -> Classes | None:
    if truth.gallery is None or not any(truth.gallery.labels):
        return None
    query_labels, gallery_labels = truth.queries.label_of, truth.gallery.label_of
    labels = [query_labels[name] for name in queries] + [gallery_labels[name] for name in gallery]
    names, numbers = np.unique(np.array(labels, dtype=np.str_), return_inverse=True)
    found = np.flatnonzero(names == DISTRACTOR)
    rows = numbers.astype(np.int64)
    distractor = int(found[0]) if len(found) else -1
    return Classes(rows[: len(queries)], rows[len(queries) :], distractor)


def _originals(
    truth: Truth, queries: Sequence[str], gallery: Sequence[str]
) -> tuple[Integers, Integers]:
    def of(pictures: Mapping[str, Any], names: Sequence[str]) -> list[str]:
        return [pictures[name].source_id if name in pictures else name for name in names]

    asked = of(truth.queries.by_id(), queries)
    if not truth.relevance.same_files:  # a query and a gallery picture of one id are two pictures
        asked = [f"query {name}" for name in asked]
    shown = of(truth.gallery.by_id() if truth.gallery is not None else {}, gallery)
    numbers = np.unique(np.array(asked + shown, dtype=np.str_), return_inverse=True)[1]
    return numbers[: len(asked)].astype(np.int64), numbers[len(asked) :].astype(np.int64)
