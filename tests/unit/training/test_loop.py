"""training.loop on small real pictures, against Keras's own callbacks and its own `fit`."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from checkout import HELPERS, SCRIPTS

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf
from coloured import CLASSES, SIDE, drawn, image_batches, loaded, network

from gallerist.data.decoding import BadImage
from gallerist.data.manifest import Manifest
from gallerist.networks.architectures import EMBEDDING, Head, InferenceMode, PixelScaling, freeze
from gallerist.networks.trunk import Halves
from gallerist.settings.networks import Trained
from gallerist.training.batches import RowBatches, targets_of
from gallerist.training.history import CURVES
from gallerist.training.loop import FusedAdam, count_parameters, save, train

PLAIN = Trained(
    epochs=3,
    batch_size=4,
    learning_rate=0.05,
    early_stopping=None,
    reduce_learning_rate=None,
    restore_best_weights=False,
    seed=5,
)


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("training"), "training", 7)


@pytest.fixture(scope="module")
def validation(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("validation"), "validation", 3)


def changed(**settings):
    """The same, but for these."""
    return Trained(**PLAIN.model_dump() | settings)


def run(model, training, validation, schedule=PLAIN, **options):
    return train(
        model,
        image_batches(training, schedule.batch_size, schedule.seed),
        image_batches(validation, schedule.batch_size, None),
        settings=schedule,
        **options,
    )


# --- what is learned, and in which order ------------------------------------------------------


def test_separable_classes_are_learned(training, validation, caplog):
    caplog.set_level("INFO", logger="gallerist")
    reported = []
    trained = run(
        network(),
        training,
        validation,
        changed(epochs=8),
        report=lambda *x: reported.append(x),
    )
    history = trained.history
    assert history[-1]["accuracy"] > 0.9 > 1 / 3
    assert history[-1]["val_accuracy"] == 1
    assert history[-1]["val_loss"] < history[0]["val_loss"]
    assert reported == list(enumerate(history, start=1))
    assert [set(row) for row in history] == [set(CURVES)] * 8
    assert all(row["learning_rate"] == pytest.approx(0.05) for row in history)
    assert trained.images == 21
    assert trained.seconds >= sum(row["epoch_seconds"] for row in history) > 0
    assert trained.images_per_second == pytest.approx(21 * 8 / trained.seconds)
    assert sum(message.startswith("epoch ") for message in caplog.messages) == 8
    assert f"epoch 8 of 8: loss {history[-1]['loss']:.4g}, accuracy" in caplog.text
    assert "168 of 168 training images, " in caplog.text


@pytest.mark.parametrize("seed", [5, 6])
def test_training_equals_keras_fit_on_arrays_in_the_order_of_the_seed(seed, training, validation):
    """Pixels, classes, the order of every epoch and the optimiser, all in one."""
    ours, theirs = network(), network()
    found = run(ours, training, validation, changed(seed=seed)).history
    theirs.compile(
        keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    pixels, classes = loaded(training)
    for epoch in range(3):
        order = np.random.default_rng([seed, epoch + 1]).permutation(len(pixels))
        expected = theirs.fit(
            pixels[order],
            classes[order],
            batch_size=4,
            shuffle=False,
            validation_data=loaded(validation),
            verbose=0,
        ).history
        for name, [value] in expected.items():
            assert found[epoch][name] == pytest.approx(value, rel=1e-4), name
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_no_epochs_leave_the_network_as_it_was_built(training, validation):
    model = network()
    before = model.get_weights()
    trained = run(model, training, validation, changed(epochs=0))
    assert (trained.history, trained.seconds, trained.images_per_second) == ((), 0.0, 0)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


CHILD = """
import hashlib, json, sys
from gallerist.networks.runtime import configure
device = configure(threads=2)
import numpy as np
import tensorflow as tf
from coloured import image_batches
from gallerist.data.manifest import Manifest
from gallerist.networks.architectures import Head, Scratch
from gallerist.data.preprocessing import Preprocessing
from gallerist.settings.networks import Trained
from gallerist.training.loop import train

model = Scratch(32, "same", Head("published", 0.2, 999, 1e-3, 1e-3)).build(3, seed=4)
np.random.seed(int(sys.argv.pop()))
tf.random.set_seed(np.random.randint(99))
schedule = Trained(epochs=3, batch_size=8, learning_rate=3e-3, seed=11,
                   early_stopping={"min_delta": 0.0, "patience": 5},
                   reduce_learning_rate={"factor": 0.5, "patience": 1})
training, validation = (
    image_batches(Manifest.read(path), 8, seed, preprocessing=Preprocessing(32))
    for path, seed in zip(sys.argv[1:], (11, None))
)
history = train(model, training, validation, settings=schedule).history
digest = hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights()))
print(json.dumps({
    "device": device,
    "weights": digest.hexdigest(),
    "history": [{k: v for k, v in row.items() if k != "epoch_seconds"} for row in history],
    "threads": tf.config.threading.get_intra_op_parallelism_threads(),
}))
"""


@pytest.mark.slow
def test_separate_processes_with_other_global_seeds_give_equal_weights(
    training, validation, tmp_path
):
    training.write(tmp_path / "training.csv")
    validation.write(tmp_path / "validation.csv")
    manifests = [str(tmp_path / f"{part}.csv") for part in ("training", "validation")]
    paths = SCRIPTS, HELPERS
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, *manifests, str(number)],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(map(str, paths)),
                "PYTHONHASHSEED": str(number),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2)
    ]
    answers = [child.communicate() for child in children]
    assert [child.returncode for child in children] == [0, 0], answers[0][1]
    one, other = (json.loads(output.splitlines()[-1]) for output, _ in answers)
    assert one == other
    assert one["threads"] == 2
    assert one["device"]
    assert len(one["history"]) == 3


# --- halves of a network, precision and compilers ---------------------------------------------


def on_a_backbone(seed=3, width=8, dropout=0.3):
    """A small network of the form that Transfer gives: half of its backbone is frozen."""
    keras.utils.set_random_seed(seed)
    given = keras.Input((SIDE, SIDE, 3))
    x = given
    for block in (1, 2, 3):
        x = keras.layers.Conv2D(width, 3, strides=block % 2 + 1, name=f"conv{block}")(x)
        x = keras.layers.BatchNormalization(name=f"conv{block}_bn")(x)
        x = keras.layers.ReLU(name=f"conv{block}_relu")(x)
    backbone = keras.Model(given, x, name="small")
    freeze(backbone, "conv3")
    pixels = keras.Input((SIDE, SIDE, 3), name="pixels")
    scaled = PixelScaling((120.0,) * 3, (60.0,) * 3, name="pixel_scaling")(pixels)
    maps = InferenceMode(backbone, name="backbone")(scaled)
    embedding = keras.layers.Flatten(name=EMBEDDING)(maps)
    return keras.Model(pixels, Head("standard", dropout, 7, 1e-4, 1e-4).attach(embedding, 3))


def row_batches(trunk, manifest, schedule, shuffled):
    rows = trunk(loaded(manifest)[0].astype(np.float32)).numpy()
    targets = targets_of(manifest, CLASSES)
    seed = schedule.seed if shuffled else None
    return RowBatches(rows.__getitem__, range(len(manifest)), targets, schedule.batch_size, seed)


def test_training_on_the_rows_of_the_trunk_is_training_on_the_pictures(training, validation):
    """Order, dropout, loss, best weights: all of it, in the variables of the network itself."""
    schedule = changed(learning_rate=0.01, restore_best_weights=True)
    uncached, network = on_a_backbone(), on_a_backbone()
    before = network.get_weights()
    expected = run(uncached, training, validation, schedule)
    trunk = Halves(network).trunk()
    found = train(
        Halves(network).after_trunk(),
        row_batches(trunk, training, schedule, True),
        row_batches(trunk, validation, schedule, False),
        settings=schedule,
    )
    for one, other in zip(expected.history, found.history, strict=True):
        for name in set(CURVES) - {"epoch_seconds"}:
            assert one[name] == pytest.approx(other[name], rel=1e-4), name
    for one, other in zip(uncached.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    assert not same_weights(before, network.get_weights())
    assert count_parameters(network) == count_parameters(uncached)


def test_mixed_precision_scales_the_loss_and_learns(training, validation):
    """Without scaling, gradients of 1e-8 and less vanish in float16."""
    before = keras.config.dtype_policy().name
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy(before)
    history = run(model, training, validation, changed(epochs=8)).history
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert isinstance(model.optimizer.inner_optimizer, FusedAdam)
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert float(model.optimizer.dynamic_scale) > 1
    assert int(model.optimizer.iterations) == 8 * 6
    assert history[-1]["val_accuracy"] == 1
    exact = run(network(), training, validation, changed(epochs=8)).history
    for one, other in zip(history, exact, strict=True):
        assert one["val_loss"] == pytest.approx(other["val_loss"], rel=0.02)


def test_a_compiled_step_gives_what_the_others_give(training, validation):
    """The last batch is smaller: it has a compilation of its own."""
    schedule = changed(restore_best_weights=True)
    plain, compiled = on_a_backbone(dropout=0.0), on_a_backbone(dropout=0.0)
    expected = run(plain, training, validation, schedule).history
    found = run(compiled, training, validation, schedule, xla=True).history
    for one, other in zip(expected, found, strict=True):
        assert one["val_loss"] == pytest.approx(other["val_loss"], rel=1e-3)
    for one, other in zip(plain.get_weights(), compiled.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-4)


# --- stopping, slowing down, and going back to the best ---------------------------------------


class Planned(keras.Model):
    """A network whose validation loss is what the test plans."""

    def test_step(self, data):
        """Called for every batch, and there is one: float64, as Keras's own numbers become."""
        loss = tf.numpy_function(lambda: np.float64(self.plan.pop(0)), [], tf.float64)
        return {"loss": loss, "accuracy": tf.constant(0.0)}


def planned(plan):
    model = network(model=Planned)
    model.plan = list(plan)
    return model


def keras_stops_after(plan, min_delta, patience):
    """Epochs that Keras's own callback lets pass."""
    callback = keras.callbacks.EarlyStopping("val_loss", min_delta=min_delta, patience=patience)
    model = keras.Sequential()
    model.stop_training = False
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, loss in enumerate(plan):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        if model.stop_training:
            return epoch + 1
    return len(plan)


PLANS = {
    "falls, then rises": ([3.0, 2.0, 1.0, 1.5, 1.4, 1.3, 1.2, 0.5], 0.0, 3),
    "falls too slowly": ([3.0, 2.97, 2.94, 2.92, 2.91, 1.0], 0.1, 3),
    "falls slowly, but far": ([3.0, 2.95, 2.85, 2.8, 2.7, 2.69, 2.68, 2.67, 0.1], 0.1, 3),
    "never improves, no patience": ([1.0, 1.0, 0.5], 0.0, 0),
    "always improves": ([5.0, 4.0, 3.0, 2.0], 0.5, 1),
}


@pytest.mark.parametrize("name", PLANS)
def test_training_stops_as_keras_does_and_keeps_the_best_epoch(name, training, validation):
    plan, min_delta, patience = PLANS[name]
    schedule = changed(
        epochs=len(plan),
        batch_size=21,
        early_stopping={"min_delta": min_delta, "patience": patience},
        restore_best_weights=True,
    )
    model, weights = planned(plan), []
    trained = run(
        model,
        training,
        validation,
        schedule,
        report=lambda epoch, row: weights.append(model.get_weights()),
    )
    assert len(trained.history) == keras_stops_after(plan, min_delta, patience)
    losses = [row["val_loss"] for row in trained.history]
    assert losses == plan[: len(losses)]
    assert same_weights(model.get_weights(), weights[int(np.argmin(losses))])
    assert len({hashlib.sha256(w[0].tobytes()).digest() for w in weights}) == len(weights)


def same_weights(one, other):
    return all((a == b).all() for a, b in zip(one, other, strict=True))


def test_without_early_stopping_every_epoch_runs_and_the_best_is_kept(training, validation):
    plan = [3.0, 1.0, 2.0, 2.0, 2.0, 2.0]
    schedule = changed(epochs=6, batch_size=21, restore_best_weights=True)
    model, weights = planned(plan), []
    trained = run(
        model,
        training,
        validation,
        schedule,
        report=lambda epoch, row: weights.append(model.get_weights()),
    )
    assert len(trained.history) == 6
    assert same_weights(model.get_weights(), weights[1])


@pytest.mark.parametrize(
    ("stopping", "epochs"), [({"min_delta": 0.0, "patience": 1}, 3), (None, 5)]
)
def test_where_nothing_is_restored_the_last_weights_stay(stopping, epochs, training, validation):
    schedule = changed(epochs=5, batch_size=21, early_stopping=stopping)
    model, weights = planned([3.0, 1.0, 2.0, 2.0, 2.0]), []
    trained = run(
        model,
        training,
        validation,
        schedule,
        report=lambda epoch, row: weights.append(model.get_weights()),
    )
    assert len(trained.history) == epochs
    assert same_weights(model.get_weights(), weights[-1])


def test_the_kept_weights_have_the_least_validation_loss_of_the_history(training, validation):
    """With real losses: a learning rate far too high makes them jump up and down."""
    schedule = changed(
        epochs=6,
        learning_rate=3.0,
        early_stopping={"min_delta": 0.1, "patience": 6},
        restore_best_weights=True,
    )
    model = network(head=Head("standard", 0.5, 1, 0.0, 0.0))
    history = run(model, training, validation, schedule).history
    losses = [row["val_loss"] for row in history]
    assert np.argmin(losses) < len(losses) - 1  # else this would show nothing
    pixels, classes = loaded(validation)
    found = model.evaluate(pixels, classes, verbose=0, return_dict=True)["loss"]
    assert found == pytest.approx(min(losses), rel=1e-4, abs=1e-6)


def test_a_plateau_halves_the_learning_rate_of_the_next_epoch(training, validation):
    plan = [2.0, 2.0, 2.0, 1.0, 1.0, 1.0]
    schedule = changed(
        epochs=6,
        batch_size=21,
        learning_rate=0.5,
        reduce_learning_rate={"factor": 0.5, "patience": 2},
    )
    history = run(planned(plan), training, validation, schedule).history
    # Two epochs without a fall, the second and third; again the fifth and sixth.
    assert [row["learning_rate"] for row in history] == [0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_the_published_head_caps_the_training_accuracy(training, validation):
    model = network(head=Head("published", 0.5, 1, 0.0, 0.0))
    last = run(model, training, validation, changed(epochs=8)).history[-5:]
    assert all(row["val_accuracy"] == 1 for row in last)
    # Right where the class is not dropped (half of the time), or where all three are and it is the
    # first (1 in 24): .54 expected, of 105 draws.
    assert 0.35 < np.mean([row["accuracy"] for row in last]) < 0.72


# --- what is refused --------------------------------------------------------------------------


def test_a_validation_without_one_of_the_classes_keeps_the_networks_outputs(training, validation):
    reds = Manifest(tuple(picture for picture in validation if picture.label == "red"))
    history = run(network(), training, reds, changed(epochs=4)).history
    assert history[-1]["val_accuracy"] == 1


@pytest.mark.parametrize("part", ["training", "validation"])
def test_a_bad_picture_in_the_middle_is_named(part, training, validation, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(Path(training.paths[0]).read_bytes()[:200])
    parts = {"training": training, "validation": validation}
    rows = list(parts[part].pictures)
    rows[len(rows) - 1] = replace(rows[-1], path=str(bad))
    parts[part] = Manifest(tuple(rows))
    with pytest.raises(BadImage) as refusal:
        run(network(), parts["training"], parts["validation"])
    assert str(refusal.value).startswith(f"{bad}: truncated")
    assert "\n" not in str(refusal.value)


def test_an_error_of_the_report_is_not_taken_for_a_bad_picture(training, validation):
    def report(epoch, row):
        raise RuntimeError("no room for curves")

    with pytest.raises(RuntimeError, match="no room for curves"):
        run(network(), training, validation, report=report)


# --- what is stored ---------------------------------------------------------------------------


def test_a_saved_network_has_no_optimiser_and_gives_equal_outputs(training, validation, tmp_path):
    keras.utils.set_random_seed(2)
    pixels = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Dense(300, "relu", name=EMBEDDING)(keras.layers.Flatten()(pixels / 255))
    model = keras.Model(pixels, keras.layers.Dense(3, "softmax")(x))
    run(model, training, validation, changed(epochs=1, learning_rate=1e-3))
    optimiser = model.optimizer
    save(model, tmp_path / "new" / "model.keras")
    assert model.optimizer is optimiser is not None  # it could be trained further
    model.save(tmp_path / "with_optimiser.keras")

    size = (tmp_path / "new" / "model.keras").stat().st_size
    weights = 4 * model.count_params()
    assert weights < size < 1.2 * weights
    assert (tmp_path / "with_optimiser.keras").stat().st_size > 2.5 * weights
    exported = {"model.xml", "model.bin", "model.json"}
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"model.keras", *exported}
    again = keras.models.load_model(tmp_path / "new" / "model.keras")
    assert getattr(again, "optimizer", None) is None
    batch = loaded(validation)[0].astype(np.float32)
    np.testing.assert_allclose(again(batch).numpy(), model(batch).numpy(), rtol=0, atol=1e-6)


def test_the_counts_of_weights_are_those_of_the_layers():
    pixels = keras.Input((SIDE, SIDE, 3))
    frozen = keras.layers.Conv2D(4, 3, trainable=False)
    x = keras.layers.BatchNormalization()(frozen(pixels))
    model = keras.Model(pixels, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    convolution, dense = 4 * (3 * 3 * 3 + 1), (14 * 14 * 4 + 1) * 2
    assert count_parameters(model) == {
        "parameters": convolution + 4 * 4 + dense,
        "parameters_trained": 2 * 4 + dense,
    }


# FusedAdam against Keras's Adam, and against the formula in float64.

SHAPES = [(), (7,), (3, 3, 5, 8), (1000, 70)]
STEPS = 40


def gradients(step):
    """Of very different sizes; some are zero throughout, some now and then."""
    random = np.random.default_rng([3, step])
    for number, shape in enumerate(SHAPES):
        gradient = np.asarray(random.normal(size=shape) * 10.0 ** (2 * number - 5), np.float32)
        if gradient.ndim:
            gradient[..., 0] = 0
            gradient[..., 1] *= step % 3 == 0
        yield gradient


def started(optimizer, compiled=True):
    """Variables, all zero, and a function that takes their gradients."""
    variables = [keras.Variable(np.zeros(shape, np.float32)) for shape in SHAPES]
    optimizer.build(variables)

    def apply(*given):
        optimizer.apply(given, variables)

    return variables, tf.function(apply, autograph=False) if compiled else apply


def trained(optimizer, steps=STEPS, compiled=True):
    """Variables after so many steps."""
    variables, apply = started(optimizer, compiled)
    for step in range(steps):
        apply(*map(tf.constant, gradients(step)))
    return variables


def values(variables):
    return [np.array(variable.numpy()) for variable in variables]


def formula(rate, steps=STEPS):
    """Algorithm 1 of Kingma and Ba (2015), with the epsilon of the remark in its section 2."""
    weights = [np.zeros(shape) for shape in SHAPES]
    m, v = [np.zeros(shape) for shape in SHAPES], [np.zeros(shape) for shape in SHAPES]
    for step in range(steps):
        alpha = rate * np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        for index, gradient in enumerate(gradients(step)):
            gradient = gradient.astype(float)
            m[index] = 0.9 * m[index] + 0.1 * gradient
            v[index] = 0.999 * v[index] + 0.001 * gradient**2
            weights[index] = weights[index] - alpha * m[index] / (np.sqrt(v[index]) + 1e-7)
    return weights


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("rate", [1e-5, 1e-2])
def test_weights_are_those_of_keras_and_of_the_formula(rate, compiled):
    ours = values(trained(FusedAdam(rate), compiled=compiled))
    keras_own = values(trained(keras.optimizers.Adam(rate), compiled=compiled))
    for one, other, exact in zip(ours, keras_own, formula(rate), strict=True):
        moved = rate * STEPS  # at most
        np.testing.assert_allclose(one, other, rtol=0, atol=3e-5 * moved)
        np.testing.assert_allclose(one, exact, rtol=0, atol=3e-5 * moved)
        assert np.abs(exact).max() > 1e-3 * moved  # the tolerance is far below what happens


def test_the_weights_follow_a_learning_rate_that_is_lowered():
    found = []
    for optimizer in (FusedAdam(0.01), keras.optimizers.Adam(0.01)):
        variables, apply = started(optimizer)
        for step in range(10):
            if step == 5:
                optimizer.learning_rate = 1e-4
            apply(*map(tf.constant, gradients(step)))
        found.append(values(variables))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-7)


def test_its_variables_are_those_of_keras_so_that_either_can_go_on_from_the_other():
    ours, keras_own = FusedAdam(0.01), keras.optimizers.Adam(0.01)
    trained(ours, steps=9)
    trained(keras_own, steps=9)
    assert int(ours.iterations) == 9
    for one, other in zip(ours.variables, keras_own.variables, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=6e-5, atol=2e-6)


def test_what_the_kernel_does_not_know_is_left_to_keras():
    ours, keras_own = (
        values(trained(kind(0.01, amsgrad=True))) for kind in (FusedAdam, keras.optimizers.Adam)
    )
    for one, other in zip(ours, keras_own, strict=True):
        np.testing.assert_array_equal(one, other)


def test_gradients_of_a_few_rows_are_applied():
    found = []
    for kind in (FusedAdam, keras.optimizers.Adam):
        table = keras.Variable(np.ones((6, 2), np.float32))
        optimizer = kind(0.1)
        optimizer.build([table])
        slices = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([1, 4]), tf.constant([6, 2]))
        optimizer.apply([slices], [table])
        found.append(table.numpy())
    np.testing.assert_array_equal(*found)
    assert (found[0][[1, 4]] < 0.95).all()
    np.testing.assert_array_equal(found[0][[0, 2, 3, 5]], 1)


def test_a_gradient_that_is_not_finite_lowers_the_loss_scale_and_changes_nothing():
    optimizer = keras.optimizers.LossScaleOptimizer(FusedAdam(0.01), initial_scale=8.0)
    weight = keras.Variable(np.ones(3, np.float32))
    optimizer.build([weight])
    apply = tf.function(lambda g: optimizer.apply([g], [weight]), autograph=False)
    apply(tf.constant([1.0, np.inf, 1.0]))
    np.testing.assert_array_equal(weight.numpy(), 1)
    assert (float(optimizer.dynamic_scale), int(optimizer.iterations)) == (4.0, 0)
    apply(tf.constant([4.0, 8.0, 0.0]))
    np.testing.assert_allclose(weight.numpy(), [0.99, 0.99, 1], rtol=1e-5)
