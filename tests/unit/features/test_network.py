"""features.network: files or rows in, vectors of length 1 out, equal to Keras's `predict`."""

import json
import os
import shutil
import subprocess
import sys
import warnings
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import cv2
import keras
import numpy as np
import pytest

from gallerist.data.decoding import BadImage
from gallerist.data.manifest import Manifest, Picture
from gallerist.data.preprocessing import Preprocessing
from gallerist.features.network import NetworkExtractor
from gallerist.features.store import Features, normalise, write_features
from gallerist.features.views import Views, ViewsRefused
from gallerist.io.errors import UserError
from gallerist.io.files import sha256_of_file
from gallerist.networks.architectures import (
    EMBEDDING,
    Head,
    Scratch,
    Transfer,
    load_headless,
    resize_input,
    without_head,
)
from gallerist.networks.trunk import Halves
from gallerist.networks.trunk_rows import TrunkRows
from gallerist.training import loop as training

SIDE, FEATURES = 32, 1280
HEAD = Head("published", 0.1, 999, 0.01, 0.01)


def vectors_of(extractor, paths, **chosen):
    """All vectors as one array, of length 1."""
    return normalise(
        np.concatenate([np.empty((0, extractor.length)), *extractor.batches(paths, **chosen)])
    )


@pytest.fixture(scope="module")
def network():
    """Random weights, and moving averages as training would have set them; its trunk is frozen."""
    keras.utils.set_random_seed(3)
    network = Transfer("MobileNetV2", SIDE, "block_14", "avg", HEAD).build(3, None)
    backbone = network.get_layer("backbone").layer
    trainable = [layer.trainable for layer in backbone.layers]
    for layer in backbone.layers:
        layer.momentum, layer.trainable = 0.0, True
    clouds = np.random.default_rng(1).integers(0, 256, (64, 4, 4, 3)).repeat(8, 1).repeat(8, 2)
    backbone(clouds / 127.5 - 1, training=True)
    for layer, before in zip(backbone.layers, trainable, strict=True):
        layer.trainable = before
    return network


@pytest.fixture(scope="module")
def stored(network, tmp_path_factory):
    """model.keras and preprocessing.json, as a training leaves them."""
    folder = tmp_path_factory.mktemp("model")
    training.save(network, folder / "model.keras", Halves(network))
    Preprocessing(SIDE).write(folder / "preprocessing.json")
    return folder / "model.keras", folder / "preprocessing.json"


@pytest.fixture(scope="module")
def extractor(stored):
    return NetworkExtractor(*stored, threads=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Nine pictures of different sizes and formats, no two alike."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    paths = []
    for number in range(9):
        small = random.integers(0, 256, (3, 4, 3), dtype=np.uint8)
        pixels = cv2.resize(small, (30 + 5 * number, 60 - 4 * number))
        paths.append(str(folder / f"{number}.{'png' if number % 2 else 'jpg'}"))
        assert cv2.imwrite(paths[-1], pixels)
    return paths


@pytest.fixture(scope="module")
def expected(network, files):
    """Keras's `predict` of the network that was stored, without its head, divided by the length."""
    headless = keras.Model(network.inputs, network.get_layer("embedding").output)
    pixels = np.stack([Preprocessing(SIDE).load(path) for path in files])
    vectors = headless.predict(pixels, verbose=0).astype(np.float64)
    return vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))


def cosines(one, other):
    return (one.astype(np.float64) * other).sum(axis=1)


def test_rows_have_length_1(extractor, files):
    vectors = vectors_of(extractor, files)
    assert (vectors.shape, vectors.dtype) == ((9, FEATURES), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(float), axis=1), 1, atol=1e-6)


def test_vectors_are_those_of_keras_without_the_head(extractor, files, expected):
    vectors = vectors_of(extractor, files)
    assert cosines(vectors, expected).min() >= 0.99999
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)
    others = expected @ expected.T - np.eye(9)
    assert others.max() < 0.99999  # so that a wrong order would be seen


@pytest.mark.parametrize("batch_size", [1, 2, 4, 9, 50])
def test_the_size_of_a_batch_changes_nothing(batch_size, extractor, files, expected):
    vectors = vectors_of(extractor, files, batch_size=batch_size)
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)


def test_rows_stand_in_the_order_of_the_files(extractor, files, expected):
    order = [4, 0, 8, 2, 2, 7]
    vectors = vectors_of(extractor, [files[index] for index in order], batch_size=2)
    np.testing.assert_allclose(vectors, expected[order], rtol=0, atol=1e-5)


def test_no_files_give_no_rows(extractor):
    vectors = vectors_of(extractor, [])
    assert (vectors.shape, vectors.dtype) == ((0, FEATURES), np.float32)


def test_an_extractor_says_what_it_is(stored, files):
    extractor = NetworkExtractor(*stored, threads=1, engine="tensorflow")
    assert extractor.length == FEATURES
    assert extractor.model == sha256_of_file(stored[0])
    assert extractor.pictures == Preprocessing(SIDE)
    assert extractor.engine_name is None
    vectors_of(extractor, files[:1])
    assert extractor.engine_name.startswith("TensorFlow")


@pytest.mark.parametrize("settings", [{"engine": "tensorflow"}, {"engine": "tensorflow", "xla": 1}])
def test_each_engine_gives_the_same_vectors(settings, stored, files, expected):
    vectors = vectors_of(NetworkExtractor(*stored, threads=2, **settings), files, batch_size=4)
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)


def test_vectors_come_in_batches_and_the_engine_is_made_with_the_first(stored, files, expected):
    extractor = NetworkExtractor(*stored, threads=2)
    batches = extractor.batches(files, batch_size=4)
    assert extractor.engine_name is None
    first = next(batches)
    assert extractor.engine_name.startswith("OpenVINO")
    rest = list(batches)
    assert [len(batch) for batch in (first, *rest)] == [4, 4, 1]
    assert {batch.dtype for batch in (first, *rest)} == {np.dtype(np.float32)}
    vectors = normalise(np.concatenate([first, *rest]))
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("engine", ["auto", "tensorflow"])
def test_extraction_is_silent(engine, stored, files, capfd, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vectors_of(NetworkExtractor(*stored, threads=1, engine=engine), files)
    assert capfd.readouterr() == ("", "")
    assert not caplog.messages


def test_vectors_are_stored_as_they_come(extractor, files, expected, tmp_path):
    names = [tmp_path / name for name in ("v.npy", "i.csv", "o.json")]
    ids = [f"id{number}" for number in range(9)]
    batches = extractor.batches(files, batch_size=2)
    write_features(batches, ids, extractor, names)
    features = Features.read(*names)
    assert features.preprocessing == extractor.pictures.sha256
    assert features.ids == tuple(ids)
    np.testing.assert_allclose(features.vectors, expected, rtol=0, atol=1e-5)


def test_an_all_zero_vector_stays_zero(stored, files, tmp_path):
    pixels = keras.Input((SIDE, SIDE, 3))
    embedding = keras.layers.Rescaling(0.0, name="embedding")(keras.layers.Flatten()(pixels))
    training.save(keras.Model(pixels, keras.layers.Dense(2)(embedding)), tmp_path / "m.keras")
    assert not vectors_of(
        NetworkExtractor(tmp_path / "m.keras", stored[1], threads=1), files[:2]
    ).any()


def test_a_network_that_has_diverged_is_named(stored, files, tmp_path):
    pixels = keras.Input((SIDE, SIDE, 3))
    embedding = keras.layers.Rescaling(np.nan, name="embedding")(keras.layers.Flatten()(pixels))
    training.save(keras.Model(pixels, keras.layers.Dense(2)(embedding)), tmp_path / "m.keras")
    with pytest.raises(UserError, match="diverged"):
        vectors_of(NetworkExtractor(tmp_path / "m.keras", stored[1], threads=1), files[:2])


# --- rows of the trunk ------------------------------------------------------------------------


class TrunkOf:
    """The trunk of a network in Keras, in place of one that was exported."""

    def __init__(self, network, dtype="float32", model=None, preprocessing=None):
        self.pictures = preprocessing or Preprocessing(SIDE)
        self.model, self.preprocessing = model or Halves(network).identity, self.pictures.sha256
        self.network, self.dtype = Halves(network).trunk(), dtype
        self.length = self.network.output_shape[1]
        self.identity = [self.model, self.preprocessing, dtype]

    def batches(self, pictures):
        pixels = [Preprocessing(SIDE).load(getattr(each, "path", each)) for each in pictures]
        yield np.asarray(self.network(np.stack(pixels))).astype(self.dtype)


@pytest.fixture
def rows_of(network, files, tmp_path):
    """A function that gives rows of the nine files' pictures, five of them kept."""

    def make(**changes):
        ids = [f"id{number}" for number in range(9)]
        rows = zip(ids, map(str, files), strict=True)
        images = Manifest(
            tuple(Picture(name, path, "x", "gallery", name, 1, 1, "") for name, path in rows)
        )
        kept = TrunkRows(TrunkOf(network, **changes), tmp_path / "store").of(images)
        kept.fill(Manifest(images.pictures[2:7]))
        return kept

    return make


@pytest.mark.parametrize("engine", ["auto", "tensorflow"])
@pytest.mark.parametrize(("dtype", "error"), [("float32", 1e-5), ("float16", 1e-3)])
def test_rows_of_the_trunk_give_the_vectors_of_the_pictures(
    dtype, error, engine, stored, rows_of, expected, files
):
    extractor = NetworkExtractor(*stored, threads=2, engine=engine)
    extractor.rows = rows_of(dtype=dtype)
    batches = list(extractor.batches(files))
    assert batches[0].dtype == np.float32
    vectors = normalise(np.concatenate(batches))
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=error)


def refusal_of(extractor, rows, files, error=UserError):
    extractor.rows = rows
    with pytest.raises(error) as refused:
        next(extractor.batches(files))
    return str(refused.value)


def test_rows_of_another_trunk_are_refused_before_anything_is_computed(stored, rows_of, files):
    rows = rows_of(model="0" * 64)
    rows.trunk.network = None
    extractor = NetworkExtractor(*stored, threads=1)
    assert "other frozen layers" in refusal_of(extractor, rows, files)


def test_rows_of_differently_prepared_pictures_are_refused(stored, rows_of, files):
    rows = rows_of(preprocessing=Preprocessing(SIDE, max_pixels=10_000))
    extractor = NetworkExtractor(*stored, threads=1)
    assert "prepared in another way" in refusal_of(extractor, rows, files)


def test_a_network_without_a_trunk_has_no_use_for_rows(rows_of, files, tmp_path):
    training.save(Scratch(96, "valid", HEAD).build(3), tmp_path / "model.keras")
    Preprocessing(96).write(tmp_path / "preprocessing.json")
    extractor = NetworkExtractor(
        tmp_path / "model.keras", tmp_path / "preprocessing.json", threads=1
    )
    assert "has no backbone" in refusal_of(extractor, rows_of(), files, ValueError)


def test_rows_of_the_trunk_are_refused_for_other_views(stored, rows_of, files):
    extractor = NetworkExtractor(*stored, threads=1, views=Views(flip=True))
    assert "extract from the pictures" in refusal_of(extractor, rows_of(), files, ViewsRefused)


# --- several views ----------------------------------------------------------------------------

BOTH_SIZES = Views(flip=True, scales=(1.0, 2.0))


@pytest.fixture(scope="module")
def seen(network, files):
    """Of each look, unit vectors by Keras, of a network built for the size and given the weights.

    Looks are (pixels a side, whether mirrored).
    """
    vectors = {}
    for size in (SIDE, 2 * SIDE):
        built = Transfer("MobileNetV2", size, "nothing", "avg", HEAD).build(3, None)
        built.set_weights(network.get_weights())
        pixels = np.stack([Preprocessing(size).load(path) for path in files])
        for mirrored in (False, True):
            looks = np.flip(pixels, axis=2) if mirrored else pixels
            rows = without_head(built).predict(looks, verbose=0).astype(np.float64)
            vectors[size, mirrored] = rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return vectors


@pytest.mark.parametrize(
    ("views", "looks"),
    [
        (Views(flip=True), [(SIDE, False), (SIDE, True)]),
        (Views(scales=(2.0,)), [(2 * SIDE, False)]),
        (Views(scales=(2.0, 1.0)), [(SIDE, False), (2 * SIDE, False)]),
        (BOTH_SIZES, [(SIDE, False), (SIDE, True), (2 * SIDE, False), (2 * SIDE, True)]),
    ],
    ids=["flip", "larger", "two sizes", "both"],
)
def test_the_vector_is_the_mean_of_the_unit_vectors_of_all_views(
    views, looks, stored, files, seen, expected
):
    described = NetworkExtractor(*stored, threads=2, views=views).batches(files, batch_size=4)
    batches = list(described)
    assert [len(batch) for batch in batches] == [4, 4, 1]
    assert {batch.dtype for batch in batches} == {np.dtype(np.float32)}
    vectors = np.concatenate(batches)
    mean = np.mean([seen[look] for look in looks], axis=0)
    np.testing.assert_allclose(vectors, mean, rtol=0, atol=1e-5)
    assert np.abs(vectors - expected).max() > 1e-3  # so that views left out would be seen
    assert (np.linalg.norm(vectors, axis=1) < 1 + 1e-6).all()


def test_each_engine_sees_the_same_views(stored, files, seen):
    extractor = NetworkExtractor(*stored, threads=2, engine="tensorflow", views=BOTH_SIZES)
    mean = normalise(np.mean(list(seen.values()), axis=0))
    np.testing.assert_allclose(vectors_of(extractor, files), mean, rtol=0, atol=1e-5)
    assert extractor.engine_name.startswith("TensorFlow")


@pytest.mark.parametrize("views", [Views(), Views(scales=(1.1,))], ids=["one", "same size"])
def test_the_plain_view_gives_exactly_what_no_views_give(views, stored, extractor, files):
    plain = NetworkExtractor(*stored, threads=2, views=views)
    found, wanted = (np.concatenate(list(each.batches(files))) for each in (plain, extractor))
    np.testing.assert_array_equal(found, wanted)
    assert plain.preprocessing == extractor.pictures.sha256


def test_a_picture_and_its_mirror_image_have_one_vector_where_both_are_looked_at(
    stored, files, tmp_path
):
    pixels = cv2.resize(cv2.imread(files[3]), (SIDE, SIDE))
    pair = [str(tmp_path / "one.png"), str(tmp_path / "other.png")]
    assert cv2.imwrite(pair[0], pixels)
    assert cv2.imwrite(pair[1], pixels[:, ::-1])
    once = vectors_of(NetworkExtractor(*stored, threads=1), pair)
    both = vectors_of(NetworkExtractor(*stored, threads=1, views=Views(flip=True)), pair)
    np.testing.assert_allclose(both[0], both[1], rtol=0, atol=1e-6)
    assert np.abs(once[0] - once[1]).max() > 1e-3


def test_features_of_other_views_have_another_origin(stored):
    origins = {
        NetworkExtractor(*stored, threads=1, views=views).preprocessing
        for views in (None, Views(flip=True), Views(scales=(2.0,)), BOTH_SIZES)
    }
    assert len(origins) == 4


def test_a_bad_picture_is_named_with_several_views_too(stored, files, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"<html>not found</html>")
    extractor = NetworkExtractor(*stored, threads=2, views=BOTH_SIZES)
    with pytest.raises(BadImage, match=r"bad\.jpg: not an image"):
        vectors_of(extractor, [*files[:3], bad], batch_size=2)


def test_a_network_of_one_size_takes_a_flip_and_refuses_another_scale(files, tmp_path):
    training.save(Scratch(96, "valid", HEAD).build(3), tmp_path / "model.keras")
    Preprocessing(96).write(tmp_path / "preprocessing.json")
    stored = tmp_path / "model.keras", tmp_path / "preprocessing.json"
    flipped = vectors_of(NetworkExtractor(*stored, threads=1, views=Views(flip=True)), files[:2])
    assert np.isfinite(flipped).all()
    with pytest.raises(ViewsRefused, match="flattens its last feature map"):
        NetworkExtractor(*stored, threads=1, views=Views(scales=(1.0, 1.5)))


# --- without Keras and TensorFlow -------------------------------------------------------------

BY_ITSELF = """
import sys, numpy as np
from gallerist.features.network import NetworkExtractor
from gallerist.features.views import Views
from gallerist.figures.grad_cam import SimilarityMaps
from gallerist.networks import trunk_rows
from gallerist.networks.inference import prepare
assert prepare(engine="auto", threads=1, gpu_precision="float32") == "CPU, 1 thread"
model, preprocessing, out, *files = sys.argv[1:]
for views in (None, Views(flip=True, scales=(1.0, 2.0))):
    extractor = NetworkExtractor(model, preprocessing, threads=1, views=views)
    vectors = np.concatenate(list(extractor.batches(files)))
    if views is None:
        np.save(out, vectors)
        extractor._compile("rows")
        pixels = extractor.pictures.load(files[0])
        assert SimilarityMaps(*extractor.feature_maps())(pixels, pixels).cosine > 0.999
loaded = {"tensorflow", "keras", "scipy", "sklearn", "pandas", "matplotlib"} & set(sys.modules)
sys.exit(f"loaded: {loaded}" if loaded else 0)
"""


def test_a_process_that_extracts_and_explains_loads_neither_and_gives_the_same_bits(
    extractor, stored, files, tmp_path
):
    command = [sys.executable, "-c", BY_ITSELF, *stored, tmp_path / "vectors.npy", *files]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        capture_output=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    wanted = np.concatenate(list(extractor.batches(files)))
    np.testing.assert_array_equal(np.load(tmp_path / "vectors.npy"), wanted)


def test_a_vector_is_that_of_its_picture_alone_to_the_last_bit(extractor, files):
    together = np.concatenate(list(extractor.batches(files)))
    for size in (1, 2, 5):
        apart = np.concatenate(list(extractor.batches(files[::-1], batch_size=size)))
        np.testing.assert_array_equal(apart[::-1], together)


@pytest.mark.parametrize("suffix", [".xml", ".bin", ".json"])
def test_without_what_was_exported_the_user_learns_what_to_do(suffix, stored, tmp_path):
    for file in stored[0].parent.iterdir():
        shutil.copy(file, tmp_path)
    gone = tmp_path / f"model{suffix}"
    gone.unlink()
    files = tmp_path / "model.keras", tmp_path / "preprocessing.json"
    with pytest.raises(UserError) as refusal:
        NetworkExtractor(*files, threads=1)
    message = str(refusal.value)
    assert message.startswith(f"{gone} is missing. Remove {files[0]} and run the workflow")


def test_a_network_of_another_training_than_what_was_exported_is_refused(stored, tmp_path):
    for file in stored[0].parent.iterdir():
        shutil.copy(file, tmp_path)
    training.save(Scratch(96, "valid", HEAD).build(3), tmp_path / "other.keras")
    (tmp_path / "other.keras").replace(tmp_path / "model.keras")
    with pytest.raises(UserError, match=r"model\.json describes another network than .*Remove "):
        NetworkExtractor(tmp_path / "model.keras", stored[1], threads=1)


# --- what cannot be used ----------------------------------------------------------------------


@pytest.mark.parametrize("position", [0, 4, 8])
def test_a_bad_picture_is_named(position, extractor, files, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"<html>not found</html>")
    paths = [*files]
    paths[position] = str(bad)
    with pytest.raises(BadImage) as refusal:
        vectors_of(extractor, paths, batch_size=2)
    assert str(refusal.value) == f"{bad}: not an image: an HTML page (a download that failed?)"


def refused(model):
    with pytest.raises(UserError) as refusal:
        load_headless(model)
    message = str(refusal.value)
    assert message.startswith(f"{model} cannot be read as a trained network (")
    assert "train it again" in message
    assert "\n" not in message
    return message


def test_a_file_that_is_no_model_is_refused(stored, tmp_path):
    model = tmp_path / "model.keras"
    model.write_bytes(b"no ZIP archive")
    refused(model)


def test_a_model_cut_off_is_refused(stored, tmp_path):
    model = tmp_path / "model.keras"
    model.write_bytes(stored[0].read_bytes()[:-5000])
    refused(model)


def test_a_model_with_damaged_weights_is_refused(stored, tmp_path):
    model = tmp_path / "model.keras"
    with zipfile.ZipFile(stored[0]) as source, zipfile.ZipFile(model, "w") as copy:
        for name in source.namelist():
            content = source.read(name)
            copy.writestr(name, content if name.endswith(".json") else content[:4000])
    refused(model)


def test_a_network_without_an_embedding_is_refused(stored, tmp_path):
    pixels = keras.Input((SIDE, SIDE, 3))
    keras.Model(pixels, keras.layers.Flatten()(pixels)).save(tmp_path / "model.keras")
    assert "embedding" in refused(tmp_path / "model.keras")


@pytest.fixture
def with_code(tmp_path):
    """A model that writes a file when the code in it is run, and that file."""
    sign, model = tmp_path / "sign", tmp_path / "model.keras"

    # Only of a lambda does Keras store the code, and nothing of what is around it.
    code = eval(f"lambda x: (open({str(sign)!r}, 'w').write('run'), x)[1]")
    pixels = keras.Input((SIDE, SIDE, 3))
    layer = keras.layers.Lambda(code)
    embedding = keras.layers.Flatten(name="embedding")(layer(pixels))
    keras.Model(pixels, keras.layers.Dense(2)(embedding)).save(model)
    sign.unlink()
    return model, sign


def test_code_inside_a_model_is_not_run(stored, with_code):
    model, sign = with_code
    refused(model)
    assert not sign.exists()
    # It would have been: this is what an unsafe load of the same file does.
    keras.models.load_model(model, compile=False, safe_mode=False)
    assert sign.read_text() == "run"


@pytest.mark.parametrize(
    "called",
    [("builtins", "exec"), ("os", "system"), ("subprocess", "check_call")],
    ids=lambda called: called[1],
)
def test_a_model_that_names_a_function_of_python_does_not_get_it(stored, tmp_path, called):
    """As in CVE-2025-1550, where the configuration of a layer named any function to be called."""
    module, name = called
    sign, model = tmp_path / "sign", tmp_path / "model.keras"
    argument = {
        "exec": f"open({str(sign)!r}, 'w').write('run')",
        "system": f"touch {sign}",
        "check_call": ["touch", str(sign)],
    }[name]
    with zipfile.ZipFile(stored[0]) as source, zipfile.ZipFile(model, "w") as copy:
        for each in source.namelist():
            content = source.read(each)
            if each == "config.json":
                network = json.loads(content)
                network["config"]["layers"].append(
                    {
                        "module": module, "class_name": "function", "config": name,
                        "registered_name": name, "name": "harmless", "build_config": None,
                        "inbound_nodes": [{"args": [argument], "kwargs": {}}],
                    }
                )  # fmt: skip
                content = json.dumps(network)
            copy.writestr(each, content)
    refused(model)
    assert not sign.exists()


def test_a_missing_model_is_named(stored, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.keras"):
        NetworkExtractor(tmp_path / "gone.keras", stored[1], threads=1)


# Other sizes: the network that a build at the other size gives, with the weights.

SIZED_HEAD = Head("standard", 0.1, 999, 0.01, 0.01)


def pictures(count, side):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def built(name, side, pooling):
    return Transfer(name, side, "everything", pooling, SIZED_HEAD).build(3, None)


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
    found = resize_input(without_head(network), other)
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
    before, identity = network(pixels).numpy(), Halves(network).identity
    other = resize_input(network, 96)
    assert other.get_layer(EMBEDDING) is network.get_layer(EMBEDDING)
    at_first = other(pictures(2, 96)).numpy()
    network.get_layer(EMBEDDING).p.assign(5.0)  # one weight of both
    assert np.abs(other(pictures(2, 96)).numpy() - at_first).max() > 0.01
    network.get_layer(EMBEDDING).p.assign(3.0)
    np.testing.assert_array_equal(network(pixels).numpy(), before)
    assert Halves(network).identity == identity


@pytest.mark.parametrize(
    "architecture",
    [
        Transfer("MobileNetV2", 32, "everything", "flatten", SIZED_HEAD),  # a map of 1x1, even
        Scratch(96, "valid", SIZED_HEAD),
    ],
)
def test_a_network_that_flattens_its_map_is_refused(architecture):
    with pytest.raises(ValueError, match="flattens its last map"):
        resize_input(without_head(architecture.build(3, None)), 64)
