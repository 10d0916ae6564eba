"""gallerist.networks.trunk: both halves of a network together are the network."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import math
import re

import keras
import numpy as np
import pytest

from gallerist.networks.architectures import (
    Head,
    InferenceMode,
    Scratch,
    Transfer,
    scaling_layer,
    without_head,
)
from gallerist.networks.backbones import BACKBONES
from gallerist.networks.pooling import GeM
from gallerist.networks.trunk import Halves

STANDARD = Head("standard", 0.3, 999, 0.001, 0.001)
PUBLISHED = Head("published", 0.3, 999, 0.001, 0.001)
CLASSES = 5


def pictures(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def shaken(network, seed=0):
    """The network with normalisations that do something, unlike those of a new one.

    Their moving averages are made those of a few pictures, without which every picture gives nearly
    the same maps, and tells little; gamma and beta, and other vectors, are random.
    """
    rng = np.random.default_rng(seed)
    for weight in network.weights:
        if weight.name == "gamma":
            weight.assign(rng.uniform(0.6, 1.4, weight.shape))
        elif weight.name in ("beta", "bias"):
            weight.assign(rng.normal(0, 0.2, weight.shape))
    backbone = network.get_layer("backbone").layer
    norms = [x for x in backbone.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    flags = [norm.trainable for norm in norms]
    for norm in norms:
        norm.momentum, norm.trainable = 0.0, True
    if norms:
        scaled = network.get_layer("pixel_scaling")(pictures(4, network.input_shape[1], seed=9))
        backbone(scaled, training=True)
    for norm, momentum, trainable in zip(norms, momenta, flags, strict=True):
        norm.momentum, norm.trainable = momentum, trainable
    return network


def transfer(backbone, size, until, pooling="avg", head=STANDARD):
    return shaken(Transfer(backbone, size, until, pooling, head).build(CLASSES, None))


def network_of(backbone, size, head=STANDARD, pooling=keras.layers.GlobalAveragePooling2D):
    """A network of a backbone drawn by hand, as Transfer.build makes it."""
    pixels = keras.Input((size, size, 3), name="pixels")
    scaled = scaling_layer(BACKBONES["MobileNetV2"].scaling)(pixels)
    maps = InferenceMode(backbone, name="backbone")(scaled)
    embedding = pooling(name="embedding")(maps)
    return shaken(keras.Model(pixels, head.attach(embedding, CLASSES), name="transfer"))


def small_backbone(size, trained="late", stride=2, padding="same", pool=keras.layers.MaxPooling2D):
    """Three layers are frozen; then two convolutions and a pooling read some positions of a map."""

    def conv(filters, kernel, name, **settings):
        return keras.layers.Conv2D(filters, kernel, padding="same", name=name, **settings)

    def norm(name):
        return keras.layers.BatchNormalization(name=name)

    images = keras.Input((size, size, 3))
    x = keras.layers.ReLU(name="early_relu")(
        norm("early_bn")(conv(6, 7, "early_conv", strides=2)(images))
    )
    left = keras.layers.Conv2D(
        5, 1, strides=stride, padding=padding, use_bias=False, activation="relu", name="late_left"
    )(x)
    right = keras.layers.Conv2D(5, 1, strides=stride, padding=padding, name="late_right")(x)
    some = pool(1, strides=stride, padding=padding, name="some")(x)
    x = keras.layers.Add(name="sum")([norm("late_bn")(left), right])
    x = keras.layers.Concatenate(name="join")([x, some])
    backbone = keras.Model(images, conv(7, 3, "late_last", activation="relu")(x), name="small")
    for layer in backbone.layers:
        layer.trainable = layer.name.startswith(trained)
    return backbone


def assert_close(found, expected, tolerance=1e-5):
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


# --- the same results -------------------------------------------------------------------------

NETWORKS = [
    ("MobileNetV2", 64, "block_13", (4, 4, 96)),
    ("ResNet50", 70, "conv5", (3, 3, 1024)),
    ("VGG16", 48, "block5", (3, 3, 512)),
]
LARGER_NETWORKS = [
    ("ConvNeXtTiny", 64, "convnext_tiny_stage_3", (2, 2, 768)),
    ("DenseNet121", 64, "conv5", (2, 2, 512)),
    ("EfficientNetB0", 64, "block7a", (2, 2, 192)),
    ("EfficientNetLite2", 70, "block7", (3, 3, 208)),
    ("MobileNetV3Small", 64, "expanded_conv_8", (4, 4, 48)),
    ("ResNet101", 64, "conv5", (2, 2, 1024)),
    ("ResNet152", 70, "conv5", (3, 3, 1024)),
    ("ResNet50V2", 75, "conv5", (3, 3, 1024)),
    ("Xception", 128, "block13", (8, 8, 728)),
]


@pytest.mark.parametrize(
    ("backbone", "size", "until", "shape"),
    [*NETWORKS, *(pytest.param(*row, marks=pytest.mark.slow) for row in LARGER_NETWORKS)],
)
def test_trunk_and_what_comes_after_it_give_what_the_network_gives(backbone, size, until, shape):
    network = without_head(transfer(backbone, size, until, "flatten"))
    trunk, after = Halves(network).trunk(), Halves(network).after_trunk()
    pixels = pictures(3, size)
    rows, expected = trunk(pixels).numpy(), network(pixels).numpy()
    assert Halves(network).cut.shapes == (shape,)
    assert rows.shape == (3, *trunk.output_shape[1:]) == (3, np.prod(shape))
    assert rows.dtype == np.float32
    assert np.abs(expected[0] - expected[1]).max() > 1e-3 * np.abs(expected).max()
    assert_close(after(rows).numpy(), expected)
    assert_close(after(rows.astype(np.float16)).numpy(), expected, 5e-3)


@pytest.mark.parametrize("size", [32, 33, 34, 35])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("stride", "pool"), [(2, keras.layers.MaxPooling2D), (3, keras.layers.AveragePooling2D)]
)
def test_strided_windows_of_one_position_are_cut_exactly(size, padding, stride, pool):
    network = network_of(small_backbone(size, "late", stride, padding, pool), size)
    side = math.ceil(math.ceil(size / 2) / stride)
    assert Halves(network).cut.shapes == ((side, side, 6),)
    assert Halves(network).cut.readers == ("late_left", "late_right", "some")
    pixels = pictures(3, size)
    assert_close(
        Halves(network).after_trunk()(Halves(network).trunk()(pixels)).numpy(),
        network(pixels).numpy(),
    )


def test_a_row_is_the_maps_that_cross_row_major_one_after_the_other():
    images = keras.Input((20, 20, 3))
    wide = keras.layers.Conv2D(4, 5, strides=2, trainable=False, name="wide")(images)
    narrow = keras.layers.Conv2D(2, 7, strides=4, trainable=False, name="narrow")(images)
    left = keras.layers.Conv2D(3, 8, trainable=True)(wide)
    right = keras.layers.Conv2D(3, 4, trainable=True)(narrow)
    backbone = keras.Model(images, keras.layers.Add()([left, right]))
    network = network_of(backbone, 20)
    assert sorted(Halves(network).cut.shapes) == [(4, 4, 2), (8, 8, 4)]
    pixels = pictures(2, 20)
    maps = keras.Model(images, [wide, narrow])(pixels / np.float32(127.5) - 1)
    first, second = (tensor.numpy().reshape(2, -1) for tensor in maps)
    found = Halves(network).trunk()(pixels).numpy()
    expected = [np.hstack(pair) for pair in ((first, second), (second, first))]
    assert any(np.allclose(found, rows, atol=1e-5) for rows in expected)
    assert_close(Halves(network).after_trunk()(found).numpy(), network(pixels).numpy())


def test_a_row_holds_unscaled_pixels_where_a_trained_layer_reads_them():
    images = keras.Input((20, 20, 3))
    frozen = keras.layers.Conv2D(4, 9, strides=4, trainable=False, name="frozen")(images)
    trained = keras.layers.Conv2D(4, 9, strides=4, trainable=True, name="trained")(images)
    backbone = keras.Model(images, keras.layers.Add(name="sum")([frozen, trained]))
    network, pixels = network_of(backbone, 20), pictures(3, 20)
    assert Halves(network).cut.shapes == ((20, 20, 3), (3, 3, 4))
    assert Halves(network).cut.readers == ("trained", "sum")
    rows = Halves(network).trunk()(pixels).numpy()
    np.testing.assert_array_equal(rows[:, :1200], pixels.reshape(3, -1))
    assert_close(Halves(network).after_trunk()(rows).numpy(), network(pixels).numpy())


def test_the_trunk_takes_pixels_of_any_type_and_is_never_in_training_mode():
    network = network_of(small_backbone(32), 32)
    trunk, pixels = Halves(network).trunk(), pictures(4, 32)
    expected = trunk(pixels).numpy()
    np.testing.assert_array_equal(trunk(pixels.astype(np.float32)).numpy(), expected)
    np.testing.assert_array_equal(trunk(pixels, training=True).numpy(), expected)


def test_nothing_frozen_leaves_the_pixels_as_they_are():
    network = network_of(small_backbone(32, trained=""), 32)
    assert Halves(network).cut.is_empty
    pixels = pictures(3, 32)
    rows = Halves(network).trunk()(pixels).numpy()
    np.testing.assert_array_equal(rows, pixels.reshape(3, -1))
    after = Halves(network).after_trunk()
    assert_close(after(rows.astype(np.float16)).numpy(), network(pixels).numpy())
    assert [w.path for w in after.trainable_weights] == [w.path for w in network.trainable_weights]


def test_everything_frozen_leaves_the_head_to_train():
    network = network_of(small_backbone(32, trained="none"), 32)
    cut = Halves(network).cut
    assert cut.shapes == ((8, 8, 7),)
    assert cut.trunk_share == 1
    assert cut.readers == ()
    pixels, after = pictures(3, 32), Halves(network).after_trunk()
    assert_close(after(Halves(network).trunk()(pixels)).numpy(), network(pixels).numpy())
    assert [weight.path for weight in after.weights] == ["head/kernel", "head/bias"]


def test_the_headless_half_describes_as_the_headless_network_does():
    network, pixels = network_of(small_backbone(32), 32), pictures(3, 32)
    rows = Halves(network).trunk()(pixels).numpy()
    expected = without_head(network)(pixels).numpy()
    assert_close(Halves(without_head(network)).after_trunk()(rows).numpy(), expected)


def test_what_every_network_on_a_backbone_begins_with_has_their_trunk():
    network = network_of(small_backbone(32), 32)
    maps = keras.Model(network.input, network.get_layer("backbone").output)
    pixels = pictures(3, 32)
    rows = Halves(maps).trunk()(pixels).numpy()
    assert Halves(maps).identity == Halves(network).identity
    np.testing.assert_array_equal(rows, Halves(network).trunk()(pixels).numpy())
    assert_close(Halves(maps).after_trunk()(rows).numpy(), maps(pixels).numpy())


def test_a_network_from_scratch_has_no_trunk():
    scratch = Scratch(73, "valid", PUBLISHED).build(3)
    with pytest.raises(ValueError, match="the network scratch has no backbone"):
        Halves(scratch)


# --- training one half trains the network --------------------------------------------------------


def of_equal_weights(make):
    """Two networks with weights, and a state of the random seeds, in common."""
    network, other = make(), make()
    other.set_weights(network.get_weights())
    for mine, its in zip(other.variables, network.variables, strict=True):
        mine.assign(its)
    return network, other


def weights_by_name(network):
    return {weight.path: weight.numpy() for weight in network.weights}


def test_the_halves_share_layers_and_variables_with_the_network():
    network = network_of(small_backbone(32), 32, PUBLISHED)
    trunk, after = Halves(network).trunk(), Halves(network).after_trunk()
    ids = [{id(variable) for variable in model.variables} for model in (network, trunk, after)]
    assert ids[1] | ids[2] == ids[0]
    assert not ids[1] & ids[2]
    trained = [id(weight) for weight in network.trainable_weights]
    assert [id(weight) for weight in after.trainable_weights] == trained
    assert not trunk.trainable_weights
    for name in ("embedding", "head", "head_dropout"):
        assert after.get_layer(name) is network.get_layer(name)
    assert len(after.losses) == len(network.losses) == 1


@pytest.mark.parametrize("head", [STANDARD, PUBLISHED])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_a_step_on_rows_changes_the_network_as_a_step_on_pixels_does(head, optimizer):
    network, other = of_equal_weights(lambda: network_of(small_backbone(33), 33, head))
    before, trained = weights_by_name(network), {w.path for w in network.trainable_weights}
    targets = np.array([0, 1, 2, 3, 4, 0, 1, 2])
    losses = []
    for model, given in [
        (network, pictures(8, 33)),
        (Halves(other).after_trunk(), Halves(other).trunk()(pictures(8, 33)).numpy()),
    ]:
        # Adam's own epsilon is as small as some gradients, and they differ in the last places.
        kind = {"SGD": (0.5,), "Adam": (0.01, 0.9, 0.999, 1e-4)}[optimizer]
        model.compile(
            getattr(keras.optimizers, optimizer)(*kind),
            "sparse_categorical_crossentropy",
            run_eagerly=True,  # compiling takes longer than two steps
        )
        losses.append([float(model.train_on_batch(given, targets)) for _ in range(2)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0][0] != losses[0][1]
    after, found = weights_by_name(network), weights_by_name(other)
    moved = {path for path in before if (before[path] != after[path]).any()}
    assert moved == trained >= {"late_left/kernel", "late_right/bias", "late_bn/gamma"}
    for path in before:
        np.testing.assert_allclose(found[path], after[path], rtol=1e-4, atol=1e-6, err_msg=path)
    # Both have drawn from their dropout's seed equally often.
    states = [m.get_layer("head_dropout").seed_generator.state.numpy() for m in (network, other)]
    np.testing.assert_array_equal(*states)


def test_fitting_rows_moves_neither_what_is_frozen_nor_any_moving_average():
    network = network_of(small_backbone(32), 32)
    before, identity = weights_by_name(network), Halves(network).identity
    rows = Halves(network).trunk()(pictures(12, 32)).numpy().astype(np.float16)
    after = Halves(network).after_trunk()
    after.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    after.fit(rows, np.arange(12) % CLASSES, batch_size=5, epochs=2, verbose=0)
    now = weights_by_name(network)
    moved = {path for path in before if (before[path] != now[path]).any()}
    assert moved == {weight.path for weight in network.trainable_weights}
    assert {"late_bn/moving_mean", "late_bn/moving_variance", "early_conv/kernel"} <= set(now)
    assert Halves(network).identity == identity
    assert_close(after(rows).numpy(), network(pictures(12, 32)).numpy(), 2e-3)


# --- saved and loaded ----------------------------------------------------------------------------


def test_a_network_that_was_cut_is_saved_and_loaded_as_ever(tmp_path):
    network, pixels = network_of(small_backbone(32), 32), pictures(3, 32)
    config = network.get_config()
    Halves(network).after_trunk(), Halves(network).trunk()
    expected, identity = network(pixels).numpy(), Halves(network).identity
    assert network.get_config() == config
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert Halves(loaded).identity == identity
    assert str(Halves(loaded).cut) == str(Halves(network).cut)
    np.testing.assert_allclose(loaded(pixels).numpy(), expected, rtol=1e-6)
    rows = Halves(loaded).trunk()(pixels).numpy()
    np.testing.assert_allclose(rows, Halves(network).trunk()(pixels).numpy(), rtol=1e-5, atol=1e-6)
    after = Halves(loaded).after_trunk()
    assert_close(after(rows).numpy(), expected)
    trained = [weight.path for weight in network.trainable_weights]
    assert [weight.path for weight in after.trainable_weights] == trained


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "size", "until"), [row[:3] for row in (*NETWORKS, *LARGER_NETWORKS)]
)
def test_every_kind_of_network_has_one_identity_loaded_or_not(backbone, size, until, tmp_path):
    network = transfer(backbone, size, until)
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    other = Transfer(backbone, size, until, "max", PUBLISHED).build(2, None)
    other.get_layer("backbone").set_weights(network.get_layer("backbone").get_weights())
    assert Halves(network).identity == Halves(loaded).identity == Halves(other).identity


# --- the identity of a trunk ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    return network_of(small_backbone(32), 32)


def like(network, trained="late", size=32, **settings):
    """Another network with the weights of its backbone."""
    other = network_of(small_backbone(size, trained), size, **settings)
    other.get_layer("backbone").set_weights(network.get_layer("backbone").get_weights())
    return other


def test_an_identity_is_a_sha256(network):
    assert re.fullmatch("[0-9a-f]{64}", Halves(network).identity)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pooling": keras.layers.GlobalMaxPooling2D},
        {"pooling": GeM},
        {"head": PUBLISHED},
        {"trained": ("late", "early_relu")},  # which has nothing to train
        {"trained": "late_last"},  # what is frozen besides is not worth storing
    ],
)
def test_networks_of_equal_rows_have_one_identity(network, settings):
    other = like(network, **settings)
    assert Halves(other).identity == Halves(network).identity
    assert Halves(without_head(other)).identity == Halves(network).identity


@pytest.mark.parametrize(
    "settings",
    [{"trained": "early_bn"}, {"trained": ""}, {"trained": "none"}, {"size": 31}, {"size": 64}],
)
def test_networks_of_other_rows_have_another_identity(network, settings):
    assert Halves(like(network, **settings)).identity != Halves(network).identity


@pytest.mark.parametrize(
    ("weight", "counts"),
    [
        ("early_conv/kernel", True),
        ("early_bn/moving_variance", True),
        ("late_left/kernel", False),
        ("late_bn/moving_mean", False),
        ("head/kernel", False),
    ],
)
def test_weights_of_the_trunk_count_and_others_do_not(network, weight, counts):
    other = like(network)
    (found,) = (w for w in other.weights if w.path == weight)
    values = found.numpy()
    values.flat[-1] += 1e-3
    found.assign(values)
    assert (Halves(other).identity != Halves(network).identity) == counts


def test_settings_of_an_operation_count_and_its_name_does_not():
    def identity(limit, name, mean=127.5):
        images = keras.Input((16, 16, 3))
        x = keras.layers.Conv2D(2, 9, strides=4, kernel_initializer="ones", name=f"{name}1")(images)
        x = keras.layers.ReLU(limit, name=f"{name}2")(x + 1.0)
        frozen = keras.Model(images, x)
        frozen.trainable = False
        pixels = keras.Input((16, 16, 3))
        scaled = keras.layers.Rescaling(1 / mean, name=f"{name}3")(pixels)
        maps = InferenceMode(frozen, name=f"{name}4")(scaled)
        return Halves(keras.Model(pixels, keras.layers.Flatten(name="embedding")(maps))).identity

    assert identity(6.0, "one") == identity(6.0, "other")
    assert identity(6.0, "one") != identity(5.0, "one")
    assert identity(6.0, "one") != identity(6.0, "one", mean=100)
