"""Rankings and truths of any tool: read and written as plain files, and evaluated by one another.

`trec_files.FORMS` lists the forms.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.relevance import Relevance
from gallerist.evaluation.relevant_ranks import RelevantRanks
from gallerist.evaluation.trec_files import Source, number, source, table, trec_lines, write_lines
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike
from gallerist.search.ranking import Ranking

TRUTH_VALUES = {"true": "1", "false": "0"}
"""How pandas writes `relevant`."""

Value = TypeVar("Value")

PARTS = ("query", "gallery", "training", "validation")

logger = logging.getLogger("gallerist")


@dataclass(frozen=True)
class Truth:
    """What is relevant, and the pictures that it is of.

    queries: those that the truth names; of pairs, without classes, with "" for one. gallery: None
    where it is unknown, as it is of pairs. junk: query -> pictures that the truth calls neither
    right nor wrong, by a relevance below 0; evaluating takes those for wrong, as trec_eval does.
    """

    queries: Manifest
    relevance: Relevance
    gallery: Manifest | None = None
    junk: Mapping[str, Set[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluatedRanking:
    """Where a ranking has its relevant answers.

    ranks: of the queries that have any. queries: their ids, in the order of the truth. excluded:
    ids of queries without relevant pictures.
    """

    ranks: RelevantRanks
    queries: tuple[str, ...]
    excluded: tuple[str, ...]


# -- rankings -----------------------------------------------------------------------------------


def read_ranking(file: PathLike | Source) -> Ranking:
    """Read a ranking CSV or a TREC run; queries in the order in which the file first names them.

    CSV: rows in any order; the ranks of a query are 1, 2, 3, ... Without distances the rank stands
    for one. TREC run: exactly as trec_eval takes it, so that both see the same ranking. The rank
    column is ignored; answers come by score, as a single-precision number, falling, and equal
    scores by id, falling, byte by byte. The distance is minus the score.

    Raises UserError naming file and line.
    """
    read = source(file)
    return _read_table(read) if read.kind == "ranking" else _read_run(read)


def _by_query(rows: Iterable[tuple[str, str, str, Value]]) -> dict[str, dict[str, Value]]:
    """Query -> answer -> value of rows (place, query, answer, value), each pair of them once."""
    found: dict[str, dict[str, Value]] = {}
    for place, query, answer, value in rows:
        values = found.setdefault(query, {})
        if answer in values:
            raise UserError(f"{place}: query {query} has {answer} a second time")
        values[answer] = value
    return found


def _read_table(file: Source) -> Ranking:
    path = file.path
    taken: set[tuple[str, float]] = set()

    def rows() -> Iterator[tuple[str, str, str, tuple[float, float]]]:
        columns = ("query_id", "rank", "gallery_id")
        for place, (query, written, answer), (distance,) in table(file, columns, ("distance",)):
            rank = number(written, "rank", place, int)
            if rank < 1:
                raise UserError(f"{place}: rank {rank}; the best answer has rank 1")
            if (query, rank) in taken:
                raise UserError(f"{place}: query {query} has two answers of rank {rank}")
            taken.add((query, rank))
            far = rank if distance is None else number(distance, "distance", place)
            yield place, query, answer, (rank, far)

    found = {
        query: sorted((*value, answer) for answer, value in values.items())
        for query, values in _by_query(rows()).items()
    }
    for query, ordered in found.items():
        last = -np.inf
        for expected, (rank, distance, _) in enumerate(ordered, start=1):
            if rank != expected:
                raise UserError(
                    f"{path}: query {query} has {len(ordered)} answers, but none of rank "
                    f"{expected}: the ranks of a query are 1, 2, 3, and so on"
                )
            if distance < last:
                raise UserError(
                    f"{path}: query {query} has at rank {rank} a smaller distance than at rank "
                    f"{rank - 1}. Which is right? If the column is a similarity, call it so: "
                    "the ranks are enough"
                )
            last = distance
    return Ranking(
        tuple(found),
        tuple(tuple(answer for *_, answer in ordered) for ordered in found.values()),
        tuple(tuple(distance for _, distance, _ in ordered) for ordered in found.values()),
    )


def _read_run(file: Source) -> Ranking:
    scores_of = _by_query(
        (place, query, answer, number(score, "score", place))
        for place, (query, _, answer, _, score, _) in trec_lines(file, "run")
    )
    ordered = []
    for scores in scores_of.values():
        with np.errstate(over="ignore"):  # infinite in single precision, as for trec_eval
            single = np.array([*scores.values()], dtype=np.float32).tolist()
        # Code points of a text are in the order of its bytes in UTF-8.
        ordered.append(sorted(zip(single, scores, strict=True), reverse=True))
    return Ranking(
        tuple(scores_of),
        tuple(tuple(answer for _, answer in rows) for rows in ordered),
        tuple(tuple(-score for score, _ in rows) for rows in ordered),
    )


def write_run(ranking: Ranking, path: PathLike, tag: str) -> None:
    """Write a TREC run, whole or not at all. tag: who made it, without blanks.

    The score is how many answers are left, this one included, and not minus the distance:
    trec_eval orders by scores in single precision, which merges near distances, and orders equal
    ones the other way than a ranking does.
    Raises UserError for an id that is empty or has a blank in it.
    """
    write_lines(
        path,
        (
            (query, "Q0", answer, index + 1, len(answers) - index, tag)
            for query, answers in zip(ranking.query_ids, ranking.answers, strict=True)
            for index, answer in enumerate(answers)
        ),
    )


# -- truths -------------------------------------------------------------------------------------


def read_truth(files: Sequence[PathLike | Source], ranked: Sequence[str]) -> Truth:
    """Read what is relevant: one file of pairs or qrels, or one or several of classes as one.

    Classes: `part` says which rows are of queries and which of the gallery; those of training and
    validation are ignored. Without that column the ids in `ranked`, which rankings have as
    queries, are the queries, and all others the gallery. Pairs: relevant where `relevant` is above
    0, or everywhere without that column. Qrels: where the relevance is above 0; grades are not
    distinguished.

    Raises UserError naming file and line.
    """
    given = [source(file) for file in files]
    kinds = {each.kind for each in given}
    if kinds == {"labels"}:
        return _read_classes(given, ranked)
    if len(given) != 1:
        named = ", ".join(str(each.path) for each in given)
        raise UserError(f"give one truth, or several files of classes; these are: {named}")
    return _read_pairs(given[0]) if kinds == {"pairs"} else _read_qrels(given[0])


def _read_classes(files: Sequence[Source], ranked: Sequence[str]) -> Truth:
    found: dict[str, dict[str, Picture]] = {}
    places: dict[tuple[str, str], str] = {}
    for each in files:
        for place, (name, label), (part, original, file) in table(
            each, ("id", "label"), ("part", "source_id", "path")
        ):
            if part is not None and part not in PARTS:
                raise UserError(f"{place}: the part {part!r} is none of {', '.join(PARTS)}")
            here = part or ""
            if (here, name) in places:
                raise UserError(f"{place}: {name} stands already in {places[here, name]}")
            places[here, name] = place
            pictures = found.setdefault(here, {})
            pictures[name] = Picture(name, file or "", label, here, original or name, 0, 0, "")
    listed = ", ".join(str(each.path) for each in files)
    if "" in found and len(found) > 1:
        raise UserError(f"of {listed}, some have a column part and some have not: add it")
    if "" in found:
        found = _divide(found[""], ranked, listed)
    for part in ("query", "gallery"):
        if part not in found:
            raise UserError(f"{listed}: no picture is of the part {part}; give its file too")
    queries, gallery = (Manifest(tuple(found[part].values())) for part in ("query", "gallery"))
    return Truth(queries, Relevance.of_classes(queries.label_of, gallery.label_of), gallery)


def _divide(
    pictures: Mapping[str, Picture], ranked: Sequence[str], listed: str
) -> dict[str, dict[str, Picture]]:
    queries = {query: pictures[query] for query in dict.fromkeys(ranked) if query in pictures}
    gallery = {name: each for name, each in pictures.items() if name not in queries}
    if not queries or not gallery:
        raise UserError(
            f"{listed} has classes of {len(queries)} queries and of {len(gallery)} other pictures. "
            "It needs both; where one picture is both, say so by two rows and a column part"
        )
    return {"query": queries, "gallery": gallery}


def _read_pairs(file: Source) -> Truth:
    rows = []
    columns = ("query_id", "gallery_id")
    for place, (query, answer), (relevant,) in table(file, columns, ("relevant",)):
        value = "1" if relevant is None else TRUTH_VALUES.get(relevant.lower(), relevant)
        rows.append((place, query, answer, number(value, "relevant", place)))
    return _of_pairs(rows)


def _read_qrels(file: Source) -> Truth:
    rows = [
        (place, query, answer, number(relevance, "relevance", place, int))
        for place, (query, _, answer, relevance) in trec_lines(file, "qrels")
    ]
    if any(relevance > 1 for *_, relevance in rows):
        logger.warning(
            "%s has grades above 1: all count as relevant alike, so nDCG is not trec_eval's",
            file.path,
        )
    return _of_pairs(rows)


def _of_pairs(rows: Iterable[tuple[str, str, str, float]]) -> Truth:
    found = _by_query(rows)
    relevant, junk = (
        {
            query: {answer for answer, relevance in values.items() if sign * relevance > 0}
            for query, values in found.items()
        }
        for sign in (1, -1)
    )
    queries = Manifest(tuple(Picture(each, "", "", "query", each, 0, 0, "") for each in relevant))
    return Truth(queries, Relevance(relevant), junk=junk)


def write_qrels(truth: Truth, path: PathLike) -> None:
    """Write the relevant pairs as TREC qrels in the order of the gallery, whole or not at all.

    A query without any has no line: trec_eval leaves it out of its means, as `find_relevant` does.
    Raises UserError for an id that is empty or has a blank in it.
    """
    relevance = truth.relevance
    ids = {
        query: truth.gallery.ids if truth.gallery else sorted(relevance.relevant[query])
        for query in truth.queries.ids
    }
    write_lines(
        path,
        (
            (query, 0, answer, 1)
            for query, answers in ids.items()
            for answer in answers
            if relevance.is_relevant(query, answer)
        ),
    )


# -- evaluating ------------------------------------------------------------------------------------


def find_relevant(ranking: Ranking, truth: Truth) -> EvaluatedRanking:
    """Find where the relevant answers stand.

    R, how many relevant pictures there are, comes from the truth, so of a ranking that does not
    list them all nothing is known that lies below its end. Queries without any relevant picture are
    excluded; of pairs, also those that are ranked but not in the truth.

    Raises UserError when a query of the truth that has relevant pictures is not ranked, when with
    classes a ranked query has none, when no query can be evaluated, and for an answer that the
    gallery does not have.
    """
    answers = dict(zip(ranking.query_ids, ranking.answers, strict=True))
    known, relevance = truth.queries.by_id(), truth.relevance
    unknown = tuple(query for query in ranking.query_ids if query not in known)
    if unknown and truth.gallery is not None:
        raise UserError(
            f"{len(unknown)} queries of the ranking have no class in the truth, {unknown[0]} "
            "among them"
        )
    chosen = relevance.answerable
    missing = [query for query in chosen if query not in answers]
    if missing:
        raise UserError(
            f"{len(missing)} queries of the truth are not in the ranking, {missing[0]} among them: "
            "rank them, or take them out of the truth"
        )
    if not chosen:
        raise UserError(
            f"none of {len(known)} queries has a relevant picture: are truth and ranking of the "
            "same data, and are the classes named alike for queries and gallery?"
        )
    return EvaluatedRanking(relevance.ranks(answers), chosen, relevance.excluded + unknown)
