"""Decoding: a picture file -> RGB pixels as a browser shows them, or one sentence on why not.

Every stage that looks at pixels reads them here. Nothing here has state, so that many threads may
read at once: Pillow's global limits are neither used nor changed, and the decoders are called
directly, without Pillow's search for a format.
"""

import errno
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
from PIL import Image

from gallerist.data.boxes import cut, split_box
from gallerist.data.colours import Source, to_srgb
from gallerist.data.formats import HEAD, BadImage, format_of
from gallerist.data.orientation import orientation_of, upright
from gallerist.data.readers import READERS, Coded
from gallerist.data.room import FREE, machine_memory, room_for
from gallerist.io.arrays import Pixels
from gallerist.io.files import PathLike

_NOT_A_FILE = "a pipe, socket or device, not a file"

__all__ = ["BadImage", "decode_image", "decoded", "format_of", "image_format", "read_bytes"]

MAX_PIXELS = 100_000_000

Profiles = Literal["apply", "ignore"]
"""What becomes of a picture's own colour space: its colours in sRGB, or its numbers as they are."""


class Reading(TypedDict, total=False):
    """How files are read, as keyword arguments: `max_pixels` and `profiles` of `decode_image`."""

    max_pixels: int
    profiles: Profiles


def read_image(
    path: PathLike,
    *,
    max_pixels: int = MAX_PIXELS,
    min_side: int = 1,
    profiles: Profiles = "apply",
) -> Pixels:
    """Read a picture as uint8 (height, width, 3) RGB, C-contiguous, upright.

    path: of a file, or of a part of the picture in it (see `boxes`).
    Formats are known by content and not by name. What is read, and how each kind of pixel becomes
    RGB: see `decode_image`.
    Raises BadImage with the reason when the file cannot be read, is not a picture, is truncated or
    damaged, has more than `max_pixels` pixels or a side below `min_side`.
    """
    file, box = split_box(path)
    data = read_bytes(file, max_pixels=max_pixels)
    pixels = decode_image(data, max_pixels=max_pixels, min_side=min_side, profiles=profiles)
    return pixels if box is None else np.ascontiguousarray(cut(pixels, box))


def image_format(path: PathLike) -> str:
    """The name of a picture's format, by the first bytes of the file: see `formats.format_of`.

    Raises BadImage with the reason when it is none of them or cannot be read.
    """
    with _file_reasons(path), _open_regular(path) as file:
        return format_of(file.read(HEAD))


def read_bytes(path: PathLike, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """Read all bytes of a file that begins like a picture.

    Other files are not read beyond their first bytes, nor are those much larger than any picture of
    `max_pixels` pixels: a film in the wrong folder must not fill the memory.
    Raises BadImage with the reason.
    """
    with _file_reasons(path), _open_regular(path) as file:
        head = file.read(HEAD)
        format_of(head)
        size = os.fstat(file.fileno()).st_size
        if size > 16 * max_pixels + 2**26:
            raise BadImage(f"{size} bytes: too large for a picture of {max_pixels} pixels")
        if size > machine_memory() // 16:
            raise BadImage(f"{size} bytes: too large for the memory of this machine")
        return head + file.read()


@contextmanager
def decoded(
    data: bytes, *, max_pixels: int = MAX_PIXELS, min_side: int = 1, profiles: Profiles = "apply"
) -> Iterator[Pixels]:
    """The pixels of a picture file's bytes, while the block runs: see `decode_image`.

    The room in memory that decoding takes is held until the block ends.
    """
    name = format_of(data)
    try:
        coded = READERS[name](data)
        _check_size(coded.width, coded.height, max_pixels=max_pixels, min_side=min_side)
    except Exception as error:
        raise _named(error, name, data) from (None if isinstance(error, BadImage) else error)
    needed = coded.width * coded.height * coded.each + 2 * len(data)
    if needed <= FREE:  # most pictures
        yield _pixels(coded, name, data, profiles)
        return
    with room_for(needed, f"a {name} of {coded.width}x{coded.height} pixels"):
        yield _pixels(coded, name, data, profiles)


def _pixels(coded: Coded, name: str, data: bytes, profiles: Profiles) -> Pixels:
    try:
        image = _rgb(coded.decode(), coded.colours if profiles == "apply" else None)
        if coded.corner is not None and image.size != (coded.width, coded.height):
            canvas = Image.new("RGB", (coded.width, coded.height), "white")
            canvas.paste(image, coded.corner)
            image = canvas
        if coded.exif:
            image = upright(image, orientation_of(coded.exif))
        return np.array(image)
    except Exception as error:
        raise _named(error, name, data) from (None if isinstance(error, BadImage) else error)


def decode_image(
    data: bytes, *, max_pixels: int = MAX_PIXELS, min_side: int = 1, profiles: Profiles = "apply"
) -> Pixels:
    """Decode a picture file's bytes to uint8 (height, width, 3) RGB, C-contiguous, upright.

    JPEG, PNG, WebP, BMP, GIF, TIFF, ICO, CUR, AVIF and HEIC, as a browser shows them where it does.

    - Of an animation the first frame, where it lies on its canvas; of an icon the largest picture;
      of a TIFF the first page.
    - EXIF orientation is applied; one that is named in XMP alone is not.
    - An ICC profile, a PNG's gamma and primaries, and the colour space of BMP, AVIF and HEIC are
      applied, with `profiles="ignore"` not. A profile that belongs to other channels is ignored.
    - Transparent pixels, by alpha channel, palette or colour key, lie on white.
    - 16-bit grey v becomes round(v / 257), 12-bit round(v / 4095 * 255). 16-bit colour of a PNG
      keeps its high byte, which is all that Pillow reads.
    - Fractions are taken as 0-1, else 0-255, else 0-65535, the smallest scale that holds the
      picture; 32-bit and signed integers have no usual scale and are refused.
    - CMYK without a profile is converted by its numbers.

    The size is checked in the header, and room in memory taken (see `room`), before anything is
    decoded. A picture that is cut short is refused, though a browser shows what there is. What
    cannot be seen is damage inside a JPEG that has its end marker.
    Raises BadImage with the reason.
    """
    with decoded(data, max_pixels=max_pixels, min_side=min_side, profiles=profiles) as pixels:
        return pixels


def _named(error: Exception, name: str, data: bytes) -> BadImage:
    """Whatever a decoder raises, from SyntaxError to OSError, as BadImage with words for people."""
    if isinstance(error, BadImage):
        return error
    if isinstance(error, MemoryError):
        return BadImage("too large: there is not enough memory")
    if isinstance(error, Image.DecompressionBombError):
        return BadImage("larger than what Pillow decodes, whatever max_pixels allows")
    if _ends_early(name, data) or "truncated" in str(error).lower():
        return BadImage(_truncated(name, data))
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    # Where the pixels of these end, only their decoder knows.
    damage = "truncated or damaged" if name in ("TIFF", "AVIF", "HEIC") else "damaged"
    return BadImage(f"{damage} {name}: {first_line}")


def _truncated(name: str, data: bytes) -> str:
    return f"truncated: the {name} does not end within its {len(data)} bytes"


def _ends_early(name: str, data: bytes) -> bool:
    """Whether the file is shorter than it says, as far as its format tells; JPEG, PNG and WebP are
    seen to before.
    """
    try:
        if name == "BMP":
            return bool(struct.unpack_from("<I", data, 2)[0] > len(data))
        if name == "GIF":
            return not data.rstrip(b"\0").endswith(b";")
        if name == "TIFF" and 43 not in data[2:4]:  # a BigTIFF has it elsewhere
            order = "<" if data[:1] == b"I" else ">"
            return bool(struct.unpack_from(order + "I", data, 4)[0] + 2 > len(data))
    except struct.error:
        return True
    return False


def _check_size(width: int, height: int, *, max_pixels: int, min_side: int) -> None:
    if min(width, height) < min_side:
        raise BadImage(f"{width}x{height} pixels: smaller than {min_side} a side")
    if width * height > max_pixels:
        raise BadImage(f"{width}x{height} pixels: more than {max_pixels} in all")


def _rgb(image: Image.Image, colours: Source) -> Image.Image:
    """An image of any mode as RGB, transparent pixels on white."""
    if not image.has_transparency_data:
        if colours is not None:
            if image.mode not in ("L", "RGB", "CMYK"):
                image = image.convert("RGB")
            image = to_srgb(image, colours)
        return image if image.mode == "RGB" else image.convert("RGB")
    coloured = image.convert("RGBA")
    alpha = coloured.getchannel("A")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(to_srgb(coloured.convert("RGB"), colours), mask=alpha)
    return paper


def _open_regular(path: PathLike) -> FileIO:
    """Open a regular file, without a buffer: all but its first bytes are read at once."""
    # Without waiting for somebody who writes to a pipe.
    file = FileIO(path, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise BadImage(_NOT_A_FILE)


@contextmanager
def _file_reasons(path: PathLike) -> Iterator[None]:
    """Turn an OSError within the block into BadImage with words for people."""
    try:
        yield
    except OSError as error:
        raise BadImage(_reason(Path(path), error)) from error


def _reason(path: Path, error: OSError) -> str:
    if error.errno == errno.ENOENT and path.is_symlink():
        return f"dangling link: {path.readlink()} does not exist"
    known = {
        errno.ENOENT: "no such file",
        errno.EACCES: "no permission to read it",
        errno.EPERM: "no permission to read it",
        errno.ELOOP: "a link that leads back to itself",
        errno.EISDIR: "a folder, not a file",
        errno.ENXIO: _NOT_A_FILE,  # a socket
    }
    return known.get(error.errno or 0, f"cannot be read: {error.strerror or error}")
