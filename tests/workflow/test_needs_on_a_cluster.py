"""What jobs ask a Slurm for, of which only the commands that tell of its nodes are pretended."""

import os
import re
import stat

import pytest
from tiny_workflow import COMMANDS, Workflow, all_said

NODES = "main*|2|4000\\nlarge|16|64000\\n"
"""The default partition and another: processors, and MB of memory."""


@pytest.fixture
def planned(tmp_path):
    """Arguments, and the least work of a job that is sent -> what is said of a training."""
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="the executor is not installed")
    workflow = Workflow(tmp_path / "gallerist")
    commands = tmp_path / "commands"
    commands.mkdir()
    for name, answer in {"sinfo": NODES, "squeue": ""}.items():
        (commands / name).write_text(f"#!/bin/sh\nprintf '{answer}'\n", encoding="utf-8")
        (commands / name).chmod(stat.S_IRWXU)
    path = os.pathsep.join([str(commands), str(COMMANDS), os.environ["PATH"]])

    def plan(*arguments, least_minutes=0, batch_size=10_000):
        workflow.edit_config("experiments.short.batch_size", batch_size)
        workflow.edit_config("cluster.least_minutes", least_minutes)
        profile = ("--workflow-profile", "profiles/slurm", "--dry-run", "--cores", "16")
        result = workflow.call(["snakemake", *profile, *arguments], env={"PATH": path})
        (found,) = re.findall(
            r"rule train_network:\n(?:    .+\n)*?    wildcards: experiment=short\n(?:    .+\n)*",
            all_said(result) + "\n",
        )
        return found

    return plan


def test_a_job_asks_for_no_more_than_the_largest_node_of_the_default_partition_has(planned):
    told = planned()
    assert "    threads: 2\n" in told


def test_of_a_partition_that_is_named_its_nodes_count(planned):
    told = planned("--default-resources", "slurm_partition=large")
    assert "    threads: 8\n" in told


def test_a_small_job_takes_the_processors_that_the_profile_leaves_for_those(planned):
    """Not as many as a job on that node; and all that run at once share them."""
    told = planned("--default-resources", "slurm_partition=large", least_minutes=2)
    assert "    threads: 2\n" in told
    assert re.search(r"\bbeside=2\b", told)


@pytest.mark.parametrize("least_minutes", [0, 2])
def test_a_training_of_small_steps_asks_for_one_thread_sent_or_not(planned, least_minutes):
    told = planned(
        "--default-resources", "slurm_partition=large", least_minutes=least_minutes, batch_size=16
    )
    assert "threads:" not in told  # as Snakemake says one
