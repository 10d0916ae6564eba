"""networks.onnx_encoder: an ONNX file as an extractor, equal to ONNX Runtime; what is refused."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from gallerist.data.preprocessing import Preprocessing
from gallerist.features.network import NetworkExtractor
from gallerist.io.errors import UserError
from gallerist.networks.onnx_encoder import import_onnx
from gallerist.settings.encoders import Onnx

SIDE, CHANNELS = 16, 5
MEAN, DEVIATION = [120.0, 110.0, 100.0], [50.0, 60.0, 70.0]
SCALED = {"mean": MEAN, "deviation": DEVIATION}


def settings_of(**given):
    return Onnx(network="onnx", **given).model_dump()


def write(path, nodes, outputs, *, shape=(1, 3, SIDE, SIDE), weights=(), metadata=None, domain=""):
    kernel = np.random.default_rng(1).normal(size=(CHANNELS, 3, 3, 3)).astype(np.float32)
    given = [numpy_helper.from_array(kernel, "w"), *weights]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("pixels_in", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [each for each in given if any(each.name in node.input for node in nodes)],
    )
    operators = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(graph, opset_imports=operators, ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path


CONVOLVED = helper.make_node("Conv", ["pixels_in", "w"], ["maps"])
POOLED = helper.make_node("GlobalAveragePool", ["maps"], ["pooled"])
FLAT = helper.make_node("Flatten", ["pooled"], ["vector"])
NETWORK = [CONVOLVED, POOLED, FLAT]


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


def scaled(paths):
    """(n, 3, h, w) float32 in RGB order, as the field scales pixels."""
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths]).astype(np.float32)
    return ((pixels - MEAN) / DEVIATION).transpose(0, 3, 1, 2).astype(np.float32)


def by_onnx_runtime(path, arrays, output):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run([output], {"pixels_in": each[None]})[0] for each in arrays])


def extractor_of(file, folder, **settings):
    used = import_onnx(file, settings_of(file=str(file), **settings), folder / "model.json")
    pictures = Preprocessing(used.image_size, resizing=used.resizing, crop_ratio=used.crop_ratio)
    pictures.write(folder / "preprocessing.json")
    return NetworkExtractor(folder / "model.xml", folder / "preprocessing.json", threads=1)


def vectors_of(extractor, paths):
    return np.concatenate([*extractor.batches(paths)])


def refusal(file, folder, **settings):
    with pytest.raises(UserError) as caught:
        import_onnx(file, settings_of(file=str(file), **{**SCALED, **settings}), folder / "m.json")
    message = str(caught.value)
    assert "\n" not in message
    assert str(file) in message
    return message


@pytest.mark.parametrize("batch", [1, "n"])
def test_vectors_are_those_of_onnx_runtime(tmp_path, pictures, batch):
    file = write(tmp_path / "a.onnx", NETWORK, ["vector"], shape=(batch, 3, SIDE, SIDE))
    extractor = extractor_of(file, tmp_path, **SCALED)
    wanted = by_onnx_runtime(file, scaled(pictures), "vector")
    np.testing.assert_allclose(vectors_of(extractor, pictures), wanted, rtol=1e-4, atol=1e-5)
    assert extractor.length == CHANNELS


def test_a_network_that_fixes_the_number_of_pictures_is_run_so(tmp_path, pictures):
    """Its reshape to one row would join two pictures."""
    shape = numpy_helper.from_array(np.array([1, CHANNELS]), "shape")
    nodes = [CONVOLVED, POOLED, helper.make_node("Reshape", ["pooled", "shape"], ["vector"])]
    file = write(tmp_path / "one.onnx", nodes, ["vector"], weights=[shape])
    extractor = extractor_of(file, tmp_path, **SCALED)
    wanted = by_onnx_runtime(file, scaled(pictures), "vector")
    np.testing.assert_allclose(vectors_of(extractor, pictures), wanted, rtol=1e-4, atol=1e-5)


def test_channels_last_and_blue_first_are_what_they_say(tmp_path, pictures):
    turned = helper.make_node("Transpose", ["pixels_in"], ["turned"], perm=[0, 3, 1, 2])
    convolved = helper.make_node("Conv", ["turned", "w"], ["maps"])
    file = write(
        tmp_path / "nhwc.onnx", [turned, convolved, POOLED, FLAT], ["vector"],
        shape=("n", SIDE, SIDE, 3),
    )  # fmt: skip
    extractor = extractor_of(file, tmp_path, **SCALED, channels="bgr")
    arrays = scaled(pictures)[:, ::-1].transpose(0, 2, 3, 1)
    wanted = by_onnx_runtime(file, np.ascontiguousarray(arrays), "vector")
    np.testing.assert_allclose(vectors_of(extractor, pictures), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("pooling", "pooled"),
    [
        ("avg", lambda maps: maps.mean(axis=(2, 3))),
        ("max", lambda maps: maps.max(axis=(2, 3))),
        ("flatten", lambda maps: maps.reshape(len(maps), -1)),
    ],
)
def test_a_named_output_is_pooled(tmp_path, pictures, pooling, pooled):
    file = write(tmp_path / "maps.onnx", NETWORK, ["vector", "maps"], shape=("n", 3, "h", "w"))
    chosen = {"output": "maps", "pooling": pooling, "image_size": 32}
    for path in pictures:
        Image.open(path).resize((32, 32), Image.Resampling.NEAREST).save(path)
    extractor = extractor_of(file, tmp_path, **SCALED, **chosen)
    wanted = pooled(by_onnx_runtime(file, scaled(pictures), "maps"))
    np.testing.assert_allclose(vectors_of(extractor, pictures), wanted, rtol=1e-4, atol=1e-4)


def test_the_first_token_is_taken(tmp_path, pictures):
    shape = numpy_helper.from_array(np.array([0, 14 * 14, CHANNELS]), "shape")
    nodes = [
        CONVOLVED,
        helper.make_node("Transpose", ["maps"], ["turned"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["turned", "shape"], ["tokens"]),
    ]
    file = write(tmp_path / "tokens.onnx", nodes, ["tokens"], weights=[shape])
    extractor = extractor_of(file, tmp_path, **SCALED, pooling="first")
    wanted = by_onnx_runtime(file, scaled(pictures), "tokens")[:, 0]
    np.testing.assert_allclose(vectors_of(extractor, pictures), wanted, rtol=1e-4, atol=1e-4)


def test_a_tensor_before_the_classifier_is_taken_by_its_name(tmp_path, pictures):
    head = numpy_helper.from_array(np.ones((CHANNELS, 2), np.float32), "head")
    nodes = [*NETWORK, helper.make_node("MatMul", ["vector", "head"], ["classes"])]
    file = write(tmp_path / "classifier.onnx", nodes, ["classes"], weights=[head])
    extractor = extractor_of(file, tmp_path, **SCALED, output="vector")
    plain = write(tmp_path / "plain.onnx", NETWORK, ["vector"])
    wanted = by_onnx_runtime(plain, scaled(pictures), "vector")
    np.testing.assert_allclose(vectors_of(extractor, pictures), wanted, rtol=1e-4, atol=1e-5)


def test_what_the_configuration_leaves_open_is_read_from_the_metadata(tmp_path):
    ours = {"mean": str(MEAN), "deviation": str(DEVIATION), "resizing": "crop", "crop_ratio": "0.9"}
    file = write(tmp_path / "ours.onnx", NETWORK, ["vector"], metadata=ours)
    used = import_onnx(file, settings_of(file=str(file)), tmp_path / "model.json")
    assert (used.mean, used.deviation) == (tuple(MEAN), tuple(DEVIATION))
    assert (used.resizing, used.crop_ratio, used.layout) == ("crop", 0.9, "NCHW")
    onnx_own = {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "Normalized_1_1"}
    file = write(tmp_path / "own.onnx", NETWORK, ["vector"], metadata=onnx_own)
    used = import_onnx(file, settings_of(file=str(file), resizing="pad"), tmp_path / "model.json")
    assert (used.channels, used.mean, used.deviation) == ("bgr", (127.5,) * 3, (127.5,) * 3)
    assert used.resizing == "pad"


def test_the_identity_is_of_content_and_preparation(tmp_path):
    def identity(file, **settings):
        return extractor_of(file, tmp_path, **{**SCALED, **settings}).model

    file = write(tmp_path / "a.onnx", NETWORK, ["vector"])
    plain = identity(file)
    assert identity(file) == plain
    assert identity(file.rename(tmp_path / "b.onnx")) == plain
    file = tmp_path / "b.onnx"
    assert identity(file, mean=[0.0, 0.0, 0.0]) != plain
    assert identity(file, channels="bgr") != plain


def with_data_in(path, location, kernel):
    """A file whose kernel lies in another."""
    write(path, NETWORK, ["vector"])
    model = onnx.load(path)
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", str(location)
    path.write_bytes(model.SerializeToString())
    (path.parent / location).write_bytes(kernel.tobytes())
    return path


def test_weights_beside_the_file_are_read_and_belong_to_the_identity(tmp_path, pictures):
    ones = np.ones((CHANNELS, 3, 3, 3), np.float32)
    file = with_data_in(tmp_path / "a.onnx", "a.onnx.data", ones)
    extractor = extractor_of(file, tmp_path, **SCALED)
    wanted = by_onnx_runtime(file, scaled(pictures), "vector")
    np.testing.assert_allclose(vectors_of(extractor, pictures), wanted, rtol=1e-4, atol=1e-4)
    (tmp_path / "a.onnx.data").write_bytes((2 * ones).tobytes())
    assert extractor_of(file, tmp_path, **SCALED).model != extractor.model


def test_data_outside_the_folder_is_refused(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    ones = np.ones((CHANNELS, 3, 3, 3), np.float32)
    file = with_data_in(folder / "a.onnx", "../outside.bin", ones)
    assert "outside the base directory" in refusal(file, tmp_path)


def test_operators_of_anybody_else_are_refused_by_name(tmp_path):
    nodes = [helper.make_node("Secret", ["pixels_in"], ["vector"], domain="com.example")]
    file = write(tmp_path / "custom.onnx", nodes, ["vector"], domain="com.example")
    assert "com.example.Secret" in refusal(file, tmp_path)


def test_what_is_not_said_is_asked_for(tmp_path):
    file = write(tmp_path / "open.onnx", NETWORK, ["vector"], shape=("n", 3, "h", "w"))
    assert "say which by image_size" in refusal(file, tmp_path)
    assert "give mean, three numbers" in refusal(file, tmp_path, image_size=32, mean=None)
    file = write(tmp_path / "two.onnx", NETWORK, ["vector", "maps"])
    assert "name one by output (vector, maps)" in refusal(file, tmp_path)
    assert "no output 'mops': it has vector, maps" in refusal(file, tmp_path, output="mops")
    assert "it takes pictures of 16x16" in refusal(file, tmp_path, output="vector", image_size=64)
    assert "pooling: first is of tokens" in refusal(file, tmp_path, output="maps", pooling="first")


def test_what_is_no_onnx_file_is_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("no network", encoding="utf-8")
    assert "cannot be used as an encoder" in refusal(tmp_path / "text.onnx", tmp_path)
