"""Tracking a stage: never in the way, and right in the end.

Real processes, really killed; a real MLflow server; servers that are gone or never answer.
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
from contextlib import contextmanager

import psutil
import pytest
import requests
from gallerist.tracking.tracker import Store, Tracker, refresh
from tracked import Runs, a_record, content, environment, free_port, running, store_in, wait_for

from gallerist.records.history import History
from gallerist.records.provenance import process_started
from gallerist.records.record import Artifact, find_records, write_record
from gallerist.tracking.pruning import prune
from gallerist.tracking.runs import log_record, open_run, sync
from gallerist.tracking.store import (
    artifact_root_of,
    connect,
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


def test_eight_processes_set_up_one_fresh_store_and_log_a_run_each(tmp_path):
    """Seven or eight of eight fail when MLflow is left to itself."""
    store = store_in(tmp_path / "results of ä #1 100%")
    records = [a_record("mine", part=f"part {i}") for i in range(8)]
    trackers = [Tracker(store) for _ in records]
    for tracker, record in zip(trackers, records, strict=True):
        tracker.open(running(record))
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda tracker, record: tracker.close([record]), trackers, records))
    assert done == [True] * 8
    runs = Runs(tmp_path / "results of ä #1 100%")
    assert runs.experiments() == ["Default", "mine", "mine/stages"]
    logged = runs.of("mine/stages")
    assert [run["status"] for run in logged] == ["FINISHED"] * 8
    assert {run["tags"]["gallerist.execution"] for run in logged} == {r.execution for r in records}
    assert {run["tags"]["current"] for run in logged} == {"true"}


def test_curves_are_seen_while_the_stage_is_at_work(results, dataset, store):
    record = a_record(dataset)
    tracker = Tracker(store)
    tracker.open(running(record))
    tracker.points(1, {"loss": 2.0, "accuracy": 0.5})

    def seen():
        runs = Runs(results).of(f"{dataset}/stages")
        # Read in several questions, so the parameters of one answer can be older than its points.
        shown = runs and len(runs[0]["points"]) == 2 and runs[0]["parameters"]
        return runs[0] if shown else None

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
import os, time
from gallerist.tracking.tracker import Tracker
from tracked import a_record, running, store_in
tracker = Tracker(store_in({results!r}))
tracker.open(running(a_record({dataset!r})))
if {forks!r} and os.fork() == 0:
    time.sleep(600)
print("open", flush=True)
time.sleep(600)
"""


def started_stage(results, dataset, forks=False):
    code = STAGE.format(results=str(results), dataset=dataset, forks=forks)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=environment(),
    )
    process.stdout.readline()
    wait_for(lambda: [run for run in Runs(results).of(f"{dataset}/stages") if run["parameters"]])
    return process


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
    if forks:
        os.killpg(process.pid, signal.SIGKILL)
    assert run["status"] == "FAILED"
    assert "killed or crashed" in run["tags"]["mlflow.note.content"]


def kill_with_its_scribe(process):
    """End a stage and the process beside it, so that neither can say a last word."""
    children = psutil.Process(process.pid).children()
    assert len(children) == 1
    for victim in children:
        victim.suspend()  # it is not to notice
    process.send_signal(signal.SIGKILL)
    process.wait()
    for victim in children:
        victim.kill()


def test_a_stage_killed_with_everything_around_it_is_reaped(results, dataset, store):
    kill_with_its_scribe(started_stage(results, dataset))
    assert [run["status"] for run in Runs(results).of(f"{dataset}/stages")] == ["RUNNING"]
    assert reap(store.uri, [f"{dataset}/stages"]) == 1
    assert reap(store.uri, [f"{dataset}/stages"]) == 0
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert (run["status"], run["tags"]["current"]) == ("FAILED", "false")
    assert run["tags"]["gallerist.reaped"] == "true"


def test_the_next_start_ends_what_was_killed_here_and_nothing_else(
    client, results, dataset, store, tmp_path
):
    killed = started_stage(results, dataset)
    kill_with_its_scribe(killed)
    (opened,) = Runs(results).of(f"{dataset}/stages")
    alive = started_stage(results, f"{dataset}_alive")
    gone = {
        "pid": int(opened["tags"]["gallerist.pid"]),
        "process_started": float(opened["tags"]["gallerist.process_started"]),
    }
    open_run(client, running(a_record(dataset, title="another host's", host="elsewhere", **gone)))
    later = {"pid": alive.pid, "process_started": process_started(alive.pid) - 100.0}
    open_run(client, running(a_record(dataset, title="its pid has another process", **later)))
    try:
        assert refresh(store, dataset, tmp_path) == 0
        assert {run["name"]: run["status"] for run in Runs(results).of(f"{dataset}/stages")} == {
            "train_network scratch": "FAILED",
            "another host's": "RUNNING",
            "its pid has another process": "FAILED",
        }
        (run,) = Runs(results).of(f"{dataset}_alive/stages")
        assert run["status"] == "RUNNING"
    finally:
        alive.kill()
        alive.wait()


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


@contextmanager
def silent_server():
    """Accepts connections and never answers one."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


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
        return "gallerist.tracking.process" in process.cmdline()
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


def by_execution(runs_of):
    return {
        (name, run["tags"]["gallerist.execution"]): run
        for name, runs in runs_of.items()
        for run in runs
    }


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
    tracker = Tracker(store)
    tracker.open(running(records[0]))
    tracker.points(1, {"loss": 2.0})
    assert tracker.close([records[0]])
    for number, record in enumerate(records):
        write_record(results / "mine" / f"{number}.record.json", record)
    assert refresh(store, "mine", results) == 2
    before = {name: list(map(content, Runs(results).of(name))) for name in ("mine", "mine/stages")}
    assert [len(runs) for runs in before.values()] == [1, 2]
    Runs(results).database.unlink()
    assert refresh(store, "mine", results) == 3
    after = {name: list(map(content, Runs(results).of(name))) for name in ("mine", "mine/stages")}
    assert by_execution(after) == by_execution(before)
    assert sync(store.uri, store.artifact_root, find_records(results)) == 0
    assert [len(Runs(results).of(name)) for name in before] == [1, 2]


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
    points = sorted((point["step"], point["value"]) for point in history)
    assert points == [(1, 2.0), (2, 1.5), (3, 1.25)]
    assert [path.name for path in artifacts.rglob("picture.png")] == ["picture.png"]


def test_on_a_server_the_dead_of_other_data_sets_are_left_to_those(server, dataset, tmp_path):
    """There may be no right to change them, and then nothing else would be brought up to date."""
    uri, _ = server
    store = Store(uri, None, patience=60.0)
    client = connect(uri)
    prepare(uri, None, [dataset, f"{dataset}/stages"])
    dead = open_run(client, running(a_record(dataset, process_started=1.0)))
    assert refresh(store, f"not {dataset}", tmp_path) == 0
    assert client.get_run(dead).info.status == "RUNNING"
    assert refresh(store, dataset, tmp_path) == 0
    assert client.get_run(dead).info.status == "FAILED"


def test_pruning_on_a_server_leaves_the_last_step_to_the_server(server, dataset, tmp_path):
    uri, _ = server
    store = Store(uri, artifact_root_of(uri, tmp_path), patience=60.0)
    for hour in (10, 11):
        picture = tmp_path / "worst.png"
        picture.write_bytes(b"png %d" % hour)
        moment = f"2026-01-01T{hour}:00:00.000+00:00"
        shown = (Artifact(str(picture), "pictures"),)
        record = a_record(dataset, started=moment, finished=moment, artifacts=shown)
        History.of(tmp_path).keep(record)
    assert refresh(store, dataset, tmp_path) == 2
    pruned = prune(store, dataset, tmp_path)
    assert pruned.runs == {dataset: 0, f"{dataset}/stages": 1}
    assert "`mlflow gc`" in str(pruned)
    client = connect(uri)
    (run,) = client.search_runs([client.get_experiment_by_name(f"{dataset}/stages").experiment_id])
    assert run.data.tags["gallerist.execution"] == record.execution
    assert [entry.record for entry in History.of(tmp_path).entries()] == [record]
    assert refresh(store, dataset, tmp_path) == 0
    assert prune(store, dataset, tmp_path).runs == {dataset: 0, f"{dataset}/stages": 0}
