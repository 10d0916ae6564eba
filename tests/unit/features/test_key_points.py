"""gallerist.features.key_points: OpenCV's and mahotas's points in a fixed order, or none at all."""

import cv2
import numpy as np
import pytest
from checkout import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gallerist.data.decoding import BadImage, read_image
from gallerist.features.key_points import (
    DESCRIPTOR_LENGTH,
    Detector,
    detect,
    root_sift,
    shrink,
)

KINDS = ("sift", "orb", "surf")
ARRAYS = ("positions", "sizes", "angles", "responses", "descriptors")


def blobs(seed, height=200, width=200):
    """Soft coloured blobs of many sizes: structure at every scale, nothing periodic."""
    chance = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3))
    for side in (5, 10, 20, 40):
        coarse = chance.uniform(-1, 1, (height // side + 2, width // side + 2, 3))
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(127 + 50 * picture, 0, 255).astype(np.uint8)


def clockwise(pixels):
    return np.ascontiguousarray(np.rot90(pixels, -1))


def matched(a, b):
    """Indices of matches from a to b that pass Lowe's ratio test."""
    norm = cv2.NORM_HAMMING if a.descriptors.dtype == np.uint8 else cv2.NORM_L2
    pairs = cv2.BFMatcher(norm).knnMatch(a.descriptors, b.descriptors, k=2)
    chosen = [one for one, other in pairs if one.distance < 0.8 * other.distance]
    return np.array([m.queryIdx for m in chosen]), np.array([m.trainIdx for m in chosen])


def assert_equal(a, b):
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def assert_well_formed(points, kind, max_points):
    count = len(points)
    assert count <= max_points
    assert points.positions.shape == (count, 2)
    assert points.sizes.shape == points.angles.shape == points.responses.shape == (count,)
    assert points.descriptors.shape == (count, DESCRIPTOR_LENGTH[kind])
    assert points.descriptors.dtype == (np.uint8 if kind == "orb" else np.float32)
    for name in ARRAYS[:4]:
        assert getattr(points, name).dtype == np.float32
        assert np.isfinite(getattr(points, name)).all()
    assert np.isfinite(points.descriptors.astype(np.float64)).all()
    assert ((points.angles >= 0) & (points.angles < 360)).all()
    assert (np.diff(points.responses) <= 0).all()


@pytest.fixture(scope="module")
def photo():
    """A photograph of a monkey, 250 pixels a side."""
    files = sorted((SHARED / "data" / "monkeys10" / "training" / "patas_monkey").glob("*"))
    if not files:
        pytest.skip(f"no photographs in {SHARED}")
    return read_image(files[0])


@pytest.mark.parametrize("kind", KINDS)
def test_points_have_the_shapes_and_types_that_are_promised(kind):
    points = detect(kind, blobs(1), max_points=100)
    assert len(points) > 20
    assert_well_formed(points, kind, 100)
    assert ((points.positions >= 0) & (points.positions < 200)).all()


@pytest.mark.parametrize("kind", ["sift", "orb"])
def test_the_points_are_those_of_opencv(kind):
    pixels = blobs(2)
    create = {"sift": cv2.SIFT_create, "orb": cv2.ORB_create}[kind]
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    theirs, descriptors = create(nfeatures=150).detectAndCompute(grey, None)
    ours = detect(kind, pixels, max_points=150)
    wanted = {
        (*point.pt, point.size, point.angle, point.response, row.tobytes())
        for point, row in zip(theirs, descriptors, strict=True)
    }
    found = {
        (*map(float, place), float(size), float(angle), float(response), row.tobytes())
        for place, size, angle, response, row in zip(
            *(getattr(ours, name) for name in ARRAYS), strict=True
        )
    }
    assert len(found) == len(ours)
    assert found <= wanted  # OpenCV keeps all that are as strong as the last
    assert len(found) == min(150, len(wanted))


def test_the_points_of_surf_are_those_of_mahotas():
    from mahotas.features.surf import surf

    pixels = blobs(3)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(float)
    theirs = surf(grey, max_points=100_000)
    points = detect("surf", pixels, max_points=100_000)
    best = np.argsort(-theirs[:, 3], kind="stable")
    np.testing.assert_allclose(points.positions, theirs[best][:, [1, 0]], rtol=1e-6)
    np.testing.assert_allclose(points.descriptors, theirs[best, 6:], atol=1e-6)
    few = detect("surf", pixels, max_points=10)
    np.testing.assert_array_equal(few.descriptors, points.descriptors[:10])


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_picture_gives_the_same_points_whatever_threads_opencv_has(kind):
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = detect(kind, blobs(4), max_points=120)
        cv2.setNumThreads(4)
        assert_equal(one, detect(kind, blobs(4), max_points=120))
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("kind", ["sift", "surf"])
def test_fewer_points_are_the_strongest_of_more(kind):
    many, few = (detect(kind, blobs(5), max_points=count) for count in (60, 25))
    assert len(few) == 25
    np.testing.assert_array_equal(few.descriptors, many.descriptors[:25])


@pytest.mark.parametrize("kind", KINDS)
def test_points_of_equal_strength_come_in_the_order_of_their_places(kind):
    tile = blobs(6, 100, 100)
    points = detect(kind, np.tile(tile, (3, 3, 1)), max_points=1000)
    keys = list(
        zip(
            -points.responses,
            points.positions[:, 1],
            points.positions[:, 0],
            points.sizes,
            points.angles,
            strict=True,
        )
    )
    assert keys == sorted(keys)
    if kind == "sift":  # otherwise the test above would say nothing about ties
        assert len(np.unique(points.responses)) < len(points)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (3, 2000), (64, 64)])
@pytest.mark.parametrize("value", [0, 127, 255])
def test_a_picture_of_one_colour_has_no_points(kind, shape, value):
    points = detect(kind, np.full((*shape, 3), value, dtype=np.uint8), max_points=50)
    assert len(points) == 0
    assert_well_formed(points, kind, 50)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.integers(1, 70), st.integers(1, 400), st.integers(0, 2**31))
def test_a_small_or_long_picture_of_noise_gives_finite_points_or_none(kind, height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for picture in (pixels, pixels.transpose(1, 0, 2)):
        points = detect(kind, picture, max_points=30)
        assert_well_formed(points, kind, 30)


@pytest.mark.parametrize(("kind", "largest"), [("orb", 62), ("surf", 48)])
def test_orb_and_surf_find_nothing_in_small_pictures(kind, largest):
    for seed in range(5):
        noise = np.random.default_rng(seed).integers(0, 256, (largest, 400, 3), dtype=np.uint8)
        assert len(detect(kind, noise, max_points=100)) == 0
    assert len(detect(kind, blobs(1), max_points=100)) > 0


@pytest.mark.parametrize(("kind", "share"), [("sift", 0.6), ("orb", 0.6), ("surf", 0.2)])
def test_most_points_are_found_again_in_a_picture_turned_by_a_quarter(kind, share):
    pixels = blobs(7, 200, 240)
    upright = detect(kind, pixels, max_points=300)
    turned = detect(kind, clockwise(pixels), max_points=300)
    a, b = matched(upright, turned)
    expected = np.stack([199 - upright.positions[a, 1], upright.positions[a, 0]], axis=1)
    right = np.linalg.norm(expected - turned.positions[b], axis=1) < 2
    assert right.mean() > 0.7
    assert right.sum() > share * len(upright)
    turns = (turned.angles[b] - upright.angles[a])[right] % 360
    assert np.median(np.abs(turns - 90)) < 4


def test_most_sift_points_of_a_photo_are_found_again_when_turned_and_when_twice_as_large(photo):
    points = detect("sift", photo, max_points=400)
    turned = detect("sift", clockwise(photo), max_points=400)
    assert len(matched(points, turned)[0]) > 0.7 * len(points)
    large = cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    doubled = detect("sift", large, max_points=3000)
    a, b = matched(points, doubled)
    there = (points.positions[a] + 0.5) * 2 - 0.5
    right = np.linalg.norm(there - doubled.positions[b], axis=1) < 4
    assert right.sum() > 0.5 * len(points)
    assert np.median(doubled.sizes[b][right] / points.sizes[a][right]) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("kind", ["sift", "surf"])
def test_angles_point_to_where_it_gets_brighter(kind):
    """Against the gradient of the smoothed picture, which the methods refine."""
    pixels = blobs(8)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    smooth = cv2.GaussianBlur(grey, (0, 0), 3)
    points = detect(kind, pixels, max_points=300)
    x, y = points.positions.round().astype(int).T
    across = cv2.Sobel(smooth, cv2.CV_32F, 1, 0)[y, x]
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1)[y, x]
    off = np.radians(points.angles) - np.arctan2(down, across)
    assert np.mean(np.cos(off)) > 0.4


def test_root_sift_by_hand():
    rows = np.array([[1, 3, 0, 0], [4, 4, 4, 4], [0, 0, 0, 0]], dtype=np.float32)
    by_hand = [[0.5, np.sqrt(0.75), 0, 0], [0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0]]
    np.testing.assert_allclose(root_sift(rows), by_hand, rtol=1e-6)


@given(hnp.arrays(np.float32, (4, 128), elements=st.integers(0, 255).map(float)))
def test_the_dot_product_of_root_sift_is_the_hellinger_kernel(rows):
    rooted = root_sift(rows).astype(np.float64)
    shares = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1)
    hellinger = np.sqrt(shares[:, None, :] * shares[None, :, :]).sum(axis=2)
    np.testing.assert_allclose(rooted @ rooted.T, hellinger, atol=1e-5)


def test_root_changes_the_descriptors_of_sift_alone():
    plain = detect("sift", blobs(9), max_points=80)
    rooted = detect("sift", blobs(9), max_points=80, root=True)
    np.testing.assert_array_equal(rooted.positions, plain.positions)
    np.testing.assert_array_equal(rooted.descriptors, root_sift(plain.descriptors))
    np.testing.assert_allclose(np.linalg.norm(rooted.descriptors, axis=1), 1, rtol=1e-5)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 80))
def test_a_scaled_picture_fits_and_keeps_its_proportions(height, width, max_side):
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    new_height, new_width = shrink(pixels, max_side).shape[:2]
    assert max(new_height, new_width) == min(max(height, width), max_side)
    factor = min(1, max_side / max(height, width))
    assert abs(new_height - height * factor) <= 0.5 or new_height == 1
    assert abs(new_width - width * factor) <= 0.5 or new_width == 1


def test_a_picture_shrunk_by_half_is_averaged_over_four_pixels():
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    blocks = pixels.reshape(20, 2, 30, 2, 3).mean(axis=(1, 3))
    assert np.abs(shrink(pixels, 30) - blocks).max() <= 0.5
    assert shrink(pixels, 60) is pixels


def test_positions_are_pixels_of_the_scaled_picture(tmp_path):
    pixels = blobs(10, 300, 400)
    cv2.imwrite(str(tmp_path / "a.png"), pixels[:, :, ::-1])
    detector = Detector("sift", max_side=200, max_points=100)
    points = detector.detect_in_file(tmp_path / "a.png")
    assert_equal(points, detect("sift", shrink(pixels, 200), max_points=100))
    assert detector.prepare(tmp_path / "a.png").shape == (150, 200, 3)
    assert (points.positions < (200, 150)).all()


def test_a_file_that_is_no_picture_is_named(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    with pytest.raises(BadImage, match=r"broken\.jpg: "):
        Detector("orb", max_side=100, max_points=10).detect_in_file(tmp_path / "broken.jpg")
