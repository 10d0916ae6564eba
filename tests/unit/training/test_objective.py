"""Training by losses for retrieval: what is learned, judged, kept and gone on with."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
from coloured import SIDE, drawn, loaded

from gallerist.data.preprocessing import Preprocessing
from gallerist.io.errors import UserError
from gallerist.networks.architectures import (
    InferenceMode,
    MetricHead,
    architecture,
    freeze,
    load_headless,
)
from gallerist.networks.exported import Exported
from gallerist.networks.heads import EMBEDDING
from gallerist.networks.trunk import Halves
from gallerist.settings.losses import LOSSES
from gallerist.settings.networks import read_network
from gallerist.training.batches import TrainingData
from gallerist.training.checkpoint import Checkpoint
from gallerist.training.history import RETRIEVAL_CURVES, read_history
from gallerist.training.leave_one_out import leave_one_out
from gallerist.training.loop import save, train
from gallerist.training.objective import objective


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    return drawn(folder, "training", 8, contrast=60), drawn(folder, "validation", 4, contrast=60)


def settings_of(loss, **keys):
    usual = {"image_size": 32, "padding": "same", "epochs": 3, "batch_size": 8, "l1": 0.0}
    usual |= {"learning_rate": 2e-3, "l2": 0.0, "seed": 5, "dropout": 0.3}
    return read_network(**{"network": "scratch", "loss": loss, **usual, **keys})


def prepared(pictures, settings):
    network = architecture(settings).build(3, None, settings.seed)
    how = Preprocessing(32), settings.batch_size, settings.seed, settings.loss
    return network, TrainingData(*pictures, *how).pictures(2)


def without_seconds(rows):
    return [{k: v for k, v in row.items() if k != "epoch_seconds"} for row in rows]


# --- what is learned --------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["triplet", {"name": "proxy_anchor", "projection": 8}])
def test_classes_are_learned_and_the_network_ends_with_the_best_epoch(loss, pictures, tmp_path):
    settings = settings_of(loss, epochs=5)
    network, (training, validation) = prepared(pictures, settings)
    trained = train(network, training, validation, settings=settings)
    assert [set(row) for row in trained.history] == [set(RETRIEVAL_CURVES)] * 5
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    best = max(row["val_map_at_r"] for row in trained.history)
    assert best > 0.5  # 3 of 11 are of a picture's class
    trained.write_history(tmp_path / "history.csv")
    assert read_history(tmp_path / "history.csv")[0]["val_top1"] == trained.history[0]["val_top1"]

    save(network, tmp_path / "model.keras")
    extractor = load_headless(tmp_path / "model.keras")
    assert not [each.path for each in extractor.weights if "proxies" in each.path]
    pixels = np.concatenate([inputs for inputs, _ in validation.epoch(1)])
    vectors = np.asarray(extractor(pixels, training=False))
    assert leave_one_out(vectors, validation.targets).map_at_r == pytest.approx(best, abs=1e-6)
    exported = Exported.read(tmp_path / "model.keras", "")
    assert exported.length == vectors.shape[1] == getattr(settings.loss, "projection", 0) or 32


@pytest.mark.parametrize("name", LOSSES[1:])
def test_each_loss_trains(name, pictures):
    settings = settings_of({"name": name, "projection": 6}, epochs=1)
    network, (training, validation) = prepared(pictures, settings)
    before = network.get_layer("conv1").kernel.numpy().copy()
    trained = train(network, training, validation, settings=settings)
    assert np.isfinite(trained.history[0]["loss"])
    assert not np.array_equal(network.get_layer("conv1").kernel.numpy(), before)


def test_what_is_described_is_the_projection_or_what_comes_before_it():
    def lengths(loss):
        network = architecture(settings_of(loss)).build(3)
        return network.get_layer(EMBEDDING).output.shape[1], network.output.shape[1]

    assert lengths("triplet") == (32, 32)
    assert lengths({"name": "arcface", "projection": 7}) == (7, 7)
    assert lengths({"name": "supcon", "projection": 7}) == (32, 7)
    assert lengths({"name": "nt_xent", "projection": None}) == (32, 32)


def test_proxies_learn_faster_than_the_network(pictures):
    settings = settings_of({"name": "proxy_anchor", "proxies_rate": 50.0})
    network, (training, _) = prepared(pictures, settings)
    model = objective(network, training, settings).model
    before = [weight.numpy().copy() for weight in model.trainable_weights]
    batch = next(training.epoch(1))
    model.train_on_batch(*batch)
    steps = [
        float(abs(weight.numpy() - old).max())
        for weight, old in zip(model.trainable_weights, before, strict=True)
    ]
    # The first step of Adam is the learning rate.
    assert model.trainable_weights[-1].path.endswith("proxies")
    assert steps[-1] == pytest.approx(50 * 2e-3, rel=1e-2)
    assert max(steps[:-1]) == pytest.approx(2e-3, rel=1e-2)


def on_a_backbone(head):
    keras.utils.set_random_seed(3)
    given = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(6, 3, strides=2, name="conv1")(given)
    x = keras.layers.Conv2D(8, 3, activation="relu", name="conv2")(x)
    backbone = keras.Model(given, x, name="small")
    freeze(backbone, "conv2")
    pixels = keras.Input((SIDE, SIDE, 3), name="pixels")
    maps = InferenceMode(backbone, name="backbone")(
        keras.layers.Rescaling(1 / 255, name="pixel_scaling")(pixels)
    )
    pooled = keras.layers.GlobalAveragePooling2D(name=head.pooling_name)(maps)
    return keras.Model(pixels, head.attach(pooled, 3))


@pytest.mark.parametrize("discarded", [False, True])
def test_the_half_after_the_trunk_is_exported_with_its_projection(discarded, pictures, tmp_path):
    network = on_a_backbone(MetricHead("standard", 0.0, 1, 0.0, 0.0, 5, discarded))
    halves = Halves(network)
    pixels = loaded(pictures[1])[0]
    rows = halves.trunk()(pixels.astype(np.float32))
    whole, half = network(pixels), halves.after_trunk()(rows)
    np.testing.assert_allclose(np.asarray(whole), np.asarray(half), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    save(network, tmp_path / "model.keras", halves)
    exported = Exported.read(tmp_path / "model.keras", "")
    assert exported.length == (8 if discarded else 5)
    assert set(exported.expected) == {"pixels", "maps", "rows"}
    # The mean of the maps is the vector, with the projection at every position.
    headless = load_headless(tmp_path / "model.keras")
    vector = np.asarray(headless(pixels[:2]))
    from gallerist.networks.feature_map import up_to_feature_map

    maps = np.asarray(up_to_feature_map(headless)(pixels[:2]))
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), vector, atol=1e-4)


# --- a training that was stopped goes on ------------------------------------------------------


class Interrupted(Exception):
    pass


@pytest.mark.parametrize(
    "loss", [pytest.param("multi_similarity", marks=pytest.mark.slow), "proxy_anchor"]
)
def test_a_training_that_was_stopped_ends_with_the_same_bits(loss, pictures, tmp_path):
    """Once after an epoch, and once between two batches; proxies and their moments go on too."""
    settings = settings_of(loss, epochs=4, early_stopping={"patience": 2})
    whole, given = prepared(pictures, settings)
    expected = train(whole, *given, settings=settings)

    def interrupted_after(epoch):
        def report(number, row):
            if number == epoch:
                raise Interrupted

        network, given = prepared(pictures, settings)
        checkpoint = Checkpoint(tmp_path / "checkpoint.npz", "a", every=0)
        with pytest.raises(Interrupted):
            train(network, *given, settings=settings, checkpoint=checkpoint, report=report)

    def stopped_within(epoch):
        from gallerist.workflow.log import Stopped

        network, (training, validation) = prepared(pictures, settings)
        read = training.epoch

        def stopping(number, start=0):
            for place, batch in enumerate(read(number, start)):
                if (number, place) == (epoch, 1):
                    raise Stopped("stopped by SIGTERM")
                yield batch

        training.epoch = stopping
        checkpoint = Checkpoint(tmp_path / "checkpoint.npz", "a", every=0)
        with pytest.raises(Stopped):
            train(network, training, validation, settings=settings, checkpoint=checkpoint)

    interrupted_after(1)
    stopped_within(3)
    resumed, given = prepared(pictures, settings)
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz", "a", every=0)
    found = train(resumed, *given, settings=settings, checkpoint=checkpoint)
    assert found.resumed_epochs == 2
    assert without_seconds(found.history) == without_seconds(expected.history)
    for one, other in zip(resumed.variables, whole.variables, strict=True):
        assert one.numpy().tobytes() == other.numpy().tobytes()


# --- each validation picture searches the others ----------------------------------------------


def by_hand(vectors, classes):
    """Picture by picture: Musgrave et al. (2020), with the R others of its class."""
    top1, precisions = [], []
    for i, query in enumerate(vectors):
        others = [j for j in range(len(vectors)) if j != i]
        relevant = sum(classes[j] == classes[i] for j in others)
        if not relevant:
            continue
        cosines = [
            query @ vectors[j] / np.linalg.norm(query) / np.linalg.norm(vectors[j]) for j in others
        ]
        ranked = [others[k] for k in np.argsort(-np.array(cosines), kind="stable")]
        hits = [classes[j] == classes[i] for j in ranked[:relevant]]
        top1.append(hits[0])
        precisions.append(
            sum(hit * sum(hits[: k + 1]) / (k + 1) for k, hit in enumerate(hits)) / relevant
        )
    return np.mean(top1), np.mean(precisions)


@pytest.mark.parametrize("seed", range(5))
def test_leave_one_out_is_that_by_hand(seed, monkeypatch):
    monkeypatch.setattr("gallerist.training.leave_one_out.BLOCK", 4)
    random = np.random.default_rng(seed)
    vectors, classes = random.normal(size=(13, 4)), random.integers(0, 5, 13)
    found = leave_one_out(vectors, classes)
    assert (found.top1, found.map_at_r) == pytest.approx(by_hand(vectors, classes), rel=1e-9)


def test_no_number_is_no_accuracy_and_single_pictures_cannot_be_found():
    assert np.isnan(leave_one_out(np.full((3, 2), np.nan), [0, 0, 1]).map_at_r)
    with pytest.raises(UserError, match="no two validation pictures are of one class"):
        leave_one_out(np.ones((2, 2)), [0, 1])
