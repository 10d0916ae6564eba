"""JPEG: its segments, and of them those that its pixels need (ITU-T T.81, annex B)."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gallerist.data.formats import BadImage

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xD8)}
_NEXT = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
"""A marker within coded pixels, where FF 00 stands for FF, and FF D0 to D7 only divide."""

_EXIF, _ICC = b"Exif\0\0", b"ICC_PROFILE\0"


@dataclass(frozen=True)
class Jpeg:
    """A JPEG of which only what its pixels need is left.

    data: without comments, thumbnails and the like. progressive: all of it is in memory before the
    first row is. profile, exif: the blocks, or b"".
    """

    data: bytes
    width: int
    height: int
    progressive: bool
    profile: bytes
    exif: bytes


def read_jpeg(data: bytes) -> Jpeg:
    """Take a JPEG apart. Raises BadImage where it is damaged or cut short."""
    kept, size, progressive = [data[:2]], (0, 0), False
    exif, scan = b"", len(data)
    profile: dict[int, tuple[int, bytes]] = {}
    for marker, start, end in _segments(data):
        content = data[start + 2 : end]
        if marker in _FRAMES and size == (0, 0):
            if len(content) < 5:
                raise BadImage("damaged JPEG: its frame has no size")
            height, width = struct.unpack_from(">HH", content, 1)
            size, progressive = (width, height), marker not in (0xC0, 0xC1)
        if marker == 0xE1 and content.startswith(_EXIF):
            exif = exif or content
        elif marker == 0xE2 and content.startswith(_ICC) and len(content) > len(_ICC) + 2:
            number, count = content[len(_ICC)], content[len(_ICC) + 1]
            profile.setdefault(number, (count, content[len(_ICC) + 2 :]))
        if _is_needed(marker, content):
            kept.append(data[start - 2 : end])
        if marker == 0xDA:
            scan = end
            break
    if 0 in size or not _reaches_end(data, scan):
        raise BadImage(f"truncated: the JPEG does not end within its {len(data)} bytes")
    kept.append(data[scan:])
    return Jpeg(b"".join(kept), *size, progressive, _joined(profile), exif)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, and where the length and the next segment start, up to the first scan."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:  # bytes between two segments, which decoders skip
            at += 1
            continue
        marker = data[at + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (0xD8, 0xD9):
            return
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if end > len(data):
            return
        yield marker, at + 2, end
        if marker == 0xDA:
            return
        at = max(end, at + 4)


def _is_needed(marker: int, content: bytes) -> bool:
    """Of the application's segments only those that say what the channels are, and are whole."""
    if marker == 0xE0:
        return content.startswith(b"JFIF\0") and len(content) >= 14
    if marker == 0xEE:
        return content.startswith(b"Adobe") and len(content) >= 12
    return not 0xE1 <= marker <= 0xEF and marker != 0xFE


def _joined(parts: dict[int, tuple[int, bytes]]) -> bytes:
    """A profile that lies in several segments (ICC.1, annex B.4); b"" where one is missing."""
    counts = {count for count, _ in parts.values()}
    if (
        len(counts) != 1
        or sorted(parts) != list(range(1, len(parts) + 1))
        or counts != {len(parts)}
    ):
        return b""
    return b"".join(parts[number][1] for number in sorted(parts))


def _reaches_end(data: bytes, position: int) -> bool:
    """Walk from the first scan to the end-of-image marker, over the tables between scans.

    Segments are skipped by their lengths. Another picture that begins before the end is not the
    end of this one: it was cut short, and a preview behind it has an end of its own.
    """
    while found := _NEXT.search(data, position):
        if found[1] in (b"\xd9", b"\xd8"):
            return found[1] == b"\xd9"
        if found.end() + 2 > len(data):
            return False
        position = found.end() + struct.unpack_from(">H", data, found.end())[0]
    return False
