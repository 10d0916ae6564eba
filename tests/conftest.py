"""What the tests of the workflow and of the whole share: one finished run, and copies of it."""

import pytest
from tiny_workflow import Workflow


@pytest.fixture(scope="session")
def finished_workflow(tmp_path_factory):
    """The tiny workflow after one whole run. Do not change it: ask for `workflow`, a copy."""
    workflow = Workflow(tmp_path_factory.mktemp("finished") / "gallerist")
    workflow.first_run = workflow.run()
    return workflow


@pytest.fixture
def workflow(finished_workflow, tmp_path):
    """A copy of the finished workflow that a test may change and run."""
    return finished_workflow.copy(tmp_path / "gallerist")
