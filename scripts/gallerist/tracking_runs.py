"""A record as a run in MLflow, logged once whoever tries and however often.

A record is known again by its execution. Its run is complete when it carries the tag
gallerist.logged, which is written last; anything less is completed, or replaced where MLflow does
not allow a change. So a run that a stage opened, a dead stage left behind or a lost database
forgot is put right by logging its record again.
"""

import json
import logging
import math
import posixpath
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any

from gallerist.comparison_page import experiment_tags
from gallerist.records import RUN_ID, Record, milliseconds
from gallerist.tracking_access import in_short
from gallerist.tracking_store import (
    Client,
    TrackingError,
    connect,
    experiment_id,
    patiently,
    prepare,
    runs,
)

logger = logging.getLogger("gallerist")

Point = tuple[str, int, float, int]
"""One point of a curve: name, step, value, milliseconds since the epoch."""

_PARAMETER_LIMIT = 6000
_TAG_LIMIT = 8000
_DIGEST_LIMIT = 36
_FAILURES_IN_A_ROW = 3
_NOTE = "mlflow.note.content"
_STALE_TAGS = {"gallerist.reaped", _NOTE}


def log_record(client: Client, record: Record, shown: Mapping[str, Path] | None = None) -> bool:
    """Log a record that has ended. Returns False when that was done before.

    shown: where artifacts are that are no longer at their path, by that path.
    The MLflow experiment must exist (`prepare`). Raises what MLflow raises; the record can then be
    logged again. Of all runs of its subject a finished one becomes current, a failed one never.
    """
    found = _runs_of(client, experiment_id(client, record.mlflow_experiment), record.execution)
    if _is_logged(client, found, record):
        return False
    run = _reusable(client, [run for run in found if _is_active(run)], record)
    if run is None:
        run = patiently(client.get_run, open_run(client, record))
    run_id, ended = run.info.run_id, milliseconds(record.finished or record.started)
    with _never_left_running(client, run_id):
        _log_numbers(client, run, record)
        _describe_experiment(client, run.info.experiment_id, record)
        status = "FINISHED" if record.status == "finished" else "FAILED"
        patiently(client.set_terminated, run_id, status, ended)
    if record.status == "finished":
        patiently(client.set_tag, run_id, "current", "true")
        current = list(runs(client, [run.info.experiment_id], "tags.current = 'true'"))
        restore_current(client, current, [record])
    _log_artifacts(client, run_id, record, shown or {})
    patiently(client.set_tag, run_id, "gallerist.logged", record.status)
    return True


def open_run(client: Client, record: Record) -> str:
    """Create the RUNNING run of a stage that has begun. Returns its id."""
    run = patiently(
        client.create_run,
        experiment_id(client, record.mlflow_experiment),
        start_time=milliseconds(record.started),
        tags=_tags(record),
        run_name=record.title,
    )
    run_id = str(run.info.run_id)
    with _never_left_running(client, run_id):
        note = _note(record, run_id)
        _log_batch(client, run_id, parameters=_parameters(record), tags=note)
    return run_id


@contextmanager
def _never_left_running(client: Client, run_id: str) -> Iterator[None]:
    """A run that MLflow will not complete ends FAILED, until its record is logged again."""
    try:
        yield
    except Exception:
        with suppress(Exception):
            client.set_terminated(run_id, "FAILED")
        raise


def _log_numbers(client: Client, run: Any, record: Record) -> None:
    """Give a run all that its record has, except the files."""
    tags = _tags(record) | _closing_tags(record) | _note(record, run.info.run_id)
    _log_batch(
        client,
        run.info.run_id,
        points=_missing_points(client, run, record),
        parameters=_missing(_parameters(record), run.data.params),
        tags=tags,
    )
    for stale in _STALE_TAGS & set(run.data.tags) - set(tags):
        patiently(client.delete_tag, run.info.run_id, stale)
    _log_datasets(client, run.info.run_id, record)


def log_points(client: Client, run_id: str, points: Sequence[Point]) -> None:
    """Add points to the curves of a run."""
    _log_batch(client, run_id, points=points)


def sync(
    uri: str,
    artifact_root: str | None,
    records: Iterable[Record],
    progress: Callable[[], None] = lambda: None,
    shown: Callable[[Record], Mapping[str, Path]] = lambda record: {},
) -> int:
    """Log every record that MLflow lacks, oldest first, and put the tags `current` right.

    progress: called after each record, logged or not, so that a caller can tell slow from stuck.
    shown: where the artifacts of a record are, as `log_record` is told.
    Returns how many were logged. A record that cannot be logged is named in a warning and tried
    again next time. Raises TrackingError when three in a row cannot: then it is not the record.
    """
    ended = [record for record in records if record.status != "running"]
    ended.sort(key=lambda record: milliseconds(record.finished or record.started))
    ended.sort(key=lambda record: record.mlflow_experiment)
    if not ended:
        return 0
    names = sorted({record.mlflow_experiment for record in ended})
    prepare(uri, artifact_root, names)
    client = connect(uri)
    logged = 0
    for name, group in groupby(ended, key=lambda record: record.mlflow_experiment):
        members = list(group)
        identity = experiment_id(client, name)
        logged += _log_missing(client, identity, members, progress, shown)
        finished = [record for record in members if record.status == "finished"]
        restore_current(client, list(runs(client, [identity], "")), finished)
    return logged


def _log_missing(
    client: Client,
    identity: str,
    records: Sequence[Record],
    progress: Callable[[], None],
    shown: Callable[[Record], Mapping[str, Path]],
) -> int:
    known: dict[str, list[Any]] = {}
    for run in runs(client, [identity], "", deleted=True):
        known.setdefault(run.data.tags.get("gallerist.execution", ""), []).append(run)
    logged = failures = 0
    for record in records:
        if not _is_logged(client, known.get(record.execution, ()), record):
            try:
                logged += log_record(client, record, shown(record))
                failures = 0
            except Exception as error:
                failures += 1
                logger.warning("%s is not in MLflow yet: %s", record.title, in_short(error))
                if failures == _FAILURES_IN_A_ROW:
                    raise TrackingError(
                        f"MLflow refused {failures} records in a row, the last: {in_short(error)}"
                    ) from error
        progress()
    return logged


def restore_current(client: Client, among: Iterable[Any], records: Sequence[Record]) -> None:
    """Of the runs `among`, those of these records are current, others of their subjects are not.

    records: finished ones, oldest first; of two with one subject the later counts.
    """
    current = {record.subject: record.execution for record in records}
    for run in among:
        tags = run.data.tags
        subject = (
            tags.get("gallerist.dataset"),
            tags.get("gallerist.stage"),
            tags.get("gallerist.experiment"),
            tags.get("gallerist.item"),
            tags.get("gallerist.part"),
        )
        if subject in current and run.info.status != "RUNNING":
            wanted = str(tags.get("gallerist.execution") == current[subject]).lower()
            if tags.get("current") != wanted:
                patiently(client.set_tag, run.info.run_id, "current", wanted)


def is_complete(run: Any, record: Record) -> bool:
    """Whether a run shows all of its record. One that somebody deleted in MLflow stays deleted."""
    return bool(
        run.data.tags.get("gallerist.execution") == record.execution
        and run.data.tags.get("gallerist.logged") == record.status
    )


def _is_logged(client: Client, found: Sequence[Any], record: Record) -> bool:
    """Whether one of the runs of a record's execution is complete. The others are then deleted.

    A server that hung, or whose answers were lost, has opened runs that nobody knew of.
    """
    complete = [run for run in found if is_complete(run, record)]
    shown = [run for run in complete if _is_active(run)] or complete
    for run in found if shown else ():
        if _is_active(run) and run is not shown[0]:
            with suppress(Exception):  # the next sync tries again
                patiently(client.delete_run, run.info.run_id)
    return bool(shown)


def _is_active(run: Any) -> bool:
    return bool(run.info.lifecycle_stage == "active")


def _runs_of(client: Client, identity: str, execution: str) -> list[Any]:
    question = f"tags.`gallerist.execution` = '{execution}'"
    return list(runs(client, [identity], question, deleted=True))


def _reusable(client: Client, found: Sequence[Any], record: Record) -> Any:
    """One of the incomplete runs to complete, or None. The others are deleted.

    MLflow keeps a parameter's first value, so a run with another one cannot become right.
    """
    parameters = _parameters(record)
    kept = None
    for run in found:
        right = all(
            parameters.get(name) == value or name not in parameters
            for name, value in run.data.params.items()
        )
        if right and kept is None:
            kept = run
        else:
            patiently(client.delete_run, run.info.run_id)
    return kept


def _log_batch(
    client: Client,
    run_id: str,
    points: Sequence[Point] = (),
    parameters: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    patiently(
        client.log_batch,
        run_id,
        metrics=[Metric(_name(key), value, at, step) for key, step, value, at in points],
        params=[Param(key, value) for key, value in (parameters or {}).items()],
        tags=[RunTag(key, value) for key, value in (tags or {}).items()],
    )


def _missing(wanted: Mapping[str, str], present: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in wanted.items() if name not in present}


def _missing_points(client: Client, run: Any, record: Record) -> list[Point]:
    """The metrics and curve points of a record that its run does not have yet."""
    at = milliseconds(record.finished or record.started)
    points = [
        (name, step, value, record.moments.get(step, at))
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
    points += [(name, last.get(name, 0), value, at + 1) for name, value in record.metrics.items()]
    present = {
        (name, metric.step, _comparable(metric.value))
        for name in {_name(name) for name, *_ in points} & set(run.data.metrics)
        for metric in patiently(client.get_metric_history, run.info.run_id, name)
    }
    missing = {
        (_name(name), step, _comparable(value)): (name, step, value, at)
        for name, step, value, at in reversed(points)  # of two alike the curve's own is logged
    }
    return [point for key, point in missing.items() if key not in present]


def _comparable(value: float) -> float | str:
    """A value that equals itself, also when MLflow has kept infinity as the largest number."""
    if math.isnan(value):
        return "nan"
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def _parameters(record: Record) -> dict[str, str]:
    return {
        _name(name): _cut(str(value), _PARAMETER_LIMIT) for name, value in record.parameters.items()
    }


def _tags(record: Record) -> dict[str, str]:
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
        **{name: text for name, text in record.tags.items() if name != _NOTE},
    }
    return {
        _name(name): _cut(str(value), _TAG_LIMIT)
        for name, value in tags.items()
        if value is not None
    }


def _closing_tags(record: Record) -> dict[str, str]:
    return {"current": "false"}  # a finished one becomes current when all is there


def _note(record: Record, run_id: str) -> dict[str, str]:
    """What MLflow shows above a run: why it failed, else its own note, else what it worked on."""
    if record.error:
        return {_NOTE: _cut(f"Failed: {record.error}", _TAG_LIMIT)}
    text = record.tags.get(_NOTE) or _what_it_is(record)
    return {_NOTE: _cut(text.replace(RUN_ID, run_id), _TAG_LIMIT)}


def _what_it_is(record: Record) -> str:
    lines = [f"**{record.title}** on the data set **{record.dataset}**."]
    if purpose := record.tags.get("purpose"):
        lines.append(f"What it does: {purpose}")
    if record.datasets:
        pictures = ", ".join(f"{each.name} ({each.images})" for each in record.datasets)
        lines.append(f"Pictures: {pictures}.")
    return "\n\n".join(lines)


def _describe_experiment(client: Client, identity: str, record: Record) -> None:
    """Say on the MLflow experiment itself what it lists, and how to look at it."""
    present = patiently(client.get_experiment, identity).tags
    for name, text in experiment_tags(record).items():
        if present.get(name) != text:
            patiently(client.set_experiment_tag, identity, name, text)


def _log_datasets(client: Client, run_id: str, record: Record) -> None:
    from mlflow.entities import Dataset, DatasetInput

    inputs = [
        DatasetInput(
            Dataset(
                name=images.name,
                digest=images.digest[:_DIGEST_LIMIT],
                source_type="local",
                source=json.dumps({"uri": images.path}),
                profile=json.dumps({"images": images.images}),
            ),
            tags=[],
        )
        for images in record.datasets
    ]
    if inputs:
        patiently(client.log_inputs, run_id, inputs)


def _log_artifacts(client: Client, run_id: str, record: Record, shown: Mapping[str, Path]) -> None:
    for artifact in record.artifacts:
        path = shown.get(artifact.path, Path(artifact.path))
        _log_artifact(client, run_id, path, artifact.folder)
    # The record itself, so that the page in MLflow is enough even where the files are gone.
    text = json.dumps(record.to_json(), indent=2, ensure_ascii=False)
    client.log_text(run_id, text, "run.json")


def _log_artifact(client: Client, run_id: str, path: Path, folder: str | None) -> None:
    if path.is_dir():
        client.log_artifacts(run_id, str(path), folder or path.name)
    elif path.is_file():
        client.log_artifact(run_id, str(path), folder)
    else:
        logger.warning("%s is not there to be shown in MLflow", path)


def _name(name: str) -> str:
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
    note = f"... (cut from {len(text)} characters: the record has them all)"
    return text[: limit - len(note)] + note
