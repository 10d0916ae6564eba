"""What is in the way of a workflow is one line before it is read; a home without room is not."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tiny_workflow import CHECKOUT, COMMANDS, PARTS_OF_CHECKOUT

from snakemake_logger_plugin_gallerist import machine

NOWHERE = "/proc/none"
"""A folder that nobody can make, root included."""

needs_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")


@pytest.mark.parametrize("character", machine.NOT_IN_PATHS)
def test_a_checkout_that_snakemake_cannot_work_in_is_named(character, tmp_path):
    checkout = tmp_path / f"a{character}b"
    (problem,) = machine.find_obstacles(checkout, tmp_path)
    assert problem.startswith(f"{checkout}: the path of a checkout cannot have {character} in it.")


def test_other_characters_are_no_obstacle(tmp_path):
    folder = tmp_path / "a b'c#d&e*f[g]%41,ü"
    assert list(machine.find_obstacles(folder, folder)) == []


@needs_proc
def test_a_folder_that_takes_no_files_is_named(tmp_path):
    (problem,) = machine.find_obstacles(tmp_path, Path(NOWHERE))
    assert problem.startswith(f"{NOWHERE}: nothing can be written there")


def test_a_folder_for_temporary_files_that_is_full_is_named(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4096))
    monkeypatch.setattr(machine.tempfile, "gettempdir", lambda: "/small")
    (problem,) = machine.find_obstacles(tmp_path, tmp_path)
    assert problem == "/small is full. Make room there, or set TMPDIR to a folder with some"


def test_where_no_folder_takes_temporary_files_that_is_said(tmp_path, monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(machine.tempfile, "gettempdir", none)
    (problem,) = machine.find_obstacles(tmp_path, tmp_path)
    assert "No usable temporary directory" in problem
    assert "Set TMPDIR" in problem


def test_a_home_that_takes_files_keeps_snakemakes_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    machine.keep_cache_in(tmp_path / "work")
    assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("no folder")
    machine.keep_cache_in(tmp_path / "work")
    assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / "work/.snakemake/cache")


def planned(folder, **variables):
    """A dry run, as somebody types it."""
    return subprocess.run(
        [COMMANDS / "snakemake", "--dry-run", "--cores", "1", "--until", "import_images__source"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )


def copied(folder):
    """What a dry run reads of a checkout."""
    for name in PARTS_OF_CHECKOUT:
        source = CHECKOUT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        folder.mkdir(parents=True, exist_ok=True)
        copy(source, folder / name)
    return folder


def test_a_path_with_braces_is_one_line_and_no_traceback(tmp_path):
    done = planned(copied(tmp_path / "a{b}c"))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"{tmp_path}/a{{b}}c: the path of a checkout")


@needs_proc
def test_a_workflow_is_planned_without_a_home(tmp_path):
    done = planned(copied(tmp_path / "work"), HOME=NOWHERE, XDG_CACHE_HOME="")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "work/.snakemake/cache").is_dir()
