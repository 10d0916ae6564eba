"""The MLflow store: where it is, how it comes to be, and what is left in it by the dead.

Every function here talks to MLflow in the calling process, which costs seconds to import and can
take as long as a server pleases. A stage, or the workflow, goes through `tracking.tracker`.
"""

import logging
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from filelock import FileLock, Timeout

from gallerist.io.files import PathLike, replacing
from gallerist.records.provenance import host, may_be_running
from gallerist.tracking.access import hide_passwords, separated

logger = logging.getLogger("gallerist")

Answer = TypeVar("Answer")
Arguments = ParamSpec("Arguments")
Client = Any
"""An mlflow.MlflowClient; MLflow is not imported to say so."""

HIJACKERS = (
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_ACTIVE_MODEL_ID",
    "_MLFLOW_ACTIVE_MODEL_ID",
)
"""Variables by which a shell somebody used MLflow in would claim our runs or their metrics."""

_SQLITE = "sqlite:///"
_LOCKED_FOR = 60.0
_LOST_RACE = ("UNIQUE constraint failed", "duplicate key value")
_RACES = 5
_SETUP_LIMIT = 120.0

_ADDRESSES = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns of the database with addresses below that of an experiment."""


class TrackingError(RuntimeError):
    """MLflow cannot be used as configured: the message says why and what to do."""


def resolve_uri(configured: str | None, results: PathLike) -> str:
    """The MLflow store to use: the configured one, else $MLFLOW_TRACKING_URI, else SQLite.

    The SQLite database is mlflow/mlflow.db in the folder `results`.
    Raises TrackingError for a plain folder, which MLflow no longer writes to.
    """
    uri = configured or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return f"{_SQLITE}{Path(results).absolute() / 'mlflow' / 'mlflow.db'}"
    if uri.startswith("file:") or ("://" not in uri and not uri.startswith("databricks")):
        source = "tracking.uri" if configured else "MLFLOW_TRACKING_URI"
        raise TrackingError(
            f"{source} is {hide_passwords(uri)}: MLflow no longer writes to plain folders. "
            "Use sqlite:///PATH/mlflow.db, or the address of a server such as http://localhost:5000"
        )
    return uri


def artifact_root_of(uri: str, results: PathLike) -> str | None:
    """URI of the folder that MLflow keeps pictures in; None where a server has its own."""
    if uri.startswith(("http://", "https://", "databricks")):
        return None
    return (Path(results).absolute() / "mlflow" / "artifacts").as_uri()


def database_path(uri: str) -> Path | None:
    """The file of a SQLite store; None for any other."""
    if not uri.startswith(_SQLITE) or ":memory:" in uri:
        return None
    return Path(uri.removeprefix(_SQLITE).partition("?")[0]).absolute()


def connect(uri: str, *, request_timeout: int = 10) -> Client:
    """An MlflowClient, quiet, with bounded requests, that sends nothing to anybody else.

    Only this client is used, never the functions of `mlflow` that keep a run in the environment.
    A user and a password in the address of a server go to where MLflow looks for them.
    """
    address, credentials = separated(uri)
    os.environ.update(credentials)
    for name, value in {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(request_timeout),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        # Whatever fails is raised too, and reported by us in one line.
        "MLFLOW_LOGGING_LEVEL": "CRITICAL",
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)
    for chatty in ("alembic", "sqlalchemy", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    from mlflow import MlflowClient

    return patiently(MlflowClient, tracking_uri=address)


def patiently(
    call: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Answer:
    """The answer of a call, repeated while it is others on the same database that make it fail.

    For a minute while they have it locked; a few times when one of them was faster to add a row
    that both were missing, such as the data set of two jobs: the next try finds it there.
    """
    deadline = time.monotonic() + _LOCKED_FOR
    pause = 0.05
    races = 0
    while True:
        try:
            return call(*args, **kwargs)
        except Exception as error:
            reason = str(error)
            races += any(sign in reason for sign in _LOST_RACE)
            passing = "is locked" in reason or 0 < races <= _RACES
            if not passing or time.monotonic() + pause > deadline:
                raise
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, 2.0)


def prepare(uri: str, artifact_root: str | None, experiments: Sequence[str]) -> None:
    """Make the store and these MLflow experiments exist, however many processes try at once.

    Cheap when they do: for SQLite one query, without MLflow. A fresh database is set up by one
    process, under a lock beside it: MLflow's migrations fail when two run them together.
    Raises TrackingError when the store cannot be set up.
    """
    database = database_path(uri)
    if database is None:
        _create_experiments(connect(uri), artifact_root, experiments)
        return
    if _has_experiments(database, experiments):
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{database}.lock", timeout=_SETUP_LIMIT):
            if _has_experiments(database, experiments):
                return
            if database.exists() and database.stat().st_size:
                _create_experiments(connect(uri), artifact_root, experiments)
                return
            # Migrations that are cut short cannot be resumed, so they run on another file.
            with replacing(database) as fresh:
                _create_experiments(connect(f"{_SQLITE}{fresh}"), artifact_root, experiments)
    except Timeout as error:
        raise TrackingError(
            f"{database}: another process has been setting this MLflow database up for 2 minutes. "
            "If none is, remove the file of that name ending in .lock"
        ) from error


def follow_move(uri: str, artifact_root: str | None, experiments: Sequence[str]) -> None:
    """Let a SQLite store that was moved or copied with its folder keep pictures and models there.

    MLflow stores absolute addresses and has no call to change them: new runs would write into the
    old folder, or into that of the original.
    """
    database = database_path(uri)
    if database is None or artifact_root is None or not database.is_file():
        return
    with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        known = connection.execute("SELECT experiment_id, name, artifact_location FROM experiments")
        for identity, name, old in known.fetchall():
            new = f"{artifact_root}/{name}"
            if name not in experiments or old == new:
                continue
            for table, column in _ADDRESSES:
                # With the slash, or it would be those of another data set, too.
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE substr({column}, 1, ?) = ?",
                    (f"{new}/", len(old) + 2, len(old) + 1, f"{old}/"),
                )
            connection.execute(
                "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                (new, identity),
            )


def _has_experiments(database: Path, experiments: Sequence[str]) -> bool:
    """Whether the database lists these experiments as active, and is therefore complete.

    They are created last, after every migration, so a half-made database has none.
    """
    if not database.is_file():
        return False
    marks = ",".join("?" * len(set(experiments)))
    question = (
        f"SELECT count(*) FROM experiments WHERE lifecycle_stage = 'active' AND name IN ({marks})"
    )
    try:
        # Read-only: to look for a database must not create one.
        connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=20)
        try:
            (count,) = connection.execute(question, sorted(set(experiments))).fetchone()
        finally:
            connection.close()
    except sqlite3.Error:
        return False
    return bool(count == len(set(experiments)))


def _create_experiments(
    client: Client, artifact_root: str | None, experiments: Sequence[str]
) -> None:
    from mlflow.exceptions import MlflowException

    for name in experiments:
        location = f"{artifact_root}/{name}" if artifact_root else None
        found = patiently(client.get_experiment_by_name, name)
        if found is None:
            try:
                patiently(client.create_experiment, name, location)
            except MlflowException as error:
                # Another job on the same server was faster.
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
        elif found.lifecycle_stage == "deleted":
            patiently(client.restore_experiment, found.experiment_id)


def experiment_id(client: Client, name: str) -> str:
    """The id of an MLflow experiment. Raises TrackingError when `prepare` has not created it."""
    found = patiently(client.get_experiment_by_name, name)
    if found is None:
        raise TrackingError(f"MLflow has no experiment {name}: the store was not prepared")
    return str(found.experiment_id)


def runs(
    client: Client, experiment_ids: Sequence[str], question: str, *, deleted: bool = False
) -> Iterator[Any]:
    """Every run of these MLflow experiments that answers a filter; the deleted ones if asked."""
    from mlflow.entities import ViewType

    token: str | None = None
    while experiment_ids:
        page = patiently(
            client.search_runs,
            list(experiment_ids),
            filter_string=question,
            run_view_type=ViewType.ALL if deleted else ViewType.ACTIVE_ONLY,
            max_results=1000,
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return


def known_experiment(database: Path, name: str) -> str | None:
    """The id of an MLflow experiment in a SQLite database, without MLflow; None if it has none."""
    question = "SELECT experiment_id FROM experiments WHERE name = ?"
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=20)) as opened:
        row = opened.execute(question, [name]).fetchone()
    return None if row is None else str(row[0])


def reap(uri: str, experiments: Sequence[str] | None = None) -> int:
    """End the runs that a killed process of this machine left RUNNING: they become FAILED.

    experiments: the MLflow experiments to look through; None for all of them.
    A run belongs to a process when pid and start of the process agree, so that a later process with
    the same pid does not keep it alive. Runs of other machines, and runs that Gallerist did not
    start, are left alone. Returns how many were ended.
    """
    client = connect(uri)
    found = [
        experiment.experiment_id
        for experiment in patiently(client.search_experiments)
        if experiments is None or experiment.name in experiments
    ]
    ended = 0
    for run in runs(client, found, "attributes.status = 'RUNNING'"):
        if _is_orphan(run.data.tags):
            end_as_killed(client, run.info.run_id, "its process is gone, killed or crashed")
            ended += 1
    return ended


def _is_orphan(tags: dict[str, str]) -> bool:
    """Whether these tags name a process of this machine that no longer runs."""
    if tags.get("gallerist.host") != host():
        return False
    try:
        pid, started = int(tags["gallerist.pid"]), float(tags["gallerist.process_started"])
    except (KeyError, ValueError):
        return False
    return not may_be_running(pid, started)


def end_as_killed(client: Client, run_id: str, reason: str) -> None:
    """Mark one run FAILED, not current, with the reason where MLflow shows a run's description."""
    for name, value in {
        "gallerist.reaped": "true",
        "mlflow.note.content": f"Failed: {reason}.",
        "current": "false",
    }.items():
        patiently(client.set_tag, run_id, name, value)
    patiently(client.set_terminated, run_id, "FAILED")
