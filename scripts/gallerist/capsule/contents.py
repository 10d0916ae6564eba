"""What lies in a capsule: the names of its files, and how they are written and read.

A table is as the workflow wrote it, but for two things: its numbers of more than `DECIMALS`
significant digits are rounded to so many decimals, because the last bits of a sum depend on the
processor; and the paths of the pictures are left out, because they are nobody's business.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, canonical_json, read_json, sha256_of_text, write_csv

FORMAT = 1
"""Of the layout. A reader refuses another one."""

CONTENTS = "contents.json"
"""The SHA-256 of every other file, and the digest of this list: that of the capsule."""

PROTOCOL, EXPERIMENTS, ABOUT, TRUTH = "protocol.json", "experiments.json", "about.json", "truth.csv"

COMPARISON = "comparison/comparison.csv"
TABLES = {
    "table": COMPARISON,
    "metrics": "comparison/metrics.csv",
    "differences": "comparison/differences.csv",
    "seeds": "comparison/over_seeds.csv",
}
"""Table of the comparison, by what `Comparison.write` calls it."""

COMPARED = dict(zip(TABLES.values(), (1, 2, 3, 1), strict=True))
OF_EXPERIMENT = {"queries": 1, "classes": 1, "curves": 2}
"""Table -> how many of its first columns name a row."""

COSTS = (
    *("training_seconds", "trunk_seconds", "extraction_images_per_second", "epochs_run"),
    *("parameters", "parameters_trained", "feature_length"),
)
"""Figures of an experiment's record that no ranking can tell."""

STATED = (
    *("weights", "epochs", "training s", "frozen layers s", "extraction images/s"),
    *("parameters", "trained", "feature length"),
)
"""Columns of the comparison that show them."""

NOT_CARRIED = "path"
DECIMALS = 10
MAX_BYTES = 1 << 31
"""Of all files of a capsule together, unpacked."""

_NUMBER = re.compile(r"-?(\d+)\.(\d+)(?:e[+-]\d+)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TRUTH_COLUMNS = ("id", "label", "part", "source_id")

Rows = list[list[str]]
"""The cells of a CSV, its header first."""


@dataclass(frozen=True)
class Protocol:
    """How the rankings were evaluated and compared.

    experiments: in the order of the comparison. by_distance: of each, whether a picture's place
    depends on its own distance alone. k, metrics, depth, decided_by, confidence, bootstrap_rounds,
    seed: as in the configuration. groups: experiments that differ in their seed only.
    gallery, query: digests of the pictures' ids and classes, as `Manifest.digest`. asking: which
    pictures of the gallery do not answer each other, as in the settings; None where all do.
    """

    experiments: tuple[str, ...]
    by_distance: Mapping[str, bool]
    k: tuple[int, ...]
    metrics: tuple[str, ...]
    depth: int | None
    decided_by: str
    confidence: float
    bootstrap_rounds: int
    seed: int
    groups: Mapping[str, Sequence[str]]
    gallery: str
    query: str
    asking: Mapping[str, Any] | None = None

    @property
    def intervals(self) -> IntervalSettings:
        """How intervals are drawn."""
        return IntervalSettings(self.seed, self.bootstrap_rounds, self.confidence)

    def to_json(self) -> dict[str, Any]:
        """A value that JSON can hold."""
        value = asdict(self)
        return value if self.asking else {k: v for k, v in value.items() if k != "asking"}

    @classmethod
    def read(cls, folder: Path) -> "Protocol":
        """Read it from a capsule's folder. Raises UserError for anything else."""
        try:
            value = read_json(folder / PROTOCOL, unique_keys=True)
            asking = value.pop("asking", None)
            known = {each.name: value.pop(each.name) for each in fields(cls)[:-1]}
            for name in ("experiments", "k", "metrics"):
                known[name] = tuple(known[name])
            protocol = cls(**known, asking=asking)
            _ = protocol.intervals
            right = not value and {*(asking or ())} <= {"folds", "leave_out"}
            right &= all(map(_NAME.fullmatch, protocol.experiments))
            right &= all(
                isinstance(protocol.by_distance[each], bool) for each in protocol.experiments
            )
            grouped = [name for members in protocol.groups.values() for name in members]
            right &= all(map(_NAME.fullmatch, protocol.groups))
            right &= set(grouped) <= set(protocol.experiments) and len(set(grouped)) == len(grouped)
        except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
            raise UserError(f"{PROTOCOL} is not the protocol of an evaluation: {error}") from error
        if not right:
            raise UserError(f"{PROTOCOL} is not the protocol of an evaluation")
        return protocol


def table_names(experiments: Sequence[str]) -> dict[str, int]:
    """Every table that can be recomputed -> how many of its first columns name a row."""
    own = {
        f"{kind}/{experiment}.csv": keys
        for experiment in experiments
        for kind, keys in OF_EXPERIMENT.items()
    }
    return {**own, **COMPARED}


def ranking_name(experiment: str) -> str:
    """Where the ranking of an experiment lies."""
    return f"rankings/{experiment}.csv"


def digest_of(hashes: Mapping[str, str]) -> str:
    """The digest of a capsule, by which it is cited: SHA-256 of its files' names and hashes."""
    return sha256_of_text(canonical_json({"format": FORMAT, "files": dict(hashes)}))


def write_truth(path: PathLike, gallery: Manifest, queries: Manifest) -> None:
    """Write ids, classes and originals as CSV, in a form that `gallerist evaluate` reads too."""
    rows = (
        (picture.id, picture.label, part, picture.source_id)
        for part, manifest in (("gallery", gallery), ("query", queries))
        for picture in manifest
    )
    write_csv(path, _TRUTH_COLUMNS, rows)


def read_truth(folder: Path) -> tuple[Manifest, Manifest]:
    """Read gallery and queries. Raises UserError naming the line that does not fit."""
    header, *rows = read_rows(folder / TRUTH)
    pictures: dict[str, list[Picture]] = {"gallery": [], "query": []}
    if tuple(header) != _TRUTH_COLUMNS:
        raise UserError(f"{TRUTH}: its columns are {', '.join(_TRUTH_COLUMNS)}")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(_TRUTH_COLUMNS) or row[2] not in pictures:
            raise UserError(f"{TRUTH}, line {line}: this is no picture of the gallery or a query")
        identifier, label, part, original = row
        pictures[part].append(Picture(identifier, "", label, part, original, 0, 0, ""))
    try:
        return Manifest(tuple(pictures["gallery"])), Manifest(tuple(pictures["query"]))
    except ValueError as error:
        raise UserError(f"{TRUTH}: {error}") from error


def read_rows(path: PathLike) -> Rows:
    """Read a CSV. Raises UserError naming the file when it is none."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{Path(path).name} cannot be read: {error}") from error
    if not rows:
        raise UserError(f"{Path(path).name} is empty")
    return rows


def without_paths(rows: Rows) -> Rows:
    """The same table without the paths of the pictures."""
    left_out = [column for column, name in enumerate(rows[0]) if name == NOT_CARRIED]
    return [[cell for n, cell in enumerate(row) if n not in left_out] for row in rows]


def rounded(cell: str) -> str:
    """A cell as a capsule states it: a number of many digits has `DECIMALS` decimals."""
    return repr(round(float(cell), DECIMALS)) if has_many_digits(cell) else cell


def has_many_digits(cell: str) -> bool:
    """Whether a cell is a number written in full, the last digits of which are chance."""
    found = _NUMBER.fullmatch(cell)
    return found is not None and len((found[1] + found[2]).strip("0")) > DECIMALS
