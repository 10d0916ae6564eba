"""gallerist.networks.architectures: the published architectures, and what of them is trained."""

import os

from checkout import SHARED

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


import sys

import keras
import numpy as np
import pytest

from gallerist.config.completion import check
from gallerist.networks.architectures import (
    EMBEDDING,
    Head,
    PixelScaling,
    Scratch,
    Transfer,
    architecture,
    freeze,
    scaling_layer,
    without_head,
)
from gallerist.networks.backbones import BACKBONES, Backbone

PUBLISHED = Head("published", 0.2, 999, 0.01, 0.02)
STANDARD = Head("standard", 0.2, 999, 0.01, 0.02)


def pictures(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def kernels(model):
    return [weight.numpy() for weight in model.weights if weight.name == "kernel"]


# --- the network from scratch -----------------------------------------------------------------


def format_layer(layer):
    """One line on a layer, in the words of the published table."""
    kind = type(layer).__name__
    if kind == "Conv2D":
        return (
            f"Conv {layer.filters} {layer.kernel_size[0]}x{layer.kernel_size[1]}"
            f"/{layer.strides[0]} {layer.padding} {layer.activation.__name__}"
        )
    if kind == "Dropout":
        return f"Dropout {layer.rate} seed {layer.seed}"
    if kind == "Dense":
        return f"Dense {layer.units} {layer.activation.__name__}"
    if kind == "AveragePooling2D":
        return f"AvgPool {layer.pool_size[0]}"
    return kind


def test_the_network_from_scratch_is_the_published_one():
    model = Scratch(224, "valid", PUBLISHED).build(10)
    assert [(format_layer(layer), tuple(layer.output.shape[1:])) for layer in model.layers] == [
        ("InputLayer", (224, 224, 3)),
        ("Rescaling", (224, 224, 3)),
        ("Conv 8 7x7/3 valid relu", (73, 73, 8)),
        ("BatchNormalization", (73, 73, 8)),
        ("Dropout 0.2 seed 1000", (73, 73, 8)),
        ("Conv 16 3x3/2 valid relu", (36, 36, 16)),
        ("BatchNormalization", (36, 36, 16)),
        ("Conv 16 3x3/1 valid relu", (34, 34, 16)),
        ("BatchNormalization", (34, 34, 16)),
        ("Dropout 0.2 seed 1002", (34, 34, 16)),
        ("Conv 32 3x3/2 valid relu", (16, 16, 32)),
        ("BatchNormalization", (16, 16, 32)),
        ("Conv 32 3x3/1 valid relu", (14, 14, 32)),
        ("BatchNormalization", (14, 14, 32)),
        ("Dropout 0.2 seed 1004", (14, 14, 32)),
        ("AvgPool 2", (7, 7, 32)),
        ("Flatten", (1568,)),
        ("Dense 10 softmax", (10,)),
        ("Dropout 0.2 seed 999", (10,)),
    ]
    assert without_head(model).output_shape == (None, 1568)


def test_both_penalties_lie_on_every_kernel_of_the_network_from_scratch():
    model = Scratch(73, "valid", PUBLISHED).build(3)
    regularised = [layer for layer in model.layers if hasattr(layer, "kernel")]
    assert len(regularised) == 6
    for layer in regularised:
        assert type(layer.kernel_regularizer) is keras.regularizers.L1L2
        assert (layer.kernel_regularizer.l1, layer.kernel_regularizer.l2) == (0.01, 0.02)
        assert layer.bias_regularizer is None
    by_hand = sum(0.01 * np.abs(k).sum() + 0.02 * (k**2).sum() for k in kernels(model))
    assert float(sum(model.losses)) == pytest.approx(by_hand, rel=1e-5)


def test_the_standard_head_drops_before_the_classifier():
    published = Scratch(73, "valid", PUBLISHED).build(3)
    standard = Scratch(73, "valid", STANDARD).build(3)
    assert [layer.name for layer in published.layers[-2:]] == ["head", "head_dropout"]
    assert [layer.name for layer in standard.layers[-2:]] == ["head_dropout", "head"]


def test_only_the_published_head_loses_probabilities_in_training():
    embedding = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)
    sums = {}
    for head in (PUBLISHED, STANDARD):
        inputs = keras.Input((8,))
        model = keras.Model(inputs, head.attach(inputs, 4))
        sums[head.kind] = model(embedding, training=True).numpy()
        np.testing.assert_allclose(model(embedding).numpy().sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(sums["standard"].sum(axis=1), 1, rtol=1e-5)
    assert (sums["published"] == 0).mean() == pytest.approx(0.2, abs=0.04)


@pytest.mark.parametrize(("size", "padding"), [(73, "valid"), (32, "same")])
def test_the_smallest_pictures_give_one_value_a_channel(size, padding):
    model = Scratch(size, padding, PUBLISHED).build(2)
    assert without_head(model).output_shape == (None, 32)
    probabilities = model(pictures(3, size)).numpy()
    assert probabilities.shape == (3, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_a_picture_smaller_than_73_pixels_does_not_pass_without_padding():
    with pytest.raises(ValueError, match="pool"):
        Scratch(72, "valid", PUBLISHED).build(2)


def test_a_network_from_scratch_takes_no_weights():
    with pytest.raises(ValueError, match="takes no weights"):
        Scratch(73, "valid", PUBLISHED).build(2, "some.weights.h5")


# --- the pretrained backbone ------------------------------------------------------------------


class Small(Backbone):
    """Takes the place of a backbone where any will do: two convolutions."""

    def build(self, image_size):
        inputs = keras.Input((image_size, image_size, 3))
        x = keras.layers.Conv2D(4, 3, 8, activation="relu", name="block1_conv")(inputs)
        return keras.Model(inputs, keras.layers.Conv2D(6, 3, 4, "same", name="block2_conv")(x))


@pytest.fixture
def small(monkeypatch):
    small = Small(**vars(BACKBONES["MobileNetV2"]))
    monkeypatch.setitem(BACKBONES, "MobileNetV2", small)
    return small


@pytest.fixture(scope="module")
def resnet152():
    return Transfer("ResNet152", 32, "conv5", "flatten", PUBLISHED).build(3, None)


@pytest.fixture(scope="module")
def mobilenet():
    """Its backbone alone, to freeze again and again."""
    return keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3))


def backbone_of(model):
    return model.get_layer("backbone").layer


def moving_averages(model):
    return {w.path: w.numpy() for w in model.non_trainable_weights if "moving" in w.path}


def test_everything_before_conv5_is_frozen_and_everything_from_it_trained(resnet152):
    names = [layer.name for layer in backbone_of(resnet152).layers]
    trained = [layer.name for layer in backbone_of(resnet152).layers if layer.trainable]
    first = names.index("conv5_block1_1_conv")
    assert not any(name.startswith("conv5") for name in names[:first])
    assert names[first:] == trained
    assert all(name.startswith("conv5") for name in trained)
    # Of each of the 10 convolutions of conv5: kernel, bias, gamma, beta; and the head's two.
    assert len(resnet152.trainable_weights) == 10 * 4 + 2


def test_resnet152_sees_caffe_pixels_in_inference_mode_in_training_too(resnet152):
    pixels, before = pictures(2, 32), moving_averages(resnet152)
    scaled = keras.applications.resnet.preprocess_input(pixels.astype(np.float32))
    expected = backbone_of(resnet152)(scaled, training=False).numpy().reshape(2, 2048)
    found = without_head(resnet152)(pixels, training=True).numpy()
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    after = moving_averages(resnet152)
    assert len(before) == 2 * 155  # 155 normalisations
    assert all((before[path] == after[path]).all() for path in before)


def trained_by_one_step(model):
    """Weights before and after one step, by path."""
    before = {w.path: w.numpy() for w in model.weights}
    model.compile(
        keras.optimizers.Adam(1e-3, epsilon=1e-30),
        "sparse_categorical_crossentropy",
        run_eagerly=True,  # compiling takes longer than the one step
    )
    model.train_on_batch(pictures(4, 32), np.array([0, 1, 2, 0]))
    return before, {w.path: w.numpy() for w in model.weights}


def test_a_training_step_moves_what_is_not_frozen_but_no_moving_average():
    model = Transfer("MobileNetV2", 32, "block_15", "avg", STANDARD).build(3, None)
    before, after = trained_by_one_step(model)
    moved = {path for path in before if (before[path] != after[path]).any()}
    free = {weight.path for weight in model.trainable_weights}
    averages = set(moving_averages(model))
    assert len(averages) == 2 * 52
    assert not averages & moved
    frozen = {path for path in before if "seed" not in path} - free
    assert not frozen & moved
    assert free <= moved
    assert {"block_15_expand/kernel", "block_15_expand_BN/gamma", "Conv_1_bn/beta"} <= free
    assert {"block_14_project/kernel", "block_14_project_BN/gamma"} <= frozen


def test_a_saved_network_still_trains_in_inference_mode(tmp_path):
    model = Transfer("MobileNetV2", 32, "nothing", "avg", PUBLISHED).build(3, None)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    pixels, before = pictures(16, 32), moving_averages(loaded)
    probabilities = loaded(pixels).numpy()
    np.testing.assert_array_equal(probabilities, model(pixels).numpy())
    in_training = loaded(pixels, training=True).numpy()
    assert (in_training == 0).any()  # the dropout behind the backbone stays active
    kept = in_training > 0
    np.testing.assert_allclose(in_training[kept], probabilities[kept] / 0.8, rtol=1e-5)
    after = moving_averages(loaded)
    assert len(before) == 2 * 52
    assert all((before[path] == after[path]).all() for path in before)


@pytest.mark.parametrize(
    ("pooling", "length"), [("flatten", 24), ("avg", 6), ("max", 6), ("gem", 6)]
)
@pytest.mark.usefixtures("small")
def test_pooling_makes_vectors_of_the_last_map(pooling, length):
    model = Transfer("MobileNetV2", 64, "everything", pooling, STANDARD).build(2, None)
    pixels = pictures(2, 64)
    vectors = without_head(model)(pixels).numpy()
    maps = backbone_of(model)(pixels.astype(np.float32) / 127.5 - 1).numpy()
    expected = {
        "flatten": maps.reshape(2, -1),
        "avg": maps.mean(axis=(1, 2)),
        "max": maps.max(axis=(1, 2)),
        "gem": np.cbrt((np.maximum(maps, 1e-6).astype(float) ** 3).mean(axis=(1, 2))),
    }[pooling]
    assert vectors.shape == (2, length)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(vectors, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert model.get_layer(EMBEDDING).output.shape == (None, length)


@pytest.mark.usefixtures("small")
def test_the_exponent_of_gem_is_trained_with_everything_frozen_and_shapes_the_vectors():
    model = Transfer("MobileNetV2", 64, "everything", "gem", STANDARD).build(3, None)
    trained = [weight.path for weight in model.trainable_weights]
    assert trained == ["embedding/p", "head/kernel", "head/bias"]
    pixels, classes = pictures(4, 64), np.array([0, 1, 2, 0])
    before = without_head(model)(pixels).numpy()
    maps = backbone_of(model)(pixels.astype(np.float32) / 127.5 - 1).numpy()
    model.compile(keras.optimizers.SGD(10.0), "sparse_categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(pixels, classes)
    p = float(model.get_layer(EMBEDDING).p)
    assert p != 3
    assert 1 <= p <= 100
    after = without_head(model)(pixels).numpy()
    expected = (np.maximum(maps, 1e-6).astype(float) ** p).mean(axis=(1, 2)) ** (1 / p)
    assert np.abs(after - before).max() > 0
    np.testing.assert_allclose(after, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_nothing_frozen_trains_every_layer(mobilenet):
    freeze(mobilenet, "nothing")
    assert all(layer.trainable for layer in mobilenet.layers)


def test_everything_frozen_trains_none(mobilenet):
    freeze(mobilenet, "everything")
    assert not mobilenet.trainable_weights
    freeze(mobilenet, "nothing")
    assert mobilenet.trainable_weights


def test_the_first_layer_of_the_name_counts_where_many_begin_so(mobilenet):
    freeze(mobilenet, "block_1")  # block_1, and block_10 to block_16 after it
    names = [layer.name for layer in mobilenet.layers if layer.trainable]
    assert names[0] == "block_1_expand"
    assert names[-1] == "out_relu"


def test_a_layer_named_exactly_counts_before_others_that_begin_so():
    inputs = keras.Input((8,))
    x = inputs
    for name in ("mixed10", "mixed1_pool", "mixed1", "mixed1_end"):
        x = keras.layers.Dense(2, name=name)(x)
    network = keras.Model(inputs, x)
    freeze(network, "mixed1")
    assert [layer.name for layer in network.layers if layer.trainable] == ["mixed1", "mixed1_end"]
    freeze(network, "mixed1_")
    assert [layer.name for layer in network.layers if layer.trainable] == [
        "mixed1_pool", "mixed1", "mixed1_end",
    ]  # fmt: skip


def test_layers_that_begin_with_the_networks_name_are_listed_by_the_word_after_it():
    inputs = keras.Input((8,), name="pixels")
    x = keras.layers.Dense(2, name="convnext_tiny_stem_conv")(inputs)
    x = keras.layers.Dense(2, name="convnext_tiny_stage_0_block_0")(x)
    x = keras.layers.Dense(2, name="convnext_tiny_stage_1_block_0")(x)
    x = keras.layers.Dense(2, name="layer_norm")(x)
    with pytest.raises(ValueError, match="conv5") as refusal:
        freeze(keras.Model(inputs, x, name="convnext_tiny"), "conv5")
    assert str(refusal.value).endswith(
        "Names start with: pixels, convnext_tiny_stem, convnext_tiny_stage, layer"
    )


def test_an_unknown_layer_to_freeze_until_is_answered_with_what_there_is(mobilenet):
    with pytest.raises(ValueError, match="'conv5'") as refusal:
        freeze(mobilenet, "conv5")
    message = str(refusal.value)
    assert message.startswith("freeze_until: no layer of mobilenetv2")
    assert "Names start with: " in message
    for word in ("Conv1", "expanded", "block", "out"):
        assert word in message.split("Names start with: ")[1].split(", ")


def test_weights_of_a_file_are_those_of_the_backbone(small, tmp_path):
    file, given = tmp_path / "m.weights.h5", small.build(64)
    given.save_weights(file)
    model = Transfer("MobileNetV2", 32, "everything", "avg", STANDARD).build(2, str(file))
    found = backbone_of(model).get_weights()
    for ours, theirs in zip(found, given.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("damaged.weights.h5", b"no HDF5 at all"),
        ("damaged.h5", b"no HDF5 at all"),
        ("damaged.keras", b"no ZIP at all"),
        ("weights.pth", b"something of another library"),
        ("absent.weights.h5", None),
    ],
)
@pytest.mark.usefixtures("small")
def test_a_file_that_holds_no_weights_is_named(name, content, tmp_path):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match="does not fit MobileNetV2") as refusal:
        Transfer("MobileNetV2", 32, "everything", "avg", STANDARD).build(2, str(file))
    assert str(refusal.value).startswith(f"{file} does not fit MobileNetV2: ")


@pytest.mark.usefixtures("small")
def test_weights_of_another_network_are_refused(tmp_path):
    file = str(tmp_path / "other.weights.h5")
    inputs = keras.Input((32, 32, 3))
    keras.Model(inputs, keras.layers.Conv2D(5, 3)(inputs)).save_weights(file)
    with pytest.raises(ValueError, match="does not fit MobileNetV2"):
        Transfer("MobileNetV2", 32, "everything", "avg", STANDARD).build(2, file)


def test_published_imagenet_weights_load_and_distinguish_pictures():
    file = SHARED / "weights" / "mobilenetv2_1.0_224_imagenet_notop.weights.h5"
    if not file.is_file():
        pytest.skip("no shared ImageNet weights of MobileNetV2")
    model = Transfer("MobileNetV2", 64, "everything", "avg", STANDARD).build(2, str(file))
    vectors = without_head(model)(pictures(4, 64)).numpy()
    assert np.isfinite(vectors).all()
    assert (vectors > 0).mean() > 0.1
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01


# --- every kind of backbone, stored and read again ----------------------------------------------

FROZEN_UNTIL = {
    "ConvNeXtTiny": "convnext_tiny_stage_3",
    "DenseNet121": "conv5",
    "EfficientNetB0": "block7",
    "EfficientNetLite2": "block7",
    "MobileNetV2": "block_16",
    "ResNet50": "conv5",
    "ResNet101": "conv5",
    "ResNet152": "conv5",
}


@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        pytest.param(
            name, pooling, marks=[] if (name, pooling) == ("ConvNeXtTiny", "gem") else slow
        )
        for slow in [pytest.mark.slow]
        for name in sorted(FROZEN_UNTIL)
        for pooling in ("flatten", "avg", "max", "gem")
    ],
)
def test_a_stored_network_gives_the_same_answers_and_has_the_same_layers_frozen(
    name, pooling, tmp_path
):
    side = BACKBONES[name].min_image_size
    model = Transfer(name, side, FROZEN_UNTIL[name], pooling, STANDARD).build(3, None)
    trained = [weight.path for weight in model.trainable_weights]
    assert any(path.endswith("embedding/p") for path in trained) == (pooling == "gem")
    assert 0 < len(trained) < len(model.weights) / 2
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    pixels = pictures(2, side)
    for network in (lambda stored: stored, without_head):
        expected = network(model)(pixels).numpy()
        assert np.isfinite(expected).all()
        np.testing.assert_array_equal(network(loaded)(pixels).numpy(), expected)
    learning = [
        [layer.name for layer in backbone_of(network).layers if layer.trainable_weights]
        for network in (model, loaded)
    ]
    assert learning[0] == learning[1]
    assert len(loaded.trainable_weights) == len(trained)


# --- from the configuration -------------------------------------------------------------------


def completed(settings):
    config = {"dataset": {"name": "d", "embedded": {}}, "experiments": {"e": settings}}
    return check(config).experiments["e"]


def test_a_transfer_experiment_of_the_configuration_makes_the_published_network():
    settings = completed({"network": "transfer", "backbone": "ResNet152", "freeze_until": "conv5"})
    assert architecture(settings) == Transfer(
        "ResNet152", 224, "conv5", "flatten", Head("published", 0.1, 999, 0.01, 0.01)
    )


def test_a_scratch_experiment_of_the_configuration_makes_the_published_network():
    assert architecture(completed({"network": "scratch"})) == Scratch(
        224, "valid", Head("published", 0.2, 999, 0.01, 0.01)
    )


def test_every_setting_of_an_experiment_reaches_the_network():
    scratch = {"network": "scratch", "image_size": 40, "padding": "same"}
    head = {"head": "standard", "dropout": 0.3, "dropout_seed": 5, "l1": 0.25, "l2": 0.5}
    expected = Head("standard", 0.3, 5, 0.25, 0.5)
    assert architecture(completed({**scratch, **head})) == Scratch(40, "same", expected)
    transfer = {"network": "transfer", "backbone": "DenseNet121", "image_size": 48}
    transfer |= {"freeze_until": "nothing", "pooling": "max"}
    assert architecture(completed({**transfer, **head})) == Transfer(
        "DenseNet121", 48, "nothing", "max", expected
    )


# gallerist.networks.pixel_scaling against keras.applications' own preparation of pixels.

PIXELS = np.random.default_rng(7).integers(0, 256, (2, 5, 6, 3), dtype=np.uint8)

# What their networks do inside, and Keras only with its own download: see test_backbones.
APART = {"EfficientNetLite2", *(f"EfficientNetB{size}" for size in range(8))}


@pytest.mark.parametrize("name", sorted(BACKBONES.keys() - APART))
def test_pixels_are_scaled_as_keras_applications_scales_them(name):
    module = sys.modules[getattr(keras.applications, name).__module__]
    expected = module.preprocess_input(PIXELS.astype(np.float32))
    found = scaling_layer(BACKBONES[name].scaling)(PIXELS).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    inside = (expected == PIXELS).all()
    assert (BACKBONES[name].scaling.kind == "inside") == inside


def test_efficientnet_lite2_takes_pixels_around_zero_by_its_own_constants():
    found = scaling_layer(BACKBONES["EfficientNetLite2"].scaling)(PIXELS).numpy()
    np.testing.assert_allclose(found, (PIXELS.astype(float) - 127) / 128, atol=1e-6)


@pytest.mark.parametrize("name", ["ResNet152", "DenseNet121", "EfficientNetB0", "ConvNeXtTiny"])
def test_the_scaling_survives_a_saved_model(name, tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, scaling_layer(BACKBONES[name].scaling)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    layer = loaded.get_layer("pixel_scaling")
    assert isinstance(layer, PixelScaling)
    assert layer.get_config() == model.get_layer("pixel_scaling").get_config()
    np.testing.assert_array_equal(loaded(PIXELS).numpy(), model(PIXELS).numpy())


def test_models_stored_before_find_the_layer_by_its_name():
    assert keras.saving.get_registered_name(PixelScaling) == "gallerist>PixelScaling"
