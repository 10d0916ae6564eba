"""The published configuration, as it is delivered: what Snakemake makes of it."""

import json

import pytest
from tiny_workflow import CHECKOUT, Workflow, draw_data_set, jobs_of

SPY = """
with open("completed.json", "w", encoding="utf-8") as file:
    file.write(canonical_json(config))
"""
"""Added to the Snakefile of the copy, because a dry run says nothing of parameters."""


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A dry run of it, with pictures where it expects them, and the settings it came to."""
    workflow = Workflow(tmp_path_factory.mktemp("published") / "gallerist", counts=None)
    delivered = (CHECKOUT / "config/config.yaml").read_bytes()
    workflow.config_file.write_bytes(delivered)  # the default that must not be mixed in
    draw_data_set(workflow.folder / "data/animals")
    snakefile = workflow.folder / "Snakefile"
    snakefile.write_text(snakefile.read_text(encoding="utf-8") + SPY, encoding="utf-8")
    workflow.plan = workflow.run("--dry-run", "--configfile", "config/published.yaml")
    completed = workflow.folder / "completed.json"
    workflow.completed = json.loads(completed.read_text(encoding="utf-8"))
    return workflow


TRUNK = "ResNet152-imagenet-224-conv5-float32"


def test_it_plans_the_jobs_of_its_two_experiments(published):
    experiments = ("resnet152", "scratch")
    assert jobs_of(published.plan) == {
        *(f"import_images {part}" for part in ("originals", "gallery", "query")),
        "split_images",
        "report_leaks",
        "augment_images",
        "fetch_weights ResNet152-imagenet",
        f"export_trunk {TRUNK}",
        f"extract_trunk {TRUNK}",
        *(
            f"{rule} {experiment}"
            for rule in (
                *("train_network", "search_gallery", "evaluate_retrieval"),
                *("extract_features", "explain_experiment"),
            )
            for experiment in experiments
        ),
        "compare_experiments",
    }
    assert "results/animals/comparison/comparison.md" in published.plan.stdout


def test_nothing_of_the_default_configuration_is_mixed_in(published):
    for word in (
        "results/silhouettes",
        "EfficientNetLite2",
        "=efficientnet_lite2",
    ):
        assert word not in published.plan.stdout
    completed = published.completed
    assert completed["dataset"].keys() & {"embedded", "folder", "archive"} == {"folder"}
    assert completed["dataset"]["name"] == "animals"
    assert completed["experiments"].keys() == {"resnet152", "scratch"}
    assert completed["search"]["depth"] == 10


def test_its_pictures_are_augmented_as_published(published):
    published_values = {
        "copies": 5,
        "rotation": 40,
        "width_shift": 0.2,
        "height_shift": 0.2,
        "shear": 0.2,
        "zoom": 0.2,
        "horizontal_flip": True,
        "fill": "nearest",
    }
    augmentation = published.completed["augmentation"]
    assert {name: augmentation[name] for name in published_values} == published_values
    assert published.completed["dataset"]["split"] == {"validation": 0.2, "seed": 99}


def test_its_pretrained_network_is_the_published_one(published):
    experiment = dict(published.completed["experiments"]["resnet152"])
    assert experiment.pop("search")["metric"] == "cosine"  # which orders unit vectors as published
    steps = ("views", "reduction", "k_reciprocal", "geometric_verification")
    assert {experiment.pop(step) for step in steps} == {None}
    assert experiment.pop("look") == "colour"
    assert (experiment.pop("resizing"), experiment.pop("crop_ratio")) == ("squeeze", None)
    assert experiment == {
        "network": "transfer",
        "backbone": "ResNet152",
        "weights": "imagenet",
        "freeze_until": "conv5",
        "pooling": "flatten",
        "image_size": 224,
        "trunk_cache": "float32",  # how it is computed, not what
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
    }


def test_its_small_network_is_the_published_one(published):
    scratch = published.completed["experiments"]["scratch"]
    published_values = {
        "network": "scratch",
        "image_size": 224,
        "padding": "valid",
        "head": "published",
        "dropout": 0.2,
        "augmented": True,
        "batch_size": 16,
        "epochs": 50,
        "early_stopping": {"min_delta": 0, "patience": 5},
        "reduce_learning_rate": {"factor": 0.5, "patience": 3},
        "restore_best_weights": False,
    }
    assert {name: scratch[name] for name in published_values} == published_values


def test_its_accuracies_are_measured_as_published(published):
    assert published.completed["evaluation"]["k"] == [1, 3, 5, 10]
    assert published.completed["evaluation"]["answers_drawn"] == 10


def test_without_its_pictures_it_says_where_it_looked_for_them(tmp_path):
    workflow = Workflow(tmp_path / "gallerist", counts=None)
    run = workflow.run("--dry-run", "--configfile", "config/published.yaml", check=False)
    assert run.returncode != 0
    assert "config/published.yaml: dataset.folder: 'data/animals' is no folder" in run.stdout
    assert "Traceback" not in run.stdout
