"""What the descriptors share: grey values, cells of a picture, and histograms of them."""

import cv2
import numpy as np

from gallerist.io.arrays import AnyArray, Floats, Indices, Pixels, Vectors


def grey(pixels: Pixels) -> Pixels:
    """Luma of uint8 (h, w, 3) RGB pixels by ITU-R BT.601, rounded: uint8 (h, w)."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def at_least(pixels: Pixels, side: int) -> Pixels:
    """Repeat pixels of a picture with a side below `side`, so that it has none; others as given.

    Repeating invents no new values: a small picture gives the vector of its magnified self.
    """
    height, width = pixels.shape[:2]
    if min(height, width) >= side:
        return pixels
    larger = (max(width, side), max(height, side))
    return np.asarray(cv2.resize(pixels, larger, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def cell_index(picture: AnyArray, grid: int) -> Indices:
    """Number the cells of a grid x grid division of a picture, row by row, for each of its pixels.

    picture: (h, w, ...). Returns (h, w), numbers 0 to grid² - 1. No cell is empty when no
    side is below `grid`.
    """
    height, width = picture.shape[:2]
    row = np.arange(height) * grid // height
    column = np.arange(width) * grid // width
    return np.asarray(row[:, None] * grid + column, dtype=np.intp)


def cell_histograms(
    bins: AnyArray,
    cells: Indices,
    *,
    grid: int,
    count: int,
    weights: AnyArray | None = None,
) -> Floats:
    """Weigh the pixels of each cell by bin, divided by how many pixels the cell has.

    bins: (h, w), the bin 0 to `count` - 1 of each pixel. cells: of `cell_index`. weights: (h, w),
    of the pixels' votes; None is 1 each, and then the histogram of a cell sums to 1.
    Returns (grid², count); sums are exact or in float64, so that they do not depend on the size.
    """
    flat = None if weights is None else weights.ravel()
    index = cells.ravel() * count + bins.ravel()
    sums = np.bincount(index, flat, minlength=grid * grid * count).reshape(grid * grid, count)
    pixels = np.bincount(cells.ravel(), minlength=grid * grid)
    return np.asarray(sums / np.maximum(pixels, 1)[:, None], dtype=np.float64)


def as_vector(values: AnyArray, *, square_root: bool = False) -> Vectors:
    """Flatten to float32; with `square_root`, of values that are not negative, by their roots.

    The Euclidean distance of the roots of two histograms is their Hellinger distance, which a few
    large bins do not rule (Arandjelović and Zisserman: Three things everyone should know to
    improve object retrieval, 2012).
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    return np.asarray(np.sqrt(flat) if square_root else flat, dtype=np.float32)
