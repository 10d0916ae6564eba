"""Local binary patterns, Haralick's statistics and Gabor filters."""

import cv2
import mahotas
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import gray2rgb
from skimage.data import camera
from skimage.feature import local_binary_pattern
from skimage.filters import gabor as skimage_gabor

from gallerist.features.descriptors.texture import (
    _smallest_rotations,
    gabor,
    haralick,
    local_binary_patterns,
)


def rgb(brightness) -> np.ndarray:
    return gray2rgb(np.asarray(brightness, np.uint8))


def noise(height: int, width: int, seed: int = 1, highest: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, highest, (height, width), dtype=np.uint8)


def patterns(brightness, **chosen):
    plain = {"pattern": "uniform", "points": 8, "radius": 1.0, "grid": 1, "square_root": False}
    return local_binary_patterns(rgb(brightness), **(plain | chosen))


@pytest.mark.parametrize("pattern", ["uniform", "nri_uniform", "ror"])
@pytest.mark.parametrize("points", [4, 8, 12])
def test_inside_the_border_patterns_are_scikit_images(pattern, points):
    picture = cv2.copyMakeBorder(noise(30, 40), 3, 3, 3, 3, cv2.BORDER_REPLICATE)
    codes = local_binary_pattern(picture, points, 2, pattern)[3:-3, 3:-3]
    _, counts = np.unique(codes, return_counts=True)
    found = patterns(picture[3:-3, 3:-3], pattern=pattern, points=points, radius=2)
    np.testing.assert_allclose(found[found > 0], counts / codes.size, rtol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99), st.integers(0, 155), st.sampled_from(["uniform", "nri_uniform", "ror"]))
def test_a_brightness_offset_changes_no_pattern(seed, offset, pattern):
    picture = noise(20, 15, seed, highest=100)
    assert np.array_equal(
        patterns(picture, pattern=pattern), patterns(picture + np.uint8(offset), pattern=pattern)
    )


@pytest.mark.parametrize("pattern", ["uniform", "ror"])
def test_quarter_turns_change_no_rotation_invariant_pattern(pattern):
    picture = noise(25, 40)
    found = patterns(picture, pattern=pattern)
    np.testing.assert_allclose(patterns(np.rot90(picture), pattern=pattern), found, atol=1e-7)
    directed = patterns(picture, pattern="nri_uniform")
    assert not np.allclose(patterns(np.rot90(picture), pattern="nri_uniform"), directed)


def test_a_plain_picture_has_one_pattern_only():
    found = patterns(np.full((9, 9), 77), square_root=True)
    assert found.tolist() == [0] * 8 + [1, 0]


def test_lengths_follow_from_the_points():
    assert len(patterns(noise(9, 9), points=16, grid=3)) == 9 * 18
    assert len(patterns(noise(9, 9), pattern="nri_uniform")) == 59
    assert len(patterns(noise(9, 9), pattern="ror")) == 36


@pytest.mark.parametrize(("points", "necklaces"), [(1, 2), (4, 6), (8, 36), (12, 352), (16, 4116)])
def test_codes_that_are_not_rotations_of_each_other_are_counted_as_necklaces(points, necklaces):
    assert len(_smallest_rotations(points)) == necklaces  # OEIS A000031


def test_each_cell_has_the_histogram_of_its_own_texture():
    half = np.concatenate([np.full((16, 16), 9), noise(16, 16)], axis=1)
    cells = patterns(np.concatenate([half, half]), grid=2).reshape(4, 10)
    np.testing.assert_allclose(cells.sum(axis=1), 1, rtol=1e-6)
    assert cells[0, 8] > 0.9 > cells[1, 8]


def test_haralicks_statistics_are_mahotas_over_their_bounds():
    picture = camera()[:200, :200]
    values = mahotas.features.haralick(picture, use_x_minus_y_variance=True)
    found = haralick(rgb(picture), levels=256, distance=1)
    contrast, entropy = found[1] * 255**2, found[8] * 16
    assert contrast == pytest.approx(values[:, 1].mean(), rel=1e-5)
    assert entropy == pytest.approx(values[:, 8].mean(), rel=1e-5)
    assert found[13] == pytest.approx(np.ptp(values[:, 0]), rel=1e-4)


def test_a_chessboard_is_worked_by_hand():
    # level and upright neighbours always differ, diagonal ones never: contrast 1, 1, 0, 0
    board = rgb(np.indices((8, 8)).sum(axis=0) % 2 * 255)
    found = haralick(board, levels=2, distance=1)
    moment, contrast, correlation = found[:3]
    ranges = found[13:]
    assert moment == pytest.approx(0.5, abs=0.01)
    assert contrast == pytest.approx(0.5)
    assert correlation == pytest.approx(0, abs=0.01)
    assert ranges[1] == pytest.approx(1)
    assert ranges[2] == pytest.approx(1)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 256),
    st.integers(0, 99),
    st.sampled_from([2, 3, 16, 64, 256]),
    st.integers(1, 3),
)
def test_no_statistic_exceeds_its_bound(height, width, highest, seed, levels, distance):
    picture = noise(height, width, seed, highest) * np.uint8(255 // max(highest - 1, 1))
    assert np.abs(haralick(rgb(picture), levels=levels, distance=distance)).max() <= 1 + 1e-6


def test_statistics_over_all_directions_do_not_know_a_quarter_turn_or_a_mirror():
    picture = noise(30, 22)
    found = haralick(rgb(picture), levels=16, distance=2)
    for changed in (np.rot90(picture), picture[:, ::-1]):
        np.testing.assert_allclose(
            haralick(rgb(changed), levels=16, distance=2), found, rtol=1e-5, atol=1e-6
        )


def waves(length: float, angle: float, side: int = 128) -> np.ndarray:
    down, across = np.indices((side, side))
    phase = 2 * np.pi / length * (across * np.cos(angle) + down * np.sin(angle))
    return rgb(np.rint(127.5 + 100 * np.cos(phase)))


@pytest.mark.parametrize("scale", [0, 1, 2])
@pytest.mark.parametrize("direction", [0, 1, 2, 3])
def test_waves_are_answered_by_the_filter_of_their_length_and_direction(scale, direction):
    found = gabor(waves(4 * 2**scale, direction * np.pi / 4), scales=4, orientations=4)
    means = found.reshape(4, 4, 2)[..., 0]
    assert np.unravel_index(means.argmax(), means.shape) == (scale, direction)


def test_filters_of_the_finest_scale_are_scikit_images():
    picture = noise(
        96, 96
    )  # fine enough that what its filters answer to plain brightness is little
    centred = picture / 255 - picture.mean() / 255
    found = gabor(rgb(picture), scales=1, orientations=4).reshape(4, 2)
    for angle, (mean, deviation) in zip(np.arange(4) * np.pi / 4, found, strict=True):
        real, imaginary = skimage_gabor(centred, 0.25, theta=angle, bandwidth=1, mode="nearest")
        magnitude = np.hypot(real, imaginary)
        assert mean == pytest.approx(magnitude.mean(), rel=0.02)
        assert deviation == pytest.approx(magnitude.std(), rel=0.02)


@given(st.integers(0, 155))
@settings(deadline=None, max_examples=10)
def test_filters_do_not_answer_to_brightness(offset):
    picture = noise(32, 32, highest=100)
    a, b = (gabor(rgb(p), scales=3, orientations=4) for p in (picture, picture + np.uint8(offset)))
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_mirror_exchanges_directions():
    picture = noise(64, 64)
    found = gabor(rgb(picture), scales=1, orientations=4).reshape(4, 2)
    mirrored = gabor(rgb(picture[:, ::-1]), scales=1, orientations=4).reshape(4, 2)
    np.testing.assert_allclose(mirrored[[0, 3, 2, 1]], found, rtol=1e-3)
