"""The history: what a rerun overwrites, a failure loses, or a kill cuts short stays known."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from checkout import SCRIPTS
from tracked import a_record, environment, running, wait_for

from gallerist.records import history as history_module
from gallerist.records.history import Entry, History
from gallerist.records.provenance import process_started
from gallerist.records.record import Artifact


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def history(work):
    return History("results/monkeys")


def showing(path, content, **changes):
    """A record that shows one file, which is there."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)
    return a_record("monkeys", artifacts=(Artifact(path, "pictures"),), **changes)


def contents(history, entry):
    return {path: kept.read_bytes() for path, kept in history.shown(entry).items()}


def kept_files(history):
    return sorted(path.name for path in history.folder.glob("files/*/*"))


def test_a_record_and_its_files_stay_when_a_rerun_has_replaced_them(history):
    first = showing("results/monkeys/worst.png", b"first")
    history.keep(first)
    second = showing("results/monkeys/worst.png", b"second")
    history.keep(second)
    found = {entry.record.execution: entry for entry in history.entries()}
    assert {execution: entry.record for execution, entry in found.items()} == {
        first.execution: first,
        second.execution: second,
    }
    shown = [contents(history, found[each.execution]) for each in (first, second)]
    assert shown == [
        {"results/monkeys/worst.png": b"first"},
        {"results/monkeys/worst.png": b"second"},
    ]
    names = [path.name for path in history.shown(found[first.execution]).values()]
    assert names == ["worst.png"]  # MLflow shows it under the name it has here


def test_a_file_written_in_place_later_does_not_change_what_is_kept(history):
    entry = history.keep(showing("logs/x.log", b"of the first"))
    with Path("logs/x.log").open("ab") as log:
        log.write(b", and more")
    assert contents(history, entry) == {"logs/x.log": b"of the first"}


def test_one_content_is_kept_once_however_many_records_show_it(history):
    for _ in range(3):
        history.keep(showing("results/monkeys/curves.png", b"the same"))
    assert len(history.entries()) == 3
    assert kept_files(history) == ["curves.png"]


def test_forgetting_leaves_the_files_that_others_show(history):
    shared, own = "results/monkeys/curves.png", "results/monkeys/worst.png"
    gone = replace(
        showing(shared, b"shared"), artifacts=(Artifact(shared, None), Artifact(own, None))
    )
    Path(own).write_bytes(b"of one alone")
    history.keep(gone)
    stays = history.keep(showing(shared, b"shared"))
    before = sum(path.stat().st_size for path in history.folder.rglob("*") if path.is_file())
    freed = history.remove([gone.execution, "unknown"])
    after = sum(path.stat().st_size for path in history.folder.rglob("*") if path.is_file())
    assert [entry.record.execution for entry in history.entries()] == [stays.record.execution]
    assert contents(history, stays) == {shared: b"shared"}
    assert freed == before - after > len(b"of one alone")
    assert len(list(history.folder.glob("files/*"))) == 1


def test_a_large_file_is_shown_from_its_path_while_it_is_the_same(history, monkeypatch):
    monkeypatch.setattr(history_module, "LARGEST", 10)
    path = "results/monkeys/large.npy"
    entry = history.keep(showing(path, b"more than ten bytes"))
    assert kept_files(history) == []
    assert contents(history, entry) == {path: b"more than ten bytes"}
    Path(path).write_bytes(b"something else by now")
    assert not history.shown(entry)[path].exists()  # another run's file is not passed off as its


def test_what_is_not_there_and_what_is_a_folder_is_not_kept(history):
    Path("folder").mkdir()
    artifacts = (Artifact("never made.png", None), Artifact("folder", None))
    assert history.keep(a_record("monkeys", artifacts=artifacts)).files == {}


def test_records_of_before_there_was_a_history_are_added_once(history):
    old = showing("results/monkeys/worst.png", b"old")
    (entry,) = history.complete([old])
    assert entry.record == old
    assert history.complete([old]) == [entry]
    assert contents(history, entry) == {"results/monkeys/worst.png": b"old"}


def test_of_stages_at_work_the_killed_ones_failed(history):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    began = wait_for(lambda: process_started(process.pid))
    dead = running(a_record("monkeys", title="dead", pid=process.pid, process_started=began))
    others = [
        running(a_record("monkeys", title="alive")),
        running(a_record("monkeys", title="elsewhere", host="another-machine", pid=1)),
    ]
    for record in [dead, *others]:
        history.begin(record)
    history.add(dead, curves={"loss": [(1, 2.0)]}, moments={1: 1767261601000})
    assert history.complete([]) == []

    process.kill()
    process.wait()
    (entry,) = history.complete([])
    assert (entry.record.title, entry.record.status) == ("dead", "failed")
    assert "killed" in entry.record.error
    assert entry.record.curves == {"loss": [(1, 2.0)]}
    assert entry.record.moments == {1: 1767261601000}
    # The end that it is given stays what it is.
    assert history.complete([]) == [entry]
    assert {each.execution: each for each in history.at_work()} == {
        each.execution: each for each in others
    }
    # When the workflow has ended, nothing of it is at work anywhere.
    ended = {entry.record.title for entry in history.complete([], none_at_work=True)}
    assert ended == {"dead", "alive", "elsewhere"}
    assert history.at_work() == []


def test_what_a_stage_reports_is_read_as_it_comes(history):
    opening = running(a_record("monkeys"))
    history.add(opening, metrics={"before": 1.0})  # of a stage that has not begun
    assert history.at_work() == []
    history.begin(opening)
    assert history.at_work() == [opening]
    history.add(opening, curves={"loss": [(1, 2.0)], "accuracy": [(1, float("nan"))]})
    history.add(opening, curves={"loss": [(2, 1.5)]}, moments={2: 5})
    history.add(opening, parameters={"device": "cpu"})
    (record,) = history.at_work()
    assert record.curves["loss"] == [(1, 2.0), (2, 1.5)]
    assert record.curves["accuracy"][0][1] != record.curves["accuracy"][0][1]
    history.add(opening, curves={"loss": [(3, 1.0), (2, 1.25)]}, metrics={"top_1": 0.5})
    (record,) = history.at_work()
    assert record.curves["loss"] == [(1, 2.0), (2, 1.25), (3, 1.0)]
    assert record.metrics == {"top_1": 0.5}
    assert record.parameters == {**opening.parameters, "device": "cpu"}
    history.keep(replace(record, status="finished", finished=record.started))
    history.add(opening, metrics={"after": 1.0})
    assert history.at_work() == []


def test_a_line_that_is_cut_waits_for_its_end_and_hides_no_other(history):
    opening = running(a_record("monkeys"))
    history.begin(opening)
    (path,) = (history.folder / "running").iterdir()
    with path.open("a") as file:
        file.write('{"metrics": {"a"')
        file.flush()
        assert history.at_work() == [opening]
        file.write(': 1.0}}\n{"metr\n')  # a disk that was full in between
    history.add(opening, metrics={"b": 2.0})
    assert [record.metrics for record in history.at_work()] == [{"a": 1.0, "b": 2.0}]


def test_a_stage_that_finished_before_it_was_killed_has_finished(history):
    record = a_record("monkeys", pid=1 << 22, process_started=1.0)
    history.begin(running(record))
    (entry,) = history.complete([record])  # its record is beside its output
    assert entry.record == record
    assert history.at_work() == []


def test_an_entry_that_cannot_be_read_is_named_and_hides_no_other(history, caplog):
    kept = history.keep(a_record("monkeys"))
    (history.folder / "broken.json").write_text("{")
    (history.folder / "later.json").write_text(json.dumps({"schema": 2, "record": {}}))
    with caplog.at_level("WARNING"):
        assert history.entries() == [kept]
    assert "broken.json" in caplog.text
    assert "layout 2" in caplog.text


def test_a_disk_that_takes_nothing_costs_a_warning(history, caplog):
    Path("results/monkeys").mkdir(parents=True)
    history.folder.write_text("a file where the folder should be")
    record = a_record("monkeys")
    with caplog.at_level("WARNING"):
        history.begin(running(record))
        assert history.keep(record) == Entry(record)
        assert history.complete([record]) == [Entry(record)]
    assert "is not kept in the history" in caplog.text


STAGE = """
import os, signal
from types import SimpleNamespace as Values
from gallerist.workflow.stage import stage
job = Values(
    rule="train_network", threads=1, input=[], output=Values(record="out/model.record.json"),
    params=Values(epochs=3), wildcards=Values(experiment="scratch"), log=["logs/train.log"],
    resources=Values(), config={"dataset": {"name": "monkeys"}},
)
with stage(job) as run:
    run.curve_point(1, loss=2.0)
    run.parameters(device="cpu")
    run.curve_point(2, loss=1.5)
    ENDING
"""


@pytest.mark.parametrize(
    ("ending", "status", "error"),
    [
        ("pass", "finished", None),
        ("raise ValueError('no such backbone')", "failed", "ValueError: no such backbone"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "failed", "stopped by SIGTERM"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "failed", "the process was killed or crashed"),
    ],
)
def test_a_stage_is_in_the_history_however_it_ends(history, ending, status, error):
    script = STAGE.replace("ENDING", ending)
    # Out of git's sight: how this checkout differs from its commit is not asked here.
    alone = {**environment(), "GIT_CEILING_DIRECTORIES": str(SCRIPTS)}
    subprocess.run([sys.executable, "-c", script], env=alone, check=False, timeout=120)
    (entry,) = history.complete([])
    record = entry.record
    assert (record.status, record.subject[1:3]) == (status, ("train_network", "scratch"))
    assert (record.error or "").startswith(error or "")
    assert record.parameters == {"epochs": 3, "device": "cpu"}
    assert record.curves == {"loss": [(1, 2.0), (2, 1.5)]}
    assert sorted(record.moments) == [1, 2]
    assert contents(history, entry) == {"logs/train.log": Path("logs/train.log").read_bytes()}
    assert list((history.folder / "running").iterdir()) == []
