"""Small copies of pictures, made once and kept, and whole pictures as a browser can show them."""

import io
import re
from contextlib import suppress
from pathlib import Path
from threading import BoundedSemaphore, Lock

from PIL import Image

from gallerist.data.boxes import cut, split_box
from gallerist.data.decoding import (
    MAX_PIXELS,
    BadImage,
    decode_image,
    format_of,
    read_bytes,
    read_image,
)
from gallerist.data.manifest import Picture
from gallerist.io.arrays import Pixels
from gallerist.io.files import replacing

SIDE = 320
"""Pixels of a thumbnail's longer side, at most: twice what a card shows, for fine screens."""

SUFFIX, MEDIA = "jpg", "image/jpeg"
_QUALITY = 88
"""A WebP of the same quality has half the bytes, and takes more than ten times as long."""

_SHOWN = {"JPEG": "image/jpeg", "PNG": "image/png", "WebP": "image/webp", "GIF": "image/gif"}
"""Formats that every browser shows as they are."""

DECODING = BoundedSemaphore(2)
"""Pictures decoded side by side: one of 100 million pixels takes 300 MB."""

_LOCKS = [Lock() for _ in range(64)]
"""So that no two threads make the same thumbnail: those of one temporary name would collide."""


class Thumbnails:
    """The thumbnails of one data set. folder: where they are kept, by content."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, picture: Picture) -> bytes:
        """A thumbnail as JPEG. Raises `decoding.BadImage` naming the file."""
        # An id is a file name only where it is the digest that it should be.
        if not re.fullmatch(r"[0-9a-f]{16}", picture.id):
            return _made(picture)
        path = self._folder / picture.id[:2] / f"{picture.id}.{SUFFIX}"
        with suppress(OSError):
            return path.read_bytes()
        with _LOCKS[int(picture.id, 16) % len(_LOCKS)]:
            with suppress(OSError):  # made meanwhile
                return path.read_bytes()
            data = _made(picture)
            with suppress(OSError), replacing(path) as temporary:  # the folder may be read-only
                temporary.write_bytes(data)
            return data


def _made(picture: Picture) -> bytes:
    try:
        with DECODING:
            limit = max(MAX_PIXELS, picture.width * picture.height)  # as it was imported
            return encoded(read_image(picture.path, max_pixels=limit), SIDE)
    except BadImage as error:
        raise BadImage(f"{picture.path}: {error}") from error


def encoded(pixels: Pixels, side: int) -> bytes:
    """uint8 (h, w, 3) RGB pixels as JPEG, shrunk to that longer side."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def whole_picture(picture: Picture, max_pixels: int = MAX_PIXELS) -> tuple[bytes, str]:
    """A picture file as it is, or as PNG where not every browser shows its format, and of a part of
    a picture; its media type.

    Raises `decoding.BadImage` naming the file where it is no picture.
    """
    try:
        file_name, box = split_box(picture.path)
        data = read_bytes(file_name, max_pixels=max_pixels)
        media = _SHOWN.get(format_of(data))
        if media is not None and box is None:
            return data, media
        with DECODING:
            pixels = cut(decode_image(data, max_pixels=max_pixels), box)
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG")
            return file.getvalue(), "image/png"
    except BadImage as error:
        raise BadImage(f"{picture.path}: {error}") from error
