"""Which gallery pictures are relevant to a query, and at which ranks a ranking has them.

It is decided here alone, for metrics, curves, lists, figures, the challenge and single queries.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gallerist.data.manifest import DISTRACTOR
from gallerist.io.arrays import Booleans, Integers
from gallerist.io.errors import UserError
from gallerist.search.ranking import Ranking

MARKS = {True: "o", False: "x", None: ""}
"""How an answer is marked: relevant, not, or unknown."""


class TruncatedRanking(UserError):
    """A metric needs ranks beyond those that were kept."""


@dataclass(frozen=True, eq=False)
class RelevantRanks:
    """The ranks of each query's relevant answers, in little memory, however large the gallery.

    ranks: (n,) int64, from 1, ascending within a query; the queries one after the other.
    offsets: (queries + 1,) int64: those of query i are ranks[offsets[i]:offsets[i + 1]].
    total: (queries,) int64, R: relevant pictures that the gallery has, at least 1.
    depth: (queries,) int64, answers that were kept. What stands below is unknown.

    Raises UserError when more are found than there are, and when R is 0: no ranking could answer
    such a query, so it is neither hit nor miss. Exclude and count those before.
    """

    ranks: Integers
    offsets: Integers
    total: Integers
    depth: Integers

    def __post_init__(self) -> None:
        """Check what comes from outside: a metric of inconsistent numbers would seem right."""
        for refused, reason in (
            (self.total < 1, "have no relevant picture in the gallery: exclude and count them"),
            (self.found > self.total, "have more relevant answers than the gallery has"),
        ):
            if refused.any():
                raise UserError(
                    f"{int(refused.sum())} of {len(self)} queries {reason} (the first is number "
                    f"{int(refused.argmax())})"
                )

    def __len__(self) -> int:
        return len(self.total)

    @property
    def found(self) -> Integers:
        """(queries,) int64: relevant answers within the depth."""
        return np.diff(self.offsets)

    @property
    def query_of(self) -> Integers:
        """(n,) int64: the query each rank belongs to."""
        return np.repeat(np.arange(len(self.total)), self.found)

    @property
    def numbers(self) -> Integers:
        """(n,) int64: 1 for a query's first relevant answer, 2 for its second, and so on."""
        return np.arange(1, len(self.ranks) + 1) - self.offsets[:-1][self.query_of]

    @cached_property
    def first(self) -> list[int | None]:
        """Rank of each query's first relevant answer; None where none is within the depth."""
        found = zip(self.offsets[:-1], self.found, strict=True)
        return [int(self.ranks[start]) if count else None for start, count in found]

    def require_known(self, k: int | Integers, metric: str, instead: str) -> None:
        """Raise TruncatedRanking unless it is known which of the first k answers are relevant.

        It is when k answers were kept, or when no relevant picture is left to stand further down.
        k: one for all, or (queries,). metric, instead: what to call it, and what could be asked
        for instead; "{depth}" in it becomes the depth.
        """
        unknown = (self.depth < k) & (self.found < self.total)
        if unknown.any():
            depth = int(self.depth[unknown].min())
            raise TruncatedRanking(
                f"{metric} cannot be known: the ranking of {int(unknown.sum())} of {len(self)} "
                f"queries ends at rank {depth} with relevant pictures still to come. "
                "Keep a deeper ranking"
                + (f", or ask for {instead.format(depth=depth)}." if depth else ".")
            )

    def of(self, queries: npt.ArrayLike) -> "RelevantRanks":
        """Keep those queries, in that order. queries: positions, or (queries,) bool."""
        rows = np.arange(len(self))[np.asarray(queries)]
        counts = self.found[rows]
        offsets = _offsets(counts)
        taken = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], counts)
        return RelevantRanks(self.ranks[taken], offsets, self.total[rows], self.depth[rows])

    def ended_by_itself(self, depth: int | None) -> "RelevantRanks":
        """The same ranks, with nothing unknown where fewer than `depth` answers were kept.

        depth: answers that were asked for, None for all. Where there are fewer the ranking ended by
        itself, as that of an approximate index may: a relevant picture that it lacks is not
        unknown, but was not found, as in trec_eval.
        """
        ended = np.full(len(self), True) if depth is None else self.depth < depth
        return replace(self, depth=np.where(ended, np.iinfo(np.int64).max, self.depth))

    @classmethod
    def from_marks(
        cls,
        marks: Sequence[Sequence[bool]] | Booleans,
        total: npt.ArrayLike,
    ) -> "RelevantRanks":
        """Take it from marks: for each query whether answer j is relevant, best answer first.

        total: (queries,) R. The depth is how many marks there are.
        """
        rows = [np.flatnonzero(np.asarray(row, dtype=np.bool_)) + 1 for row in marks]
        return cls(
            np.concatenate([np.zeros(0, dtype=np.int64), *rows]),
            _offsets(np.array([len(row) for row in rows], dtype=np.int64)),
            np.asarray(total, dtype=np.int64),
            np.array([len(row) for row in marks], dtype=np.int64),
        )


@dataclass(frozen=True, eq=False)
class Relevance:
    """The gallery pictures that are relevant to each query.

    relevant: query id -> ids of the gallery, in the order of the queries.
    gallery: ids that can be answers; None where that is unknown.
    same_files: a gallery picture with a query's id is the query's own file, and no answer to it;
    otherwise the two are different pictures.
    """

    relevant: Mapping[str, Set[str]]
    gallery: Collection[str] | None = None
    same_files: bool = False

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

    def mark(self, query: str, answers: Sequence[str]) -> tuple[bool, ...]:
        """Whether each answer is relevant, best first.

        Raises UserError for an answer that the gallery does not have, a relevant one that is there
        twice, and the query's own file.
        """
        if self.gallery is not None:
            _require_known(answers, self.gallery, "gallery")
        if self.same_files and query in answers:
            raise UserError("a query is ranked as its own answer: leave its own file out")
        relevant = self.relevant[query]
        marks = tuple(answer in relevant for answer in answers)
        if len(relevant & set(answers)) < sum(marks):
            raise UserError(f"a relevant picture is ranked twice for the query {query}")
        return marks

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
        return RelevantRanks.from_marks(
            [self.mark(query, answers[query]) for query in wanted],
            [self.total(query) for query in wanted],
        )


@dataclass(frozen=True)
class QueryResult:
    """One query: its answers, with their classes and distances, and whether each is relevant."""

    query_id: str
    label: str
    answers: tuple[str, ...]
    answer_labels: tuple[str, ...]
    distances: tuple[float, ...]
    relevant: tuple[bool, ...]

    def listed(self, count: int) -> list[tuple[str, str, float, bool]]:
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
    """

    results: tuple[QueryResult, ...]
    excluded: tuple[str, ...]
    ranks: RelevantRanks

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
    ranking: Ranking, query_labels: Mapping[str, str], gallery_labels: Mapping[str, str]
) -> Evaluation:
    """Evaluate a ranking by the labels of its queries and of the gallery, both by id.

    Raises UserError naming the first id of the ranking that has no label, or a query that is not
    ranked, and as `Relevance.mark`.
    """
    _require_known(ranking.query_ids, query_labels, "query")
    unranked = set(query_labels) - set(ranking.query_ids)
    if unranked:
        raise UserError(f"the ranking lacks {len(unranked)} queries, {min(unranked)} among them")
    relevance = Relevance.of_classes(query_labels, gallery_labels)
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
    ranks = RelevantRanks.from_marks(
        [result.relevant for result in results],
        [relevance.total(result.query_id) for result in results],
    )
    return Evaluation(tuple(results), tuple(excluded), ranks)


def _require_known(ids: Sequence[str], known: Collection[str], part: str) -> None:
    for identifier in ids:
        if identifier not in known:
            raise UserError(f"the ranking names {identifier}, which the {part} does not have")


def _offsets(counts: npt.NDArray[np.signedinteger]) -> Integers:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
