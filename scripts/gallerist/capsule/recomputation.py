"""The tables of a comparison, computed again from rankings and truth alone.

By the functions that the rules `evaluate_retrieval` and `compare_experiments` call.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gallerist.capsule.contents import (
    COSTS,
    EXPERIMENTS,
    TABLES,
    Protocol,
    ranking_name,
    read_rows,
)
from gallerist.data.manifest import Manifest
from gallerist.evaluation import tables
from gallerist.evaluation.compared import Evaluated, compare
from gallerist.evaluation.curves import curves_of, write_curves
from gallerist.evaluation.relevance import evaluate_parts
from gallerist.evaluation.scores import Scores, score
from gallerist.io.errors import UserError
from gallerist.io.files import read_json
from gallerist.io.metric_names import top
from gallerist.records.record import Record
from gallerist.search.ranking import COLUMNS, Ranking


@dataclass(frozen=True)
class Recomputed:
    """One experiment: its values by query, and what its metrics.json holds."""

    scores: Scores
    metrics: Mapping[str, Any]


def evaluate_again(
    folder: Path,
    experiment: str,
    protocol: Protocol,
    truth: tuple[Manifest, Manifest],
    target: Path,
) -> Recomputed:
    """Evaluate a ranking of the capsule in `folder`, and write its tables below `target`.

    Raises UserError for a ranking that does not belong to the truth.
    """
    gallery, queries = truth
    settings = protocol.intervals
    ranking = Ranking.read(folder / ranking_name(experiment))
    evaluation = evaluate_parts(ranking, queries, gallery, protocol.asking)
    ranks = evaluation.ranks.ended_by_itself(protocol.depth)
    names = [*map(top, sorted(protocol.k)), *protocol.metrics]
    scores = score(ranks, queries, evaluation.queries, names)
    by_distance = protocol.by_distance[experiment]
    curves = curves_of(
        evaluation, ranks, scores.originals, gallery, settings, by_distance=by_distance
    )
    place = target / "queries" / f"{experiment}.csv"
    tables.write_queries(place, scores, queries, evaluation.ranks, evaluation.excluded)
    tables.write_classes(target / "classes" / f"{experiment}.csv", scores, settings)
    write_curves(target / "curves" / f"{experiment}.csv", curves)
    counts = scores.counts(excluded=evaluation.excluded, gallery=gallery)
    return Recomputed(scores, {"experiment": experiment, **counts, **scores.as_json(settings)})


def compare_again(
    folder: Path, found: Mapping[str, Recomputed], protocol: Protocol, target: Path
) -> None:
    """Write the tables of the comparison below `target`.

    Raises UserError when what only experiments.json can state is not there.
    """
    stated = dict(zip(found, _stated(folder, found), strict=True))
    evaluated = {
        name: Evaluated(each.scores, each.metrics, _record(name, each, stated[name]))
        for name, each in found.items()
    }
    result = compare(evaluated, protocol.groups, protocol.decided_by, protocol.intervals)
    result.write(**{name: target / path for name, path in TABLES.items()})


def faults_of_ranking(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """What no ranking can be: line, column, what stands there, what should.

    Ranks count from 1, no answer comes twice, and distances never fall. Only the first fault of a
    query is named: those after it follow from it.
    """
    header, *rows = read_rows(path)
    if tuple(header) != COLUMNS:
        raise UserError(f"its columns are {', '.join(COLUMNS)}")
    seen: dict[str, tuple[int, float, set[str]]] = {}
    named: set[str] = set()
    for line, row in enumerate(rows, start=2):
        if len(row) != len(COLUMNS):
            raise UserError(f"line {line}: {len(row)} cells under {len(COLUMNS)} columns")
        query, rank, answer, text = row
        before, nearest, answers = seen.get(query, (0, -math.inf, set()))
        distance = float(text)
        fault = None
        if rank != str(before + 1):
            fault = "rank", rank, str(before + 1)
        elif answer in answers:
            fault = "gallery_id", answer, "another picture: this one has a place already"
        elif not distance >= nearest:
            fault = "distance", text, f"{nearest:.9f} or more"
        if fault and query not in named:
            named.add(query)
            yield line, *fault
        answers.add(answer)
        seen[query] = before + 1, distance, answers


def _stated(folder: Path, found: Mapping[str, Recomputed]) -> list[Mapping[str, Any]]:
    try:
        stated = read_json(folder / EXPERIMENTS, unique_keys=True)
        return [stated[name] for name in found]
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(f"{EXPERIMENTS} does not state the experiments: {error}") from error


def _record(experiment: str, found: Recomputed, stated: Mapping[str, Any]) -> Record:
    """The record of an experiment's row, as far as the comparison reads it."""
    try:
        costs = {name: float(stated["costs"][name]) for name in COSTS}
        tags = {"weights": str(stated["weights"])}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{EXPERIMENTS}: {experiment} lacks its costs: {error}") from error
    counts = {name: found.metrics[name] for name in ("queries", "queries_excluded")}
    return Record(
        stage="experiment",
        dataset="",
        execution="",
        title=experiment,
        started="",
        experiment=experiment,
        metrics={**costs, **counts},
        tags=tags,
    )
