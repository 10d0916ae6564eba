"""The tables of one evaluation as CSV: its queries, classes, domains, and the published list."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.evaluation.curves import Curve, write_curves
from gallerist.evaluation.relevance import MARKS, Evaluation
from gallerist.evaluation.relevant_ranks import RelevantRanks
from gallerist.evaluation.scores import Scores
from gallerist.io.files import PathLike, naming_table, write_csv

COLUMNS = ("query_id", "path", "class", "original", "first_right")
"""What the list of queries has before the metrics."""

EXCLUDED = "excluded"


def write_all(
    output: Mapping[str, PathLike],
    evaluation: Evaluation,
    scores: Scores,
    curves: Mapping[str, Curve],
    queries: Manifest,
    gallery: Manifest,
    settings: IntervalSettings,
    count: int,
) -> None:
    """Write answers, queries, curves, and classes and domains where there are any.

    output: name -> path. Others as for the functions that write each.
    """
    write_curves(output["curves"], curves)
    write_answers(output["answers"], evaluation, queries, gallery, count)
    write_queries(output["queries"], scores, queries, evaluation.ranks, evaluation.excluded)
    if "classes" in output:
        write_classes(output["classes"], scores, settings)
    if "domains" in output:
        write_domains(output["domains"], scores, settings)


def write_answers(
    path: PathLike, evaluation: Evaluation, queries: Manifest, gallery: Manifest, count: int
) -> None:
    """Write the published list as CSV: the first `count` answers to each query, o or x."""
    query_of, gallery_of = queries.by_id(), gallery.by_id()
    rows = (
        (
            Path(query_of[result.query_id].path).name,
            result.label,
            rank,
            MARKS[relevant],
            Path(gallery_of[answer].path).name,
            label,
            f"{distance:.6f}",
        )
        for result in evaluation.results
        for rank, (answer, label, distance, relevant) in enumerate(result.listed(count), start=1)
    )
    header = ("query", "class", "rank", "right", "answer", "answer_class", "distance")
    write_csv(path, header, rows)


def write_queries(
    path: PathLike,
    scores: Scores,
    queries: Manifest,
    ranks: RelevantRanks,
    excluded: Sequence[str],
) -> None:
    """Write one line a query as CSV: rank of its first relevant answer, and each metric.

    ranks: of the queries of the scores. excluded: ids of queries without any relevant picture; they
    are there too, with "excluded" for the rank. Hits are 1 or 0; other metrics keep all their
    digits.
    """
    pictures = queries.by_id()
    columns = [column.tolist() for column in scores.values.values()]
    rows = [
        (
            *_known(pictures[query]),
            ranks.first[row] or "",
            *(_format(each[row]) for each in columns),
        )
        for row, query in enumerate(scores.queries)
    ]
    rows += [(*_known(pictures[query]), EXCLUDED, *("",) * len(columns)) for query in excluded]
    write_csv(path, (*COLUMNS, *scores.values), rows)


def read_queries(path: PathLike) -> Scores:
    """Read the scores in what `write_queries` wrote; `unknown` is empty.

    Raises ValueError naming the file when it is no such list, and the line that does not fit.
    """
    queries, labels, originals, numbers = [], [], [], []
    with naming_table(path), Path(path).open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = tuple(next(reader, ()))
        if header[: len(COLUMNS)] != COLUMNS:
            raise ValueError(f"{path}: a list of queries begins with {', '.join(COLUMNS)}")
        names = header[len(COLUMNS) :]
        for cells in reader:
            try:
                identifier, _, label, original, first_relevant, *values = cells
                if first_relevant == EXCLUDED:
                    continue
                found = [float(value) for _, value in zip(names, values, strict=True)]
            except ValueError:
                raise ValueError(
                    f"{path}, line {reader.line_num}: a row has {', '.join(header)}; this one has "
                    "too few or too many, or a metric that is no number"
                ) from None
            queries.append(identifier)
            labels.append(label)
            originals.append(original)
            numbers.append(found)
    columns = np.array(numbers, dtype=np.float64).reshape(len(numbers), len(names))
    return Scores(
        tuple(queries),
        tuple(labels),
        tuple(originals),
        dict(zip(names, np.ascontiguousarray(columns.T), strict=True)),
        {},
    )


def write_classes(path: PathLike, scores: Scores, settings: IntervalSettings) -> None:
    """Write each class's mean of every metric as CSV, with the ends of its interval.

    The ends are empty where a class has a single original picture among its queries.
    """
    _write_groups(path, "class", scores.of_classes(), list(scores.values), settings)


def write_domains(path: PathLike, scores: Scores, settings: IntervalSettings) -> None:
    """Write the same of each domain, where scores know them."""
    _write_groups(path, "domain", scores.of_domains(), list(scores.values), settings)


def _write_groups(
    path: PathLike,
    kind: str,
    groups: Iterable[tuple[str, Scores]],
    metrics: Sequence[str],
    settings: IntervalSettings,
) -> None:
    columns = (f"{name}{end}" for name in metrics for end in ("", " low", " high"))
    rows = (
        (name, len(each.queries), len(set(each.originals)), *_cells(each, settings))
        for name, each in groups
    )
    write_csv(path, (kind, "queries", "originals", *columns), rows)


def _cells(members: Scores, settings: IntervalSettings) -> Iterator[str]:
    for each in members.overall(settings).values():
        yield from (
            "" if number is None else f"{number:.4f}" for number in (each.mean, each.low, each.high)
        )


def _known(picture: Picture) -> tuple[str, str, str, str]:
    return picture.id, picture.path, picture.label, picture.source_id


def _format(value: float) -> str:
    return str(int(value)) if value in (0.0, 1.0) else repr(value)


def markdown_table(lines: Sequence[Mapping[str, str]]) -> list[str]:
    """The lines of a table whose columns are aligned for the eye. lines: column -> cell."""
    cells = [{name: text.replace("|", "\\|") for name, text in line.items()} for line in lines]
    header = {name: name for name in cells[0]}
    widths = {name: max(len(line[name]) for line in (header, *cells)) for name in header}
    rule = {name: "-" * width for name, width in widths.items()}
    return [
        "| " + " | ".join(line[name].ljust(widths[name]) for name in header) + " |"
        for line in (header, rule, *cells)
    ]
