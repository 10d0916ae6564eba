"""gallerist.networks.backbones against what the networks of keras.applications do themselves."""

import os
import subprocess
import sys

from checkout import SCRIPTS

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
from keras_without_layers import NETWORKS, ask, preprocess_input

from gallerist.config.schema import PACKAGED_SCHEMA, read_schema
from gallerist.io.errors import UserError
from gallerist.networks import efficientnet_lite2
from gallerist.networks.architectures import scaling_layer
from gallerist.networks.backbones import BACKBONES, EFFICIENTNET

EFFICIENTNETS = {f"EfficientNetB{size}" for size in range(8)}
SMALL = {"MobileNetV3Small", "VGG16"}
"""Built in a second or two; the others in the slow tests only."""


def small_or_slow(names, small=SMALL):
    """Each name, those of large networks marked slow."""
    return [
        pytest.param(name, marks=[] if name in small else pytest.mark.slow)
        for name in sorted(names)
    ]


# --- the table --------------------------------------------------------------------------------


def test_the_table_is_read_without_keras():
    program = (
        "import sys, gallerist.networks.backbones as table\n"
        "assert table.BACKBONES['ResNet152'].image_size == 224\n"
        "loaded = {'keras', 'tensorflow', 'numpy'} & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
    )
    library = str(SCRIPTS)
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": library},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_every_classification_network_of_keras_is_in_the_table():
    assert len(NETWORKS) == 40
    assert list(BACKBONES) == sorted({*NETWORKS, "EfficientNetLite2"})
    assert all(name == backbone.name for name, backbone in BACKBONES.items())


def test_the_backbones_are_those_that_the_configuration_offers():
    transfer = read_schema(PACKAGED_SCHEMA)["$defs"]["transfer"]
    assert sorted(BACKBONES) == sorted(transfer["properties"]["backbone"]["enum"])


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_sizes_are_those_of_keras(name, monkeypatch):
    sizes = ask(name, monkeypatch, weights=None).sizes
    if name.startswith("MobileNetV3"):  # which has its own way, and weights for 224 pixels only
        assert not sizes
        assert "_224_" in ask(name, monkeypatch, weights="imagenet").file[1]
        sizes = {"default_size": 224, "min_size": 32}
    chosen = BACKBONES[name]
    assert (chosen.image_size, chosen.min_image_size) == (sizes["default_size"], sizes["min_size"])
    for side in (chosen.min_image_size, chosen.image_size):
        ask(name, monkeypatch, weights=None, input_shape=(side, side, 3))
    side = chosen.min_image_size - 1
    with pytest.raises(ValueError, match="must be at least"):
        NETWORKS[name](include_top=False, weights=None, input_shape=(side, side, 3))


def test_efficientnet_lite2_is_for_the_pictures_that_it_was_trained_on():
    chosen = BACKBONES["EfficientNetLite2"]
    assert chosen.image_size == efficientnet_lite2.IMAGE_SIZE
    assert chosen.min_image_size <= chosen.image_size


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_pictures_that_are_too_small_are_refused_before_anything_is_built(name):
    side = BACKBONES[name].min_image_size
    with pytest.raises(UserError) as refusal:
        BACKBONES[name].build(side - 1)
    assert str(refusal.value) == (
        f"{name} needs pictures of {side} pixels a side or more; image_size is {side - 1}"
    )


# --- what Keras does to pixels only where it fetches the weights itself ------------------------


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_no_network_but_the_first_efficientnets_is_another_one_with_imagenet_weights(
    name, monkeypatch
):
    """The layers that Keras makes with its own weights, and with none, which is what we build."""
    random = ask(name, monkeypatch, weights=None, input_shape=(224, 224, 3)).layers
    theirs = ask(name, monkeypatch, weights="imagenet", input_shape=(224, 224, 3)).layers
    kinds = [[kind for kind, *_ in layers] for layers in (random, theirs)]
    assert len(random) > 15
    if name not in EFFICIENTNETS:
        assert kinds[0] == kinds[1]
        assert BACKBONES[name].scaling.kind in ("caffe", "torch", "tf", "inside")
        return
    assert BACKBONES[name].scaling is EFFICIENTNET
    assert kinds[1] == ["Rescaling", "Normalization", "Rescaling", *kinds[0][2:]]
    assert kinds[0][:2] == ["Rescaling", "Normalization"]
    np.testing.assert_allclose(theirs[2][1][0], 1 / np.array(EFFICIENTNET.deviation), rtol=1e-12)


def filled_with_published_statistics(network):
    """What the published file has in the layer that the pixels come through first."""
    normalisation = next(
        layer for layer in network.layers if isinstance(layer, keras.layers.Normalization)
    )
    stored = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 0]  # the deviation as the variance
    normalisation.set_weights([np.array(values, np.float32) for values in stored])
    return network


@pytest.mark.parametrize("name", small_or_slow(EFFICIENTNETS, {"EfficientNetB0"}))
def test_an_efficientnet_computes_what_keras_computes_with_imagenet_weights(
    name, tmp_path, monkeypatch
):
    """Keras adds a layer to its network when, and only when, it fetches the weights itself."""
    ours = filled_with_published_statistics(BACKBONES[name].build(32))
    file = str(tmp_path / "notop.h5")
    ours.save(file)  # legacy HDF5, as published
    ours.load_weights(file)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *args, **kwargs: file)
    theirs = NETWORKS[name](include_top=False, input_shape=(32, 32, 3))
    assert len(theirs.layers) == len(ours.layers) + 1

    pixels = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    expected = theirs(preprocess_input(name)(pixels)).numpy()
    found = ours(scaling_layer(BACKBONES[name].scaling)(pixels)).numpy()
    assert np.abs(expected).max() > 0
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    unscaled = ours(pixels).numpy()
    assert np.abs(unscaled - expected).max() > 0.01 * np.abs(expected).max()


# --- the networks -----------------------------------------------------------------------------


def weights_of(model):
    return [(weight.path, tuple(weight.shape)) for weight in model.weights]


@pytest.mark.parametrize("name", small_or_slow(BACKBONES))
def test_a_backbone_takes_the_smallest_pictures_and_comes_back_from_a_file(name, tmp_path):
    chosen = BACKBONES[name]
    side = chosen.min_image_size
    model = chosen.build(side)
    assert model.input_shape == (None, side, side, 3)
    assert min(model.output_shape[1:]) >= 1
    pixels = np.random.default_rng(3).normal(size=(2, side, side, 3)).astype(np.float32)
    expected = model(pixels).numpy()
    assert np.isfinite(expected).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(pixels).numpy(), expected)
    del loaded
    # The same weights serve pictures of any size.
    assert weights_of(model) == weights_of(chosen.build(chosen.image_size))


@pytest.mark.parametrize(("name", "channels"), [("MobileNetV2", 1280), ("EfficientNetLite2", 1280)])
def test_a_backbone_ends_in_a_feature_map_of_a_thirty_second_of_the_side(name, channels):
    model = BACKBONES[name].build(64)
    assert model.input_shape == (None, 64, 64, 3)
    assert model.output_shape == (None, 2, 2, channels)


def test_the_layers_have_the_same_names_whatever_was_built_before():
    def count():
        """How many activations Keras has counted so far, and two more."""
        keras.layers.Activation("relu")
        return int(keras.layers.Activation("relu").name.rpartition("_")[2])

    counted = count()
    first, again = (BACKBONES["MobileNetV3Small"].build(32) for _ in range(2))
    assert count() == counted + 2  # as if nothing had been built in between
    names = [layer.name for layer in first.layers]
    assert {"input_layer", "rescaling", "activation", "activation_1"} <= set(names)
    assert names == [layer.name for layer in again.layers]
    assert weights_of(first) == weights_of(again)
