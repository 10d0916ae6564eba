"""A table of pictures, a stated truth and encoders of others: what an edit of each repeats."""

import csv

import keras
import numpy as np
import onnx
import pytest
from edits import dry_runs
from onnx import TensorProto, helper, numpy_helper
from tiny_workflow import CLASSES, CONFIG, Workflow, draw_picture

TABLE, TRUTH, ONNX, KERAS = "pictures/table.csv", "truth.csv", "encoder.onnx", "encoder.keras"
COLUMNS = ("path", "part", "label", "domain", "photographer")
ENCODER = {"network": "onnx", "file": ONNX, "mean": [0, 0, 0], "deviation": [255, 255, 255]}
EXPERIMENTS = {"hog": {"descriptor": "hog", "image_size": 32}, "encoder": ENCODER}
PER_PART = {"gallery": 3, "query": 2}


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(path, columns, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def edit(workflow, name, row, column, text):
    """Write another text into one cell of a table."""
    rows = read(workflow.folder / name)
    rows[row][column] = text
    write(workflow.folder / name, [*rows[0]], [[*each.values()] for each in rows])


def write_encoder(path, seed):
    """Means of six random convolutions of pictures of 32 x 32 pixels."""
    kernel = np.random.default_rng(seed).normal(size=(6, 3, 5, 5)).astype(np.float32)
    steps = [
        helper.make_node("Conv", ["pixels", "kernel"], ["maps"]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["vector"]),
    ]
    shape = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, (1, 3, 32, 32))
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, None)
    weights = [numpy_helper.from_array(kernel, "kernel")]
    graph = helper.make_graph(steps, "encoder", [shape], [vector], weights)
    operators = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=operators, ir_version=8), path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    dataset = {"name": "tiny", "table": TABLE, "truth": {"pairs": TRUTH}}
    config = {**CONFIG, "dataset": dataset, "experiments": EXPERIMENTS}
    folder = tmp_path_factory.mktemp("table") / "gallerist"
    workflow = Workflow(folder, config, counts=None)
    rows = [
        (f"{part}_{label}_{number}.png", part, label, ("photo", "sketch")[number % 2], "me")
        for part, count in PER_PART.items()
        for label in CLASSES
        for number in range(count)
    ]
    for seed, (path, _, label, *_) in enumerate(rows):
        draw_picture(folder / "pictures" / path, label, seed)
    write(folder / TABLE, COLUMNS, rows)
    right = [(f"query_{label}_{n}", f"gallery_{label}_0") for label in CLASSES for n in range(2)]
    write(folder / TRUTH, ("query", "gallery"), right)
    write_encoder(folder / ONNX, 1)
    workflow.log_nothing()
    workflow.run()
    return workflow


def of(rule, *experiments):
    return {f"{rule} {name}" for name in experiments or EXPERIMENTS}


EVALUATE = of("evaluate_retrieval") | {"compare_experiments"}
SEARCH = of("search_gallery") | EVALUATE
DESCRIBE = {"describe_images hog", "encode_images encoder"} | SEARCH
ENCODE = {
    *("import_onnx encoder", "encode_images encoder", "search_gallery encoder"),
    *("evaluate_retrieval encoder", "compare_experiments"),
}

QUERY, GALLERY = 9, 0


def edit_what_nobody_reads(workflow):
    edit(workflow, TABLE, QUERY, "photographer", "you")
    edit(workflow, TABLE, GALLERY, "domain", "painting")


def resize_otherwise(workflow):
    workflow.edit_config("experiments.encoder.resizing", "pad")
    workflow.edit_config("experiments.hog.resizing", "crop")


EDITS = {
    "the domain of a query": (
        lambda workflow: edit(workflow, TABLE, QUERY, "domain", "sketch"),
        {"state_domains"} | EVALUATE,
    ),
    "what nobody reads": (edit_what_nobody_reads, set()),
    "the class of a query": (
        lambda workflow: edit(workflow, TABLE, QUERY, "label", CLASSES[1]),
        {"import_images query", "report_leaks", "state_truth", "state_domains"} | DESCRIBE,
    ),
    "an answer in the truth": (
        lambda workflow: edit(workflow, TRUTH, 0, "gallery", f"gallery_{CLASSES[0]}_1"),
        {"state_truth"} | EVALUATE,
    ),
    "the encoder's file": (lambda workflow: write_encoder(workflow.folder / ONNX, 2), ENCODE),
    "resizing": (resize_otherwise, {"import_onnx encoder"} | DESCRIBE),
}


@pytest.fixture(scope="module")
def calls(finished, tmp_path_factory):
    """Edit -> a future of the jobs it calls for."""
    changes = {name: change for name, (change, _) in EDITS.items()}
    with dry_runs(finished, changes, tmp_path_factory) as planned:
        yield planned


@pytest.mark.parametrize("edited", EDITS)
def test_an_edit_repeats_what_reads_it_and_nothing_else(calls, edited):
    assert calls[edited].result() == EDITS[edited][1]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_metric_is_there_for_every_domain(finished, experiment):
    domain_of = {row["id"]: row["domain"] for row in finished.rows("domains.csv")}
    asked = finished.rows(f"evaluation/{experiment}/queries.csv")
    found = finished.rows(f"evaluation/{experiment}/domains.csv")
    assert [row["domain"] for row in found] == ["photo", "sketch"]
    for row in found:
        own = [each for each in asked if domain_of[each["query_id"]] == row["domain"]]
        assert len(own) == int(row["queries"]) == len(CLASSES)
        for metric in ("top-1", "mAP"):
            mean = np.mean([float(each[metric]) for each in own])
            assert float(row[metric]) == pytest.approx(mean, abs=5e-5)
            assert float(row[f"{metric} low"]) <= mean <= float(row[f"{metric} high"])


@pytest.mark.slow
def test_another_keras_file_or_resizing_is_imported_again(finished, tmp_path):
    workflow = finished.copy(tmp_path / "gallerist")

    def write_model(seed):
        keras.utils.set_random_seed(seed)
        pixels = keras.Input((32, 32, 3))
        maps = keras.layers.Conv2D(6, 5, activation="relu")(pixels)
        vector = keras.layers.GlobalAveragePooling2D()(maps)
        keras.Model(pixels, vector).save(workflow.folder / KERAS)

    write_model(1)
    workflow.edit_config("experiments.model", {"network": "keras", "file": KERAS})
    made = {job.replace("encoder", "model").replace("onnx", "keras") for job in ENCODE}
    assert workflow.rerun() == made
    write_model(2)
    assert workflow.dry_run() == made
    write_model(1)
    workflow.edit_config("experiments.model.resizing", "crop")
    assert workflow.dry_run() == made
