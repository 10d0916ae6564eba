"""Colour histograms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2hsv, rgb2lab

from gallerist.features.descriptors.colour import _SPACES, colour_histogram

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
FOUR = np.array([[RED, RED], [BLUE, WHITE]], np.uint8)


def histogram(pixels, **chosen):
    plain = {"space": "rgb", "bins": 2, "joint": True, "soft": False, "grid": 1}
    return colour_histogram(pixels, **({**plain, "square_root": False} | chosen))


def noise(height: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_four_pixels_are_counted_by_hand_in_joint_bins():
    # bins in order of red, green, blue: 100 is 4, 001 is 1, 111 is 7
    assert histogram(FOUR).tolist() == [0, 0.25, 0, 0, 0.5, 0, 0, 0.25]


def test_four_pixels_are_counted_by_hand_channel_by_channel():
    assert histogram(FOUR, joint=False).tolist() == [0.25, 0.75, 0.75, 0.25, 0.5, 0.5]


def test_four_pixels_are_counted_by_hand_in_their_cells():
    by_cell = histogram(FOUR, grid=2).reshape(4, 8)
    assert by_cell.argmax(axis=1).tolist() == [4, 4, 1, 7]
    assert by_cell.sum(axis=1).tolist() == [1, 1, 1, 1]


def test_the_square_root_is_taken_of_each_share():
    found = histogram(FOUR, square_root=True)
    np.testing.assert_allclose(found, np.sqrt([0, 0.25, 0, 0, 0.5, 0, 0, 0.25]), rtol=1e-6)


def test_a_soft_vote_is_divided_by_nearness_to_the_centres():
    # of two bins over 256 the centres are 64 and 192: 96 is a quarter of the way
    assert histogram(
        np.full((1, 1, 3), 96, np.uint8), soft=True, joint=False
    ).tolist() == pytest.approx([0.75, 0.25] * 3)
    assert histogram(np.full((1, 1, 3), 96, np.uint8), soft=True)[0] == pytest.approx(0.75**3)


@pytest.mark.parametrize("bins", [1, 2, 5, 16, 256])
def test_hard_histograms_are_numpys(bins):
    pixels = noise(31, 17)
    expected, _ = np.histogramdd(
        pixels.reshape(-1, 3), bins=[min(bins, 16)] * 3, range=[(0, 256)] * 3
    )
    np.testing.assert_allclose(
        histogram(pixels, bins=min(bins, 16)), expected.ravel() / (31 * 17), rtol=1e-6
    )
    channels = [np.histogram(pixels[..., i], bins, (0, 256))[0] for i in range(3)]
    np.testing.assert_allclose(
        histogram(pixels, bins=bins, joint=False), np.concatenate(channels) / (31 * 17), rtol=1e-6
    )


@pytest.mark.parametrize("space", sorted(_SPACES))
@pytest.mark.parametrize("joint", [True, False])
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000), bins=st.integers(1, 7), soft=st.booleans())
def test_turning_and_mirroring_change_nothing_without_a_grid(space, joint, seed, bins, soft):
    pixels = noise(12, 19, seed)
    chosen = {"space": space, "joint": joint, "bins": bins, "soft": soft}
    found = histogram(pixels, **chosen)
    for changed in (pixels[:, ::-1], pixels[::-1], np.rot90(pixels)):
        np.testing.assert_allclose(histogram(changed, **chosen), found, atol=1e-6)
    assert found.min() >= 0
    if joint:
        assert found.sum() == pytest.approx(1, abs=1e-5)


def test_a_grid_shows_where_a_colour_is():
    assert np.array_equal(histogram(FOUR), histogram(FOUR[::-1]))
    assert not np.array_equal(histogram(FOUR, grid=2), histogram(FOUR[::-1], grid=2))


@pytest.mark.parametrize("space", sorted(_SPACES))
def test_magnifying_changes_nothing(space):
    pixels = noise(6, 8)
    larger = pixels.repeat(3, axis=0).repeat(3, axis=1)
    for grid in (1, 2):
        np.testing.assert_allclose(
            histogram(larger, space=space, bins=4, grid=grid),
            histogram(pixels, space=space, bins=4, grid=grid),
            atol=1e-7,
        )


def test_hue_saturation_and_value_are_scikit_images():
    pixels = noise(40, 40)
    difference = np.abs(_SPACES["hsv"](pixels) - rgb2hsv(pixels))
    difference[..., 0] = np.minimum(difference[..., 0], 1 - difference[..., 0])
    assert difference.max() < 1e-5


def test_lab_is_scikit_images_scaled_to_the_box_around_all_colours():
    steps = np.array([0, 31, 63, 95, 127, 159, 191, 223, 255], np.uint8)
    pixels = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    expected = (rgb2lab(pixels) - [0, -87, -108]) / [100, 186, 203]
    found = _SPACES["lab"](pixels)
    assert np.abs(found - expected).max() < 0.01
    assert expected.min() >= 0
    assert expected.max() <= 1


def test_linear_rgb_is_the_amount_of_light():
    grey = np.array([[[0, 10, 188], [255, 128, 64]]], np.uint8)
    found = _SPACES["linear_rgb"](grey).ravel()
    expected = [0, 10 / 255 / 12.92, 0.5029, 1, 0.2159, 0.0513]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_reds_on_either_side_of_the_turn_share_a_bin():
    reds = np.array([[[255, 0, 9], [255, 9, 0]]], np.uint8)
    hue = histogram(reds, space="hsv", bins=12, joint=False)[:12]
    assert hue.argmax() == 0
    assert np.count_nonzero(hue) == 1


def test_the_six_full_hues_lie_on_the_centres_of_soft_bins():
    hues = [RED, (255, 255, 0), GREEN, (0, 255, 255), BLUE, (255, 0, 255)]
    for i, colour in enumerate(hues):
        found = histogram(
            np.array([[colour]], np.uint8), space="hsv", bins=6, joint=False, soft=True
        )
        assert found[i] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("value", [0, 100, 255])
def test_grey_has_no_hue(value):
    found = histogram(np.full((3, 3, 3), value, np.uint8), space="hsv", bins=4, joint=False)
    assert not found[:4].any()
    assert found[4:].sum() == pytest.approx(2)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 254))
def test_one_step_of_brightness_moves_a_soft_histogram_by_little(value):
    a, b = (np.full((4, 4, 3), v, np.uint8) for v in (value, value + 1))
    moved = np.abs(histogram(a, bins=8, soft=True) - histogram(b, bins=8, soft=True)).sum()
    assert moved <= 6 * 8 / 256 + 1e-6
