"""What becomes of the results when the tracking server fails: every fault at every moment.

A fault befalls a real `mlflow server` while real stages, each a process of its own, are at the
moments below, all at the same time. Then the server gets well and the records are synced, twice.
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
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from checkout import HELPERS, SCRIPTS
from gallerist.tracking.tracker import Store, refresh
from test_kills import EPOCHS, MODEL, check_the_training_is_whole, pid_at_work
from tiny_workflow import wait_for
from tracking_server import TrackingServer

from gallerist.records.record import Record, read_record, write_record

PATIENCE = 6.0
"""Seconds that a stage here waits for MLflow."""
LEEWAY = 15.0
"""Seconds by which a busy machine may be late; without a bound a stage would wait for ever."""


MOMENTS = {
    "start": "the workflow starts, with the record of a stage that found no server at all",
    "before": "a stage begins when the fault is there, and ends before it is over",
    "training": "it comes between two epochs, with the run open and a point in it",
    "closing": "it comes while the files of a finished stage are on their way",
    "after": "it comes when all of a stage is logged",
}
LEFT_TO_A_SYNC = {
    "start": "later",
    "before": "later",
    "training": "later",
    "closing": "later",
    "after": "untouched",
}
LOGGED_ANEW = {
    "start": "at once",
    "before": "at once",
    "training": "at once",
    "closing": "later",
    "after": "anew",
}


@dataclass(frozen=True)
class Fault:
    """How a fault begins and ends, how the proxy behaves meanwhile, and what comes of it."""

    begin: Callable[[TrackingServer], None] = lambda server: None
    end: Callable[[TrackingServer], None] = lambda server: None
    conduct: str = "passing"
    patience: float = PATIENCE
    outcome: Mapping[str, str] = field(default_factory=LEFT_TO_A_SYNC.copy)


FAULTS = {
    "killed": Fault(TrackingServer.kill, TrackingServer.start),
    "answers 500": Fault(conduct="failing"),
    "hangs": Fault(TrackingServer.hang, TrackingServer.resume),
    "disk full": Fault(TrackingServer.fill_disk, TrackingServer.clear_disk),
    "answers get lost": Fault(conduct="losing"),
    "slow": Fault(conduct="slow"),
    "database lost": Fault(TrackingServer.lose_database, patience=60, outcome=LOGGED_ANEW),
}
QUICK = {"killed"}

STAGE = """
import json, sys, time
from pathlib import Path
from types import SimpleNamespace as Values
from gallerist.workflow.stage import stage

name, dataset, tracking, waits, fails = json.loads(sys.argv[1])
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
    config={"dataset": {"name": dataset}, "tracking": tracking},
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
        self.processes, self.patience = {}, {}

    def take_place(self):
        server, fault = self.server, self.fault
        server.conduct("passing")
        self.start("start", uri="http://127.0.0.1:1")
        self.start("after", patience=60)
        self.start("training", waits=True)
        self.start("closing", waits=True)
        self.start("failing", waits=True, fails=True)
        self.statuses = {name: self.ended(name) for name in ("start", "after")}
        wait_for(lambda: self.have_a_point("training", "closing", "failing"))
        (self.logged_before,) = self.shown("after")
        server.conduct("holding mlflow-artifacts")
        self.go("closing")
        wait_for(server.holds_a_request)

        fault.begin(server)
        server.conduct(fault.conduct)
        with ThreadPoolExecutor(1) as pool:
            started = pool.submit(self.timed_sync, server.proxy_uri, fault.patience)
            self.start("before")
            self.go("training")
            self.go("failing")
            for name in ("before", "training", "closing", "failing"):
                self.statuses[name] = self.ended(name)
            self.synced_meanwhile, self.start_took = started.result()
        fault.end(server)
        server.conduct("passing")

        self.synced = [self.sync(server.uri, 60) for _ in range(2)]
        self.runs = server.runs(f"{self.dataset}/stages")
        self.rows = server.runs(self.dataset)

    def start(self, name, *, uri=None, patience=None, waits=False, fails=False):
        self.patience[name] = patience or self.fault.patience
        tracking = {"uri": uri or self.server.proxy_uri, "patience": self.patience[name]}
        order = json.dumps([name, self.dataset, tracking, waits, fails])
        library = str(SCRIPTS)
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-c", STAGE, order],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": library},
        )

    def go(self, name):
        (self.folder / f"go_{name}").touch()

    def ended(self, name):
        _, said = self.processes[name].communicate(timeout=180)
        print(name, said)
        return self.processes[name].returncode

    def shown(self, name):
        runs = self.server.runs(f"{self.dataset}/stages")
        return [run for run in runs if run["name"] == f"train_network {name}"]

    def have_a_point(self, *names):
        return all(any("loss" in run["points"] for run in self.shown(name)) for name in names)

    def outcome(self, moment, run):
        """What became of the run of a stage: who logged it, and when."""
        if moment == "after":
            return "untouched" if run == self.logged_before else "anew"
        if moment == "start":
            return "at once" if self.synced_meanwhile else "later"
        log = (self.folder / "logs" / f"{moment}.log").read_text(encoding="utf-8")
        return "later" if "the next start of the workflow logs it" in log else "at once"

    def sync(self, uri, patience):
        return refresh(Store(uri, None, patience), self.dataset, self.results)

    def timed_sync(self, uri, patience):
        begun = time.monotonic()
        return self.sync(uri, patience), time.monotonic() - begun

    def stop(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.communicate()


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
    assert float((home / "waited").read_text()) < outage.patience[moment] + LEEWAY

    (run,) = (run for run in outage.runs if run["name"] == f"train_network {moment}")
    assert outage.outcome(moment, run) == outage.fault.outcome[moment]
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


def test_one_sync_logs_what_was_missed_and_a_second_nothing(outage):
    missed, again = outage.synced
    assert again == 0
    # One patience each to find the store, to end what was killed, and to log a record.
    assert outage.start_took < 3 * outage.fault.patience + LEEWAY
    if not outage.synced_meanwhile:
        # Two records of each of four stages; of one the server has all, but could not say so.
        assert missed >= 7


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
        outage.start("training", waits=True)
        wait_for(server.holds_a_request)
        outage.go("training")
        assert outage.ended("training") == 0
        assert outage.sync(server.uri, 60) == 2
        server.conduct("passing")
        wait_for(lambda: server.runs("late/stages", "attributes.status = 'RUNNING'"))
        assert outage.sync(server.uri, 60) == 0
    (run,) = outage.shown("training")
    assert run["status"] == "FINISHED"
    assert run["points"]["loss"] == [(1, 2.0), (2, 1.5), (3, 1.25)]


FULL_DISK = """
import sys
import time
from pathlib import Path
from gallerist.tracking.tracker import Store, Tracker, refresh
from gallerist.tracking.store import artifact_root_of, resolve_uri
from tracked import Runs, a_record, running, wait_for
from gallerist.records.record import write_record

disk, results = Path(sys.argv[1]), Path(sys.argv[2])
uri = resolve_uri(None, disk)
store = Store(uri, artifact_root_of(uri, disk), 60)
record = a_record("mine")
tracker = Tracker(store)
tracker.open(running(record))
wait_for(lambda: (disk / "mlflow/mlflow.db").exists() and Runs(disk).of("mine/stages"))
ballast = disk / "ballast"
with ballast.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(1024))
    except OSError as error:
        print(error.strerror)
print("logged:", tracker.close([record]))
write_record(results / "record.json", record)
ballast.unlink()
print("synced:", [refresh(store, "mine", results) for _ in range(2)])
(run,) = Runs(disk).of("mine/stages")
print(run["status"], [point[1:3] for point in run["points"] if point[0] == "loss"])
"""


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
def test_a_slow_server_holds_up_the_start_of_a_workflow_for_a_limited_time(
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
