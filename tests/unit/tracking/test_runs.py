"""A record as a run in MLflow: whole, once, and the right one current.

The stores are real SQLite databases, read with sqlite3.
"""

import logging
import math
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from tracked import Runs, a_record, running, store_in

from gallerist.records.provenance import host
from gallerist.records.record import Artifact, ImageSet
from gallerist.tracking.client import connect
from gallerist.tracking.runs import log_record, open_run, sync
from gallerist.tracking.store import TrackingError, prepare


def test_a_record_is_logged_whole(client, dataset, results, tmp_path):
    (tmp_path / "picture.png").write_bytes(b"png")
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "a.txt").write_text("a")
    record = a_record(
        dataset,
        artifacts=(
            Artifact(str(tmp_path / "picture.png"), "pictures"),
            Artifact(str(tmp_path / "maps")),
        ),
    )
    assert log_record(client, record)
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert (run["name"], run["status"]) == ("train_network scratch", "FINISHED")
    assert run["times"] == (1767261600000, 1767261610500)
    assert run["parameters"] == {
        "epochs": "3", "learning_rate": "0.0001", "weights": "None", "frozen": "True",
    }  # fmt: skip
    assert run["points"] == [
        ("accuracy", 1, 0.5, 0), ("accuracy", 2, 0.75, 0),
        ("loss", 1, 2.0, 0), ("loss", 2, 1.5, 0), ("loss", 3, 1.25, 0),
        ("seconds", 0, 10.5, 0), ("top_1", 0, 0.25, 0),
    ]  # fmt: skip
    assert run["artifacts"] == ["maps/a.txt", "pictures/picture.png", "run.json"]
    assert run["datasets"] == [
        (f"{dataset} gallery", "e" * 36, '{"uri": "results/m.csv"}', '{"images": 600}')
    ]
    assert (
        run["tags"]
        | {
            "current": "true",
            "mlflow.runName": "train_network scratch",
            "mlflow.source.git.commit": "c" * 40,
            "gallerist.git_dirty": "false",
            "gallerist.dataset": dataset,
            "gallerist.stage": "train_network",
            "gallerist.experiment": "scratch",
            "gallerist.execution": record.execution,
            "gallerist.host": host(),
            "gallerist.pid": str(os.getpid()),
            "version.python": "3.11.7",
            "weights": "random",
        }
        == run["tags"]
    )


def test_a_record_is_logged_once(client, dataset, results):
    record = a_record(dataset)
    assert [log_record(client, record) for _ in range(3)] == [True, False, False]
    assert len(Runs(results).of(f"{dataset}/stages")) == 1


def test_a_comparison_goes_to_the_experiment_of_its_data_set(client, dataset, results):
    log_record(client, a_record(dataset, destination="comparison", title="scratch"))
    assert [run["name"] for run in Runs(results).of(dataset)] == ["scratch"]
    assert Runs(results).of(f"{dataset}/stages") == []


def test_long_values_are_cut_and_odd_names_replaced(client, dataset, results):
    record = a_record(
        dataset,
        parameters={"long": "x" * 7000, "empty": ""},
        metrics={"recall@5 (%)": 50.0, "a//b": 1.0},
    )
    log_record(client, record)
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert len(run["parameters"]["long"]) == 6000
    assert run["parameters"]["long"].endswith("cut from 7000 characters: the record has them all)")
    assert run["parameters"]["empty"] == ""
    assert run["shown"] == {"recall_5 ___": 50.0, "a__b": 1.0, "loss": 1.25, "accuracy": 0.75}


def test_a_diverged_loss_is_shown_as_such_once(client, dataset, results):
    record = a_record(dataset, curves={"loss": [(1, math.nan), (2, math.inf)]})
    opened = open_run(client, running(record))
    client.log_metric(opened, "loss", math.nan, 1, 1)
    client.log_metric(opened, "loss", math.inf, 2, 2)
    log_record(client, record)
    (run,) = Runs(results).of(f"{dataset}/stages")
    loss = [point for point in run["points"] if point[0] == "loss"]
    assert loss == [("loss", 1, 0.0, 1), ("loss", 2, sys.float_info.max, 0)]


@pytest.mark.parametrize("outcome", [0.9, 0.1])
def test_a_metric_named_like_a_curve_is_what_mlflow_shows(client, dataset, results, outcome):
    record = a_record(dataset, metrics={"top_1": outcome}, curves={"top_1": [(1, 0.3), (2, 0.5)]})
    log_record(client, record)
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert run["shown"]["top_1"] == outcome


def test_an_outcome_that_ends_its_curve_is_no_second_point(client, dataset, results):
    record = a_record(dataset, metrics={"top_1": 0.5}, curves={"top_1": [(1, 0.3), (2, 0.5)]})
    log_record(client, record)
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert run["points"] == [("top_1", 1, 0.3, 0), ("top_1", 2, 0.5, 0)]


def test_a_run_left_open_is_completed_and_not_doubled(client, dataset, results):
    record = a_record(dataset)
    opened = open_run(client, running(record))
    client.log_metric(opened, "loss", 2.0, 5, 1)
    assert log_record(client, record)
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert (run["id"], run["status"]) == (opened, "FINISHED")
    assert [point[1:3] for point in run["points"] if point[0] == "loss"] == [
        (1, 2.0), (2, 1.5), (3, 1.25),
    ]  # fmt: skip


@pytest.mark.parametrize("again", ["a sync", "the stage"])
def test_what_a_hanging_server_opened_after_all_is_deleted(client, dataset, results, again):
    record = a_record(dataset)
    log_record(client, record)
    logged = Runs(results).of(f"{dataset}/stages")
    for _ in range(2):  # the server answers a request that its sender gave up, and sent again
        open_run(client, running(record))
    if again == "a sync":
        assert sync(client, [record]) == (0, 0)
    else:
        assert log_record(client, record) is False
    assert Runs(results).of(f"{dataset}/stages") == logged


def test_a_record_that_two_logged_at_once_is_shown_once(client, dataset, results):
    record = a_record(dataset)
    log_record(client, record)
    second = open_run(client, running(record))
    client.set_tag(second, "gallerist.logged", "finished")
    assert sync(client, [record]) == (0, 0)
    assert len(Runs(results).of(f"{dataset}/stages")) == 1


def test_a_parameter_that_changed_on_the_way_replaces_the_run(client, dataset, results):
    record = a_record(dataset)
    opened = open_run(client, replace(running(record), parameters={"weights": "auto"}))
    log_record(client, record)
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert run["id"] != opened
    assert run["parameters"]["weights"] == "None"


def test_a_failed_record_ends_failed_with_its_reason_and_is_never_current(client, dataset, results):
    record = a_record(dataset, status="failed", error="no picture could be read")
    assert [log_record(client, record) for _ in range(2)] == [True, False]
    (run,) = Runs(results).of(f"{dataset}/stages")
    assert (run["status"], run["tags"]["current"]) == ("FAILED", "false")
    assert run["tags"]["mlflow.note.content"] == "Failed: no picture could be read"


def test_a_new_execution_takes_over_from_the_one_it_replaces_only(client, dataset, results):
    old, new = a_record(dataset, title="old"), a_record(dataset, title="new")
    others = [
        a_record(dataset, title="other network", experiment="resnet"),
        a_record(dataset, title="other part", part="query"),
        a_record(dataset, title="other stage", stage="evaluate_retrieval"),
    ]
    failed = a_record(dataset, title="failed", status="failed", error="x")
    for record in (old, *others, new, failed):
        log_record(client, record)
    current = {run["name"]: run["tags"]["current"] for run in Runs(results).of(f"{dataset}/stages")}
    assert current == {
        "old": "false", "other network": "true", "other part": "true", "other stage": "true",
        "new": "true", "failed": "false",
    }  # fmt: skip


def test_artifacts_that_could_not_be_copied_come_with_the_next_try(tmp_path):
    store = store_in(tmp_path)
    record = a_record("mine")
    blocking = tmp_path / "mlflow" / "artifacts"
    blocking.parent.mkdir()
    blocking.write_text("a file where the folder should be")
    prepare(store.uri, store.artifact_root, ["mine", "mine/stages"])
    with pytest.raises(OSError, match="artifacts"):
        log_record(connect(store.uri), record)
    blocking.unlink()
    assert sync(connect(store.uri), [record]) == (1, 0)
    (run,) = Runs(tmp_path).of("mine/stages")
    assert (run["status"], run["artifacts"]) == ("FINISHED", ["run.json"])
    assert len(run["points"]) == 7


def test_sync_logs_what_was_missed_and_the_last_finished_becomes_current(client, dataset, results):
    def at(hour, **changes):
        moment = f"2026-01-01T{hour:02d}:00:00+00:00"
        return a_record(dataset, started=moment, finished=moment, title=str(hour), **changes)

    missed, seen, failed = at(9), at(11), at(13, status="failed", error="x")
    log_record(client, seen)
    assert sync(client, [failed, seen, missed]) == (2, 0)
    assert sync(client, [missed, failed, seen]) == (0, 0)
    current = {run["name"]: run["tags"]["current"] for run in Runs(results).of(f"{dataset}/stages")}
    assert current == {"9": "false", "11": "true", "13": "false"}


def test_a_run_that_somebody_deleted_in_mlflow_stays_deleted(client, dataset, results):
    record = a_record(dataset)
    log_record(client, record)
    client.delete_run(Runs(results).of(f"{dataset}/stages")[0]["id"])
    assert sync(client, [record]) == (0, 0)
    assert Runs(results).of(f"{dataset}/stages") == []


def test_one_record_that_mlflow_refuses_holds_up_no_other(client, dataset, results, caplog):
    refused = a_record(dataset, title="refused", curves={"loss": [(2**70, 1.0)]})
    good = a_record(dataset, title="good")
    with caplog.at_level(logging.WARNING):
        assert sync(client, [refused, good]) == (1, 1)
    assert "refused is not in MLflow yet" in caplog.text
    status = {run["name"]: run["status"] for run in Runs(results).of(f"{dataset}/stages")}
    assert status == {"refused": "FAILED", "good": "FINISHED"}


def test_records_that_mlflow_refuses_in_a_row_end_the_attempt(client, dataset):
    refused = [a_record(dataset, curves={"loss": [(2**70, 1.0)]}, part=str(i)) for i in range(5)]
    with pytest.raises(TrackingError, match="refused 3 records in a row"):
        sync(client, refused)


def test_jobs_that_log_one_new_data_set_at_the_same_time_all_succeed(client, dataset, store):
    """MLflow looks for the data set and adds it when it is missing: two jobs can both miss it."""
    jobs = 6
    together = threading.Barrier(jobs)

    def log(record):
        own = connect(store.uri)
        together.wait()
        return log_record(own, record)

    for turn in range(4):
        shared = ImageSet(f"{dataset} gallery", f"{turn}" * 64, 600, "results/m.csv")
        records = [a_record(dataset, part=str(job), datasets=(shared,)) for job in range(jobs)]
        with ThreadPoolExecutor(jobs) as pool:
            assert list(pool.map(log, records)) == [True] * jobs
    identity = client.get_experiment_by_name(f"{dataset}/stages").experiment_id
    logged = client.search_runs([identity], max_results=100)
    assert [run.info.status for run in logged] == ["FINISHED"] * (4 * jobs)
    assert all(len(run.inputs.dataset_inputs) == 1 for run in logged)
