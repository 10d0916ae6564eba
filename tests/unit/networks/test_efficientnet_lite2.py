"""The Keras network gives what the original PyTorch implementation gives, without PyTorch."""

import hashlib
import struct
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from checkout import HELPERS, SHARED
from PIL import Image

from gallerist.io.errors import UserError
from gallerist.io.files import read_json
from gallerist.networks.efficientnet_lite2 import (
    FEATURES,
    IMAGE_SIZE,
    INPUT_MEAN,
    INPUT_SCALE,
    build,
    load_imagenet_weights,
)
from gallerist.networks.lite2_weights import read_state_dict, weights_file

REFERENCE = read_json(HELPERS / "efficientnet_lite2_reference.json")


@pytest.fixture(scope="module")
def pretrained():
    """The network for any image size, with the ImageNet weights."""
    model = build((None, None, 3))
    load_imagenet_weights(model, weights_file())
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
    assert digest == REFERENCE["weights_sha256"]


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


def test_any_other_file_is_refused_before_it_is_read_as_a_pickle(tmp_path):
    trace = tmp_path / "was_here"
    command = f"touch {trace}".encode()
    call = b"\x80\x02cos\nsystem\nX" + struct.pack("<I", len(command)) + command + b"\x85R."
    path = tmp_path / "w.pth"
    for content in (call, weights_file().read_bytes()[:-1]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"w\.pth is not the published file.*Install"):
            read_state_dict(path)
    assert not trace.exists()
