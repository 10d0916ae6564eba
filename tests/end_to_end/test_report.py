"""Snakemake's own report on a finished run: one page that can be sent to somebody."""

import base64
import html
import json
import re
from io import BytesIO

import pytest
from PIL import Image
from tiny_workflow import CONFIG

EXPERIMENTS = list(CONFIG["experiments"])
FIGURES = {
    "training_curves.png": "Accuracy and loss of {} after each epoch",
    "best.png": "The queries that {} answers best",
    "median.png": "between best and worst of {}",
    "worst.png": "The queries that {} answers worst",
    "classes.png": "Hit rate of {} for the queries of each class",
    "chosen.png": "with the answers of {}: relevant ones green",
    "confusion.png": "Which class the first answer of {} comes from",
    "classes.csv": "Hit rate at k of {} for the queries of each class",
}


@pytest.fixture(scope="module")
def workflow(finished_workflow, tmp_path_factory):
    workflow = finished_workflow.copy(tmp_path_factory.mktemp("reported") / "gallerist")
    workflow.count_writers()
    return workflow


@pytest.fixture(scope="module")
def page(workflow):
    workflow.run("--report", "report.html")
    return (workflow.folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def entries(page):
    """What the report shows: path below the results -> its caption, category, content."""
    start = page.index("{", page.index('<script id="results">'))
    found, _ = json.JSONDecoder().raw_decode(page, start)
    return {path.removeprefix("results/tiny/"): entry for path, entry in found.items()}


def caption(entry):
    text = html.unescape(re.sub(r"<[^>]+>", "", entry["caption"]))
    return " ".join(text.split())


def content(entry):
    return base64.b64decode(entry["data_uri"].partition(";base64,")[2])


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("name", FIGURES)
def test_every_experiment_has_its_figures_with_their_captions(
    entries, finished_workflow, experiment, name
):
    path = f"evaluation/{experiment}/{name}"
    assert FIGURES[name].format(experiment) in caption(entries[path])
    assert entries[path]["labels"]["experiment"] == experiment
    assert content(entries[path]) == (finished_workflow.results / path).read_bytes()


def test_the_comparison_is_there_as_a_picture_and_as_a_table(entries):
    picture = entries["comparison/comparison.png"]
    assert "Hit rate at k of every experiment" in caption(picture)
    with Image.open(BytesIO(content(picture))) as image:
        image.load()
    table = content(entries["comparison/comparison.html"]).decode()
    for experiment in EXPERIMENTS:
        assert f"<td>{experiment}</td>" in table


def test_faults_and_leaks_of_the_pictures_are_there(entries):
    for part in ("originals", "gallery", "query"):
        entry = entries[f"reports/faults/{part}.csv"]
        assert "Files of a part that were skipped" in caption(entry)
        assert entry["labels"]["part"] == part
    assert "differ in at most 4 of 64 bits" in caption(entries["reports/leaks.csv"])


def test_some_augmented_copies_are_there_beside_their_originals(entries):
    samples = entries["reports/augmented.png"]
    assert "each first as it is and then its augmented copies" in caption(samples)
    with Image.open(BytesIO(content(samples))) as image:
        assert image.height > image.width  # eight originals, one copy of each


def test_nothing_is_shown_without_a_caption(entries):
    for path, entry in entries.items():
        assert len(caption(entry)) > 40, path
        assert "{{" not in entry["caption"], path


def test_the_page_loads_nothing_from_elsewhere(page):
    tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.partition("<body")[0])
    assert not [tag for tag in tags if re.search(r"(src|href)=[\"']?(https?:)?//", tag)]


@pytest.mark.usefixtures("page")
def test_the_workflow_has_no_fault_that_snakemake_knows_and_nothing_of_it_is_shown(workflow):
    """Neither a report nor a look for faults starts a process that talks to MLflow."""
    said = workflow.run("--lint").stdout
    assert "Congratulations, your workflow is in a good condition!" in said
    assert workflow.writers == 0
