"""A job that left nothing is made again; what was deleted after it was done is not missed."""

import pytest

from gallerist.workflow.begun import forget_done, mark, without_record


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return "results/mine"


def write(tmp_path, record):
    path = tmp_path / record
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    return path


def test_a_job_that_began_and_left_no_record_is_missed_until_it_does(results, tmp_path):
    record = f"{results}/models/a/training.record.json"
    assert without_record(results) == []
    mark(results, record)
    mark(results, record)
    assert without_record(results) == [record]
    write(tmp_path, record)
    assert without_record(results) == []


def test_a_record_that_is_lost_before_the_workflow_ends_is_missed(results, tmp_path):
    """Snakemake removes what a job made when it does not accept it."""
    record = f"{results}/models/a/training.record.json"
    mark(results, record)
    write(tmp_path, record).unlink()
    forget_done(results)
    assert without_record(results) == [record]


def test_what_is_deleted_when_a_workflow_has_ended_is_not_missed(results, tmp_path):
    done, failed = (f"{results}/{name}.record.json" for name in ("done", "failed"))
    mark(results, done)
    mark(results, failed)
    path = write(tmp_path, done)
    forget_done(results)
    path.unlink()
    assert without_record(results) == [failed]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"\n"])
def test_a_mark_that_a_disk_damaged_is_none(results, tmp_path, content):
    mark(results, f"{results}/a.record.json")
    (path,) = (tmp_path / results / ".begun").iterdir()
    path.write_bytes(content)
    assert without_record(results) == []
    forget_done(results)
