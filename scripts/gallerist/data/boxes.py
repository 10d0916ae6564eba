"""A part of a picture: its file's path, and behind it the box, as in W3C's Media Fragments 1.0.

photos/a.jpg#xywh=10,20,300,200 is what lies 10 pixels from the left and 20 from the top, 300 wide
and 200 high. Whatever names a picture by its path can so name a part of it.
"""

import os
import re
from typing import NamedTuple

from gallerist.io.arrays import Pixels
from gallerist.io.files import PathLike, sha256_of_text

_FRAGMENT = re.compile(r"(.*)#xywh=(\d+),(\d+),(\d+),(\d+)", re.DOTALL)


class Box(NamedTuple):
    """Pixels of a picture, as seen: from the left, from the top, and how many."""

    x: int
    y: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width},{self.height}"

    def within(self, width: int, height: int) -> bool:
        """Whether it lies in a picture of that size."""
        return self.x + self.width <= width and self.y + self.height <= height


def with_box(path: str, box: Box | None) -> str:
    """The path of a part of a picture; of all of it without a box."""
    return path if box is None else f"{path}#xywh={box}"


def split_box(path: PathLike) -> tuple[str, Box | None]:
    """The file that a path leads to, and the box in it; None where it is all of the picture."""
    found = _FRAGMENT.fullmatch(os.fspath(path))
    return (found[1], Box(*map(int, found.groups()[1:]))) if found else (os.fspath(path), None)


def cut(pixels: Pixels, box: Box | None) -> Pixels:
    """The pixels in a box, (height, width, 3); all of them without one. A view of the picture."""
    if box is None:
        return pixels
    return pixels[box.y : box.y + box.height, box.x : box.x + box.width]


def picture_id(content: str, box: Box | None) -> str:
    """The id of a picture, or of a part of it. content: SHA-256 of the file, as 64 digits."""
    return content[:16] if box is None else sha256_of_text(f"{content} {box}")[:16]
