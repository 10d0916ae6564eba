"""All queries of a data set in one table of columns: how each experiment answers each of them."""

import csv
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gallerist.browse.data_sets import DataSet
from gallerist.evaluation.tables import COLUMNS, EXCLUDED
from gallerist.io.errors import UserError

UNANSWERABLE = -1
"""In place of the rank of the first right answer: the gallery has none. 0: not within the depth."""

SCORES = ("mAP", "mAP@10", "MRR")
"""Of these the first that was measured says how well a query is answered."""


def query_table(data: DataSet) -> dict[str, Any]:
    """Columns of one value a query, in the order of the manifest.

    classes: names that the others count from 0. domains: the domain of each query, where some are
    known. For each experiment: first, the rank of the first
    right answer; score, from 0 to 1, how well it is answered; answered, the class of the first
    answer, -1 where it is not known; wrong, how far the nearest wrong answer is, None where none is
    among those that were listed.
    """
    queries = data.queries
    classes = sorted({picture.label for picture in queries.values()})
    number = {label: place for place, label in enumerate(classes)}
    place = {query: row for row, query in enumerate(queries)}
    columns = {name: _answered(data, name, place, number, classes) for name in data.experiments}
    return {
        "classes": classes,
        "ids": list(queries),
        "names": [Path(picture.path).name for picture in queries.values()],
        "labels": [number[picture.label] for picture in queries.values()],
        **({"domains": [data.domains[query] for query in queries]} if data.domains else {}),
        "experiments": columns,
    }


def _answered(
    data: DataSet,
    experiment: str,
    place: Mapping[str, int],
    number: dict[str, int],
    classes: list[str],
) -> dict[str, list[Any]]:
    """The columns of one experiment. Classes that only answers have are added to `classes`."""
    queries, answers = (
        data.results.path(f"evaluation/{experiment}/{name}.csv") for name in ("queries", "answers")
    )
    first = array("l", [UNANSWERABLE]) * len(place)
    score = array("d", [0.0]) * len(place)
    evaluated = _read_queries(queries, place, first, score)
    answered = array("l", [-1]) * len(place)
    wrong: list[float | None] = [None] * len(place)
    for row, (label, distance) in zip(evaluated, _first_answers(answers), strict=False):
        if label not in number:
            number[label] = len(classes)
            classes.append(label)
        answered[row], wrong[row] = number[label], distance
    return {
        "first": first.tolist(),
        "score": [round(each, 4) for each in score],
        "answered": answered.tolist(),
        "wrong": wrong,
    }


def _read_queries(
    path: Path, place: Mapping[str, int], first: "array[int]", score: "array[float]"
) -> list[int]:
    """Fill the columns in; returns the rows of the queries that were evaluated, in their order."""
    evaluated = []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if tuple(header[: len(COLUMNS)]) != COLUMNS:
            raise UserError(f"{path}: a list of queries begins with {', '.join(COLUMNS)}")
        measured = next((header.index(name) for name in SCORES if name in header), None)
        for cells in reader:
            row = place.get(cells[0])
            if row is None:
                raise UserError(f"{path} has other queries than the manifest: run the workflow")
            if cells[4] == EXCLUDED:
                continue
            evaluated.append(row)
            first[row] = int(cells[4] or 0)
            reached = 1 / first[row] if first[row] else 0.0
            score[row] = reached if measured is None else float(cells[measured])
    return evaluated


def _first_answers(path: Path) -> Sequence[tuple[str, float | None]]:
    """Class of the first answer to each evaluated query, and how far its first wrong one is."""
    found: list[tuple[str, float | None]] = []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        if next(reader, [])[2:3] != ["rank"]:
            raise UserError(f"{path} is no list of answers: run the workflow again")
        for _, _, rank, right, _, label, distance in reader:
            if rank == "1":
                found.append((label, None))
            if right == "x" and found[-1][1] is None:
                found[-1] = found[-1][0], round(float(distance), 4)
    return found
