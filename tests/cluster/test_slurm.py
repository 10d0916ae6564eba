"""On a Slurm of two nodes: the results of a local run, whatever befalls jobs and nodes."""

import os
import re
import shutil
import signal
import subprocess

import pytest
from tiny_workflow import all_said, jobs_of, wait_for
from two_nodes import MODEL, OnCluster, compare

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

at_moments = pytest.mark.parametrize("seed", range(3))
"""Each fault comes so often, at epochs that are drawn."""


def test_by_the_profile_alone_the_results_are_those_of_a_local_run(
    finished_workflow, tmp_path, nodes
):
    """Threads of 8 and 4 are more than a node has, and no job asks for a GPU that there is not."""
    workflow = finished_workflow.copy(tmp_path / "gallerist")
    for path in (workflow.folder / "results", workflow.folder / ".snakemake"):
        path.rename(path.with_name(f"local_{path.name}"))
    workflow.edit_config("cluster.least_minutes", 0)
    OnCluster(workflow, nodes).run()
    _, differences = compare(workflow.folder / "local_results/tiny", workflow.results)
    assert differences == []
    for name in ("comparison/comparison.csv", "rankings/long.csv", "rankings/short.csv"):
        assert (workflow.results / name).is_file()
    sent = nodes.jobs(workflow.folder)
    assert len(sent) == len(jobs_of(finished_workflow.first_run))
    assert {each.state for each in sent} == {"COMPLETED"}


def test_small_jobs_run_beside_the_workflow(workflow, nodes):
    """None of a data set so small has two processor minutes of work. One at a time, on one core."""
    workflow.edit_config("search.depth", 8)
    said = all_said(OnCluster(workflow, nodes).run("--local-cores", "1"))
    assert nodes.jobs(workflow.folder) == []
    assert set(re.findall(r"^Execute (\d+) jobs", said, flags=re.MULTILINE)) == {"1"}


@at_moments
def test_the_jobs_of_a_node_that_fails_go_on_elsewhere(seed, on_cluster, nodes, undisturbed):
    with on_cluster.started() as process:
        job = on_cluster.training_at(seed)
        nodes("kill", job.node)
        said, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, said[-3000:]
    on_cluster.check_it_went_on()
    on_cluster.check(undisturbed)


@at_moments
def test_a_training_that_is_preempted_goes_on_later(seed, on_cluster, nodes, undisturbed):
    with on_cluster.started() as process:
        on_cluster.training_at(seed)
        urgent = ["sbatch", "-p", "urgent", "-N", "2", "-c", "2", "--wrap", "sleep 5"]
        subprocess.run(urgent, check=True, cwd=on_cluster.workflow.folder)
        said, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, said[-3000:]
    on_cluster.check_it_went_on()
    on_cluster.check(undisturbed)


@at_moments
def test_a_killed_workflow_that_is_started_again_waits_for_what_still_runs(
    seed, on_cluster, nodes, undisturbed
):
    """And nothing is computed twice: not what was made before with other parameters, either."""
    workflow = on_cluster.workflow
    with on_cluster.started() as process:
        job = on_cluster.training_at(seed)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    workflow.gallerist("unlock")
    said = on_cluster.run().stdout
    assert f"Slurm: {job.number}" in said
    assert [each.number for each in nodes.trainings(workflow.folder)] == [job.number]
    assert "training goes on" not in on_cluster.log.read_text(encoding="utf-8")  # never disturbed
    on_cluster.check(undisturbed)


def test_what_a_killed_workflow_had_sent_is_done_again_with_other_parameters(on_cluster):
    """It was sent with those of then, and Snakemake has noted them."""
    workflow = on_cluster.workflow
    workflow.edit_config("experiments.short.epochs", 10)
    with on_cluster.started(MODEL) as process:
        wait_for(lambda: on_cluster.nodes.training(workflow.folder), seconds=300)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    workflow.gallerist("unlock")
    workflow.edit_config("experiments.short.epochs", 12)
    on_cluster.run(MODEL)
    assert len(workflow.rows("models/short/history.csv")) == 12


@at_moments
def test_a_job_above_its_memory_gets_more_and_goes_on(seed, on_cluster, undisturbed):
    """It takes 2 GB more at some epoch, and Slurm ends it as soon as it sees that."""
    epoch = on_cluster.moment(seed)
    greedy = on_cluster.workflow.folder / "takes_memory_at_epoch"
    greedy.write_text(str(epoch), encoding="utf-8")
    said = on_cluster.run("--set-resources", "train_network:mem_mb=attempt * 2000").stdout
    assert not greedy.exists()
    assert "Trying to restart job" in said
    on_cluster.check_it_went_on()
    on_cluster.check(undisturbed)


@at_moments
def test_a_job_at_its_time_limit_stores_what_it_has_and_goes_on_with_more(
    seed, on_cluster, undisturbed
):
    """The limit is a minute from the start, or that epoch where it comes later."""
    with on_cluster.started() as process:
        job = on_cluster.training_at(seed)
        limit = ["scontrol", "update", f"JobId={job.number}", "TimeLimit=1"]
        subprocess.run(limit, check=True)
        said, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, said[-3000:]
    assert "TIMEOUT" in said
    on_cluster.check_it_went_on()
    on_cluster.check(undisturbed)


def test_4_and_16_shards_on_two_nodes_give_the_bytes_of_one(workflow, nodes):
    """Each node has some of them."""
    workflow.log_nothing()
    workflow.edit_config("cluster.least_minutes", 0)
    workflow.edit_config("experiments.hog", {"descriptor": "hog", "image_size": 32})
    vectors = ["results/tiny/features/hog/gallery.npy", "results/tiny/features/hog/query.npy"]
    found, used = [], set()
    for shards in (1, 4, 16):
        workflow.edit_config("compute", {"shards": shards})
        shutil.rmtree(workflow.results / "store/features/hog", ignore_errors=True)
        before = {each.number for each in nodes.jobs(workflow.folder)}
        OnCluster(workflow, nodes).run("--jobs", "4", *vectors)
        found.append([(workflow.folder / each).read_bytes() for each in vectors])
        sent = [each for each in nodes.jobs(workflow.folder) if each.number not in before]
        assert len(sent) == (1 if shards == 1 else shards + 1)
        used |= {each.node for each in sent}
    assert found[0] == found[1] == found[2]
    assert used == {"n1", "n2"}


def test_a_job_gets_a_gpu_where_the_profile_names_a_partition_with_one(on_cluster, nodes):
    """And no more processors than a node has, though the rule would take eight."""
    asked = ["train_network:gpu=1", "train_network:slurm_partition=cards"]
    with on_cluster.started(MODEL, "--max-threads", "8", "--set-resources", *asked):
        job = wait_for(lambda: nodes.training(on_cluster.workflow.folder), seconds=300)
        told = subprocess.run(
            ["scontrol", "show", "job", job.number], capture_output=True, text=True, check=True
        )
        subprocess.run(["scancel", job.number], check=True)  # the workflow is killed as it is left
    assert re.search(r"TresPer\w+=gres[:/]gpu[:=]1$", told.stdout, flags=re.MULTILINE)
    assert "NumCPUs=2" in told.stdout
    assert job.node == "n2"
