"""Frozen layers are computed once: which edits compute them again, and that it changes nothing."""

import json

import numpy as np
import pandas as pd
import pytest
from edits import change_code, dry_runs
from tiny_workflow import CONFIG, TRANSFER, Workflow, draw_picture, jobs_of, wait_for

from gallerist.io.row_store import keys_in

PARTS = ("training", "augmented", "validation", "gallery", "query")
EXPERIMENTS = {
    "one": TRANSFER,
    "uncached": {**TRANSFER, "trunk_cache": False},
}
TRUNK = "MobileNetV2-random-32-block_16-float32"


def trunk_of(name):
    """All jobs of a trunk that there was none of."""
    return {f"{rule} {name}" for rule in ("export_trunk", "extract_trunk")}


def chain(experiment):
    """All that one experiment has for itself, and the comparison."""
    rules = "train_network", "extract_features", "search_gallery"
    every = {f"{rule} {experiment}" for rule in (*rules, "evaluate_retrieval")}
    return every | {"compare_experiments"}


@pytest.fixture(scope="module")
def cached_workflow(tmp_path_factory):
    """The first run of two experiments, one of which keeps what its frozen layers give."""
    folder = tmp_path_factory.mktemp("cached") / "gallerist"
    workflow = Workflow(folder, {**CONFIG, "experiments": EXPERIMENTS})
    workflow.log_nothing()
    workflow.first_run = workflow.run()
    return workflow


@pytest.fixture
def workflow(cached_workflow, tmp_path):
    return cached_workflow.copy(tmp_path / "gallerist")


def test_experiments_that_share_backbone_weights_and_freezing_share_one_trunk(
    cached_workflow, workflow
):
    done = jobs_of(cached_workflow.first_run)
    assert {job for job in done if "trunk" in job} == trunk_of(TRUNK)
    add_an_experiment(workflow)
    planned = workflow.dry_run("--forceall")
    assert {job for job in planned if "trunk" in job} == trunk_of(TRUNK)
    assert planned == done | chain("three")
    assert [each.name for each in (cached_workflow.results / "trunks").iterdir()] == [TRUNK]
    segments = [*cached_workflow.results.glob(f"store/trunks/{TRUNK}/*/*.arrow")]
    kept = [key for segment in segments for key in keys_in(segment)]
    manifests = (cached_workflow.results / f"manifests/{part}.csv" for part in PARTS)
    assert sorted(kept) == sorted({key for each in manifests for key in pd.read_csv(each).id})


@pytest.mark.slow
def test_features_of_a_network_without_epochs_come_of_kept_rows(tmp_path):
    experiments = {"untrained": {**TRANSFER, "epochs": 0}}
    workflow = Workflow(tmp_path / "gallerist", {**CONFIG, "experiments": experiments})
    workflow.log_nothing()
    done = jobs_of(workflow.run("compare_experiments"))
    assert {f"export_trunk {TRUNK}", "extract_features untrained"} <= done
    assert not any(job.startswith("extract_trunk") for job in done)
    (segment,) = workflow.results.glob(f"store/trunks/{TRUNK}/*/*.arrow")
    manifests = (workflow.results / f"manifests/{part}.csv" for part in ("gallery", "query"))
    assert {*keys_in(segment)} == {key for each in manifests for key in pd.read_csv(each).id}


def test_the_need_of_disk_is_said_before_it_is_taken(cached_workflow):
    log = cached_workflow.results / f"logs/extract_trunk/{TRUNK}.log"
    lines = log.read_text(encoding="utf-8").splitlines()
    said = [number for number, line in enumerate(lines) if "free" in line]
    assert said, lines
    assert not any("images," in line for line in lines[: said[0]])


def test_training_on_kept_rows_ends_as_training_on_the_pictures_does(cached_workflow):
    cached, uncached = (
        pd.read_csv(cached_workflow.results / f"models/{name}/history.csv")
        for name in ("one", "uncached")
    )
    for column in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(cached[column], uncached[column], rtol=1e-4, err_msg=column)
    features = [
        np.load(cached_workflow.results / f"features/{name}/gallery.npy")
        for name in ("one", "uncached")
    ]
    assert (features[0] * features[1]).sum(axis=1).min() > 0.9999
    metrics = [
        json.loads((cached_workflow.results / f"evaluation/{name}/metrics.json").read_text("utf-8"))
        for name in ("one", "uncached")
    ]
    assert metrics[0]["metrics"] == metrics[1]["metrics"]


def set_key(key, value):
    return lambda workflow: workflow.edit_config(key, value)


def replace_a_gallery_picture(workflow):
    draw_picture(workflow.folder / "pictures/validation/gallery/discs/discs_0.jpg", "discs", 1002)


def add_an_experiment(workflow):
    other = {"pooling": "max", "head": "published", "epochs": 1, "seed": 7}
    workflow.edit_config("experiments.three", {**TRANSFER, **other})


OTHER = "MobileNetV2-random-32"
EDITS = {
    "the head": (set_key("experiments.one.head", "published"), chain("one")),
    "the learning rate": (set_key("experiments.one.learning_rate", 1e-2), chain("one")),
    "the epochs": (set_key("experiments.one.epochs", 3), chain("one")),
    "the pooling": (set_key("experiments.one.pooling", "flatten"), chain("one")),
    "the dropout": (set_key("experiments.one.dropout", 0.5), chain("one")),
    "the seed": (set_key("experiments.one.seed", 100), chain("one")),
    "the batch size": (set_key("experiments.one.batch_size", 4), chain("one")),
    "an experiment more": (add_an_experiment, chain("three")),
    "what is frozen": (
        set_key("experiments.one.freeze_until", "block_15"),
        chain("one") | trunk_of(f"{OTHER}-block_15-float32"),
    ),
    "the precision kept": (
        set_key("experiments.one.trunk_cache", "float16"),
        chain("one") | trunk_of(f"{OTHER}-block_16-float16"),
    ),
    "the cache off": (set_key("experiments.one.trunk_cache", False), chain("one")),
    "nothing trained": (
        set_key("experiments.one.freeze_until", "everything"),
        chain("one") | trunk_of(f"{OTHER}-everything-float32"),
    ),
    "no epochs": (set_key("experiments.one.epochs", 0), chain("one")),
    "how copies are warped": (
        lambda workflow: change_code(workflow, "gallerist/data/warping.py"),
        {"augment_images", f"extract_trunk {TRUNK}"}.union(*map(chain, EXPERIMENTS)),
    ),
    "the k": (
        set_key("evaluation.k", [1, 2]),
        {"compare_experiments"} | {f"evaluate_retrieval {name}" for name in EXPERIMENTS},
    ),
    "a gallery picture": (
        replace_a_gallery_picture,
        {"import_images gallery", "report_leaks", "compare_experiments"}
        | {
            f"{rule} {name}"
            for rule in ("extract_features", "search_gallery", "evaluate_retrieval")
            for name in EXPERIMENTS
        },
    ),
}


@pytest.fixture(scope="module")
def calls(cached_workflow, tmp_path_factory):
    """Edit -> a future of the jobs it calls for."""
    changes = {name: change for name, (change, _) in EDITS.items()}
    with dry_runs(cached_workflow, changes, tmp_path_factory) as planned:
        yield planned


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_an_experiment_computes_frozen_layers_again_only_where_they_differ(calls, edit):
    assert calls[edit].result() == EDITS[edit][1]


@pytest.mark.slow
def test_after_another_pooling_the_kept_rows_are_really_used(workflow):
    kept = workflow.content([f"results/tiny/store/trunks/{TRUNK}"])
    workflow.edit_config("experiments.one.pooling", "max")
    assert workflow.rerun() == chain("one")
    assert workflow.content([f"results/tiny/store/trunks/{TRUNK}"]) == kept


@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_last_epoch(workflow, tmp_path):
    """Its curves are those of a training that was never stopped."""
    whole = workflow.copy(tmp_path / "whole")
    for each in (workflow, whole):
        each.edit_config("experiments.one.epochs", 60)
        each.edit_config("experiments.one.early_stopping", None)
    target = "results/tiny/models/one/model.keras"
    whole.run(target)
    checkpoint = workflow.results / "models/one/checkpoint.npz"
    log = workflow.results / "logs/train_network/one.log"
    with workflow.started(target) as process:
        wait_for(
            lambda: checkpoint.exists() and "epoch 10 of 60" in log.read_text(encoding="utf-8")
        )
        assert process.poll() is None
    # The block has ended: the whole process group is killed.
    workflow.gallerist("unlock")
    workflow.run(target)
    assert "INFO epoch 1 of 60" not in log.read_text(encoding="utf-8")
    assert not checkpoint.exists()
    histories = [
        pd.read_csv(each.results / "models/one/history.csv").drop(columns="epoch_seconds")
        for each in (workflow, whole)
    ]
    assert len(histories[0]) == 60
    pd.testing.assert_frame_equal(*histories, check_exact=True)
