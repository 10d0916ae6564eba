"""A record in MLflow's terms, within its limits: parameters, tags, a description and points."""

import math
import posixpath
import re
import sys

from gallerist.records.record import RUN_ID, Record, milliseconds

Point = tuple[str, int, float, int]
"""One point of a curve: name, step, value, milliseconds since the epoch."""

DESCRIPTION = "mlflow.note.content"
"""The tag that MLflow shows as the description of a run."""

_PARAMETER_LIMIT = 6000
_TAG_LIMIT = 8000


def points_of(record: Record) -> list[Point]:
    """Each point of the curves of a record, then its metrics."""
    points = [
        (name, step, value, record.moments.get(step, record.ended))
        for name, curve in record.curves.items()
        for step, value in curve
    ]
    began = milliseconds(record.started)
    points += [
        (name, second, value, began + 1000 * second)
        for name, curve in record.machine_use.items()
        for second, value in curve
    ]
    # A metric named like a curve is the curve's outcome: it belongs to its last step, and comes a
    # millisecond later, because MLflow shows the latest.
    last = {name: curve[-1][0] for name, curve in record.curves.items() if curve}
    return points + [
        (name, last.get(name, 0), value, record.ended + 1) for name, value in record.metrics.items()
    ]


def comparable(value: float) -> float | str:
    """A value that equals itself, also when MLflow has kept infinity as the largest number."""
    if math.isnan(value):
        return "nan"
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def parameters_of(record: Record) -> dict[str, str]:
    """Its parameters; the record has in full what is cut here."""
    return {
        allowed_name(name): _cut(str(value), _PARAMETER_LIMIT)
        for name, value in record.parameters.items()
    }


def tags_of(record: Record) -> dict[str, str]:
    """What a run is known by from its beginning."""
    tags = {
        "mlflow.user": "gallerist",
        "mlflow.source.name": record.stage,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": record.git_commit,
        "gallerist.git_dirty": None if record.git_dirty is None else str(record.git_dirty).lower(),
        "gallerist.dataset": record.dataset,
        "gallerist.stage": record.stage,
        "gallerist.experiment": record.experiment,
        "gallerist.item": record.item,
        "gallerist.part": record.part,
        "gallerist.execution": record.execution,
        "gallerist.host": record.host,
        "gallerist.pid": str(record.pid),
        "gallerist.process_started": record.process_started,
        **{f"version.{name}": version for name, version in record.versions.items()},
        **{name: text for name, text in record.tags.items() if name != DESCRIPTION},
    }
    return {
        allowed_name(name): _cut(str(value), _TAG_LIMIT)
        for name, value in tags.items()
        if value is not None
    }


def description_of(record: Record, run_id: str) -> dict[str, str]:
    """What MLflow shows above a run: why it failed, else its own text, else what it worked on."""
    if record.error:
        return {DESCRIPTION: _cut(f"Failed: {record.error}", _TAG_LIMIT)}
    lines = [f"**{record.title}** on the data set **{record.dataset}**."]
    if purpose := record.tags.get("purpose"):
        lines.append(f"What it does: {purpose}")
    if record.datasets:
        pictures = ", ".join(f"{each.name} ({each.images})" for each in record.datasets)
        lines.append(f"Pictures: {pictures}.")
    text = record.tags.get(DESCRIPTION, "\n\n".join(lines))
    return {DESCRIPTION: _cut(text.replace(RUN_ID, run_id), _TAG_LIMIT)}


def allowed_name(name: str) -> str:
    """A name with what MLflow does not allow replaced, such as the @ of recall@5.

    Nor does it allow names that, read as paths, have a shorter spelling or lead upwards.
    """
    allowed = re.sub(r"[^\w./: -]", "_", name)[:250]
    if posixpath.normpath(allowed) != allowed or allowed.startswith(("/", "..")) or allowed == ".":
        allowed = re.sub(r"[./]", "_", allowed)
    return allowed


def _cut(text: str, limit: int) -> str:
    """A text within MLflow's limit; one that is cut says so."""
    if len(text) <= limit:
        return text
    suffix = f"... (cut from {len(text)} characters: the record has them all)"
    return text[: limit - len(suffix)] + suffix
