"""Warping: an original and a recipe -> the pixels of a copy, turned, shifted, sheared or drawn."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from gallerist.io.arrays import Pixels
from gallerist.io.files import canonical_json

FILLS: dict[str, int] = {
    "nearest": cv2.BORDER_REPLICATE,  # aaaa|abcd|dddd
    "reflect": cv2.BORDER_REFLECT,  #   dcba|abcd|dcba
    "wrap": cv2.BORDER_WRAP,  #         abcd|abcd|abcd
    "constant": cv2.BORDER_CONSTANT,  # 0000|abcd|0000: black
}
"""What is seen outside the picture, by the name it has in scipy.ndimage and Keras."""


@dataclass(frozen=True)
class Warp:
    """One drawn transform. The default is the identity.

    theta: degrees; a positive angle turns what is seen anticlockwise.
    tx, ty: fractions of the width and of the height. The output looks that much further right and
        down, along axes that turn with theta: what is seen moves the other way.
    shear: degrees.
    zx, zy: factors along x and y; above 1 the picture shrinks, as in Keras.
    flip: mirrored left to right after all the rest.
    drawn: the picture is drawn in lines before all the rest.

    Nothing is in pixels, so a warp means the same for a picture and its shrunk form.
    """

    theta: float = 0.0
    tx: float = 0.0
    ty: float = 0.0
    shear: float = 0.0
    zx: float = 1.0
    zy: float = 1.0
    flip: bool = False
    drawn: bool = False


@dataclass(frozen=True)
class Recipe:
    """What makes a copy of its original.

    copy: number of the copy, from 1: two copies that are changed alike are still two.
    max_side: pixels; a larger original is shrunk to it first, see `shrink`.
    fill: a key of FILLS.
    """

    copy: int
    max_side: int
    fill: str
    warp: Warp

    def text(self) -> str:
        """As it stands in a manifest: JSON, equal for equal recipes and no others."""
        return canonical_json({**vars(self), "warp": vars(self.warp)})

    @classmethod
    def read(cls, text: str) -> "Recipe":
        """Read what `text` gave."""
        fields = json.loads(text)
        return cls(**{**fields, "warp": Warp(**fields["warp"])})


def make_copies(original: Pixels, recipes: Iterable[str]) -> Iterator[Pixels]:
    """Make the copy of (height, width, 3) uint8 RGB that each recipe asks for, of the same type.

    recipes: as `Recipe.text` writes them; for an empty one the original itself is given.
    """
    shrunk = cache(lambda max_side: shrink(original, max_side))
    for text in recipes:
        if text:
            recipe = Recipe.read(text)
            yield apply(shrunk(recipe.max_side), recipe.warp, recipe.fill)
        else:
            yield original


def matrix(warp: Warp, height: int, width: int) -> NDArray[np.float64]:
    """Map pixel coordinates (x, y, 1) of the output to (x, y) of the input.

    height, width: pixels, of both. Pixel centres have whole coordinates, so the picture's centre
    is ((width - 1) / 2, (height - 1) / 2).
    Returns (2, 3) float64.

    The product rotation x shift x shear x zoom is that of Keras's apply_affine_transform, as is the
    shear matrix, which keeps lengths along the slanted axis. Keras puts half the height for the
    centre's x and half the width for its y; and its height_shift_range, times the height, becomes a
    move along x. With square pictures and equal ranges neither shows. Here the centre is the
    centre, and width_shift moves along the width.
    """
    angle, slant = np.deg2rad(warp.theta), np.deg2rad(warp.shear)
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    shift = np.array([[1, 0, warp.tx * width], [0, 1, warp.ty * height], [0, 0, 1]])
    shear = np.array([[1, -np.sin(slant), 0], [0, np.cos(slant), 0], [0, 0, 1]])
    zoom = np.diag([-warp.zx if warp.flip else warp.zx, warp.zy, 1.0])  # mirrored about the centre
    x, y = (width - 1) / 2, (height - 1) / 2
    to_corner = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])
    to_centre = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
    product: NDArray[np.float64] = to_corner @ rotation @ shift @ shear @ zoom @ to_centre
    return product[:2]


def apply(image: Pixels, warp: Warp, fill: str = "nearest") -> Pixels:
    """Warp a picture, with linear interpolation, drawn in lines before where the warp says so.

    image: (height, width, 3) uint8. fill: a key of FILLS; around a drawing there is white paper.
    Returns a new array of the same shape and type.
    """
    if warp.drawn:
        # Here, because it loads scikit-image, which is not needed without drawings.
        from gallerist.data.line_drawings import draw_lines

        # Inverted twice: the constant border is black.
        ink = 255 - draw_lines(image)
        inked: Pixels = 255 - apply(ink, replace(warp, drawn=False), "constant")
        return inked
    height, width = image.shape[:2]
    warped: Pixels = cv2.warpAffine(
        image,
        matrix(warp, height, width),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=FILLS[fill],
        borderValue=(0, 0, 0),
    )
    return warped


def shrink(image: Pixels, max_side: int) -> Pixels:
    """Shrink a picture until its longer side is `max_side` pixels, by area averages.

    A picture that is small enough is returned as it is.
    """
    height, width = image.shape[:2]
    if max(height, width) <= max_side:
        return image
    size = shrunk_size(width, height, max_side)
    small: Pixels = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small


def shrunk_size(width: int, height: int, max_side: int) -> tuple[int, int]:
    """Width and height of a picture after `shrink`: the shorter side is rounded, to at least 1."""
    longer = max(height, width, max_side)
    return max(1, round(width * max_side / longer)), max(1, round(height * max_side / longer))
