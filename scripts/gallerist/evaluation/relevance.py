"""Which gallery pictures are relevant to a query, and at which ranks a ranking has them.

It is decided here alone, for metrics, curves, lists, figures, the challenge and single queries.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from gallerist.data.groups import Groups, answer_groups
from gallerist.data.manifest import DISTRACTOR, Manifest
from gallerist.evaluation.relevant_ranks import Marks, RelevantRanks
from gallerist.io.arrays import Integers
from gallerist.io.errors import UserError
from gallerist.search.ranking import Ranking

MARKS = {True: "o", False: "x", None: ""}
"""How an answer is marked: relevant, not, or neither: junk, or unknown."""


@dataclass(frozen=True, eq=False)
class Relevance:
    """The gallery pictures that are relevant to each query, those that are not, and junk.

    relevant: query id -> ids of the gallery, in the order of the queries.
    gallery: ids that can be answers; None where that is unknown.
    same_files: a gallery picture with a query's id is the query's own file, and no answer to it;
    otherwise the two are different pictures.
    junk: query id -> ids of the gallery that are neither right nor wrong answers, and are taken out
    of a ranking before ranks are counted. None of them is relevant.
    grades: query id -> relevant id -> how relevant it is, above 0; None where all are alike.
    """

    relevant: Mapping[str, Set[str]]
    gallery: Collection[str] | None = None
    same_files: bool = False
    junk: Mapping[str, Set[str]] = field(default_factory=dict)
    grades: Mapping[str, Mapping[str, float]] | None = None

    @classmethod
    def of_classes(
        cls, queries: Mapping[str, str], gallery: Mapping[str, str], *, same_files: bool = True
    ) -> "Relevance":
        """Relevant is each gallery picture of the query's class; distractors are to none.

        queries, gallery: id -> class.
        """
        members: dict[str, set[str]] = {}
        for identifier, label in gallery.items():
            members.setdefault(label, set()).add(identifier)
        members.pop(DISTRACTOR, None)
        nothing: Set[str] = frozenset()
        of_query = {query: members.get(label, nothing) for query, label in queries.items()}
        return cls(of_query, gallery, same_files)

    @classmethod
    def of_pairs(
        cls,
        queries: Iterable[str],
        gallery: Collection[str],
        pairs: Iterable[tuple[str, str, float]],
        *,
        same_files: bool = True,
    ) -> "Relevance":
        """Relevant is what a pair (query, gallery picture, relevance) says to be, above 0.

        A relevance below 0 says that the picture is junk, and 0 that it is wrong, as all are that
        no pair names. queries: all ids, in their order.
        """
        grades: dict[str, dict[str, float]] = {query: {} for query in queries}
        junk: dict[str, set[str]] = {}
        for query, answer, relevance in pairs:
            if relevance > 0:
                grades[query][answer] = relevance
            elif relevance < 0:
                junk.setdefault(query, set()).add(answer)
        alike = all(grade == 1 for each in grades.values() for grade in each.values())
        relevant = {query: frozenset(each) for query, each in grades.items()}
        return cls(relevant, gallery, same_files, junk, None if alike else grades)

    def admitting(self, groups: Groups | None) -> "Relevance":
        """The same, without the answers that are not admitted to a query: they are not there.

        None admits all. Pictures that have their relevant ones in common keep them so.
        """
        if groups is None:
            return self
        made: dict[tuple[int, str | None], Set[str]] = {}
        relevant = dict(self.relevant)
        for query, found in relevant.items():
            group = groups.of.get(query)
            alone = group is None or (not groups.within and groups.sizes[group] == 1)
            if not alone and (id(found), group) not in made:
                admitted = (answer for answer in found if groups.admits(query, answer))
                made[id(found), group] = frozenset(admitted)
            relevant[query] = found if alone else made[id(found), group]
        grades = self.grades and {
            query: {answer: each for answer, each in grade.items() if answer in relevant[query]}
            for query, grade in self.grades.items()
        }
        return replace(self, relevant=relevant, grades=grades)

    def total(self, query: str) -> int:
        """R: gallery pictures relevant to the query, its own file not among them."""
        relevant = self.relevant[query]
        return len(relevant) - (self.same_files and query in relevant)

    @cached_property
    def answerable(self) -> tuple[str, ...]:
        """Ids of the queries with a relevant picture, in their order."""
        return tuple(query for query in self.relevant if self.total(query))

    @cached_property
    def excluded(self) -> tuple[str, ...]:
        """Ids of the other queries, distractors among them: no ranking could answer those.

        They count neither as hit nor as miss; they are named.
        """
        return tuple(query for query in self.relevant if not self.total(query))

    def is_relevant(self, query: str, answer: str) -> bool:
        """Whether a gallery picture is relevant to a query, both by id."""
        return answer in self.relevant[query] and not (self.same_files and answer == query)

    def judge(self, query: str, answer: str) -> bool | None:
        """The same, with None for junk: see `MARKS`."""
        if answer in self.junk.get(query, ()):
            return None
        return self.is_relevant(query, answer)

    def mark(self, query: str, answers: Sequence[str]) -> tuple[bool | None, ...]:
        """Whether each answer is relevant, best first; None for junk.

        Raises UserError for an answer that the gallery does not have, a relevant one that is there
        twice, and the query's own file.
        """
        if self.gallery is not None:
            _require_known(answers, self.gallery, "gallery")
        if self.same_files and query in answers:
            raise UserError("a query is ranked as its own answer: leave its own file out")
        relevant, junk = self.relevant[query], self.junk.get(query, ())
        marks = tuple(None if answer in junk else answer in relevant for answer in answers)
        if len(relevant & set(answers)) < marks.count(True):
            raise UserError(f"a relevant picture is ranked twice for the query {query}")
        return marks

    def ranks_of(
        self, queries: Sequence[str], answers: Sequence[Sequence[str]], marks: Sequence[Marks]
    ) -> RelevantRanks:
        """The ranks of the relevant answers to queries that were marked: see `mark`."""
        total = [self.total(query) for query in queries]
        if self.grades is None:
            return RelevantRanks.from_marks(marks, total)
        gains, ideal = [], []
        for query, ranked, row in zip(queries, answers, marks, strict=True):
            grade = self.grades[query]
            gains.append([grade[answer] for answer, mark in zip(ranked, row, strict=True) if mark])
            own = query if self.same_files else None
            ideal.append([each for answer, each in grade.items() if answer != own])
        return RelevantRanks.from_marks(marks, total, gains, ideal)

    def ranks(
        self, answers: Mapping[str, Sequence[str]], queries: Sequence[str] | None = None
    ) -> RelevantRanks:
        """At which ranks the relevant answers to queries stand.

        answers: query id -> ids of the gallery, best first. queries: those wanted, in that order;
        all `answerable` ones unless given. Raises UserError as `mark`, for a query without relevant
        pictures, and for one that has no answers.
        """
        wanted = self.answerable if queries is None else queries
        for query in wanted:
            if query not in answers:
                raise UserError(f"the ranking lacks the query {query}")
        ranked = [answers[query] for query in wanted]
        return self.ranks_of(wanted, ranked, [*map(self.mark, wanted, ranked)])


@dataclass(frozen=True)
class QueryResult:
    """One query: its answers, with their classes and distances, and whether each is relevant.

    A class is empty where the pictures have none. relevant: None for junk.
    """

    query_id: str
    label: str
    answers: tuple[str, ...]
    answer_labels: tuple[str, ...]
    distances: tuple[float, ...]
    relevant: tuple[bool | None, ...]

    def listed(self, count: int) -> list[tuple[str, str, float, bool | None]]:
        """Id, class, distance and relevance of each of the first `count` answers, best first."""
        columns = self.answers, self.answer_labels, self.distances, self.relevant
        return list(zip(*columns, strict=True))[:count]


class Confusion(NamedTuple):
    """counts: (class of the query, class of the first answer) of the classes.

    totals: queries of each class that have an answer, of a class that is left out too. left_out:
    how many classes that are.
    """

    classes: list[str]
    counts: Integers
    totals: Integers
    left_out: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Results of all queries that have a relevant picture, in the order of the ranking.

    excluded: ids of the others: see `Relevance.excluded`. ranks: of the relevant answers.
    groups: of pictures that do not all answer each other, if there are any.
    """

    results: tuple[QueryResult, ...]
    excluded: tuple[str, ...]
    ranks: RelevantRanks
    groups: Groups | None = None

    @property
    def queries(self) -> tuple[str, ...]:
        """Ids of the queries with results."""
        return tuple(result.query_id for result in self.results)

    def require_results(self) -> None:
        """Raise UserError when no query at all has a relevant picture."""
        if not self.results:
            raise UserError(
                f"none of the {len(self.excluded)} queries has a picture of its class in the "
                "gallery: are the class folders of gallery and query called the same?"
            )

    def confusion(self, most: int | None = None) -> Confusion:
        """Which class the first answers to the queries of each class are of.

        most: so many classes at most, those with the most wrong first answers, to their queries or
        among the answers; of equal ones the first by name. They stand by name.
        """
        pairs = [(each.label, each.answer_labels[0]) for each in self.results if each.answers]
        labels = {result.label for result in self.results}
        wrong = Counter(label for pair in pairs if pair[0] != pair[1] for label in pair)
        every = sorted(labels | {first for _, first in pairs})
        classes = sorted(sorted(every, key=lambda label: (-wrong[label], label))[:most])
        counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
        position = {label: index for index, label in enumerate(classes)}
        for label, first in pairs:
            if label in position and first in position:
                counts[position[label], position[first]] += 1
        asked = Counter(label for label, _ in pairs)
        totals = np.array([asked[label] for label in classes], dtype=np.int64)
        return Confusion(classes, counts, totals, len(every) - len(classes))


def evaluate(
    ranking: Ranking,
    query_labels: Mapping[str, str],
    gallery_labels: Mapping[str, str],
    relevance: Relevance | None = None,
) -> Evaluation:
    """Evaluate a ranking of queries and gallery pictures with these labels, both by id.

    relevance: what is right; None, it is what is of the query's class.
    Raises UserError naming the first id of the ranking that has no label, or a query that is not
    ranked, and as `Relevance.mark`.
    """
    _require_known(ranking.query_ids, query_labels, "query")
    unranked = set(query_labels) - set(ranking.query_ids)
    if unranked:
        raise UserError(f"the ranking lacks {len(unranked)} queries, {min(unranked)} among them")
    relevance = relevance or Relevance.of_classes(query_labels, gallery_labels)
    results, excluded = [], []
    for query, answers, distances in zip(
        ranking.query_ids, ranking.answers, ranking.distances, strict=True
    ):
        _require_known(answers, gallery_labels, "gallery")
        if not relevance.total(query):
            excluded.append(query)
            continue
        labels = tuple(gallery_labels[answer] for answer in answers)
        marks = relevance.mark(query, answers)
        results.append(QueryResult(query, query_labels[query], answers, labels, distances, marks))
    ranks = relevance.ranks_of(
        [result.query_id for result in results],
        [result.answers for result in results],
        [result.relevant for result in results],
    )
    return Evaluation(tuple(results), tuple(excluded), ranks)


def evaluate_parts(
    ranking: Ranking,
    queries: Manifest,
    gallery: Manifest,
    asking: Mapping[str, Any] | None,
    relevance: Relevance | None = None,
) -> Evaluation:
    """Evaluate a ranking among those pictures that answer each other.

    relevance: what is right; None, it is what is of the query's class. asking: see `answer_groups`.
    Raises as `evaluate`, that, and `Evaluation.require_results`.
    """
    groups, labels = answer_groups(gallery, asking), (queries.label_of, gallery.label_of)
    right = relevance or Relevance.of_classes(*labels)
    evaluation = evaluate(ranking, *labels, right.admitting(groups))
    evaluation.require_results()
    return replace(evaluation, groups=groups)


def _require_known(ids: Sequence[str], known: Collection[str], part: str) -> None:
    for identifier in ids:
        if identifier not in known:
            raise UserError(f"the ranking names {identifier}, which the {part} does not have")
