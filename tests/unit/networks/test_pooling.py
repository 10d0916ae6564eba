"""networks.gem: the formula against SciPy's power mean, and what training does to its exponent."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import pmean

from gallerist.networks.architectures import EMBEDDING, Head, Transfer, without_head
from gallerist.networks.pooling import AVERAGE, NEARLY_MAXIMUM, RMAC, GeM, regions
from gallerist.networks.tensorflow_inference import compile_network


def maps(shape=(2, 3, 4, 5), seed=0):
    return np.random.default_rng(seed).uniform(0.01, 9, shape).astype(np.float32)


def column(*values):
    """One map of one channel."""
    return np.array(values, np.float32).reshape(1, 1, -1, 1)


@pytest.fixture
def policy():
    """Set Keras's policy for one test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(
    ("p", "values", "pooled"),
    [
        (2, (1, 7), 5),  # 1 + 49 = 2 x 25
        (3, (3, 4, 5), 72 ** (1 / 3)),  # 27 + 64 + 125 = 216 = 3 x 72
        (3, (6, 0, 0), 72 ** (1 / 3)),  # 216, too
        (1, (1, 2, 6), 3),
        (3, (4, 4, 4, 4), 4),
        (2, (-3, -5, 10, 0), 5),  # what is below 0 counts as next to nothing
        (5, (-1, 0), 1e-6),
    ],
)
def test_values_worked_out_by_hand(p, values, pooled):
    found = GeM(p)(column(*values)).numpy()
    assert found.shape == (1, 1)
    assert found[0, 0] == pytest.approx(pooled, rel=1e-5)


def test_it_starts_at_three_as_published():
    layer = GeM()
    layer.build((None, 7, 7, 3))
    assert float(layer.p) == 3
    assert layer.epsilon == 1e-6
    assert [weight.path.split("/")[-1] for weight in layer.trainable_weights] == ["p"]


def test_at_one_it_is_average_pooling():
    average = keras.layers.GlobalAveragePooling2D()(maps()).numpy()
    np.testing.assert_allclose(GeM(1)(maps()).numpy(), average, rtol=1e-5)


def test_a_large_exponent_comes_near_to_maximum_pooling_from_below():
    maximum = keras.layers.GlobalMaxPooling2D()(maps()).numpy()
    found = GeM(100)(maps()).numpy()
    assert (found <= maximum * (1 + 1e-6)).all()
    assert (found >= maximum * 12 ** (-1 / 100) * (1 - 1e-6)).all()  # of 3 x 4 positions


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.just(1), st.integers(1, 5), st.integers(1, 5), st.integers(1, 3)),
        elements=st.floats(2.0**-10, 2.0**10, width=32),  # whose 100th power is a float64
    ),
    st.floats(1, 100, width=16),
)
def test_it_is_scipys_power_mean_for_maps_of_any_size(pixels, p):
    expected = pmean(pixels.astype(np.float64), p, axis=(1, 2))
    layer = GeM(p)
    found = layer(pixels).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    # And far beyond, where the powers of the numbers themselves would be infinite.
    np.testing.assert_array_equal(layer(pixels * 2.0**80).numpy(), found * 2.0**80)


def pooled_and_slopes(p, pixels):
    layer, pixels = GeM(p), tf.constant(pixels)
    layer.build(pixels.shape)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        pooled = tf.reduce_sum(layer(pixels))
    return pooled.numpy(), *[
        slope.numpy() for slope in tape.gradient(pooled, [layer.p.value, pixels])
    ]


@pytest.mark.parametrize("p", [1.0, 1.7, 3.0, 8.0, 40.0])
def test_the_slopes_are_those_of_scipys_power_mean(p):
    pixels = maps((1, 2, 3, 2))

    def power_mean(exponent, values):
        return pmean(values.astype(np.float64), exponent, axis=(1, 2)).sum()

    _, of_p, of_pixels = pooled_and_slopes(p, pixels)
    step = 1e-5
    numerical = (power_mean(p + step, pixels) - power_mean(p - step, pixels)) / (2 * step)
    assert of_p > 0
    assert of_p == pytest.approx(numerical, rel=1e-3, abs=1e-5)
    for index in np.ndindex(pixels.shape):
        moved = np.zeros_like(pixels, np.float64)
        moved[index] = step
        numerical = (power_mean(p, pixels + moved) - power_mean(p, pixels - moved)) / (2 * step)
        assert of_pixels[index] == pytest.approx(numerical, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("values", [(-1, -2), (0, 0, 0), (1e30, 1e30, 0), (1e-30, 5), (7,)])
@pytest.mark.parametrize("p", [1, 3, 100])
def test_nothing_overflows_or_is_divided_by_nothing(p, values):
    pooled, of_p, of_pixels = pooled_and_slopes(p, column(*values))
    assert pooled == pytest.approx(max(*values, 1e-6), rel=0.99)
    assert pooled > 0
    assert np.isfinite(of_p)
    assert np.isfinite(of_pixels).all()


@pytest.mark.parametrize("mixed", ["mixed_float16", "mixed_bfloat16"])
def test_under_mixed_precision_it_computes_in_32_bits(mixed, policy):
    half = maps().astype(np.float16) * 1000  # whose cubes are no 16-bit floats
    expected = GeM()(half.astype(np.float32)).numpy()
    policy(mixed)
    layer = GeM()
    found = layer(keras.ops.convert_to_tensor(half))
    assert found.dtype == tf.float32
    assert layer.p.dtype == "float32"
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize(("rate", "bound"), [(1e6, AVERAGE), (-1e6, NEARLY_MAXIMUM)])
def test_however_far_a_step_of_training_goes_the_exponent_stays_sensible(rate, bound):
    layer = GeM()
    layer.build((None, 3, 4, 5))
    optimiser = keras.optimizers.SGD(abs(rate))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(maps())) * np.sign(rate)  # which grows with p
    optimiser.apply(tape.gradient(loss, layer.trainable_weights), layer.trainable_weights)
    assert float(layer.p) == bound


def test_a_trained_exponent_survives_a_saved_model(tmp_path):
    inputs = keras.Input((None, None, 5))
    model = keras.Model(inputs, GeM(4, 1e-3, name="embedding")(inputs))
    assert model.output_shape == (None, 5)
    model.get_layer("embedding").p.assign(2.5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    layer = loaded.get_layer("embedding")
    assert isinstance(layer, GeM)
    assert (float(layer.p), layer.starting_p, layer.epsilon) == (2.5, 4, 1e-3)
    assert layer.p.constraint is not None
    np.testing.assert_array_equal(loaded(maps()).numpy(), model(maps()).numpy())


# networks.rmac: regions by the paper's rules, one after the other in NumPy, and in a network.


def rmac_maps(shape=(2, 7, 7, 5), seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def by_the_paper(values):
    """Tolias, Sicre and Jegou (2016), section 4, for rmac_maps (n, h, w, c); loops and float64."""
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
    values = rmac_maps((2, height, width, 3), seed)
    found = RMAC()(values).numpy()
    assert (found.dtype, found.shape) == (np.float32, (2, 3))
    np.testing.assert_allclose(found, by_the_paper(values), rtol=0, atol=1e-5)


def test_of_one_position_it_is_the_map_scaled_to_length_1():
    values = rmac_maps((3, 1, 1, 4))
    unit = values[:, 0, 0] / np.linalg.norm(values[:, 0, 0], axis=1, keepdims=True)
    np.testing.assert_allclose(RMAC()(values).numpy(), unit, atol=1e-6)


def test_how_bright_a_map_is_changes_nothing():
    values = rmac_maps()
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
def test_under_mixed_precision_rmac_computes_in_32_bits(mixed):
    before = keras.config.dtype_policy()
    half = rmac_maps().astype(np.float16) * 1000  # whose squares are no 16-bit floats
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
