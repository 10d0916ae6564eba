"""What a reader of the comparison must know before believing its numbers."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gallerist.evaluation.comparison import Row
from gallerist.io.files import PathLike
from gallerist.io.metric_names import top


def remarks(
    rows: Sequence[Row],
    metrics: Sequence[Mapping[str, Any]],
    *,
    faults: Sequence[PathLike],
    leaks: PathLike,
) -> list[str]:
    """One sentence for each thing that limits the comparison.

    metrics: of each row, with `gallery_images`. faults, leaks: the reports of the import and of
    the split, whose lines are counted.
    """
    lines = [
        f"{row.experiment} STARTED FROM {row.weights.upper()}: it cannot be compared with "
        "figures for pretrained weights."
        for row in rows
        if "random (" in row.weights
    ]
    gallery = metrics[0]["gallery_images"]
    beyond = [k for k in rows[0].hit_rates if k > gallery]
    if beyond:
        lines.append(
            f"The gallery has {gallery} pictures: {', '.join(map(top, beyond))} look at "
            "all of them."
        )
    severities = Counter(row["severity"] for path in faults for row in _rows(path))
    if severities:
        counts = ", ".join(f"{count} {severity}" for severity, count in sorted(severities.items()))
        folder = Path(faults[0]).parent
        lines.append(f"Files with faults: {counts}; each is named with its reason in {folder}/.")
    kinds = Counter((row["kind"], row["part_a"], row["part_b"]) for row in _rows(leaks))
    for (kind, one, other), count in sorted(kinds.items()):
        same = "the same file" if kind == "exact" else "nearly the same picture"
        times = "Once" if count == 1 else f"{count} times"
        lines.append(f"{times} {same} is in {one} and in {other}; see {leaks}.")
    return lines


def _rows(path: PathLike) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
