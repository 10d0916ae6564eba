"""Squeezed, cropped or padded: which pixels of a picture a network sees, and where they lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from gallerist.data.resizing import Fitting

GREY = (124, 116, 104)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def ramp(height, width):
    """Each pixel says where it is: red the row, green the column, as shares of 250."""
    rows, columns = np.indices((height, width))
    shares = (rows + 0.5) / height, (columns + 0.5) / width
    return np.stack([*(np.rint(250 * s) for s in shares), 0 * rows], axis=2).astype(np.uint8)


def as_pillow_crops(pixels, size, scaled):
    """Resized by whole factors, where Pillow's box filter is the mean of the covered area."""
    whole = Image.fromarray(pixels).resize(scaled[::-1], Image.Resampling.BOX)
    left, top = ((side - size) // 2 for side in whole.size)
    return np.asarray(whole.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize(("shape", "factor"), [((256, 768), 1), ((512, 1536), 2), ((768, 256), 1)])
def test_a_crop_is_224_pixels_from_the_middle_of_a_shorter_side_of_256(shape, factor):
    pixels = noise(*shape)
    fitting = Fitting(*shape, 224, "crop")
    assert fitting.scaled == (shape[0] // factor, shape[1] // factor)
    wanted = as_pillow_crops(pixels, 224, fitting.scaled).astype(int)
    assert np.abs(fitting.fit(pixels, GREY) - wanted).max() <= 1


@pytest.mark.parametrize("shape", [(100, 300), (300, 100), (64, 64), (33, 200), (20, 30), (2, 90)])
@pytest.mark.parametrize("size", [32, 97])
def test_padding_places_a_picture_where_pillow_does(shape, size):
    """Where the border begins is compared, since Pillow has no filter that is quite the same."""
    square = Fitting(*shape, size, "pad").fit(np.full((*shape, 3), 255, np.uint8), GREY)
    white = Image.new("RGB", shape[::-1], "white")
    wanted = np.asarray(ImageOps.pad(white, (size, size), color=GREY))
    np.testing.assert_array_equal(square, wanted)


def test_the_default_ratio_and_rounding_are_those_of_timm_and_torchvision():
    """Resize(floor(size / .875)) and the longer side cut to a whole number; CenterCrop."""
    assert Fitting(333, 500, 224, "crop").scaled == (256, 384)  # 384.4
    assert Fitting(500, 333, 260, "crop", 0.9).scaled == (432, 288)  # 288.9, 432.4
    assert Fitting(480, 640, 224, "crop", 1.0).scaled == (224, 298)  # 298.7


@given(
    st.integers(1, 300), st.integers(1, 300), st.integers(1, 64), st.sampled_from([0.5, 0.875, 1.0])
)
def test_every_shape_becomes_a_square_of_what_it_shows(height, width, size, ratio):
    for kind in ("squeeze", "crop", "pad"):
        fitting = Fitting(height, width, size, kind, ratio)
        square = fitting.fit(np.full((height, width, 3), 200, np.uint8), GREY)
        assert square.shape == (size, size, 3)
        assert square.flags["C_CONTIGUOUS"]
        shown = int((square == 200).all(axis=2).sum())
        assert shown == (size * size if kind != "pad" else np.prod(fitting.scaled))


@pytest.mark.parametrize(
    ("kind", "corners"),
    [  # of a picture of 100 x 300: shares of the height and the width that the square begins at
        ("squeeze", (0, 0)),
        ("crop", (0.0625, (3 - 0.875) / 6)),  # (1 - .875) / 2; .875 of a third of the width
    ],
)
def test_the_corner_of_the_square_shows_the_place_that_arithmetic_says(kind, corners):
    square = Fitting(100, 300, 224, kind).fit(ramp(100, 300), GREY)
    for channel, start in enumerate(corners):
        assert int(square[0, 0, channel]) == pytest.approx(250 * start, abs=2)
        assert int(square[-1, -1, channel]) == pytest.approx(250 * (1 - start), abs=2)


def test_a_long_line_is_not_enlarged_whole():
    """A row of 100,000 pixels, enlarged to 256 rows, would have 6.5e9."""
    square = Fitting(1, 100_000, 224, "crop").fit(ramp(1, 100_000), GREY)
    assert np.abs(square[:, :, 1].astype(int) - 125).max() <= 1


@pytest.mark.parametrize("shape", [(90, 270), (270, 90), (120, 120), (6, 600), (100, 310)])
@pytest.mark.parametrize("kind", ["squeeze", "crop", "pad"])
def test_a_spot_of_the_picture_comes_back_to_its_place(kind, shape):
    """The square shows where the spot is; drawn back, it lies where it was."""
    fitting = Fitting(*shape, 96, kind)
    height, width = shape
    down, across = height // 2, width // 2 + min(shape) // 4
    spot = np.zeros((height, width, 3), np.uint8)
    spot[down - 2 : down + 3, across - 2 : across + 3] = 255
    heat = fitting.fit(spot, (0, 0, 0))[:, :, 0].astype(np.float32)
    back = fitting.back(heat)
    assert back.shape == shape
    found = np.array(np.unravel_index(back.argmax(), shape))
    assert np.abs(found - [down, across]).max() <= max(3, max(shape) / 96)


def test_a_map_is_drawn_back_onto_what_was_seen_and_nowhere_else():
    ones = np.ones((224, 224), np.float32)
    assert (Fitting(100, 300, 224, "squeeze").back(ones) == 1).all()
    assert (Fitting(100, 300, 224, "pad").back(ones) == 1).all()
    rows, columns = np.nonzero(Fitting(100, 300, 224, "crop").back(ones))
    assert (rows.min(), rows.max()) == (6, 93)  # 88 of 100 rows: .875
    assert (columns.min(), columns.max()) == (106, 193)


def test_what_lies_beside_a_padded_picture_is_not_drawn_back():
    heat = np.zeros((90, 90), np.float32)
    heat[:30] = 1  # above a picture of 100 x 300, which lies in the middle third
    assert Fitting(100, 300, 90, "pad").back(heat).max() == 0
