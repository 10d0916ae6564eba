"""Decoding: a picture file -> RGB pixels as seen, or one sentence on why not.

Every stage that looks at pixels reads them here. Nothing here has state, so that many threads may
read at once: Pillow's global limits are neither used nor changed, and the decoders are called
directly, without Pillow's search for a format.
"""

import errno
import os
import re
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from gallerist.io.arrays import Pixels
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike

MAX_PIXELS = 100_000_000

FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WebP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""What the end of a name (in lower case) promises."""

_SIGNATURES = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "BMP": (b"BM",),
}

_OPENERS: dict[str, Callable[[BytesIO, str], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.jpeg_factory,
    "PNG": PngImagePlugin.PngImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}

_NOT_IMAGES = (
    (rb"\s*(<!doctype html|<html)", "an HTML page (a download that failed?)"),
    (rb"version https://git-lfs", "a Git LFS pointer (run 'git lfs pull')"),
    (rb"\s*(<\?xml[^>]*>\s*)?<svg", "an SVG drawing"),
    (rb"%PDF", "a PDF document"),
    (rb"PK\x03\x04", "a ZIP archive"),
    (rb"....ftyp(avif|avis)", "AVIF, which is not read here"),
    (rb"....ftyp(heic|heix|mif1|msf1)", "HEIC, which is not read here"),
    (rb"....ftyp", "a video"),
    (rb"\0+\Z", "nothing but zero bytes"),
    (rb"[\t\n\r\x20-\x7e]+\Z", "text"),
)

_NOT_A_FILE = "a pipe, socket or device, not a file"


class BadImage(UserError):
    """A file that cannot be used as a picture. The message is the reason only, without the path."""


def read_image(path: PathLike, *, max_pixels: int = MAX_PIXELS, min_side: int = 1) -> Pixels:
    """Read a picture as uint8 (height, width, 3) RGB, C-contiguous, upright.

    JPEG, PNG, WebP, BMP, GIF and TIFF, told apart by content and not by name; of several frames the
    first. How each kind of pixel becomes RGB: see `decode_image`.
    Raises BadImage with the reason when the file cannot be read, is not a picture, is truncated or
    damaged, has more than `max_pixels` pixels or a side below `min_side`.
    """
    data = read_bytes(path, max_pixels=max_pixels)
    return decode_image(data, max_pixels=max_pixels, min_side=min_side)


def image_format(path: PathLike) -> str:
    """JPEG, PNG, WebP, BMP, GIF or TIFF, by the first bytes of the file.

    Raises BadImage with the reason when it is none of them or cannot be read.
    """
    with _reasons(path), _open_regular(path) as file:
        return format_of(file.read(512))


def read_bytes(path: PathLike, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """Read all bytes of a file that begins like a picture.

    Other files are not read beyond their first bytes, nor are those much larger than any picture of
    `max_pixels` pixels: a film in the wrong folder must not fill the memory.
    Raises BadImage with the reason.
    """
    with _reasons(path), _open_regular(path) as file:
        head = file.read(512)
        format_of(head)
        size = os.fstat(file.fileno()).st_size
        if size > 16 * max_pixels + 2**26:
            raise BadImage(f"{size} bytes: too large for a picture of {max_pixels} pixels")
        return head + file.read()


def format_of(data: bytes) -> str:
    """JPEG, PNG, WebP, BMP, GIF or TIFF, by the first bytes (512 are enough). Else BadImage."""
    if not data:
        raise BadImage("empty file")
    for name, signatures in _SIGNATURES.items():
        if data.startswith(signatures):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if len(data) > 1 and any(s.startswith(data) for known in _SIGNATURES.values() for s in known):
        raise BadImage(f"truncated: only {len(data)} bytes")
    for pattern, what in _NOT_IMAGES:
        if re.match(pattern, data[:512], re.IGNORECASE | re.DOTALL):
            raise BadImage(f"not an image: {what}")
    raise BadImage("not an image")


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS, min_side: int = 1) -> Pixels:
    """Decode a picture file's bytes to uint8 (height, width, 3) RGB, C-contiguous, upright.

    - EXIF orientation is applied.
    - Transparent pixels, by alpha channel, palette or colour key, lie on white.
    - 16-bit grey v becomes round(v / 257), 12-bit round(v / 4095 * 255). 16-bit colour keeps its
      high byte, which is all that Pillow reads.
    - Float grey is taken as 0-1, else 0-255, else 0-65535, the smallest scale that holds the
      picture; 32-bit integers have no usual scale and are refused.
    - CMYK is converted without a colour profile, and profiles are not applied to RGB either.

    The size is checked in the header, before anything is decoded. A JPEG, PNG or WebP must reach
    its end marker: of a JPEG whose tail is zeros, as a stopped download leaves it, Pillow would
    show the lower part grey. What cannot be seen is damage inside a JPEG that has its end marker.
    Raises BadImage with the reason.
    """
    name = format_of(data)
    try:
        with _OPENERS[name](BytesIO(data), "") as image:
            _check_size(*image.size, max_pixels=max_pixels, min_side=min_side)
            if name in ("JPEG", "PNG", "WebP") and _ends_early(name, data):
                raise BadImage(_truncated(name, data))
            return np.array(_upright_rgb(image))
    except BadImage:
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        raise BadImage(f"too large: {error or 'not enough memory'}") from error
    except Exception as error:  # decoders raise everything from SyntaxError to OSError
        if _ends_early(name, data) or "truncated" in str(error).lower():
            raise BadImage(_truncated(name, data)) from error
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        # Where the pixels of a TIFF end, only its decoder knows.
        damage = "truncated or damaged" if name == "TIFF" else "damaged"
        raise BadImage(f"{damage} {name}: {first_line}") from error


def _check_size(width: int, height: int, *, max_pixels: int, min_side: int) -> None:
    if min(width, height) < min_side:
        raise BadImage(f"{width}x{height} pixels: smaller than {min_side} a side")
    if width * height > max_pixels:
        raise BadImage(f"{width}x{height} pixels: more than {max_pixels} in all")


def _upright_rgb(image: ImageFile.ImageFile) -> Image.Image:
    raw_mode = image.tile[0].args if image.tile else None
    image.load()
    with suppress(Exception):  # a picture is not lost because its EXIF block is
        ImageOps.exif_transpose(image, in_place=True)
    return _rgb(image, raw_mode)


def _rgb(image: ImageFile.ImageFile, raw_mode: Any) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _from_sixteen_bits(image)
    if image.mode == "F":
        return _from_floats(image)
    if image.mode == "I":
        raise BadImage("32-bit integer pixels, whose scale is unknown: save it with 8 or 16 bits")
    if not image.has_transparency_data:
        return image.convert("RGB")
    _scale_colour_key(image, raw_mode)
    coloured = image.convert("RGBA")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(coloured, mask=coloured.getchannel("A"))
    return paper


def _scale_colour_key(image: ImageFile.ImageFile, raw_mode: Any) -> None:
    """Bring a PNG's transparent colour, given in the file's depth, to the depth of the pixels."""
    key = image.info.get("transparency")
    if raw_mode in ("L;2", "L;4") and isinstance(key, int):
        image.info["transparency"] = key * (85 if raw_mode == "L;2" else 17)
    if raw_mode == "RGB;16B" and isinstance(key, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in key)


def _from_sixteen_bits(image: ImageFile.ImageFile) -> Image.Image:
    values = np.asarray(image).astype(np.uint32)
    full = 4095 if _tiff_tag(image, TiffImagePlugin.BITSPERSAMPLE) == (12,) else 65535
    grey = ((values * 255 + full // 2) // full).astype(np.uint8)
    if _white_is_zero(image):
        grey = 255 - grey
    if isinstance(key := image.info.get("transparency"), int):
        grey[values == key] = 255
    return Image.fromarray(grey).convert("RGB")


def _from_floats(image: ImageFile.ImageFile) -> Image.Image:
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    scale = next((full for full in (1, 255, 65535) if low >= 0 and high <= full), None)
    if scale is None:  # also when a value is NaN
        raise BadImage(f"float pixels from {low:g} to {high:g}, whose scale is unknown")
    grey = np.rint(values * (255 / scale)).astype(np.uint8)
    return Image.fromarray(255 - grey if _white_is_zero(image) else grey).convert("RGB")


def _white_is_zero(image: ImageFile.ImageFile) -> bool:
    """Whether a TIFF counts from white; Pillow sees to it for 8 bits, but not for 16 or floats."""
    return bool(_tiff_tag(image, TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0)


def _tiff_tag(image: ImageFile.ImageFile, tag: int) -> Any:
    return image.tag_v2.get(tag) if isinstance(image, TiffImagePlugin.TiffImageFile) else None


def _truncated(name: str, data: bytes) -> str:
    return f"truncated: the {name} does not end within its {len(data)} bytes"


def _ends_early(name: str, data: bytes) -> bool:
    """Whether the file is shorter than it says, as far as its format tells."""
    try:
        if name == "JPEG":
            return not _jpeg_reaches_end(data)
        if name == "PNG":
            return not _png_reaches_end(data)
        if name == "WebP":
            return bool(8 + struct.unpack_from("<I", data, 4)[0] > len(data))
        if name == "BMP":
            return bool(struct.unpack_from("<I", data, 2)[0] > len(data))
        if name == "GIF":
            return not data.rstrip(b"\0").endswith(b";")
        order = "<" if data[:1] == b"I" else ">"
        return bool(struct.unpack_from(order + "I", data, 4)[0] + 2 > len(data))
    except struct.error:
        return True


_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
"""A JPEG marker within coded pixels, where FF 00 stands for FF, and FF D0 to D7 only divide."""


def _jpeg_reaches_end(data: bytes) -> bool:
    """Walk from segment to segment to the end-of-image marker (ITU T.81, annex B).

    Segments are skipped by their lengths: a thumbnail inside one has an end marker of its own.
    """
    position = 2
    while found := _MARKER.search(data, position):
        if found[1] == b"\xd9":
            return True
        position = found.end() + struct.unpack_from(">H", data, found.end())[0]
    return False


def _png_reaches_end(data: bytes) -> bool:
    """Walk from chunk to chunk to IEND (PNG specification, 5.3)."""
    position = 8
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        position += 12 + length
        if kind == b"IEND":
            return bool(position <= len(data))
    return False


def _open_regular(path: PathLike) -> FileIO:
    """Open a regular file, without a buffer: all but its first bytes are read at once."""
    # Without waiting for somebody who writes to a pipe.
    file = FileIO(path, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise BadImage(_NOT_A_FILE)


@contextmanager
def _reasons(path: PathLike) -> Iterator[None]:
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
