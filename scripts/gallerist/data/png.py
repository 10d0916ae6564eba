"""PNG: its chunks, and of them those that its pixels need (PNG specification, third edition).

Pillow refuses a picture for a comment with a wrong checksum, and does not say what of a profile, a
gamma or an animation a browser would make. So the chunks are read here, and the decoder is given
signature, header, palette, transparency and pixels.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from gallerist.data.colours import Encoding, Source
from gallerist.data.formats import BadImage

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIDE = {b"tRNS", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"eXIf", b"acTL"}
_NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_LONGEST_PROFILE = 16 << 20
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


@dataclass(frozen=True)
class Png:
    """A PNG of which only what its pixels need is left.

    data: the file of one picture; of an animation its first frame. width, height: of the whole
    picture. left, top: where that frame lies in it. depth: bits of a channel. kind: colour type.
    key: of 16 bits a channel, the colour that is transparent. colours: what the numbers mean.
    exif: the block, or b"".
    """

    data: bytes
    width: int
    height: int
    left: int
    top: int
    depth: int
    kind: int
    interlaced: bool
    key: tuple[int, ...]
    colours: Source
    exif: bytes


def read_png(data: bytes) -> Png:
    """Take a PNG apart. Raises BadImage where it is damaged or cut short."""
    chunks = list(_chunks(data))
    if chunks and (chunks[0][0] != b"IHDR" or chunks[0][2] != 13):
        raise BadImage("damaged PNG: it does not begin with its header")
    if not chunks or chunks[-1][0] != b"IEND":
        raise BadImage(f"truncated: the PNG does not end within its {len(data)} bytes")
    width, height, depth, kind, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    if kind not in _CHANNELS:
        raise BadImage(f"damaged PNG: there is no colour type {kind}")
    if len(chunks) == 3 and chunks[1][0] == b"IDAT" and kind != 3:  # most are so plain
        return Png(data, width, height, 0, 0, depth, kind, interlace == 1, (), None, b"")
    side: dict[bytes, bytes] = {}
    for name, start, length in chunks:
        if name == b"IDAT":
            break
        if name in (b"IHDR", b"PLTE"):
            if not _is_whole(data, start, length):
                raise BadImage(f"damaged PNG: the checksum of its {name.decode()} is wrong")
            side[name] = data[start : start + length]
        elif name in _SIDE and name not in side and _is_whole(data, start, length):
            side[name] = data[start : start + length]
    if kind == 3 and len(side.get(b"PLTE", b"")) < 3:
        raise BadImage("damaged PNG: its palette is missing")
    left, top, clean = 0, 0, data
    frames = int.from_bytes(side.get(b"acTL", b"")[:4], "big")
    if frames and (frame := _first_frame(data, chunks, frames, width, height)):
        (left, top), size, parts = frame
        clean = _rebuilt(side, kind, size, parts)
    elif not _NEEDED.issuperset(name for name, _, _ in chunks) or b"tRNS" in side:
        parts = [data[start : start + length] for name, start, length in chunks if name == b"IDAT"]
        clean = _rebuilt(side, kind, (width, height), parts)
    key = _key(side, depth, kind)
    return Png(
        clean, width, height, left, top, depth, kind, interlace == 1, key, _colours(side),
        side.get(b"eXIf", b""),
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


def _rebuilt(
    side: dict[bytes, bytes], kind: int, size: tuple[int, int], parts: list[bytes]
) -> bytes:
    header = struct.pack(">II", *size) + side[b"IHDR"][8:]
    pieces = [SIGNATURE, _chunk(b"IHDR", header)]
    if b"PLTE" in side and kind == 3:
        pieces.append(_chunk(b"PLTE", side[b"PLTE"][: len(side[b"PLTE"]) // 3 * 3]))
    if _is_transparency(side, kind):
        pieces.append(_chunk(b"tRNS", side[b"tRNS"]))
    pieces += [_chunk(b"IDAT", part) for part in parts]
    return b"".join([*pieces, _chunk(b"IEND", b"")])


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(name))
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def _is_transparency(side: dict[bytes, bytes], kind: int) -> bool:
    """Whether tRNS is of the length that its picture asks for; a colour of 16 bits is a key."""
    length = len(side.get(b"tRNS", b""))
    if kind == 3:
        return 0 < length <= 256
    return (kind, length) in ((0, 2), (2, 6)) and not (kind == 2 and side[b"IHDR"][8] == 16)


def _key(side: dict[bytes, bytes], depth: int, kind: int) -> tuple[int, ...]:
    if (depth, kind) == (16, 2) and len(side.get(b"tRNS", b"")) == 6:
        return struct.unpack(">3H", side[b"tRNS"])
    return ()


def _first_frame(
    data: bytes, chunks: list[tuple[bytes, int, int]], frames: int, width: int, height: int
) -> tuple[tuple[int, int], tuple[int, int], list[bytes]] | None:
    """Place, size and pixels of an animation's first frame; None where it is not well-formed.

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
    return ((left, top), (across, down), parts) if parts else None


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


def has_all_rows(data: bytes) -> bool:
    """Whether the pixels of a PNG of `read_png` are as many as its header says.

    They are unpacked once more, and thrown away.
    """
    width, height, depth, kind, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    bits = depth * _CHANNELS[kind]
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    needed = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            needed += rows * (1 + (columns * bits + 7) // 8)
    unpacking, found = zlib.decompressobj(), 0
    for name, start, length in _chunks(data):
        content = data[start : start + length] if name == b"IDAT" else b""
        while content and found < needed:
            found += len(unpacking.decompress(content, 1 << 20))
            content = unpacking.unconsumed_tail
    return found >= needed


_ADAM7 = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip
"""First column and row of each pass, and the steps to the next."""
