"""networks.export and networks.exported: a network for OpenVINO gives what Keras gives."""

import os
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest

from gallerist.io.errors import UserError
from gallerist.io.files import read_json, sha256_of_file, write_json
from gallerist.networks.architectures import (
    EMBEDDING,
    Head,
    Scratch,
    Transfer,
    load_headless,
    resize_input,
)
from gallerist.networks.export import export
from gallerist.networks.exported import Exported, export_files
from gallerist.networks.inference import OpenVino, compile_exported
from gallerist.networks.tensorflow_inference import compile_network
from gallerist.networks.trunk import Halves, load_trunk
from gallerist.training.loop import save

HEAD = Head("standard", 0.1, 1, 0.0, 0.0)
slow = pytest.mark.slow


def pixels(count, side):
    return np.random.default_rng(5).integers(0, 256, (count, side, side, 3), np.uint8)


def network_of(backbone, side, pooling="avg", freeze="everything"):
    """With moving averages as of training, without which random weights tell nothing apart."""
    network = Transfer(backbone, side, freeze, pooling, HEAD).build(3, None)
    inside = network.get_layer("backbone").layer
    norms = [each for each in inside.layers if isinstance(each, keras.layers.BatchNormalization)]
    trainable = [layer.trainable for layer in norms]
    for layer in norms:
        layer.momentum, layer.trainable = 0.0, True
    inside(network.get_layer("pixel_scaling")(pixels(16, side)), training=True)
    for layer, before in zip(norms, trainable, strict=True):
        layer.trainable = before
    return network


def cosines(one, other):
    one, other = one.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / lengths


def forward_of(exported, network, **chosen):
    return compile_exported(
        exported, lambda: network, engine="auto", threads=2, xla=False, **chosen
    )


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    network = network_of("MobileNetV2", 64, "gem", "block_14_project")
    save(network, path, Halves(network))
    return path


@pytest.fixture(scope="module")
def network(stored):
    return load_headless(stored)


@pytest.fixture(scope="module")
def exported(stored):
    return Exported.read(stored, "Mend it.", sha256_of_file(stored))


def test_it_says_what_it_is_of(exported, stored, network):
    assert exported.model == sha256_of_file(stored)
    assert exported.trunk == Halves(network).identity
    assert (exported.length, exported.sizes) == (1280, "any")


@pytest.mark.parametrize("kind", ["pixels", "rows"])
def test_it_gives_the_bits_of_the_network_converted_on_the_spot(kind, exported, network):
    in_keras, inputs = network, pixels(5, 64)
    if kind == "rows":
        in_keras, inputs = Halves(network).after_trunk(), Halves(network).trunk()(inputs).numpy()
    wanted = compile_network(in_keras, engine="openvino", threads=2)(inputs)
    found = forward_of(exported, None, kind=kind)
    np.testing.assert_array_equal(found(inputs), wanted)
    assert found.name.startswith("OpenVINO")
    assert cosines(found(inputs), in_keras.predict(inputs, verbose=0)).min() >= 0.99999


def test_weights_that_both_graphs_have_are_stored_once(exported, network):
    numbers = sum(np.prod(weight.shape) for weight in network.weights)
    assert exported.weights.stat().st_size < 4.1 * numbers


@pytest.mark.parametrize("batch", [1, 2, 5, 32])
def test_a_vector_depends_on_its_picture_alone_to_the_last_bit(batch, exported):
    forward, given = forward_of(exported, None), pixels(33, 64)
    wanted = forward(given)
    for start in range(0, 33, batch):
        part = slice(start, start + batch)
        np.testing.assert_array_equal(forward(given[part]), wanted[part])
    for order in (np.random.default_rng(batch).permutation(33), np.arange(33)[::-1]):
        np.testing.assert_array_equal(forward(given[order]), wanted[order])


@pytest.mark.parametrize(
    ("backbone", "side", "pooling"),
    [
        ("ConvNeXtTiny", 32, "gem"),
        pytest.param("ResNet50", 64, "flatten", marks=slow),
        pytest.param("DenseNet121", 64, "avg", marks=slow),
        pytest.param("EfficientNetB0", 64, "max", marks=slow),
        pytest.param("EfficientNetLite2", 64, "rmac", marks=slow),
    ],
)
def test_every_backbone_gives_the_vectors_of_keras_wherever_a_picture_stands(
    backbone, side, pooling, tmp_path
):
    save(network_of(backbone, side, pooling), tmp_path / "model.keras")
    exported, given = Exported.read(tmp_path / "model.keras", ""), pixels(5, side)
    forward = forward_of(exported, None)
    wanted = load_headless(tmp_path / "model.keras").predict(given, verbose=0)
    assert cosines(forward(given), wanted).min() >= 0.99999
    np.testing.assert_array_equal(forward(given[1:4]), forward(given)[1:4])


# --- other sizes ------------------------------------------------------------------------------


def check_at_another_size(path, other):
    exported = Exported.read(path, "")
    resized = resize_input(load_headless(path), other)
    given = pixels(4, other)
    found = OpenVino(exported.network("pixels", other), 2)(given)
    assert cosines(found, resized.predict(given, verbose=0)).min() >= 0.99999
    np.testing.assert_array_equal(found, compile_network(resized, threads=2)(given))


def test_of_another_size_it_gives_what_keras_gives_at_that_size(stored):
    check_at_another_size(stored, 96)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "pooling", "side", "other"),
    [
        ("MobileNetV2", "max", 75, 43),
        ("ConvNeXtTiny", "avg", 32, 64),
        ("EfficientNetLite2", "avg", 68, 36),
        ("EfficientNetB0", "avg", 64, 96),
        ("InceptionV3", "avg", 96, 128),
        ("NASNetMobile", "avg", 96, 64),
        ("ResNet50", "avg", 50, 82),
        ("DenseNet121", "avg", 64, 96),
    ],
)
def test_of_another_size_every_backbone_gives_what_keras_gives_at_that_size(
    backbone, pooling, side, other, tmp_path
):
    save(network_of(backbone, side, pooling), tmp_path / "model.keras")
    check_at_another_size(tmp_path / "model.keras", other)


def test_regions_of_rmac_are_worked_out_by_keras_at_another_size(tmp_path):
    save(network_of("MobileNetV2", 96, "rmac"), tmp_path / "model.keras")
    exported = Exported.read(tmp_path / "model.keras", "")
    assert exported.sizes == "by Keras"
    resized = resize_input(load_headless(tmp_path / "model.keras"), 64)
    forward, given = forward_of(exported, resized, image_size=64), pixels(3, 64)
    assert forward.name.startswith("OpenVINO")
    assert cosines(forward(given), resized.predict(given, verbose=0)).min() >= 0.99999


def test_a_network_that_flattens_its_map_has_one_size(tmp_path):
    save(Scratch(96, "valid", HEAD).build(3), tmp_path / "model.keras")
    exported = Exported.read(tmp_path / "model.keras", "")
    assert (exported.sizes, exported.trunk, list(exported.expected)) == (
        "fixed",
        None,
        ["pixels", "maps"],
    )


# --- trunks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("freeze", ["block_16", "everything"])
def test_a_trunk_is_exported_with_its_identity_and_gives_the_rows_of_keras(freeze, tmp_path):
    settings = {"backbone": "MobileNetV2", "image_size": 64, "freeze_until": freeze}
    trunk, described = load_trunk(settings, None)
    export(tmp_path / "trunk.json", {("pixels",): trunk}, sizes="fixed", **described)
    exported = Exported.read(tmp_path / "trunk.json", "")
    network = Transfer("MobileNetV2", 64, freeze, "gem", HEAD).build(3, None)
    assert exported.model == Halves(network).identity
    forward, given = forward_of(exported, None), pixels(3, 64)
    np.testing.assert_allclose(forward(given), Halves(network).trunk()(given), rtol=1e-3, atol=1e-4)
    assert exported.length == forward(given).shape[1]


# --- what cannot be used ----------------------------------------------------------------------


@pytest.fixture
def copied(stored, tmp_path):
    for file in (stored, *export_files(stored)):
        shutil.copy(file, tmp_path)
    return tmp_path / "model.keras"


def refused(path, model=None):
    with pytest.raises(UserError) as refusal:
        Exported.read(path, "Mend it so.", model)
    message = str(refusal.value)
    assert message.endswith(" Mend it so.")
    return message


@pytest.mark.parametrize("suffix", [".xml", ".bin", ".json"])
def test_a_missing_file_is_named_with_the_mend(suffix, copied):
    copied.with_suffix(suffix).unlink()
    assert refused(copied) == f"{copied.with_suffix(suffix)} is missing. Mend it so."


@pytest.mark.parametrize("suffix", [".xml", ".bin"])
def test_a_file_that_was_altered_is_named_with_the_mend(suffix, copied):
    content = bytearray(copied.with_suffix(suffix).read_bytes())
    content[len(content) // 2] ^= 1
    copied.with_suffix(suffix).write_bytes(content)
    assert refused(copied).startswith(f"{copied.with_suffix(suffix)} is not the file that ")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"files": {}}'])
def test_a_damaged_description_is_named_with_the_mend(text, copied):
    copied.with_suffix(".json").write_text(text)
    assert refused(copied) == f"{copied.with_suffix('.json')} is damaged. Mend it so."


def test_what_is_of_another_training_is_refused(copied):
    message = refused(copied, "0" * 64)
    assert message.startswith(f"{copied.with_suffix('.json')} describes another network than ")


def test_other_numbers_than_those_of_keras_are_not_taken(copied, network):
    description = read_json(copied.with_suffix(".json"))
    description["expected"]["pixels"][0] = [1.01 * x for x in description["expected"]["pixels"][0]]
    write_json(copied.with_suffix(".json"), description)
    exported = Exported.read(copied, "")
    asked = []
    forward = compile_exported(
        exported, lambda: asked.append(1) or network, engine="auto", threads=2, xla=False
    )
    assert asked  # Keras converts it anew, and compares all of it
    given = pixels(2, 64)
    assert cosines(forward(given), network.predict(given, verbose=0)).min() >= 0.99999


def outside_openvino():
    """A network with an operation that OpenVINO does not have."""
    given = keras.Input((8, 8, 3))
    embedding = keras.layers.Flatten(name=EMBEDDING)(keras.ops.erfinv(given / 1000))
    return keras.Model(given, keras.layers.Dense(2)(embedding), name="odd")


def test_what_openvino_cannot_run_is_trained_all_the_same_and_run_by_tensorflow(tmp_path, caplog):
    save(outside_openvino(), tmp_path / "model.keras")
    assert "OpenVINO cannot run the network extractor (" in caplog.text
    assert "No conversion rule found for operations: Erfinv" in caplog.text
    exported = Exported.read(tmp_path / "model.keras", "")
    assert not exported.expected
    forward = forward_of(exported, load_headless(tmp_path / "model.keras"))
    assert forward.name.startswith("TensorFlow")
    assert forward(pixels(2, 8)).shape == (2, 192)


def test_a_network_that_has_diverged_is_exported_all_the_same(tmp_path):
    given = keras.Input((8, 8, 3))
    embedding = keras.layers.Rescaling(np.nan, name=EMBEDDING)(keras.layers.Flatten()(given))
    save(keras.Model(given, keras.layers.Dense(2)(embedding)), tmp_path / "model.keras")
    exported = Exported.read(tmp_path / "model.keras", "")
    assert exported.expected == {"pixels": None}
    assert np.isnan(forward_of(exported, None)(pixels(2, 8))).all()
