"""The container of envs/Containerfile, where something here can build it."""

import shutil
import subprocess

import pytest
from checkout import CHECKOUT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

BUILDERS = ("docker", "podman", "buildah")


@pytest.fixture(scope="module")
def builder():
    """A program that builds containers and answers; a client without its service does not."""
    for name in filter(shutil.which, BUILDERS):
        answer = subprocess.run([name, "info"], capture_output=True, text=True)
        if answer.returncode == 0:
            return name
    pytest.skip(f"none of {', '.join(BUILDERS)} can build a container here")
    raise AssertionError


@pytest.fixture(scope="module")
def base(builder):
    """The image that the recipe starts from, as it names it."""
    recipe = (CHECKOUT / "envs/Containerfile").read_text(encoding="utf-8")
    (name,) = [line.split()[1] for line in recipe.splitlines() if line.startswith("FROM ")]
    if subprocess.run([builder, "pull", name], capture_output=True).returncode != 0:
        pytest.skip(f"{name} cannot be had here")
    return name


def test_the_container_is_built_and_plans_the_workflow(builder, base):
    file = CHECKOUT / "envs/Containerfile"
    subprocess.run(
        [builder, "build", "-t", "gallerist-tested", "-f", str(file), str(CHECKOUT)], check=True
    )
    run = [builder, "run", "--rm", "-v", f"{CHECKOUT}:/gallerist:ro", "-w", "/gallerist"]
    told = subprocess.run(
        [*run, "gallerist-tested", "snakemake", "--dry-run", "--nolock", "--quiet", "rules"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "compare_experiments" in told.stdout + told.stderr
