"""PNG: its chunks, and the pixels of them (PNG specification, third edition).

Pillow refuses a picture for a comment with a wrong checksum, and does not say what of a profile, a
gamma or an animation a browser would make. So the chunks are read here, and Pillow only unpacks the
pixels.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from gallerist.data.colours import Encoding, Source
from gallerist.data.formats import BadImage

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIDE = {b"tRNS", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"eXIf", b"acTL"}
_LONGEST_PROFILE = 16 << 20
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

_MODES = {
    (1, 0): ("1", "1"),
    (2, 0): ("L", "L;2"),
    (4, 0): ("L", "L;4"),
    (8, 0): ("L", "L"),
    (16, 0): ("I;16", "I;16B"),
    (8, 2): ("RGB", "RGB"),
    (16, 2): ("RGB", "RGB;16B"),
    (1, 3): ("P", "P;1"),
    (2, 3): ("P", "P;2"),
    (4, 3): ("P", "P;4"),
    (8, 3): ("P", "P"),
    (8, 4): ("LA", "LA"),
    (16, 4): ("RGBA", "LA;16B"),
    (8, 6): ("RGBA", "RGBA"),
    (16, 6): ("RGBA", "RGBA;16B"),
}
"""Bits of a channel and colour type -> mode of Pillow's image, and the form of its rows."""


class Png(NamedTuple):
    """What of a PNG its pixels need.

    pixels: compressed; of an animation those of its first frame. width, height: of the whole
    picture. left, top, across, down: where that frame lies in it, and its size. depth: bits of a
    channel. kind: colour type. palette: its bytes. transparency: of a palette or of one colour, or
    b"". colours: what the numbers mean. exif: the block, or b"".
    """

    pixels: bytes
    width: int
    height: int
    left: int
    top: int
    across: int
    down: int
    depth: int
    kind: int
    interlaced: bool
    palette: bytes = b""
    transparency: bytes = b""
    colours: Source = None
    exif: bytes = b""


def read_png(data: bytes) -> Png:
    """Take a PNG apart. Raises BadImage where it is damaged or cut short."""
    chunks = list(_chunks(data))
    if chunks and (chunks[0][0] != b"IHDR" or chunks[0][2] != 13):
        raise BadImage("damaged PNG: it does not begin with its header")
    if not chunks or chunks[-1][0] != b"IEND":
        raise BadImage(f"truncated: the PNG does not end within its {len(data)} bytes")
    _check_whole(data, *chunks[0])
    width, height, depth, kind, packing, filters, interlace = struct.unpack_from(
        ">IIBBBBB", data, 16
    )
    if (depth, kind) not in _MODES:
        raise BadImage(f"damaged PNG: there is no colour type {kind} of {depth} bits")
    if packing or filters or interlace > 1:
        raise BadImage("damaged PNG: its header names a method that there is not")
    size, interlaced = (width, height), interlace == 1
    if len(chunks) == 3 and chunks[1][0] == b"IDAT" and kind != 3:  # most are so plain
        _, start, length = chunks[1]
        pixels = data[start : start + length]
        return Png(pixels, width, height, 0, 0, width, height, depth, kind, interlaced)
    side: dict[bytes, bytes] = {}
    for name, start, length in chunks:
        if name == b"IDAT":
            break
        if name == b"PLTE":
            _check_whole(data, name, start, length)
            side[name] = data[start : start + length // 3 * 3]
        elif name in _SIDE and name not in side and _is_whole(data, start, length):
            side[name] = data[start : start + length]
    palette = side.get(b"PLTE", b"") if kind == 3 else b""
    if kind == 3 and not palette:
        raise BadImage("damaged PNG: its palette is missing")
    frames = int.from_bytes(side.get(b"acTL", b"")[:4], "big")
    found = _first_frame(data, chunks, frames, width, height) if frames else None
    (left, top, across, down), parts = found or (
        (0, 0, *size),
        [data[start : start + length] for name, start, length in chunks if name == b"IDAT"],
    )
    return Png(
        b"".join(parts), width, height, left, top, across, down, depth, kind, interlaced, palette,
        _transparency(side, kind), _colours(side), side.get(b"eXIf", b""),
    )  # fmt: skip


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and length of the content of each chunk that is whole."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            return
        yield name, at + 8, length
        if name == b"IEND":
            return
        at += 12 + length


def _is_whole(data: bytes, start: int, length: int) -> bool:
    """Whether a chunk has the checksum that stands behind it."""
    end = start + length
    return zlib.crc32(data[start - 4 : end]) == int.from_bytes(data[end : end + 4], "big")


def _check_whole(data: bytes, name: bytes, start: int, length: int) -> None:
    if not _is_whole(data, start, length):
        raise BadImage(f"damaged PNG: the checksum of its {name.decode()} is wrong")


def _transparency(side: dict[bytes, bytes], kind: int) -> bytes:
    """tRNS, where it is of the length that its picture asks for."""
    found = side.get(b"tRNS", b"")
    wanted = range(1, 257) if kind == 3 else {0: (2,), 2: (6,)}.get(kind, ())
    return found if len(found) in wanted else b""


def _first_frame(
    data: bytes, chunks: list[tuple[bytes, int, int]], frames: int, width: int, height: int
) -> tuple[tuple[int, int, int, int], list[bytes]] | None:
    """Place and size, and pixels, of an animation's first frame; None where it is not well-formed.

    It may be the picture that a program without animations shows, or another one behind it.
    """
    own = [each for each in chunks if each[0] in (b"fcTL", b"fdAT")]
    numbers = [struct.unpack_from(">I", data, start)[0] for _, start, length in own if length >= 4]
    starts = [place for place, (name, _, _) in enumerate(chunks) if name == b"fcTL"]
    if numbers != list(range(len(own))) or not 0 < len(starts) == frames:
        return None
    first = starts[0]
    _, start, length = chunks[first]
    if length != 26 or not _is_whole(data, start, length):
        return None
    _, across, down, left, top = struct.unpack_from(">5I", data, start)
    if not (across and down) or left + across > width or top + down > height:
        return None
    end = starts[1] if len(starts) > 1 else len(chunks)
    parts = [
        data[at + (4 if name == b"fdAT" else 0) : at + size]
        for name, at, size in chunks[first + 1 : end]
        if name in (b"IDAT", b"fdAT")
    ]
    return ((left, top, across, down), parts) if parts else None


def _colours(side: dict[bytes, bytes]) -> Source:
    """What the numbers mean, by the first of cICP, iCCP, sRGB, gAMA and cHRM that can be read."""
    if len(side.get(b"cICP", b"")) == 4:
        known, encoding = Encoding.of_code_points(*side[b"cICP"][:2])
        if known:
            return encoding
    if b"iCCP" in side and (profile := _profile(side[b"iCCP"])):
        return profile
    if b"sRGB" in side:
        return None
    gamma = side.get(b"gAMA", b"")
    inverse = int.from_bytes(gamma, "big") if len(gamma) == 4 else 0
    gammas = (100_000 / inverse,) * 3 if inverse else None
    points = side.get(b"cHRM", b"")
    primaries = None
    if len(points) == 32:
        primaries = tuple(value / 100_000 for value in struct.unpack(">8I", points))
    return Encoding.of(primaries, gammas)


def _profile(content: bytes) -> bytes:
    """The profile of an iCCP chunk; b"" where it is damaged or endless."""
    name, _, rest = content.partition(b"\0")
    if not 0 < len(name) < 80 or rest[:1] != b"\0":
        return b""
    unpacking = zlib.decompressobj()
    try:
        profile = unpacking.decompress(rest[1:], _LONGEST_PROFILE)
    except zlib.error:
        return b""
    return profile if unpacking.eof else b""


def decode_png(png: Png) -> Image.Image:
    """The picture, or its first frame, with `transparency` among its `info` as Pillow has it.

    Raises BadImage where its rows are fewer than it says.
    """
    if png.transparency and (png.depth, png.kind) == (16, 2):
        return _with_key(png)
    mode, packed = _MODES[png.depth, png.kind]
    image = _unpacked(png, mode, packed)
    if mode == "P":
        image.putpalette(png.palette)
        if png.transparency:
            image.info["transparency"] = png.transparency
        return image
    key = struct.unpack(f">{len(png.transparency) // 2}H", png.transparency)
    if mode == "I;16":
        return _eight_bits(image, key)
    if key:
        # It is given in the depth of the file, whose higher bits browsers ignore.
        most = 2**png.depth - 1
        seen = tuple((value & most) * (255 // most) for value in key)
        image.info["transparency"] = seen if len(seen) == 3 else seen[0]
    return image


_MARKS: dict[str, int | tuple[int, ...]] = {
    "1": 1,
    "L": 3,
    "P": 254,
    "I;16": 775,
    "LA": (3, 91),
    "RGB": (3, 252, 91),
}
"""A pixel of each mode that few pictures end with."""


def _unpacked(png: Png, mode: str, packed: str) -> Image.Image:
    """The pixels as an image.

    Where rows are missing the decoder says nothing and leaves them as they were. So the last pixel
    is marked before, and only where the mark is there afterwards are the rows counted.
    """
    image = Image.new(mode, (png.across, png.down))
    last, mark = (png.across - 1, png.down - 1), _MARKS.get(mode, (3, 252, 91, 7))
    image.putpixel(last, mark)
    try:
        image.frombytes(png.pixels, "zip", packed, png.interlaced)
    except ValueError as error:
        if "not enough" in str(error):
            raise BadImage("truncated: the pixels of the PNG end early") from error
        raise BadImage("damaged PNG: its pixels cannot be unpacked") from error
    if (png.interlaced or image.getpixel(last) == mark) and not _has_all_rows(png):
        raise BadImage("truncated: the PNG has fewer rows than it says")
    return image


def _eight_bits(image: Image.Image, key: tuple[int, ...]) -> Image.Image:
    """Grey of 16 bits, and what of it is transparent."""
    values = np.asarray(image).astype(np.uint32)
    shown = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if key:
        shown = Image.merge("LA", (shown, Image.fromarray(np.uint8(255) * (values != key[0]))))
    return shown


def _with_key(png: Png) -> Image.Image:
    """Colours of 16 bits, of which one is transparent: Pillow would compare high bytes alone."""
    high, low = (_unpacked(png, "RGB", f"RGB;16{order}") for order in "BL")
    key = np.frombuffer(png.transparency, np.uint8)
    seen = (np.asarray(high) != key[::2]) | (np.asarray(low) != key[1::2])
    high.putalpha(Image.fromarray(np.uint8(255) * seen.any(axis=2)))
    return high


def _has_all_rows(png: Png) -> bool:
    """Whether there are as many pixels as the header says: unpacked once more, and thrown away."""
    bits = png.depth * _CHANNELS[png.kind]
    passes = _ADAM7 if png.interlaced else ((0, 0, 1, 1),)
    needed = 0
    for left, top, right, below in passes:
        columns, rows = -(-(png.across - left) // right), -(-(png.down - top) // below)
        if columns > 0 and rows > 0:
            needed += rows * (1 + (columns * bits + 7) // 8)
    unpacking, found = zlib.decompressobj(), 0
    for start in range(0, len(png.pixels), _BLOCK):
        content = png.pixels[start : start + _BLOCK]
        while content and found < needed:
            found += len(unpacking.decompress(content, 1 << 20))
            content = unpacking.unconsumed_tail
    return found >= needed


_BLOCK = 1 << 16
"""Bytes that are unpacked at once."""

_ADAM7 = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip
"""First column and row of each pass, and the steps to the next."""
