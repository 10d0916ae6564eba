"""What the documents say can be typed, and what lies where, is so."""

import itertools
import re
import shutil
import subprocess

import click
import pytest
from checkout import CHECKOUT

from gallerist.commands.main import gallerist

DOCUMENTS = [
    *CHECKOUT.glob("*.md"),
    *CHECKOUT.glob("docs/*.md"),
    *CHECKOUT.glob("config/*.md"),
    CHECKOUT / "results/README.md",
]
TYPED = re.compile(r"(?<![\w/_-])(?:\.venv/bin/)?gallerist ([a-z]+)((?: [^\s`#]+)*)")


def text_of(path):
    return path.read_text(encoding="utf-8")


CONTRIBUTING = text_of(CHECKOUT / "CONTRIBUTING.md")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_line_of_the_documents_is_one(document):
    for name, rest in TYPED.findall(text_of(document)):
        command = gallerist.commands.get(name)
        if command is not None:
            known = {option for param in command.params for option in param.opts}
            assert set(re.findall(r"--[a-z-]+", rest)) <= known, f"gallerist {name}{rest}"
        else:
            assert not re.search(rf"`[^`]*gallerist {name}", text_of(document)), name


def test_every_target_of_the_documents_is_one_of_make():
    targets = set(re.findall(r"^([a-z-]+):", text_of(CHECKOUT / "Makefile"), re.MULTILINE))
    for document in DOCUMENTS:
        named = re.findall(r"(?:^|`)make ([a-z-]+)", text_of(document), re.MULTILINE)
        assert set(named) <= targets, document


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_into_the_checkout_leads_somewhere(document):
    for target in re.findall(r"\]\(([^):\s#]+)(?:#[^)]*)?\)", text_of(document)):
        assert (document.parent / target).exists(), target


def walkthroughs():
    """Title -> the rows of its table: the files, and what changes in them."""
    sections = re.findall(
        r"^## (A [^:\n]+).*\n\n\| file \| change \|\n((?:\|.*\n)+)", CONTRIBUTING, re.M
    )
    rows = {title: re.findall(r"^\| (`.+`) \| (.+) \|$", table, re.M) for title, table in sections}
    return {
        title: [(re.findall(r"`(.+?)`", files), change) for files, change in table]
        for title, table in rows.items()
    }


def test_every_file_of_the_walkthroughs_is_there():
    """Or the folder of a new one, whose name has a <placeholder>."""
    named = {
        title: [file for files, _ in rows for file in files]
        for title, rows in walkthroughs().items()
    }
    assert {title: len(files) for title, files in named.items()} == {
        "A descriptor": 6,
        "A metric": 3,
        "A re-ranking": 5,
    }
    for file in itertools.chain.from_iterable(named.values()):
        path = CHECKOUT / file
        assert path.parent.is_dir() if "<" in file else path.is_file(), file


def test_every_name_of_the_walkthroughs_is_in_its_file():
    names = [
        (files[0], name)
        for rows in walkthroughs().values()
        for files, change in rows
        if "<" not in files[0]
        for name in re.findall(r"`(\w+)`", change)
    ]
    assert len(names) >= 6
    for file, name in names:
        assert re.search(rf"(?<!\w){name}\b", text_of(CHECKOUT / file)), f"{file}: {name}"


def test_every_folder_of_the_results_is_explained():
    explained = text_of(CHECKOUT / "results/README.md")
    rules = "".join(map(text_of, CHECKOUT.glob("rules/*.smk")))
    folders = set(re.findall(r'results\(f?"(\w+)/', rules))
    assert len(folders) > 15
    for folder in folders | {"history", "origin", "searches", "source", "augmented", "mlflow"}:
        assert f"`{folder}/`" in explained, folder


def test_of_the_results_git_keeps_their_explanation_alone():
    if shutil.which("git") is None or not (CHECKOUT / ".git").exists():
        pytest.skip("not a git checkout")
    paths = ["results/README.md", "results/mine/comparison.csv", "results/report.html"]
    result = subprocess.run(
        ["git", "check-ignore", "--no-index", *paths],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.splitlines() == paths[1:]


def test_every_command_explains_each_of_its_options():
    for command in gallerist.commands.values():
        for option in command.params:
            if isinstance(option, click.Option) and option.name != "port":
                assert option.help, f"{command.name} {option.name}"
