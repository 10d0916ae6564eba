"""The published list: a query and its answers, each marked o for right or x for wrong."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from gallerist.data.manifest import Manifest
from gallerist.evaluation.evaluate import Evaluation
from gallerist.io.files import PathLike, replacing


def write_answers(
    path: PathLike, evaluation: Evaluation, queries: Manifest, gallery: Manifest, count: int
) -> None:
    """Write the published list as CSV: the first `count` answers to each judged query, o or x."""
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
        if rank <= count
    )
    header = ("query", "class", "rank", "right", "answer", "answer_class", "distance")
    _write(path, header, rows)


def _write(path: PathLike, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
