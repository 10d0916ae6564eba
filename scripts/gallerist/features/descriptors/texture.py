"""Texture: local binary patterns, co-occurrence of grey levels, Gabor filters."""

from functools import lru_cache
from math import ceil, log2
from typing import Literal

import cv2
import numpy as np

from gallerist.features.descriptors.cells import (
    as_vector,
    at_least,
    cell_histograms,
    cell_index,
    grey,
)
from gallerist.io.arrays import Floats, Integers, Pixels, Vectors

Pattern = Literal["uniform", "ror", "nri_uniform"]

GABOR_SHORTEST = 4
"""Wavelength of the finest Gabor filters, in pixels: above the two that pixels can show at all."""


def local_binary_patterns(
    pixels: Pixels, *, pattern: Pattern, points: int, radius: float, grid: int, square_root: bool
) -> Vectors:
    """How often each local pattern of brighter and darker neighbours occurs.

    Ojala, Pietikäinen and Mäenpää: Multiresolution gray-scale and rotation invariant texture
    classification with local binary patterns (2002).

    pixels: uint8 (h, w, 3) RGB. points, radius: neighbours of a pixel, on a circle of so many
    pixels. pattern: which patterns are told apart. "uniform": `points` + 2, unchanged by rotation;
    "ror": all that are not rotations of each other, at most 16 points; "nri_uniform": uniform ones
    by direction too, points · (points - 1) + 3. grid: grid x grid cells, each with a histogram.
    square_root: see `cells.as_vector`.

    Returns (grid² · patterns,) float32; a cell's histogram sums to 1 before the root.
    """
    from skimage.feature import local_binary_pattern

    brightness = grey(at_least(pixels, grid))
    # Beyond the border scikit-image sees black, whose patterns change with the brightness.
    border = ceil(radius) + 1
    framed = cv2.copyMakeBorder(brightness, border, border, border, border, cv2.BORDER_REPLICATE)
    codes = local_binary_pattern(framed, points, radius, pattern).astype(np.int64)
    codes = codes[border:-border, border:-border]
    if pattern == "ror":
        smallest = _smallest_rotations(points)
        codes, count = np.searchsorted(smallest, codes), len(smallest)
    else:
        count = points + 2 if pattern == "uniform" else points * (points - 1) + 3
    cells = cell_index(brightness, grid)
    histograms = cell_histograms(codes, cells, grid=grid, count=count)
    return as_vector(histograms, square_root=square_root)


@lru_cache
def _smallest_rotations(points: int) -> Integers:
    """List the codes of `points` bits that none of their rotations is below, in order."""
    codes = np.arange(2**points, dtype=np.int64)
    smallest = codes
    for turn in range(1, points):
        turned = (codes >> turn) | ((codes << (points - turn)) & (2**points - 1))
        smallest = np.minimum(smallest, turned)
    return np.unique(smallest)


def haralick(pixels: Pixels, *, levels: int, distance: int) -> Vectors:
    """Thirteen statistics of which grey levels lie side by side.

    Haralick, Shanmugam and Dinstein: Textural features for image classification (1973); computed
    by mahotas, with the variance of |x - y| as difference variance.

    pixels: uint8 (h, w, 3) RGB. levels: the 256 grey values are divided into so many; fewer are
    faster and less noisy. distance: of the two pixels of a pair, in pixels.

    Returns (26,) float32: the mean of each statistic over four directions, then its range, each
    divided by the largest value it can have. Otherwise the two variances and the contrast, which
    grow with levels², would be all that counts.
    """
    from mahotas.features import haralick as statistics

    brightness = grey(at_least(pixels, distance + 1))
    quantised = (brightness.astype(np.uint16) * levels // 256).astype(np.uint8)
    values = statistics(
        quantised, return_mean_ptp=True, use_x_minus_y_variance=True, distance=distance
    )
    return as_vector(values / _largest_statistics(levels))


def _largest_statistics(levels: int) -> Floats:
    """Bounds of what `haralick` divides by them, in mahotas's order: 13 values, 13 ranges."""
    widest, bits = (levels - 1) ** 2, log2(levels)
    value = [
        1,  # angular second moment
        widest,  # contrast
        1,  # correlation
        widest / 4,  # variance
        1,  # inverse difference moment
        2 * (levels - 1),  # sum average
        widest,  # sum variance
        log2(2 * levels - 1),  # sum entropy
        2 * bits,  # entropy
        widest / 4,  # difference variance
        bits,  # difference entropy
        1,  # information measures of correlation
        1,
    ]
    from_lowest_to_highest = value.copy()
    from_lowest_to_highest[2] = 2  # a correlation is between -1 and 1
    return np.array(value + from_lowest_to_highest)


def gabor(pixels: Pixels, *, scales: int, orientations: int) -> Vectors:
    """How strongly, and how evenly, waves of some lengths and directions are present.

    Manjunath and Ma: Texture features for browsing and retrieval of image data (1996).

    pixels: uint8 (h, w, 3) RGB. scales: wavelengths, of 4 pixels and each twice the one before.
    orientations: directions, evenly over half a turn.

    Returns (scales · orientations · 2,) float32: of each filter's magnitude over the picture the
    mean and the standard deviation, in parts of full brightness.
    """
    brightness = grey(pixels).astype(np.float32) / np.float32(255)
    # Of a plain picture nothing is left, not even rounding that would be scaled to length 1.
    brightness -= brightness.flat[0]
    measured = []
    for _ in range(scales):
        for even, odd in _gabor_pairs(orientations):
            # Not cv2.magnitude, whose last bit depends on where in memory its argument lies.
            magnitude = np.hypot(
                cv2.filter2D(brightness, cv2.CV_32F, even, borderType=cv2.BORDER_REPLICATE),
                cv2.filter2D(brightness, cv2.CV_32F, odd, borderType=cv2.BORDER_REPLICATE),
            )
            measured += [magnitude.mean(dtype=np.float64), magnitude.std(dtype=np.float64)]
        # Half the picture under the same filter is the picture under one twice as long, cheaper.
        brightness = cv2.pyrDown(brightness, borderType=cv2.BORDER_REPLICATE)
    return as_vector(np.array(measured))


@lru_cache
def _gabor_pairs(orientations: int) -> tuple[tuple[Floats, Floats], ...]:
    """Even and odd filters, a pair for each direction, that do not answer to plain brightness."""
    # The width of a band of one octave (Manjunath and Ma), cut off where it falls to 1 %.
    sigma = GABOR_SHORTEST / np.pi * np.sqrt(np.log(2) / 2) * 3
    side = 2 * ceil(3 * sigma) + 1

    def kernel(angle: float, wavelength: float, phase: float) -> Floats:
        return np.asarray(
            cv2.getGaborKernel((side, side), sigma, angle, wavelength, 1.0, phase), dtype=np.float64
        )

    envelope = kernel(0.0, 1e9, 0.0)
    pairs = []
    for angle in np.arange(orientations) * np.pi / orientations:
        even = kernel(angle, GABOR_SHORTEST, 0.0)
        odd = kernel(angle, GABOR_SHORTEST, np.pi / 2)
        even -= envelope * (even.sum() / envelope.sum())
        pairs.append((even / envelope.sum(), odd / envelope.sum()))
    return tuple(pairs)
