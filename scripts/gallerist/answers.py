"""The lists of an evaluation: answers marked o or x, queries by first right answer, classes."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from gallerist.evaluation import Evaluation
from gallerist.files import PathLike, replacing
from gallerist.manifest import Manifest


def write_answers(
    path: PathLike, evaluation: Evaluation, queries: Manifest, gallery: Manifest
) -> None:
    """Write the published list as CSV: every answer to every judged query, o right or x wrong."""
    query_of, gallery_of = queries.by_id(), gallery.by_id()
    rows = (
        (
            Path(query_of[result.query_id].path).name,
            result.label,
            rank,
            "o" if right else "x",
            Path(gallery_of[answer].path).name,
            label,
            f"{distance:.6f}",
        )
        for result in evaluation.results
        for rank, (answer, label, distance, right) in enumerate(
            zip(result.answers, result.answer_labels, result.distances, result.right, strict=True),
            start=1,
        )
    )
    header = ("query", "class", "rank", "right", "answer", "answer_class", "distance")
    _write(path, header, rows)


def write_queries(
    path: PathLike, evaluation: Evaluation, queries: Manifest, ks: Sequence[int]
) -> None:
    """Write one line a query as CSV: rank of its first right answer, and hit (1) or miss (0) at k.

    A query that cannot be judged is there too, with "excluded" for its rank.
    """
    pictures = queries.by_id()
    judged = (
        (
            result.query_id,
            pictures[result.query_id].path,
            result.label,
            result.first_right or "",
            *(int(result.first_right is not None and result.first_right <= k) for k in ks),
        )
        for result in evaluation.results
    )
    excluded = (
        (
            identifier,
            pictures[identifier].path,
            pictures[identifier].label,
            "excluded",
            *("",) * len(ks),
        )
        for identifier in evaluation.excluded
    )
    header = ("query_id", "path", "class", "first_right", *(f"top-{k}" for k in ks))
    _write(path, header, (*judged, *excluded))


def write_classes(path: PathLike, evaluation: Evaluation, ks: Sequence[int]) -> None:
    """Write the hit rate at each k of each class's queries as CSV."""
    rates = {k: evaluation.hit_rate_by_class(k) for k in ks}
    labels = [result.label for result in evaluation.results]
    rows = (
        (label, labels.count(label), *(f"{rates[k][label]:.4f}" for k in ks))
        for label in sorted(set(labels))
    )
    _write(path, ("class", "queries", *(f"top-{k}" for k in ks)), rows)


def _write(path: PathLike, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
