"""Orientation: how a picture was held, and its pixels turned upright (EXIF 2.3, 4.6.4)."""

from contextlib import suppress
from typing import Any

from PIL import Image

_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(exif: bytes) -> Any:
    """What an EXIF block says; 1 where it says nothing, or is damaged."""
    with suppress(Exception):  # whatever Pillow raises on bytes that make no sense
        block = Image.Exif()
        block.load(exif)
        return block.get(_TAG, 1)
    return 1


def upright(image: Image.Image, orientation: Any) -> Image.Image:
    """The image turned; as it is for an orientation that does not exist."""
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)
