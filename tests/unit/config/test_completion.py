"""The configuration: what is accepted, what is filled in, and the messages about what is wrong."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from checkout import CHECKOUT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import Discriminator, Field, Tag

from gallerist.config.completion import ConfigurationError, check, complete, read
from gallerist.config.reference import reference
from gallerist.config.schema import json_schema, keys, types, yaml_number
from gallerist.config.warnings import find_warnings
from gallerist.networks.backbones import BACKBONES
from gallerist.settings import base
from gallerist.settings.configuration import Configuration, kind_of
from gallerist.settings.descriptors import Descriptor
from gallerist.settings.fusions import Fusion
from gallerist.settings.networks import Scratch, Transfer
from gallerist.workflow.seeds import groups

CONFIG = CHECKOUT / "config"
SCHEMA = json_schema(Configuration)
STANDARD = Draft202012Validator(SCHEMA)
"""The validator as its authors wrote it, without the keywords that speak plainly."""


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((CONFIG / name).read_text(encoding="utf-8"))


def minimal(**dataset: Any) -> dict[str, Any]:
    return {
        "dataset": {"name": "tiny", **(dataset or {"embedded": {}})},
        "experiments": {"small": {"network": "scratch"}},
    }


def unswept() -> dict[str, Any]:
    """The default configuration with one seed of each experiment, so that names stay as written."""
    whole = load("config.yaml")
    del whole["experiments"]["scratch"]["seed"]
    return whole


def edited(path: str, value: Any, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """Copy the default configuration, or `config`, with one dotted key set."""
    whole = copy.deepcopy(unswept() if config is None else config)
    *groups, key = path.split(".")
    group = whole
    for name in groups:
        group = group.setdefault(name, {})
    group[key] = value
    return whole


def problems(config: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        complete(config)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return list(caught.value.problems)


def picture_tree(folder: Path) -> Path:
    for part in ("training", "validation/gallery", "validation/query"):
        (folder / part / "cat").mkdir(parents=True)
    return folder


# The files that come along


def test_the_schema_is_a_json_schema():
    Draft202012Validator.check_schema(SCHEMA)


def test_every_key_is_described_and_is_required_optional_or_has_a_default():
    names = ("embedded", "folder", "archive", "table", "truth", "corrections")
    optional = {"dataset." + name for name in names} | {
        "dataset.split." + each for each in ("training", "gallery", "query", "unseen_classes")
    }
    optional |= {"dataset.truth.labels", "experiments.<name>.loss", "evaluation.folds"}
    for each in keys(Configuration):
        assert len(each.schema.get("description", "")) > 10, each.path
        assert ("default" in each.schema) != (each.required or each.path in optional), each.path


def test_every_default_and_every_example_is_a_valid_value():
    checked = 0
    for each in keys(Configuration):
        given_values = [*each.schema.get("examples", [])]
        if "default" in each.schema:
            given_values.append(each.schema["default"])
        for value in given_values:
            whole = {**each.schema, "$defs": SCHEMA["$defs"]}
            assert Draft202012Validator(whole).is_valid(value), (each.path, value)
            checked += 1
    assert checked > 60


def test_every_group_refuses_unknown_keys():
    groups = [each for each in keys(Configuration) if "object" in types(each.schema)]
    assert len(groups) > 10
    for each in groups:
        if each.path != "experiments":
            assert each.schema["additionalProperties"] is False, each.path


def test_the_default_configuration_is_complete_but_for_defaults_and_has_no_warning():
    given_, whole = load("config.yaml"), complete(load("config.yaml"))
    for section, settings_ in given_.items():
        if section not in ("experiments", "dataset"):
            assert whole[section] == {**whole[section], **settings_}
            assert set(whole[section]) - set(settings_) <= {"folder", "truth"}
    seeds = [f"scratch-seed{seed}" for seed in (99, 100, 101)]
    networks = ["resnet152", *seeds, "efficientnet_lite2"]
    assert list(whole["experiments"]) == [*networks, "hog", "sift", "together"]
    assert groups(check(whole).experiments)["scratch"] == seeds
    assert whole["experiments"]["efficientnet_lite2"]["learning_rate"] == 1e-4
    assert whole["experiments"][seeds[0]]["early_stopping"] == {"min_delta": 0, "patience": 5}
    assert whole["dataset"]["extend"] is None
    assert find_warnings(check(whole)) == []


@pytest.mark.parametrize("name", ["descriptors.yaml", "rerankings.yaml"])
def test_the_other_configurations_on_the_embedded_pictures_are_whole(name):
    whole = complete(load(name))
    assert list(whole["experiments"]) == list(load(name)["experiments"])
    assert whole["search"]["depth"] is None
    assert find_warnings(check(whole)) == []


def test_the_configuration_for_sketches_has_drawn_copies_for_those_that_train(tmp_path):
    config = edited("dataset.folder", str(picture_tree(tmp_path)), load("sketches.yaml"))
    whole = complete(config)
    assert 0 < whole["augmentation"]["drawings"] < 1
    assert whole["experiments"]["mobile_tuned"]["augmented"]
    assert find_warnings(check(whole)) == []


def test_the_configuration_for_the_challenge_learns_nothing(tmp_path):
    for part in ("gallery", "query"):
        (tmp_path / part).mkdir()
    whole = complete(edited("challenge.folder", str(tmp_path), load("challenge.yaml")))
    networks = [each for each in whole["experiments"].values() if "network" in each]
    assert [each["epochs"] for each in networks] == [0, 0]
    assert find_warnings(check(whole)) == []


def test_the_published_configuration_has_the_published_settings(tmp_path):
    config = load("published.yaml")
    assert config["dataset"]["folder"] == "data/animals"
    whole = complete(edited("dataset.folder", str(picture_tree(tmp_path)), config))
    assert whole["dataset"]["split"] == {"validation": 0.2, "seed": 99}
    augmentation = {key: whole["augmentation"][key] for key in config["augmentation"]}
    assert augmentation == {
        "copies": 5,
        "rotation": 40,
        "width_shift": 0.2,
        "height_shift": 0.2,
        "shear": 0.2,
        "zoom": 0.2,
        "horizontal_flip": True,
        "fill": "nearest",
        "seed": 99,
    }
    assert whole["experiments"] == {
        "resnet152": {
            "network": "transfer",
            "backbone": "ResNet152",
            "weights": "imagenet",
            "freeze_until": "conv5",
            "pooling": "flatten",
            "image_size": 224,
            "look": "colour",
            "resizing": "squeeze",
            "crop_ratio": None,
            "trunk_cache": "float32",
            "head": "published",
            "dropout": 0.1,
            "dropout_seed": 999,
            "l1": 0.01,
            "l2": 0.01,
            "augmented": True,
            "learning_rate": 1e-5,
            "batch_size": 16,
            "epochs": 50,
            "early_stopping": {"min_delta": 0.1, "patience": 3},
            "reduce_learning_rate": None,
            "restore_best_weights": False,
            "seed": 99,
            "views": None,
            "reduction": None,
            "search": {
                "metric": "cosine",
                "index": None,
                "nprobe": None,
                "ef_search": None,
                "database_augmentation": None,
                "query_expansion": None,
            },
            "k_reciprocal": None,
            "geometric_verification": None,
        },
        "scratch": {
            "network": "scratch",
            "image_size": 224,
            "look": "colour",
            "resizing": "squeeze",
            "crop_ratio": None,
            "padding": "valid",
            "batch_normalisation": "moving",
            "head": "published",
            "dropout": 0.2,
            "dropout_seed": 999,
            "l1": 0.01,
            "l2": 0.01,
            "augmented": True,
            "learning_rate": 1e-3,
            "batch_size": 16,
            "epochs": 50,
            "early_stopping": {"min_delta": 0, "patience": 5},
            "reduce_learning_rate": {"factor": 0.5, "patience": 3},
            "restore_best_weights": False,
            "seed": 99,
            "views": None,
            "reduction": None,
            "search": {
                "metric": "cosine",
                "index": None,
                "nprobe": None,
                "ef_search": None,
                "database_augmentation": None,
                "query_expansion": None,
            },
            "k_reciprocal": None,
            "geometric_verification": None,
        },
    }
    assert whole["evaluation"]["k"] == [1, 3, 5, 10]
    assert whole["search"]["depth"] == 10
    assert find_warnings(check(whole)) == []


def test_the_committed_reference_is_the_generated_one():
    written = (CONFIG / "README.md").read_text(encoding="utf-8")
    assert written == reference(Configuration), "python -m gallerist.config.reference"


def test_the_reference_is_written_by_its_module():
    command = [sys.executable, "-m", "gallerist.config.reference"]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(CHECKOUT / "scripts")}, capture_output=True, check=True
    )
    assert done.stdout.decode("utf-8") == reference(Configuration)


def test_the_reference_has_a_row_of_five_cells_for_every_key():
    rows = [line for line in reference(Configuration).splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [
        each.path for each in keys(Configuration) if "." in each.path
    ]
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)
    assert any("| pixels | `224` |" in row for row in rows)


# Filling in


def test_a_minimal_configuration_gets_every_default():
    whole = complete(minimal())
    assert whole["augmentation"]["copies"] == 5
    assert whole["dataset"]["embedded"]["training_per_class"] == 40
    assert whole["search"] == {"depth": 1000}
    assert whole["experiments"]["small"]["epochs"] == 50
    assert STANDARD.is_valid(whole)


def test_the_defaults_of_an_experiment_are_those_of_its_kind():
    config = minimal()
    config["experiments"]["big"] = {"network": "transfer", "backbone": "ResNet50"}
    big, small = (complete(config)["experiments"][name] for name in ("big", "small"))
    assert (big["learning_rate"], small["learning_rate"]) == (1e-5, 1e-3)
    assert (big["reduce_learning_rate"], big["weights"]) == (None, "auto")
    assert big["early_stopping"] == {"min_delta": 0.1, "patience": 3}
    assert "backbone" not in small


def test_a_part_of_a_group_is_filled_up_and_null_switches_it_off():
    config = edited("experiments.scratch.early_stopping", {"patience": 9})
    assert complete(config)["experiments"]["scratch"]["early_stopping"] == {
        "min_delta": 0,
        "patience": 9,
    }
    config = edited("experiments.scratch.early_stopping", None)
    assert complete(config)["experiments"]["scratch"]["early_stopping"] is None


def test_the_input_is_not_changed_and_nothing_is_shared_with_it():
    config = load("config.yaml")
    whole = complete(config)
    assert config == load("config.yaml")
    whole["evaluation"]["k"].append(7)
    whole["dataset"]["embedded"]["seed"] = 0
    assert config == load("config.yaml")
    assert complete(config)["evaluation"]["k"] == [1, 3, 5, 10]


def test_equal_settings_look_equal_however_the_numbers_are_written():
    one = complete(edited("augmentation.rotation", 30, edited("search.depth", 20)))
    other = complete(edited("augmentation.rotation", 30.0, edited("search.depth", 20.0)))
    assert repr(one) == repr(other)
    assert isinstance(other["search"]["depth"], int)


def test_null_takes_a_source_away_that_another_file_gave(tmp_path):
    config = edited("dataset.folder", str(picture_tree(tmp_path)))
    config["dataset"]["embedded"] = None
    whole = complete(config)
    assert "embedded" not in whole["dataset"]
    assert whole["dataset"]["folder"] == str(tmp_path)


# Messages


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (
            "experiments.resnet152.backbone",
            "ResNet125",
            "experiments.resnet152.backbone: 'ResNet125' is not a backbone. Did you mean ResNet152?"
            f" Known: {', '.join(BACKBONES)}.",
        ),
        (
            "experiments.resnet152.backbone",
            "efficientnetb0",
            "experiments.resnet152.backbone: 'efficientnetb0' is not a backbone."
            " Did you mean EfficientNetB0?",
        ),
        (
            "experiments.scratch.learning_rate",
            "-1e-5",
            "experiments.scratch.learning_rate: found -1.0e-5, expected a number above 0.",
        ),
        (
            "experiments.scratch.learning_rate",
            "1e-5x",
            "experiments.scratch.learning_rate: found '1e-5x', expected a number above 0.",
        ),
        (
            "experiments.scratch.epochs",
            "1e-1",
            "experiments.scratch.epochs: found 0.1, expected a whole number of at least 0.",
        ),
        (
            "experiments.scratch.l1",
            "1e999",
            "experiments.scratch.l1: found inf, expected a number of at least 0.",
        ),
        (
            "experiments.scratch.network",
            "scrach",
            "experiments.scratch.network: 'scrach' is not a kind of network."
            " Did you mean scratch? Known: transfer, scratch, onnx, keras.",
        ),
        (
            "experiments.scratch.backbone",
            "ResNet50",
            "experiments.scratch.backbone: unknown key here."
            " It belongs at experiments.<name>.backbone with network: transfer.",
        ),
        (
            "experiments.a b",
            {"network": "scratch"},
            "experiments.'a b': not a possible name. Expected a name of letters,",
        ),
        ("experiments", {}, "experiments: found an empty group ({}), expected at least one"),
        ("experiments.scratch", None, "experiments.scratch: found null, expected an experiment's"),
        (
            "experiments.resnet152.weights",
            "imagnet",
            "experiments.resnet152.weights: 'imagnet' looks misspelled. Did you mean imagenet?",
        ),
        (
            "experiments.resnet152.weights",
            "gone.weights.h5",
            "experiments.resnet152.weights: 'gone.weights.h5' is no file.",
        ),
        (
            "experiments.resnet152.weights",
            "net.pth",
            "experiments.resnet152.weights: 'net.pth' is no Keras weights file. Expected auto,",
        ),
        (
            "experiments.resnet152.freeze_until",
            "everthing",
            "experiments.resnet152.freeze_until: 'everthing' looks misspelled."
            " Did you mean everything?",
        ),
        (
            "augmentation.copies",
            "3",
            "augmentation.copies: found '3', expected a whole number of at least 0."
            " Write 3 without quotes.",
        ),
        ("augmentation.copies", 2.5, "augmentation.copies: found 2.5, expected a whole number"),
        ("augmentation.copies", True, "augmentation.copies: found true, expected a whole number"),
        (
            "augmentation.rotation",
            True,
            "augmentation.rotation: found true, expected a number from",
        ),
        ("augmentation.zoom", 1.5, "augmentation.zoom: found 1.5, expected a number of at least 0"),
        ("augmentation.shear", float("nan"), "augmentation.shear: found nan, expected a number"),
        ("augmentation.horizontal_flip", "true", "augmentation.horizontal_flip: found 'true',"),
        (
            "augmentation.roation",
            3,
            "augmentation.roation: unknown key. Did you mean rotation? Known: copies, rotation,",
        ),
        ("augmentation", None, "augmentation: found null, expected a group of settings"),
        ("dataset.name", "a/b", "dataset.name: found 'a/b', expected a name of letters,"),
        ("dataset.name", "a\n", "dataset.name: found 'a\\n', expected a name of letters,"),
        ("dataset.name", 2024, "dataset.name: found 2024, expected a name of letters,"),
        ("dataset.images.on_bad", "stop", "dataset.images.on_bad: 'stop' is not a way to treat"),
        ("dataset.extend", {}, "dataset.extend.pool: missing. Expected the path of a folder"),
        ("dataset.near_duplicate_distance", 33, "dataset.near_duplicate_distance: found 33, "),
        ("evaluation.k", 5, "evaluation.k: found 5, expected a list of different whole numbers"),
        ("evaluation.k", [], "evaluation.k: found [], expected a list of different whole numbers"),
        ("evaluation.k", [1, 1], "evaluation.k: found [1, 1], expected a list of different whole"),
        ("evaluation.k", [1, 0], "evaluation.k[1]: found 0, expected a whole number of at least 1"),
        (
            "evaluation.k",
            [1, 1060],
            "evaluation.k: 1060 is more than the 1000 answers kept for a query."
            " Raise search.depth to 1060, or ask for fewer.",
        ),
        ("evaluation.answers_drawn", 1001, "evaluation.answers_drawn: 1001 is more than the 1000"),
        ("search.k", 3, "search.k: unknown key. Known: depth."),
        ("serch", {}, "serch: unknown key. Did you mean search? Known: dataset, augmentation,"),
        (
            "dataset.embedded.training_per_class",
            560,
            "dataset.embedded: 560 + 20 + 10 = 590 pictures a class (training, gallery, query), "
            "but only 580 differ enough from each other.",
        ),
        (
            "dataset.folder",
            ".",
            "dataset: embedded and folder are both sources of pictures. Keep one;",
        ),
        ("dataset.embedded", None, "dataset: no source of pictures. Give one of embedded"),
        ("dataset.layout", "classes", "dataset.layout: the embedded pictures come as a tree:"),
        (
            "dataset.split.query",
            0.1,
            "dataset.split.query: layout: tree has its own folder for this part: remove the key.",
        ),
    ],
)
def test_one_mistake_is_named_with_its_key_and_the_way_out(
    path, value, line, tmp_path, monkeypatch
):
    picture_tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert any(problem.startswith(line) for problem in problems(edited(path, value)))


def test_a_key_that_yaml_reads_as_a_number_is_named():
    config = load("config.yaml")
    config["experiments"][2024] = {"network": "scratch"}
    assert problems(config) == ["experiments.2024: a key must be text: put it in quotes, '2024'."]


@pytest.mark.parametrize("config", [None, [], "text", 3])
def test_a_file_that_is_no_group_is_named_as_a_whole(config):
    [problem] = problems(config)
    assert problem.startswith("the configuration: found ")


def test_every_mistake_is_found_at_once():
    config = edited("augmentation.zoom", 7)
    config["experiments"]["scratch"]["epoch"] = 3
    config["dataset"]["split"] = {"gallery": 0.5}
    config["search"]["depth"] = 4
    del config["dataset"]["embedded"]
    keys = [problem.split(": ")[0] for problem in problems(config)]
    assert keys == [
        "augmentation.zoom",
        "experiments.scratch.epoch",
        "dataset",
        "dataset.split.gallery",
        "evaluation.k",
        "evaluation.answers_drawn",
        "challenge.k",
    ]


def test_one_broken_key_is_named_once():
    config = edited("evaluation.k", "1, 3")
    assert len(problems(config)) == 1


def smallest_side_for_valid_padding() -> int:
    """Work the published layers through until the pooled map has a pixel."""

    def reduced(side: int, kernel: int, stride: int) -> int:
        return (side - kernel) // stride + 1 if side >= kernel else 0

    for side in range(1, 500):
        left = side
        for kernel, stride in ((7, 3), (3, 2), (3, 1), (3, 2), (3, 1), (2, 2)):
            left = reduced(left, kernel, stride)
        if left:
            return side
    raise AssertionError


def test_the_smallest_picture_for_the_unpadded_network_is_the_one_its_layers_allow():
    smallest = smallest_side_for_valid_padding()
    path = "experiments.scratch.image_size"
    complete(edited(path, smallest))
    [problem] = problems(edited(path, smallest - 1))
    assert problem.startswith(f"{path}: found {smallest - 1}. Without padding")
    assert f"at least {smallest} pixels" in problem
    assert "padding: same" in problem
    complete(edited("experiments.scratch.padding", "same", edited(path, smallest - 1)))


def test_an_onnx_encoder_has_one_source_and_what_is_fetched_a_sum():
    encoder = {"network": "onnx", "mean": [1, 2, 3], "deviation": [1.0, 1.0, 1.0]}
    path = "experiments.encoder"
    [problem] = problems(edited(path, encoder))
    assert problem.startswith(f"{path}: give one of file and address")
    address = {"address": "https://example.org/encoder.onnx"}
    [problem] = problems(edited(path, {**encoder, **address}))
    assert problem.startswith(f"{path}.sha256: missing.")
    whole = complete(edited(path, {**encoder, **address, "sha256": 64 * "a"}))
    assert whole["experiments"]["encoder"]["mean"] == [1.0, 2.0, 3.0]
    [problem] = problems(edited(path, {**encoder, "file": "gone.onnx"}))
    assert problem.startswith(f"{path}.file: 'gone.onnx' is no file.")


def test_a_keras_encoder_is_a_file_or_a_preset():
    path = "experiments.encoder"
    for source in ({}, {"file": "config/config.yaml", "preset": "resnet_18_imagenet"}):
        [problem] = problems(edited(path, {"network": "keras", **source}))
        assert problem.startswith(f"{path}: give one of file and preset")
    preset = {"network": "keras", "preset": "hf://keras/resnet_18_imagenet"}
    assert complete(edited(path, preset))["experiments"]["encoder"]["mean"] is None


def test_only_a_crop_has_a_ratio():
    path = "experiments.scratch.crop_ratio"
    [problem] = problems(edited(path, 0.9))
    assert problem.startswith(f"{path}: resizing: squeeze crops nothing. Write resizing: crop")
    complete(edited("experiments.scratch.resizing", "crop", edited(path, 0.9)))


# Folders and splits


def test_a_missing_folder_is_named(tmp_path):
    gone = str(tmp_path / "gone")
    [problem, *_] = problems(minimal(folder=gone))
    assert problem.startswith("dataset.folder: ")
    assert "is no folder" in problem
    (tmp_path / "file.zip").write_bytes(b"")
    assert "is a file, not a folder" in problems(minimal(folder=str(tmp_path / "file.zip")))[0]


def test_a_path_that_no_disk_takes_is_a_problem_and_not_a_crash():
    for path in ("a\0b", "x" * 5000, "\ud800"):
        [problem] = problems(minimal(folder=path))
        assert problem.startswith("dataset.folder: ")
        assert len(problem) < 300


def test_layout_tree_wants_its_three_folders(tmp_path):
    (tmp_path / "training").mkdir()
    [problem] = problems(minimal(folder=str(tmp_path)))
    assert "lacks validation/gallery/, validation/query/" in problem
    assert "layout: classes" in problem


def test_layout_classes_wants_a_folder_a_class(tmp_path):
    config = minimal(folder=str(tmp_path), layout="classes", split=dict.fromkeys(SHARES, 0.25))
    assert "holds no folders" in problems(config)[0]
    (tmp_path / ".hidden").mkdir()
    assert "holds no folders" in problems(config)[0]
    (tmp_path / "cat").mkdir()
    assert complete(config)["dataset"]["split"]["query"] == 0.25


SHARES = ("validation", "training", "gallery", "query")


@pytest.mark.parametrize(
    "names", [("train", "test"), ("Training", "val", "more"), ("gallery", "query")]
)
def test_parts_of_a_data_set_are_not_taken_for_its_classes(tmp_path, names):
    for name in names:
        (tmp_path / name / "cat").mkdir(parents=True)
    config = minimal(folder=str(tmp_path), layout="classes", split=dict.fromkeys(SHARES, 0.25))
    [problem] = problems(config)
    assert problem.startswith("dataset.folder: ")
    assert all(f"{name}/" in problem for name in names if name != "more")
    assert "layout: tree" in problem


@pytest.mark.parametrize(
    "names", [("train", "plane"), ("test",), ("val", "dev"), ("trainer", "tester")]
)
def test_a_class_may_be_called_as_a_part_is(tmp_path, names):
    """A train is a vehicle."""
    for name in names:
        (tmp_path / name).mkdir()
    config = minimal(folder=str(tmp_path), layout="classes", split=dict.fromkeys(SHARES, 0.25))
    assert complete(config)


def test_a_folder_of_the_folder_of_classes_is_not_taken_for_the_only_class(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "animals" / name).mkdir(parents=True)
    config = minimal(folder=str(tmp_path), layout="classes", split=dict.fromkeys(SHARES, 0.25))
    [problem] = problems(config)
    assert "holds one folder, animals/, and that holds folders only" in problem
    assert f"Then write {str(tmp_path / 'animals')!r}" in problem
    config["dataset"]["folder"] = str(tmp_path / "animals")
    assert complete(config)
    (tmp_path / "animals" / "a.png").write_bytes(b"")
    config["dataset"]["folder"] = str(tmp_path)
    assert complete(config)  # pictures lie in it, as in a class


@pytest.mark.parametrize(
    "name", ["mlflow", "MLflow", "Default", "README.md", "report.html", "report", "Benchmarks"]
)
def test_a_name_that_something_else_has_below_the_results_is_refused(name):
    config = minimal()
    config["dataset"]["name"] = name
    [problem] = problems(config)
    assert problem.startswith(f"dataset.name: {name} is taken: ")


def test_an_experiment_cannot_be_called_as_the_best_of_all_is():
    [problem] = problems(edited("experiments.best", {"descriptor": "hog"}, minimal()))
    assert problem.startswith("experiments.best: best stands for the best of all experiments")
    assert complete(edited("experiments.Best", {"descriptor": "hog"}, minimal()))


def test_a_threshold_needs_held_out_pictures_of_classes(tmp_path):
    config = edited("evaluation", {"abstaining": {}}, minimal())
    assert complete(config)["evaluation"]["abstaining"] == {"risk": 0.05, "absent": 0.5}
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("query,gallery\n")
    [problem] = problems(edited("dataset.truth", {"pairs": str(pairs)}, config))
    assert problem.startswith("evaluation.abstaining: a threshold is fitted on held-out training")


@pytest.mark.parametrize("length", [100, 101])
def test_names_are_no_longer_than_files_can_be_called_by(length):
    name = "n" * length
    for config, key in (
        (edited("dataset.name", name, minimal()), "dataset.name"),
        (edited(f"experiments.{name}", {"descriptor": "hog"}, minimal()), f"experiments.{name}"),
    ):
        if length <= 100:
            assert complete(config)
        else:
            [problem] = problems(config)
            assert problem.startswith(f"{key}: ")
            assert "100 characters at most" in problem


@pytest.mark.parametrize("name", ["{x}", "a{seed,\\d+}b"])
def test_a_file_that_jobs_wait_for_has_no_braces_in_its_name(tmp_path, name):
    weights, truth = tmp_path / f"{name}.h5", tmp_path / f"{name}.json"
    for file in (weights, truth):
        file.write_bytes(b"")
    (tmp_path / "gallery").mkdir()
    (tmp_path / "query").mkdir()
    config = edited("challenge", {"folder": str(tmp_path), "truth": str(truth)}, minimal())
    network = {"network": "transfer", "backbone": "MobileNetV2", "weights": str(weights)}
    config["experiments"]["mobile"] = network
    lines = problems(config)
    assert [line.partition(": ")[0] for line in lines] == [
        "experiments.mobile.weights",
        "challenge.truth",
    ]
    assert all("takes for a wildcard: rename" in line for line in lines)


def test_braces_are_welcome_where_nothing_takes_them_for_wildcards(tmp_path):
    folder = picture_tree(tmp_path / "{pictures}")
    config = edited("evaluation.queries_drawn", ["{x}.png"], minimal(folder=str(folder)))
    config["challenge"] = {"embedded": {}, "group": "{team}"}
    config["tracking"] = {"uri": "sqlite:///{runs}.db"}
    assert complete(config)["challenge"]["group"] == "{team}"


def test_layout_classes_wants_all_four_shares_and_a_sum_of_one(tmp_path):
    (tmp_path / "cat").mkdir()
    config = minimal(folder=str(tmp_path), layout="classes")
    assert problems(config) == [
        "dataset.split: layout: classes needs a share for validation, training, gallery, query too."
    ]
    config["dataset"]["split"] = {"training": 0.6, "gallery": 0.1, "query": 0.1}
    assert problems(config) == ["dataset.split: layout: classes needs a share for validation too."]
    config["dataset"]["split"]["validation"] = 0.1
    assert problems(config) == [
        "dataset.split: validation, training, gallery, query must add up to 1, "
        "but 0.1 + 0.6 + 0.1 + 0.1 = 0.9."
    ]
    config["dataset"]["split"] = {"validation": 0.1, "training": 0.7, "gallery": 0.1, "query": 0.1}
    assert sum(config["dataset"]["split"].values()) != 1  # in floating point: it is accepted
    whole = complete(config)
    assert complete(whole) == whole


def test_without_a_part_of_queries_none_is_asked_for(tmp_path):
    (tmp_path / "cat").mkdir()
    shares = {"validation": 0.2, "training": 0.4, "gallery": 0.4}
    config = minimal(folder=str(tmp_path), layout="classes", split=shares)
    assert problems(config) == ["dataset.split: layout: classes needs a share for query too."]
    config["evaluation"] = {"protocol": "leave_one_out"}
    assert complete(config)
    config["dataset"]["split"] = {**shares, "query": 0.1}
    assert "validation, training, gallery, query must add up to 1" in problems(config)[0]
    for part in ("training", "validation/gallery"):
        (tmp_path / "tree" / part / "cat").mkdir(parents=True)
    tree = minimal(folder=str(tmp_path / "tree"))
    assert "lacks validation/query/" in problems(tree)[0]
    assert complete({**tree, "evaluation": {"protocol": "leave_original_out"}})


@pytest.mark.parametrize(
    ("protocol", "key", "value", "problem"),
    [
        *(
            (each, "search", {"database_augmentation": {}}, "each query would be mixed into the")
            for each in ("leave_one_out", "leave_original_out")
        ),
        ("leave_original_out", "search", {"query_expansion": {}}, "with copies of its original"),
        ("leave_one_out", "k_reciprocal", {"k1": 3}, "among the neighbours that its answers are"),
        ("cross", "search", {"index": "HNSW32"}, "each fold of cross is searched exactly"),
        ("cross", "epochs", 3, "cross trains nothing, which would take a training a fold"),
    ],
)
def test_what_a_protocol_does_not_go_with_is_refused_at_its_key(protocol, key, value, problem):
    settings = {"network": "scratch"} if key == "epochs" else {"descriptor": "hog"}
    config = edited("experiments", {"one": {**settings, key: value}}, minimal())
    assert complete(config)
    inner = f".{next(iter(value))}" if key == "search" else ""
    [found] = problems({**config, "evaluation": {"protocol": protocol}})
    assert found.startswith(f"experiments.one.{key}{inner}: ")
    assert problem in found


@pytest.mark.parametrize("protocol", ["leave_one_out", "leave_original_out", "cross"])
def test_where_the_gallery_searches_itself_nothing_is_stated_nor_left_unanswered(
    protocol, tmp_path
):
    config = edited("experiments", {"hog": {"descriptor": "hog"}}, minimal())
    config["evaluation"] = {"protocol": protocol}
    assert complete(config)
    [found] = problems(edited("evaluation.abstaining", {}, config))
    assert found.startswith(f"evaluation.abstaining: with {protocol} there are none")
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("query,gallery\n")
    [found] = problems(edited("dataset.truth", {"pairs": str(pairs)}, config))
    assert found.startswith(f"evaluation.protocol: {protocol} goes by classes, and what is right")


@pytest.mark.parametrize("unseen", [1, 0.5, ["cat"]])
def test_classes_to_be_unseen_are_a_number_a_share_or_names(tmp_path, unseen):
    config = minimal(folder=str(picture_tree(tmp_path)), split={"unseen_classes": unseen})
    for name in ("training/dog", "validation/gallery/distractor"):
        (tmp_path / name).mkdir()
    (tmp_path / "training/cat").mkdir(exist_ok=True)
    assert complete(config)["dataset"]["split"]["unseen_classes"] == unseen


@pytest.mark.parametrize(
    ("unseen", "problem"),
    [
        (0, "found 0, expected a whole number of at least 1, a share above 0"),
        (1.0, "found 1, expected a whole number of at least 1, a share"),
        ([], "found [], expected"),
        (["cat", "cat"], "found ['cat', 'cat'], expected"),
        ("cat", "or a list of classes."),
        (["car"], "names car, but no class is called so; there are: cat, dog."),
        (2, "leaves no class to learn from: 2 of 2. Ask for fewer."),
    ],
)
def test_other_classes_to_be_unseen_are_refused(tmp_path, unseen, problem):
    config = minimal(folder=str(picture_tree(tmp_path)), split={"unseen_classes": unseen})
    for name in ("training/cat", "training/dog"):
        (tmp_path / name).mkdir(exist_ok=True)
    [found] = problems(config)
    assert found.startswith("dataset.split.unseen_classes: ")
    assert problem in found


@pytest.mark.parametrize("location", ["https://example.org/a.zip", "pictures.tar.gz"])
def test_an_archive_is_a_url_or_a_file(location, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures.tar.gz").write_bytes(b"")
    config = minimal(archive={"location": location, "sha256": "0a" * 32})
    archive = complete(config)["dataset"]["archive"]
    assert (archive["subfolder"], archive["max_gigabytes"]) == ("", 20)
    config["dataset"]["archive"] = {"location": "x.zip", "sha256": "A" * 64, "subfolder": "a/../.."}
    lines = problems(config)
    assert [line.split(": ")[0] for line in lines] == [
        f"dataset.archive.{key}" for key in ("location", "sha256", "subfolder")
    ]


def test_a_weights_file_that_exists_is_accepted(tmp_path):
    file = tmp_path / "mine.weights.h5"
    file.write_bytes(b"")
    config = edited("experiments.resnet152.weights", str(file))
    assert complete(config)["experiments"]["resnet152"]["weights"] == str(file)


def test_a_pool_must_be_a_folder(tmp_path):
    config = edited("dataset.extend", {"pool": str(tmp_path / "pool"), "per_class": 100})
    assert problems(config)[0].startswith("dataset.extend.pool: ")
    (tmp_path / "pool").mkdir()
    assert complete(config)["dataset"]["extend"]["seed"] == 99


# Backbones


def test_pictures_have_the_size_that_the_backbone_was_made_for_unless_another_is_configured():
    config = minimal()
    config["experiments"] = {
        "left_out": {"network": "transfer", "backbone": "InceptionV3"},
        "null": {"network": "transfer", "backbone": "EfficientNetB7", "image_size": None},
        "said": {"network": "transfer", "backbone": "InceptionV3", "image_size": 75},
        "scratch": {"network": "scratch"},
    }
    whole = complete(config)
    sizes = {name: settings_["image_size"] for name, settings_ in whole["experiments"].items()}
    assert sizes == {"left_out": 299, "null": 600, "said": 75, "scratch": 224}
    assert complete(whole) == whole


def test_pictures_too_small_for_a_backbone_are_a_problem():
    config = minimal()
    config["experiments"]["net"] = {
        "network": "transfer",
        "backbone": ["InceptionV3", "ResNet50", "InceptionResNetV2"],
        "image_size": [32, 74, 75, 8],
        "epochs": -1,
    }
    few = "pixels a side are too few for InceptionV3, which needs 75. It was made for 299."
    assert sorted(problems(config)) == [
        "experiments.net.epochs: found -1, expected a whole number of at least 0.",
        f"experiments.net.image_size[0]: 32 {few}",
        f"experiments.net.image_size[1]: 74 {few}",
        "experiments.net.image_size[3]: found 8, expected a whole number from 32 to 1024 or null.",
    ]


def test_every_backbone_of_the_schema_has_its_picture_size():
    assert set(SCHEMA["$defs"]["Transfer"]["properties"]["backbone"]["enum"]) == set(BACKBONES)


@pytest.mark.parametrize("written", ["off", "no", "false", '"off"'])
def test_off_turns_the_trunk_cache_off_with_or_without_quotes(written):
    text = f"{{network: transfer, backbone: ResNet50, trunk_cache: {written}}}"
    config = edited("experiments.net", yaml.safe_load(text), minimal())
    assert complete(config)["experiments"]["net"]["trunk_cache"] is False


def test_a_trunk_is_kept_exactly_unless_configured_otherwise():
    net = {"network": "transfer", "backbone": "ResNet50"}
    whole = complete(edited("experiments.net", net, minimal()))
    assert whole["experiments"]["net"]["trunk_cache"] == "float32"
    [problem] = problems(edited("experiments.net", {**net, "trunk_cache": "float61"}, minimal()))
    assert problem.startswith("experiments.net.trunk_cache: 'float61' is not a way to keep")
    assert "Did you mean float16?" in problem
    trained = {**net, "trunk_cache": "float16", "freeze_until": "nothing"}
    assert find_warnings(check(edited("experiments.net", trained, minimal()))) == [
        "experiments.net: nothing is frozen, so trunk_cache keeps nothing"
    ]


# Notices


def test_settings_that_make_little_sense_are_noticed():
    config = unswept()
    config["experiments"]["Scratch"] = dict(config["experiments"]["scratch"])
    config["experiments"]["resnet152"] |= {"weights": "random", "freeze_until": "everything"}
    config["augmentation"]["max_side"] = 80
    lines = find_warnings(check(config))
    assert len(lines) == 5
    assert "experiments.resnet152: the backbone is random and none of it is trained" in lines
    assert "experiments.scratch and experiments.Scratch have the same settings" in lines
    shrinks = "augmentation.max_side shrinks the copies to 80 pixels, and image_size enlarges them"
    assert f"experiments.scratch, experiments.Scratch: {shrinks} again to 96" in lines
    assert f"experiments.efficientnet_lite2: {shrinks} again to 128" in lines
    assert any("ignores capitals" in line for line in lines)


# A new kind of experiment


class Siamese(base.Settings):
    """Two branches with one head."""

    network: Literal["siamese"] = base.key(..., doc="The kind of the experiment.")
    numbers: int = base.key(512, doc="Numbers of the head.")


class WithSiamese(Configuration):
    """The configuration with one more kind of experiment."""

    experiments: dict[
        str,
        Annotated[
            Annotated[
                Annotated[Transfer | Scratch | Siamese, Field(discriminator="network")],
                Tag("network"),
            ]
            | Annotated[Descriptor, Tag("descriptor")]
            | Annotated[Fusion, Tag("fusion")],
            Discriminator(kind_of),
        ],
    ] = base.key(..., doc="What is compared.", min_length=1)


def test_a_new_kind_of_experiment_needs_only_a_model():
    config = edited("experiments.local", {"network": "siamese"})
    whole = complete(config, WithSiamese)
    assert whole["experiments"]["local"] == {"network": "siamese", "numbers": 512}
    assert find_warnings(check(whole, WithSiamese)) == []
    with pytest.raises(ConfigurationError, match=r"numbers: found 1\.5, expected a whole number"):
        complete(edited("experiments.local.numbers", 1.5, config), WithSiamese)
    assert "### network: siamese\n\nTwo branches with one head." in reference(WithSiamese)
    swept = complete(edited("experiments.local.numbers", [1, 2], config), WithSiamese)
    assert {"local-numbers1", "local-numbers2"} <= set(swept["experiments"])


# What YAML 1.1 reads in another way than its writer


@pytest.mark.parametrize("written", ["1e-4", "1.e-4", "1E-4", "+1e-4", "10e-5", "0.1e-3", ".1e-3"])
def test_a_number_with_an_exponent_is_a_number_with_and_without_a_dot(written):
    text = f"{{network: scratch, learning_rate: {written}, l2: [{written}, 1e-3]}}"
    whole = complete(edited("experiments.net", yaml.safe_load(text), minimal()))
    dotted = "{network: scratch, learning_rate: 1.0e-4, l2: [1.0e-4, 1.0e-3]}"
    assert whole == complete(edited("experiments.net", yaml.safe_load(dotted), minimal()))
    assert list(whole["experiments"]) == ["small", "net-l2_1e-4", "net-l2_1e-3"]


def test_every_number_of_the_configuration_may_be_written_with_an_exponent():
    config, checked = complete(load("config.yaml")), 0
    for container, key in list(places(config)):
        value = container[key]
        if isinstance(value, int | float) and not isinstance(value, bool):
            mantissa, exponent = f"{Decimal(repr(value)):e}".split("e")
            shift = len(mantissa.partition(".")[2])
            container[key] = f"{mantissa.replace('.', '')}e{int(exponent) - shift}"
            assert isinstance(yaml.safe_load(container[key]), str)
            checked += 1
    assert checked > 80
    assert repr(complete(config)) == repr(complete(load("config.yaml")))


@pytest.mark.parametrize("name", ["1e-4", "0x", "1.5e3"])
def test_a_name_that_looks_like_a_number_stays_a_name(name):
    config = yaml.safe_load(
        f"{{dataset: {{name: {name}, embedded: {{}}}}, experiments: {{a: {{network: scratch}}}}}}"
    )
    assert complete(config)["dataset"]["name"] == name


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        (word, "YAML takes yes, on, true for true: put the word in quotes, 'yes'.")
        for word in ("yes", "on", "true", "Yes", "ON")
    ]
    + [
        (word, "YAML takes no, off, false for false: put the word in quotes, 'no'.")
        for word in ("no", "off", "false", "No", "OFF")
    ],
)
def test_a_name_that_yaml_takes_for_a_truth_value_is_named_with_the_mend(word, hint):
    text = """
        dataset: {name: WORD, embedded: {}}
        experiments:
          WORD: {network: scratch}
          net: {descriptor: hog}
          both: {fusion: ranks, of: [net, WORD]}
        registry: {experiments: [WORD]}
        """
    found = problems(yaml.safe_load(text.replace("WORD", word)))
    truth = "true" if "true" in hint else "false"
    assert found == [
        f"dataset.name: found {truth}, expected a name of letters, digits, dots, hyphens and "
        f"underscores that begins with a letter or digit, 100 characters at most. {hint}",
        f"experiments.{truth}: a key must be text. {hint}",
        f"experiments.both.of[1]: found {truth}, expected the name of an experiment. {hint}",
        f"registry.experiments[0]: found {truth}, expected text. {hint}",
    ]
    quoted = complete(yaml.safe_load(text.replace("WORD", f"'{word}'")))
    assert (quoted["dataset"]["name"], next(iter(quoted["experiments"]))) == (word, word)


def test_two_names_that_yaml_takes_for_one_truth_value_are_named_once():
    text = "{dataset: {name: x, embedded: {}}, experiments: {yes: {network: scratch}, on: 3}}"
    [problem] = problems(yaml.safe_load(text))
    assert problem.startswith("experiments.true: a key must be text. YAML takes yes, on, true")


# The schema for editors

EDITOR = json.loads((CONFIG / "schema.json").read_text(encoding="utf-8"))


def test_the_committed_schema_for_editors_is_the_generated_one():
    written = (CONFIG / "schema.json").read_text(encoding="utf-8")
    command = [sys.executable, "-m", "gallerist.config.schema"]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(CHECKOUT / "scripts")}, capture_output=True, check=True
    )
    assert written == done.stdout.decode("utf-8"), "python -m gallerist.config.schema"
    Draft202012Validator.check_schema(EDITOR)


def test_every_configuration_names_the_schema_and_is_right_by_it():
    for path in sorted(CONFIG.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("# yaml-language-server: $schema=schema.json\n"), path.name
        Draft202012Validator(EDITOR).validate(yaml.safe_load(text))


def test_editors_get_what_every_key_is():
    for name, group in {"": EDITOR, **EDITOR["$defs"]}.items():
        for key, schema in group["properties"].items():
            assert len(schema["description"]) > 10, (name, key)
            assert not any(word.startswith("x-") for word in schema), (name, key)


@pytest.mark.parametrize(
    ("path", "right", "wrong"),
    [
        ("experiments.scratch.epochs", [10, 50], [10, -1]),
        ("experiments.scratch.early_stopping", [None, {"patience": [3, 7]}], [{"patience": "x"}]),
        ("experiments.scratch.search.query_expansion", [None, {"alpha": [0, 3]}], [{"alpha": -1}]),
        ("experiments.resnet152.backbone", ["ResNet50", "VGG16"], ["ResNet5"]),
        ("experiments.scratch.network", ["scratch", "transfer"], "scrach"),
        ("experiments.together.of", ["hog", "sift"], [["hog", "sift"]]),
        ("experiments.scratch.trunk_cache", None, None),
        ("augmentation.copies", 1, [1, 5]),
    ],
)
def test_only_keys_of_an_experiment_take_lists_of_values_in_editors(path, right, wrong):
    if right is not None:
        Draft202012Validator(EDITOR).validate(edited(path, right))
    assert not Draft202012Validator(EDITOR).is_valid(edited(path, wrong))


# Whatever is thrown at it

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["auto", "imagenet", "transfer", "scratch", "classes", "1e-5", "x.h5", "/"])
    | st.dates()
)
KEYS = (
    st.text(max_size=6)
    | st.sampled_from(sorted({each.name for each in keys(Configuration)}))
    | st.integers(0, 9)
    | st.none()
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) inside a value."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, member in list(members):
        yield value, key
        if isinstance(member, dict | list):
            yield from places(member)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a valid configuration with up to three places changed, removed or added to."""
    base = draw(st.sampled_from([load("config.yaml"), load("published.yaml"), minimal()]))
    config = complete(base) if "embedded" in base["dataset"] else copy.deepcopy(base)
    for _ in range(draw(st.integers(0, 3))):
        found = list(places(config))
        if not found:
            break
        container, key = found[draw(st.integers(0, len(found) - 1))]
        change = draw(st.sampled_from(["set", "set", "list", "remove", "add"]))
        if change == "set":
            container[key] = draw(ANYTHING)
        elif change == "list":
            container[key] = [container[key], *draw(st.lists(ANYTHING, max_size=2))]
        elif change == "remove":
            del container[key]
        elif isinstance(container, dict):
            container[draw(KEYS)] = draw(ANYTHING)
    return config


def check_complete(config: Any) -> None:
    before = repr(config)  # by repr, because nan is not equal to itself
    try:
        whole, told = complete(config), ()
    except ConfigurationError as error:
        whole, told = None, error.problems
    if whole is None:
        assert told
        for problem in told:
            assert len(problem.splitlines()) == 1, problem
            assert ": " in problem
    else:
        assert complete(whole) == whole
        assert STANDARD.is_valid(whole)
        assert yaml.safe_load(yaml.safe_dump(whole)) == whole
        assert all(isinstance(line, str) for line in find_warnings(check(whole)))
    assert repr(config) == before


@settings(max_examples=100, deadline=None)
@given(ANYTHING)
def test_anything_is_either_completed_or_a_configuration_error(config):
    check_complete(config)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_a_changed_configuration_is_either_completed_or_a_configuration_error(config):
    check_complete(config)


@settings(deadline=None)
@given(st.from_regex(r"[-+]?[0-9]{1,3}(\.[0-9]{0,3})?[eE][-+]?[0-9]{1,2}", fullmatch=True))
def test_a_number_is_suggested_as_yaml_reads_it(text):
    suggested = yaml.safe_load(yaml_number(text))
    assert isinstance(suggested, float)
    assert suggested == float(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_shown_as_yaml_reads_it(number):
    assert yaml.safe_load(yaml_number(repr(number))) == number


def test_every_configuration_that_comes_along_is_complete_but_for_its_pictures(tmp_path):
    tree, challenge = str(picture_tree(tmp_path)), tmp_path / "challenge"
    for part in ("gallery", "query"):
        (challenge / part).mkdir(parents=True)
    for path in sorted(CONFIG.glob("*.yaml")):
        config = load(path.name)
        if "folder" in config["dataset"]:
            config = edited("dataset.folder", tree, config)
        if "table" in config["dataset"]:
            table = tmp_path / "pictures.csv"
            table.write_text("path,part\na.jpg,gallery\nb.jpg,query\n", encoding="utf-8")
            config = edited("dataset.table", str(table), config)
            config = edited("dataset.truth.pairs", str(table), config)
        if "folder" in config.get("challenge", {}):
            config = edited("challenge.folder", str(challenge), config)
        entries = {name.split("-seed")[0] for name in complete(config)["experiments"]}
        assert entries == set(config["experiments"]), path.name


def test_several_files_are_laid_over_each_other_key_by_key(tmp_path):
    lower, upper = tmp_path / "lower.yaml", tmp_path / "upper.yaml"
    lower.write_text(yaml.safe_dump(minimal()), encoding="utf-8")
    upper.write_text("search: {depth: 20}\ndataset: {name: other}\n", encoding="utf-8")
    assert read(lower)["search"]["depth"] == 1000
    whole = read(lower, upper)
    assert whole["search"]["depth"] == 20
    assert whole["dataset"]["name"] == "other"
    assert whole["dataset"]["embedded"] == read(lower)["dataset"]["embedded"]


def test_a_file_that_is_missing_or_no_yaml_is_named(tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("dataset: [", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"there is no file .*absent\.yaml"):
        read(tmp_path / "absent.yaml")
    with pytest.raises(ConfigurationError, match=r"broken\.yaml is not YAML"):
        read(broken)


def tabled(tmp_path: Path, text: str, **dataset: Any) -> dict[str, Any]:
    """A configuration with a table, and one experiment that learns nothing."""
    table = tmp_path / "t.csv"
    table.write_text(text, encoding="utf-8")
    dataset = {"name": "t", "table": str(table), **dataset}
    return {"dataset": dataset, "experiments": {"a": {"descriptor": "hog"}}}


UNLABELLED = "path,part,right\na.png,gallery,\nb.png,query,a.png\n"


def test_a_wrong_table_is_named_at_its_key_and_nothing_else(tmp_path):
    [problem] = problems(tabled(tmp_path, "path,part\na.png,test\n"))
    assert problem.startswith("dataset.table: ")
    assert "line 2: the part 'test' is none of" in problem


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        (None, "dataset.truth: missing. The table has no column label"),
        ({}, "dataset.truth: nothing is stated. Keep one of pairs, column"),
        ({"column": "right", "labels": "any"}, "dataset.truth: column and labels are given"),
        ({"column": "write"}, "dataset.truth.column: the table has no column 'write'"),
        ({"within": 5}, "dataset.truth.within: the table has no columns latitude and longitude"),
        ({"labels": "any"}, "dataset.truth.labels: the table has no column label"),
    ],
)
def test_a_truth_that_the_table_cannot_give_is_named_at_its_key(tmp_path, truth, said):
    given = {} if truth is None else {"truth": truth}
    [problem] = problems(tabled(tmp_path, UNLABELLED, **given))
    assert problem.startswith(said)


def test_what_needs_classes_or_pictures_to_learn_from_is_refused_at_its_key(tmp_path):
    config = tabled(tmp_path, UNLABELLED, truth={"column": "right"})
    assert complete(config)["dataset"]["truth"]["column"] == "right"
    pca = {"descriptor": "hog", "reduction": {"method": "pca", "dimensions": 2}}
    trained = {"network": "scratch", "image_size": 32, "padding": "same"}
    fused = {"fusion": "weighted", "of": ["a", "pca"]}
    config["experiments"] |= {"pca": pca, "trained": trained, "fused": fused}
    found = problems(config)
    places = ["pca.reduction", "trained.epochs", "fused.fusion"]
    assert [each.split(": ")[0] for each in found] == [f"experiments.{each}" for each in places]
