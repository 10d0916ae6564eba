"""features.network_sizes: the network that a build at the other size gives, with the weights."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest

from gallerist.features.network_sizes import at_image_size
from gallerist.features.views import ViewsRefused
from gallerist.networks.architectures import EMBEDDING, Head, Scratch, Transfer, without_head
from gallerist.networks.trunk import trunk_identity

HEAD = Head("standard", 0.1, 999, 0.01, 0.01)


def pictures(count, side):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def built(name, side, pooling):
    return Transfer(name, side, "everything", pooling, HEAD).build(3, None)


def lively(network):
    """With moving averages as of training, without which random weights tell nothing apart."""
    backbone = network.get_layer("backbone").layer
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum, layer.trainable = 0.0, True
    backbone(pictures(16, network.input_shape[1]) / 127.5 - 1, training=True)
    return network


slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "pooling", "side", "other"),
    [
        ("MobileNetV2", "gem", 64, 96),
        ("MobileNetV2", "rmac", 96, 64),
        ("MobileNetV2", "max", 75, 43),  # sides that are odd and even at other layers
        ("ConvNeXtTiny", "avg", 32, 64),  # has layers in a row, which hold their first size
        ("EfficientNetLite2", "avg", 68, 36),
        pytest.param("EfficientNetB0", "avg", 64, 96, marks=slow),
        pytest.param("InceptionV3", "avg", 96, 128, marks=slow),
        pytest.param("NASNetMobile", "avg", 96, 64, marks=slow),
        pytest.param("ResNet50", "avg", 50, 82, marks=slow),
    ],
)
def test_it_is_the_network_of_a_build_at_that_size(name, pooling, side, other):
    network, fresh = lively(built(name, side, pooling)), built(name, other, pooling)
    fresh.set_weights(network.get_weights())
    found = at_image_size(without_head(network), other)
    pixels = pictures(2, other)
    expected = without_head(fresh)(pixels).numpy()
    assert np.abs(expected[0] - expected[1]).max() > 0.01
    np.testing.assert_allclose(found(pixels).numpy(), expected, rtol=1e-4, atol=1e-5)
    assert found.output_shape == without_head(network).output_shape


def test_a_stored_network_is_shared_and_stays_as_it_was(tmp_path):
    lively(built("MobileNetV2", 64, "gem")).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True, compile=False)
    network = without_head(loaded)
    pixels = pictures(2, 64)
    before, identity = network(pixels).numpy(), trunk_identity(network)
    other = at_image_size(network, 96)
    assert other.get_layer(EMBEDDING) is network.get_layer(EMBEDDING)
    at_first = other(pictures(2, 96)).numpy()
    network.get_layer(EMBEDDING).p.assign(5.0)  # one weight of both
    assert np.abs(other(pictures(2, 96)).numpy() - at_first).max() > 0.01
    network.get_layer(EMBEDDING).p.assign(3.0)
    np.testing.assert_array_equal(network(pixels).numpy(), before)
    assert trunk_identity(network) == identity


@pytest.mark.parametrize(
    "architecture",
    [
        Transfer("MobileNetV2", 32, "everything", "flatten", HEAD),  # a map of 1x1, even
        Scratch(96, "valid", HEAD),
    ],
)
def test_a_network_that_flattens_its_map_is_refused(architecture):
    with pytest.raises(ViewsRefused, match="flattens its last feature map"):
        at_image_size(without_head(architecture.build(3, None)), 64)
