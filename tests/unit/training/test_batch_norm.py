"""training.batch_norm against NumPy, and against Keras's own evaluation."""

import logging
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest

from gallerist.networks import architectures
from gallerist.networks.architectures import Head, InferenceMode
from gallerist.settings.networks import Scratch
from gallerist.training import batch_norm
from gallerist.training.batch_norm import BatchNorms
from gallerist.training.batches import Batches
from gallerist.training.loop import train


class Arrays(Batches):
    """Batches of an array."""

    def __init__(self, inputs, targets, batch_size=4, seed=None):
        super().__init__(targets, batch_size, seed)
        self.inputs = inputs

    def _inputs(self, chunks):
        return (self.inputs[chunk] for chunk in chunks)


def rows(count, width=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(5, 3, (count, width)).astype(np.float32), rng.integers(0, 2, count)


def two_layers(dropout=0.0, epsilon=1e-3):
    given = keras.Input((3,))
    x = keras.layers.BatchNormalization(epsilon=epsilon, name="first")(given)
    x = keras.layers.Dropout(dropout, seed=1)(x)
    x = keras.layers.Dense(4, activation="relu", name="hidden")(x)
    x = keras.layers.BatchNormalization(epsilon=epsilon, name="second")(x)
    return keras.Model(given, keras.layers.Dense(2, activation="softmax")(x))


def averages(model, name):
    layer = model.get_layer(name)
    return layer.moving_mean.numpy(), layer.moving_variance.numpy()


def test_the_averages_are_those_of_all_pictures_whatever_the_batches():
    """Of what is given itself: the mean and the variance by NumPy. The last batch is smaller."""
    inputs, targets = rows(11)
    model = two_layers()
    BatchNorms(model).estimate(Arrays(inputs, targets), epoch=1)
    mean, variance = averages(model, "first")
    np.testing.assert_allclose(mean, inputs.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(variance, inputs.var(axis=0), rtol=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.9])
def test_a_later_layer_sees_batches_normalised_by_themselves_without_dropout(dropout):
    inputs, targets = rows(10, seed=1)
    model = two_layers(dropout)
    BatchNorms(model).estimate(Arrays(inputs, targets, batch_size=5), epoch=1)
    kernel, bias = model.get_layer("hidden").get_weights()
    halves = [(half - half.mean(0)) / np.sqrt(half.var(0) + 1e-3) for half in np.split(inputs, 2)]
    hidden = np.maximum(np.concatenate(halves) @ kernel + bias, 0)
    mean, variance = averages(model, "second")
    np.testing.assert_allclose(mean, hidden.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(variance, hidden.var(axis=0), rtol=1e-3, atol=1e-6)


def test_a_layer_drops_and_moves_as_before_afterwards():
    inputs, targets = rows(8)
    model = two_layers(dropout=0.5)
    norms = BatchNorms(model)
    norms.estimate(Arrays(inputs, targets), epoch=1)
    before, _ = averages(model, "first")
    other = inputs + 100
    assert not np.allclose(model(other, training=True), model(other, training=True))  # dropped
    after, _ = averages(model, "first")
    expected = before + (1 - 0.99**2) * (other.mean(axis=0) - before)
    np.testing.assert_allclose(after, expected, rtol=1e-4)


def test_only_so_many_pictures_are_looked_at(monkeypatch):
    monkeypatch.setattr(batch_norm, "PICTURES", 6)
    inputs, targets = rows(40)
    model = two_layers()
    BatchNorms(model).estimate(Arrays(inputs, targets), epoch=1)
    np.testing.assert_allclose(averages(model, "first")[0], inputs[:8].mean(axis=0), rtol=1e-5)


def test_a_backbone_in_inference_mode_keeps_its_averages():
    inputs, targets = rows(8)
    given = keras.Input((3,))
    inside = keras.Model(given, keras.layers.BatchNormalization(name="kept")(given))
    outside = keras.Input((3,))
    maps = InferenceMode(inside, name="backbone")(outside)
    model = keras.Model(outside, keras.layers.Dense(2, activation="softmax")(maps))
    norms = BatchNorms(model)
    assert norms.layers == []
    norms.estimate(Arrays(inputs, targets), epoch=1)
    np.testing.assert_array_equal(averages(inside, "kept")[0], np.zeros(3))
    assert norms.compare_modes(Arrays(inputs, targets)) is None


# --- within a training ------------------------------------------------------------------------

PLAIN = {
    "epochs": 2,
    "batch_size": 8,
    "early_stopping": None,
    "reduce_learning_rate": None,
    "restore_best_weights": False,
    "network": "scratch",
    "image_size": 32,
    "padding": "same",
}


def pictures(count, seed):
    """Dark and light noise, which is told apart in a few steps."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, count)
    noise = rng.integers(0, 100, (count, 32, 32, 3))
    return (noise + 150 * targets[:, None, None, None]).astype(np.uint8), targets


def trained(**settings):
    model = architectures.Scratch(32, "same", Head("standard", 0.2, 1, 0.0, 0.0)).build(2, seed=3)
    inputs, targets = pictures(40, 0)
    training, validation = Arrays(inputs, targets, 8, seed=1), Arrays(*pictures(16, 1), 8)
    found = train(model, training, validation, settings=Scratch(**PLAIN | settings))
    return model, found, training


def test_an_epoch_is_judged_by_the_averages_of_its_end():
    model, found, training = trained()
    kept = [weight.numpy() for weight in model.weights]
    inputs, targets = pictures(16, 1)
    loss = keras.losses.sparse_categorical_crossentropy(targets, model(inputs, training=False))
    assert found.history[-1]["val_loss"] == pytest.approx(float(np.mean(loss)), rel=1e-4)
    BatchNorms(model).estimate(training, epoch=2)
    for before, weight in zip(kept, model.weights, strict=True):
        np.testing.assert_allclose(weight.numpy(), before, rtol=1e-5, atol=1e-6)


def test_what_is_trained_does_not_depend_on_how_it_is_judged():
    (precise, *_), (moving, *_) = trained(), trained(batch_normalisation="moving")
    for one, other in zip(precise.trainable_weights, moving.trainable_weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    averages = [
        [weight.numpy() for weight in model.non_trainable_weights if "moving" in weight.name]
        for model in (precise, moving)
    ]
    assert not np.allclose(averages[0][0], averages[1][0], rtol=0.05)


def test_averages_that_have_not_settled_are_warned_of(caplog):
    with caplog.at_level(logging.WARNING, "gallerist"):
        model, _, training = trained(batch_normalisation="moving")
    assert "have not settled" in caplog.text
    kept = [weight.numpy() for weight in model.weights]
    by_batch, inferred = BatchNorms(model).compare_modes(training)
    right = model(training.inputs, training=False).numpy().argmax(axis=1) == training.targets
    assert (by_batch, inferred) == (1, pytest.approx(right.mean()))
    for before, weight in zip(kept, model.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), before)


def test_settled_ones_are_not(caplog):
    with caplog.at_level(logging.WARNING, "gallerist"):
        trained(epochs=4)
    assert "have not settled" not in caplog.text
