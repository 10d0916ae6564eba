"""data.readers and what they read with: every kind of picture as browsers show it, or refused.

What is expected was worked out from the pixels that a file was made of. Chromium shows the same,
within a level, wherever it shows the format.
"""

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from coded_pictures import (
    GREY,
    HEIGHT,
    RGB,
    SRGB,
    WIDTH,
    animated_webp,
    bitmap,
    chunk,
    encoded,
    from_light,
    gif,
    info,
    png,
    profile,
    segment,
    tags,
    tiff,
)
from PIL import Image

from gallerist.data.decoding import BadImage, decode_image
from gallerist.data.fast_jpeg import decode_plain_jpeg

JPEG = encoded(RGB, "JPEG", quality=95, subsampling=0)
IN_JPEG = np.asarray(Image.open(io.BytesIO(JPEG)))
THREE = np.dstack([GREY] * 3)
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    b'tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def in_jpeg(*segments):
    return JPEG[:2] + b"".join(segments) + JPEG[2:]


def icc(content):
    return chunk(b"iCCP", b"x\0\0" + zlib.compress(content))


def on_white(size, corner):
    canvas = np.full((size[1], size[0], 3), 255, np.uint8)
    left, top = corner
    canvas[top : top + HEIGHT, left : left + WIDTH] = RGB
    return canvas


def control(number, size=(WIDTH, HEIGHT), corner=(0, 0)):
    return chunk(b"fcTL", struct.pack(">5IHHBB", number, *size, *corner, 1, 1, 0, 0))


def flat(colour):
    return zlib.compress((b"\0" + bytes(colour) * WIDTH) * HEIGHT)


RED, GREEN = (200, 0, 0), (0, 200, 0)
SIXTEEN = RGB.astype(">u2") * 257
KEY = struct.pack(">3H", 230 * 257 + 1, 30 * 257, 30 * 257)
"""Of 16 bits, one from the colour of a patch in RGB, whose high bytes it has."""

ALPHA = np.full((HEIGHT, WIDTH), 255, np.uint8)
ALPHA[:16] = 0
UPSIDE_DOWN = RGB[::-1, :, ::-1].astype(np.uint32)
SHOWN = np.where((ALPHA[::-1] > 0)[..., None], RGB, 255)
FIFTEEN = UPSIDE_DOWN[..., 2] >> 3 << 10 | UPSIDE_DOWN[..., 1] >> 3 << 5 | UPSIDE_DOWN[..., 0] >> 3
TWELVE = UPSIDE_DOWN[..., 2] >> 4 << 8 | UPSIDE_DOWN[..., 1] >> 4 << 4 | UPSIDE_DOWN[..., 0] >> 4
FULL = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
GREYS = bytes(value for each in range(256) for value in (each, each, each, 0))
RED_FIRST = np.dstack([UPSIDE_DOWN, ALPHA]).astype(np.uint8)

SHOW = {
    # PNG: colours
    "PNG of a profile with red and blue exchanged": (
        png(before=icc(profile(1.8, SRGB[::-1]))),
        from_light((RGB[..., ::-1] / 255) ** 1.8),
    ),
    "PNG of gamma 1": (
        png(before=chunk(b"gAMA", struct.pack(">I", 100_000))),
        from_light(RGB / 255),
    ),
    "PNG of gamma 1, said to be sRGB": (
        png(before=chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 100_000))),
        RGB,
    ),
    "PNG of a gamma with a wrong checksum": (
        png(before=chunk(b"gAMA", struct.pack(">I", 100_000), 5)),
        RGB,
    ),
    # PNG: side chunks that are damaged or endless
    "comment with a wrong checksum": (png(before=chunk(b"tEXt", b"c\0a", 5)), RGB),
    "profile with a wrong checksum": (
        png(before=chunk(b"iCCP", b"x\0\0" + zlib.compress(profile(1.8)), 5)),
        RGB,
    ),
    "profile of an unknown compression": (png(before=chunk(b"iCCP", b"x\0\1xx")), RGB),
    "profile that is none": (png(before=icc(bytes(2 << 20))), RGB),
    "resolution that is cut short": (png(before=chunk(b"pHYs", b"12")), RGB),
    "text of two megabytes": (
        png(before=chunk(b"iTXt", b"w\0\1\0\0\0" + zlib.compress(b"a" * (2 << 20)))),
        RGB,
    ),
    "transparency of a wrong length": (png(before=chunk(b"tRNS", b"12")), RGB),
    # PNG: pixels
    "16 bits with a transparent colour that is not there": (
        png(16, 2, [row.tobytes() for row in SIXTEEN], chunk(b"tRNS", KEY)),
        RGB,
    ),
    # orientation
    "JPEG turned in XMP alone": (
        in_jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)),
        IN_JPEG,
    ),
    "PNG turned in XMP alone": (
        png(before=chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)),
        RGB,
    ),
    # animations
    "animation whose first frame is not the picture without animations": (
        png(
            before=chunk(b"acTL", struct.pack(">II", 1, 0)),
            pixels=chunk(b"IDAT", flat(RED))
            + control(0)
            + chunk(b"fdAT", struct.pack(">I", 1) + flat(GREEN)),
        ),
        np.full((HEIGHT, WIDTH, 3), GREEN),
    ),
    "animation that counts wrong": (
        png(
            before=chunk(b"acTL", struct.pack(">II", 1, 0)),
            pixels=chunk(b"IDAT", flat(RED))
            + control(3)
            + chunk(b"fdAT", struct.pack(">I", 4) + flat(GREEN)),
        ),
        np.full((HEIGHT, WIDTH, 3), RED),
    ),
    "animation with a small first frame": (
        png(
            size=(80, 60),
            before=chunk(b"acTL", struct.pack(">II", 1, 0)),
            pixels=chunk(b"IDAT", zlib.compress(bytes(60 * 241)))
            + control(0, corner=(20, 10))
            + chunk(
                b"fdAT",
                struct.pack(">I", 1)
                + zlib.compress(b"".join(b"\0" + row.tobytes() for row in RGB)),
            ),
        ),
        on_white((80, 60), (20, 10)),
    ),
    "GIF with a small first frame": (
        gif((80, 60), (20, 10)),
        np.where(on_white((80, 60), (20, 10)) == 255, 255, 0)
        + np.where((on_white((80, 60), (20, 10)) == 255).all(axis=2)[..., None], 0, GREEN),
    ),
    "WebP with a small first frame": (
        animated_webp((80, 60), (5, 5)),
        on_white((80, 60), (10, 10)),
    ),
    # JPEG
    "JPEG of gamma 1.8": (
        in_jpeg(segment(0xE2, b"ICC_PROFILE\0\1\1" + profile(1.8))),
        from_light((IN_JPEG / 255) ** 1.8),
    ),
    "JPEG of a profile of which a part is missing": (
        in_jpeg(segment(0xE2, b"ICC_PROFILE\0\1\2" + profile(1.8))),
        IN_JPEG,
    ),
    "JFIF that is cut short": (JPEG[:2] + b"\xff\xe0\0\7JFIF\0" + JPEG[20:], IN_JPEG),
    "profile that is cut short": (in_jpeg(segment(0xE2, b"ICC_PROFILE\0")), IN_JPEG),
    "Adobe that is cut short": (in_jpeg(segment(0xEE, b"Adobe")), IN_JPEG),
    # BMP
    "BMP of 32 bits, fifth version, with alpha": (
        bitmap(info(32, size=124, masks=FULL), RED_FIRST.tobytes()),
        SHOWN,
    ),
    "BMP of 32 bits without a mask for alpha": (bitmap(info(32), RED_FIRST.tobytes()), RGB),
    "BMP whose alpha is 0 everywhere": (
        bitmap(
            info(32, size=124, masks=FULL),
            np.dstack([UPSIDE_DOWN, 0 * ALPHA]).astype("u1").tobytes(),
        ),
        RGB,
    ),
    "BMP of 32 bits with masks of the third version": (
        bitmap(
            info(32, 3),
            np.dstack([UPSIDE_DOWN, ALPHA]).astype("u1")[..., [2, 1, 0, 3]].tobytes(),
            struct.pack("<3I", 0xFF, 0xFF00, 0xFF0000),
        ),
        RGB,
    ),
    "BMP stored from the top": (bitmap(info(24, height=-HEIGHT), RGB[..., ::-1].tobytes()), RGB),
    "BMP of OS/2": (
        bitmap(struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 24), RGB[::-1, :, ::-1].tobytes()),
        RGB,
    ),
    "BMP in a PNG": (bitmap(info(0, 5), png()), RGB),
    "BMP of run lengths": (
        bitmap(info(8, 1, width=6, height=2), b"\3\x0a\0\3\1\2\3\0\0\0\0\2\2\0\4\x14\0\1", GREYS),
        [[[0] * 3] * 2 + [[20] * 3] * 4, [[10] * 3] * 3 + [[v] * 3 for v in (1, 2, 3)]],
    ),
    # TIFF
    "planar TIFF of 16 bits": (
        tiff(
            "II",
            tags(16, 2, 3, planar=2),
            [(RGB[..., each].astype("<u2") * 257).tobytes() for each in range(3)],
        ),
        RGB,
    ),
    "TIFF with a palette of 8 bits": (
        tiff("II", tags(8, 3, 1, t320=(3, [each % 256 for each in range(768)])), [GREY.tobytes()]),
        THREE,
    ),
    "big-endian fractions, packed": (
        tiff(
            "MM",
            tags(32, 1, 1, t259=(3, [8]), t339=(3, [3])),
            [zlib.compress(GREY.astype(">f4").tobytes())],
        ),
        THREE,
    ),
    "big-endian BigTIFF": (tiff("MM", tags(8, 2, 3), [RGB.tobytes()], big=True), RGB),
    "colours as fractions": (
        tiff("II", tags(32, 2, 3, t339=(3, [3, 3, 3])), [(RGB.astype("<f4") / 255).tobytes()]),
        RGB,
    ),
    "half precision": (
        tiff(
            "II",
            tags(16, 1, 1, t339=(3, [3])),
            [(GREY.astype("<f4") / 255).astype("<f2").tobytes()],
        ),
        THREE,
    ),
    "double precision": (
        tiff("II", tags(64, 1, 1, t339=(3, [3])), [(GREY.astype("<f8") / 255).tobytes()]),
        THREE,
    ),
    "grey of 16 bits with alpha": (
        tiff(
            "II",
            tags(16, 1, 2, t338=(3, [2])),
            [
                np.dstack([GREY.astype("<u2") * 257, ALPHA.astype("<u2") * 257])
                .astype("<u2")
                .tobytes()
            ],
        ),
        np.where((ALPHA > 0)[..., None], THREE, 255),
    ),
    "big-endian 16 bits from white": (
        tiff("MM", tags(16, 0, 1), [(65535 - GREY.astype(int) * 257).astype(">u2").tobytes()]),
        THREE,
    ),
    "4 bits": (
        tiff("II", tags(4, 1, 1), [(GREY[:, ::2] & 0xF0 | GREY[:, 1::2] >> 4).tobytes()]),
        np.dstack([GREY >> 4] * 3) * 17,
    ),
}


@pytest.mark.parametrize("kind", SHOW)
def test_a_picture_is_what_a_browser_shows(kind):
    data, expected = SHOW[kind]
    pixels = decode_image(data)
    rounding = 1 if expected is not RGB and ("gamma" in kind or "exchanged" in kind) else 0
    assert pixels.shape == np.asarray(expected).shape
    assert np.abs(pixels - np.rint(expected)).max() <= rounding


def test_pixels_of_few_bits_are_spread_over_all_levels():
    for bits, fifths, masks in (
        (5, FIFTEEN | np.where(ALPHA > 0, 0x8000, 0), (0x7C00, 0x3E0, 0x1F, 0x8000)),
        (4, TWELVE, (0xF00, 0xF0, 0xF, 0)),
    ):
        data = bitmap(info(16, 3, size=124, masks=masks), fifths.astype("<u2").tobytes())
        full = (1 << bits) - 1
        shown = np.rint((RGB >> 8 - bits) * (255 / full))
        if masks[3]:
            shown = np.where((ALPHA[::-1] > 0)[..., None], shown, 255)
        np.testing.assert_array_equal(decode_image(data), shown)


REFUSED = {
    "rows are missing": (png(rows=[row.tobytes() for row in RGB[:12]]), "fewer rows than it says"),
    "rows are missing behind black ones": (
        png(rows=[bytes(3 * WIDTH)] * 12),
        "fewer rows than it says",
    ),
    "the palette is missing": (
        png(8, 3, [row.tobytes() for row in GREY]),
        "its palette is missing",
    ),
    "a preview behind a picture that is cut": (
        JPEG[: len(JPEG) // 2 + 300] + encoded(RGB[:8, :8], "JPEG"),
        "truncated: the JPEG does not end",
    ),
    "signed numbers": (
        tiff("II", tags(16, 1, 1, t339=(3, [2])), [(GREY.astype("<i2") * 128).tobytes()]),
        "signed integer pixels, whose scale is unknown: save it",
    ),
    "a camera's raw file": (
        tiff("II", tags(8, 2, 3, t50706=(3, [1])), [RGB.tobytes()]),
        "raw file",
    ),
    "JPEG 2000 in a TIFF": (
        tiff("II", tags(8, 2, 3, t259=(3, [34712])), [RGB.tobytes()]),
        "compressed by JPEG 2000",
    ),
    "a canvas beyond Pillow's limit": (
        animated_webp((16383, 16383), (0, 0)),
        "more than 100000000",
    ),
    "HDR": (
        png(before=chunk(b"cICP", bytes([9, 16, 0, 1]))),
        r"HDR screens \(PQ\).*convert it to sRGB",
    ),
    "a frame beyond its canvas": (animated_webp((40, 40), (5, 5)), "beyond its canvas"),
    "tiles of gigabytes": (
        tiff("II", tags(8, 1, 1, t322=(4, [1 << 30]), t323=(4, [1 << 30])), [GREY.tobytes()]),
        "tiles",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_whole_picture_is_refused_with_the_reason(kind):
    data, reason = REFUSED[kind]
    with pytest.raises(BadImage, match=reason):
        decode_image(data)


def test_the_quick_way_takes_no_preview_behind_a_picture_that_was_cut_short():
    data, _ = REFUSED["a preview behind a picture that is cut"]
    assert decode_plain_jpeg(JPEG, max_pixels=10**6) is not None
    assert decode_plain_jpeg(data, max_pixels=10**6) is None


def test_the_quick_way_takes_no_picture_with_a_profile():
    data, _ = SHOW["JPEG of gamma 1.8"]
    assert decode_plain_jpeg(data, max_pixels=10**6) is None


@pytest.mark.parametrize("kind", ["JPEG of gamma 1.8", "PNG of gamma 1"])
def test_profiles_can_be_ignored(kind):
    data, _ = SHOW[kind]
    stored = IN_JPEG if kind.startswith("JPEG") else RGB
    np.testing.assert_array_equal(decode_image(data, profiles="ignore"), stored)


def icon(pictures, kind=1):
    """An icon or cursor of (side, depth, content) each."""
    head, body = struct.pack("<HHH", 0, kind, len(pictures)), b""
    start = 6 + 16 * len(pictures)
    for side, depth, content in pictures:
        head += struct.pack(
            "<BBBBHHII", side % 256, side % 256, 0, 0, 1, depth, len(content), start + len(body)
        )
        body += content
    return head + body


def in_icon(pixels, alpha=None, mask=None):
    """A square bitmap as it lies in an icon: of 24 bits with a mask, or of 32."""
    side = len(pixels)
    bits = 24 if alpha is None else 32
    head = struct.pack("<IiiHHIIiiII", 40, side, 2 * side, 1, bits, 0, 0, 0, 0, 0, 0)
    rows = pixels[::-1, :, ::-1]
    if alpha is not None:
        rows = np.dstack([rows, alpha[::-1]])
    packed = (
        np.packbits(mask[::-1].astype(np.uint8), axis=1)
        if mask is not None
        else np.zeros((side, 4), np.uint8)
    )
    return head + rows.tobytes() + np.pad(packed, ((0, 0), (0, -packed.shape[1] % 4))).tobytes()


def test_an_icon_is_its_largest_picture_with_its_transparency():
    small, large = RGB[:16, :16], RGB[:32, :32]
    hidden = np.zeros((32, 32), bool)
    hidden[20:] = True
    expected = np.where(hidden[..., None], 255, large)
    masked = in_icon(large, mask=hidden)
    soft = in_icon(large, alpha=np.where(hidden, 0, 255).astype(np.uint8))
    in_png = encoded(np.dstack([large, np.where(hidden, 0, 255)]).astype(np.uint8), "PNG")
    for content in (masked, soft, in_png):
        for kind in (1, 2):
            data = icon([(16, 24, in_icon(small)), (32, 32, content)], kind)
            np.testing.assert_array_equal(decode_image(data), expected)
    # Programs from before alpha wrote zeros there, and a mask.
    data = icon([(32, 32, in_icon(large, alpha=np.zeros((32, 32), np.uint8), mask=hidden))])
    np.testing.assert_array_equal(decode_image(data), expected)


def test_avif_is_read_in_its_colours():
    smooth = np.asarray(Image.fromarray(RGB).resize((96, 64), Image.Resampling.BICUBIC))
    data = encoded(smooth, "AVIF", quality=100, subsampling="4:4:4")
    assert np.abs(decode_image(data).astype(int) - smooth).max() <= 3
    data = encoded(smooth, "AVIF", quality=100, subsampling="4:4:4", icc_profile=profile(1.8))
    expected = from_light((smooth / 255) ** 1.8)
    assert np.abs(decode_image(data) - expected).mean() <= 1.5


HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWl4AAAAAG1pZjFoZWl4bWlhZgAAAVVtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAA"
    "AAAAAAAAAAAAACJpbG9jAAAAAERAAAEAAQAAAAABeQABAAAAAAAAALYAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAA"
    "AAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA1WlwcnAAAAC2aXBjbwAAAHdodmNDAQQIAAAAnjgAAAAAHvAA/P/4"
    "+AAADwNgAAEAF0ABDAH//wQIAAADAJ44AAADAAAeugJAYQABACpCAQEECAAAAwCeOAAAAwAAHpAGECCy3UklNc3A"
    "Q0GBAAADABkAAAMAAQhiAAEACEQBwXKGDAIkAAAAE2NvbHJuY2x4AAEADQAGgAAAABRpc3BlAAAAAAAAAGAAAABA"
    "AAAAEHBpeGkAAAAAAwgICAAAABdpcG1hAAAAAAAAAAEAAQSBAgMEAAAAvm1kYXQAAACyKAGvBPjb8uk67f/f3///"
    "9JmOy/sqohO6XX3xI2/+OF//2cCGM1+t48FLycJ3JUXfacGKkGdTNgs8nG1OKObQfMj7PrwZbRPQyIM1LPdPaMsN"
    "Ao1wSfU/1OYlnq9qXPTnDyLuX+qBOjfsB+3/8R2aFvISpdeX6otnaVudsl9cR5oAKXRDJj1imZu+nlSysn1rBHFf"
    "P5L9anFahMLEaLYtMuM4IZOZKHwu5DkQQhjAmwvZgA=="
)
"""96 x 64 pixels, as libheif and x265 wrote them, which are not installed for the tests: the upper
half (200, 40, 40) and (40, 180, 60), the lower one (30, 60, 200).
"""


def test_heic_is_read():
    pixels = decode_image(HEIC).astype(int)
    assert pixels.shape == (64, 96, 3)
    for part, colour in (
        (pixels[:30, :46], (200, 40, 40)),
        (pixels[:30, 50:], (40, 180, 60)),
        (pixels[34:], (30, 60, 200)),
    ):
        assert np.abs(part - colour).max() <= 6


def test_a_grey_profile_belongs_to_grey_pictures_only():
    data = encoded(GREY, "PNG", icc_profile=profile(1.8, space=b"GRAY"))
    expected = np.rint(from_light((THREE / 255) ** 1.8))
    assert np.abs(decode_image(data) - expected).max() <= 2
    data = encoded(RGB, "PNG", icc_profile=profile(1.0, space=b"GRAY"))
    np.testing.assert_array_equal(decode_image(data), RGB)


def test_a_profile_is_applied_before_a_picture_is_laid_on_white():
    pixels = np.dstack([RGB, np.full((HEIGHT, WIDTH), 128, np.uint8)])
    data = encoded(pixels, "PNG", icc_profile=profile(1.8))
    expected = from_light((RGB / 255) ** 1.8) * (128 / 255) + 255 * (127 / 255)
    assert np.abs(decode_image(data) - expected).max() <= 2


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("form", [{}, {"tile": (16, 32)}, {"planarconfig": "separate"}])
@pytest.mark.parametrize("predictor", [False, True])
def test_tiffs_of_another_program_are_read(bits, order, form, predictor):
    import tifffile

    kind = {8: "u1", 16: "u2", 32: "f4"}[bits]
    full = {8: 1, 16: 257, 32: 1 / 255}[bits]
    values = (RGB * float(full)).astype(kind)
    if "planarconfig" in form:
        values = np.moveaxis(values, 2, 0)
    file = io.BytesIO()
    packed = {"compression": "zlib", "predictor": True} if predictor and bits < 32 else {}
    tifffile.imwrite(file, values, photometric="rgb", byteorder=order, **form, **packed)
    np.testing.assert_array_equal(decode_image(file.getvalue()), RGB)
