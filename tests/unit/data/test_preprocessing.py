"""From a file to the pixels a network sees."""

import threading
import time
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gallerist.data.decoding import BadImage
from gallerist.data.line_drawings import draw_lines
from gallerist.data.manifest import Picture
from gallerist.data.preprocessing import Preprocessing, decode_ahead
from gallerist.data.warping import Recipe, Warp
from gallerist.io.files import canonical_json, sha256_of_text


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
    settings_ = Preprocessing(image_size=224, resizing="crop")
    hashes = {settings_.sha256}
    for field in fields(Preprocessing):
        value = getattr(settings_, field.name)
        others = {"look": "grey", "profiles": "ignore", "resizing": "pad", "crop_ratio": 0.9}
        other = others.get(field.name) or value + 1
        hashes.add(replace(settings_, **{field.name: other}).sha256)
    assert len(hashes) == 1 + len(fields(Preprocessing))
    assert Preprocessing(224, resizing="crop").sha256 == settings_.sha256


def test_vectors_of_squeezed_pictures_stay_what_they_were_before_there_was_a_choice():
    described = {"image_size": 224, "look": "colour", "max_pixels": 100_000_000}
    described |= {"profiles": "apply", "version": 2}
    assert Preprocessing(224).sha256 == sha256_of_text(canonical_json(described))
    assert Preprocessing(224, crop_ratio=0.9).sha256 == Preprocessing(224).sha256
    usual = Preprocessing(224, resizing="crop")
    assert usual.sha256 == Preprocessing(224, resizing="crop", crop_ratio=0.875).sha256


@pytest.mark.parametrize(("look", "beside"), [("grey", 118), ("drawing", 255)])
def test_a_padded_picture_lies_on_its_own_kind_of_paper(folder, look, beside):
    path = save(folder / "wide.png", noise(30, 90))
    padded = Preprocessing(60, look=look, resizing="pad").load(path)
    assert (padded[:20] == beside).all()
    assert (padded[40:] == beside).all()
    alone = Preprocessing(60, look=look, resizing="pad").load_whole(path, 60)
    np.testing.assert_array_equal(padded[20:40], alone)


def test_copies_are_cropped_after_they_are_warped(folder):
    """A copy that looks a fifth further right shows, cropped, what lies a fifth further right."""
    columns = np.indices((100, 300))[1] * 250 // 300
    path = save(folder / "ramp.png", np.stack([columns] * 3, axis=2))
    recipe = Recipe(1, 300, "nearest", Warp(tx=0.2)).text()
    copy = Picture(
        id="c",
        source_id="o",
        path=str(path),
        label="",
        part="",
        width=300,
        height=100,
        phash="",
        recipe=recipe,
    )
    cropped = Preprocessing(64, resizing="crop").load(copy)
    assert int(cropped[32, 32, 0]) == pytest.approx(250 * 0.7, abs=2)


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


# gallerist.data.batches: batches in order, bounded, and no thread left behind.

SIDE = 8


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Twenty pictures of sizes of their own."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    paths = [str(folder / f"{number}.png") for number in range(20)]
    for number, path in enumerate(paths):
        assert cv2.imwrite(path, random.integers(0, 256, (9 + number, 30, 3), dtype=np.uint8))
    return paths


@dataclass(frozen=True)
class Counted(Preprocessing):
    """Counts what it has decoded, in whatever thread, and how many threads do so at once."""

    def __post_init__(self):
        object.__setattr__(self, "done", [])
        object.__setattr__(self, "at_once", [])

    def load_group(self, pictures):
        self.at_once.append(len(decoding_threads()))
        pixels = super().load_group(pictures)
        self.done.extend(pictures)
        return pixels


def decoding_threads():
    return [each for each in threading.enumerate() if each.name.startswith("decoding")]


def settled(count):
    """Wait until something that goes on in other threads counts no more, and give its count."""
    before = -1
    while before != (now := count()):
        before = now
        time.sleep(0.2)
    return now


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("ahead", [0, 1, 5, 99])
@pytest.mark.parametrize("batch_size", [1, 7, 20, 50])
def test_batches_hold_all_pictures_in_order(batch_size, ahead, threads, files):
    preprocessing = Preprocessing(SIDE)
    batches = list(
        decode_ahead(files, preprocessing, batch_size=batch_size, threads=threads, ahead=ahead)
    )
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert 1 <= len(batches[-1]) <= batch_size
    assert {batch.dtype for batch in batches} == {np.dtype(np.uint8)}
    one_by_one = np.stack([preprocessing.load(path) for path in files])
    np.testing.assert_array_equal(np.concatenate(batches), one_by_one)


def test_no_files_give_no_batches():
    assert list(decode_ahead([], Preprocessing(SIDE), threads=2)) == []


def test_batches_are_of_32_or_larger_where_more_threads_need_pictures(files):
    paths = (files * 10)[:150]
    for threads, expected in [(2, [32] * 4 + [22]), (40, [80, 70])]:
        batches = decode_ahead(paths, Preprocessing(SIDE), threads=threads)
        assert [len(batch) for batch in batches] == expected


def test_no_more_is_decoded_than_so_many_batches_ahead(files):
    preprocessing = Counted(SIDE)
    batches = decode_ahead(files, preprocessing, batch_size=3, threads=2, ahead=2)
    assert not preprocessing.done  # nothing before the first batch is asked for
    for taken in (1, 2, 3):
        next(batches)
        assert settled(lambda: len(preprocessing.done)) == 3 * (taken + 2)
    batches.close()


def test_no_more_threads_decode_than_are_given(files):
    preprocessing = Counted(SIDE)
    list(decode_ahead(files * 3, preprocessing, threads=3))
    assert max(preprocessing.at_once) <= 3


@pytest.mark.parametrize("position", [0, 8, 19])
def test_a_bad_picture_is_named_after_the_batches_before_it(position, files, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"<html>")
    paths = [*files]
    paths[position] = str(bad)
    batches = decode_ahead(paths, Preprocessing(SIDE), batch_size=4, threads=2)
    for _ in range(position // 4):
        assert len(next(batches)) == 4
    with pytest.raises(BadImage) as refusal:
        next(batches)
    assert str(refusal.value).startswith(f"{bad}: not an image")
    assert not decoding_threads()


def test_of_two_bad_pictures_the_first_is_named(files, tmp_path):
    (tmp_path / "slow.png").write_bytes(b"<html>" + b" " * 5_000_000)
    paths = [*files[:3], str(tmp_path / "slow.png"), str(tmp_path / "gone.png")]
    for _ in range(5):
        with pytest.raises(BadImage, match=r"slow\.png: not an image"):
            list(decode_ahead(paths, Preprocessing(SIDE), threads=4))


@pytest.mark.parametrize("how", ["closed", "dropped", "finished"])
def test_threads_end_with_the_iterator(how, files):
    batches = decode_ahead(files, Preprocessing(SIDE), batch_size=2, threads=3)
    next(batches)
    assert decoding_threads()
    if how == "closed":
        batches.close()
    elif how == "finished":
        list(batches)
    else:
        del batches
    assert not decoding_threads()
