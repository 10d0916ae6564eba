"""The lock of a killed workflow goes; the lock of a living one stays."""

import os
import subprocess
import sys

import pytest

from gallerist.io.files import read_json, write_json
from gallerist.workflow import lock as workflow_lock
from gallerist.workflow.lock import claim, remove_stale_lock

CLAIM = "import sys; from gallerist.workflow.lock import claim; from pathlib import Path; " + (
    "claim(Path(sys.argv[1]));"
)


@pytest.fixture
def folder(tmp_path):
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").write_text("results/a")
    (locks / "0.output.lock").write_text("results/b")
    return tmp_path


def locked(folder) -> bool:
    locks = folder / ".snakemake" / "locks"
    return locks.is_dir() and any(locks.iterdir())


def owner(folder):
    return folder / ".snakemake" / "gallerist-owner.json"


def claimed_by_process_that_waits(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", f"{CLAIM} print('claimed', flush=True); input()", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout.readline() == b"claimed\n"
    return process


def test_the_lock_of_this_process_stays(folder):
    claim(folder)
    assert not remove_stale_lock(folder)
    assert locked(folder)


def test_the_lock_stays_while_its_owner_lives_and_goes_when_it_was_killed(folder):
    process = claimed_by_process_that_waits(folder)
    try:
        assert read_json(owner(folder))["pid"] == process.pid
        assert not remove_stale_lock(folder)
        assert locked(folder)
        process.kill()
        process.wait()
        assert remove_stale_lock(folder)
        assert not locked(folder)
    finally:
        process.kill()
        process.communicate()


def test_a_later_process_with_the_same_number_does_not_keep_the_lock(folder):
    claim(folder)
    write_json(owner(folder), read_json(owner(folder)) | {"started": 1.0e9})
    assert remove_stale_lock(folder)


@pytest.mark.parametrize("seconds", [-1.5, 1.5])
def test_a_clock_that_was_corrected_does_not_cost_a_living_workflow_its_lock(folder, seconds):
    claim(folder)
    noted = read_json(owner(folder))
    write_json(owner(folder), noted | {"started": noted["started"] + seconds})
    assert not remove_stale_lock(folder)
    assert locked(folder)


def test_a_process_that_cannot_be_looked_at_keeps_the_lock(folder, monkeypatch):
    claim(folder)
    monkeypatch.setattr(workflow_lock, "process_started", lambda pid: 0.0)
    assert not remove_stale_lock(folder)
    assert locked(folder)


def test_the_lock_of_another_host_stays(folder):
    claim(folder)
    noted = read_json(owner(folder))
    write_json(owner(folder), noted | {"host": "another", "pid": 2**22 + 1, "started": 1.0})
    assert not remove_stale_lock(folder)
    assert locked(folder)


def test_a_lock_of_nobody_known_stays(folder):
    assert not remove_stale_lock(folder)
    assert locked(folder)


def test_without_a_lock_there_is_nothing_to_remove(tmp_path):
    assert not remove_stale_lock(tmp_path)
    claim(tmp_path)
    assert not remove_stale_lock(tmp_path)
    (tmp_path / ".snakemake" / "locks").mkdir()
    assert not remove_stale_lock(tmp_path)
