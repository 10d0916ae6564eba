"""The page of a data set in MLflow: its description, columns and charts."""

import json

import pytest
from tracked import a_record, store_in

from gallerist.io.metric_names import accuracies
from gallerist.records.record import RUN_ID
from gallerist.tracking.client import connect
from gallerist.tracking.experiment_page import CURRENT, VIEW, address, experiment_tags
from gallerist.tracking.runs import log_record
from gallerist.tracking.store import database_path, known_experiment, prepare

METRICS = {"top-10": 0.9, "top-1": 0.5, "mAP": 0.3, "top-3": 0.7, "intervals/top-1 low": 0.4}


def a_row(**changes):
    return a_record("mine", destination="comparison", stage="experiment", **changes)


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A store with a row and a job. Gives the folder, and both MLflow experiments and runs."""
    folder = tmp_path_factory.mktemp("page")
    store = store_in(folder)
    prepare(store.uri, store.artifact_root, ["mine", "mine/stages"])
    client = connect(store.uri)
    note = {"mlflow.note.content": f"![strip](get-artifact?run_uuid={RUN_ID})"}
    log_record(client, a_row(metrics=METRICS, tags=note))
    log_record(client, a_record("mine", tags={"purpose": "pictures -> a network."}))
    experiments = [client.get_experiment_by_name(name) for name in ("mine", "mine/stages")]
    runs = [client.search_runs([each.experiment_id])[0] for each in experiments]
    return store, experiments, runs


def test_hit_rates_come_in_the_order_of_their_k():
    assert accuracies(METRICS) == ["top-1", "top-3", "top-10", "mAP"]
    assert accuracies({"MRR": 1.0}) == []


def test_the_view_shows_the_accuracies_first_and_sorts_by_map_without_superseded_rows():
    view = json.loads(experiment_tags(a_row(metrics=METRICS))[f"mlflow.sharedViewState.{VIEW}"])
    assert view["selectedColumns"][:4] == [
        f"metrics.`{name}`" for name in ("top-1", "top-3", "top-10", "mAP")
    ]
    assert "params.`backbone`" in view["selectedColumns"]
    assert view["columnOrder"][1:] == view["selectedColumns"]
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`mAP`", False)
    assert view["searchFilter"] == CURRENT
    assert "hit rate at k" in [chart["metricKey"] for chart in view["compareRunCharts"]]
    sections = {section["uuid"] for section in view["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in view["compareRunCharts"]} <= sections


def test_the_experiments_in_mlflow_say_what_they_list(logged):
    _, (rows, jobs), _ = logged
    assert "A row is an experiment" in rows.tags["mlflow.note.content"]
    assert CURRENT in rows.tags["mlflow.note.content"]
    assert f"mlflow.sharedViewState.{VIEW}" in rows.tags
    assert "A run is one job" in jobs.tags["mlflow.note.content"]
    assert f"mlflow.sharedViewState.{VIEW}" not in jobs.tags


def test_a_note_gets_the_id_of_its_run(logged):
    _, _, (row, _) = logged
    strip = f"![strip](get-artifact?run_uuid={row.info.run_id})"
    assert row.data.tags["mlflow.note.content"] == strip


def test_a_job_without_a_note_says_what_it_does_and_with_which_pictures(logged):
    _, _, (_, job) = logged
    text = job.data.tags["mlflow.note.content"]
    assert text.startswith("**train_network scratch** on the data set **mine**.")
    assert "What it does: pictures -> a network." in text
    assert "Pictures: mine gallery (600)." in text


def test_the_id_of_the_comparison_is_found_without_mlflow(logged):
    store, (rows, _), _ = logged
    database = database_path(store.uri)
    assert known_experiment(database, "mine") == rows.experiment_id
    assert known_experiment(database, "other") is None
    there = address("http://127.0.0.1:5000", rows.experiment_id)
    assert there.startswith(f"http://127.0.0.1:5000/#/experiments/{rows.experiment_id}/runs?")
    assert there.endswith(f"viewStateShareKey={VIEW}")
