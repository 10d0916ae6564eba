"""gallerist.backbones against keras.applications' own preparation of pixels."""

import importlib
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest

from gallerist.backbones import BACKBONES, PixelScaling
from gallerist.configuration_schema import PACKAGED_SCHEMA, read_schema

PIXELS = np.random.default_rng(7).integers(0, 256, (2, 5, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("ResNet50", "resnet"),
        ("ResNet101", "resnet"),
        ("ResNet152", "resnet"),
        ("DenseNet121", "densenet"),
        ("MobileNetV2", "mobilenet_v2"),
        ("ConvNeXtTiny", "convnext"),
    ],
)
def test_pixels_are_scaled_as_keras_applications_scales_them(name, module):
    theirs = importlib.import_module(f"keras.applications.{module}").preprocess_input
    expected = theirs(PIXELS.astype(np.float32))
    found = BACKBONES[name].scaling_layer()(PIXELS).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_efficientnet_lite2_takes_pixels_around_zero_by_its_own_constants():
    found = BACKBONES["EfficientNetLite2"].scaling_layer()(PIXELS).numpy()
    np.testing.assert_allclose(found, (PIXELS.astype(float) - 127) / 128, atol=1e-6)


def test_efficientnet_b0_computes_what_keras_computes_with_imagenet_weights(tmp_path, monkeypatch):
    """Keras adds a layer to its network when, and only when, it fetches the weights itself."""
    chosen = BACKBONES["EfficientNetB0"]
    ours = chosen.build(32)
    normalisation = next(
        layer for layer in ours.layers if isinstance(layer, keras.layers.Normalization)
    )
    stored = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 0]  # the deviation as the variance
    normalisation.set_weights([np.array(values, np.float32) for values in stored])
    file = str(tmp_path / "b0_notop.h5")
    ours.save(file)  # legacy HDF5, as published
    ours.load_weights(file)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *args, **kwargs: file)
    theirs = keras.applications.EfficientNetB0(include_top=False, input_shape=(32, 32, 3))
    assert len(theirs.layers) == len(ours.layers) + 1

    pixels = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    expected = theirs(keras.applications.efficientnet.preprocess_input(pixels)).numpy()
    found = ours(chosen.scaling_layer()(pixels)).numpy()
    assert np.abs(expected).max() > 0
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    unscaled = ours(pixels).numpy()
    assert np.abs(unscaled - expected).max() > 0.01 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["ResNet152", "DenseNet121", "EfficientNetB0", "ConvNeXtTiny"])
def test_the_scaling_survives_a_saved_model(name, tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, BACKBONES[name].scaling_layer()(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    layer = loaded.get_layer("pixel_scaling")
    assert isinstance(layer, PixelScaling)
    assert layer.get_config() == model.get_layer("pixel_scaling").get_config()
    np.testing.assert_array_equal(loaded(PIXELS).numpy(), model(PIXELS).numpy())


def test_the_backbones_are_those_that_the_configuration_offers():
    transfer = read_schema(PACKAGED_SCHEMA)["$defs"]["transfer"]
    assert sorted(BACKBONES) == sorted(transfer["properties"]["backbone"]["enum"])


@pytest.mark.parametrize(
    ("name", "channels"), [("MobileNetV2", 1280), ("ResNet50", 2048), ("EfficientNetLite2", 1280)]
)
def test_a_backbone_ends_in_a_feature_map_of_a_thirty_second_of_the_side(name, channels):
    model = BACKBONES[name].build(64)
    assert model.input_shape == (None, 64, 64, 3)
    assert model.output_shape == (None, 2, 2, channels)
