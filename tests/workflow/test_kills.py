"""Killed at work: nothing half-written is used, nothing stays RUNNING, the next start goes on."""

import os
import signal

import pytest
from edits import COMPARE, chain
from long_training import (
    EPOCHS,
    HALF_WRITTEN,
    MODEL,
    check_the_training_is_whole,
    pid_at_work,
)
from tiny_workflow import jobs_of, wait_for


@pytest.fixture
def training(workflow):
    """A finished workflow in which one network is to be trained anew, and for long."""
    workflow.edit_config("experiments.short.epochs", EPOCHS)
    workflow.edit_config("experiments.short.early_stopping", None)
    return workflow


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def kill_all(process, pid):
    """End snakemake and its jobs at once, without a word."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: is_gone(pid))


def leave_half_written_files(workflow):
    """Put what a less careful writer would have left where the outputs of the training belong."""
    for name in HALF_WRITTEN:
        path = workflow.folder / MODEL
        path.with_name(name).write_bytes(b"half")
        path.with_name(f".{name}").write_bytes(b"half")


def check_the_killed_run_failed(workflow):
    """Of the three trainings the first was replaced, the second killed; nothing is running."""
    runs = workflow.tracked_runs("tiny/stages", "attributes.run_name = 'train_network short'")
    runs.sort(key=lambda run: run.info.start_time)
    assert [(run.info.status, run.data.tags["current"]) for run in runs] == [
        ("FINISHED", "false"),
        ("FAILED", "false"),
        ("FINISHED", "true"),
    ]
    assert "process" in runs[1].data.tags["mlflow.note.content"]
    for name in ("tiny", "tiny/stages"):
        assert workflow.tracked_runs(name, "attributes.status = 'RUNNING'") == []


def test_a_killed_training_job_leaves_nothing_and_is_done_again(training):
    with training.started(MODEL) as process:
        pid = pid_at_work(training)
        os.kill(pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "train_network" in output
    assert "Traceback" not in output
    assert not any((training.folder / MODEL).with_name(name).exists() for name in HALF_WRITTEN)

    assert training.rerun(MODEL) == {"train_network short"}
    check_the_training_is_whole(training)
    check_the_killed_run_failed(training)


@pytest.mark.slow
def test_a_killed_workflow_is_unlocked_and_goes_on_without_half_written_files(training):
    with training.started(MODEL) as process:
        pid = pid_at_work(training)
        os.kill(pid, signal.SIGSTOP)  # so that it does not end meanwhile
        # While snakemake lives its lock stays, whoever asks.
        assert training.gallerist("unlock").stdout == ""
        second = training.run(MODEL, check=False)
        assert second.returncode != 0
        assert "locked" in second.stdout
        assert jobs_of(second) == set()
        kill_all(process, pid)

    leave_half_written_files(training)
    assert "locked" in training.run(MODEL, check=False).stdout
    assert "removed the lock" in training.gallerist("unlock").stdout
    assert training.rerun(MODEL) == {"train_network short"}
    check_the_training_is_whole(training)
    check_the_killed_run_failed(training)


@pytest.mark.slow
def test_the_whole_workflow_is_completed_after_a_kill(training):
    with training.started() as process:
        kill_all(process, pid_at_work(training))
    training.gallerist("unlock")
    assert training.rerun() == chain("short") | COMPARE
    assert training.dry_run() == set()
    check_the_training_is_whole(training)
    check_the_killed_run_failed(training)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_workflow_ends_its_jobs_and_leaves_no_lock(training, number):
    with training.started(MODEL) as process:
        pid = pid_at_work(training)
        os.killpg(process.pid, number)  # as Ctrl-C in a terminal, and a batch system, do
        process.communicate(timeout=120)
    assert process.returncode != 0
    wait_for(lambda: is_gone(pid))
    assert not (training.folder / MODEL).exists()

    assert training.rerun(MODEL) == {"train_network short"}
    check_the_training_is_whole(training)
    runs = training.tracked_runs("tiny/stages", "attributes.run_name = 'train_network short'")
    assert sorted(run.info.status for run in runs) == ["FAILED", "FINISHED", "FINISHED"]
