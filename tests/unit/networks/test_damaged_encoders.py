"""Encoders of strangers, damaged: used, or refused in one message that names the file."""

import os
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import onnx
import pytest
from damage import refusals
from onnx import TensorProto, helper, numpy_helper
from peak_memory import growth_below, needs_linux

from gallerist.networks.keras_encoder import import_keras
from gallerist.networks.onnx_encoder import import_onnx
from gallerist.settings.encoders import KerasFile, Onnx

SIDE = 16
SCALED = {"mean": [120.0, 110.0, 100.0], "deviation": [50.0, 60.0, 70.0]}

FEW = 25
MANY = pytest.param(2_000, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])
MEGABYTES = 400
"""That the process may grow by: OpenVINO and Keras keep what they have compiled."""


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    kernel = np.random.default_rng(1).normal(size=(2, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["pixels_in", "w"], ["maps"], strides=[2, 2]),
            helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["vector"]),
        ],
        "encoder",
        [helper.make_tensor_value_info("pixels_in", TensorProto.FLOAT, (1, 3, SIDE, SIDE))],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(kernel, "w")],
    )
    path = tmp_path_factory.mktemp("onnx") / "encoder.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    pixels = keras.Input((SIDE, SIDE, 3))
    maps = keras.layers.Conv2D(2, 3, strides=2, activation="relu")(pixels)
    path = tmp_path_factory.mktemp("keras") / "encoder.keras"
    keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(maps)).save(path)
    return path


@needs_linux
@pytest.mark.parametrize("count", [FEW, MANY])
def test_a_damaged_onnx_file_is_used_or_refused(tmp_path, onnx_file, count):
    (tmp_path / "made").mkdir()
    settings = Onnx(network="onnx", file="x", **SCALED).model_dump()

    path = tmp_path / "damaged.onnx"

    def read(content):
        path.write_bytes(content)
        import_onnx(path, settings, tmp_path / "made" / "model.json")

    read(onnx_file.read_bytes())
    with growth_below(MEGABYTES):
        refused = refusals(onnx_file.read_bytes(), read, count)
    assert len(refused) > count // 10
    assert all(str(path) in each and "\n" not in each for each in refused)


@needs_linux
@pytest.mark.parametrize("count", [FEW, MANY])
@pytest.mark.parametrize("member", [None, "config.json", "metadata.json", "model.weights.h5"])
def test_a_damaged_keras_file_is_used_or_refused(tmp_path, keras_file, member, count):
    """member: what is damaged in an archive that is whole; None for the archive itself."""
    (tmp_path / "made").mkdir()
    settings = KerasFile(network="keras", file="x", **SCALED).model_dump()
    with zipfile.ZipFile(keras_file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    path = tmp_path / "damaged.keras"

    def read(content):
        if member is not None:
            with zipfile.ZipFile(path, "w") as archive:
                for name, held in members.items():
                    archive.writestr(name, content if name == member else held)
        else:
            path.write_bytes(content)
        import_keras(path, settings, tmp_path / "made" / "model.keras")

    content = keras_file.read_bytes() if member is None else members[member]
    read(content)
    with growth_below(MEGABYTES):
        refused = refusals(content, read, count)
    assert len(refused) > count // 10 or member == "metadata.json"
    assert all(str(path) in each and "\n" not in each for each in refused)
