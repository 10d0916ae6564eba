"""networks.rmac: regions by the paper's rules, one after the other in NumPy, and in a network."""

import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.networks.architectures import EMBEDDING, Head, Transfer, without_head
from gallerist.networks.inference import compile_network
from gallerist.networks.rmac import RMAC, regions


def maps(shape=(2, 7, 7, 5), seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def by_the_paper(values):
    """Tolias, Sicre and Jegou (2016), section 4, for maps (n, h, w, c); loops and float64."""
    n, height, width, channels = values.shape
    short, long = min(height, width), max(height, width)
    m = 1
    if short != long:  # neighbours at the largest scale overlap by about 40 %
        chances = [(abs(1 - (long - short) / (k - 1) / short - 0.4), k) for k in range(2, 8)]
        m = min(chances)[1]
    total = np.zeros((n, channels))
    for level in (1, 2, 3):
        side = math.floor(2 * short / (level + 1))
        if side == 0:
            continue
        rows = level + m - 1 if height > width else level
        columns = level + m - 1 if width > height else level
        for i in range(rows):
            top = math.floor(i * (height - side) / (rows - 1)) if rows > 1 else 0
            for j in range(columns):
                left = math.floor(j * (width - side) / (columns - 1)) if columns > 1 else 0
                for picture in range(n):
                    vector = np.array(
                        [
                            max(
                                float(values[picture, y, x, channel])
                                for y in range(top, top + side)
                                for x in range(left, left + side)
                            )
                            for channel in range(channels)
                        ]
                    )
                    total[picture] += vector / math.sqrt((vector**2).sum())
    return total


def test_the_regions_of_a_map_of_seven_positions_a_side():
    assert regions(7, 7) == [
        (0, 0, 7),
        *[(top, left, 4) for top in (0, 3) for left in (0, 3)],
        *[(top, left, 3) for top in (0, 2, 4) for left in (0, 2, 4)],
    ]


@pytest.mark.parametrize(
    ("height", "width", "begins", "count"),
    [
        (1, 1, [(0, 0, 1)], 1),  # 2/3 and 1/2 of one position are none
        (2, 2, [(0, 0, 2), (0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 1)], 1 + 4 + 9),
        # Level 1 overlaps by 1/2 (m = 2) or 3/4 (m = 3), of which the first is nearer to 2/5.
        (2, 3, [(0, 0, 2), (0, 1, 2), (0, 0, 1)], 2 + 2 * 3 + 3 * 4),
        (3, 2, [(0, 0, 2), (1, 0, 2), (0, 0, 1)], 2 + 2 * 3 + 3 * 4),
        (5, 10, [(0, 0, 5), (0, 2, 5), (0, 5, 5)], 3 + 2 * 4 + 3 * 5),  # m = 3: 1/2, not 0 or 2/3
    ],
)
def test_regions_of_other_maps(height, width, begins, count):
    found = regions(height, width)
    assert found[: len(begins)] == begins
    assert len(found) == count


@given(st.integers(1, 40), st.integers(1, 40))
def test_regions_are_squares_inside_the_map_that_reach_its_corners(height, width):
    found = regions(height, width)
    for top, left, side in found:
        assert side > 0
        assert 0 <= top <= height - side
        assert 0 <= left <= width - side
    side = min(height, width)
    assert found[0] == (0, 0, side)
    assert (height - side, width - side, side) in found
    turned = sorted((left, top, side) for top, left, side in found)
    assert turned == sorted(regions(width, height))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_it_is_the_papers_sum_for_maps_of_any_size(height, width, seed):
    values = maps((2, height, width, 3), seed)
    found = RMAC()(values).numpy()
    assert (found.dtype, found.shape) == (np.float32, (2, 3))
    np.testing.assert_allclose(found, by_the_paper(values), rtol=0, atol=1e-5)


def test_of_one_position_it_is_the_map_scaled_to_length_1():
    values = maps((3, 1, 1, 4))
    unit = values[:, 0, 0] / np.linalg.norm(values[:, 0, 0], axis=1, keepdims=True)
    np.testing.assert_allclose(RMAC()(values).numpy(), unit, atol=1e-6)


def test_how_bright_a_map_is_changes_nothing():
    values = maps()
    np.testing.assert_allclose(RMAC()(values * 1e6).numpy(), RMAC()(values).numpy(), atol=1e-5)


def test_a_region_of_zeros_adds_nothing_and_has_a_gradient():
    values = np.zeros((2, 7, 7, 3), np.float32)
    values[1, 6, 6] = 3, 0, 4  # in the whole map and one region of either other level
    values = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(values)
        pooled = RMAC()(values)
        total = tf.reduce_sum(pooled)
    np.testing.assert_allclose(pooled.numpy(), [[0, 0, 0], [1.8, 0, 2.4]], atol=1e-6)
    assert np.isfinite(tape.gradient(total, values).numpy()).all()


@pytest.mark.parametrize("mixed", ["mixed_float16", "mixed_bfloat16"])
def test_under_mixed_precision_it_computes_in_32_bits(mixed):
    before = keras.config.dtype_policy()
    half = maps().astype(np.float16) * 1000  # whose squares are no 16-bit floats
    expected = RMAC()(half.astype(np.float32)).numpy()
    keras.config.set_dtype_policy(mixed)
    try:
        found = RMAC()(keras.ops.convert_to_tensor(half))
    finally:
        keras.config.set_dtype_policy(before)
    assert found.dtype == tf.float32
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.fixture(scope="module")
def network():
    head = Head("standard", 0.1, 999, 0.01, 0.01)
    return Transfer("MobileNetV2", 96, "everything", "rmac", head).build(3, None)


def pixels():
    return np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), np.uint8)


def test_as_the_pooling_of_a_network_it_pools_the_last_map(network):
    assert network.get_layer(EMBEDDING).output.shape == (None, 1280)
    assert [weight.path for weight in network.trainable_weights] == ["head/kernel", "head/bias"]
    last = network.get_layer("backbone").layer(pixels() / 127.5 - 1, training=False).numpy()
    assert last.shape == (3, 3, 3, 1280)
    found = without_head(network)(pixels()).numpy()
    np.testing.assert_allclose(found, by_the_paper(last), rtol=0, atol=1e-4)


def test_a_saved_network_gives_the_same_vectors(network, tmp_path):
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert isinstance(loaded.get_layer(EMBEDDING), RMAC)
    np.testing.assert_array_equal(loaded(pixels()).numpy(), network(pixels()).numpy())


def test_openvino_gives_the_vectors_of_keras(network):
    headless = without_head(network)
    found = compile_network(headless, engine="openvino", threads=1)(pixels())
    np.testing.assert_allclose(found, headless(pixels()).numpy(), rtol=0, atol=1e-4)
