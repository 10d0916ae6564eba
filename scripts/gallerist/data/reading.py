"""Reading: the pixels of a picture, whether its file is the picture or has yet to be warped.

Files are opened here for all that a network or a descriptor sees.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TypeVar

from gallerist.data.boxes import cut, split_box
from gallerist.data.decoding import MAX_PIXELS, Profiles, decoded, read_bytes
from gallerist.data.fast_jpeg import BYTES_A_PIXEL, decode_of_size, plain_size
from gallerist.data.formats import BadImage
from gallerist.data.manifest import Picture
from gallerist.data.room import room_for
from gallerist.io.arrays import Pixels
from gallerist.io.files import PathLike

Readable = PathLike | Picture
"""A file or a part of its picture (see `boxes`); or a row of a manifest: one of these, or the copy
that a recipe makes of it."""

Made = TypeVar("Made")


def read_pixels(
    pictures: Sequence[Readable],
    use: Callable[[Pixels], Made],
    *,
    max_pixels: int = MAX_PIXELS,
    profiles: Profiles = "apply",
) -> list[Made]:
    """Read pictures of one file, which is decoded once, and return what `use` makes of each.

    use: is given (height, width, 3) uint8 RGB, upright, one picture after the other, while room in
    memory for the original is held. max_pixels: a larger file is refused before it is decoded.
    profiles: see `decoding.decode_image`.
    Raises `formats.BadImage` naming the file when it cannot be decoded.
    """
    path = _path(pictures[0])
    file, box = split_box(path)
    recipes = [each.recipe if isinstance(each, Picture) else "" for each in pictures]
    try:
        data = read_bytes(file, max_pixels=max_pixels)
        with _original(data, max_pixels, profiles) as whole:
            original = cut(whole, box)
            if not any(recipes):
                return [use(original) for _ in recipes]
            # Here, because only jobs that read copies are repeated when it is edited: see
            # `workflow.dependencies.COPYING`.
            from gallerist.data.warping import make_copies

            return [use(copy) for copy in make_copies(original, recipes)]
    except BadImage as error:
        raise BadImage(f"{path}: {error}") from error


@contextmanager
def _original(data: bytes, max_pixels: int, profiles: Profiles) -> Iterator[Pixels]:
    """The pixels of a file, by the quick way where there is one."""
    if size := plain_size(data, max_pixels=max_pixels):
        height, width = size
        needed = BYTES_A_PIXEL * height * width
        with room_for(needed, f"a JPEG of {width}x{height} pixels"):
            pixels = decode_of_size(data, height, width)
            if pixels is not None:
                yield pixels
                return
    with decoded(data, max_pixels=max_pixels, profiles=profiles) as careful:
        yield careful


def of_one_file(pictures: Iterable[Readable]) -> list[list[Readable]]:
    """Group pictures of one file that stand next to each other, to be read together."""
    return [list(group) for _, group in groupby(pictures, key=_path)]


def _path(picture: Readable) -> str:
    return picture.path if isinstance(picture, Picture) else os.fspath(picture)
