"""What is read from Slurm's answers, and what is done where there is no Slurm."""

import pytest

from gallerist.workflow import cluster
from gallerist.workflow.cluster import Node

SINFO = "main*|2|11000\nmain*|64+|512000\nurgent|8|32000+\n"
SCONTROL = (
    "Configuration data as of 2026-01-01\nAccountingStorageType   = {}\nMinJobAge  = {} sec\n"
)


@pytest.fixture
def answers(tmp_path, monkeypatch):
    """A folder of commands that stand for Slurm's, and are all there is."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()

    def answer(command, script):
        path = tmp_path / "bin" / command
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    return answer


@pytest.mark.parametrize(
    ("partition", "node"),
    [
        (None, Node(64, 512000)),
        ("main", Node(64, 512000)),
        ("urgent", Node(8, 32000)),
        ("none", None),
    ],
)
def test_the_largest_node_is_that_of_the_partition_or_of_the_default_one(partition, node, answers):
    answers("sinfo", f"printf '{SINFO}'".replace("\n", "\\n"))
    assert cluster.largest_node(partition) == node


def test_where_there_is_no_slurm_nothing_is_known_and_nothing_waited_for(answers, tmp_path):
    assert cluster.largest_node() is None
    assert cluster.jobs_of(tmp_path) == []
    cluster.wait_for_jobs(tmp_path, pytest.fail)


def test_a_command_that_fails_is_as_none(answers):
    answers("sinfo", "echo 'main*|2|11000'; exit 1")
    assert cluster.largest_node() is None


@pytest.mark.parametrize(
    ("accounting", "kept", "command", "warned"),
    [
        ("accounting_storage/slurmdbd", 300, "squeue", False),
        ("(null)", 300, "squeue", False),
        ("accounting_storage/slurmdbd", 10, "sacct", False),
        ("accounting_storage/none", 10, "squeue", True),
    ],
)
def test_the_state_of_a_job_is_asked_where_it_is_kept(accounting, kept, command, warned, answers):
    text = SCONTROL.format(accounting, kept).replace("\n", "\\n")
    answers("scontrol", f"printf '{text}'")
    found, warning = cluster.command_for_states()
    assert found == command
    assert bool(warning) == warned
    if warning:
        assert "MinJobAge" in warning
        assert "\n" not in warning


def test_what_an_earlier_workflow_left_is_waited_for_and_named(answers, tmp_path):
    """Three looks at the queue: two jobs, one, none; those of other folders do not count."""
    for name in ("0", "1", "2"):
        (tmp_path / name).touch()
    rows = f"7|rule_train_network_wildcards_a|{tmp_path}\\n8|rule_search_gallery|{tmp_path}\\n"
    other = f"9|rule_train_network|{tmp_path}/other\\n10|by hand|{tmp_path}\\n"
    script = f"""cd {tmp_path}
if [ -e 0 ]; then /bin/rm 0; printf '{rows}{other}'
elif [ -e 1 ]; then /bin/rm 1; printf '8|rule_search_gallery|{tmp_path}\\n{other}'
else printf '{other}'; fi"""
    answers("squeue", script)
    said = []
    cluster.wait_for_jobs(tmp_path, said.append, pause=0.01)
    assert len(said) == 2
    assert "2 jobs" in said[0]
    assert "scancel 7 8" in said[0]
    assert "scancel 8" in said[1]


@pytest.mark.parametrize(("given", "processors"), [("3", 3), (None, None)])
def test_a_job_knows_the_processors_that_it_was_given(given, processors, monkeypatch):
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    if given:
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", given)
    assert cluster.processors_given() == processors
