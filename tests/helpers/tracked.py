"""What the tests of tracking share: records to log, and a reader of stores that is not MLflow."""

import os
import socket
import sqlite3
import tempfile
import time
import uuid
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path

from checkout import HELPERS, SCRIPTS

from gallerist.records.provenance import host, process_started
from gallerist.records.record import ImageSet, Record
from gallerist.tracking.client import connect
from gallerist.tracking.store import Store, artifact_root_of, database_path, resolve_uri
from gallerist.tracking.writer import Writer


def environment():
    """The environment of a process that is to find the library under test, wherever it works."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (SCRIPTS, HELPERS)))}


class Runs:
    """What is in a SQLite store, read without MLflow."""

    def __init__(self, folder):
        self.database = Path(folder) / "mlflow" / "mlflow.db"

    def query(self, question, *values):
        with closing(sqlite3.connect(self.database, timeout=20)) as connection:
            return connection.execute(question, values).fetchall()

    def experiments(self):
        return sorted(name for (name,) in self.query("SELECT name FROM experiments"))

    def of(self, experiment):
        """The active runs of an MLflow experiment, oldest first."""
        rows = self.query(
            "SELECT run_uuid, r.name, status, start_time, end_time, artifact_uri FROM runs r "
            "JOIN experiments e USING (experiment_id) "
            "WHERE e.name = ? AND r.lifecycle_stage = 'active' ORDER BY start_time, run_uuid",
            experiment,
        )
        return [self._run(*row) for row in rows]

    def _run(self, key, name, status, started, ended, artifacts):
        folder = Path(artifacts.removeprefix("file://"))
        return {
            "id": key,
            "name": name,
            "status": status,
            "times": (started, ended),
            "parameters": dict(self.query("SELECT key, value FROM params WHERE run_uuid=?", key)),
            "tags": dict(self.query("SELECT key, value FROM tags WHERE run_uuid=?", key)),
            # What the machine did meanwhile differs each time, and has a page of its own there.
            "points": [point for point in self._points(key) if not _of_machine(point)],
            "machine": [point for point in self._points(key) if _of_machine(point)],
            "shown": dict(
                self.query(
                    "SELECT key, value FROM latest_metrics "
                    "WHERE run_uuid=? AND key NOT LIKE 'system/%'",
                    key,
                )
            ),
            "datasets": sorted(
                self.query(
                    "SELECT d.name, d.digest, d.dataset_source, d.dataset_profile FROM inputs i "
                    "JOIN datasets d ON i.source_id = d.dataset_uuid WHERE i.destination_id=?",
                    key,
                )
            ),
            "artifacts": sorted(
                str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
            ),
        }

    def _points(self, key):
        return sorted(
            self.query("SELECT key, step, value, is_nan FROM metrics WHERE run_uuid=?", key)
        )


def _of_machine(point):
    return point[0].startswith("system/")


def store_in(folder, patience=60.0):
    uri = resolve_uri(None, folder)
    return Store(uri, artifact_root_of(uri, folder), patience)


@cache
def _empty_database():
    """An SQLite store without runs: setting one up takes MLflow seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mlflow.db")
        connect(f"sqlite:///{path}").search_experiments()
        return path.read_bytes()


def set_up(store):
    """Give a store its SQLite database, without an experiment of ours, unless it has one."""
    database = database_path(store.uri)
    database.parent.mkdir(parents=True, exist_ok=True)
    if not database.exists():
        database.write_bytes(_empty_database())


def refreshed(store, dataset, results):
    """Do in this process, which has loaded MLflow, what `sync.refresh` has another one do.

    Returns how many records were logged; raises what that would warn of.
    """
    set_up(store)
    return Writer(store, dataset, results).update(store.patience, thorough=True)


def a_record(dataset, **changes):
    fields = {
        "stage": "train_network",
        "dataset": dataset,
        "experiment": "scratch",
        "execution": uuid.uuid4().hex,
        "title": "train_network scratch",
        "started": "2026-01-01T10:00:00.000+00:00",
        "finished": "2026-01-01T10:00:10.500+00:00",
        "status": "finished",
        "seconds": 10.5,
        "parameters": {"epochs": 3, "learning_rate": 1e-4, "weights": None, "frozen": True},
        "metrics": {"top_1": 0.25, "seconds": 10.5},
        "curves": {"loss": [(1, 2.0), (2, 1.5), (3, 1.25)], "accuracy": [(1, 0.5), (2, 0.75)]},
        "versions": {"python": "3.11.7"},
        "git_commit": "c" * 40,
        "git_dirty": False,
        "host": host(),
        "pid": os.getpid(),
        "process_started": process_started(os.getpid()),
        "tags": {"weights": "random"},
        "datasets": (ImageSet(f"{dataset} gallery", "e" * 64, 600, "results/m.csv"),),
    }
    return Record(**fields | changes)


def running(record):
    return replace(
        record, status="running", finished=None, seconds=None, metrics={}, curves={}, datasets=()
    )


def content(run):
    """A run without what is new each time it is logged."""
    return {name: value for name, value in run.items() if name != "id"}


def wait_for(condition, seconds=300.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it never happened")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
