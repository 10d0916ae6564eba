"""networks.keras_encoder: a .keras file as an extractor, equal to Keras itself; what is refused."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
from PIL import Image

from gallerist.data.preprocessing import Preprocessing
from gallerist.features.network import NetworkExtractor
from gallerist.io.errors import UserError
from gallerist.networks.architectures import load_headless
from gallerist.networks.keras_encoder import import_keras
from gallerist.settings.encoders import KerasFile

SIDE = 32
SCALED = {"mean": [120.0, 110.0, 100.0], "deviation": [50.0, 60.0, 70.0]}


def settings_of(file, **given):
    return KerasFile(network="keras", file=str(file), **given).model_dump()


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    pixels = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(6, 5, strides=2, activation="relu", name="maps")(pixels)
    maps = keras.layers.BatchNormalization()(maps)
    vector = keras.layers.GlobalAveragePooling2D(name="vector")(maps)
    return keras.Model(pixels, keras.layers.Dense(3, name="classes")(vector))


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder") / "encoder.keras"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    paths = [tmp_path_factory.mktemp("pictures") / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


@pytest.mark.parametrize(
    ("chosen", "layer"),
    [
        ({}, "classes"),
        ({"output": "vector"}, "vector"),
        ({"output": "maps", "pooling": "avg"}, "maps"),
        ({"output": "vector", "channels": "bgr"}, "vector"),
    ],
)
def test_vectors_are_those_of_keras(tmp_path, file, model, pictures, chosen, layer):
    settings = settings_of(file, **SCALED, **chosen, image_size=SIDE)
    size = import_keras(file, settings, tmp_path / "model.keras")
    Preprocessing(size).write(tmp_path / "preprocessing.json")
    files = tmp_path / "model.keras", tmp_path / "preprocessing.json"
    extractor = NetworkExtractor(*files, threads=1, engine="openvino")
    found = np.concatenate([*extractor.batches(pictures)])
    pixels = np.stack([np.asarray(Image.open(path)) for path in pictures]).astype(np.float32)
    pixels = (pixels - SCALED["mean"]) / SCALED["deviation"]
    pixels = pixels[..., ::-1] if "channels" in chosen else pixels
    wanted = np.asarray(keras.Model(model.input, model.get_layer(layer).output)(pixels))
    wanted = wanted.mean(axis=(1, 2)) if layer == "maps" else wanted
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def refusal(file, folder, **settings):
    with pytest.raises(UserError) as caught:
        import_keras(file, settings_of(file, **settings), folder / "model.keras")
    message = str(caught.value)
    assert "\n" not in message
    assert str(file) in message
    assert not (folder / "model.keras").exists()
    return message


def test_code_in_the_file_is_not_run(tmp_path):
    """A Lambda holds Python code."""
    touched = tmp_path / "touched"
    pixels = keras.Input((SIDE, SIDE, 3))

    def harm(x):
        touched.touch()
        return x

    vector = keras.layers.Flatten()(keras.layers.Lambda(harm)(pixels))
    keras.Model(pixels, vector).save(tmp_path / "lambda.keras")
    touched.unlink(missing_ok=True)
    assert "code of its own: Lambda" in refusal(tmp_path / "lambda.keras", tmp_path)
    assert not touched.exists()


def test_a_layer_that_keras_does_not_have_is_refused(tmp_path):
    class Own(keras.layers.Layer):
        def call(self, x):
            return x

    pixels = keras.Input((SIDE, SIDE, 3))
    keras.Model(pixels, keras.layers.Flatten()(Own()(pixels))).save(tmp_path / "own.keras")
    assert "code of its own: Own" in refusal(tmp_path / "own.keras", tmp_path)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A folder as `from_preset` takes one in the place of a name, and its backbone."""
    keras_hub = pytest.importorskip("keras_hub", reason="keras_hub is not installed")
    keras.utils.set_random_seed(2)
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
    )
    folder = tmp_path_factory.mktemp("preset")
    backbone.save_to_preset(folder)
    scale = [1 / each for each in SCALED["deviation"]]
    offset = [-a / b for a, b in zip(SCALED["mean"], SCALED["deviation"], strict=True)]
    keras_hub.layers.ResNetImageConverter(scale=scale, offset=offset).save_to_preset(folder)
    return folder, backbone


def test_vectors_of_a_preset_are_those_of_its_backbone(tmp_path, preset, pictures):
    folder, backbone = preset
    settings = KerasFile(network="keras", preset=str(folder), pooling="avg", image_size=SIDE)
    assert import_keras(folder, settings.model_dump(), tmp_path / "model.keras") == SIDE
    Preprocessing(SIDE).write(tmp_path / "preprocessing.json")
    pixels = np.stack([np.asarray(Image.open(path)) for path in pictures]).astype(np.float32)
    scaled = (pixels - SCALED["mean"]) / SCALED["deviation"]
    wanted = np.asarray(backbone(scaled.astype(np.float32))).mean(axis=(1, 2))
    files = tmp_path / "model.keras", tmp_path / "preprocessing.json"
    found = [*NetworkExtractor(*files, threads=1, engine="openvino").batches(pictures)]
    np.testing.assert_allclose(np.concatenate(found), wanted, rtol=1e-4, atol=1e-5)
    by_keras = np.asarray(load_headless(tmp_path / "model.keras")(pixels))
    np.testing.assert_allclose(by_keras, wanted, rtol=1e-4, atol=1e-5)


def test_a_preset_without_keras_hub_is_refused_with_what_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    settings = KerasFile(network="keras", preset="resnet_18_imagenet").model_dump()
    with pytest.raises(UserError, match=r"^resnet_18_imagenet .*envs/requirements-keras-hub\.lock"):
        import_keras("resnet_18_imagenet", settings, tmp_path / "model.keras")


def test_what_does_not_fit_is_refused(tmp_path, file):
    assert "say which by image_size" in refusal(file, tmp_path)
    assert "No such layer: mops" in refusal(file, tmp_path, image_size=SIDE, output="mops")
    (tmp_path / "text.keras").write_text("no network", encoding="utf-8")
    assert "not a whole .keras file" in refusal(tmp_path / "text.keras", tmp_path)
    numbers = keras.Input((7,))
    keras.Model(numbers, keras.layers.Dense(2)(numbers)).save(tmp_path / "numbers.keras")
    assert "does not take one picture" in refusal(tmp_path / "numbers.keras", tmp_path)
