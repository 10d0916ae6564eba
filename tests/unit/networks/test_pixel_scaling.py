"""gallerist.networks.pixel_scaling against keras.applications' own preparation of pixels."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest

from gallerist.networks.backbones import BACKBONES
from gallerist.networks.pixel_scaling import PixelScaling, scaling_layer

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
