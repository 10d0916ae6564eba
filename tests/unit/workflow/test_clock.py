"""No workflow is planned while one of its files is of a time that is still to come."""

import os
import time

import pytest

from gallerist.io.errors import UserError
from gallerist.workflow import clock
from gallerist.workflow.clock import check_clock


@pytest.fixture
def files(tmp_path):
    """A manifest, a file of the history and a module."""
    found = [
        tmp_path / "results/mine/manifests/gallery.csv",
        tmp_path / "results/mine/history/files/0/a.png",
        tmp_path / "scripts/gallerist/io/files.py",
    ]
    for path in found:
        path.parent.mkdir(parents=True)
        path.write_text("")
    return found


def check(tmp_path):
    check_clock(tmp_path / "results/mine", tmp_path / "scripts")


def set_time(path, ahead):
    os.utime(path, (time.time() + ahead,) * 2)


@pytest.mark.parametrize("number", [0, 2])
def test_a_file_of_the_future_is_named_with_the_way_out(files, tmp_path, number):
    check(tmp_path)
    set_time(files[number], 3600)
    with pytest.raises(UserError) as refusal:
        check(tmp_path)
    message = str(refusal.value)
    assert message.startswith(f"{files[number]} was written at 2")
    assert "Set it right; or" in message
    assert "\n" not in message


def test_the_way_out_is_one(files, tmp_path):
    set_time(files[0], 3600)
    with pytest.raises(UserError) as refusal:
        check(tmp_path)
    assert os.system(str(refusal.value).partition("made again: ")[2]) == 0
    check(tmp_path)


def test_what_no_job_reads_may_be_of_any_time(files, tmp_path):
    set_time(files[1], 3600)
    check(tmp_path)


def test_a_server_that_is_ahead_by_seconds_is_waited_for(files, tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(clock.time, "sleep", slept.append)
    set_time(files[0], 20)
    check(tmp_path)
    assert slept == [pytest.approx(20, abs=5)]


def test_before_the_first_run_there_is_nothing_to_compare(tmp_path):
    check(tmp_path)
