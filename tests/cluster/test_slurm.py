"""On a Slurm of two nodes: the results of a local run, whatever befalls jobs and nodes."""

import os
import shutil
import signal
import subprocess

import pytest
from benchmarks.equality import compare
from tiny_workflow import jobs_of, wait_for
from two_nodes import MODEL, OnCluster, trained  # makes benchmarks importable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

MOMENTS = range(3)
"""Each fault comes so often, at other moments."""


def test_by_the_profile_alone_the_results_are_those_of_a_local_run(
    finished_workflow, tmp_path, nodes
):
    """Threads of 8 and 4 are more than a node has, and no job asks for a GPU that there is not."""
    workflow = finished_workflow.copy(tmp_path / "gallerist")
    for path in (workflow.folder / "results", workflow.folder / ".snakemake"):
        path.rename(path.with_name(f"local_{path.name}"))
    workflow.edit_config("cluster.least_minutes", 0)
    OnCluster(workflow, nodes).run()
    local = workflow.folder / "local_results/tiny"
    _, differences = compare(local, workflow.results)
    assert differences == []
    for name in ("comparison/comparison.csv", "rankings/long.csv", "rankings/short.csv"):
        assert (workflow.results / name).is_file()
    sent = nodes.jobs(workflow.folder)
    assert len(sent) == len(jobs_of(finished_workflow.first_run))
    assert {each.state for each in sent} == {"COMPLETED"}


def test_small_jobs_run_beside_the_workflow(workflow, nodes):
    """No job of a data set so small has two processor minutes of work."""
    workflow.edit_config("search.depth", 8)
    OnCluster(workflow, nodes).run()
    assert nodes.jobs(workflow.folder) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_jobs_of_a_node_that_fails_go_on_elsewhere(moment, on_cluster, nodes, undisturbed):
    with on_cluster.started(MODEL) as process:
        job = on_cluster.training_at(moment)
        nodes("kill", job.node)
        said, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, said[-3000:]
    on_cluster.check_the_training(undisturbed)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_training_that_is_preempted_goes_on_later(moment, on_cluster, nodes, undisturbed):
    with on_cluster.started(MODEL) as process:
        on_cluster.training_at(moment)
        urgent = ["sbatch", "-p", "urgent", "-N", "2", "-c", "2", "--wrap", "sleep 5"]
        subprocess.run(urgent, check=True, cwd=on_cluster.workflow.folder)
        said, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, said[-3000:]
    on_cluster.check_the_training(undisturbed)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_workflow_that_is_started_again_waits_for_what_still_runs(
    moment, on_cluster, nodes, undisturbed
):
    """And nothing is computed twice the first time. What was made before, with other parameters,
    is made once more: Snakemake notes the new ones where the workflow runs.
    """
    workflow = on_cluster.workflow
    shutil.rmtree(workflow.folder / ".snakemake/metadata")
    shutil.rmtree((workflow.folder / MODEL).parent)
    with on_cluster.started(MODEL) as process:
        job = on_cluster.training_at(moment)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    workflow.gallerist("unlock")
    said = on_cluster.run(MODEL).stdout
    assert f"Slurm: {job.number}" in said
    assert len(nodes.jobs(workflow.folder)) == 1
    assert "training goes on" not in on_cluster.log.read_text(encoding="utf-8")  # never disturbed
    assert trained(workflow) == undisturbed


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_job_above_its_memory_gets_more(moment, on_cluster, undisturbed):
    """Of the first attempt Slurm ends the job as soon as it sees how much it takes."""
    asked = f"train_network:mem_mb=attempt * {500 + 100 * moment} + (attempt - 1) * 3000"
    said = on_cluster.run(MODEL, "--set-resources", asked).stdout
    assert "Trying to restart job" in said
    assert trained(on_cluster.workflow) == undisturbed


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_job_at_its_time_limit_stores_what_it_has_and_goes_on_with_more(
    moment, on_cluster, undisturbed
):
    asked = "train_network:runtime=1 if attempt == 1 else 30"
    said = on_cluster.run(MODEL, "--set-resources", asked).stdout
    assert "TIMEOUT" in said
    on_cluster.check_the_training(undisturbed)


def test_a_job_gets_a_gpu_where_the_profile_names_a_partition_with_one(on_cluster, nodes):
    asked = ["train_network:gpu=1", "train_network:slurm_partition=cards"]
    with on_cluster.started(MODEL, "--set-resources", *asked) as process:
        job = wait_for(lambda: nodes.running(on_cluster.workflow.folder, "train_network"))
        told = subprocess.run(
            ["scontrol", "show", "job", job.number], capture_output=True, text=True, check=True
        )
        process.terminate()
        process.communicate(timeout=120)
    assert "gres/gpu=1" in told.stdout
    assert job.node == "n2"
