"""Rankings and truths of any tool: read and written as plain files, and judged by one another.

`trec_files.FORMS` lists the forms.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.relevance import Relevance, RelevantRanks
from gallerist.evaluation.trec_files import (
    RANKINGS,
    TRUTHS,
    Pairings,
    number,
    refuse_blanks,
    require_kind,
    table,
    trec_lines,
    whole_number,
)
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, replacing
from gallerist.search.ranking import Ranking

TRUTH_VALUES = {"true": "1", "false": "0"}
"""How pandas writes `relevant`."""

PARTS = ("query", "gallery", "training", "validation")

logger = logging.getLogger("gallerist")


@dataclass(frozen=True)
class Truth:
    """What is relevant, and the pictures that it is of.

    queries: those that the truth names; of pairs, without classes, with "" for one. gallery: None
    where it is unknown, as it is of pairs.
    """

    queries: Manifest
    relevance: Relevance
    gallery: Manifest | None = None

    @classmethod
    def of_classes(cls, queries: Manifest, gallery: Manifest) -> "Truth":
        """Relevant is each gallery picture of the query's class: see `Relevance.of_classes`."""
        return cls(queries, Relevance.of_classes(queries.label_of, gallery.label_of), gallery)

    def relevant(self, query: str) -> list[str]:
        """Ids relevant to a query, in the order of the gallery; sorted where that is unknown."""
        ids = sorted(self.relevance.relevant[query]) if self.gallery is None else self.gallery.ids
        return [answer for answer in ids if self.relevance.is_relevant(query, answer)]


@dataclass(frozen=True)
class JudgedRanking:
    """Where a ranking has its relevant answers.

    ranks: of the queries that have any. queries, originals: their ids, and the picture that each
    was made from, in the order of the truth. excluded: ids of queries without relevant pictures.
    """

    ranks: RelevantRanks
    queries: tuple[str, ...]
    originals: tuple[str, ...]
    excluded: tuple[str, ...]


# -- rankings -----------------------------------------------------------------------------------


def read_ranking(path: PathLike) -> Ranking:
    """Read a ranking CSV or a TREC run; queries in the order in which the file first names them.

    CSV: rows in any order; the ranks of a query are 1, 2, 3, ... Without distances the rank stands
    for one. TREC run: exactly as trec_eval takes it, so that both see the same ranking. The rank
    column is not looked at; answers come by score, as a single-precision number, falling, and equal
    scores by id, falling, byte by byte. The distance is minus the score.

    Raises UserError naming file and line.
    """
    return _read_table(path) if require_kind(path, RANKINGS) == "ranking" else _read_run(path)


def _read_table(path: PathLike) -> Ranking:
    answers_of: dict[str, dict[int, str]] = {}
    distances_of: dict[str, dict[int, float]] = {}
    pairings = Pairings()
    columns = ("query_id", "rank", "gallery_id")
    for place, (query, written, answer), (distance,) in table(path, columns, ("distance",)):
        rank = whole_number(written, "rank", place)
        answers = answers_of.setdefault(query, {})
        if rank < 1:
            raise UserError(f"{place}: rank {rank}; the best answer has rank 1")
        if rank in answers:
            raise UserError(f"{place}: query {query} has two answers of rank {rank}")
        pairings.add(query, answer, place)
        answers[rank] = answer
        distances = distances_of.setdefault(query, {})
        distances[rank] = rank if distance is None else number(distance, "distance", place)
    for query, distances in distances_of.items():
        _check_ranks(path, query, distances)
    return Ranking(
        tuple(answers_of),
        tuple(tuple(each[rank] for rank in sorted(each)) for each in answers_of.values()),
        tuple(tuple(each[rank] for rank in sorted(each)) for each in distances_of.values()),
    )


def _check_ranks(path: PathLike, query: str, distances: Mapping[int, float]) -> None:
    for rank in range(1, len(distances) + 1):
        if rank not in distances:
            raise UserError(
                f"{path}: query {query} has {len(distances)} answers, but none of rank {rank}: "
                "the ranks of a query are 1, 2, 3, and so on"
            )
        if rank > 1 and distances[rank] < distances[rank - 1]:
            raise UserError(
                f"{path}: query {query} has at rank {rank} a smaller distance than at rank "
                f"{rank - 1}. Which is right? If the column is a similarity, call it so: "
                "the ranks are enough"
            )


def _read_run(path: PathLike) -> Ranking:
    answers_of: dict[str, list[str]] = {}
    scores_of: dict[str, list[float]] = {}
    pairings = Pairings()
    for place, (query, _, answer, _, score, _) in trec_lines(path, "run"):
        pairings.add(query, answer, place)
        answers_of.setdefault(query, []).append(answer)
        scores_of.setdefault(query, []).append(number(score, "score", place))
    ordered = [
        _by_score(answers, scores)
        for answers, scores in zip(answers_of.values(), scores_of.values(), strict=True)
    ]
    return Ranking(
        tuple(answers_of),
        tuple(tuple(answer for _, answer in rows) for rows in ordered),
        tuple(tuple(-score for score, _ in rows) for rows in ordered),
    )


def _by_score(answers: Sequence[str], scores: Sequence[float]) -> list[tuple[float, str]]:
    with np.errstate(over="ignore"):  # infinite in single precision, as for trec_eval
        single = np.asarray(scores, dtype=np.float32).tolist()
    # Code points of a text are in the order of its bytes in UTF-8.
    return sorted(zip(single, answers, strict=True), reverse=True)


def write_run(ranking: Ranking, path: PathLike, tag: str) -> None:
    """Write a TREC run, whole or not at all. tag: who made it, without blanks.

    The score is how many answers are left, this one included, and not minus the distance:
    trec_eval orders by scores in single precision, which merges near distances, and orders equal
    ones the other way than a ranking does.
    Raises UserError for an id that is empty or has a blank in it.
    """
    for each in ([tag], ranking.query_ids, *ranking.answers):
        refuse_blanks(each, path)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for query, answers in zip(ranking.query_ids, ranking.answers, strict=True):
            for index, answer in enumerate(answers):
                file.write(f"{query} Q0 {answer} {index + 1} {len(answers) - index} {tag}\n")


# -- truths -------------------------------------------------------------------------------------


def read_truth(paths: Sequence[PathLike], ranked: Sequence[str]) -> Truth:
    """Read what is relevant: one file of pairs or qrels, or one or several of classes as one.

    Classes: `part` says which rows are of queries and which of the gallery; those of training and
    validation are passed over. Without that column the ids in `ranked`, which rankings have as
    queries, are the queries, and all others the gallery. Pairs: relevant where `relevant` is above
    0, or everywhere without that column. Qrels: where the relevance is above 0; grades are not told
    apart.

    Raises UserError naming file and line.
    """
    kinds = {require_kind(path, TRUTHS) for path in paths}
    if kinds == {"labels"}:
        return _read_classes(paths, ranked)
    if len(paths) != 1:
        files = ", ".join(map(str, paths))
        raise UserError(f"give one truth, or several files of classes; these are: {files}")
    return _read_pairs(paths[0]) if kinds == {"pairs"} else _read_qrels(paths[0])


def _read_classes(paths: Sequence[PathLike], ranked: Sequence[str]) -> Truth:
    found: dict[str, dict[str, Picture]] = {}
    places: dict[tuple[str, str], str] = {}
    for path in paths:
        for place, (name, label), (part, source, file) in table(
            path, ("id", "label"), ("part", "source_id", "path")
        ):
            if part is not None and part not in PARTS:
                raise UserError(f"{place}: the part {part!r} is none of {', '.join(PARTS)}")
            here = part or ""
            if (here, name) in places:
                raise UserError(f"{place}: {name} stands already in {places[here, name]}")
            places[here, name] = place
            pictures = found.setdefault(here, {})
            pictures[name] = Picture(name, file or "", label, here, source or name, 0, 0, "")
    listed = ", ".join(map(str, paths))
    if "" in found and len(found) > 1:
        raise UserError(f"of {listed}, some have a column part and some have not: add it")
    if "" in found:
        found = _divide(found[""], ranked, listed)
    for part in ("query", "gallery"):
        if part not in found:
            raise UserError(f"{listed}: no picture is of the part {part}; give its file too")
    return Truth.of_classes(
        Manifest(tuple(found["query"].values())), Manifest(tuple(found["gallery"].values()))
    )


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


def _read_pairs(path: PathLike) -> Truth:
    rows = []
    columns = ("query_id", "gallery_id")
    for place, (query, answer), (relevant,) in table(path, columns, ("relevant",)):
        value = "1" if relevant is None else TRUTH_VALUES.get(relevant.lower(), relevant)
        rows.append((place, query, answer, number(value, "relevant", place)))
    return _pair(rows)


def _read_qrels(path: PathLike) -> Truth:
    rows = [
        (place, query, answer, whole_number(relevance, "relevance", place))
        for place, (query, _, answer, relevance) in trec_lines(path, "qrels")
    ]
    if any(relevance > 1 for *_, relevance in rows):
        logger.warning(
            "%s has grades above 1: all count as relevant alike, so nDCG is not trec_eval's", path
        )
    return _pair(rows)


def _pair(rows: Sequence[tuple[str, str, str, float]]) -> Truth:
    answers: dict[str, set[str]] = {}
    pairings = Pairings()
    for place, query, answer, relevance in rows:
        pairings.add(query, answer, place)
        relevant = answers.setdefault(query, set())
        if relevance > 0:
            relevant.add(answer)
    queries = Manifest(tuple(Picture(each, "", "", "query", each, 0, 0, "") for each in answers))
    return Truth(queries, Relevance(answers))


def write_qrels(truth: Truth, path: PathLike) -> None:
    """Write the relevant pairs as TREC qrels, whole or not at all.

    A query without any has no line, so trec_eval leaves it out of its means, as `judge` does.
    Raises UserError for an id that is empty or has a blank in it.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for query in truth.queries:
            relevant = truth.relevant(query.id)
            refuse_blanks([query.id, *relevant], path)
            file.writelines(f"{query.id} 0 {answer} 1\n" for answer in relevant)


# -- judging ------------------------------------------------------------------------------------


def judge(ranking: Ranking, truth: Truth) -> JudgedRanking:
    """Find where the relevant answers stand.

    R, how many relevant pictures there are, comes from the truth, so of a ranking that does not
    list them all nothing is known that lies below its end. Queries without any relevant picture are
    excluded; of pairs, also those that are ranked but not in the truth.

    Raises UserError when a query of the truth that has relevant pictures is not ranked, when with
    classes a ranked query has none, when no query can be judged, and for an answer that the gallery
    does not have.
    """
    answers = dict(zip(ranking.query_ids, ranking.answers, strict=True))
    known, relevance = truth.queries.by_id(), truth.relevance
    strangers = tuple(query for query in ranking.query_ids if query not in known)
    if strangers and truth.gallery is not None:
        raise UserError(
            f"{len(strangers)} queries of the ranking have no class in the truth, {strangers[0]} "
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
            "same data, and are classes spelled alike for queries and gallery?"
        )
    originals = tuple(known[query].source_id for query in chosen)
    return JudgedRanking(
        relevance.ranks(answers), chosen, originals, relevance.excluded + strangers
    )
