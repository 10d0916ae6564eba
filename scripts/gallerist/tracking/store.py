"""Which MLflow: where the store is, who may write to it and when, how its database comes to be.

Nothing here imports MLflow but what sets a store up. Passwords of addresses are repeated nowhere.
"""

import os
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import url2pathname

from filelock import FileLock, Timeout

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, replacing
from gallerist.records.history import History

USERNAME, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
"""The environment variables that MLflow takes a user and a password from."""

# Up to the last @ of the word, so that a password with an @ is not shown in part; a port is none.
_BEFORE_HOST = re.compile(r"(://[^\s:/@]*):(?!\d+/)\S*@")
_AS_OPTION = re.compile(r"([?&]password=)[^\s&]*")

_SQLITE = "sqlite:///"
_SETUP_LIMIT = 120.0

_ADDRESSES = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns of the database with addresses below that of an experiment."""


class TrackingError(UserError):
    """MLflow cannot be used as configured: the message says why and what to do."""


class Busy(TrackingError):
    """Another process is writing the runs of the same data set."""


@dataclass(frozen=True, slots=True)
class Store:
    """Where MLflow keeps its runs, and how long a finished workflow waits for it.

    uri: as `resolve_uri` gives it. artifact_root: as `artifact_root_of` gives it.
    patience: seconds.
    """

    uri: str
    artifact_root: str | None
    patience: float = 30.0


def configured_store(config: Mapping[str, Any], results: PathLike) -> Store:
    """The store of a completed configuration.

    results: the folder that holds the results of all data sets.
    Raises TrackingError when it is none that MLflow can write to.
    """
    uri = resolve_uri(config["tracking"]["uri"], results)
    return Store(uri, artifact_root_of(uri, results), config["tracking"]["patience"])


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
    """URI of the folder that MLflow keeps pictures in; None where a server has its own.

    It lies beside the file of an SQLite store, so that all who use that have one place.
    """
    if uri.startswith(("http://", "https://", "databricks")):
        return None
    database = database_path(uri)
    folder = Path(results).absolute() / "mlflow" if database is None else database.parent
    return (folder / "artifacts").as_uri()


def database_path(uri: str) -> Path | None:
    """The file of a SQLite store; None for any other."""
    if not uri.startswith(_SQLITE) or ":memory:" in uri:
        return None
    return Path(uri.removeprefix(_SQLITE).partition("?")[0]).absolute()


def holds_password(uri: str) -> bool:
    """Whether an address has a password, as in SCHEME://USER:PASSWORD@HOST."""
    return hide_passwords(uri) != uri


def hide_passwords(text: str) -> str:
    """A text in which the password of every address is ***."""
    return _AS_OPTION.sub(r"\1***", _BEFORE_HOST.sub(r"\1:***@", text))


def separated(uri: str) -> tuple[str, dict[str, str]]:
    """The address of a server without user and password, and the variables that hold them instead.

    MLflow repeats the address in its errors, so it must not know it with the password. Any other
    address, such as that of a database, comes back as it is.
    """
    if not uri.startswith(("http://", "https://")) or not _BEFORE_HOST.search(uri):
        return uri, {}
    parts = urlsplit(uri)
    user, _, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    variables = {USERNAME: unquote(name), PASSWORD: unquote(password)}
    return urlunsplit(parts._replace(netloc=host)), variables


@contextmanager
def exclusive(results: PathLike, timeout: float, owner: str = "") -> Iterator[bool]:
    """Keep other writers of a data set's runs away meanwhile.

    results: of the data set; processes of all machines that share the folder are kept away.
    Yields whether the last one that was let in was `owner`, too. Raises Busy when another has not
    come to its end within `timeout` seconds.
    """
    folder = History(results).folder
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / ".writer"
    lock = FileLock(folder / ".writer.lock", timeout=timeout)
    try:
        lock.acquire()
    except Timeout:
        raise Busy("is being written to by another process, which shows the same records") from None
    try:
        undisturbed = last.is_file() and last.read_text(encoding="utf-8") == owner
        if not undisturbed:
            last.write_text(owner, encoding="utf-8")
        yield undisturbed
    finally:
        lock.release()


def prepare(uri: str, artifact_root: str | None, experiments: Sequence[str]) -> None:
    """Make the store and these MLflow experiments exist, however many processes try at once.

    A fresh SQLite database is set up by one process, under a lock beside it: MLflow's migrations
    fail when two run them together. Raises TrackingError when the store cannot be set up.
    """
    database = database_path(uri)
    if database is None:
        _create_experiments(uri, artifact_root, experiments)
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{database}.lock", timeout=_SETUP_LIMIT):
            if database.exists() and database.stat().st_size:
                _create_experiments(uri, artifact_root, experiments)
                return
            # Migrations that are cut short cannot be resumed, so they run on another file.
            with replacing(database) as fresh:
                _create_experiments(f"{_SQLITE}{fresh}", artifact_root, experiments)
    except Timeout as error:
        raise TrackingError(
            f"{database}: another process has been setting this MLflow database up for 2 minutes. "
            "If none is, remove the file of that name ending in .lock"
        ) from error


def follow_move(uri: str, artifact_root: str | None, experiments: Sequence[str]) -> None:
    """Let a SQLite store that was moved or copied with its folder keep pictures and models there.

    MLflow stores absolute addresses and has no call to change them: new runs would write into the
    old folder, or into that of the original. One whose pictures lie elsewhere is left as it is.
    """
    database = database_path(uri)
    if database is None or artifact_root is None or not database.is_file():
        return
    with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        known = connection.execute("SELECT experiment_id, name, artifact_location FROM experiments")
        for identity, name, old in known.fetchall():
            new = f"{artifact_root}/{name}"
            if name not in experiments or not _has_moved(old, new):
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


def _has_moved(old: str, new: str) -> bool:
    """Whether the pictures of an MLflow experiment, known to be at `old`, are at `new`."""
    return old != new and (_folder(new).is_dir() or not _folder(old).is_dir())


def _folder(address: str) -> Path:
    return Path(url2pathname(urlsplit(address).path))


def shows_exactly(
    store: Store, experiments: Sequence[str], records: Iterable[tuple[str, str]]
) -> bool:
    """Whether a SQLite store is known to have these records, each once, and nothing at work.

    records: execution and status. Asked of the database itself, without MLflow; False for any
    other store, and where something is to be put right.
    """
    database = database_path(store.uri)
    if database is None or not all(known_experiment(database, name) for name in experiments):
        return False
    marks = ",".join("?" * len(experiments))
    runs = (
        "SELECT e.value, CASE r.status WHEN 'RUNNING' THEN r.status ELSE l.value END, "
        "x.artifact_location, x.name FROM runs r "
        "JOIN experiments x USING (experiment_id) "
        "JOIN tags e ON e.run_uuid = r.run_uuid AND e.key = 'gallerist.execution' "
        "LEFT JOIN tags l ON l.run_uuid = r.run_uuid AND l.key = 'gallerist.logged' "
        "WHERE r.lifecycle_stage = 'active' AND x.lifecycle_stage = 'active' "
        f"AND x.name IN ({marks})"
    )
    found = _query(database, runs, experiments) or ()
    if any(_has_moved(place, f"{store.artifact_root}/{name}") for *_, place, name in found):
        return False
    return Counter(tuple(row[:2]) for row in found) == Counter(records)


def _query(database: Path, question: str, values: Sequence[str]) -> list[Any] | None:
    """The rows of an answer, read without creating the database; None where there is none."""
    if not database.is_file():
        return None
    try:
        # Read-only: to look for a database must not create one.
        with closing(
            sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=20)
        ) as opened:
            return opened.execute(question, values).fetchall()
    except sqlite3.Error:
        return None


def _create_experiments(uri: str, artifact_root: str | None, experiments: Sequence[str]) -> None:
    """Make them exist, also those that were deleted."""
    from gallerist.tracking.client import connect

    client = connect(uri)
    from mlflow.exceptions import MlflowException  # which `connect` has set up

    for name in experiments:
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                client.create_experiment(name, f"{artifact_root}/{name}" if artifact_root else None)
            except MlflowException as error:
                # Another job on the same server was faster.
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
        elif found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)


def known_experiment(database: Path, name: str) -> str | None:
    """The id of an MLflow experiment in a SQLite database, without MLflow; None if it has none."""
    rows = _query(database, "SELECT experiment_id FROM experiments WHERE name = ?", [name])
    return str(rows[0][0]) if rows else None
