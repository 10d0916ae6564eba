"""What becomes of the results when the tracking server fails: every fault at every moment.

A fault befalls a real `mlflow server` while real stages, each a process of its own, are at the
moments below, and the writer of their workflow with them. That workflow ends during the fault, the
next one begins in it; when the server gets well, its writer is to bring everything by itself.
A scenario is a row of the matrix in docs/tracking.md, each test of a moment a cell.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkout import HELPERS, SCRIPTS
from long_training import EPOCHS, MODEL, check_the_training_is_whole, pid_at_work
from mlflow import MlflowClient
from tiny_workflow import wait_for
from tracking_server import TrackingServer

from gallerist.records.record import Record, read_record, write_record
from gallerist.tracking.store import Store
from gallerist.tracking.sync import WorkflowWriter, refresh

PATIENCE = 6.0
"""Seconds that a workflow here waits for MLflow at its end."""
LEEWAY = 15.0
"""Seconds by which a busy machine may be late; without a bound a workflow would wait for ever."""


MOMENTS = {
    "start": "a workflow starts, with the record of a stage that nobody has shown",
    "before": "a stage begins when the fault is there, and ends before it is over",
    "training": "it comes between two epochs, with the run open and a point in it",
    "closing": "it comes while the files of a finished stage are on their way",
    "after": "it comes when all of a stage is logged",
}


@dataclass(frozen=True)
class Fault:
    """How a fault begins and ends, and how the proxy behaves meanwhile.

    is_survived: the workflow that ends during the fault has shown all that was done.
    """

    begin: Callable[[TrackingServer], None] = lambda server: None
    end: Callable[[TrackingServer], None] = lambda server: None
    conduct: str = "passing"
    patience: float = PATIENCE
    is_survived: bool = False


FAULTS = {
    "killed": Fault(TrackingServer.kill, TrackingServer.start),
    "answers 500": Fault(conduct="failing"),
    "hangs": Fault(TrackingServer.hang, TrackingServer.resume),
    "disk full": Fault(TrackingServer.fill_disk, TrackingServer.clear_disk),
    "answers get lost": Fault(conduct="losing"),
    "slow": Fault(conduct="slow"),
    "database lost": Fault(TrackingServer.lose_database, patience=60, is_survived=True),
}
QUICK = {"killed"}

STAGE = """
import json, sys, time
from pathlib import Path
from types import SimpleNamespace as Values
from gallerist.workflow.stage import stage

name, dataset, waits, fails = json.loads(sys.argv[1])
waited = 0.0

def timed(call, *arguments, **named):
    global waited
    begun = time.monotonic()
    try:
        return call(*arguments, **named)
    finally:
        waited += time.monotonic() - begun

home = Path("results", dataset, name)
home.mkdir(parents=True)
job = Values(
    rule="train_network", threads=1, input=[], output=Values(record=f"{home}/record.json"),
    params=Values(epochs=3, learning_rate=0.5), wildcards=Values(experiment=name),
    log=[f"logs/{name}.log"], resources=Values(),
    config={"dataset": {"name": dataset}},
)
with stage(job) as run:
    finish = run.finish
    run.finish = lambda path: timed(finish, path)
    for epoch, loss in enumerate([2.0, 1.5, 1.25], 1):
        while epoch == 2 and waits and not Path(f"go_{name}").exists():
            time.sleep(0.02)
        timed(run.curve_point, epoch, loss=loss, accuracy=epoch / 4)
    if fails:
        raise ValueError("the loss is not a number")
    (home / "model.keras").write_bytes(b"computed for hours")
    run.metrics(loss=1.25, top_1=0.5)
    run.dataset("pictures", "manifest.csv", "e" * 64, 600)
    run.artifact(home / "model.keras", "model")
    run.compare(home / "row.record.json", name, parameters={"epochs": 3}, metrics={"top_1": 0.5})
(home / "waited").write_text(str(waited))
"""


class Outage:
    """What befell the stages of one data set, and what the server showed in the end."""

    def __init__(self, server, folder, name, fault):
        self.server, self.folder, self.fault = server, Path(folder), fault
        self.dataset = name.replace(" ", "_")
        self.results = self.folder / "results" / self.dataset
        self.processes, self.writers, self.statuses = {}, [], {}

    def take_place(self):
        server, fault = self.server, self.fault
        server.conduct("passing")
        workflow = self.begun()
        self.start("after")
        self.start("training", waits=True)
        self.start("closing", waits=True)
        self.start("failing", waits=True, fails=True)
        self.end("after")
        wait_for(lambda: self.logged() == 2 and self.have_a_point("training", "closing", "failing"))
        (self.logged_before,) = self.shown("after")
        server.conduct("holding mlflow-artifacts")
        self.go("closing")
        wait_for(server.holds_a_request)

        fault.begin(server)
        server.conduct(fault.conduct)
        self.go("training")
        self.go("failing")
        self.end("training", "closing", "failing")
        begun = time.monotonic()
        self.survived = workflow.close()
        self.end_took = time.monotonic() - begun
        self.start("start")
        self.end("start")
        begun = time.monotonic()
        workflow = self.begun()
        self.start_took = time.monotonic() - begun
        self.start("before")
        self.end("before")
        time.sleep(5)  # which the new writer spends in vain
        fault.end(server)
        server.conduct("passing")
        wait_for(lambda: self.logged() == 2 * len(MOMENTS) + 1, 240)
        self.closed = workflow.close()

        self.synced = [self.sync(server.uri, 60) for _ in range(2)]
        self.runs = server.runs(f"{self.dataset}/stages")
        self.rows = server.runs(self.dataset)

    def begun(self):
        """The writer of a workflow that begins."""
        tracking = {"uri": self.server.proxy_uri, "patience": self.fault.patience}
        config = {"dataset": {"name": self.dataset}, "tracking": tracking}
        writer = WorkflowWriter(config, self.folder / "results")
        self.writers.append(writer)
        return writer

    def start(self, name, *, waits=False, fails=False):
        order = json.dumps([name, self.dataset, waits, fails])
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-c", STAGE, order],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        )

    def go(self, name):
        (self.folder / f"go_{name}").touch()

    def end(self, *names):
        for name in names:
            _, errors = self.processes[name].communicate(timeout=180)
            print(name, errors)
            self.statuses[name] = self.processes[name].returncode

    def shown(self, name):
        runs = self.server.runs(f"{self.dataset}/stages")
        return [run for run in runs if run["name"] == f"train_network {name}"]

    def have_a_point(self, *names):
        return all(any("loss" in run["points"] for run in self.shown(name)) for name in names)

    def logged(self):
        """How many runs of the data set are complete."""
        client = MlflowClient(tracking_uri=self.server.uri)
        names = (self.dataset, f"{self.dataset}/stages")
        known = [each for each in map(client.get_experiment_by_name, names) if each is not None]
        runs = client.search_runs([each.experiment_id for each in known]) if known else []
        return sum("gallerist.logged" in run.data.tags for run in runs)

    def sync(self, uri, patience):
        return refresh(Store(uri, None, patience), self.dataset, self.results)

    def stop(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.communicate()
        for writer in self.writers:
            writer.process.kill()
            writer.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with TrackingServer(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow, id=name)
        for name in FAULTS
    ],
)
def outage(request, server, tmp_path_factory):
    name = request.param
    outage = Outage(server, tmp_path_factory.mktemp("work"), name, FAULTS[name])
    try:
        with contextlib.chdir(outage.folder):  # where records name their files from
            outage.take_place()
        yield outage
    finally:
        outage.stop()


@pytest.mark.parametrize("moment", MOMENTS)
def test_nothing_is_lost_or_logged_twice(outage, moment):
    home = outage.results / moment
    assert outage.statuses[moment] == 0
    assert (home / "model.keras").read_bytes() == b"computed for hours"
    record, row = read_record(home / "record.json"), read_record(home / "row.record.json")
    assert (record.status, row.status) == ("finished", "finished")
    assert float((home / "waited").read_text()) < 5  # for its files alone

    (run,) = (run for run in outage.runs if run["name"] == f"train_network {moment}")
    if moment == "after" and not outage.fault.is_survived:
        assert run == outage.logged_before
    assert run["tags"]["gallerist.execution"] == record.execution
    assert (run["status"], run["tags"]["current"]) == ("FINISHED", "true")
    assert run["parameters"] == {"epochs": "3", "learning_rate": "0.5"}
    assert run["points"] == {
        "loss": [(1, 2.0), (2, 1.5), (3, 1.25)],
        "accuracy": [(1, 0.25), (2, 0.5), (3, 0.75)],
        "top_1": [(0, 0.5)],
        "seconds": [(0, record.seconds)],
    }
    assert run["datasets"] == ["pictures"]
    files = run["artifacts"]
    assert files.keys() >= {f"log/{moment}.log", "model/model.keras", "run.json"}
    assert files["model/model.keras"] == b"computed for hours"
    assert json.loads(files["run.json"])["execution"] == record.execution

    (compared,) = (run for run in outage.rows if run["name"] == moment)
    assert compared["tags"]["gallerist.execution"] == row.execution
    assert (compared["status"], compared["tags"]["current"]) == ("FINISHED", "true")
    assert compared["points"] == {"top_1": [(0, 0.5)]}


def test_neither_the_end_nor_the_start_of_a_workflow_waits_longer_than_its_patience(outage):
    assert outage.survived == outage.fault.is_survived
    assert outage.end_took < outage.fault.patience + LEEWAY
    assert outage.start_took < 2


def test_when_the_server_is_well_the_workflow_at_work_brings_all_by_itself(outage):
    assert outage.closed
    assert outage.synced == [0, 0]


def test_a_training_that_fails_meanwhile_is_shown_as_failed(outage):
    assert outage.statuses["failing"] == 1
    assert not (outage.results / "failing" / "record.json").exists()
    (run,) = (run for run in outage.runs if run["name"] == "train_network failing")
    assert (run["status"], run["tags"]["current"]) == ("FAILED", "false")


def test_the_server_shows_no_other_runs(outage):
    assert len(outage.runs) == len(MOMENTS) + 1
    assert len(outage.rows) == len(MOMENTS)


@pytest.mark.slow
def test_what_a_server_does_too_late_leaves_no_second_run(server, tmp_path):
    """The request to open the run arrives when the record has been logged by a sync."""
    outage = Outage(server, tmp_path, "late", Fault())
    with contextlib.chdir(tmp_path):
        server.conduct("holding runs/create")
        workflow = outage.begun()
        outage.start("training", waits=True)
        wait_for(server.holds_a_request)
        outage.go("training")
        outage.end("training")
        workflow.process.kill()
        assert outage.sync(server.uri, 60) == 2
        server.conduct("passing")
        wait_for(lambda: server.runs("late/stages", "attributes.status = 'RUNNING'"))
        assert outage.sync(server.uri, 60) == 0
    outage.stop()
    (run,) = outage.shown("training")
    assert run["status"] == "FINISHED"
    assert run["points"]["loss"] == [(1, 2.0), (2, 1.5), (3, 1.25)]


FULL_DISK = """
import sys
from pathlib import Path
from gallerist.records.history import History
from gallerist.tracking.sync import WorkflowWriter, refresh
from tracked import Runs, a_record, running, store_in, wait_for

disk, results = Path(sys.argv[1]), Path(sys.argv[2])
results.mkdir()
(disk / "mine").symlink_to(results)
record, history = a_record("mine"), History(results)
tracking = {"uri": None, "patience": 60}
writer = WorkflowWriter({"dataset": {"name": "mine"}, "tracking": tracking}, disk)
history.begin(running(record))
wait_for(lambda: (disk / "mlflow/mlflow.db").exists() and Runs(disk).of("mine/stages"))
ballast = disk / "ballast"
with ballast.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(1024))
    except OSError as error:
        print(error.strerror)
history.keep(record)
print("logged:", writer.close())
ballast.unlink()
print("synced:", [refresh(store_in(disk), "mine", results) for _ in range(2)])
(run,) = Runs(disk).of("mine/stages")
print(run["status"], [point[1:3] for point in run["points"] if point[0] == "loss"])
"""


@pytest.mark.slow
def test_a_disk_that_is_full_under_the_store_of_the_results(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    own_disk = ("unshare", "--map-root-user", "--mount", "sh", "-c")
    mount = f'mount -t tmpfs -o size=8m tmpfs "{disk}"'
    if subprocess.run([*own_disk, mount], capture_output=True).returncode != 0:
        pytest.skip("this system lets nobody mount a small disk")
    path = os.pathsep.join(map(str, (SCRIPTS, HELPERS)))
    words = [sys.executable, "-c", FULL_DISK, str(disk), str(tmp_path / "results")]
    answer = subprocess.run(
        [*own_disk, f'{mount} && exec "$@"', "sh", *words],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert answer.stdout.splitlines() == [
        "No space left on device",
        "logged: False",
        "synced: [1, 0]",
        "FINISHED [(1, 2.0), (2, 1.5), (3, 1.25)]",
    ], answer.stderr
    assert "the next start of the workflow logs it" in answer.stderr


@pytest.mark.slow
def test_a_slow_server_holds_up_a_comparison_of_everything_for_a_limited_time(
    server, tmp_path, caplog
):
    records = [
        Record(
            stage="extract_features",
            dataset="many",
            execution=f"{number:032x}",
            title=f"extract_features {number}",
            part=str(number),
            started="2026-01-01T10:00:00.000+00:00",
            finished="2026-01-01T10:00:10.000+00:00",
            status="finished",
        )
        for number in range(6)
    ]
    for number, record in enumerate(records):
        write_record(tmp_path / f"{number}.record.json", record)
    server.conduct("slow")
    try:
        with caplog.at_level(logging.WARNING):
            assert refresh(Store(server.proxy_uri, None, 60), "many", tmp_path, limit=40) is None
    finally:
        server.conduct("passing")
    assert "did not get everything within 40 s" in caplog.text
    begun = len([run for run in server.runs("many/stages") if run["status"] == "FINISHED"])
    assert 0 < begun < len(records)
    assert refresh(Store(server.uri, None, 60), "many", tmp_path) <= len(records)
    assert refresh(Store(server.uri, None, 60), "many", tmp_path) == 0
    logged = [run["tags"]["gallerist.execution"] for run in server.runs("many/stages")]
    assert sorted(logged) == sorted(record.execution for record in records)


@pytest.fixture
def training(workflow, server):
    """A finished workflow, tracked by the server, in which one network is to be trained anew."""
    workflow.edit_config("experiments.short.epochs", EPOCHS)
    workflow.edit_config("experiments.short.early_stopping", None)
    workflow.edit_config("tracking.uri", server.uri)
    workflow.edit_config("tracking.patience", PATIENCE)
    return workflow


def check_the_training_is_logged_once(training, server):
    check_the_training_is_whole(training)
    record = read_record((training.folder / MODEL).with_name("training.record.json"))
    for _ in range(2):
        training.gallerist("summary")
        (run,) = server.runs("tiny/stages", f"tags.`gallerist.execution` = '{record.execution}'")
        assert (run["status"], run["tags"]["current"]) == ("FINISHED", "true")
        assert run["tags"]["gallerist.logged"] == "finished"
        for name, curve in record.curves.items():
            assert [step for step, _ in run["points"][name]] == [step for step, _ in curve]
        assert "run.json" in run["artifacts"]


@pytest.mark.slow
def test_the_workflow_trains_on_while_its_server_is_killed(training, server):
    with training.started(MODEL) as process:
        pid = pid_at_work(training)
        os.kill(pid, signal.SIGSTOP)  # so that it does not end meanwhile
        wait_for(lambda: server.runs("tiny/stages", "attributes.status = 'RUNNING'"))
        server.kill()
        os.kill(pid, signal.SIGCONT)
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    server.start()
    check_the_training_is_logged_once(training, server)


@pytest.mark.slow
def test_the_workflow_runs_from_start_to_end_beside_a_server_that_hangs(training, server):
    server.hang()
    try:
        assert training.rerun(MODEL) == {"train_network short"}
    finally:
        server.resume()
    check_the_training_is_logged_once(training, server)
