"""data.png against Pillow's own reader of PNG files, for every kind of pixel there is."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from coded_pictures import chunk
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gallerist.data.decoding import BadImage, decode_image
from gallerist.data.png import _MARKS, _MODES

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2)]  # fmt: skip
KINDS = sorted(_MODES)


def lengths(size, depth, kind, *, interlaced):
    """Bytes of each row of the file."""
    (width, height), found = size, []
    for left, top, across, down in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        found += [(columns * CHANNELS[kind] * depth + 7) // 8] * max(rows, 0) * (columns > 0)
    return found


def png(size, depth, kind, rows, before=b"", *, interlaced=False, methods=(0, 0), parts=1):
    """rows: filter and packed pixels of each. before: chunks before the pixels."""
    header = struct.pack(">IIBBBBB", *size, depth, kind, *methods, interlaced)
    packed = zlib.compress(b"".join(rows))
    step = -(-len(packed) // parts)
    pixels = [chunk(b"IDAT", packed[at : at + step]) for at in range(0, len(packed), step)]
    chunks = [chunk(b"IHDR", header), before, *pixels, chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def palette(depth):
    return chunk(b"PLTE", random.Random(depth).randbytes(3 * 2**depth))


def by_pillow(data):
    """RGB on white, by Pillow's reader of whole files."""
    with Image.open(io.BytesIO(data)) as image:
        if image.mode.startswith("I;16"):
            grey = np.rint(np.asarray(image) / 257).astype(np.uint8)
            return np.dstack([grey] * 3)
        coloured = image.convert("RGBA")
    paper = Image.new("RGBA", coloured.size, "white")
    paper.paste(coloured, mask=coloured)
    return np.asarray(paper)[..., :3]


@settings(max_examples=100)
@given(
    st.sampled_from(KINDS), st.integers(1, 20), st.integers(1, 20), st.booleans(),
    st.integers(1, 4), st.integers(0, 2**32), st.booleans(),
)  # fmt: skip
def test_pixels_are_those_that_pillow_reads(bits, width, height, interlaced, parts, seed, clear):
    (depth, kind), chance = bits, random.Random(seed)
    rows = [
        bytes([chance.randrange(5)]) + chance.randbytes(length)
        for length in lengths((width, height), depth, kind, interlaced=interlaced)
    ]
    before = palette(depth) if kind == 3 else b""
    if clear and kind == 3:
        before += chunk(b"tRNS", chance.randbytes(chance.randint(1, 2**depth)))
    elif clear and kind in (0, 2) and depth in (1, 8):  # of the others Pillow compares other bits
        key = [chance.randrange(2**depth) for _ in range(CHANNELS[kind])]
        before += chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))
    data = png((width, height), depth, kind, rows, before, interlaced=interlaced, parts=parts)
    np.testing.assert_array_equal(decode_image(data), by_pillow(data))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("depth", "kind"), KINDS)
def test_a_picture_without_its_last_row_is_refused_and_a_whole_one_is_not(depth, kind, interlaced):
    """Also one that is black: what is missing is not known by its colour."""
    before = palette(depth) if kind == 3 else b""
    size = (13, 9)
    rows = [bytes(1 + each) for each in lengths(size, depth, kind, interlaced=interlaced)]
    assert decode_image(png(size, depth, kind, rows, before, interlaced=interlaced)).size
    with pytest.raises(BadImage, match="truncated: the PNG has fewer rows than it says"):
        decode_image(png(size, depth, kind, rows[:-1], before, interlaced=interlaced))


@pytest.mark.parametrize(
    ("mode", "depth", "kind", "pixel"),
    [
        ("1", 1, 0, b"\xff"),
        ("L", 8, 0, b"\3"),
        ("I;16", 16, 0, b"\3\7"),
        ("P", 8, 3, b"\xfe"),
        ("LA", 8, 4, b"\3\x5b"),
        ("RGB", 8, 2, b"\3\xfc\x5b"),
        ("RGBA", 8, 6, b"\3\xfc\x5b\7"),
    ],
)
def test_a_whole_picture_is_read_though_it_ends_as_missing_rows_are_marked(
    mode, depth, kind, pixel
):
    before = palette(depth) if kind == 3 else b""
    with Image.open(io.BytesIO(png((1, 1), depth, kind, [b"\0" + pixel], before))) as image:
        assert image.mode == mode
        last = image.getpixel((0, 0))
    assert last == (255 if mode == "1" else _MARKS.get(mode, (3, 252, 91, 7)))
    data = png((1, 2), depth, kind, [b"\0" + pixel] * 2, before)
    np.testing.assert_array_equal(decode_image(data), by_pillow(data))
    with pytest.raises(BadImage, match="fewer rows"):
        decode_image(png((1, 2), depth, kind, [b"\0" + pixel], before))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_of_a_transparent_colour_the_bits_count_that_the_picture_has(depth):
    """As libpng, and so a browser, takes it."""
    rows = [b"\0" + bytes([0b10110001])]
    seen = decode_image(
        png((8 // depth, 1), depth, 0, rows, chunk(b"tRNS", struct.pack(">H", 0xFF00 + 0xB1)))
    )
    key = 0xB1 & (2**depth - 1)
    values = [0b10110001 >> shift & (2**depth - 1) for shift in range(8 - depth, -1, -depth)]
    most = 2**depth - 1
    assert [*seen[0, :, 0]] == [255 if value == key else value * 255 // most for value in values]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"methods": (1, 0)}, "names a method that there is not"),
        ({"methods": (0, 1)}, "names a method that there is not"),
        ({"interlaced": 2}, "names a method that there is not"),
        ({"depth": 3}, "there is no colour type 0 of 3 bits"),
        ({"kind": 5}, "there is no colour type 5 of 8 bits"),
    ],
)
def test_a_header_that_says_what_there_is_not_is_refused(change, reason):
    given = {"size": (1, 1), "depth": 8, "kind": 0, "rows": [b"\0\0"]}
    assert decode_image(png(**given)).size
    with pytest.raises(BadImage, match=f"damaged PNG: {reason}|damaged PNG: its header {reason}"):
        decode_image(png(**given | change))


def test_pixels_that_cannot_be_unpacked_or_end_early_are_refused():
    rows = [b"\0" + random.Random(row).randbytes(300) for row in range(50)]
    data = png((100, 50), 8, 2, rows)
    start, end = data.index(b"IDAT") + 4, data.index(b"IEND") - 8

    def with_pixels(content):
        return data[: start - 8] + chunk(b"IDAT", content) + chunk(b"IEND", b"")

    assert decode_image(with_pixels(data[start:end])).size
    with pytest.raises(BadImage, match="truncated: the pixels of the PNG end early"):
        decode_image(with_pixels(data[start : end - 400]))
    with pytest.raises(BadImage, match="damaged PNG: its pixels cannot be unpacked"):
        decode_image(with_pixels(bytes(40)))
    filters = [b"\7" + row[1:] for row in rows]
    with pytest.raises(BadImage, match="damaged PNG: its pixels cannot be unpacked"):
        decode_image(png((100, 50), 8, 2, filters))
