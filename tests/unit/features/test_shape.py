"""Directions of edges, and moments of the region that stands out."""

import cv2
import mahotas
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import gray2rgb
from skimage.data import camera
from skimage.feature import hog as skimage_hog
from skimage.filters import threshold_otsu

from gallerist.features.descriptors.shape import (
    edge_histogram,
    hog,
    hu_moments,
    salient_region,
    zernike_moments,
)


def rgb(brightness) -> np.ndarray:
    return gray2rgb(np.asarray(brightness, np.uint8))


def noise(height: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def figure(side: int = 96) -> np.ndarray:
    """A lopsided bright figure on black: a leg, a body and a neck, without any symmetry."""
    picture = np.zeros((side, side), np.uint8)
    for left, top, right, bottom in ((2, 3, 7, 5), (2, 5, 3, 8), (6, 1, 7, 3), (7, 1, 9, 2)):
        unit = side // 12
        picture[top * unit : bottom * unit, left * unit : right * unit] = 200
    return picture


def test_hog_of_a_picture_of_the_right_size_is_scikit_images():
    picture = noise(32, 32)
    expected = skimage_hog(
        picture.astype(float), 9, (8, 8), (2, 2), block_norm="L2-Hys", feature_vector=True
    )
    found = hog(rgb(picture), orientations=9, cells=4, cell_pixels=8, block=2)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_hog_knows_no_half_turn_but_for_the_place():
    """Turned by half, every gradient keeps its line; only blocks and cells are in reverse order."""
    picture = rgb(noise(48, 48))
    chosen = {"orientations": 6, "cells": 6, "cell_pixels": 8, "block": 3}
    found = hog(picture, **chosen).reshape(4, 4, 3, 3, 6)
    turned = hog(picture[::-1, ::-1], **chosen).reshape(4, 4, 3, 3, 6)
    np.testing.assert_allclose(turned[::-1, ::-1, ::-1, ::-1], found, atol=1e-5)


def test_hog_of_a_mirrored_picture_is_mirrored():
    # Gradients that lie just on a border between bins fall to one side of it: smooth noise has few.
    smooth = cv2.GaussianBlur(np.random.default_rng(2).random((64, 64)), (0, 0), 3)
    picture = rgb(255 * (smooth - smooth.min()) / np.ptp(smooth))
    chosen = {"orientations": 9, "cells": 4, "cell_pixels": 16, "block": 1}
    found = hog(picture, **chosen).reshape(4, 4, 9)
    mirrored = hog(picture[:, ::-1], **chosen).reshape(4, 4, 9)[:, ::-1, ::-1]
    assert np.vdot(found, mirrored) / np.vdot(found, found) > 0.98
    assert np.vdot(found, mirrored) > 1.02 * np.vdot(found, mirrored[..., ::-1])


def test_hog_does_not_depend_on_the_size_of_the_picture():
    picture = rgb(camera()[::4, ::4])
    chosen = {"orientations": 9, "cells": 4, "cell_pixels": 8, "block": 2}
    a = hog(picture, **chosen)
    b = hog(picture.repeat(3, axis=0).repeat(3, axis=1), **chosen)
    np.testing.assert_allclose(a, b, atol=1e-6)


def edges(brightness, **chosen):
    plain = {"orientations": 8, "signed": False, "grid": 1, "square_root": False}
    return edge_histogram(rgb(brightness), **(plain | chosen))


def test_a_slope_of_brightness_has_its_direction_only():
    slope = np.tile(np.arange(0, 200, 10), (20, 1))
    right = edges(slope, signed=True)
    assert right.argmax() == 0
    assert right[1:] == pytest.approx(0, abs=1e-6)
    assert edges(slope[:, ::-1], signed=True).argmax() == 4
    assert edges(slope.T, signed=True).argmax() == 2
    assert edges(slope.T).argmax() == 4
    np.testing.assert_allclose(edges(slope[:, ::-1]), edges(slope), rtol=1e-5)


def test_a_direction_between_two_bins_votes_for_both():
    down, across = np.indices((24, 24))
    found = edges(3 * (across + down), orientations=2)  # 45 degrees between 0 and 90
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 999), st.booleans(), st.sampled_from([4, 6, 8]))
def test_edges_of_a_mirrored_picture_are_mirrored(seed, signed, orientations):
    picture = noise(24, 24, seed)
    chosen = {"signed": signed, "orientations": orientations, "grid": 3}
    found = edges(picture, **chosen).reshape(3, 3, orientations)
    mirrored = edges(picture[:, ::-1], **chosen).reshape(3, 3, orientations)
    shift = orientations // 2 if signed else 0
    which = (shift - np.arange(orientations)) % orientations
    np.testing.assert_allclose(mirrored[:, ::-1, which], found, atol=1e-5)


def test_edges_sum_to_the_mean_magnitude_of_the_gradient():
    picture = noise(20, 30)
    as_float = picture.astype(np.float64) / 255
    across, down = (
        cv2.Scharr(as_float, cv2.CV_64F, *way, borderType=cv2.BORDER_REPLICATE)
        for way in ((1, 0), (0, 1))
    )
    expected = np.hypot(across, down).mean()
    assert edges(picture).sum() == pytest.approx(expected, rel=1e-5)


def test_a_brightness_offset_and_the_negative_change_no_unsigned_edge():
    picture = noise(20, 30) // 2
    np.testing.assert_allclose(edges(picture + 100), edges(picture), atol=1e-5)
    np.testing.assert_allclose(edges(255 - picture), edges(picture), atol=1e-5)


def test_the_region_is_the_side_of_otsus_threshold_that_is_not_the_background():
    picture = cv2.GaussianBlur(figure(), (0, 0), 2)
    expected = picture > threshold_otsu(picture)
    assert np.array_equal(salient_region(rgb(picture)), expected)
    assert np.array_equal(salient_region(rgb(255 - picture)), expected)


def test_of_several_pieces_the_largest_is_the_region():
    picture = figure()
    picture[80:84, 80:84] = 200
    assert np.array_equal(salient_region(rgb(picture)), figure() > 0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2)])
def test_thin_pictures_have_a_region_of_zeros_and_ones(shape):
    for seed in range(5):
        region = salient_region(rgb(noise(*shape, seed)))
        assert region.shape == shape
        assert set(np.unique(region)) <= {0, 1}


def test_hu_moments_are_opencvs_on_a_logarithm():
    expected = cv2.HuMoments(cv2.moments((figure() > 0).astype(np.uint8), True)).ravel()
    found = hu_moments(rgb(figure()))
    undone = np.sign(found) * (10.0 ** np.abs(found) - 1) * 1e-10
    np.testing.assert_allclose(undone, expected, rtol=1e-4, atol=1e-15)


def test_hu_moments_do_not_know_quarter_turns_nor_places():
    found = hu_moments(rgb(figure()))
    for changed in (np.rot90(figure()), np.rot90(figure(), 2), np.roll(figure(), (9, -11), (0, 1))):
        np.testing.assert_allclose(hu_moments(rgb(changed)), found, atol=1e-3)


def test_only_the_last_hu_moment_knows_a_mirror():
    found, mirrored = hu_moments(rgb(figure())), hu_moments(rgb(figure()[:, ::-1]))
    np.testing.assert_allclose(mirrored[:6], found[:6], atol=1e-3)
    assert mirrored[6] == pytest.approx(-found[6], abs=1e-3)
    assert abs(found[6]) > 0.01


@pytest.mark.parametrize("describe", [hu_moments, lambda p: zernike_moments(p, degree=8)])
def test_moments_hardly_know_the_size(describe):
    small, large = describe(rgb(figure(96))), describe(rgb(figure(288)))
    np.testing.assert_allclose(large, small, rtol=0.02, atol=0.01)


def test_hu_moments_of_a_symmetric_region_are_not_blown_up_rounding():
    disc = cv2.circle(np.zeros((99, 99), np.uint8), (49, 49), 30, 255, -1)
    found = hu_moments(rgb(disc))
    assert found[0] > 9
    assert np.abs(found[1:]).max() < 1e-3


def test_zernike_moments_are_mahotas_on_the_enclosing_disc():
    disc = cv2.circle(np.zeros((99, 99), np.uint8), (49, 49), 30, 255, -1)
    disc[40:49, 20:49] = 0
    region = (disc > 0).astype(np.uint8)
    rows, columns = np.nonzero(region)
    centre = rows.mean(), columns.mean()
    radius = np.hypot(rows - centre[0], columns - centre[1]).max() + 0.5
    expected = mahotas.features.zernike_moments(region, radius, 6, cm=centre)
    np.testing.assert_allclose(zernike_moments(rgb(disc), degree=6), expected, rtol=1e-5, atol=1e-7)


def test_zernike_moments_do_not_know_quarter_turns_mirrors_nor_places():
    found = zernike_moments(rgb(figure()), degree=8)
    assert found[0] == pytest.approx(1 / np.pi)
    assert found[1] == pytest.approx(0, abs=1e-4)
    for changed in (
        np.rot90(figure()),
        figure()[::-1],
        np.roll(figure(), (9, -11), (0, 1)),
        255 - figure(),
    ):
        np.testing.assert_allclose(zernike_moments(rgb(changed), degree=8), found, atol=1e-5)


@pytest.mark.parametrize("degrees", [17, 45, 110])
def test_zernike_moments_hardly_know_any_turn(degrees):
    large = cv2.resize(figure(), (480, 480), interpolation=cv2.INTER_NEAREST)
    turn = cv2.getRotationMatrix2D((239.5, 239.5), degrees, 0.6)
    found = zernike_moments(rgb(cv2.warpAffine(large, turn, (480, 480))), degree=8)
    np.testing.assert_allclose(found, zernike_moments(rgb(large), degree=8), atol=0.01)
