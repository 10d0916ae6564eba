"""A finished run as a capsule: recomputed here, by itself, and in a fresh environment."""

import importlib.metadata
import json
import re
import subprocess
import venv

import pytest
from capsules import files_of, run_alone, write

PACKAGES = ("numpy", "scipy", "pandas")
"""All that a fresh environment gets."""


@pytest.fixture(scope="module")
def capsule(finished_workflow, tmp_path_factory):
    path = tmp_path_factory.mktemp("capsule") / "capsule.zip"
    said = finished_workflow.gallerist("capsule", "--output", str(path)).stdout
    assert said.startswith(f"{path}\nsha256:")
    return path


def changed(capsule, target):
    """The same capsule with another digit in the first mean of the comparison, its hash fitting."""
    files = files_of(capsule)
    table = files["comparison/metrics.csv"].decode()
    place = re.search(r"\d,", table).start()
    digit = str((int(table[place]) + 1) % 10)
    files["comparison/metrics.csv"] = f"{table[:place]}{digit}{table[place + 1 :]}".encode()
    return write(target, files, fix_hashes=True)


def test_every_cell_of_a_finished_run_is_recomputed(capsule, finished_workflow):
    verified = finished_workflow.gallerist("verify", str(capsule))
    assert verified.stdout.splitlines()[-1] == "all agrees"
    digest = json.loads(files_of(capsule)["contents.json"])["digest"]
    assert f"capsule sha256:{digest}" in verified.stdout


def test_a_changed_digit_ends_the_command_with_status_1(capsule, finished_workflow, tmp_path):
    path = changed(capsule, tmp_path / "changed.zip")
    verified = finished_workflow.gallerist("verify", str(path), check=False)
    assert verified.returncode == 1
    assert verified.stdout.startswith("comparison/metrics.csv, line 2 (long, top-1), column ")


def test_without_the_configured_pictures_it_says_nothing_of_where_they_lay(
    capsule, finished_workflow
):
    folder = str(finished_workflow.folder).encode()
    for name, content in files_of(capsule).items():
        if not name.startswith("gallerist/"):
            assert folder not in content, name
            assert b"pictures/" not in content, name


def test_it_verifies_itself_by_numpy_and_scipy_alone(capsule):
    alone = run_alone(capsule)
    assert (alone.returncode, alone.stdout.splitlines()[-1]) == (0, "all agrees"), alone.stderr


@pytest.mark.slow
def test_it_verifies_itself_in_a_fresh_environment(capsule, tmp_path):
    venv.create(tmp_path / "fresh", with_pip=True)
    python = str(tmp_path / "fresh/bin/python")
    wanted = [f"{name}=={importlib.metadata.version(name)}" for name in PACKAGES]
    installed = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode:
        pytest.skip(f"no packages can be had: {installed.stderr.strip().splitlines()[-1]}")
    absent = subprocess.run(
        [python, "-I", "-c", "import gallerist"], capture_output=True, check=False
    )
    assert absent.returncode == 1
    for path, status in ((capsule, 0), (changed(capsule, tmp_path / "changed.zip"), 1)):
        found = subprocess.run(
            [python, "-I", str(path)], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert (found.returncode, found.stderr) == (status, "")
