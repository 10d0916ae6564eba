"""gallerist.describer: files in, vectors of length 1 out, equal to Keras's own `predict`."""

import os
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import cv2
import keras
import numpy as np
import pytest

from gallerist import training
from gallerist.describer import Describer, ModelRefused
from gallerist.features import Features, check_comparable
from gallerist.files import sha256_of_file
from gallerist.images import BadImage
from gallerist.network import Head, Transfer
from gallerist.preprocessing import Preprocessing

SIDE, FEATURES = 32, 1280
HEAD = Head("published", 0.1, 999, 0.01, 0.01)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(3)
    return Transfer("MobileNetV2", SIDE, "everything", "avg", HEAD).build(3, None)


@pytest.fixture(scope="module")
def stored(network, tmp_path_factory):
    """model.keras and preprocessing.json, as a training leaves them."""
    folder = tmp_path_factory.mktemp("model")
    training.save(network, folder / "model.keras")
    Preprocessing(SIDE).write(folder / "preprocessing.json")
    return folder / "model.keras", folder / "preprocessing.json"


@pytest.fixture(scope="module")
def describer(stored):
    return Describer(*stored, threads=2)


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


def test_rows_have_length_1(describer, files):
    vectors = describer.describe(files)
    assert (vectors.shape, vectors.dtype) == ((9, FEATURES), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(float), axis=1), 1, atol=1e-6)


def test_vectors_are_those_of_keras_without_the_head(describer, files, expected):
    vectors = describer.describe(files)
    assert cosines(vectors, expected).min() >= 0.99999
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)
    others = expected @ expected.T - np.eye(9)
    assert others.max() < 0.99999  # so that a wrong order would be seen


@pytest.mark.parametrize("batch_size", [1, 2, 4, 9, 50])
def test_the_size_of_a_batch_changes_nothing(batch_size, describer, files, expected):
    vectors = describer.describe(files, batch_size=batch_size)
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)


def test_rows_stand_in_the_order_of_the_files(describer, files, expected):
    order = [4, 0, 8, 2, 2, 7]
    vectors = describer.describe([files[index] for index in order], batch_size=2)
    np.testing.assert_allclose(vectors, expected[order], rtol=0, atol=1e-5)


def test_no_files_give_no_rows(describer):
    vectors = describer.describe([])
    assert (vectors.shape, vectors.dtype) == ((0, FEATURES), np.float32)


def test_features_say_what_made_them(describer, stored, files):
    ids = [f"id{number}" for number in range(9)]
    features = describer.features(files, ids, batch_size=4)
    assert features.ids == tuple(ids)
    assert features.model == sha256_of_file(stored[0])
    assert features.preprocessing == Preprocessing(SIDE).sha256
    np.testing.assert_array_equal(features.vectors, describer.describe(files, batch_size=4))


def test_features_survive_their_files_and_compare_with_others_of_one_model(
    describer, files, tmp_path
):
    names = [tmp_path / name for name in ("v.npy", "ids.csv", "origin.json")]
    describer.features(files[:3], ["a", "b", "c"]).write(*names)
    check_comparable(Features.read(*names), describer.features(files[3:5], ["d", "e"]))
    assert Features.read(*names).vectors.shape == (3, FEATURES)


def test_an_all_zero_vector_stays_zero_and_is_counted(stored, files, tmp_path, caplog):
    pixels = keras.Input((SIDE, SIDE, 3))
    embedding = keras.layers.Rescaling(0.0, name="embedding")(keras.layers.Flatten()(pixels))
    training.save(keras.Model(pixels, keras.layers.Dense(2)(embedding)), tmp_path / "m.keras")
    features = Describer(tmp_path / "m.keras", stored[1], threads=1).features(files[:2], ["a", "b"])
    assert not features.vectors.any()
    assert "2 of 2 pictures have an all-zero feature vector" in caplog.messages


@pytest.mark.parametrize("position", [0, 4, 8])
def test_a_bad_picture_is_named(position, describer, files, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"<html>not found</html>")
    paths = [*files]
    paths[position] = str(bad)
    with pytest.raises(BadImage) as refusal:
        describer.describe(paths, batch_size=2)
    assert str(refusal.value) == f"{bad}: not an image: an HTML page (a download that failed?)"


# --- model files that cannot be used ----------------------------------------------------------


def refused(model, stored):
    with pytest.raises(ModelRefused) as refusal:
        Describer(model, stored[1], threads=1)
    message = str(refusal.value)
    assert message.startswith(f"{model} cannot be read as a trained network (")
    assert "train it again" in message
    assert "\n" not in message
    return message


def test_a_file_that_is_no_model_is_refused(stored, tmp_path):
    model = tmp_path / "model.keras"
    model.write_bytes(b"no ZIP archive")
    refused(model, stored)


def test_a_model_cut_off_is_refused(stored, tmp_path):
    model = tmp_path / "model.keras"
    model.write_bytes(stored[0].read_bytes()[:-5000])
    refused(model, stored)


def test_a_model_with_damaged_weights_is_refused(stored, tmp_path):
    model = tmp_path / "model.keras"
    with zipfile.ZipFile(stored[0]) as source, zipfile.ZipFile(model, "w") as copy:
        for name in source.namelist():
            content = source.read(name)
            copy.writestr(name, content if name.endswith(".json") else content[:4000])
    refused(model, stored)


def test_a_network_without_an_embedding_is_refused(stored, tmp_path):
    pixels = keras.Input((SIDE, SIDE, 3))
    keras.Model(pixels, keras.layers.Flatten()(pixels)).save(tmp_path / "model.keras")
    assert "embedding" in refused(tmp_path / "model.keras", stored)


def test_code_inside_a_model_is_not_run(stored, tmp_path):
    pixels = keras.Input((SIDE, SIDE, 3))
    embedding = keras.layers.Flatten(name="embedding")(keras.layers.Lambda(lambda x: x)(pixels))
    keras.Model(pixels, keras.layers.Dense(2)(embedding)).save(tmp_path / "model.keras")
    refused(tmp_path / "model.keras", stored)


def test_a_missing_model_is_named(stored, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.keras"):
        Describer(tmp_path / "gone.keras", stored[1], threads=1)
