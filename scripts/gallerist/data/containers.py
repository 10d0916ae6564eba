"""WebP, AVIF and HEIC: how large a picture is, before a decoder takes memory for it."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gallerist.data.colours import Encoding, Source
from gallerist.data.formats import BadImage


@dataclass(frozen=True)
class WebP:
    """A WebP; of an animation the first frame alone.

    data: of a file with that picture. width, height: of the canvas, in which it lies at left, top.
    frame: its own width and height. profile, exif: the blocks, or b"".
    """

    data: bytes
    width: int
    height: int
    left: int
    top: int
    frame: tuple[int, int]
    profile: bytes
    exif: bytes


def read_webp(data: bytes) -> WebP:
    """Take a WebP apart (RFC 9649). Raises BadImage where it is damaged or cut short."""
    if 8 + struct.unpack_from("<I", data, 4)[0] > len(data):
        raise BadImage(f"truncated: the WebP does not end within its {len(data)} bytes")
    chunks = list(_chunks(data, 12, len(data)))
    first = {name: (start, end) for name, start, end in reversed(chunks)}
    side = {name: data[slice(*first[name])] for name in (b"ICCP", b"EXIF") if name in first}
    profile, exif = side.get(b"ICCP", b""), side.get(b"EXIF", b"")
    if b"VP8X" not in first:
        size = _size_of_pixels(data, first)
        return WebP(data, *size, 0, 0, size, profile, exif)
    flags, width, height = _canvas(data[slice(*first[b"VP8X"])])
    if not flags & 2:
        size = _size_of_pixels(data, first)
        if size != (width, height):
            raise BadImage("damaged WebP: its picture is not as large as it says")
        return WebP(data, width, height, 0, 0, size, profile, exif)
    if b"ANMF" not in first or first[b"ANMF"][1] - first[b"ANMF"][0] < 16:
        raise BadImage("damaged WebP: an animation without a frame")
    start, end = first[b"ANMF"]
    left, top, across, down = (
        int.from_bytes(data[start + 3 * each : start + 3 * each + 3], "little") for each in range(4)
    )
    frame = (across + 1, down + 1)
    parts = {name: (at, to) for name, at, to in _chunks(data, start + 16, end)}
    if 2 * left + frame[0] > width or 2 * top + frame[1] > height:
        raise BadImage("damaged WebP: a frame beyond its canvas")
    if _size_of_pixels(data, parts) != frame:
        raise BadImage("damaged WebP: its frame is not as large as it says")
    return WebP(_still(data, parts, frame), width, height, 2 * left, 2 * top, frame, profile, exif)


def _chunks(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk's content."""
    while at + 8 <= end:
        name, length = struct.unpack_from("<4sI", data, at)
        yield name, at + 8, min(at + 8 + length, end)
        at += 8 + length + length % 2


def _canvas(content: bytes) -> tuple[int, int, int]:
    if len(content) < 10:
        raise BadImage("damaged WebP: its header is cut short")
    width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (4, 7))
    return content[0], width, height


def _size_of_pixels(data: bytes, parts: dict[bytes, tuple[int, int]]) -> tuple[int, int]:
    """Width and height, by the header of the coded pixels."""
    if b"VP8L" in parts:
        content = data[slice(*parts[b"VP8L"])]
        if len(content) >= 5 and content[0] == 0x2F:
            bits = int.from_bytes(content[1:5], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif b"VP8 " in parts:
        content = data[slice(*parts[b"VP8 "])]
        if len(content) >= 10 and content[3:6] == b"\x9d\x01\x2a":
            width, height = struct.unpack_from("<HH", content, 6)
            return width & 0x3FFF, height & 0x3FFF
    raise BadImage("damaged WebP: it holds no picture")


def _still(data: bytes, parts: dict[bytes, tuple[int, int]], size: tuple[int, int]) -> bytes:
    """A file of one frame's chunks alone."""
    sides = b"".join((side - 1).to_bytes(3, "little") for side in size)
    alpha = b"ALPH" in parts
    pieces = [b"VP8X" + struct.pack("<I", 10) + bytes([16 if alpha else 0, 0, 0, 0]) + sides]
    for name in (b"ALPH", b"VP8 ", b"VP8L"):
        if name in parts:
            content = data[slice(*parts[name])]
            pieces.append(
                name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
            )
    if len(pieces) == 2 and not alpha:
        pieces = pieces[1:]  # the coded pixels say themselves whether they are transparent
    body = b"WEBP" + b"".join(pieces)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@dataclass(frozen=True)
class Iso:
    """What an ISO base media file, AVIF or HEIC, says of its pictures.

    width, height: of the largest. colours: that the file names beside the pictures, or None.
    """

    width: int
    height: int
    colours: Source


_WITHIN = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0}
"""Boxes that hold boxes, and the bytes before these."""

_MOST_BOXES = 10_000


def read_iso(data: bytes) -> Iso:
    """Read the properties (ISO/IEC 23008-12, 6.5). Raises ValueError where none is a size."""
    sizes, coded, profile = [(0, 0)], None, b""
    for name, start, end in _boxes(data):
        if name == b"ispe" and end - start >= 12:
            sizes.append(struct.unpack_from(">II", data, start + 4))
        elif name == b"tkhd" and end - start >= 84:
            sizes.append(
                (
                    int.from_bytes(data[end - 8 : end - 6], "big"),
                    int.from_bytes(data[end - 4 : end - 2], "big"),
                )
            )
        elif name == b"colr" and data[start : start + 4] == b"nclx" and coded is None:
            coded = struct.unpack_from(">HH", data, start + 4)
        elif name == b"colr" and data[start : start + 4] in (b"prof", b"rICC"):
            profile = profile or data[start + 4 : end]
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    if not width or not height:
        raise ValueError("it does not say how large its picture is")
    encoding = Encoding.of_code_points(*coded)[1] if coded else None
    return Iso(width, height, profile or encoding)


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the content of every box, and of those within them."""
    waiting = [(0, len(data))]
    for _ in range(_MOST_BOXES):
        if not waiting:
            return
        at, end = waiting.pop()
        if at + 8 > end:
            continue
        length, name = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if length == 1 and at + 16 <= end:
            length, start = struct.unpack_from(">Q", data, at + 8)[0], at + 16
        stop = end if length == 0 else min(at + length, end)
        if stop < start:
            continue
        waiting.append((stop, end))
        yield name, start, stop
        if name in _WITHIN:
            waiting.append((start + _WITHIN[name], stop))
