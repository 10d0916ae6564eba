"""A Slurm of two nodes, where one is installed and may be started; else its tests are skipped."""

import os
import shutil
import subprocess

import pytest
from two_nodes import OnCluster, TwoNodes, send_what_networks_do, train_for_long

NEEDED = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "munged", "runuser", "unshare")


@pytest.fixture(scope="session")
def two_nodes(tmp_path_factory):
    """Started once; stopped at the end."""
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="the executor is not installed")
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"Slurm is not installed here: there is no {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("nodes of their own host names can be started by root only")
    nodes = TwoNodes(tmp_path_factory.mktemp("slurm"))
    try:
        nodes("start")
    except subprocess.CalledProcessError as error:
        nodes("stop")
        pytest.skip(f"the Slurm of two nodes does not start here: {error}")
    yield nodes
    nodes("stop")


@pytest.fixture
def nodes(two_nodes):
    """Both are there and idle."""
    two_nodes.whole()
    return two_nodes


@pytest.fixture
def on_cluster(request, workflow, nodes):
    """A workflow with a training to be done, whose fault is called as the test is."""
    workflow.log_nothing()
    train_for_long(workflow)
    send_what_networks_do(workflow)
    return OnCluster(workflow, nodes, request.node.originalname)


@pytest.fixture(scope="session")
def undisturbed(finished_workflow, tmp_path_factory):
    """The same workflow after a local run."""
    workflow = finished_workflow.copy(tmp_path_factory.mktemp("undisturbed") / "gallerist")
    workflow.log_nothing()
    train_for_long(workflow)
    workflow.run()
    return workflow
