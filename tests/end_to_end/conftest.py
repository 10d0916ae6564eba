"""One whole run over pictures as people have them, shared by all that look at its results."""

import subprocess

import pytest
from found_pictures import FOUND, Found
from tiny_workflow import Workflow


@pytest.fixture(scope="session")
def found(tmp_path_factory):
    """The results of one whole run over found pictures. Not to be changed."""
    folder = tmp_path_factory.mktemp("found") / "my own pictures"
    found = Found(Workflow(folder, FOUND, counts=None))
    author = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    for command in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "-m", "All"]):
        subprocess.run(["git", *command], cwd=folder, check=True, env=found.workflow.environment())
    found.run = found.workflow.run()
    return found
