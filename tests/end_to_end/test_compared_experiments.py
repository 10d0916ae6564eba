"""What a finished run leaves to compare experiments by: tables, pictures, and pages of MLflow."""

import csv
import html.parser
import json
import math
import re
from collections import Counter

import numpy as np
import pytest
from found_pictures import read_rows
from PIL import Image
from sklearn.neighbors import NearestNeighbors
from tiny_workflow import CONFIG, jobs_of

EXPERIMENTS = list(CONFIG["experiments"])
KS = CONFIG["evaluation"]["k"]
CURVES = {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}


class Cells(html.parser.HTMLParser):
    """The cells of the tables of a page, row by row."""

    def __init__(self, page):
        super().__init__()
        self.rows = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        self.inside = tag in ("td", "th")
        if self.inside:
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def table(finished_workflow):
    return read_rows(finished_workflow.results / "comparison/comparison.csv")


@pytest.fixture(scope="module")
def rows(finished_workflow):
    """The runs of the page that compares experiments."""
    return finished_workflow.tracked_runs("tiny")


@pytest.fixture(scope="module")
def stages(finished_workflow):
    return finished_workflow.tracked_runs("tiny/stages")


def row_of(rows, experiment):
    (row,) = [row for row in rows if row.data.tags["gallerist.experiment"] == experiment]
    return row


def rates_by_scikit_learn(workflow, experiment):
    """Hit rates from the stored vectors, ids and manifests alone."""
    labels, vectors = {}, {}
    for part in ("gallery", "query"):
        folder = workflow.results / f"features/{experiment}"
        vectors[part] = np.load(folder / f"{part}.npy").astype(float)
        label_of = {
            row["id"]: row["label"] for row in read_rows(workflow.results / f"manifests/{part}.csv")
        }
        ids = [row["id"] for row in read_rows(folder / f"{part}.ids.csv")]
        labels[part] = np.array([label_of[each] for each in ids])
    nearest = NearestNeighbors(n_neighbors=max(KS), algorithm="brute").fit(vectors["gallery"])
    order = nearest.kneighbors(vectors["query"], return_distance=False)
    right = labels["gallery"][order] == labels["query"][:, None]
    return {k: right[:, :k].any(axis=1).mean() for k in KS}


def test_the_table_has_a_line_for_each_experiment_in_the_order_of_the_configuration(table):
    assert [line["experiment"] for line in table] == EXPERIMENTS
    for line in table:
        assert line["weights"] == "none"
        assert int(line["epochs"]) == CONFIG["experiments"][line["experiment"]]["epochs"]
        assert int(line["queries"]) == 6
        assert int(line["excluded"]) == 0
        assert int(line["parameters"]) >= int(line["trained"]) > 0
        assert float(line["training s"]) > 0
        assert float(line["extraction images/s"]) > 0


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_hit_rates_are_those_that_scikit_learn_finds(
    finished_workflow, table, rows, experiment
):
    expected = rates_by_scikit_learn(finished_workflow, experiment)
    (line,) = [line for line in table if line["experiment"] == experiment]
    assert {k: float(line[f"top-{k}"]) for k in KS} == pytest.approx(expected, abs=1e-12)
    logged = row_of(rows, experiment).data.metrics
    assert {k: logged[f"top-{k}"] for k in KS} == pytest.approx(expected, abs=1e-12)
    stored = json.loads(
        (finished_workflow.results / f"evaluation/{experiment}/metrics.json").read_text()
    )
    means = {k: stored["metrics"][f"top-{k}"]["mean"] for k in KS}
    assert means == pytest.approx(expected, abs=1e-12)


def test_the_pages_say_what_the_table_says(finished_workflow, table):
    folder = finished_workflow.results / "comparison"
    text = (folder / "comparison.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    markdown = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    page = Cells((folder / "comparison.html").read_text(encoding="utf-8")).rows
    assert markdown[0] == page[0] == list(table[0])
    assert markdown[2:] == page[1:]
    for shown, line in zip(page[1:], table, strict=True):
        for name, cell in zip(page[0], shown, strict=True):
            texts = ("experiment", "weights", "top-1 interval", "interval over")
            if name in (*texts, "really better than"):
                assert cell == line[name]
            else:
                shown_to = 0.05 if name.endswith((" s", "/s")) else 5e-5
                value = float(cell.replace(",", ""))
                assert value == pytest.approx(float(line[name]), abs=shown_to + 1e-9)


def test_the_picture_of_the_comparison_opens(finished_workflow):
    with Image.open(finished_workflow.results / "comparison/comparison.png") as image:
        image.load()
        assert image.format == "PNG"
        assert min(image.size) > 200
        assert len(image.convert("RGB").getcolors(1 << 20)) > 20


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_features_have_length_one_and_belong_to_their_pictures(finished_workflow, experiment):
    folder = finished_workflow.results / f"features/{experiment}"
    for part, count in (("gallery", 9), ("query", 6)):
        vectors = np.load(folder / f"{part}.npy", allow_pickle=False)
        assert vectors.dtype == np.float32
        assert len(vectors) == count
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
        ids = [row["id"] for row in read_rows(folder / f"{part}.ids.csv")]
        manifest = read_rows(finished_workflow.results / f"manifests/{part}.csv")
        assert ids == [row["id"] for row in manifest]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_list_of_answers_marks_right_ones_o_and_wrong_ones_x(finished_workflow, experiment):
    results = finished_workflow.results
    labels = {
        row["id"]: row["label"]
        for part in ("gallery", "query")
        for row in read_rows(results / f"manifests/{part}.csv")
    }
    ranking = read_rows(results / f"rankings/{experiment}.csv")
    assert len(ranking) == 6 * 9
    ranking = [row for row in ranking if int(row["rank"]) <= 3]  # as many as are drawn
    answers = read_rows(results / f"evaluation/{experiment}/answers.csv")
    assert len(answers) == len(ranking) == 6 * 3
    assert {"o", "x"} == {row["right"] for row in answers}
    for answer, ranked in zip(answers, ranking, strict=True):
        query, found = labels[ranked["query_id"]], labels[ranked["gallery_id"]]
        assert (answer["class"], answer["answer_class"]) == (query, found)
        assert answer["right"] == ("o" if query == found else "x")
        assert answer["rank"] == ranked["rank"]
        assert float(answer["distance"]) == pytest.approx(float(ranked["distance"]), abs=1e-6)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_lists_by_query_and_by_class_agree_with_the_answers(finished_workflow, experiment):
    folder = finished_workflow.results / f"evaluation/{experiment}"
    results = finished_workflow.results
    labels = {row["id"]: row["label"] for row in read_rows(results / "manifests/gallery.csv")}
    ranking = read_rows(results / f"rankings/{experiment}.csv")
    queries = read_rows(folder / "queries.csv")
    for query in queries:
        answers = [row for row in ranking if row["query_id"] == query["query_id"]]
        ranks = [int(a["rank"]) for a in answers if labels[a["gallery_id"]] == query["class"]]
        assert query["first_right"] == str(min(ranks))
        precisions = [number / rank for number, rank in enumerate(sorted(ranks), start=1)]
        assert float(query["mAP"]) == pytest.approx(sum(precisions) / 3, abs=1e-12)
        assert [query[f"top-{k}"] for k in KS] == [str(int(min(ranks) <= k)) for k in KS]
    for line in read_rows(folder / "classes.csv"):
        own = [query for query in queries if query["class"] == line["class"]]
        assert line["queries"] == str(len(own))
        for k in KS:
            rate = np.mean([int(query[f"top-{k}"]) for query in own])
            assert float(line[f"top-{k}"]) == pytest.approx(rate, abs=5e-5)


def test_mlflow_has_one_current_row_for_each_experiment(rows):
    assert sorted(row.info.run_name for row in rows) == sorted(EXPERIMENTS)
    for row in rows:
        assert row.info.status == "FINISHED"
        tags = row.data.tags
        assert tags["current"] == "true"
        assert tags["gallerist.stage"] == "experiment"
        assert tags["gallerist.experiment"] == row.info.run_name
        assert tags["gallerist.dataset"] == "tiny"
        assert tags["weights"] == "none"
        assert re.fullmatch(r"\d+\.\d+\.\d+", tags["version.tensorflow"])
        assert row.info.run_name in tags["mlflow.note.content"]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_row_has_the_parameters_of_every_stage_upstream(rows, experiment):
    parameters = row_of(rows, experiment).data.params
    expected = {
        "import_images.originals.folder": "pictures/training",
        "import_images.gallery.folder": "pictures/validation/gallery",
        "import_images.query.min_side": "8",
        "split_images.fractions.validation": "0.34",
        "split_images.seed": "99",
        "augment_images.copies": "1",
        "augment_images.rotation": "40.0",
        "train_network.epochs": str(CONFIG["experiments"][experiment]["epochs"]),
        "train_network.image_size": "32",
        "train_network.learning_rate": "0.001",
        "train_network.early_stopping.patience": "5",
        "extract_features.device": None,
        "search_gallery.depth": "9",
        "evaluate_retrieval.k": "[1,3]",
    }
    for name, value in expected.items():
        assert name in parameters
        assert value is None or parameters[name] == value


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_row_has_a_point_an_epoch_on_every_training_curve(finished_workflow, rows, experiment):
    client, row = finished_workflow.tracking(), row_of(rows, experiment)
    history = read_rows(finished_workflow.results / f"models/{experiment}/history.csv")
    assert len(history) == CONFIG["experiments"][experiment]["epochs"]
    for name in CURVES:
        points = client.get_metric_history(row.info.run_id, name)
        assert [point.step for point in points] == list(range(1, len(history) + 1))
        values = [float(line[name]) for line in history]
        assert [point.value for point in points] == pytest.approx(values)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_training_has_a_point_an_epoch_on_every_curve(finished_workflow, stages, experiment):
    client = finished_workflow.tracking()
    (run,) = [run for run in stages if run.info.run_name == f"train_network {experiment}"]
    for name in CURVES:
        points = client.get_metric_history(run.info.run_id, name)
        epochs = CONFIG["experiments"][experiment]["epochs"]
        assert [point.step for point in points] == list(range(1, epochs + 1))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_row_has_the_pictures_and_tables(finished_workflow, rows, experiment, tmp_path):
    client, row = finished_workflow.tracking(), row_of(rows, experiment)
    folder = finished_workflow.results
    (configuration,), (rules,) = (
        list(folder.glob(f"origin/*/{name}")) for name in ("config.yaml", "workflow.png")
    )
    expected = {
        "config.yaml": configuration,
        "workflow.png": rules,
        "training/training_curves.png": folder / f"evaluation/{experiment}/training_curves.png",
        "training/history.csv": folder / f"models/{experiment}/history.csv",
        **{
            f"pictures/{name}.png": folder / f"evaluation/{experiment}/{name}.png"
            for name in ("best", "median", "worst", "chosen", "confusion", "classes")
        },
        **{
            f"tables/{name}": folder / f"evaluation/{experiment}/{name}"
            for name in ("metrics.json", "answers.csv", "queries.csv", "classes.csv", "curves.csv")
        },
    }
    there = {
        each.path
        for top in client.list_artifacts(row.info.run_id)
        for each in (client.list_artifacts(row.info.run_id, top.path) if top.is_dir else [top])
    }
    assert there == {*expected, "run.json"}
    for name, original in expected.items():
        fetched = client.download_artifacts(row.info.run_id, name, str(tmp_path))
        with open(fetched, "rb") as file:  # noqa: PTH123
            assert file.read() == original.read_bytes()
        if name.endswith(".png"):
            with Image.open(fetched) as image:
                image.load()
                assert min(image.size) > 100


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_row_names_the_pictures_it_rests_on_by_digest(finished_workflow, rows, experiment):
    row = row_of(rows, experiment)
    inputs = {each.dataset.name: each.dataset for each in row.inputs.dataset_inputs}
    assert inputs.keys() >= {"training", "validation", "gallery", "query"}
    assert len({dataset.digest for dataset in inputs.values()}) == len(inputs)
    for name in ("training", "validation", "gallery", "query"):
        manifest = read_rows(finished_workflow.results / f"manifests/{name}.csv")
        assert json.loads(inputs[name].profile)["images"] == len(manifest)


def test_both_rows_rest_on_the_same_pictures(rows):
    one, other = (
        {each.dataset.name: each.dataset.digest for each in row.inputs.dataset_inputs}
        for row in rows
    )
    assert one == other


def test_every_job_has_one_finished_run_with_a_readable_name(finished_workflow, stages):
    names = Counter(run.info.run_name for run in stages)
    assert names == Counter(jobs_of(finished_workflow.first_run))
    for run in stages:
        assert run.info.status == "FINISHED"
        assert run.data.tags["current"] == "true"
        assert run.info.run_name.startswith(run.data.tags["gallerist.stage"])
        assert run.info.end_time >= run.info.start_time
        assert run.data.metrics["seconds"] > 0


def test_every_number_that_mlflow_shows_is_a_number(rows, stages):
    for run in [*rows, *stages]:
        for name, value in run.data.metrics.items():
            assert math.isfinite(value), f"{run.info.run_name}: {name}"


def test_every_table_is_plain_csv_of_full_lines(finished_workflow):
    tables = [
        path for path in finished_workflow.results.rglob("*.csv") if "source" not in path.parts
    ]
    assert len(tables) > 20
    for path in tables:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, strict=True))
        assert {len(line) for line in lines} == {len(lines[0])}, path


def test_no_picture_says_that_a_letter_is_missing(finished_workflow):
    """Matplotlib warns of it where its font lacks a glyph."""
    for path in (finished_workflow.results / "logs").rglob("*.log"):
        text = path.read_text(encoding="utf-8")
        assert "Glyph" not in text, path
        assert "Traceback" not in text, path
