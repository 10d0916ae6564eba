"""Pruning deletes what is superseded, for good, and nothing else."""

import shutil
from pathlib import Path

import pytest
from tracked import Runs, a_record, content, refreshed, store_in

from gallerist.records.history import History
from gallerist.records.record import Artifact, write_record
from gallerist.tracking.client import connect, experiment_id
from gallerist.tracking.pruning import prune
from gallerist.tracking.runs import show_at_work
from gallerist.tracking.store import Store, TrackingError


def executed(folder, number, name="worst", **changes):
    """The number-th execution of one job: its picture and record replace those of the one before.

    One that failed leaves no record beside its output.
    """
    picture = folder / f"{name}.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(f"{name} {number}".encode())
    moment = f"2026-01-01T1{number}:00:00.000+00:00"
    record = a_record(
        folder.name,
        experiment=name,
        started=moment,
        finished=moment,
        artifacts=(Artifact(str(picture), "pictures"),),
        **changes,
    )
    History(folder).keep(record)
    if record.status == "finished":
        write_record(folder / f"{name}.record.json", record)
    return record


def executions(results, name):
    return [run["tags"].get("gallerist.execution") for run in Runs(results).of(name)]


def test_superseded_and_failed_runs_go_and_stay_away(results, dataset, store):
    folder, stages = results / dataset, f"{dataset}/stages"
    rows = [executed(folder, n, "row", destination="comparison") for n in range(2)]
    jobs = [executed(folder, n) for n in range(3)]
    failed = executed(folder, 3, status="failed", error="no space left on device")
    assert refreshed(store, dataset, folder) == 6
    before = {run["tags"]["gallerist.execution"]: run for run in Runs(results).of(stages)}
    assert set(before) == {record.execution for record in [*jobs, failed]}

    pruned = prune(store, dataset, folder)
    assert pruned.runs == {dataset: 1, stages: 3}
    assert (pruned.failed, pruned.for_good) == (1, True)
    assert "Deleted 4 superseded runs" in str(pruned)
    (row,), (run,) = Runs(results).of(dataset), Runs(results).of(stages)
    assert row["tags"]["gallerist.execution"] == rows[1].execution
    assert run == before[jobs[2].execution]
    # Nothing is left of the others: in the database, among the artifacts, in the history.
    gone = [before[record.execution]["id"] for record in [*jobs[:2], failed]]
    for table in ("runs", "tags", "params", "metrics", "latest_metrics"):
        left = {key for (key,) in Runs(results).query(f"SELECT run_uuid FROM {table}")}
        assert not left & set(gone)
    assert not any(list(results.rglob(key)) for key in gone)
    kept = {entry.record.execution for entry in History(folder).entries()}
    assert kept == {rows[1].execution, jobs[2].execution}
    assert len(list(History(folder).folder.glob("files/*/*"))) == 2

    assert refreshed(store, dataset, folder) == 0
    assert str(prune(store, dataset, folder)) == (
        f"No superseded run in {dataset} or {stages}: nothing is deleted."
    )
    assert Runs(results).of(stages) == [run]


def test_pruned_runs_do_not_come_back_with_a_rebuilt_database(tmp_path, dataset):
    folder, store = tmp_path / "results" / dataset, store_in(tmp_path / "results")
    jobs = [executed(folder, n) for n in range(2)]
    prune(store, dataset, folder)
    before = [content(run) for run in Runs(folder.parent).of(f"{dataset}/stages")]
    assert [run["tags"]["gallerist.execution"] for run in before] == [jobs[1].execution]
    elsewhere = Store(f"sqlite:///{tmp_path}/new.db", (tmp_path / "new").as_uri(), 60.0)
    assert refreshed(elsewhere, dataset, folder) == 1


def test_runs_of_others_and_runs_at_work_are_left_alone(results, dataset, store):
    folder, stages = results / dataset, f"{dataset}/stages"
    for number in range(2):
        executed(folder, number)
    assert refreshed(store, dataset, folder) == 2
    client = connect(store.uri)
    identity = experiment_id(client, stages)
    foreign = client.create_run(identity, tags={"current": "false"}).info.run_id
    client.set_terminated(foreign)
    deleted_by_others = client.create_experiment(f"old work {dataset}")
    theirs = client.create_run(deleted_by_others).info.run_id
    client.delete_experiment(deleted_by_others)
    at_work = a_record(dataset, status="running", finished=None, curves={"loss": [(1, 1.0)]})
    show_at_work(client, at_work)

    assert prune(store, dataset, folder).runs == {dataset: 0, stages: 1}
    assert client.get_run(foreign).info.lifecycle_stage == "active"
    assert client.get_run(theirs).info.run_id == theirs
    assert at_work.execution in executions(results, stages)


def test_a_run_whose_record_lies_beside_its_output_is_never_deleted(results, dataset, store):
    """Two files can tell of one subject, such as results of an older layout: both are there."""
    folder = results / dataset
    older = executed(folder, 0)
    (folder / "worst.record.json").rename(folder / "older.record.json")
    newer = executed(folder, 1)
    prune(store, dataset, folder)
    assert set(executions(results, f"{dataset}/stages")) == {older.execution, newer.execution}


def test_what_somebody_deleted_in_mlflow_and_is_superseded_goes_for_good(results, dataset, store):
    folder, stages = results / dataset, f"{dataset}/stages"
    old, new = (executed(folder, n) for n in range(2))
    refreshed(store, dataset, folder)
    client = connect(store.uri)
    (run,) = (r for r in Runs(results).of(stages) if r["tags"]["current"] == "false")
    client.delete_run(run["id"])
    assert prune(store, dataset, folder).runs[stages] == 1
    assert Runs(results).query("SELECT 1 FROM runs WHERE run_uuid = ?", run["id"]) == []
    assert [entry.record.execution for entry in History(folder).entries()] == [new.execution]
    assert old.execution not in executions(results, stages)


def test_without_mlflow_nothing_is_deleted(tmp_path, dataset):
    folder = tmp_path / "results" / dataset
    for number in range(2):
        executed(folder, number)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    store = Store(f"sqlite:///{blocked}/mlflow.db", Path(blocked).as_uri(), 5.0)
    with pytest.raises(TrackingError, match="nothing is deleted"):
        prune(store, dataset, folder)
    assert len(History(folder).entries()) == 2
    shutil.rmtree(folder)
