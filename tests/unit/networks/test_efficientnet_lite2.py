"""The Keras network gives what the original PyTorch implementation gives, without PyTorch."""

import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from checkout import HELPERS, SHARED
from PIL import Image

from gallerist.io.errors import UserError
from gallerist.io.files import read_json
from gallerist.networks import efficientnet_lite2
from gallerist.networks.efficientnet_lite2 import (
    FEATURES,
    IMAGE_SIZE,
    INPUT_MEAN,
    INPUT_SCALE,
    build,
    load_imagenet_weights,
    read_state_dict,
    weights_file,
)

REFERENCE = read_json(HELPERS / "efficientnet_lite2_reference.json")


@pytest.fixture(scope="module")
def pretrained():
    """The network for any image size, with the ImageNet weights."""
    model = build((None, None, 3))
    assert load_imagenet_weights(model) == REFERENCE["weights_sha256"]
    return model


@cache
def state_dict():
    return read_state_dict(weights_file())


@cache
def untrained():
    return build((64, 64, 3))


def reference_picture(side: int) -> np.ndarray:
    """The picture of the reference file, (1, side, side, 3), normalised."""
    row, column, channel = np.ogrid[:side, :side, :3]
    pixels = (7 * row + 13 * column + 29 * channel + row * column) % 255
    return ((pixels - INPUT_MEAN) / INPUT_SCALE).astype(np.float32)[None]


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: f"{case['side']}px")
def test_features_equal_those_of_the_original_implementation(pretrained, case):
    features = pretrained(reference_picture(case["side"]), training=False).numpy()
    assert list(features.shape[1:]) == case["feature_map"]
    pooled = features.mean((1, 2))[0]
    np.testing.assert_allclose(pooled[::20], case["pooled_every_20th"], atol=1e-4)
    logits = state_dict()["_fc.weight"] @ pooled + state_dict()["_fc.bias"]
    np.testing.assert_allclose(logits[::50], case["logits_every_50th"], atol=5e-4)


def test_the_weights_file_is_the_one_whose_hash_its_name_begins_with():
    digest = hashlib.sha256(weights_file().read_bytes()).hexdigest()
    assert weights_file().stem.endswith(digest[:8])


def test_the_state_dict_is_read_without_pytorch_and_without_tensorflow():
    program = (
        "import sys;"
        "from gallerist.networks.efficientnet_lite2 import read_state_dict, weights_file;"
        "d = read_state_dict(weights_file());"
        "print(len(d), sorted({'torch', 'tensorflow', 'keras'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ).stdout
    assert answer.split(maxsplit=1) == [str(len(state_dict())), "[]\n"]


def test_every_tensor_of_the_file_is_used_but_the_classifier_and_the_counters():
    sources = {source for _, source in efficientnet_lite2._layer_sources()}
    unused = {name for name in state_dict() if name.rpartition(".")[0] not in sources}
    assert unused == {"_fc.weight", "_fc.bias"}


def test_the_network_has_the_published_number_of_parameters():
    # 6,092,072 weights and biases with the classifier of 1280 x 1000 + 1000, as PyTorch counts.
    trainable = sum(int(np.prod(w.shape)) for w in untrained().trainable_weights)
    of_file = sum(
        array.size for name, array in state_dict().items() if name.endswith((".weight", ".bias"))
    )
    assert trainable + 1280 * 1000 + 1000 == of_file == 6_092_072


def test_layers_are_found_by_the_prefix_of_their_stage():
    names = [layer.name for layer in untrained().layers[1:]]
    stages = [name.split("_")[0] for name in names]
    expected = ["stem", *(f"block{n}{c}" for n, count in enumerate((1, 3, 3, 4, 4, 5, 1), 1)
                          for c in "abcde"[:count]), "top"]  # fmt: skip
    assert list(dict.fromkeys(stages)) == expected
    assert stages == sorted(stages, key=expected.index), "a stage's layers stand together"


def test_layer_names_are_those_of_keras_applications():
    lite = {layer.name for layer in untrained().layers[1:]}
    reference = keras.applications.EfficientNetB2(weights=None, include_top=False)
    known = {layer.name for layer in reference.layers}
    # B2 has a second block in the first and last stage, squeeze-and-excitation, and dropout.
    assert lite <= known


@pytest.mark.parametrize(("height", "width"), [(33, 64), (224, 97)])
def test_any_image_size_gives_a_map_of_a_32nd_rounded_up(height, width):
    assert build((height, width, 3)).output_shape == (
        None,
        -(-height // 32),
        -(-width // 32),
        FEATURES,
    )


def test_layers_do_not_start_from_the_same_numbers():
    keras.utils.set_random_seed(1)
    model = build((64, 64, 3))
    first, second = (
        model.get_layer(f"block2{letter}_project_conv").kernel.numpy().ravel() for letter in "bc"
    )
    assert np.abs(first - second).max() > 1e-3


def test_the_model_survives_being_saved(pretrained, tmp_path):
    pretrained.save(tmp_path / "trunk.keras")
    again = keras.models.load_model(tmp_path / "trunk.keras")
    picture = reference_picture(65)
    np.testing.assert_array_equal(again(picture), pretrained(picture))


def test_a_model_of_another_shape_is_refused_and_left_as_it_was(monkeypatch):
    model = untrained()
    before = [array.copy() for array in model.get_weights()]
    tensors = {**state_dict(), "_bn1.running_var": np.ones(7, np.float32)}
    monkeypatch.setattr(efficientnet_lite2, "read_state_dict", lambda _: tensors)
    with pytest.raises(UserError, match=r"layer top_bn needs .*\(7,\)"):
        load_imagenet_weights(model)
    for array, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_a_missing_tensor_is_named(monkeypatch):
    tensors = {name: array for name, array in state_dict().items() if name != "_bn0.bias"}
    monkeypatch.setattr(efficientnet_lite2, "read_state_dict", lambda _: tensors)
    with pytest.raises(UserError, match=r"no tensor _bn0\.bias for layer stem_bn"):
        load_imagenet_weights(untrained())


@pytest.mark.skipif(not (SHARED / "data/monkeys10").is_dir(), reason="shared photos are absent")
def test_photos_of_one_species_lie_together_without_training(pretrained):
    """By hand, on all 272 queries and 360 gallery photos: .985; here on a small part of both."""
    folder = SHARED / "data/monkeys10/validation"
    gallery, answers = pooled_photos(pretrained, folder / "gallery", 3)
    query, truth = pooled_photos(pretrained, folder / "query", 2)
    nearest = (query @ gallery.T).argmax(axis=1)
    assert np.mean(answers[nearest] == truth) >= 0.8


def pooled_photos(model, folder: Path, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """Average-pooled features of norm 1 and the class of the first photos of each class."""
    paths = [
        path
        for species in sorted(folder.iterdir())
        for path in sorted(species.iterdir())[:per_class]
    ]
    square = (IMAGE_SIZE, IMAGE_SIZE)
    photos = [
        np.asarray(Image.open(path).convert("RGB").resize(square, Image.Resampling.BILINEAR))
        for path in paths
    ]
    normalised = ((np.stack(photos) - INPUT_MEAN) / INPUT_SCALE).astype(np.float32)
    pooled = np.concatenate(
        [
            model.predict_on_batch(normalised[start : start + 16]).mean((1, 2))
            for start in range(0, len(paths), 16)
        ]
    )
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    return pooled, np.array([path.parent.name for path in paths])


# A writer of the legacy format, after torch/serialization.py (_legacy_save).


def tensor(name="w", key="7", length=6, offset=0, shape=(2, 3), strides=(3, 1), view=None):
    """The bytes of a state dict's pickle with one tensor, in protocol 2, written by hand."""
    out = io.BytesIO()
    inner = pickle._Pickler(out, 2)

    def put(value):
        inner.save(value)

    out.write(b"\x80\x02ccollections\nOrderedDict\n)R(")
    put(name)
    out.write(b"ctorch._utils\n_rebuild_tensor_v2\n((")
    put("storage")
    out.write(b"ctorch\nFloatStorage\n")
    put(key)
    put("cpu")
    put(length)
    put(view)
    out.write(b"tQ")
    put(offset)
    put(shape)
    put(strides)
    put(False)
    out.write(b"ccollections\nOrderedDict\n)RtRu.")
    return out.getvalue()


def legacy_file(path, tensors, keys=("7",), values=range(6), magic=0x1950A86A20F9469CFC6C,
                protocol=1001, little=True, length=None):  # fmt: skip
    system = {"protocol_version": protocol, "little_endian": little, "type_sizes": {}}
    numbers = np.array(values, "<f4")
    pickles = [magic, protocol, system]
    path.write_bytes(
        b"".join(pickle.dumps(value, 2) for value in pickles)
        + tensors
        + pickle.dumps(list(keys), 2)
        + struct.pack("<q", len(numbers) if length is None else length)
        + numbers.tobytes()
    )
    return path


def test_a_hand_made_state_dict_is_read(tmp_path):
    read = read_state_dict(legacy_file(tmp_path / "w.pth", tensor()))
    assert list(read) == ["w"]
    np.testing.assert_array_equal(
        read["w"], np.array([[0, 1, 2], [3, 4, 5]], np.float32), strict=True
    )


def test_a_tensor_may_be_a_part_of_its_storage(tmp_path):
    part = tensor(offset=2, shape=(2, 2), strides=(2, 1))
    read = read_state_dict(legacy_file(tmp_path / "w.pth", part))
    np.testing.assert_array_equal(read["w"], [[2, 3], [4, 5]])


def test_a_tensor_may_lie_in_its_storage_the_other_way_round(tmp_path):
    turned = tensor(shape=(2, 3), strides=(1, 2))
    read = read_state_dict(legacy_file(tmp_path / "w.pth", turned))
    np.testing.assert_array_equal(read["w"], [[0, 2, 4], [1, 3, 5]])


def test_a_tensor_without_axes_is_one_number(tmp_path):
    read = read_state_dict(legacy_file(tmp_path / "w.pth", tensor(offset=4, shape=(), strides=())))
    assert read["w"].shape == ()
    assert read["w"] == 4


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"shape": (2, 4), "strides": (4, 1)}, "not a part"),
        ({"offset": 1}, "not a part"),
        ({"strides": (300_000, 1)}, "not a part"),
        ({"strides": (0, 0), "shape": (10_000, 10_000)}, "not a part"),
        ({"shape": (0, 3)}, "not a part"),
        ({"strides": (3,)}, "not a readable pickle"),
        ({"offset": -1}, "something else than numbers"),
        ({"shape": (-2, -3)}, "something else than numbers"),
        ({"offset": 0.0}, "something else than numbers"),
        ({"view": ("a", 0, 1)}, "something else than a storage"),
    ],
)
def test_a_tensor_that_points_elsewhere_is_refused(tmp_path, part, message):
    path = legacy_file(tmp_path / "w.pth", tensor(**part))
    with pytest.raises(UserError, match=message) as refusal:
        read_state_dict(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"magic": 1}, "format before 1.6"),
        ({"protocol": 1000}, "format before 1.6"),
        ({"little": False}, "another byte order"),
        ({"keys": ["8"]}, "not those its tensors use"),
        ({"keys": ["7", "7"]}, "not those its tensors use"),
        ({"length": 5}, "does not hold its 6 numbers"),
        ({"values": range(5), "length": 6}, "cut off or damaged"),
        ({"tensors": pickle.dumps([1], 2), "keys": []}, "something else than a dict"),
        ({"tensors": pickle.dumps({"w": 1}, 2), "keys": []}, "something else than a dict"),
    ],
)
def test_a_damaged_state_dict_is_named_with_its_reason(tmp_path, changes, message):
    path = legacy_file(tmp_path / "w.pth", **{"tensors": tensor(), **changes})
    with pytest.raises(UserError, match=message) as refusal:
        read_state_dict(path)
    assert str(path) in str(refusal.value)


def test_a_hostile_state_dict_is_refused_without_being_run(tmp_path):
    trace = tmp_path / "was_here"
    command = f"touch {trace}".encode()
    call = b"\x80\x02cos\nsystem\nX" + struct.pack("<I", len(command)) + command + b"\x85R."
    path = legacy_file(tmp_path / "w.pth", call)
    with pytest.raises(UserError, match=r"asks for os\.system"):
        read_state_dict(path)
    assert not trace.exists()


def test_a_zip_file_of_newer_pytorch_is_refused(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(UserError, match=r"w\.pth"):
        read_state_dict(path)
