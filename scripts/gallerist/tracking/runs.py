"""A record as a run in MLflow, logged once whoever tries and however often.

A record is known again by its execution. Its run is complete when it carries the tag
gallerist.logged, which is written last; anything less is completed, or replaced where MLflow does
not allow a change. So a run that was opened for a stage at work, that a killed writer left behind
or a lost database forgot is put right by logging its record again.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any

from gallerist.records.record import SUBJECT, Record, milliseconds
from gallerist.tracking.client import Client, experiment_id, first_line, is_active, runs
from gallerist.tracking.contents import (
    Point,
    allowed_name,
    comparable,
    description_of,
    parameters_of,
    points_of,
    tags_of,
)
from gallerist.tracking.experiment_page import experiment_tags
from gallerist.tracking.store import TrackingError

logger = logging.getLogger("gallerist")

_DIGEST_LIMIT = 36
_FAILURES_IN_A_ROW = 3

PointKey = tuple[str, int, float | str]
"""By which a point is known again: MLflow's name, the step, a comparable value."""


def log_record(client: Client, record: Record, shown: Mapping[str, Path] | None = None) -> bool:
    """Log a record that has ended. Returns False when that was done before.

    shown: where artifacts are that are no longer at their path, by that path.
    The MLflow experiment must exist (`prepare`). Raises what MLflow raises; the record can then be
    logged again. Of all runs of its subject a finished one becomes current, a failed one never.
    """
    found = _runs_of(client, experiment_id(client, record.mlflow_experiment), record.execution)
    if _is_logged(client, found, record):
        return False
    run = _reusable(client, [run for run in found if is_active(run)], record)
    if run is None:
        run = _create_run(client, record)
    run_id, parameters = run.info.run_id, parameters_of(record)
    tags = {
        **tags_of(record),
        "current": "false",  # a finished one becomes current when all is there
        **description_of(record, run_id),
    }
    with _never_left_running(client, run_id):
        _log_batch(
            client,
            run_id,
            points=missing_points(record, _points_in(client, run)),
            parameters={name: parameters[name] for name in parameters.keys() - run.data.params},
            tags=dict(tags.items() - run.data.tags.items()),
        )
        _log_datasets(client, run_id, record)
        present = client.get_experiment(run.info.experiment_id).tags
        for name, text in experiment_tags(record).items():
            if present.get(name) != text:
                client.set_experiment_tag(run.info.experiment_id, name, text)
        status = "FINISHED" if record.status == "finished" else "FAILED"
        client.set_terminated(run_id, status, record.ended)
    if record.status == "finished":
        client.set_tag(run_id, "current", "true")
        # Of its stage only: the runs of all others, read for each record, are most of the work.
        question = f"tags.current = 'true' and tags.`gallerist.stage` = '{record.stage}'"
        current = list(runs(client, [run.info.experiment_id], question))
        restore_current(client, current, [record])
    _log_artifacts(client, run_id, record, shown or {})
    client.set_tag(run_id, "gallerist.logged", record.status)
    return True


def show_at_work(client: Client, record: Record) -> tuple[str, set[PointKey]]:
    """Show a stage at work as a RUNNING run. Returns the run's id, and which points it has.

    One that was opened before, whoever did it, is taken up again.
    """
    identity = experiment_id(client, record.mlflow_experiment)
    found = [run for run in _runs_of(client, identity, record.execution) if is_active(run)]
    run = found[0] if found else client.get_run(open_run(client, record))
    return str(run.info.run_id), _points_in(client, run)


def open_run(client: Client, record: Record) -> str:
    """Create the RUNNING run of a stage that has begun. Returns its id."""
    run_id = str(_create_run(client, record).info.run_id)
    with _never_left_running(client, run_id):
        tags = description_of(record, run_id)
        _log_batch(client, run_id, parameters=parameters_of(record), tags=tags)
    return run_id


def _create_run(client: Client, record: Record) -> Any:
    return client.create_run(
        experiment_id(client, record.mlflow_experiment),
        start_time=milliseconds(record.started),
        tags=tags_of(record),
        run_name=record.title,
    )


@contextmanager
def _never_left_running(client: Client, run_id: str) -> Iterator[None]:
    """A run that MLflow will not complete ends FAILED, until its record is logged again."""
    try:
        yield
    except Exception:
        with suppress(Exception):
            client.set_terminated(run_id, "FAILED")
        raise


def log_points(client: Client, run_id: str, points: Sequence[Point]) -> None:
    """Add points to the curves of a run."""
    if points:
        _log_batch(client, run_id, points=points)


def sync(
    client: Client,
    records: Iterable[Record],
    shown: Callable[[Record], Mapping[str, Path]] = lambda record: {},
) -> tuple[int, int]:
    """Log every record that MLflow lacks, oldest first, and put the tags `current` right.

    shown: where the artifacts of a record are, as for `log_record`.
    The MLflow experiments must exist (`prepare`). Returns how many were logged, and how many
    cannot be, each named in a warning. Raises TrackingError when three in a row cannot: then it is
    not the record.
    """
    ended = sorted(records, key=lambda record: (record.mlflow_experiment, record.ended))
    logged = refused = in_a_row = 0
    for name, group in groupby(ended, key=lambda record: record.mlflow_experiment):
        members, identity = list(group), experiment_id(client, name)
        known: dict[str, list[Any]] = {}
        for run in runs(client, [identity], "", deleted=True):
            known.setdefault(run.data.tags.get("gallerist.execution", ""), []).append(run)
        for record in members:
            if _is_logged(client, known.get(record.execution, ()), record):
                continue
            try:
                logged += log_record(client, record, shown(record))
                in_a_row = 0
            except Exception as error:
                reason = first_line(error)
                refused, in_a_row = refused + 1, in_a_row + 1
                logger.warning("%s is not in MLflow yet: %s", record.title, reason)
                if in_a_row == _FAILURES_IN_A_ROW:
                    raise TrackingError(
                        f"refused {in_a_row} records in a row, the last: {reason}"
                    ) from error
        finished = [record for record in members if record.status == "finished"]
        restore_current(client, list(runs(client, [identity], "")), finished)
    return logged, refused


def restore_current(client: Client, among: Iterable[Any], records: Sequence[Record]) -> None:
    """Of the runs `among`, those of these records are current, others of their subjects are not.

    records: finished ones, oldest first; of two with one subject the later counts.
    """
    current = {record.subject: record.execution for record in records}
    for run in among:
        tags = run.data.tags
        subject = tuple(tags.get(f"gallerist.{name}") for name in SUBJECT)
        if subject in current and run.info.status != "RUNNING":
            wanted = str(tags.get("gallerist.execution") == current[subject]).lower()
            if tags.get("current") != wanted:
                client.set_tag(run.info.run_id, "current", wanted)


def _is_logged(client: Client, found: Sequence[Any], record: Record) -> bool:
    """Whether one of the runs of a record's execution is complete. The others are then deleted.

    A server that hung, or whose answers were lost, has opened runs that nobody knew of. One that
    somebody deleted in MLflow stays deleted.
    """
    complete = [run for run in found if run.data.tags.get("gallerist.logged") == record.status]
    shown = [run for run in complete if is_active(run)] or complete
    for run in found if shown else ():
        if is_active(run) and run is not shown[0]:
            with suppress(Exception):  # the next sync tries again
                client.delete_run(run.info.run_id)
    return bool(shown)


def _runs_of(client: Client, identity: str, execution: str) -> list[Any]:
    question = f"tags.`gallerist.execution` = '{execution}'"
    return list(runs(client, [identity], question, deleted=True))


def _reusable(client: Client, found: Sequence[Any], record: Record) -> Any:
    """One of the incomplete runs to complete, or None. The others are deleted.

    MLflow keeps a parameter's first value, so a run with another one cannot become right.
    """
    parameters = parameters_of(record)
    kept = None
    for run in found:
        right = all(parameters.get(name, value) == value for name, value in run.data.params.items())
        if right and kept is None:
            kept = run
        else:
            client.delete_run(run.info.run_id)
    return kept


def _log_batch(
    client: Client,
    run_id: str,
    points: Sequence[Point] = (),
    parameters: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    client.log_batch(
        run_id,
        metrics=[Metric(allowed_name(key), value, at, step) for key, step, value, at in points],
        params=[Param(key, value) for key, value in (parameters or {}).items()],
        tags=[RunTag(key, value) for key, value in (tags or {}).items()],
    )


def _points_in(client: Client, run: Any) -> set[PointKey]:
    return {
        (name, metric.step, comparable(metric.value))
        for name in run.data.metrics
        for metric in client.get_metric_history(run.info.run_id, name)
    }


def missing_points(record: Record, known: set[PointKey]) -> list[Point]:
    """The points of a record that are not yet among those known, to which they are added."""
    missing = {
        (allowed_name(name), step, comparable(value)): (name, step, value, at)
        for name, step, value, at in reversed(points_of(record))  # of two alike the curve's own
    }
    new = [point for key, point in missing.items() if key not in known]
    known.update(missing)
    return new


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
        client.log_inputs(run_id, inputs)


def _log_artifacts(client: Client, run_id: str, record: Record, shown: Mapping[str, Path]) -> None:
    for artifact in record.artifacts:
        path = shown.get(artifact.path, Path(artifact.path))
        if path.is_dir():
            client.log_artifacts(run_id, str(path), artifact.folder or path.name)
        elif path.is_file():
            client.log_artifact(run_id, str(path), artifact.folder)
        else:
            logger.warning("%s is not there to be shown in MLflow", path)
    # The record itself, so that the page in MLflow is enough even where the files are gone.
    text = json.dumps(record.to_json(), indent=2, ensure_ascii=False)
    client.log_text(run_id, text, "run.json")
