"""The writer beside a workflow: never in the way, late or killed without loss, nothing twice.

Real processes, really killed; a real MLflow server; servers that are gone or never answer.
"""

import logging
import math
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace

import psutil
import pytest
import requests
from tracked import Runs, a_record, content, environment, free_port, running, store_in, wait_for

from gallerist.records.history import History
from gallerist.records.provenance import process_started
from gallerist.records.record import Artifact, find_records, write_record
from gallerist.tracking import sync as sync_module
from gallerist.tracking.client import connect
from gallerist.tracking.pruning import prune
from gallerist.tracking.runs import log_record, sync
from gallerist.tracking.store import (
    Busy,
    Store,
    TrackingError,
    artifact_root_of,
    exclusive,
)
from gallerist.tracking.sync import WorkflowWriter, refresh
from gallerist.tracking.writer import Writer


def begun(results, dataset, uri=None, patience=60):
    """The writer of a workflow that begins."""
    config = {"dataset": {"name": dataset}, "tracking": {"uri": uri, "patience": patience}}
    return WorkflowWriter(config, results)


def history_of(results, dataset):
    return History(results / dataset)


def shown(results, dataset):
    """The runs of the jobs of a data set, as far as there are any."""
    database = Runs(results).database
    return Runs(results).of(f"{dataset}/stages") if database.exists() else []


STAGE = """
import json, os, sys, time
from types import SimpleNamespace as Values
from gallerist.workflow.stage import stage
dataset, then = sys.argv[1:]
job = Values(
    rule="train_network", threads=1, input=[], resources=Values(),
    output=Values(record=f"results/{dataset}/model.record.json"), params=Values(epochs=3),
    wildcards=Values(experiment="scratch"), log=[f"logs/{dataset}.log"],
    config={"dataset": {"name": dataset}, "tracking": {"uri": None, "patience": 60}},
)
with stage(job) as run:
    run.curve_point(1, loss=2.0, accuracy=0.5)
    if then == "fork" and os.fork() == 0:
        time.sleep(600)
    if then != "end":
        time.sleep(600)
    import psutil
    run.tag(mlflow="mlflow" in sys.modules, processes=len(psutil.Process().children()))
    run.curve_point(2, loss=1.5, accuracy=0.75)
"""


def started_stage(results, dataset, then="wait"):
    """A stage at work, which has reported an epoch."""
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE, dataset, then],
        cwd=results.parent,
        start_new_session=True,
        env={**environment(), "GIT_CEILING_DIRECTORIES": str(results.parents[1])},
    )

    def has_a_point():
        return any(record.curves for record in history_of(results, dataset).at_work())

    if then != "end":
        wait_for(has_a_point)
    return process


def test_four_processes_set_up_one_fresh_store_and_log_a_run_each(tmp_path):
    """Nearly all fail when MLflow is left to itself. Eight at once: the slow tests of a server."""
    results = tmp_path / "results of ä #1 100%"
    datasets = [f"d{number}" for number in range(4)]
    for dataset in datasets:
        write_record(results / dataset / "x.record.json", a_record(dataset))
    with ThreadPoolExecutor(8) as pool:
        logged = pool.map(lambda name: refresh(store_in(results), name, results / name), datasets)
        assert list(logged) == [1] * 4
    runs = Runs(results)
    names = [name for dataset in datasets for name in (dataset, f"{dataset}/stages")]
    assert runs.experiments() == ["Default", *names]
    for dataset in datasets:
        (run,) = runs.of(f"{dataset}/stages")
        assert (run["status"], run["tags"]["current"]) == ("FINISHED", "true")


def test_a_curve_is_seen_within_three_seconds_while_the_stage_is_at_work(results, dataset):
    writer, history = begun(results, dataset), history_of(results, dataset)
    wait_for(lambda: f"{dataset}/stages" in Runs(results).experiments())
    record = a_record(dataset)
    opening = running(record)
    history.begin(opening)
    wait_for(lambda: shown(results, dataset))
    for epoch in (1, 2):
        reported = time.monotonic()
        history.add(opening, curves={"loss": [(epoch, 2.0)], "accuracy": [(epoch, 0.5)]})
        run = wait_for(
            lambda expected=2 * epoch: next(
                (run for run in shown(results, dataset) if len(run["points"]) == expected), None
            )
        )
        assert time.monotonic() - reported < 3
    assert run["status"] == "RUNNING"
    assert run["shown"] == {"loss": 2.0, "accuracy": 0.5}
    assert run["parameters"]["epochs"] == "3"
    history.keep(record)
    wait_for(lambda: shown(results, dataset)[0]["status"] == "FINISHED")
    assert writer.close()
    (run,) = shown(results, dataset)
    assert [point[:3] for point in run["points"] if point[0] == "loss"] == [
        ("loss", 1, 2.0), ("loss", 2, 1.5), ("loss", 2, 2.0), ("loss", 3, 1.25),
    ]  # fmt: skip


def test_a_stage_leaves_files_only_and_is_shown_by_whoever_comes(results, dataset, store):
    """Run by hand, beside no workflow: MLflow is neither imported nor is a process started."""
    assert started_stage(results, dataset, "end").wait(60) == 0
    assert shown(results, dataset) == []
    assert refresh(store, dataset, results / dataset) == 1
    (run,) = shown(results, dataset)
    assert (run["status"], run["tags"]["current"]) == ("FINISHED", "true")
    assert (run["tags"]["mlflow"], run["tags"]["processes"]) == ("False", "0")
    assert run["shown"]["loss"] == 1.5


@pytest.mark.parametrize("then", ["wait", "fork"], ids=["alone", "with a forked worker"])
def test_a_killed_stage_is_failed_while_the_workflow_is_at_work(results, dataset, then):
    writer, process = begun(results, dataset), started_stage(results, dataset, then)
    wait_for(lambda: shown(results, dataset))
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = wait_for(
        lambda: next((r for r in shown(results, dataset) if r["status"] != "RUNNING"), None)
    )
    if then == "fork":
        os.killpg(process.pid, signal.SIGKILL)
    assert run["status"] == "FAILED"
    assert writer.close()
    (run,) = shown(results, dataset)
    assert "killed or crashed" in run["tags"]["mlflow.note.content"]
    assert run["shown"]["loss"] == 2.0


def test_a_stage_of_another_machine_that_was_killed_is_failed_when_the_workflow_ends(
    results, dataset, store
):
    """Nothing is known of its process, but no job is at work any more."""
    history = history_of(results, dataset)
    record = a_record(dataset, host="another-machine", pid=1)
    history.begin(running(record))
    writer = begun(results, dataset)
    wait_for(lambda: shown(results, dataset))
    assert refresh(store, dataset, results / dataset) == 0  # which does not end the workflow
    assert [run["status"] for run in shown(results, dataset)] == ["RUNNING"]
    assert writer.close()
    assert [run["status"] for run in shown(results, dataset)] == ["FAILED"]
    assert history.at_work() == []
    # Were it alive after all, its own word would count.
    history.keep(record)
    assert refresh(store, dataset, results / dataset) == 1
    assert [run["status"] for run in shown(results, dataset)] == ["FINISHED"]


def kill_with_its_writer(process, writer):
    """End a stage and the writer of its workflow, so that neither can do anything about it."""
    os.kill(writer.process.pid, signal.SIGKILL)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not writer.close()


def test_a_stage_killed_with_everything_around_it_is_ended_later(results, dataset, store):
    writer, process = begun(results, dataset), started_stage(results, dataset)
    wait_for(lambda: shown(results, dataset) and shown(results, dataset)[0]["points"])
    kill_with_its_writer(process, writer)
    assert [run["status"] for run in shown(results, dataset)] == ["RUNNING"]
    assert [refresh(store, dataset, results / dataset) for _ in range(2)] == [1, 0]
    (run,) = shown(results, dataset)
    assert (run["status"], run["tags"]["current"]) == ("FAILED", "false")


def test_the_next_start_ends_what_was_killed_here_and_nothing_else(client, results, dataset, store):
    writer, killed = begun(results, dataset), started_stage(results, dataset)
    wait_for(lambda: shown(results, dataset) and shown(results, dataset)[0]["points"])
    kill_with_its_writer(killed, writer)
    (opened,) = shown(results, dataset)
    beside, alive = begun(results, f"{dataset}_alive"), started_stage(results, f"{dataset}_alive")
    wait_for(lambda: shown(results, f"{dataset}_alive"))
    gone = {
        "pid": int(opened["tags"]["gallerist.pid"]),
        "process_started": float(opened["tags"]["gallerist.process_started"]),
    }
    later = {"pid": alive.pid, "process_started": process_started(alive.pid) - 100.0}
    for title, process in {
        "another host's": {"host": "elsewhere", **gone},
        "its pid has another process": later,
        "not known": {"process_started": None},
    }.items():
        history_of(results, dataset).begin(running(a_record(dataset, title=title, **process)))
    somebodys = client.create_run(
        client.get_experiment_by_name(dataset).experiment_id, run_name="not ours"
    )
    try:
        assert refresh(store, dataset, results / dataset) == 2
        assert {run["name"]: run["status"] for run in shown(results, dataset)} == {
            "train_network scratch": "FAILED",
            "another host's": "RUNNING",
            "its pid has another process": "FAILED",
            "not known": "RUNNING",
        }
        assert client.get_run(somebodys.info.run_id).info.status == "RUNNING"
        (run,) = shown(results, f"{dataset}_alive")
        assert run["status"] == "RUNNING"
    finally:
        alive.kill()
        alive.wait()
        beside.close()


WORKFLOW = """
import sys, time
from pathlib import Path
from gallerist.tracking.sync import WorkflowWriter
dataset, results = sys.argv[1:]
config = {"dataset": {"name": dataset}, "tracking": {"uri": None, "patience": 60}}
writer = WorkflowWriter(config, results)
print(writer.process.pid, flush=True)
time.sleep(600)
"""


def test_the_writer_of_a_killed_workflow_looks_once_more_and_ends(results, dataset):
    workflow = subprocess.Popen(
        [sys.executable, "-c", WORKFLOW, dataset, str(results)],
        stdout=subprocess.PIPE,
        env=environment(),
    )
    pid = int(workflow.stdout.readline())
    history, record = history_of(results, dataset), a_record(dataset)
    history.begin(running(record))
    wait_for(lambda: shown(results, dataset))
    os.kill(pid, signal.SIGSTOP)  # so that it cannot have seen the end of the stage before
    history.keep(record)
    workflow.kill()
    # The writer does not keep open what the workflow was writing to.
    assert workflow.communicate(timeout=10) == (b"", None)
    os.kill(pid, signal.SIGCONT)
    wait_for(lambda: process_started(pid) is None)
    assert [run["status"] for run in shown(results, dataset)] == ["FINISHED"]


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_loses_nothing_and_doubles_nothing(results, dataset, store):
    history = history_of(results, dataset)
    records = [a_record(dataset, part=f"part {number}") for number in range(12)]

    def work():
        for record in records:
            opening = running(record)
            history.begin(opening)
            for name, points in record.curves.items():
                for point in points:
                    history.add(opening, curves={name: [point]})
                    time.sleep(0.05)
            history.keep(record)

    thread = threading.Thread(target=work)
    thread.start()
    chance = random.Random(7)
    for _ in range(4):
        writer, before = begun(results, dataset), len(shown(results, dataset))
        wait_for(lambda known=before: known < len(shown(results, dataset)) or known == 12)
        time.sleep(chance.uniform(0, 0.5))
        os.kill(writer.process.pid, signal.SIGKILL)
        assert not writer.close()
    thread.join()
    assert begun(results, dataset).close()
    runs = shown(results, dataset)
    assert len(runs) == len(records)
    for record in records:
        (run,) = (r for r in runs if r["tags"]["gallerist.execution"] == record.execution)
        assert (run["status"], run["tags"]["current"]) == ("FINISHED", "true")
        assert len(run["points"]) == 7
    assert refresh(store, dataset, results / dataset) == 0


def test_two_writers_at_once_show_everything_once(results, dataset, store):
    first, second = begun(results, dataset), begun(results, dataset)
    history, records = history_of(results, dataset), []
    for number in range(5):
        record = a_record(dataset, part=f"part {number}")
        opening = running(record)
        history.begin(opening)
        for epoch in (1, 2, 3):
            history.add(opening, curves={"loss": [record.curves["loss"][epoch - 1]]})
            time.sleep(0.4)
        if number == 2:
            assert refresh(store, dataset, results / dataset) is not None
        history.keep(record)
        records.append(record)
    assert first.close()
    assert second.close()
    runs = shown(results, dataset)
    assert sorted(run["tags"]["gallerist.execution"] for run in runs) == sorted(
        record.execution for record in records
    )
    assert {(run["status"], len(run["points"])) for run in runs} == {("FINISHED", 7)}


def test_one_writes_while_others_wait(results, dataset, store):
    folder = results / dataset
    writer = Writer(store, dataset, folder)
    with exclusive(folder, 0.0):
        with pytest.raises(Busy, match="another process"):
            writer.update(0.1)
        assert refresh(replace(store, patience=1.0), dataset, folder) is None
    assert writer.update() == 0
    with exclusive(folder, 0.0, "me") as undisturbed:
        assert not undisturbed
    with exclusive(folder, 0.0, "me") as undisturbed:
        assert undisturbed


def test_what_is_up_to_date_is_known_without_mlflow(results, dataset, store, monkeypatch):
    folder, record = results / dataset, a_record(dataset)
    write_record(folder / "x.record.json", record)
    assert refresh(store, dataset, folder) == 1

    def start(*_):
        raise AssertionError("a process is started")

    monkeypatch.setattr(sync_module, "_Process", start)
    assert refresh(store, dataset, folder) == 0
    run = shown(results, dataset)[0]["id"]
    for change in (
        "UPDATE tags SET value = 'failed' WHERE key = 'gallerist.logged' AND run_uuid = ?",
        "UPDATE tags SET value = 'finished' WHERE key = 'gallerist.logged' AND run_uuid = ?",
        "UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?",
    ):
        with closing(sqlite3.connect(Runs(results).database)) as connection, connection:
            connection.execute(change, [run])
        if "finished" in change:
            assert refresh(store, dataset, folder) == 0
        else:
            with pytest.raises(AssertionError, match="a process"):
                refresh(store, dataset, folder)


def test_a_locked_database_is_waited_for(results, dataset):
    writer, history, record = begun(results, dataset), history_of(results, dataset), None
    record = a_record(dataset)
    history.begin(running(record))
    wait_for(lambda: shown(results, dataset) and shown(results, dataset)[0]["parameters"])
    lock = sqlite3.connect(Runs(results).database, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    history.keep(record)
    with ThreadPoolExecutor(1) as pool:
        closed = pool.submit(writer.close)
        time.sleep(2.0)
        assert not closed.done()
        lock.execute("COMMIT")
        lock.close()
        assert closed.result() is True
    assert [run["status"] for run in shown(results, dataset)] == ["FINISHED"]


def test_variables_left_in_a_shell_hijack_nothing(monkeypatch, results, dataset, store, client):
    victim = a_record(dataset, title="victim")
    log_record(client, victim)
    before = shown(results, dataset)
    for name, value in {
        "MLFLOW_RUN_ID": before[0]["id"],
        "MLFLOW_EXPERIMENT_NAME": "elsewhere",
        "MLFLOW_EXPERIMENT_ID": "0",
        "MLFLOW_ACTIVE_MODEL_ID": "m-1234",
    }.items():
        monkeypatch.setenv(name, value)
    writer = begun(results, dataset)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    record = a_record(dataset, title="mine", part="gallery")
    history_of(results, dataset).begin(running(record))
    history_of(results, dataset).add(running(record), curves={"loss": [(1, 2.0)]})
    history_of(results, dataset).keep(record)
    assert writer.close()
    after = shown(results, dataset)
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


def test_a_server_that_never_answers_delays_the_end_of_a_workflow_by_its_patience_only(
    dataset, caplog, tmp_path
):
    history, record = history_of(tmp_path, dataset), a_record(dataset)
    with silent_server() as uri, caplog.at_level(logging.WARNING):
        begun_at = time.monotonic()
        writer = begun(tmp_path, dataset, uri, patience=2)
        history.begin(running(record))
        for step in range(5000):
            history.add(running(record), curves={"loss": [(step, 1.0)], "accuracy": [(step, 0.5)]})
        history.keep(record)
        before_close = time.monotonic() - begun_at
        assert writer.close() is False
        taken = time.monotonic() - begun_at
    # Not a measurement: the bounds are those of a hang, far above what a busy machine takes.
    assert before_close < 60
    assert taken - before_close < 60
    assert "did not get everything within 2 s" in caplog.text
    assert "the next start of the workflow logs it" in caplog.text
    assert not [child for child in psutil.Process().children() if is_writer(child)]


def is_writer(process):
    try:
        return "gallerist.tracking.writer" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


SECRET = "s3cret"


def test_a_server_that_is_gone_is_one_warning_without_its_password(dataset, caplog, tmp_path):
    uri = f"http://me:{SECRET}@127.0.0.1:{free_port()}"
    with caplog.at_level(logging.DEBUG):
        writer = begun(tmp_path, dataset, uri)
        for number in range(3):
            history_of(tmp_path, dataset).keep(a_record(dataset, part=str(number)))
            time.sleep(1.5)
        assert writer.close() is False
        assert caplog.text.count("could not be reached: API request to http://127.0.0.1") == 1
        assert refresh(Store(uri, None, patience=60.0), dataset, tmp_path / dataset) is None
        assert caplog.text.count("could not be reached: API request to http://127.0.0.1") == 2
    assert SECRET not in caplog.text
    assert SECRET not in " ".join(psutil.Process().cmdline())


@pytest.mark.slow
def test_no_warning_about_a_database_that_is_gone_has_the_password(tmp_path, caplog):
    pytest.importorskip("psycopg2")  # MLflow tries again for a minute
    uri = f"postgresql://me:{SECRET}@127.0.0.1:{free_port()}/db"
    with caplog.at_level(logging.DEBUG):
        assert refresh(Store(uri, None, patience=60.0), "mine", tmp_path) is None
    assert "MLflow" in caplog.text
    assert SECRET not in caplog.text


def test_a_store_that_cannot_be_used_is_refused_at_once(dataset, tmp_path):
    with pytest.raises(TrackingError, match=r"tracking\.uri is mlruns"):
        begun(tmp_path, dataset, "mlruns")


@pytest.mark.slow
def test_a_database_that_is_rubbish_is_a_warning(tmp_path, caplog):
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_text("this is no database, and that is that" * 100)
    with caplog.at_level(logging.WARNING):
        writer = begun(tmp_path, "mine")
        history_of(tmp_path, "mine").keep(a_record("mine"))
        assert writer.close() is False
    assert "not a database" in caplog.text


def by_execution(runs_of):
    return {
        (name, run["tags"]["gallerist.execution"]): run
        for name, runs in runs_of.items()
        for run in runs
    }


@pytest.mark.slow
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
    writer, history = begun(results, "mine"), History(results / "mine")
    history.begin(running(records[0]))
    history.add(running(records[0]), curves={"loss": [(1, 2.0)]})
    wait_for(lambda: shown(results, "mine"))
    history.keep(records[0])
    assert writer.close()
    for number, record in enumerate(records):
        write_record(results / "mine" / f"{number}.record.json", record)
    assert refresh(store, "mine", results) == 2
    before = {name: list(map(content, Runs(results).of(name))) for name in ("mine", "mine/stages")}
    assert [len(runs) for runs in before.values()] == [1, 2]
    Runs(results).database.unlink()
    assert refresh(store, "mine", results) == 3
    after = {name: list(map(content, Runs(results).of(name))) for name in ("mine", "mine/stages")}
    assert by_execution(after) == by_execution(before)
    assert sync(connect(store.uri), find_records(results)) == (0, 0)
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
            wait_for(lambda: answers(uri), 300)
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
    write_record(tmp_path / dataset / "missed.record.json", missed)
    assert refresh(store, dataset, tmp_path / dataset) == 1
    assert refresh(store, dataset, tmp_path / dataset) == 0

    picture = tmp_path / "picture.png"
    picture.write_bytes(b"png")
    later = {"finished": "2026-01-01T11:00:00.000+00:00"}
    record = a_record(
        dataset, title="live", artifacts=(Artifact(str(picture), "pictures"),), **later
    )
    writer, history = begun(tmp_path, dataset, uri), History(tmp_path / dataset)
    history.begin(running(record))
    history.add(running(record), curves={"loss": [(1, 2.0)]})
    client = connect(uri)
    identity = client.get_experiment_by_name(f"{dataset}/stages").experiment_id
    wait_for(lambda: client.search_runs([identity], "attributes.status = 'RUNNING'"))
    history.keep(record)
    assert writer.close()

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


@pytest.mark.slow
def test_pruning_on_a_server_leaves_the_last_step_to_the_server(server, dataset, tmp_path):
    uri, _ = server
    store = Store(uri, artifact_root_of(uri, tmp_path), patience=60.0)
    for hour in (10, 11):
        picture = tmp_path / "worst.png"
        picture.write_bytes(b"png %d" % hour)
        moment = f"2026-01-01T{hour}:00:00.000+00:00"
        shown = (Artifact(str(picture), "pictures"),)
        record = a_record(dataset, started=moment, finished=moment, artifacts=shown)
        History(tmp_path).keep(record)
    assert refresh(store, dataset, tmp_path) == 2
    pruned = prune(store, dataset, tmp_path)
    assert pruned.runs == {dataset: 0, f"{dataset}/stages": 1}
    assert "`mlflow gc`" in str(pruned)
    client = connect(uri)
    (run,) = client.search_runs([client.get_experiment_by_name(f"{dataset}/stages").experiment_id])
    assert run.data.tags["gallerist.execution"] == record.execution
    assert [entry.record for entry in History(tmp_path).entries()] == [record]
    assert refresh(store, dataset, tmp_path) == 0
    assert prune(store, dataset, tmp_path).runs == {dataset: 0, f"{dataset}/stages": 0}
