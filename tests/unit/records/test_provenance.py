"""Where a result comes from."""

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata

import psutil
import pytest
from tracked import environment

from gallerist.records.provenance import (
    InputHashes,
    code_state,
    process_started,
    versions,
)

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder, *arguments):
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    answer = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return answer.stdout.strip()


def test_versions_are_those_installed_and_nothing_is_imported_for_them():
    code = (
        "import sys; from gallerist.records.provenance import versions; "
        "v = versions(); print(v['numpy'])"
    )
    code += "; print([m for m in ('numpy', 'tensorflow', 'mlflow') if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment()
    ).stdout.splitlines()
    assert answer == [metadata.version("numpy"), "[]"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", versions()["gallerist"])
    assert versions()["python"] == ".".join(map(str, sys.version_info[:3]))


@needs_git
def test_the_commit_is_known_and_a_changed_file_makes_it_dirty(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "untracked").write_text("a new file changes no code")
    assert code_state(tmp_path) == (commit, False)
    (tmp_path / "code.py").write_text("2\n")
    assert code_state(tmp_path) == (commit, True)


@needs_git
def test_outside_git_and_before_the_first_commit_nothing_is_claimed(tmp_path):
    assert code_state(tmp_path) == (None, None)
    git(tmp_path, "init", "-q")
    assert code_state(tmp_path) == (None, None)


def test_a_machine_without_git_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_state(tmp_path) == (None, None)


def test_inputs_are_hashed_and_folders_left_out(tmp_path):
    (tmp_path / "b.txt").write_bytes(b"abc")
    (tmp_path / "a.txt").write_bytes(b"")
    paths = [tmp_path / "b.txt", tmp_path / "a.txt", tmp_path, tmp_path / "absent"]
    # The digests of "abc" and of nothing, from FIPS 180-4 and its examples.
    assert list(InputHashes(paths).result().items()) == [
        (
            str(tmp_path / "b.txt"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            str(tmp_path / "a.txt"),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
    ]


def test_a_process_is_known_by_its_start_until_it_is_gone():
    assert process_started(os.getpid()) == pytest.approx(psutil.Process().create_time())
    process = subprocess.Popen(["sleep", "60"])
    assert process_started(process.pid) is not None
    process.kill()
    # Not waited for: a zombie still has its pid, but does nothing any more.
    psutil.wait_procs([psutil.Process(process.pid)], timeout=0.2)
    deadline_reached = process_started(process.pid)
    process.wait()
    assert deadline_reached is None
    assert process_started(process.pid) is None
