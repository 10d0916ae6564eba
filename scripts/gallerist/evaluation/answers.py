"""The published list: a query and its answers, each marked o for right or x for wrong."""

from pathlib import Path

from gallerist.data.manifest import Manifest
from gallerist.evaluation.evaluate import Evaluation
from gallerist.io.files import PathLike, write_csv


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
    write_csv(path, header, rows)
