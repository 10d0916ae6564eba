"""MLflow is a view of the results: rebuilt from them by one command, pruned on request."""

import json

import pytest
from edits import COMPARE, EVALUATE, chain, each, the_ks_are_changed, the_tracking_store_is_deleted
from shown_in_mlflow import counts, everything_shown

SEARCH_SCRIPT = "scripts/search_gallery.py"


def logged_lines(result):
    """What a command printed about MLflow."""
    ours = "MLflow lacked", "MLflow has", "Deleted", "No superseded"
    return [line for line in result.stdout.splitlines() if line.startswith(ours)]


@pytest.mark.slow
def test_a_deleted_store_is_rebuilt_by_one_command(workflow, record_property):
    before = everything_shown(workflow)
    the_tracking_store_is_deleted(workflow)
    result = workflow.gallerist("sync")
    records = len([*workflow.results.rglob("*.record.json")])
    assert records > 10
    assert logged_lines(result) == [f"MLflow lacked {records} runs of tiny: they are logged now."]
    assert everything_shown(workflow) == before
    assert workflow.dry_run() == set()
    record_property("counts", json.dumps(counts(before)))


@pytest.fixture(scope="module")
def with_a_past(finished_workflow, tmp_path_factory):
    """Two reruns of other settings, a search that failed, and the same search repaired."""
    workflow = finished_workflow.copy(tmp_path_factory.mktemp("past") / "gallerist")
    the_ks_are_changed(workflow)
    assert workflow.rerun() == EVALUATE
    workflow.edit_config("experiments.short.epochs", 3)
    assert workflow.rerun() == chain("short") | COMPARE

    repaired = (workflow.folder / SEARCH_SCRIPT).read_text(encoding="utf-8")
    workflow.edit_text(SEARCH_SCRIPT, "with stage(snakemake) as run:", BROKEN)
    failed = workflow.run(check=False)
    assert failed.returncode != 0
    assert "the index is broken" in failed.stdout
    (workflow.folder / SEARCH_SCRIPT).write_text(repaired, encoding="utf-8")
    assert workflow.rerun() == each("search_gallery") | EVALUATE
    return workflow


BROKEN = """with stage(snakemake) as run:
    run.parameters(attempt=1)
    raise ValueError("the index is broken")"""


@pytest.fixture
def past(with_a_past, tmp_path):
    return with_a_past.copy(tmp_path / "gallerist")


@pytest.mark.slow
def test_superseded_and_failed_runs_are_rebuilt_too_with_their_pictures(past, record_property):
    before = everything_shown(past)
    found = counts(before)
    record_property("counts", json.dumps(found))
    # Rows: both of the first run, of other k, and of the repaired search; one of other epochs.
    assert found["tiny"] == 7
    assert found["failed"] == 2
    # All but the 21 of the first run that are in force now.
    assert found["superseded"] == found["tiny"] + found["tiny/stages"] - 21
    pictures = {
        run["artifacts"]["pictures/classes.png"][1]
        for run in before["tiny"].values()
        if run["name"] == "short"
    }
    assert len(pictures) > 1  # they differ, so that a mix-up would show

    the_tracking_store_is_deleted(past)
    assert (
        f"MLflow lacked {found['tiny'] + found['tiny/stages']} runs"
        in logged_lines(past.gallerist("sync"))[0]
    )
    assert everything_shown(past) == before
    assert logged_lines(past.gallerist("sync")) == ["MLflow has every run of tiny."]
    assert everything_shown(past) == before


@pytest.mark.slow
def test_pruned_runs_go_and_stay_away(past):
    before = everything_shown(past)
    current = {
        name: {
            execution: run for execution, run in shown.items() if run["tags"]["current"] == "true"
        }
        for name, shown in before.items()
    }
    gone = counts(before)["superseded"]
    (line,) = logged_lines(past.gallerist("prune"))
    assert line.startswith(f"Deleted {gone} superseded runs: 5 in tiny, {gone - 5} in tiny/stages;")
    assert "; 2 of them had failed." in line
    assert everything_shown(past) == current
    kept = {path.stem for path in past.results.glob("history/*.json")}
    assert kept == {execution for shown in current.values() for execution in shown}
    assert past.dry_run() == set()

    assert logged_lines(past.gallerist("sync")) == ["MLflow has every run of tiny."]
    assert everything_shown(past) == current
    the_tracking_store_is_deleted(past)
    past.gallerist("sync")
    assert everything_shown(past) == current
    assert "nothing is deleted" in logged_lines(past.gallerist("prune"))[0]


@pytest.mark.slow
def test_what_an_outage_hid_is_logged_once_failures_included(past):
    before = everything_shown(past)
    past.edit_config("tracking", {"uri": "http://127.0.0.1:9", "patience": 5})  # nobody is there
    past.edit_text(SEARCH_SCRIPT, "with stage(snakemake) as run:", BROKEN)
    assert past.run("results/tiny/rankings/long.csv", check=False).returncode != 0
    refused = past.gallerist("sync", check=False)
    assert refused.returncode != 0
    assert "MLflow could not be reached" in refused.stdout

    past.remove_config("tracking")
    assert (
        logged_lines(past.gallerist("sync"))[0] == "MLflow lacked 1 run of tiny: it is logged now."
    )
    after = everything_shown(past)
    (execution,) = set(after["tiny/stages"]) - set(before["tiny/stages"])
    late = after["tiny/stages"].pop(execution)
    assert (late["name"], late["status"]) == ("search_gallery long", "FAILED")
    assert "the index is broken" in late["tags"]["mlflow.note.content"]
    assert late["artifacts"]["log/long.log"][0] > 0
    assert after == before
