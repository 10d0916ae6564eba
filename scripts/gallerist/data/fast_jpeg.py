"""The quick way through the commonest file: a JPEG of three colours that stands upright."""

import re
import struct

import cv2
import numpy as np

from gallerist.data.colours import changes_nothing
from gallerist.io.arrays import Pixels

_FRAMES = frozenset({0xC0, 0xC1})
"""Baseline and extended, whose pixels are in one scan if it holds all components."""

_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)

_ONE_PROFILE = b"ICC_PROFILE\0\1\1"
"""Begins a profile that lies in one segment (ICC.1, annex B.4)."""

BYTES_A_PIXEL = 12
"""That decoding takes, and what is then made of it: the pixels three times, and room for a fourth
copy of them.
"""


def decode_plain_jpeg(data: bytes, *, max_pixels: int) -> Pixels | None:
    """Decode to uint8 (height, width, 3) RGB if the file is as plain as most are, else None.

    OpenCV gives the bits that Pillow gives, in less time: both have libjpeg-turbo inside. What is
    not plain, or damaged, is left to `decoding`.
    """
    size = plain_size(data, max_pixels=max_pixels)
    return decode_of_size(data, *size) if size else None


def plain_size(data: bytes, *, max_pixels: int) -> tuple[int, int] | None:
    """Height and width of a JPEG that is plain, else None.

    Plain: 8 bits, three components in one scan, no Exif block (which may turn the picture), no
    Adobe block or colour profile (which may say that the colours are not the usual ones) but that
    of sRGB, at most `max_pixels` pixels, and with an end.
    """
    position, frame = 2, None
    while (found := _MARKER.match(data, position)) is not None:
        marker, start = found[1][0], found.end()
        if start + 10 > len(data) or marker in (0xE1, 0xEE):
            return None
        position = start + int(struct.unpack_from(">H", data, start)[0])
        if marker == 0xE2 and data.startswith(b"ICC_PROFILE", start + 2):
            alone = data.startswith(_ONE_PROFILE, start + 2)
            if not alone or not changes_nothing(data[start + 2 + len(_ONE_PROFILE) : position]):
                return None
        if marker in _FRAMES and frame is None:
            bits, height, width, components = struct.unpack_from(">BHHB", data, start + 2)
            if (bits, components) != (8, 3) or not 0 < height * width <= max_pixels:
                return None
            frame = height, width
        elif marker == 0xDA:
            # Within a scan a byte FF is followed by 00 or D0 to D7, so that this is its end. It is
            # looked for from the end of the file, where it mostly stands.
            whole = data[start + 2] == 3 and data.rfind(b"\xff\xd9", position) >= 0
            return frame if whole else None
    return None


def decode_of_size(data: bytes, height: int, width: int) -> Pixels | None:
    """Decode a plain JPEG; None where it is damaged, of another size, or may be cut short."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None or pixels.shape != (height, width, 3):
        return None
    # The end may be that of a preview behind a picture that was cut short: then the last block has
    # one colour, and another picture begins somewhere. Not all files are searched for that.
    last = pixels[-1, -4:].tobytes()
    if last == last[:3] * (len(last) // 3) and data.find(b"\xff\xd8", 2) > 0:
        return None
    return np.asarray(pixels, dtype=np.uint8)
