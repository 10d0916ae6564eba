"""Rankings and truths of any tool: read and written as plain files, and judged by one another.

`foreign_files.FORMS` lists the forms.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gallerist.data.manifest import DISTRACTOR, Manifest, Picture
from gallerist.evaluation.relevance import RelevantRanks, count_right
from gallerist.evaluation.trec_files import (
    RANKINGS,
    TRUTHS,
    ForeignFileError,
    Pairings,
    number,
    refuse_blanks,
    require_kind,
    table,
    trec_lines,
    whole_number,
)
from gallerist.io.files import PathLike, replacing
from gallerist.search.ranking import Ranking

TRUTH_VALUES = {"true": "1", "false": "0"}
"""How pandas writes `relevant`."""

PARTS = ("query", "gallery", "training", "validation")

logger = logging.getLogger("gallerist")


class JudgementError(ValueError):
    """A ranking and a truth that are not of the same pictures."""


@dataclass(frozen=True)
class Classes:
    """Right is each gallery picture of the query's class; those of `distractor` are for none.

    One id stands for one picture: a gallery picture with a query's id is the query's own file, and
    no answer to it.
    """

    queries: Manifest
    gallery: Manifest

    def right(self, query: Picture) -> Iterator[str]:
        """Ids of the gallery that are right for a query."""
        if query.label != DISTRACTOR:
            for picture in self.gallery:
                if picture.label == query.label and picture.id != query.id:
                    yield picture.id


@dataclass(frozen=True)
class Pairs:
    """Right is what is named with the query; classes are unknown.

    queries: those that the truth names, with "" for a class. answers: the right ones of each.
    """

    queries: Manifest
    answers: Mapping[str, frozenset[str]]

    def right(self, query: Picture) -> Iterator[str]:
        """Ids of the gallery that are right for a query, sorted."""
        return iter(sorted(self.answers[query.id]))


Truth = Classes | Pairs


@dataclass(frozen=True)
class Judged:
    """Where a ranking has its right answers.

    ranks: of the judged queries. queries, originals: their ids, and the picture that each was made
    from, in the order of the truth. excluded: ids of queries without any right picture.
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

    Raises ForeignFileError naming file and line.
    """
    return _read_table(path) if require_kind(path, RANKINGS) == "ranking" else _read_run(path)


def _read_table(path: PathLike) -> Ranking:
    answers_of: dict[str, dict[int, str]] = {}
    distances_of: dict[str, dict[int, float]] = {}
    pairings = Pairings()
    columns = ("query_id", "rank", "gallery_id")
    for place, (query, spelled, answer), (distance,) in table(path, columns, ("distance",)):
        rank = whole_number(spelled, "rank", place)
        answers = answers_of.setdefault(query, {})
        if rank < 1:
            raise ForeignFileError(f"{place}: rank {rank}; the best answer has rank 1")
        if rank in answers:
            raise ForeignFileError(f"{place}: query {query} has two answers of rank {rank}")
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
            raise ForeignFileError(
                f"{path}: query {query} has {len(distances)} answers, but none of rank {rank}: "
                "the ranks of a query are 1, 2, 3, and so on"
            )
        if rank > 1 and distances[rank] < distances[rank - 1]:
            raise ForeignFileError(
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
    Raises ForeignFileError for an id that is empty or has a blank in it.
    """
    for each in ([tag], ranking.query_ids, *ranking.answers):
        refuse_blanks(each, path)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for query, answers in zip(ranking.query_ids, ranking.answers, strict=True):
            for index, answer in enumerate(answers):
                file.write(f"{query} Q0 {answer} {index + 1} {len(answers) - index} {tag}\n")


# -- truths -------------------------------------------------------------------------------------


def read_truth(paths: Sequence[PathLike], ranked: Sequence[str]) -> Truth:
    """Read what is right: one file of pairs or qrels, or one or several of classes as one.

    Classes: `part` says which rows are of queries and which of the gallery; those of training and
    validation are passed over. Without that column the ids in `ranked`, which rankings have as
    queries, are the queries, and all others the gallery. Pairs: right where `relevant` is above 0,
    or everywhere without that column. Qrels: right where the relevance is above 0; grades are not
    told apart.

    Raises ForeignFileError naming file and line.
    """
    kinds = {require_kind(path, TRUTHS) for path in paths}
    if kinds == {"labels"}:
        return _read_classes(paths, ranked)
    if len(paths) != 1:
        files = ", ".join(map(str, paths))
        raise ForeignFileError(f"give one truth, or several files of classes; these are: {files}")
    return _read_pairs(paths[0]) if kinds == {"pairs"} else _read_qrels(paths[0])


def _read_classes(paths: Sequence[PathLike], ranked: Sequence[str]) -> Classes:
    found: dict[str, dict[str, Picture]] = {}
    places: dict[tuple[str, str], str] = {}
    for path in paths:
        for place, (name, label), (part, source, file) in table(
            path, ("id", "label"), ("part", "source_id", "path")
        ):
            if part is not None and part not in PARTS:
                raise ForeignFileError(f"{place}: the part {part!r} is none of {', '.join(PARTS)}")
            here = part or ""
            if (here, name) in places:
                raise ForeignFileError(f"{place}: {name} stands already in {places[here, name]}")
            places[here, name] = place
            pictures = found.setdefault(here, {})
            pictures[name] = Picture(name, file or "", label, here, source or name, 0, 0, "")
    listed = ", ".join(map(str, paths))
    if "" in found and len(found) > 1:
        raise ForeignFileError(f"of {listed}, some have a column part and some have not: add it")
    if "" in found:
        found = _divided(found[""], ranked, listed)
    for part in ("query", "gallery"):
        if part not in found:
            raise ForeignFileError(f"{listed}: no picture is of the part {part}; give its file too")
    return Classes(
        Manifest(tuple(found["query"].values())), Manifest(tuple(found["gallery"].values()))
    )


def _divided(
    pictures: Mapping[str, Picture], ranked: Sequence[str], listed: str
) -> dict[str, dict[str, Picture]]:
    queries = {query: pictures[query] for query in dict.fromkeys(ranked) if query in pictures}
    gallery = {name: each for name, each in pictures.items() if name not in queries}
    if not queries or not gallery:
        raise ForeignFileError(
            f"{listed} has classes of {len(queries)} queries and of {len(gallery)} other pictures. "
            "It needs both; where one picture is both, say so by two rows and a column part"
        )
    return {"query": queries, "gallery": gallery}


def _read_pairs(path: PathLike) -> Pairs:
    rows = []
    columns = ("query_id", "gallery_id")
    for place, (query, answer), (relevant,) in table(path, columns, ("relevant",)):
        spelled = "1" if relevant is None else TRUTH_VALUES.get(relevant.lower(), relevant)
        rows.append((place, query, answer, number(spelled, "relevant", place)))
    return _paired(rows)


def _read_qrels(path: PathLike) -> Pairs:
    rows = [
        (place, query, answer, whole_number(relevance, "relevance", place))
        for place, (query, _, answer, relevance) in trec_lines(path, "qrels")
    ]
    if any(relevance > 1 for *_, relevance in rows):
        logger.warning(
            "%s has grades above 1: all count as right alike, so nDCG is not trec_eval's", path
        )
    return _paired(rows)


def _paired(rows: Sequence[tuple[str, str, str, float]]) -> Pairs:
    answers: dict[str, set[str]] = {}
    pairings = Pairings()
    for place, query, answer, relevance in rows:
        pairings.add(query, answer, place)
        right = answers.setdefault(query, set())
        if relevance > 0:
            right.add(answer)
    queries = Manifest(tuple(Picture(each, "", "", "query", each, 0, 0, "") for each in answers))
    return Pairs(queries, {query: frozenset(right) for query, right in answers.items()})


def write_qrels(truth: Truth, path: PathLike) -> None:
    """Write the right pairs as TREC qrels, whole or not at all.

    A query without any has no line, so trec_eval leaves it out of its means, as `judged` does.
    Raises ForeignFileError for an id that is empty or has a blank in it.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for query in truth.queries:
            right = list(truth.right(query))
            refuse_blanks([query.id, *right], path)
            file.writelines(f"{query.id} 0 {answer} 1\n" for answer in right)


# -- judging ------------------------------------------------------------------------------------


def judged(ranking: Ranking, truth: Truth) -> Judged:
    """Find where the right answers stand.

    R, how many right pictures there are, comes from the truth, so of a ranking that does not list
    them all nothing is known that lies below its end. Queries without any right picture are
    excluded; of pairs, also those that are ranked but not in the truth.

    Raises JudgementError when a query of the truth that has right pictures is not ranked, when with
    classes a ranked query has none, and when no query can be judged; RankingFault for an answer
    that the gallery does not have.
    """
    ranked = set(ranking.query_ids)
    known = truth.queries.by_id()
    strangers = [query for query in ranking.query_ids if query not in known]
    if strangers and isinstance(truth, Classes):
        raise JudgementError(
            f"{len(strangers)} queries of the ranking have no class in the truth, {strangers[0]} "
            "among them"
        )
    total = dict(zip(known, _count_right(truth), strict=True))
    chosen = [picture for picture in truth.queries if total[picture.id]]
    missing = [picture.id for picture in chosen if picture.id not in ranked]
    if missing:
        raise JudgementError(
            f"{len(missing)} queries of the truth are not in the ranking, {missing[0]} among them: "
            "rank them, or take them out of the truth"
        )
    if not chosen:
        raise JudgementError(
            f"none of {len(known)} queries has a right picture: are truth and ranking of the same "
            "data, and are classes spelled alike for queries and gallery?"
        )
    excluded = [query for query in known if not total[query]] + strangers
    ids = tuple(picture.id for picture in chosen)
    originals = tuple(picture.source_id for picture in chosen)
    return Judged(_ranks(ranking, truth, chosen), ids, originals, tuple(excluded))


def _count_right(truth: Truth) -> list[int]:
    """R of each query, in the order of the truth."""
    if isinstance(truth, Pairs):
        return [len(truth.answers[query]) for query in truth.queries.ids]
    row_of = {name: row for row, name in enumerate(truth.gallery.ids)}
    own = [row_of.get(query, -1) for query in truth.queries.ids]
    counts = count_right(truth.queries.labels, truth.gallery.labels, itself=own)
    return [int(count) for count in counts]


def _ranks(ranking: Ranking, truth: Truth, chosen: Sequence[Picture]) -> RelevantRanks:
    if isinstance(truth, Classes):
        return RelevantRanks.from_ranking(
            ranking,
            {picture.id: picture.label for picture in chosen},
            dict(zip(truth.gallery.ids, truth.gallery.labels, strict=True)),
        )
    answers_of = dict(zip(ranking.query_ids, ranking.answers, strict=True))
    found = [
        [rank for rank, answer in enumerate(answers_of[each.id], 1) if answer in right]
        for each in chosen
        for right in (truth.answers[each.id],)
    ]
    return RelevantRanks(
        np.array([rank for ranks in found for rank in ranks], dtype=np.int64),
        np.cumsum([0, *map(len, found)], dtype=np.int64),
        np.array([len(truth.answers[each.id]) for each in chosen], dtype=np.int64),
        np.array([len(answers_of[each.id]) for each in chosen], dtype=np.int64),
    )
