"""data.line_drawings: photos drawn in lines, colours left out, drawings told apart from photos."""

import cv2
import numpy as np
import pytest
from checkout import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import distance_transform_edt
from skimage.data import astronaut, camera, coffee
from skimage.metrics import hausdorff_distance

from gallerist.data.decoding import read_image
from gallerist.data.line_drawings import (
    LINE_WIDTH,
    SIDE,
    draw_lines,
    is_sketch,
    to_grey,
)

SIDES = st.integers(1, 40)
PICTURES = arrays.arrays(np.uint8, st.tuples(SIDES, SIDES, st.just(3)))
TINY = [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (1, 2000), (2000, 1), (3, 900)]


def plain(colour, height=120, width=160):
    return np.full((height, width, 3), colour, np.uint8)


def disc(side=200, radius=0.3, paper=(255, 255, 255), colour=(30, 30, 30), line=-1):
    """A filled circle, or with `line` pixels of width, its outline."""
    picture = plain(paper, side, side)
    middle = (side // 2, side // 2)
    return cv2.circle(picture, middle, round(radius * side), colour, line, cv2.LINE_AA)


def shared(*parts):
    folder = SHARED.joinpath("data", *parts)
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    return folder


def dark(picture):
    return picture[..., 0] < 128


# --- colours left out -------------------------------------------------------------------------


@given(PICTURES)
@settings(max_examples=50, deadline=None)
def test_a_colour_blind_copy_is_the_luma_three_times_and_its_own_copy(pixels):
    grey = to_grey(pixels)
    luma = pixels @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    assert grey.dtype == np.uint8
    assert np.abs(grey - luma[..., np.newaxis]).max() < 1
    assert (grey == grey[..., :1]).all()
    np.testing.assert_array_equal(to_grey(grey), grey)


def test_the_picture_itself_is_not_changed():
    pixels = astronaut()[:100, :100].copy()
    before = pixels.copy()
    to_grey(pixels)
    draw_lines(pixels)
    is_sketch(pixels)
    np.testing.assert_array_equal(pixels, before)


# --- drawings of photos -----------------------------------------------------------------------


def test_a_disc_is_drawn_as_its_outline():
    drawn = draw_lines(disc(SIDE, 0.3))
    outline = disc(SIDE, 0.3, line=1)
    assert hausdorff_distance(dark(drawn), dark(outline)) <= 4


def test_a_shape_of_equal_lightness_is_drawn_by_its_colour():
    red, green = (200, 60, 60), (0, 127, 0)  # lightness 46 both in CIELAB
    picture = disc(SIDE, 0.3, paper=green, colour=red)
    assert np.ptp(to_grey(picture)) <= 30
    assert hausdorff_distance(dark(draw_lines(picture)), dark(disc(SIDE, 0.3, line=1))) <= 4


@pytest.mark.parametrize("photo", [astronaut, coffee], ids=["astronaut", "coffee"])
def test_a_photo_becomes_lines_that_count_as_a_sketch(photo):
    drawn = draw_lines(photo())
    assert drawn.shape == photo().shape
    assert drawn.dtype == np.uint8
    assert not is_sketch(photo())
    assert is_sketch(drawn)
    assert (drawn == drawn[..., :1]).all()
    assert 0.02 < dark(drawn).mean() < 0.12


def test_lines_are_as_wide_as_asked_for():
    drawn = draw_lines(disc(SIDE, 0.3))
    widest = 2 * distance_transform_edt(dark(drawn)).max()
    assert 0.5 * LINE_WIDTH * SIDE <= widest <= 2 * LINE_WIDTH * SIDE


def test_a_small_picture_is_drawn_in_pure_black_and_white():
    drawn = draw_lines(cv2.resize(coffee(), (SIDE, 171), interpolation=cv2.INTER_AREA))
    assert set(np.unique(drawn)) == {0, 255}


def test_a_drawing_of_a_drawing_is_the_same():
    drawn = draw_lines(astronaut())
    np.testing.assert_array_equal(draw_lines(drawn), drawn)


def test_a_sketch_only_loses_its_colours():
    sketch = disc(paper=(250, 245, 235), line=3)
    np.testing.assert_array_equal(draw_lines(sketch), to_grey(sketch))


def test_equal_pictures_give_equal_drawings_with_any_number_of_threads():
    threads = cv2.getNumThreads()
    first = draw_lines(coffee())
    try:
        cv2.setNumThreads(1)
        np.testing.assert_array_equal(draw_lines(coffee()), first)
    finally:
        cv2.setNumThreads(threads)


def test_the_lines_do_not_depend_on_resolution():
    large = coffee()
    small = cv2.resize(large, (300, 200), interpolation=cv2.INTER_AREA)
    again = cv2.resize(draw_lines(large), (300, 200), interpolation=cv2.INTER_AREA)
    far = distance_transform_edt(~dark(draw_lines(small)))[dark(again)]
    assert (far <= 3).mean() > 0.9


def test_a_mirrored_photo_has_a_mirrored_drawing():
    photo = astronaut()[::2, ::2]
    far = distance_transform_edt(~dark(draw_lines(photo[:, ::-1]))[:, ::-1])[
        dark(draw_lines(photo))
    ]
    assert (far <= 3).mean() > 0.9  # mean shift looks at the pixels in an order of its own


@pytest.mark.parametrize("colour", [0, 255, 128, (200, 30, 30)])
def test_a_picture_of_one_colour_is_empty_paper(colour):
    assert (draw_lines(plain(colour)) == 255).all()


def test_the_shading_of_an_empty_sky_is_not_drawn():
    down = np.linspace(0, 1, 200)[:, np.newaxis, np.newaxis] * np.ones((1, 200, 1))
    noise = np.random.default_rng(1).normal(0, 4, (200, 200, 3))
    sky = np.array([100, 140, 200]) + np.array([40, 40, 20]) * down + noise
    assert (draw_lines(np.clip(sky, 0, 255).astype(np.uint8)) == 255).all()


@pytest.mark.parametrize("shape", TINY)
@pytest.mark.parametrize("fill", ["black", "white", "noise"])
def test_the_smallest_and_narrowest_pictures_have_drawings_of_their_size(shape, fill):
    random = np.random.default_rng(0)
    pixels = {
        "black": plain(0, *shape),
        "white": plain(255, *shape),
        "noise": random.integers(0, 256, (*shape, 3), dtype=np.uint8),
    }[fill]
    assert draw_lines(pixels).shape == to_grey(pixels).shape == pixels.shape
    if fill != "noise":
        assert (draw_lines(pixels) == 255).all()
        assert not is_sketch(pixels)


@given(PICTURES)
@settings(max_examples=30, deadline=None)
def test_any_picture_has_a_drawing_without_colours(pixels):
    drawn = draw_lines(pixels)
    assert drawn.shape == pixels.shape
    assert (drawn == drawn[..., :1]).all()


def test_views_that_are_not_contiguous_are_read_as_what_they_show():
    view = astronaut()[::-2, ::3]
    np.testing.assert_array_equal(draw_lines(view), draw_lines(view.copy()))
    np.testing.assert_array_equal(to_grey(view), to_grey(view.copy()))


# --- what is a sketch -------------------------------------------------------------------------


@pytest.mark.parametrize("side", [64, 227, 1500])
def test_an_outline_on_paper_is_a_sketch_at_any_resolution(side):
    assert is_sketch(disc(side, line=max(1, side // 70)))


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (plain(255), "empty paper"),
        (plain(0), "black"),
        (disc(), "a surface, not a line"),
        (disc(colour=(200, 0, 0), line=3), "a red line"),
        (disc(paper=(90, 90, 90), colour=(0, 0, 0), line=3), "paper too dark"),
        (disc(paper=(0, 0, 0), colour=(255, 255, 255), line=3), "light on dark"),
        (disc(colour=(235, 235, 235), line=3), "a line that is hardly there"),
        (np.dstack([camera()] * 3), "a photo without colours"),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "",
)
def test_other_pictures_are_no_sketches(picture, reason):
    assert not is_sketch(picture), reason


@pytest.mark.parametrize("paper", [(255, 255, 255), (250, 240, 215), (200, 200, 200)])
def test_paper_may_be_yellow_or_grey(paper):
    assert is_sketch(disc(paper=paper, line=4))


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=["grey", "transparent", "float", "empty"],
)
@pytest.mark.parametrize("function", [to_grey, draw_lines, is_sketch])
def test_what_is_no_picture_is_refused(function, pixels):
    with pytest.raises(ValueError, match=r"\(height, width, 3\) uint8"):
        function(pixels)


# --- real pictures ----------------------------------------------------------------------------


def test_every_sketch_and_no_photo_of_the_four_animals_is_a_sketch():
    files = sorted(shared("sketches4").rglob("*.*"))[::3]
    found = {path for path in files if is_sketch(read_image(path))}
    sketches = {path for path in files if path.suffix == ".png"}  # the photos of this set are JPEG
    assert len(sketches) == 80
    assert found == sketches


def test_no_photo_of_monkeys_is_a_sketch():
    files = sorted(shared("monkeys10").rglob("*.jpg"))[::10]
    assert len(files) > 100
    assert [path for path in files if is_sketch(read_image(path))] == []


LINE_DRAWINGS = """
163bc6edb3 35db752f50 42fff8391c 46204fd69b 58b5904550
653bd97922 98f3948a89 9e8549b60b a229d8daaa b83b64c9b3
ebd22e7dfa ec5837bedb f541b283ee f820f119b7 f99c7cdb12
"""
"""The pictures of the challenge that are drawn in lines only, told by eye."""


def test_the_line_drawings_of_the_challenge_are_sketches():
    folder = shared("challenge")
    for name in LINE_DRAWINGS.split():
        (path,) = folder.glob(f"*/{name}*")
        assert is_sketch(read_image(path)), path


def test_hardly_a_photo_of_the_challenge_is_a_sketch():
    names = LINE_DRAWINGS.split()
    others = [
        path
        for path in sorted(shared("challenge", "gallery").iterdir())
        if not path.name.startswith(tuple(names))
    ][::8]
    assert len(others) > 700
    assert sum(is_sketch(read_image(path)) for path in others) <= 2


def test_drawn_photos_are_as_dark_as_sketches():
    folder = shared("sketches4", "training")
    photos = sorted(folder.rglob("*.jpg"))[::20]
    sketches = sorted(folder.rglob("*.png"))[::6]
    drawn = np.median([dark(draw_lines(read_image(path))).mean() for path in photos])
    by_hand = np.median([dark(read_image(path)).mean() for path in sketches])
    assert 0.5 * by_hand < drawn < 2 * by_hand
