"""Section `augmentation`: randomly changed copies of the training pictures."""

from typing import Literal

from gallerist.settings.base import Float, Int, Natural, Seed, Settings, Share, key

LARGEST_SIDE = 32_766
"""Pixels. OpenCV before version 5 warps nothing larger."""


class Augmentation(Settings):
    """Randomly changed copies of the training pictures, made after the split. Validation, gallery
    and query pictures are never augmented.
    """

    copies: Natural = key(5, "copies a picture")
    """Copies of each training picture. 0 turns augmentation off."""
    rotation: Float = key(40.0, "degrees", ge=0, le=180)
    """Turned by an angle from [-rotation, rotation]."""
    width_shift: Share = key(0.2, "fraction")
    """Moved sideways by up to this share of the width."""
    height_shift: Share = key(0.2, "fraction")
    """Moved up or down by up to this share of the height."""
    shear: Float = key(0.2, "degrees", ge=0, lt=90)
    """Sheared by an angle from [-shear, shear]. Degrees, as in Keras, where 0.2 changes almost
    nothing."""
    zoom: Float = key(0.2, "factor", ge=0, lt=1)
    """Enlarged or shrunk by factors from [1 - zoom, 1 + zoom]."""
    horizontal_flip: bool = key(True, doc="Mirrors a copy with probability one half.")
    fill: Literal["nearest", "reflect", "wrap", "constant"] = key("nearest", noun="a fill")
    """What the uncovered border shows. `constant` is black."""
    drawings: Share = key(0.0, "fraction")
    """Share of the copies that are line drawings of their photo, for queries that are sketches.
    Each is drawn, then changed like the others; around it is white, whatever the fill."""
    max_side: Int = key(512, "pixels", ge=16, le=LARGEST_SIDE)
    """Larger pictures are shrunk to this longer side before they are changed."""
    files: bool = key(False)
    """Writes the copies as files, to `augmented/` of the results, and trains on these. Otherwise a
    copy is its original and the drawn numbers, warped when it is read. The pixels are the same;
    files save time where large photos are read in every epoch."""
    seed: Seed = key(99, doc="Draws the angles, shifts, shears, zooms and flips.")
