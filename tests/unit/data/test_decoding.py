import errno
import io
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from checkout import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from gallerist.data.decoding import BadImage, decode_image, image_format, read_bytes, read_image


def photo(width=24, height=16, seed=0):
    """Smooth colours without any symmetry."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour_type, rows, *chunks):
    """A PNG made by hand: `rows` are packed pixels, `chunks` come before them."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    middle = b"".join(chunk(*item) for item in chunks)
    signature = b"\x89PNG\r\n\x1a\n"
    return (
        signature + chunk(b"IHDR", header) + middle + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def tiff(width, height, bits, pixels, *, order="<", photometric=1, sample_format=1):
    """A one-strip, one-channel TIFF made by hand."""
    entries = [
        (256, 3, width),
        (257, 3, height),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, 1),
        (278, 3, height),
        (279, 4, len(pixels)),
        (339, 3, sample_format),
    ]
    directory = struct.pack(order + "H", len(entries))
    for tag, kind, value in entries:
        directory += struct.pack(order + "HHI", tag, kind, 1)
        directory += struct.pack(order + ("HH" if kind == 3 else "I"), *([value, 0][: 5 - kind]))
    head = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(pixels))
    return head + pixels + directory + bytes(4)


def reason(data, **limits):
    with pytest.raises(BadImage) as caught:
        decode_image(data, **limits)
    return str(caught.value)


def outcome(data, **limits):
    """The pixels, or the reason why there are none; any other exception passes through."""
    try:
        return decode_image(data, **limits)
    except BadImage as error:
        return str(error)


def grey(*values):
    return [[[value] * 3 for value in values]]


BLACK, WHITE, RED = [0, 0, 0], [255, 255, 255], [255, 0, 0]

HAND_MADE = {
    "1 bit": (png(4, 1, 1, 0, [bytes([0b01100000])]), grey(0, 255, 255, 0)),
    "2 bits": (png(4, 1, 2, 0, [bytes([0b00011011])]), grey(0, 85, 170, 255)),
    "4 bits": (png(2, 1, 4, 0, [bytes([0x1F])]), grey(17, 255)),
    "8 bits": (png(3, 1, 8, 0, [bytes([0, 7, 255])]), grey(0, 7, 255)),
    "16 bits, scaled and rounded": (
        # 128 / 257 = 0.498, 129 / 257 = 0.502, 33023 / 257 = 128.49, 33024 / 257 = 128.498
        png(6, 1, 16, 0, [struct.pack(">6H", 0, 128, 129, 33023, 65278, 65535)]),
        grey(0, 0, 1, 128, 254, 255),
    ),
    "2 bits with a colour key": (
        png(4, 1, 2, 0, [bytes([0b00011011])], (b"tRNS", b"\0\1")),
        grey(0, 255, 170, 255),
    ),
    "8 bits with a colour key": (
        png(3, 1, 8, 0, [bytes([0, 7, 200])], (b"tRNS", b"\0\7")),
        grey(0, 255, 200),
    ),
    "16 bits with a colour key": (
        # 258 is the key; 257 has the same high byte and stays
        png(2, 1, 16, 0, [struct.pack(">2H", 258, 257)], (b"tRNS", struct.pack(">H", 258))),
        grey(255, 1),
    ),
    "RGB": (png(2, 1, 8, 2, [bytes([1, 2, 3, 255, 0, 0])]), [[[1, 2, 3], RED]]),
    "RGB with a colour key": (
        png(2, 1, 8, 2, [bytes([1, 2, 3, 255, 0, 0])], (b"tRNS", struct.pack(">3H", 1, 2, 3))),
        [[WHITE, RED]],
    ),
    "16-bit RGB": (
        png(1, 1, 16, 2, [struct.pack(">3H", 0x0102, 0x80FF, 0xFFFF)]),
        [[[1, 128, 255]]],
    ),
    "16-bit RGB with a colour key": (
        png(
            2,
            1,
            16,
            2,
            [struct.pack(">6H", 0x0102, 0x0203, 0x0304, 0xFF00, 0, 0)],
            (b"tRNS", struct.pack(">3H", 0x0102, 0x0203, 0x0304)),
        ),
        [[WHITE, RED]],
    ),
    "grey with alpha": (
        # 100 * 51 / 255 + 255 * 204 / 255 = 20 + 204
        png(3, 1, 8, 4, [bytes([100, 255, 100, 0, 100, 51])]),
        grey(100, 255, 224),
    ),
    "RGBA": (
        png(3, 1, 8, 6, [bytes([255, 0, 0, 255, 255, 0, 0, 0, 255, 0, 0, 51])]),
        [[RED, WHITE, [255, 204, 204]]],
    ),
    "palette": (
        png(2, 1, 8, 3, [bytes([1, 0])], (b"PLTE", bytes([1, 2, 3, 255, 0, 0]))),
        [[RED, [1, 2, 3]]],
    ),
    "palette with transparent entries": (
        png(
            3,
            1,
            8,
            3,
            [bytes([0, 1, 2])],
            (b"PLTE", bytes([255, 0, 0, 255, 0, 0, 0, 0, 0])),
            (b"tRNS", bytes([0, 51])),
        ),
        [[WHITE, [255, 204, 204], BLACK]],
    ),
    "TIFF of 8 bits": (tiff(2, 1, 8, bytes([3, 250])), grey(3, 250)),
    "TIFF of 8 bits counted from white": (
        tiff(2, 1, 8, bytes([3, 250]), photometric=0),
        grey(252, 5),
    ),
    "TIFF of 12 bits": (tiff(2, 1, 12, bytes([0xFF, 0xF0, 0x10])), grey(255, 1)),
    "TIFF of 16 bits": (tiff(2, 1, 16, struct.pack("<2H", 257, 65535)), grey(1, 255)),
    "big-endian TIFF of 16 bits": (
        tiff(2, 1, 16, struct.pack(">2H", 257, 65535), order=">"),
        grey(1, 255),
    ),
    "TIFF of 16 bits counted from white": (
        tiff(2, 1, 16, struct.pack("<2H", 257, 65535), photometric=0),
        grey(254, 0),
    ),
    "float TIFF from 0 to 1": (
        tiff(3, 1, 32, struct.pack("<3f", 0, 0.2, 1), sample_format=3),
        grey(0, 51, 255),
    ),
    "float TIFF from 0 to 255": (
        tiff(3, 1, 32, struct.pack("<3f", 0, 99.6, 255), sample_format=3),
        grey(0, 100, 255),
    ),
    "float TIFF from 0 to 65535": (
        tiff(3, 1, 32, struct.pack("<3f", 0, 514, 65535), sample_format=3),
        grey(0, 2, 255),
    ),
    "GIF with a transparent colour": (
        encoded(Image.frombytes("P", (2, 1), bytes([0, 1])), "GIF", transparency=1),
        grey(0, 255),
    ),
    "BMP": (
        encoded(Image.frombytes("RGB", (1, 2), bytes([255, 0, 0, 1, 2, 3])), "BMP"),
        [[RED], [[1, 2, 3]]],
    ),
    "lossless WebP with alpha": (
        encoded(
            Image.frombytes("RGBA", (2, 1), bytes([255, 0, 0, 51, 1, 2, 3, 255])),
            "WEBP",
            lossless=True,
            exact=True,
        ),
        [[[255, 204, 204], [1, 2, 3]]],
    ),
    "CMYK TIFF": (
        encoded(
            Image.frombytes("CMYK", (3, 1), bytes([0, 255, 255, 0, 0, 0, 0, 255, 0, 0, 0, 0])),
            "TIFF",
        ),
        [[RED, BLACK, WHITE]],
    ),
}


@pytest.mark.parametrize("kind", HAND_MADE)
def test_pixels_of_every_kind_become_the_expected_rgb(kind):
    data, expected = HAND_MADE[kind]
    pixels = decode_image(data)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.tolist() == expected


def test_sixteen_bits_of_either_byte_order_and_packing_agree():
    values = np.linspace(0, 65535, 12 * 10).astype(np.uint16).reshape(10, 12)
    image = Image.fromarray(values)
    expected = np.rint(values / 257).astype(np.uint8)[..., None].repeat(3, axis=2)
    for data in (
        encoded(image, "PNG"),
        encoded(image, "TIFF"),
        encoded(image, "TIFF", compression="tiff_lzw"),
        tiff(12, 10, 16, values.astype(">u2").tobytes(), order=">"),
    ):
        np.testing.assert_array_equal(decode_image(data), expected)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_jpeg_has_the_pixels_that_opencv_sees(options):
    data = encoded(photo(67, 45), "JPEG", quality=90, **options)
    seen = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decode_image(data).astype(int) - seen).max() <= 3


def test_a_cmyk_jpeg_has_the_colours_it_was_made_from():
    patches = np.zeros((16, 48, 4), np.uint8)
    patches[:, :16, 1:3] = 255  # red
    patches[:, 16:32, 3] = 255  # black
    pixels = decode_image(encoded(Image.fromarray(patches, "CMYK"), "JPEG", quality=95))
    for column, expected in ((8, RED), (24, BLACK), (40, WHITE)):
        assert np.abs(pixels[8, column].astype(int) - expected).max() <= 6


def test_a_grey_jpeg_has_three_equal_channels():
    pixels = decode_image(encoded(photo().convert("L"), "JPEG"))
    assert pixels.shape == (16, 24, 3)
    assert (pixels == pixels[..., :1]).all()


def test_an_animation_is_its_first_frame():
    red, blue = Image.new("RGB", (5, 4), "red"), Image.new("RGB", (5, 4), "blue")
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})):
        data = encoded(red, kind, save_all=True, append_images=[blue], **options)
        assert decode_image(data).tolist() == [[RED] * 5] * 4, kind


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_pillow_does(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(photo(), kind, exif=exif, **options)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    pixels = decode_image(data)
    assert pixels.shape[:2] == ((16, 24) if orientation < 5 else (24, 16))
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stored_turned_stands_upright(orientation):
    """The inverse, written out from the EXIF 2.3 table of rows and columns."""
    upright = np.asarray(photo())
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    np.testing.assert_array_equal(decode_image(encoded(image, "PNG", exif=exif)), upright)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "block", [b"Exif\0\0rubbish", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"]
)
def test_a_broken_exif_block_does_not_lose_the_picture(block):
    plain = encoded(photo(), "JPEG")
    data = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + plain[2:]
    np.testing.assert_array_equal(decode_image(data), decode_image(plain))


FORMATS = {
    "JPEG": encoded(photo(64, 48), "JPEG"),
    "progressive JPEG": encoded(photo(64, 48), "JPEG", progressive=True),
    "PNG": encoded(photo(), "PNG"),
    "WebP": encoded(photo(64, 48), "WEBP"),
    "lossless WebP": encoded(photo(), "WEBP", lossless=True),
    "BMP": encoded(photo(), "BMP"),
    "GIF": encoded(photo(), "GIF"),
    "TIFF": encoded(photo(), "TIFF"),
    "LZW TIFF": encoded(photo(), "TIFF", compression="tiff_lzw"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_anywhere_is_never_read_as_another_picture(name):
    data = FORMATS[name]
    whole = decode_image(data)
    lengths = sorted({*range(0, len(data), 7), *range(len(data) - 40, len(data))})
    read = []
    for length in lengths:
        found = outcome(data[:length])
        if isinstance(found, str):
            assert found.startswith(("truncated", "empty file", "not an image")), length
        else:
            np.testing.assert_array_equal(found, whole)
            read.append(len(data) - length)
    # Only a GIF does without its last bytes: its one frame ends before them.
    assert max(read, default=0) <= (2 if name == "GIF" else 0)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_whose_tail_is_zeros_is_truncated_and_not_shown_grey(share, progressive):
    data = encoded(photo(200, 150), "JPEG", progressive=progressive)
    kept = int(len(data) * share)
    assert reason(data[:kept] + bytes(len(data) - kept)).startswith("truncated")


def test_the_end_marker_of_a_thumbnail_does_not_count():
    thumbnail = encoded(photo(16, 16), "JPEG")
    plain = encoded(photo(200, 150), "JPEG")
    segment = b"\xff\xe2" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    data = plain[:2] + segment + plain[2:]
    np.testing.assert_array_equal(decode_image(data), decode_image(plain))
    assert reason(data[:-400] + bytes(40_000)).startswith("truncated")


def test_bytes_after_the_end_of_a_picture_do_no_harm():
    for name, data in FORMATS.items():
        np.testing.assert_array_equal(decode_image(data + b"more"), decode_image(data), name)


def test_a_damaged_png_is_named_so():
    data = bytearray(FORMATS["PNG"])
    middle = data.index(b"IDAT") + 40
    data[middle] ^= 0xFF
    assert reason(bytes(data)).startswith("damaged PNG: ")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty file"),
        (b"\x89PN", "truncated: only 3 bytes"),
        (b"\n<!DOCTYPE html><html>404</html>", "not an image: an HTML page"),
        (b"<HTML><body>Not found", "not an image: an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "not an image: a Git LFS pointer"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x">', "not an image: an SVG drawing"),
        (b"%PDF-1.7\n\xe2", "not an image: a PDF document"),
        (b"PK\x03\x04\x14\0", "not an image: a ZIP archive"),
        (b"\0\0\0\x1cftypavif", "truncated or damaged AVIF: it does not say how large"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "truncated or damaged AVIF: "),
        (b"\0\0\0\x18ftypheim\0\0\0\0", "truncated or damaged HEIC: "),
        (b"\0\0\0\x18ftyphevc\0\0\0\0hevcheic", "truncated or damaged HEIC: "),
        (b"\0\0\0\x18ftypcrx \0\0\0\0", "not read: a camera's raw file; convert it"),
        (b"\xff\x0a" + bytes(60), "not read: JPEG XL; convert it to PNG or JPEG"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60), "not read: JPEG 2000; convert it"),
        (b"8BPS\0\1" + bytes(60), "not read: a Photoshop document; convert it"),
        (b"P6 1 1 255\n\xff\xff\xff", "not read: a PNM picture; convert it"),
        (b"\0\0\1\0\1\0" + bytes(60), "truncated: the icon does not end"),
        (
            b'<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg xmlns="x"/>',
            "not an image: an SVG drawing",
        ),
        (b'<!-- a > b -->\n<svg xmlns="x"/>', "not an image: an SVG drawing"),
        (b'\xef\xbb\xbf<svg xmlns="x"/>', "not an image: an SVG drawing"),
        (b"\xef\xbb\xbf<!DOCTYPE html><html>", "not an image: an HTML page"),
        (b"<!-- saved from a page --><html>", "not an image: an HTML page"),
        (b'<?xml version="1.0"?><gpx/>', "not an image: an XML file"),
        ("caf\u00e9\n".encode(), "not an image: text"),
        ("caf\u00e9".encode("utf-16"), "not an image: text"),
        (b"\0\0\0\x20ftypisom", "not an image: a video"),
        (bytes(1000), "not an image: nothing but zero bytes"),
        (b"a list of names\n", "not an image: text"),
        (bytes(range(128, 200)), "not an image"),
    ],
)
def test_what_is_no_picture_is_named(data, expected):
    found = reason(data)
    assert found.startswith(expected)


def test_sizes_out_of_bounds_are_named_with_the_bound():
    assert reason(encoded(photo(1, 1), "PNG"), min_side=8) == "1x1 pixels: smaller than 8 a side"
    long = encoded(Image.new("RGB", (20000, 1)), "PNG")
    assert reason(long, min_side=8) == "20000x1 pixels: smaller than 8 a side"
    assert (
        reason(encoded(photo(24, 16), "JPEG"), max_pixels=383)
        == "24x16 pixels: more than 383 in all"
    )
    assert decode_image(encoded(photo(24, 16), "JPEG"), max_pixels=384, min_side=16).shape == (
        16,
        24,
        3,
    )


def test_a_bomb_is_refused_by_its_header_before_anything_is_decoded():
    """None of these could be decoded: their pixels are missing."""
    bombs = {
        "PNG": png(50_000, 50_000, 8, 2, []),
        "JPEG": FORMATS["JPEG"].replace(
            struct.pack(">HH", 48, 64), struct.pack(">HH", 50_000, 50_000)
        ),
        "GIF": FORMATS["GIF"][:6] + struct.pack("<HH", 50_000, 50_000) + FORMATS["GIF"][10:],
        "BMP": FORMATS["BMP"][:18] + struct.pack("<II", 50_000, 50_000) + FORMATS["BMP"][26:],
        "TIFF": tiff(50_000, 50_000, 8, b""),
    }
    for name, data in bombs.items():
        assert reason(data) == "50000x50000 pixels: more than 100000000 in all", name


@pytest.mark.filterwarnings("error")
def test_limits_are_ours_and_not_pillows_global_ones(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    for name in ("JPEG", "PNG", "BMP", "GIF"):
        assert decode_image(FORMATS[name]).size > 0
    assert Image.MAX_IMAGE_PIXELS == 1


def test_pixels_without_a_known_scale_are_refused():
    integers = tiff(2, 1, 32, struct.pack("<2I", 5, 70_000))
    assert "32-bit integer" in reason(integers)
    for values in ((-1.0, 1.0), (0.0, 1e6), (0.0, float("nan"))):
        data = tiff(2, 1, 32, struct.pack("<2f", *values), sample_format=3)
        assert reason(data).startswith("float pixels from ")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("JPEG", "JPEG"),
        ("PNG", "PNG"),
        ("WebP", "WebP"),
        ("BMP", "BMP"),
        ("GIF", "GIF"),
        ("LZW TIFF", "TIFF"),
    ],
)
def test_the_format_is_recognised_by_content_and_not_by_name(tmp_path, name, expected):
    path = tmp_path / "picture.txt"
    path.write_bytes(FORMATS[name])
    assert image_format(path) == expected
    np.testing.assert_array_equal(read_image(str(path)), decode_image(FORMATS[name]))


def path_reason(path):
    with pytest.raises(BadImage) as caught:
        read_image(path)
    with pytest.raises(BadImage) as also:
        image_format(path)
    assert str(also.value) == str(caught.value)
    return str(caught.value)


def test_paths_that_lead_to_no_file_are_named_for_people(tmp_path):
    folder = tmp_path / "x.jpg"
    folder.mkdir()
    assert path_reason(folder) == "a folder, not a file"
    assert path_reason(tmp_path / "none.jpg") == "no such file"
    (tmp_path / "link.jpg").symlink_to("gone.jpg")
    assert path_reason(tmp_path / "link.jpg") == "dangling link: gone.jpg does not exist"
    (tmp_path / "round.jpg").symlink_to("round.jpg")
    assert path_reason(tmp_path / "round.jpg") == "a link that leads back to itself"
    os.mkfifo(tmp_path / "pipe.jpg")
    assert path_reason(tmp_path / "pipe.jpg") == "a pipe, socket or device, not a file"
    (tmp_path / "empty.jpg").touch()
    assert path_reason(tmp_path / "empty.jpg") == "empty file"


@pytest.mark.parametrize(
    ("code", "expected"),
    [(errno.EACCES, "no permission to read it"), (errno.EIO, "cannot be read: Input/output error")],
)
def test_a_file_that_the_system_does_not_give_is_named(tmp_path, monkeypatch, code, expected):
    path = tmp_path / "a.jpg"
    path.write_bytes(FORMATS["JPEG"])

    def refuse(*arguments, **options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", refuse)
    assert path_reason(path) == expected


def test_a_file_much_too_large_is_not_read(tmp_path):
    path = tmp_path / "film.bmp"
    path.write_bytes(FORMATS["BMP"])
    os.truncate(path, 2**31)
    with pytest.raises(BadImage, match="too large for a picture of 1000 pixels"):
        read_bytes(path, max_pixels=1000)


def test_many_threads_read_what_one_reads(tmp_path):
    files = []
    for name, data in FORMATS.items():
        path = tmp_path / name
        path.write_bytes(data)
        files += [path] * 20
    with ThreadPoolExecutor(8) as pool:
        for path, pixels in zip(files, pool.map(read_image, files), strict=True):
            np.testing.assert_array_equal(pixels, read_image(path))


@st.composite
def mangled_files(draw):
    data = bytearray(FORMATS[draw(st.sampled_from(sorted(FORMATS)))])
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, min(len(data) - 1, draw(st.sampled_from([64, 10**6])))))
        data[at] = draw(st.integers(0, 255))
    end = draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))
    return bytes(data[:end])


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=400, deadline=None)
@given(mangled_files())
def test_a_mangled_file_gives_pixels_or_a_reason_and_nothing_else(data):
    found = outcome(data, max_pixels=10**6)
    if isinstance(found, str):
        assert found
        assert "\n" not in found
    else:
        assert found.shape[2:] == (3,)
        assert found.dtype == np.uint8


def test_every_photo_of_the_shared_data_is_read():
    photos = sorted((SHARED / "data" / "monkeys10").rglob("*.jp*g"))[::40]
    if not photos:
        pytest.skip("the shared data set monkeys10 is absent")
    for path in photos:
        seen = cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]
        assert np.abs(read_image(path).astype(int) - seen).max() <= 3, path
