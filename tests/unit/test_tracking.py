"""MLflow as a view of the records: always right in the end, never in the way.

The stores are real SQLite databases, read here with sqlite3, and a real server, read over REST.
"""

import logging
import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import requests

from gallerist.provenance import host, process_started
from gallerist.records import Artifact, ImageSet, Record, write_record
from gallerist.tracking import Store, Tracker, refresh
from gallerist.tracking_runs import log_record, open_run, sync
from gallerist.tracking_store import (
    TrackingError,
    artifact_root_of,
    connect,
    prepare,
    reap,
    resolve_uri,
)


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
            "points": sorted(
                self.query("SELECT key, step, value, is_nan FROM metrics WHERE run_uuid=?", key)
            ),
            "shown": dict(
                self.query("SELECT key, value FROM latest_metrics WHERE run_uuid=?", key)
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


def store_in(folder, patience=60.0):
    uri = resolve_uri(None, folder)
    return Store(uri, artifact_root_of(uri, folder), patience)


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


# --- where the store is


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


# --- setting it up


def test_eight_processes_set_up_one_fresh_store_and_log_a_run_each(tmp_path):
    """Seven or eight of eight fail when MLflow is left to itself."""
    store = store_in(tmp_path / "results of ä #1 100%")
    records = [a_record("mine", part=f"part {i}") for i in range(8)]
    trackers = [Tracker(store) for _ in records]
    for tracker, record in zip(trackers, records, strict=True):
        tracker.open(running(record))
    with ThreadPoolExecutor(8) as pool:
        done = list(
            pool.map(lambda pair: pair[0].close([pair[1]]), zip(trackers, records, strict=True))
        )
    assert done == [True] * 8
    runs = Runs(tmp_path / "results of ä #1 100%")
    assert runs.experiments() == ["Default", "mine", "mine/stages"]
    logged = runs.of("mine/stages")
    assert [run["status"] for run in logged] == ["FINISHED"] * 8
    assert {run["tags"]["gallerist.execution"] for run in logged} == {r.execution for r in records}
    assert {run["tags"]["current"] for run in logged} == {"true"}


def test_a_set_up_that_was_killed_is_done_again(tmp_path):
    store = store_in(tmp_path)
    folder = tmp_path / "mlflow"
    process = subprocess.Popen(
        [sys.executable, "-c", f"from gallerist.tracking_store import prepare\n"
         f"prepare({store.uri!r}, None, ['mine', 'mine/stages'])"],
    )  # fmt: skip
    wait_for(lambda: any(path.stat().st_size for path in folder.glob(".*.db")))
    process.kill()
    process.wait()
    assert not (folder / "mlflow.db").exists()
    prepare(store.uri, store.artifact_root, ["mine", "mine/stages"])
    assert Runs(tmp_path).experiments() == ["Default", "mine", "mine/stages"]


def test_a_store_that_is_ready_costs_no_import_of_mlflow(store, results):
    code = (
        "import sys; from gallerist.tracking_store import prepare; "
        f"prepare({store.uri!r}, None, ['first', 'first/stages']); print('mlflow' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert answer.stdout == "False\n"
    assert answer.stderr == ""


def test_an_experiment_deleted_in_mlflow_comes_back(client, store, dataset, results):
    client.delete_experiment(client.get_experiment_by_name(dataset).experiment_id)
    prepare(store.uri, store.artifact_root, [dataset, f"{dataset}/stages"])
    assert client.get_experiment_by_name(dataset).lifecycle_stage == "active"


# --- one record


def test_a_record_is_logged_whole(client, dataset, results, tmp_path):
    (tmp_path / "picture.png").write_bytes(b"png")
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "a.txt").write_text("a")
    record = a_record(
        dataset,
        artifacts=(
            Artifact(str(tmp_path / "picture.png"), "pictures"),
            Artifact(str(tmp_path / "maps")),
        ),
    )
    assert log_record(client, record)
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert (run["name"], run["status"]) == ("train_network scratch", "FINISHED")
    assert run["times"] == (1767261600000, 1767261610500)
    assert run["parameters"] == {
        "epochs": "3", "learning_rate": "0.0001", "weights": "None", "frozen": "True",
    }  # fmt: skip
    assert run["points"] == [
        ("accuracy", 1, 0.5, 0), ("accuracy", 2, 0.75, 0),
        ("loss", 1, 2.0, 0), ("loss", 2, 1.5, 0), ("loss", 3, 1.25, 0),
        ("seconds", 0, 10.5, 0), ("top_1", 0, 0.25, 0),
    ]  # fmt: skip
    assert run["artifacts"] == ["maps/a.txt", "pictures/picture.png", "run.json"]
    assert run["datasets"] == [
        (f"{dataset} gallery", "e" * 36, '{"uri": "results/m.csv"}', '{"images": 600}')
    ]
    assert (
        run["tags"]
        | {
            "current": "true",
            "mlflow.runName": "train_network scratch",
            "mlflow.source.git.commit": "c" * 40,
            "gallerist.git_dirty": "false",
            "gallerist.dataset": dataset,
            "gallerist.stage": "train_network",
            "gallerist.experiment": "scratch",
            "gallerist.execution": record.execution,
            "gallerist.host": host(),
            "gallerist.pid": str(os.getpid()),
            "version.python": "3.11.7",
            "weights": "random",
        }
        == run["tags"]
    )


def test_a_record_is_logged_once(client, dataset, results):
    record = a_record(dataset)
    assert [log_record(client, record) for _ in range(3)] == [True, False, False]
    assert len(Runs(results).of(f"{dataset}/stages")) == 1


def test_a_comparison_goes_to_the_experiment_of_its_data_set(client, dataset, results):
    log_record(client, a_record(dataset, destination="comparison", title="scratch"))
    assert [run["name"] for run in Runs(results).of(dataset)] == ["scratch"]
    assert Runs(results).of(f"{dataset}/stages") == []


def test_long_values_are_cut_and_odd_names_replaced(client, dataset, results):
    record = a_record(
        dataset, parameters={"long": "x" * 7000, "empty": ""}, metrics={"recall@5 (%)": 50.0}
    )
    log_record(client, record)
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert len(run["parameters"]["long"]) == 6000
    assert run["parameters"]["long"].endswith("cut from 7000 characters: the record has them all)")
    assert run["parameters"]["empty"] == ""
    assert run["shown"]["recall_5 ___"] == 50.0


def test_a_diverged_loss_is_shown_as_such_once(client, dataset, results):
    record = a_record(dataset, curves={"loss": [(1, math.nan), (2, math.inf)]})
    opened = open_run(client, running(record))
    client.log_metric(opened, "loss", math.nan, 1, 1)
    client.log_metric(opened, "loss", math.inf, 2, 2)
    log_record(client, record)
    (run,) = Runs(results).of(f"{dataset}/stages")
    loss = [point for point in run["points"] if point[0] == "loss"]
    assert loss == [("loss", 1, 0.0, 1), ("loss", 2, sys.float_info.max, 0)]


@pytest.mark.parametrize("outcome", [0.9, 0.1])
def test_a_metric_named_like_a_curve_is_what_mlflow_shows(client, dataset, results, outcome):
    record = a_record(dataset, metrics={"top_1": outcome}, curves={"top_1": [(1, 0.3), (2, 0.5)]})
    log_record(client, record)
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert run["shown"]["top_1"] == outcome


def test_a_run_left_open_is_completed_and_not_doubled(client, dataset, results):
    record = a_record(dataset)
    opened = open_run(client, running(record))
    client.log_metric(opened, "loss", 2.0, 5, 1)
    assert log_record(client, record)
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert (run["id"], run["status"]) == (opened, "FINISHED")
    assert [point[1:3] for point in run["points"] if point[0] == "loss"] == [
        (1, 2.0), (2, 1.5), (3, 1.25),
    ]  # fmt: skip


def test_a_parameter_that_changed_on_the_way_replaces_the_run(client, dataset, results):
    record = a_record(dataset)
    opened = open_run(client, replace(running(record), parameters={"weights": "auto"}))
    log_record(client, record)
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert run["id"] != opened
    assert run["parameters"]["weights"] == "None"


def test_a_failed_record_ends_failed_with_its_reason_and_is_never_current(client, dataset, results):
    record = a_record(dataset, status="failed", error="no picture could be read")
    assert [log_record(client, record) for _ in range(2)] == [True, False]
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert (run["status"], run["tags"]["current"]) == ("FAILED", "false")
    assert run["tags"]["mlflow.note.content"] == "Failed: no picture could be read"


def test_a_new_execution_takes_over_from_the_one_it_replaces_only(client, dataset, results):
    old, new = a_record(dataset, title="old"), a_record(dataset, title="new")
    others = [
        a_record(dataset, title="other network", experiment="resnet"),
        a_record(dataset, title="other part", part="query"),
        a_record(dataset, title="other stage", stage="evaluate_retrieval"),
    ]
    failed = a_record(dataset, title="failed", status="failed", error="x")
    for record in (old, *others, new, failed):
        log_record(client, record)
    current = {run["name"]: run["tags"]["current"] for run in Runs(results).of(f"{dataset}/stages")}
    assert current == {
        "old": "false", "other network": "true", "other part": "true", "other stage": "true",
        "new": "true", "failed": "false",
    }  # fmt: skip


def test_artifacts_that_could_not_be_copied_come_with_the_next_try(tmp_path):
    store = store_in(tmp_path)
    record = a_record("mine")
    blocking = tmp_path / "mlflow" / "artifacts"
    blocking.parent.mkdir()
    blocking.write_text("a file where the folder should be")
    prepare(store.uri, store.artifact_root, ["mine", "mine/stages"])
    with pytest.raises(OSError, match="artifacts"):
        log_record(connect(store.uri), record)
    blocking.unlink()
    assert sync(store.uri, store.artifact_root, [record]) == 1
    (run,) = Runs(tmp_path).of("mine/stages")
    assert (run["status"], run["artifacts"]) == ("FINISHED", ["run.json"])
    assert len(run["points"]) == 7


def test_variables_left_in_a_shell_hijack_nothing(monkeypatch, results, dataset, store):
    victim = a_record(dataset, title="victim")
    prepare(store.uri, store.artifact_root, [dataset, f"{dataset}/stages"])
    log_record(connect(store.uri), victim)
    before = Runs(results).of(f"{dataset}/stages")
    for name, value in {
        "MLFLOW_RUN_ID": before[0]["id"],
        "MLFLOW_EXPERIMENT_NAME": "elsewhere",
        "MLFLOW_EXPERIMENT_ID": "0",
        "MLFLOW_ACTIVE_MODEL_ID": "m-1234",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    tracker = Tracker(store)
    record = a_record(dataset, title="mine", part="gallery")
    tracker.open(running(record))
    tracker.points(1, {"loss": 2.0})
    assert tracker.close([record])
    after = Runs(results).of(f"{dataset}/stages")
    assert [run for run in after if run["name"] == "victim"] == before
    assert {run["name"] for run in after} == {"victim", "mine"}
    assert "elsewhere" not in Runs(results).experiments()
    assert Runs(results).query(
        "SELECT count(*) FROM metrics WHERE run_uuid = ?", before[0]["id"]
    ) == [(len(before[0]["points"]),)]


# --- a stage at work


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it never happened")


def test_curves_are_seen_while_the_stage_is_at_work(results, dataset, store):
    record = a_record(dataset)
    tracker = Tracker(store)
    tracker.open(running(record))
    tracker.points(1, {"loss": 2.0, "accuracy": 0.5})

    def seen():
        runs = Runs(results).of(f"{dataset}/stages")
        return runs[0] if runs and len(runs[0]["points"]) == 2 else None

    run = wait_for(seen)
    assert run["status"] == "RUNNING"
    assert run["shown"] == {"loss": 2.0, "accuracy": 0.5}
    assert run["parameters"]["epochs"] == "3"
    assert tracker.close([record])
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert run["status"] == "FINISHED"
    assert [point[:3] for point in run["points"] if point[0] == "loss"] == [
        ("loss", 1, 2.0), ("loss", 2, 1.5), ("loss", 3, 1.25),
    ]  # fmt: skip


STAGE = """
import os, sys, time
sys.path.insert(0, {tests!r})
from test_tracking import Tracker, a_record, running, store_in
tracker = Tracker(store_in({results!r}))
tracker.open(running(a_record({dataset!r})))
if {forks!r} and os.fork() == 0:
    time.sleep(600)
print("open", flush=True)
time.sleep(600)
"""


def started_stage(results, dataset, forks=False):
    code = STAGE.format(
        tests=str(Path(__file__).parent), results=str(results), dataset=dataset, forks=forks
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
    )
    process.stdout.readline()
    wait_for(lambda: [run for run in runs_or_none(results, dataset) if run["parameters"]])
    return process


def runs_or_none(results, dataset):
    return Runs(results).of(f"{dataset}/stages")


@pytest.mark.parametrize("forks", [False, True], ids=["alone", "with a forked worker"])
def test_a_killed_stage_ends_failed_by_itself(results, dataset, forks):
    process = started_stage(results, dataset, forks)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = wait_for(
        lambda: next(
            (r for r in Runs(results).of(f"{dataset}/stages") if r["status"] != "RUNNING"), None
        )
    )
    os.killpg(process.pid, signal.SIGKILL) if forks else None
    assert run["status"] == "FAILED"
    assert "killed or crashed" in run["tags"]["mlflow.note.content"]


def test_a_stage_killed_with_everything_around_it_is_reaped(results, dataset, store):
    process = started_stage(results, dataset)
    children = psutil.Process(process.pid).children()
    assert len(children) == 1
    for victim in children:
        victim.suspend()  # it is not to notice
    process.send_signal(signal.SIGKILL)
    process.wait()
    for victim in children:
        victim.kill()
    assert [run["status"] for run in Runs(results).of(f"{dataset}/stages")] == ["RUNNING"]
    assert reap(store.uri, [f"{dataset}/stages"]) == 1
    assert reap(store.uri, [f"{dataset}/stages"]) == 0
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert (run["status"], run["tags"]["current"]) == ("FAILED", "false")
    assert run["tags"]["gallerist.reaped"] == "true"


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
    assert not {"mlflow.note.content", "gallerist.reaped"} & set(run["tags"])


def test_a_locked_database_is_waited_for(results, dataset, store):
    record = a_record(dataset)
    tracker = Tracker(store)
    tracker.open(running(record))
    wait_for(lambda: Runs(results).of(f"{dataset}/stages"))
    lock = sqlite3.connect(Runs(results).database, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(2.0, lambda: None)
    with ThreadPoolExecutor(1) as pool:
        closed = pool.submit(tracker.close, [record])
        release.start()
        release.join()
        assert not closed.done()
        lock.execute("COMMIT")
        lock.close()
        assert closed.result() is True
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert run["status"] == "FINISHED"


# --- when MLflow is not there


@contextmanager
def silent_server():
    """Accepts connections and never answers one."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_server_that_never_answers_delays_a_stage_by_its_patience_only(dataset, caplog):
    record = a_record(dataset)
    with silent_server() as uri:
        begun = time.monotonic()
        tracker = Tracker(Store(uri, None, patience=2.0))
        tracker.open(running(record))
        for step in range(5000):  # more than fits into the pipe that nobody empties
            tracker.points(step, {"loss": 1.0, "accuracy": 0.5})
        before_close = time.monotonic() - begun
        with caplog.at_level(logging.WARNING):
            assert tracker.close([record]) is False
        taken = time.monotonic() - begun
    # Not a measurement: the bounds are those of a hang, far above what it takes.
    assert before_close < 10
    assert taken - before_close < 12
    assert "did not answer within 2 s" in caplog.text
    assert "the next start of the workflow logs it" in caplog.text
    assert not [child for child in psutil.Process().children() if is_scribe(child)]


def is_scribe(process):
    try:
        return "gallerist.tracking_process" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def test_a_server_that_is_gone_is_a_warning(dataset, caplog, tmp_path):
    store = Store(f"http://127.0.0.1:{free_port()}", None, patience=60.0)
    tracker = Tracker(store)
    tracker.open(running(a_record(dataset)))
    with caplog.at_level(logging.WARNING):
        assert tracker.close([a_record(dataset)]) is False
        assert refresh(store, dataset, tmp_path) is None
    assert caplog.text.count("could not be reached") == 2


def test_a_database_that_is_rubbish_is_a_warning(tmp_path, caplog):
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_text("this is no database, and that is that" * 100)
    tracker = Tracker(store_in(tmp_path))
    tracker.open(running(a_record("mine")))
    with caplog.at_level(logging.WARNING):
        assert tracker.close([a_record("mine")]) is False
    assert "not a database" in caplog.text


# --- rebuilding it from the files


def test_a_deleted_database_is_rebuilt_from_the_records(tmp_path):
    results = tmp_path / "results"
    store = store_in(results)
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"png")
    records = [
        a_record("mine", artifacts=(Artifact(str(picture), "pictures"),)),
        a_record(
            "mine", experiment="resnet", title="train_network resnet", metrics={"a": math.nan}
        ),
        a_record("mine", stage="experiment", destination="comparison", title="scratch"),
    ]
    for number, record in enumerate(records):
        write_record(results / "mine" / f"{number}.record.json", record)
        tracker = Tracker(store)
        tracker.open(running(record))
        tracker.points(1, {"loss": 2.0})
        assert tracker.close([record])
    before = {name: list(map(content, Runs(results).of(name))) for name in ("mine", "mine/stages")}
    assert [len(runs) for runs in before.values()] == [1, 2]
    Runs(results).database.unlink()
    assert refresh(store, "mine", results) == 3
    after = {name: list(map(content, Runs(results).of(name))) for name in ("mine", "mine/stages")}
    assert by_execution(after) == by_execution(before)
    assert refresh(store, "mine", results) == 0
    assert len(Runs(results).of("mine/stages")) == 2


def by_execution(runs_of):
    return {
        (name, run["tags"]["gallerist.execution"]): run
        for name, runs in runs_of.items()
        for run in runs
    }


def test_sync_logs_what_was_missed_and_the_last_finished_becomes_current(
    client, dataset, store, results
):
    def at(hour, **changes):
        moment = f"2026-01-01T{hour:02d}:00:00+00:00"
        return a_record(dataset, started=moment, finished=moment, title=str(hour), **changes)

    missed, seen, failed = at(9), at(11), at(13, status="failed", error="x")
    log_record(client, seen)
    assert sync(store.uri, store.artifact_root, [failed, seen, missed]) == 2
    assert sync(store.uri, store.artifact_root, [missed, failed, seen]) == 0
    current = {run["name"]: run["tags"]["current"] for run in Runs(results).of(f"{dataset}/stages")}
    assert current == {"9": "false", "11": "true", "13": "false"}


def test_a_run_that_somebody_deleted_in_mlflow_stays_deleted(client, dataset, store, results):
    record = a_record(dataset)
    log_record(client, record)
    client.delete_run(Runs(results).of(f"{dataset}/stages")[0]["id"])
    assert sync(store.uri, store.artifact_root, [record]) == 0
    assert Runs(results).of(f"{dataset}/stages") == []


def test_one_record_that_mlflow_refuses_holds_up_no_other(client, dataset, store, results, caplog):
    refused = a_record(dataset, title="refused", metrics={"too//odd": 1.0})
    good = a_record(dataset, title="good")
    with caplog.at_level(logging.WARNING):
        assert sync(store.uri, store.artifact_root, [refused, good]) == 1
    assert "refused is not in MLflow yet" in caplog.text


def test_records_that_mlflow_refuses_in_a_row_end_the_attempt(client, dataset, store):
    refused = [a_record(dataset, metrics={"too//odd": 1.0}, part=str(i)) for i in range(5)]
    with pytest.raises(TrackingError, match="refused 3 records in a row"):
        sync(store.uri, store.artifact_root, refused)


# --- a real server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An MLflow server on a free port of this machine: its address, and its folder of artifacts."""
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server"),
                *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{folder}/server.db"),
                *("--artifacts-destination", str(folder / "artifacts")),
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
        try:
            wait_for(lambda: answers(uri), 120)
            yield uri, folder / "artifacts"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(uri):
    try:
        return requests.get(f"{uri}/health", timeout=2).ok
    except requests.RequestException:
        return False


def test_a_server_gets_what_was_missed_once_and_live_runs_too(server, dataset, tmp_path):
    uri, artifacts = server
    store = Store(uri, artifact_root_of(uri, tmp_path), patience=60.0)
    missed = a_record(dataset, metrics={"a": math.nan, "b": math.inf}, parameters={"empty": ""})
    write_record(tmp_path / "missed.record.json", missed)
    assert refresh(store, dataset, tmp_path) == 1
    assert refresh(store, dataset, tmp_path) == 0

    picture = tmp_path / "picture.png"
    picture.write_bytes(b"png")
    record = a_record(dataset, title="live", artifacts=(Artifact(str(picture), "pictures"),))
    tracker = Tracker(store)
    tracker.open(running(record))
    tracker.points(1, {"loss": 2.0})
    assert tracker.close([record])

    api = f"{uri}/api/2.0/mlflow"
    experiment = requests.get(
        f"{api}/experiments/get-by-name",
        params={"experiment_name": f"{dataset}/stages"},
        timeout=30,
    ).json()["experiment"]
    runs = requests.post(
        f"{api}/runs/search", json={"experiment_ids": [experiment["experiment_id"]]}, timeout=30
    ).json()["runs"]
    assert sorted(run["info"]["run_name"] for run in runs) == ["live", "train_network scratch"]
    assert {run["info"]["status"] for run in runs} == {"FINISHED"}
    (live,) = (run for run in runs if run["info"]["run_name"] == "live")
    current = {
        run["info"]["run_name"]: tag["value"]
        for run in runs
        for tag in run["data"]["tags"]
        if tag["key"] == "current"
    }
    assert current == {"live": "true", "train_network scratch": "false"}
    history = requests.get(
        f"{api}/metrics/get-history",
        params={"run_id": live["info"]["run_id"], "metric_key": "loss"},
        timeout=30,
    ).json()["metrics"]
    assert [(point["step"], point["value"]) for point in history] == [(1, 2.0), (2, 1.5), (3, 1.25)]
    assert [path.name for path in artifacts.rglob("picture.png")] == ["picture.png"]
