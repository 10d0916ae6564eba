"""One workflow at a time works on a data set; a killed one's lock goes, a living one's stays."""

import os
import subprocess
import sys

import pytest
from tracked import a_record

from gallerist.io.files import read_json, write_json
from gallerist.records.history import History
from gallerist.records.provenance import host, process_started
from gallerist.workflow.lock import AtWork, hold, remove_stale_locks

HOLD = """
import sys
from gallerist.workflow.lock import hold
held = [hold(folder) for folder in sys.argv[1:]]
print("held", flush=True)
input()
"""


@pytest.fixture
def folder(tmp_path):
    """A working directory with Snakemake's locks of two workflows, of data sets one and two."""
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    for number, name in enumerate(("one", "two")):
        (locks / f"{number}.input.lock").write_text(f"scripts/x.py\nresults/{name}/a.csv\n")
        (locks / f"{number}.output.lock").write_text(f"results/{name}/b.csv\n")
    return tmp_path


def locked(folder):
    """The numbers of Snakemake's locks that are left."""
    return {path.name[0] for path in (folder / ".snakemake" / "locks").glob("*.lock")}


@pytest.fixture
def at_work():
    """Starts processes that hold the results of data sets until they are killed."""
    started = []

    def start(*folders):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, *map(str, folders)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def kill(process):
    process.kill()
    process.wait()


def test_of_two_workflows_in_one_folder_only_the_killed_one_loses_its_lock(folder, at_work):
    living, killed = at_work(folder / "results/one"), at_work(folder / "results/two")
    assert not remove_stale_locks(folder)
    kill(killed)
    assert remove_stale_locks(folder)
    assert locked(folder) == {"0"}
    assert not remove_stale_locks(folder)
    kill(living)
    assert remove_stale_locks(folder)
    assert locked(folder) == set()


def test_a_second_workflow_on_the_same_results_is_refused_whatever_became_of_snakemakes_lock(
    tmp_path, at_work
):
    process = at_work(tmp_path / "results/one")
    with pytest.raises(AtWork) as refusal:
        hold(tmp_path / "results/one")
    message = str(refusal.value)
    assert message.startswith(f"{tmp_path}/results/one: another workflow (process {process.pid} on")
    assert "\n" not in message
    hold(tmp_path / "results/two").release()
    kill(process)
    hold(tmp_path / "results/one").release()


def test_checkouts_that_share_their_results_see_each_other(tmp_path, at_work):
    (tmp_path / "other").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "other/results").symlink_to(tmp_path / "results")
    at_work(tmp_path / "results/one")
    with pytest.raises(AtWork):
        hold(tmp_path / "other/results/one")


def test_a_job_that_outlives_its_workflow_keeps_the_next_one_from_doing_it_twice(tmp_path):
    job = subprocess.Popen(["sleep", "600"])
    try:
        known = {"host": host(), "pid": job.pid, "process_started": process_started(job.pid)}
        History(tmp_path / "one").begin(a_record("one", status="running", **known))
        with pytest.raises(AtWork, match=rf"is still at work\. .*: kill {job.pid}$"):
            hold(tmp_path / "one")
    finally:
        job.kill()
        job.wait()
    hold(tmp_path / "one").release()


def test_jobs_of_other_machines_and_of_processes_that_are_gone_are_not_waited_for(tmp_path):
    here = {"pid": os.getpid(), "process_started": process_started(os.getpid())}
    history = History(tmp_path / "one")
    history.begin(a_record("one", status="running", **here | {"host": "another"}))
    history.begin(a_record("one", status="running", **here | {"host": host()} | {"pid": 2**22 + 1}))
    history.begin(
        a_record("one", status="running", **here | {"host": host(), "process_started": 1.0e9})
    )
    hold(tmp_path / "one").release()


def test_the_lock_of_another_host_stays(folder, at_work):
    kill(at_work(folder / "results/one"))
    note = folder / "results/one/.workflow.json"
    write_json(note, read_json(note) | {"host": "another"})
    assert not remove_stale_locks(folder)


@pytest.mark.parametrize("note", ["", "{", "[]", '{"pid": 1}'])
def test_a_lock_of_nobody_known_stays(folder, note):
    assert not remove_stale_locks(folder)
    for name in ("one", "two"):
        (folder / "results" / name).mkdir(parents=True)
        (folder / "results" / name / ".workflow.json").write_text(note)
    assert not remove_stale_locks(folder)
    assert locked(folder) == {"0", "1"}


def test_a_lock_that_names_no_results_stays(folder, at_work):
    (folder / ".snakemake/locks/2.input.lock").write_text("somewhere/else.txt\n")
    kill(at_work(folder / "results/one", folder / "results/two"))
    assert remove_stale_locks(folder)
    assert locked(folder) == {"2"}


def test_without_a_lock_there_is_nothing_to_remove(tmp_path):
    assert not remove_stale_locks(tmp_path)
    (tmp_path / ".snakemake" / "locks").mkdir(parents=True)
    assert not remove_stale_locks(tmp_path)
