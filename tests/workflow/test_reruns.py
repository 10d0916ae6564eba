"""Which jobs are done again after which edit: exactly those whose result it can change."""

import re
from collections import Counter

import pytest
from edits import (
    EDITS,
    EVERYTHING,
    EXTRACTION,
    LEAKS,
    QUIET,
    REALLY,
    SEARCH,
    a_gallery_picture_is_replaced_by_another,
    dry_runs,
    the_ks_are_changed,
    the_tracking_store_is_deleted,
    the_tracking_store_is_moved,
)
from tiny_workflow import jobs_of, outputs_of


def cases(edits):
    return pytest.mark.parametrize(("change", "expected"), edits)


@pytest.fixture(scope="module")
def planned(request, finished_workflow, tmp_path_factory):
    """Edit -> a future of the jobs it calls for. All that are asked for start together."""
    wanted = [
        item.callspec.params["change"]
        for item in request.session.items
        if item.path == request.path and "planned" in item.fixturenames
    ]

    changes = {change: change for change in wanted}
    with dry_runs(finished_workflow, changes, tmp_path_factory, QUIET.values()) as calls:
        yield calls


def rerun_and_check_the_rest(workflow, expected, first_run):
    """Run for real: the expected jobs, no other file changed, and nothing left to do."""
    others = [
        path
        for job, paths in outputs_of(first_run).items()
        if job not in expected
        for path in paths
    ]
    before = workflow.content(others)
    assert workflow.rerun() == expected
    assert workflow.content(others) == before
    assert workflow.dry_run() == set()


def test_the_first_run_does_every_job_once(finished_workflow):
    assert jobs_of(finished_workflow.first_run) == EVERYTHING
    assert set(outputs_of(finished_workflow.first_run)) == EVERYTHING


def test_without_an_edit_nothing_is_done(workflow):
    workflow.count_writers()
    result = workflow.run()
    assert jobs_of(result) == set()
    assert "Nothing to be done" in result.stdout
    workflow.run("--unlock")
    assert workflow.writers == 0


@cases(EDITS)
def test_an_edit_calls_for_exactly_the_jobs_it_can_change(planned, change, expected):
    assert planned[change].result() == expected


@pytest.mark.slow
@cases(REALLY)
def test_a_real_rerun_does_these_jobs_and_leaves_every_other_file_alone(
    workflow, finished_workflow, change, expected
):
    change(workflow)
    rerun_and_check_the_rest(workflow, expected, finished_workflow.first_run)


def test_a_replaced_gallery_picture_retrains_nothing_and_replaces_its_runs_in_mlflow(
    workflow, finished_workflow
):
    a_gallery_picture_is_replaced_by_another(workflow)
    the_ks_are_changed(workflow)
    done = {"import_images gallery"} | LEAKS | EXTRACTION | SEARCH
    rerun_and_check_the_rest(workflow, done, finished_workflow.first_run)
    columns = workflow.rows("comparison/comparison.csv")[0]
    assert [name for name in columns if re.fullmatch(r"top-\d+", name)] == ["top-1", "top-2"]

    workflow.gallerist("sync")  # a busy machine's MLflow may have been too slow for it
    stages, rows = workflow.tracked_runs("tiny/stages"), workflow.tracked_runs("tiny")
    assert {run.info.status for run in stages + rows} == {"FINISHED"}
    # Every job has one current run, its latest; a job that was done again has the old one too.
    runs = Counter(run.info.run_name for run in stages)
    assert runs == {job: 2 if job in done else 1 for job in EVERYTHING}
    current = {run.info.run_name: run for run in stages if run.data.tags["current"] == "true"}
    assert set(current) == EVERYTHING
    for run in stages:
        if run.data.tags["current"] == "false":
            assert run.info.start_time < current[run.info.run_name].info.start_time
    # One row an experiment is current, and it is the new one.
    said = [(row.data.tags["gallerist.experiment"], row.data.tags["current"]) for row in rows]
    assert sorted(said) == [
        ("long", "false"),
        ("long", "true"),
        ("short", "false"),
        ("short", "true"),
    ]
    old = {row.info.run_id for row in finished_workflow.tracked_runs("tiny")}
    assert {row.info.run_id for row in rows if row.data.tags["current"] == "false"} == old


@pytest.mark.slow
@pytest.mark.parametrize("change", [the_tracking_store_is_deleted, the_tracking_store_is_moved])
def test_a_store_without_runs_is_filled_from_the_records_when_a_job_is_done(workflow, change):
    change(workflow)
    workflow.edit_config("dataset.near_duplicate_distance", 5)
    assert workflow.rerun() == LEAKS
    # All that was recorded before the start, and then what was done.
    runs = workflow.tracked_runs("tiny/stages")
    assert Counter(run.info.run_name for run in runs) == {
        job: 2 if job in LEAKS else 1 for job in EVERYTHING
    }
    current = [run.info.run_name for run in runs if run.data.tags["current"] == "true"]
    assert sorted(current) == sorted(EVERYTHING)
    rows = workflow.tracked_runs("tiny")
    assert sorted((row.info.run_name, row.data.tags["current"]) for row in rows) == [
        ("long", "true"),
        ("short", "true"),
    ]


@pytest.mark.slow
def test_a_deleted_store_is_filled_from_the_records_also_when_nothing_is_to_do(workflow):
    the_tracking_store_is_deleted(workflow)
    assert workflow.rerun() == set()
    workflow.gallerist("summary")  # as `make run` does at its end
    assert len(workflow.tracked_runs("tiny")) == 2


def test_jobs_use_the_library_of_their_own_checkout(workflow):
    """Whichever checkout is installed in the environment. One process shows it in MLflow."""
    workflow.count_writers()
    with (workflow.folder / "scripts/gallerist/evaluation/comparison_page.py").open(
        "a", encoding="utf-8"
    ) as file:
        file.write('\nraise ValueError("this is the edited library")\n')
    workflow.dry_run()
    assert workflow.writers == 0
    result = workflow.run(check=False, env={"PYTHONPATH": ""})
    assert workflow.writers == 1
    assert "ValueError: this is the edited library" in result.stdout
