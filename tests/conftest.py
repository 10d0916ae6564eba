"""What the tests of the workflow and of the whole share: one finished run, and copies of it."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from tiny_workflow import Workflow

# How long an example takes says how busy the machine is; benchmarks/ measures what is quick.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

LONGEST_FIRST = {"workflow": 1, "end_to_end": 2}
"""Folders of tests/; the others come after them."""


def pytest_collection_modifyitems(items):
    """Begin with the files that run the workflow.

    Two processes take a file at a time: the short ones at the end let both finish together.
    """
    tests = Path(__file__).parent
    items.sort(key=lambda item: LONGEST_FIRST.get(item.path.relative_to(tests).parts[0], 3))


@pytest.fixture(scope="module", autouse=True)
def process():
    """A model that was loaded leaves nothing to later tests.

    MLflow puts its code first, where they would find it, and it quiets the library's log.
    """
    before, logger = list(sys.path), logging.getLogger("gallerist")
    level = logger.level
    yield
    sys.path[:] = before
    logger.setLevel(level)


@pytest.fixture(scope="session")
def finished_workflow(tmp_path_factory):
    """The tiny workflow after one whole run. Do not change it: ask for `workflow`, a copy.

    What snakemake said is its attribute `first_run`. Test processes side by side share the run.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    said = root / "finished.txt"
    with FileLock(root / "finished.lock"):
        if said.exists():
            workflow = Workflow.at(root / "finished")
        else:
            workflow = Workflow(root / "finished")
            first = workflow.run_command()
            if "gallerist sync" in first.stdout:  # a busy machine's MLflow was too slow for it
                workflow.gallerist("sync")
            said.write_text(first.stdout, encoding="utf-8")
    workflow.first_run = subprocess.CompletedProcess([], 0, said.read_text(encoding="utf-8"))
    return workflow


@pytest.fixture
def workflow(finished_workflow, tmp_path):
    """A copy of the finished workflow that a test may change and run."""
    return finished_workflow.copy(tmp_path / "gallerist")
