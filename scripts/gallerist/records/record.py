"""The record of a run: the JSON beside an output that says how the output came to be.

Records are the truth about what ran. MLflow is a view of them and can be rebuilt from them.
"""

import json
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args

from gallerist.io.errors import UserError
from gallerist.io.files import (
    NotJson,
    PathLike,
    canonical_json,
    read_json,
    sha256_of_text,
    write_json,
)

logger = logging.getLogger("gallerist")

SCHEMA = 1
"""Version of the record's layout. A reader refuses a version it does not know."""

SUBJECT = ("dataset", "stage", "experiment", "item", "part")
"""The fields that say what was computed."""

Curves = Mapping[str, list[tuple[int, float]]]
Scalar = str | int | float | bool | None
Status = Literal["running", "finished", "failed"]
Destination = Literal["stages", "comparison"]


RUN_ID = "{mlflow run id}"
"""Stands in a description for the id of its run: MLflow gives it when the run is logged."""


MEND = "Remove it, and run the workflow to have it made again."
"""What helps where a file among the results is not what its job made."""

_SEAL = "sha256"
"""The key of a record's file that holds the hash of all others."""


class RecordError(UserError):
    """A record that cannot be read: the message names the file and the reason."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file or folder worth showing: its path, and the folder that MLflow shows it in."""

    path: str
    folder: str | None = None


@dataclass(frozen=True, slots=True)
class ImageSet:
    """The pictures a run worked on.

    name: for people, such as "silhouettes gallery".
    digest: hash of the content, the same exactly when the pictures are the same.
    path: the manifest that lists them.
    """

    name: str
    digest: str
    images: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What one execution of a stage was given, what it measured and what it ran on.

    execution: 32 hexadecimal digits, the identity of this execution: two records with the same one
        are the same record.
    item: what it is about where that is no experiment: the pretrained weights, the trunk.
    status: finished or failed; running only while the stage is at work, never in a file.
    started, finished: ISO 8601 in UTC; seconds lies between them.
    curves: name -> [step, value] pairs, in order of step. moments: step -> when it was reported,
        in milliseconds since the epoch; a step that is missing there was so when the stage ended.
    machine_use: likewise, of what the machine did meanwhile; a step is a second since `started`.
    inputs: path -> SHA-256 of each input that is a file; folders are left out.
    made: likewise, of the files that the stage made: whoever reads one compares it (`made`).
    git_dirty: the code differed from that commit; None where no commit is known.
    process_started: seconds since the epoch, which tells a process from a later one of its pid.
    destination: `stages` for a run among the stages of its data set; `comparison` for a row of
        the page that compares experiments.
    """

    stage: str
    dataset: str
    execution: str
    title: str
    started: str
    experiment: str | None = None
    item: str | None = None
    part: str | None = None
    status: Status = "running"
    finished: str | None = None
    seconds: float | None = None
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Curves = field(default_factory=dict)
    moments: Mapping[int, int] = field(default_factory=dict)
    machine_use: Curves = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    datasets: tuple[ImageSet, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    git_commit: str | None = None
    git_dirty: bool | None = None
    host: str = ""
    pid: int = 0
    process_started: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    destination: Destination = "stages"

    @property
    def subject(self) -> tuple[str | None, ...]:
        """What was computed: of all records of one subject, the last finished one is current."""
        return tuple(getattr(self, name) for name in SUBJECT)

    @property
    def ended(self) -> int:
        """When it ended, or began where it has not: milliseconds since the epoch."""
        return milliseconds(self.finished or self.started)

    @property
    def mlflow_experiment(self) -> str:
        """The MLflow experiment this record is shown in."""
        return self.dataset if self.destination == "comparison" else stages_of(self.dataset)

    def to_json(self) -> dict[str, Any]:
        """A value JSON can hold. Numbers it lacks become "NaN", "Infinity" and "-Infinity"."""
        value = _finite(asdict(self))
        if not self.moments:
            del value["moments"]  # as records without a curve had it before there were any
        return {"schema": SCHEMA, **value}

    @classmethod
    def from_json(cls, value: Any) -> "Record":
        """Inverse of `to_json`. Raises RecordError, without a file name, for anything else.

        A parameter that was NaN or infinite comes back as its text: nobody calculates with it.
        """
        if not isinstance(value, dict) or "schema" not in value:
            raise RecordError("this is not a record")
        if value["schema"] != SCHEMA:
            raise RecordError(
                f"written in layout {value['schema']}, this Gallerist reads layout {SCHEMA}: "
                "run the stage again, or use the Gallerist that wrote it"
            )
        known = {each.name: value[each.name] for each in fields(cls) if each.name in value}
        needed = ("stage", "dataset", "execution", "title", "started")
        if absent := [name for name in needed if not known.get(name)]:
            raise RecordError(f"lacks {', '.join(absent)}")
        try:
            record = cls(**known | _typed(known))
            _ = milliseconds(record.started), record.ended
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise RecordError(f"has a value that does not belong there: {error}") from error
        return record


def _typed(known: Mapping[str, Any]) -> dict[str, Any]:
    """The values whose type JSON does not keep, and the words that have a closed list."""
    for name, allowed in (("status", get_args(Status)), ("destination", get_args(Destination))):
        if known.get(name, allowed[0]) not in allowed:
            raise ValueError(f"{name} is {known[name]!r}, not one of {', '.join(allowed)}")
    return {
        "metrics": {name: float(number) for name, number in known.get("metrics", {}).items()},
        **{
            kind: {
                name: [(int(step), float(number)) for step, number in points]
                for name, points in known.get(kind, {}).items()
            }
            for kind in ("curves", "machine_use")
        },
        "moments": {int(step): int(at) for step, at in known.get("moments", {}).items()},
        "artifacts": tuple(Artifact(**artifact) for artifact in known.get("artifacts", ())),
        "datasets": tuple(ImageSet(**images) for images in known.get("datasets", ())),
    }


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def stages_of(dataset: str) -> str:
    """The MLflow experiment with a run for every stage job of a data set."""
    return f"{dataset}/stages"


def mlflow_experiments(dataset: str) -> tuple[str, str]:
    """Both MLflow experiments of a data set: the comparison, and the stages."""
    return (dataset, stages_of(dataset))


def now() -> str:
    """The present moment, ISO 8601 in UTC to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def milliseconds(moment: str) -> int:
    """Milliseconds since the epoch of an ISO 8601 moment. Raises ValueError without a time zone."""
    parsed = datetime.fromisoformat(moment)
    if parsed.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return round(parsed.timestamp() * 1000)


def write_record(path: PathLike, record: Record) -> None:
    """Write a record as JSON, whole or not at all. That of a stage still running is refused.

    Its last value is a hash of all others, by which `read_record` knows that it is unchanged.
    """
    if record.status == "running":
        raise RecordError(f"{path}: a record is written when its stage has ended")
    value = record.to_json()
    write_json(path, {**value, _SEAL: _seal(value)})


def read_record(path: PathLike) -> Record:
    """Read a record. Raises RecordError naming the file when it is none, or was changed."""
    try:
        value = read_json(path)
    except NotJson as error:
        raise RecordError(str(error)) from None
    if isinstance(value, dict) and value.pop(_SEAL, _seal(value)) != _seal(value):
        raise RecordError(f"{path} is not what its job wrote: it was changed. {MEND}")
    try:
        return Record.from_json(value)
    except RecordError as error:
        raise RecordError(f"{path}: {error}. {MEND}") from error


def _seal(value: Mapping[str, Any]) -> str:
    """The hash of a record as JSON holds it, where every key is a text."""
    return sha256_of_text(canonical_json(json.loads(json.dumps(value))))


def find_records(folder: PathLike) -> Iterator[Record]:
    """Every record below `folder`, that is, every file named record.json or *.record.json.

    One that cannot be read is named in a warning and left out: it must not hide the others.
    """
    for path in sorted(Path(folder).rglob("*record.json")):
        if f".{path.name}".endswith(".record.json"):
            try:
                yield read_record(path)
            except (RecordError, OSError) as error:
                logger.warning("%s: left out: %s", path, error)


def flatten(value: Any, prefix: str = "") -> dict[str, Scalar]:
    """A nested JSON-like value as flat, dotted names. A list stays one value: its JSON text.

    {"search": {"depth": 50}, "k": [1, 3]} -> {"search.depth": 50, "k": "[1, 3]"}.
    NumPy scalars become Python's; anything else becomes its text.
    """
    if not isinstance(value, Mapping):
        return {prefix: scalar(value)}
    flat: dict[str, Scalar] = {}
    for name, inner in value.items():
        flat |= flatten(inner, f"{prefix}.{name}" if prefix else str(name))
    return flat


def scalar(value: Any) -> Scalar:
    """A value as a parameter keeps it: a plain scalar, or the text of anything else."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if value is None or isinstance(value, bool | int | float):
        return cast(Scalar, value)
    if isinstance(value, list | tuple):
        return json.dumps([scalar(item) for item in value], ensure_ascii=False)
    return str(value)  # also of Snakemake's subclasses of str, which must not be in a record
