"""The MLflow store: found, set up once however many try, and cleared of what the dead left."""

import os
import sqlite3
import subprocess
import sys
import threading
import uuid

import pytest
from tracked import Runs, a_record, environment, running, store_in, wait_for

from gallerist.records.provenance import process_started
from gallerist.tracking.runs import open_run, sync
from gallerist.tracking.store import (
    TrackingError,
    artifact_root_of,
    connect,
    patiently,
    prepare,
    reap,
    resolve_uri,
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder of results with an initialised SQLite store; each test has a data set of its own."""
    folder = tmp_path_factory.mktemp("work") / "results"
    uri = resolve_uri(None, folder)
    prepare(uri, artifact_root_of(uri, folder), ["first", "first/stages"])
    return folder


@pytest.fixture
def store(results):
    return store_in(results)


@pytest.fixture
def client(store, dataset):
    prepare(store.uri, store.artifact_root, [dataset, f"{dataset}/stages"])
    return connect(store.uri)


@pytest.fixture
def dataset(request):
    return f"d{uuid.uuid4().hex[:8]}"


@pytest.fixture(autouse=True)
def no_foreign_store(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_the_configured_store_wins_then_the_environment_then_sqlite(monkeypatch, tmp_path):
    assert resolve_uri(None, tmp_path) == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    assert resolve_uri(None, tmp_path) == "http://there:5000"
    assert resolve_uri("sqlite:///mine.db", tmp_path) == "sqlite:///mine.db"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir(tmp_path)
    assert resolve_uri(None, "results") == f"sqlite:///{tmp_path}/results/mlflow/mlflow.db"


@pytest.mark.parametrize("folder", ["mlruns", "/data/mlruns", "file:///data/mlruns"])
def test_a_plain_folder_is_refused_with_the_way_out(tmp_path, folder):
    with pytest.raises(TrackingError, match=r"tracking\.uri is .*sqlite:///"):
        resolve_uri(folder, tmp_path)


def test_a_server_keeps_its_own_artifacts(tmp_path):
    assert artifact_root_of("http://there:5000", tmp_path) is None
    assert artifact_root_of("sqlite:///x.db", tmp_path) == f"file://{tmp_path}/mlflow/artifacts"


def test_a_set_up_that_was_killed_is_done_again(tmp_path):
    store = store_in(tmp_path)
    folder = tmp_path / "mlflow"
    process = subprocess.Popen(
        [sys.executable, "-c", f"from gallerist.tracking.store import prepare\n"
         f"prepare({store.uri!r}, None, ['mine', 'mine/stages'])"],
        env=environment(),
    )  # fmt: skip
    wait_for(lambda: any(path.stat().st_size for path in folder.glob(".*.db")))
    process.kill()
    process.wait()
    assert not (folder / "mlflow.db").exists()
    prepare(store.uri, store.artifact_root, ["mine", "mine/stages"])
    assert Runs(tmp_path).experiments() == ["Default", "mine", "mine/stages"]


def test_a_store_that_is_ready_costs_no_import_of_mlflow(store, results):
    code = (
        "import sys; from gallerist.tracking.store import prepare; "
        f"prepare({store.uri!r}, None, ['first', 'first/stages']); print('mlflow' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert answer.stdout == "False\n"
    assert answer.stderr == ""


def test_an_experiment_deleted_in_mlflow_comes_back(client, store, dataset, results):
    client.delete_experiment(client.get_experiment_by_name(dataset).experiment_id)
    prepare(store.uri, store.artifact_root, [dataset, f"{dataset}/stages"])
    assert client.get_experiment_by_name(dataset).lifecycle_stage == "active"


def test_only_the_dead_of_this_machine_are_reaped(client, dataset, store, results):
    alive = process_started(os.getpid())
    for title, changes in {
        "alive": {},
        "elsewhere": {"host": "another-machine", "pid": 1, "process_started": 1.0},
        "pid taken by a later process": {"process_started": alive - 100.0},
        "not known": {"process_started": None},
    }.items():
        open_run(client, running(a_record(dataset, title=title, **changes)))
    somebodys = client.create_run(
        client.get_experiment_by_name(dataset).experiment_id, run_name="not ours"
    )
    assert reap(store.uri, [dataset, f"{dataset}/stages"]) == 1
    status = {run["name"]: run["status"] for run in Runs(results).of(f"{dataset}/stages")}
    assert status == {
        "alive": "RUNNING", "elsewhere": "RUNNING", "not known": "RUNNING",
        "pid taken by a later process": "FAILED",
    }  # fmt: skip
    assert client.get_run(somebodys.info.run_id).info.status == "RUNNING"


def test_a_reaped_run_is_put_right_when_its_record_turns_up(client, dataset, store, results):
    record = a_record(dataset, process_started=1.0)
    opened = open_run(client, running(record))
    assert reap(store.uri, [f"{dataset}/stages"]) == 1
    assert sync(store.uri, store.artifact_root, [record]) == 1
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert (run["id"], run["status"], run["tags"]["current"]) == (opened, "FINISHED", "true")
    assert "gallerist.reaped" not in run["tags"]
    assert "Failed" not in run["tags"]["mlflow.note.content"]


def test_a_call_is_repeated_while_the_database_is_locked_and_no_other_error_is(tmp_path):
    path = tmp_path / "x.db"
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    impatient = sqlite3.connect(path, timeout=0, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="is locked"):
        impatient.execute("INSERT INTO t VALUES (1)")
    release = threading.Timer(0.5, holder.execute, ["COMMIT"])
    release.start()
    patiently(impatient.execute, "INSERT INTO t VALUES (1)")
    release.join()
    assert holder.execute("SELECT x FROM t").fetchall() == [(1,)]
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        patiently(impatient.execute, "INSERT INTO absent VALUES (1)")
