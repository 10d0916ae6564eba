"""data.fast_jpeg against the careful decoder of gallerist.data.decoding: the same bits, or none."""

import io

import numpy as np
import pytest
from checkout import SHARED
from coded_pictures import profile, segment
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from gallerist.data.decoding import MAX_PIXELS, BadImage, decode_image
from gallerist.data.fast_jpeg import decode_plain_jpeg


def picture(width, height, seed=0, mode="RGB"):
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def jpeg(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


@example(1, 1, 18, 0, False)  # its tables hold the two bytes that begin a JPEG
@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 90), st.integers(1, 90), st.integers(1, 100), st.sampled_from([0, 1, 2]),
    st.booleans(),
)  # fmt: skip
def test_the_bits_are_those_of_the_careful_decoder(width, height, quality, subsampling, restarts):
    options = {"restart_marker_blocks": 2} if restarts else {}
    data = jpeg(picture(width, height, width), quality=quality, subsampling=subsampling, **options)
    pixels = decode_plain_jpeg(data, max_pixels=MAX_PIXELS)
    if pixels is None:
        assert b"\xff\xd8" in data[2:]  # left to the careful decoder
    else:
        np.testing.assert_array_equal(pixels, decode_image(data))


def exif(orientation):
    block = Image.Exif()
    block[0x0112] = orientation
    return block


@pytest.mark.parametrize(
    "data",
    [
        jpeg(picture(20, 10), exif=exif(6)),
        jpeg(picture(20, 10, mode="L")),
        jpeg(picture(20, 10, mode="CMYK")),
        jpeg(picture(20, 10), progressive=True),
        jpeg(picture(20, 10))[:-2],
        jpeg(picture(20, 10))[:-40] + bytes(40),
        jpeg(picture(20, 10))[:30],
        b"\xff\xd8\xff",
        b"",
        b"\x89PNG\r\n\x1a\n",
    ],
    ids=[
        *("turned", "grey", "CMYK", "progressive", "no end marker", "zeros at the end"),
        *("header only", "three bytes", "empty", "PNG"),
    ],
)
def test_what_is_not_plain_is_left_to_the_careful_decoder(data):
    assert decode_plain_jpeg(data, max_pixels=MAX_PIXELS) is None


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize(
    ("content", "plain"),
    [
        (b"\1\1" + SRGB, True),
        (b"\1\1" + profile(1.8, space=b"GRAY"), True),
        (b"\1\1 no profile", True),
        (b"\1\1" + profile(1.8), False),
        (b"\1\2" + SRGB, False),
    ],
    ids=["sRGB", "of grey", "damaged", "other colours", "one part of two"],
)
def test_a_profile_that_changes_nothing_leaves_a_picture_plain(content, plain):
    data = jpeg(picture(20, 10))
    data = data[:2] + segment(0xE2, b"ICC_PROFILE\0" + content) + data[2:]
    pixels = decode_plain_jpeg(data, max_pixels=MAX_PIXELS)
    assert (pixels is not None) == plain
    if plain:
        np.testing.assert_array_equal(pixels, decode_image(data))


def test_a_picture_of_too_many_pixels_is_left_to_the_careful_decoder_which_refuses_it():
    data = jpeg(picture(20, 10))
    assert decode_plain_jpeg(data, max_pixels=200) is not None
    assert decode_plain_jpeg(data, max_pixels=199) is None
    with pytest.raises(BadImage, match="more than 199"):
        decode_image(data, max_pixels=199)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_no_bytes_make_it_fail(tail):
    head = jpeg(picture(8, 8))[:40]
    for data in (b"\xff\xd8" + tail, head + tail):
        found = decode_plain_jpeg(data, max_pixels=MAX_PIXELS)
        assert found is None or found.dtype == np.uint8


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared photos are not here")
def test_real_photos_are_decoded_alike():
    files = sorted(SHARED.glob("data/monkeys10/validation/query/*/*.jpg"))[::9]
    assert files
    for file in files:
        data = file.read_bytes()
        pixels = decode_plain_jpeg(data, max_pixels=MAX_PIXELS)
        assert pixels is not None
        np.testing.assert_array_equal(pixels, decode_image(data), err_msg=file.name)
