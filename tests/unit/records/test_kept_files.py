"""Where results come from, as files: read by PyYAML, applied by git, and shared between jobs."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import yaml
from checkout import CHECKOUT
from PIL import Image
from tracked import environment

from gallerist.config.completion import complete
from gallerist.figures.rule_graph import draw
from gallerist.records.provenance import (
    keep_code_changes,
    keep_configuration,
    keep_rule_graph,
    last_rule_graph,
)
from gallerist.records.record import Artifact, read_record

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def configured():
    return complete(yaml.safe_load((CHECKOUT / "config/config.yaml").read_text(encoding="utf-8")))


# --- the configuration


def test_the_configuration_that_is_kept_is_the_same_when_it_is_run_again(tmp_path, monkeypatch):
    monkeypatch.chdir(CHECKOUT)
    config = configured()
    kept = keep_configuration(tmp_path, config)
    assert kept.name == "config.yaml"
    assert complete(yaml.safe_load(kept.read_text(encoding="utf-8"))) == config


def test_equal_configurations_are_one_file_and_others_are_others(tmp_path):
    config = {"dataset": {"name": "Füchse"}, "search": {"depth": 10}}
    first = keep_configuration(tmp_path, config)
    written = first.stat().st_mtime_ns
    assert keep_configuration(tmp_path, dict(reversed(config.items()))) == first
    assert first.stat().st_mtime_ns == written
    other = keep_configuration(tmp_path, {**config, "search": {"depth": 11}})
    assert other.parent != first.parent
    assert "Füchse" in first.read_text(encoding="utf-8")


def test_jobs_that_begin_together_keep_one_whole_file(tmp_path):
    config = {"a": list(range(10_000))}
    with ProcessPoolExecutor(8, multiprocessing.get_context("fork")) as pool:
        (kept,) = set(pool.map(keep_configuration, [tmp_path] * 8, [config] * 8))
    assert yaml.safe_load(kept.read_text()) == config
    assert [path.name for path in kept.parent.iterdir()] == ["config.yaml"]


def test_no_password_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(CHECKOUT)
    config = configured()
    config["tracking"]["uri"] = "https://ann:secret@example.org/mlflow"
    text = keep_configuration(tmp_path, config).read_text()
    assert "https://example.org/mlflow" in text
    assert "secret" not in text


TOKEN = "Zx9" * 40
"""As long as a signature."""


@pytest.mark.parametrize(
    "location",
    [
        "https://ann:hunter2@example.org/a.zip",
        "https://ann:hun/ter2@example.org/a.zip",
        "https://example.org/a.zip?password=hunter2&x=1",
        "https://example.org/a.zip#access_token=hunter2",
        "https://example.org/a.zip;sig=hunter2",
        "https://example.org/file/abc#0123456789abcdefghijhunter2",
        "https://example.org/a.zip?sig=<'hunter2'>",
        "HTTPS://example.org/a.zip?X-Amz-Signature=hunter2",
        f"https://example.org/signed/{TOKEN}/a.zip",
    ],
)
def test_no_secret_of_an_address_is_kept(tmp_path, location):
    """It stands in the configuration, where it must; a signed address is a way in by itself."""
    config = {"dataset": {"name": "mine", "archive": {"location": location}}, "of": [location]}
    text = keep_configuration(tmp_path, config).read_text(encoding="utf-8")
    assert "ter2" not in text
    assert TOKEN not in text
    assert yaml.safe_load(text)["dataset"]["archive"]["location"].startswith(location[:5])
    assert "example.org/" in text


# --- the code


def git(folder, *arguments):
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    answer = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return answer.stdout.strip()


CONFIGURATIONS = ("config/mine.yaml", "config/mine.json", "my own.yaml", "sub.yml")


@pytest.fixture
def checkout(tmp_path):
    """A checkout with one commit: its folder and the commit."""
    folder = tmp_path / "checkout"
    (folder / "scripts").mkdir(parents=True)
    (folder / "scripts" / "code.py").write_text("one = 1\ntwo = 2\n")
    (folder / "a b ü.txt").write_text("text\n")
    (folder / "config").mkdir()
    for name in CONFIGURATIONS:
        (folder / name).write_text("{}\n")
    (folder / "logo.png").write_bytes(bytes(range(256)))
    (folder / ".gitignore").write_text("results\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder, git(folder, "rev-parse", "HEAD")


@needs_git
def test_the_changes_that_are_kept_make_the_code_of_the_commit_that_of_the_results(
    checkout, tmp_path
):
    folder, commit = checkout
    # What a person may have set must not change the form.
    for key, value in (
        ("diff.noprefix", "true"),
        ("diff.relative", "true"),
        ("color.ui", "always"),
    ):
        git(folder, "config", key, value)
    (folder / "scripts" / "code.py").write_text("one = 1\ntwo = 3\n")
    (folder / "a b ü.txt").write_text("other\n")
    git(folder, "add", "a b ü.txt")  # staged or not is all the same
    before = git(folder, "status", "--porcelain")
    kept = keep_code_changes(tmp_path / "results", commit, folder / "scripts")
    assert kept.name == "code.diff"
    assert git(folder, "status", "--porcelain") == before

    git(tmp_path, "clone", "-q", str(folder), "again")
    git(tmp_path / "again", "apply", str(kept))
    for name in ("scripts/code.py", "a b ü.txt"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


@needs_git
def test_no_secret_of_a_configuration_or_an_address_is_in_the_changes(checkout, tmp_path):
    folder, commit = checkout
    for name in CONFIGURATIONS:
        (folder / name).write_text("# the password was hunter2\n")
    (folder / "scripts" / "code.py").write_text(
        "one = 'https://ann:hunter2@example.org/x?key=hunter2'\ntwo = 3  # http://a.b/c?k=hunter2\n"
    )
    (folder / "latin.txt").write_bytes(b"caf\xe9\n")
    git(folder, "add", "latin.txt")
    content = keep_code_changes(tmp_path / "results", commit, folder / "scripts").read_bytes()
    assert b"hunter2" not in content
    assert b"https://example.org/x?..." in content
    assert b"two = 3" in content
    assert b"caf\xe9" in content


@needs_git
def test_binary_files_and_files_without_a_history_are_only_named(checkout, tmp_path):
    folder, commit = checkout
    (folder / "logo.png").write_bytes(bytes(range(256)) * 1000)
    (folder / "new ü.py").write_text("secret = 1\n")
    (folder / "pictures").mkdir()
    for number in range(50):
        (folder / "pictures" / f"{number}.png").write_bytes(b"png")
    (folder / "results").mkdir()
    (folder / "results" / "ignored").write_text("")
    text = keep_code_changes(tmp_path, commit, folder / "scripts").read_text(encoding="utf-8")
    head = [line for line in text.splitlines() if line.startswith("#")]
    assert head == [
        f"# What the code differed in from commit {commit}, without configurations.",
        "# Not followed by git: new ü.py",
        "# Not followed by git: pictures/",
    ]
    assert "Binary files a/logo.png and b/logo.png differ" in text
    assert "secret" not in text


@needs_git
def test_a_huge_change_is_cut_and_says_so(checkout, tmp_path):
    folder, commit = checkout
    (folder / "scripts" / "code.py").write_text("x = 'a long line'\n" * 200_000)
    kept = keep_code_changes(tmp_path, commit, folder)
    assert "# CUT: only the first 1000000 bytes" in kept.read_text()
    assert 1_000_000 < kept.stat().st_size < 1_001_000


@needs_git
def test_where_git_does_not_answer_nothing_is_kept(checkout, tmp_path, monkeypatch):
    folder, commit = checkout
    assert keep_code_changes(tmp_path, "f" * 40, folder) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert keep_code_changes(tmp_path, commit, folder) is None
    assert not (tmp_path / "origin").exists()


STAGE = """
from types import SimpleNamespace as Values
from gallerist.workflow.stage import stage
job = Values(
    rule="evaluate_retrieval", threads=1, input=[], output=Values(record="out/x.record.json"),
    params=Values(), wildcards=Values(experiment="scratch"), log=["logs/x.log"],
    resources=Values(), config={"dataset": {"name": "monkeys"}},
)
with stage(job) as run:
    run.compare("out/row.record.json", "scratch", parameters={}, metrics={})
"""


@needs_git
def test_a_job_and_its_row_show_how_the_code_differs_from_its_commit(tmp_path):
    """The library in a checkout of its own: as committed, and then with one line more."""
    library = tmp_path / "checkout" / "scripts" / "gallerist"
    shutil.copytree(CHECKOUT / "scripts" / "gallerist", library)
    git(tmp_path / "checkout", "init", "-q")
    git(tmp_path / "checkout", "add", "*.py")
    git(tmp_path / "checkout", "commit", "-q", "-m", "first")
    work = tmp_path / "work"
    work.mkdir()

    def run():
        own = {**environment(), "PYTHONPATH": str(library.parent), "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run([sys.executable, "-c", STAGE], cwd=work, check=True, env=own, timeout=60)
        return [read_record(work / f"out/{name}.record.json") for name in ("x", "row")]

    for record in run():
        assert record.git_dirty is False
        assert "code.diff" not in {Path(each.path).name for each in record.artifacts}

    with (library / "workflow" / "stage.py").open("a") as file:
        file.write("# one line more\n")
    kept = set()
    for record in run():
        assert record.git_dirty is True
        (artifact,) = [each for each in record.artifacts if each.path.endswith("code.diff")]
        assert artifact.folder is None
        assert "+# one line more\n" in (work / artifact.path).read_text()
        kept.add(artifact.path)
    assert len(kept) == 1


# --- the rules


GRAPH = {"split_images": [], "train_network": ["split_images"]}


def test_the_rules_are_drawn_once_and_the_last_ones_are_those_of_this_start(tmp_path):
    assert last_rule_graph(tmp_path) is None
    first = keep_rule_graph(tmp_path, GRAPH, "monkeys", draw)
    with Image.open(first) as picture:
        picture.load()
    drawn = first.read_bytes(), first.stat().st_ino
    second = keep_rule_graph(
        tmp_path, {**GRAPH, "search_gallery": ["train_network"]}, "monkeys", draw
    )
    os.utime(first, ns=(0, 0))
    assert last_rule_graph(tmp_path) == second != first
    assert keep_rule_graph(tmp_path, json.loads(json.dumps(GRAPH)), "monkeys", draw) == first
    assert (first.read_bytes(), first.stat().st_ino) == drawn
    os.utime(second, ns=(0, 0))
    assert last_rule_graph(tmp_path) == first


def test_a_stage_shows_them_with_its_rows_only(tmp_path):
    keep_rule_graph(tmp_path / "results" / "monkeys", GRAPH, "monkeys", draw)
    subprocess.run(
        [sys.executable, "-c", STAGE], cwd=tmp_path, check=True, timeout=60,
        env={**environment(), "GIT_CEILING_DIRECTORIES": str(CHECKOUT / "scripts")},
    )  # fmt: skip
    row, own = (read_record(tmp_path / f"out/{name}.record.json") for name in ("row", "x"))
    assert {Path(each.path).name for each in row.artifacts} == {"config.yaml", "workflow.png"}
    assert all((tmp_path / each.path).is_file() for each in row.artifacts)
    assert own.artifacts == (Artifact("logs/x.log", "log"),)
    assert last_rule_graph(tmp_path / "results" / "monkeys") is not None
