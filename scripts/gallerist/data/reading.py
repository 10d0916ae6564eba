"""Reading: the pixels of a picture, whether its file is the picture or has yet to be warped.

Files are opened here for all that a network or a descriptor sees.
"""

import os
from collections.abc import Iterable, Sequence
from itertools import groupby

from gallerist.data.decoding import MAX_PIXELS, BadImage, decode_image, read_bytes
from gallerist.data.fast_jpeg import decode_plain_jpeg
from gallerist.data.manifest import Picture
from gallerist.io.arrays import Pixels
from gallerist.io.files import PathLike

Readable = PathLike | Picture
"""A file, or a row of a manifest: a file, or the copy that a recipe makes of it."""


def read_pixels(pictures: Sequence[Readable], *, max_pixels: int = MAX_PIXELS) -> list[Pixels]:
    """Read pictures of one file, which is decoded once: each (height, width, 3) uint8 RGB, upright.

    max_pixels: a larger file is refused before it is decoded.
    Raises `decoding.BadImage` naming the file when it cannot be decoded.
    """
    path = _path(pictures[0])
    try:
        data = read_bytes(path, max_pixels=max_pixels)
        original = decode_plain_jpeg(data, max_pixels=max_pixels)
        if original is None:
            original = decode_image(data, max_pixels=max_pixels)
    except BadImage as error:
        raise BadImage(f"{path}: {error}") from error
    recipes = [each.recipe if isinstance(each, Picture) else "" for each in pictures]
    if not any(recipes):
        return [original] * len(recipes)
    # Here, because only jobs that read copies are repeated when it is edited: see
    # `workflow.dependencies.COPYING`.
    from gallerist.data.warping import make_copies

    return list(make_copies(original, recipes))


def of_one_file(pictures: Iterable[Readable]) -> list[list[Readable]]:
    """Group pictures of one file that stand next to each other, to be read together."""
    return [list(group) for _, group in groupby(pictures, key=_path)]


def _path(picture: Readable) -> str:
    return picture.path if isinstance(picture, Picture) else os.fspath(picture)
