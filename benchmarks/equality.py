"""Whether two folders of results hold the same, as after a change that was to change nothing.

    python -m benchmarks.equality OLD/results/silhouettes NEW/results/silhouettes

Files are compared byte for byte, but for what tells of the run itself: measured times, versions,
paths of the checkout, and the date that Keras writes into a model, of which the weights count.
"""

import csv
import io
import json
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

OF_THE_RUN = ("logs", "benchmarks", "history", "origin", "fingerprints", "store", ".workflow.json")
"""Folders that say how, when and by what code it was run, and what is kept for the next one, whose
files bear the digests of models; and the file that says which process it was."""

TIMES = {"training s", "frozen layers s", "extraction images/s", "epoch_seconds"}
"""Columns of measured times."""

OVER_SEEDS = ("mean", "sd", "min", "max")

IN_RECORDS = ("status", "parameters", "metrics", "curves", "datasets", "tags", "error")
"""What of a record is no time, version or path."""


TRAINED = "a trained one, whose weights are compared"


def compare(old: Path, new: Path) -> tuple[Counter[str], list[str]]:
    """Equal files by kind, and a line for each that differs or is in one folder only."""
    found = {folder: set(_files(folder)) for folder in (old, new)}
    lines = [f"only in {old}: {name}" for name in sorted(found[old] - found[new])]
    lines += [f"only in {new}: {name}" for name in sorted(found[new] - found[old])]
    equal: Counter[str] = Counter()
    for name in sorted(found[old] & found[new]):
        kind = ".record.json" if name.endswith(".record.json") else Path(name).suffix
        one, other = ((folder / name).read_bytes() for folder in (old, new))
        if one == other or _content(kind, name, one, old) == _content(kind, name, other, new):
            equal[kind] += 1
        else:
            lines.append(f"different: {name}")
    return equal, lines


def _files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] not in OF_THE_RUN:
            yield name.as_posix()


def _content(kind: str, name: str, data: bytes, folder: Path) -> Any:
    read: dict[str, Callable[[bytes], Any]] = {
        ".csv": lambda data: _without_times(list(csv.reader(io.StringIO(data.decode())))),
        ".md": lambda data: _without_times([_cells(line) for line in data.decode().splitlines()]),
        ".html": lambda data: _without_times(_table(data.decode())),
        ".record.json": _record,
        ".keras": _weights,
    }
    if name.endswith(".origin.json") and _has_trained(folder, Path(name).parts[1]):
        return {**json.loads(data), "model": TRAINED}
    if name.startswith("models/") and name.endswith("/model.json"):
        return {**json.loads(data), "model": TRAINED}
    return read[kind](data) if kind in read else data


def _has_trained(folder: Path, experiment: str) -> bool:
    """Whether an experiment has a trained network, or may be combined from some that have."""
    named = (f"models/{experiment}", f"features/{experiment}/weights.json")
    return any((folder / each).exists() for each in named)


def _without_times(rows: list[list[str]]) -> list[list[str]]:
    """rows: of one table, or of several with an empty line between, each with heads of its own."""
    left_out: set[int] = set()
    kept = []
    for row in rows:
        if row == [""]:
            left_out = set()
        left_out = {place for place, head in enumerate(row) if _is_time(head)} or left_out
        kept.append([cell for place, cell in enumerate(row) if place not in left_out])
    return kept


def _is_time(head: str) -> bool:
    """Over seeds a column is one of four: its mean, deviation, least and most."""
    return head in TIMES or any(head == f"{name} {of}" for name in TIMES for of in OVER_SEEDS)


def _cells(line: str) -> list[str]:
    return [cell.strip(" -") for cell in line.split("|")]


def _table(text: str) -> list[list[str]]:
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in text.split("</tr>")]


def _record(data: bytes) -> dict[str, Any]:
    record = json.loads(data)
    kept = {key: record.get(key) for key in IN_RECORDS}
    timed = re.compile("second|per_second|bytes|peak|cpu|memory|disk|moments|resumed")
    kept["metrics"] = {
        key: kept["metrics"][key] for key in kept["metrics"] if not timed.search(key)
    }
    # An execution's, and those with a digest: of code, and of a model.
    for name in ("gallerist.evaluated_by", "code", "store"):
        kept["tags"].pop(name, None)
    kept["curves"] = {key: each for key, each in kept["curves"].items() if not timed.search(key)}
    return kept


def _weights(data: bytes) -> bytes:
    return zipfile.ZipFile(io.BytesIO(data)).read("model.weights.h5")


if __name__ == "__main__":
    equal, lines = compare(Path(sys.argv[1]), Path(sys.argv[2]))
    print("equal:", ", ".join(f"{count} {kind}" for kind, count in sorted(equal.items())))
    print("\n".join(lines) or "nothing differs")
    sys.exit(bool(lines))
