"""Resizing: a picture of any shape -> the square that a network sees, and from there back."""

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from gallerist.io.arrays import AnyArray, Pixels, Vectors

Resizing = Literal["squeeze", "crop", "pad"]

CROP_RATIO = 0.875
"""The usual share of the shorter side that is looked at: 224 of 256 pixels."""

MOST_ASPECT = 8
"""Of a longer picture only the middle, so many times as long as wide, is resized to be cropped:
enlarged whole, a line of pixels would fill the memory."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Fitting:
    """How pictures of one shape become squares of `size` pixels.

    height, width: of the picture, in pixels. All below are in the order rows, columns.
    kind: "squeeze" makes both sides `size` long, whatever the aspect.
        "crop" makes the shorter side floor(size / ratio) long, and takes `size` pixels from the
        middle, as torchvision's Resize and CenterCrop and timm's crop_pct do.
        "pad" makes the longer side `size` long, and lays the picture on the middle of a square of
        one colour, as Pillow's ImageOps.pad does.
    ratio: of "crop", above 0 and at most 1.
    """

    height: int
    width: int
    size: int
    kind: Resizing
    ratio: float = CROP_RATIO

    @property
    def taken(self) -> tuple[int, int]:
        """Rows and columns of the picture's middle that are resized: all but of a long one."""
        longest = min(self.height, self.width) * MOST_ASPECT
        if self.kind != "crop":
            return self.height, self.width
        return min(self.height, longest), min(self.width, longest)

    @property
    def scaled(self) -> tuple[int, int]:
        """What they are resized to."""
        height, width = self.taken
        if self.kind == "squeeze":
            return self.size, self.size
        if self.kind == "pad":
            longer = max(height, width)
            sides = round(height * self.size / longer), round(width * self.size / longer)
            return max(1, sides[0]), max(1, sides[1])
        shorter, wanted = min(height, width), math.floor(self.size / self.ratio)
        return height * wanted // shorter, width * wanted // shorter

    def fit(self, pixels: Pixels, colour: Colour) -> Pixels:
        """(height, width, 3) uint8 -> (size, size, 3). colour: around a padded picture, RGB."""
        scaled = resize(_middle(pixels, self.taken), *self.scaled)
        square = _middle(scaled, (self.size, self.size))
        if self.kind != "pad":
            return np.ascontiguousarray(square)
        padded = np.full((self.size, self.size, 3), colour, np.uint8)
        _middle(padded, self.scaled)[:] = square
        return padded

    def back(self, heat: Vectors) -> Vectors:
        """A (size, size) map of the square -> (height, width) of the picture.

        0 where the square does not show the picture; what lies beside the picture is left out.
        The shape of a shrunk picture gives the same map, shrunk.
        """
        seen = _middle(heat, self.scaled)
        shown = [
            max(1, round(min(self.size / scaled, 1) * taken))
            for scaled, taken in zip(self.scaled, self.taken, strict=True)
        ]
        whole = np.zeros((self.height, self.width), np.float32)
        large = cv2.resize(seen, (shown[1], shown[0]), interpolation=cv2.INTER_LINEAR)
        _middle(whole, (shown[0], shown[1]))[:] = large
        return whole


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """(h, w, 3) uint8 -> (height, width, 3).

    A side that is too long is shrunk by averaging over the covered area, which does not alias; one
    that is too short is then enlarged bilinearly.
    """
    # One call would enlarge both sides bilinearly, and so alias the longer side of a panorama.
    rows, columns = pixels.shape[:2]
    sides = min(columns, width), min(rows, height)
    shrunk = cv2.resize(pixels, sides, interpolation=cv2.INTER_AREA)
    if shrunk.shape[:2] != (height, width):
        shrunk = cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(shrunk, dtype=np.uint8)


def _middle(array: AnyArray, sides: tuple[int, int]) -> AnyArray:
    """The middle rows and columns of an array, as a view; all where it has no more.

    Of an odd rest, half is rounded to even, as torchvision and Pillow do.
    """
    top, left = (
        round(max(0, whole - part) / 2) for whole, part in zip(array.shape[:2], sides, strict=True)
    )
    return array[top : top + sides[0], left : left + sides[1]]
