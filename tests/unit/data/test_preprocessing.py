"""From a file to the pixels a network sees."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gallerist.data.decoding import BadImage
from gallerist.data.line_drawings import draw_lines
from gallerist.data.preprocessing import Preprocessing


def save(path, pixels):
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)
    return path


def noise(height: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


@pytest.mark.parametrize("shape", [(64, 64), (10, 10), (300, 20), (20, 300), (1, 1), (1, 500)])
@pytest.mark.parametrize("size", [1, 32, 97])
def test_every_picture_becomes_a_square_of_rgb_bytes(folder, shape, size):
    pixels = Preprocessing(size).load(save(folder / "some.png", noise(*shape)))
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags["C_CONTIGUOUS"]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.integers(1, 6), st.integers(1, 6), st.integers(0, 1000))
def test_shrinking_by_whole_factors_is_the_mean_of_the_covered_area(
    folder, size, down, across, seed
):
    original = noise(size * down, size * across, seed)
    pixels = Preprocessing(size).load(save(folder / "area.png", original))
    mean = original.reshape(size, down, size, across, 3).mean(axis=(1, 3))
    assert np.abs(pixels - mean).max() <= 0.5 + 1e-3


def test_shrinking_by_a_broken_factor_weighs_what_is_covered_in_part(folder):
    row = np.array([[0, 90, 240]])  # 3 pixels -> 2: (0 + 90/2) / 1.5 and (90/2 + 240) / 1.5
    original = np.repeat(np.repeat(row, 3, axis=0)[:, :, None], 3, axis=2)
    pixels = Preprocessing(2).load(save(folder / "broken.png", original))
    assert pixels[:, :, 0].tolist() == [[30, 190], [30, 190]]


@pytest.mark.parametrize("shape", [(24, 1008), (48, 1008), (96, 1008), (12, 528)])
@pytest.mark.parametrize("upright", [False, True])
def test_the_long_side_of_a_panorama_does_not_alias(folder, shape, upright):
    """Stripes one pixel wide become grey; picking every n-th pixel would keep black or white."""
    stripes = np.indices(shape)[1] % 2 * 255
    stripes = stripes.T if upright else stripes
    pixels = Preprocessing(48).load(save(folder / "stripes.png", np.stack([stripes] * 3, axis=2)))
    assert np.abs(pixels - 127.5).max() < 13  # 21 or 11 stripes a pixel: one more white or black


def test_enlarging_is_bilinear_between_pixel_centres(folder):
    original = np.repeat(np.array([[0, 100], [0, 100]])[:, :, None], 3, axis=2)
    pixels = Preprocessing(4).load(save(folder / "small.png", original))
    assert pixels[:, :, 0].tolist() == [[0, 25, 75, 100]] * 4


def test_a_picture_of_the_right_size_is_not_changed(folder):
    original = noise(33, 33)
    np.testing.assert_array_equal(
        Preprocessing(33).load(save(folder / "same.png", original)), original
    )


def test_colours_are_red_green_blue_and_sides_are_not_swapped(folder):
    original = np.zeros((40, 80, 3))
    original[:20, :, 0] = 255  # the upper half red
    original[20:, :40, 2] = 255  # the lower left blue
    pixels = Preprocessing(4).load(save(folder / "flag.png", original))
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert pixels[0, 3].tolist() == [255, 0, 0]
    assert pixels[3, 0].tolist() == [0, 0, 255]
    assert pixels[3, 3].tolist() == [0, 0, 0]


def test_a_grey_picture_has_three_equal_channels(folder):
    Image.fromarray(noise(20, 20)[:, :, 0]).save(folder / "grey.png")
    pixels = Preprocessing(10).load(folder / "grey.png")
    np.testing.assert_array_equal(pixels[:, :, 0], pixels[:, :, 1])
    np.testing.assert_array_equal(pixels[:, :, 0], pixels[:, :, 2])


def test_a_bad_file_is_named_with_its_reason(folder):
    (folder / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(BadImage, match=r"broken\.jpg: not an image"):
        Preprocessing(8).load(folder / "broken.jpg")
    with pytest.raises(BadImage, match=r"gone\.jpg: no such file"):
        Preprocessing(8).load(folder / "gone.jpg")


def test_a_picture_of_too_many_pixels_is_refused(folder):
    path = save(folder / "large.png", noise(20, 20))
    assert Preprocessing(8, max_pixels=400).load(path).shape == (8, 8, 3)
    with pytest.raises(BadImage, match=r"large\.png: 20x20 pixels: more than 399"):
        Preprocessing(8, max_pixels=399).load(path)


def test_every_setting_changes_the_hash():
    settings_ = Preprocessing(image_size=224)
    hashes = {settings_.sha256}
    for field in fields(Preprocessing):
        value = getattr(settings_, field.name)
        other = "grey" if field.name == "look" else value + 1
        hashes.add(replace(settings_, **{field.name: other}).sha256)
    assert len(hashes) == 1 + len(fields(Preprocessing))
    assert Preprocessing(224).sha256 == settings_.sha256


def test_settings_read_back_as_they_were_stored(tmp_path):
    stored = Preprocessing(image_size=96, max_pixels=1234)
    stored.write(tmp_path / "preprocessing.json")
    assert Preprocessing.read(tmp_path / "preprocessing.json") == stored
    assert Preprocessing.read(tmp_path / "preprocessing.json").sha256 == stored.sha256


def test_a_look_is_taken_before_the_picture_is_resized_and_belongs_to_its_identity(folder):
    path = save(folder / "looked.png", noise(120, 90))
    colour, grey, drawn = (Preprocessing(64, look=look) for look in ("colour", "grey", "drawing"))
    assert len({each.sha256 for each in (colour, grey, drawn)}) == 3
    pixels = grey.load(path)
    assert (pixels == pixels[:, :, :1]).all()
    luma = noise(120, 90) @ [0.299, 0.587, 0.114]
    assert pixels[:, :, 0].mean() == pytest.approx(luma.mean(), abs=1)
    Image.fromarray(draw_lines(noise(120, 90))).save(folder / "drawn.png")
    np.testing.assert_array_equal(drawn.load(path), colour.load(folder / "drawn.png"))
    grey.write(folder / "grey.json")
    assert Preprocessing.read(folder / "grey.json") == grey
