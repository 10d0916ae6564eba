"""Shape: directions of edges, and moments of the region that stands out from its background."""

import cv2
import numpy as np

from gallerist.features.descriptors.cells import (
    as_vector,
    at_least,
    cell_histograms,
    cell_index,
    grey,
)
from gallerist.io.arrays import Pixels, Vectors

SMALLEST_HU = 1e-10
"""Hu moments around and below this are little more than rounding."""


def hog(pixels: Pixels, *, orientations: int, cells: int, cell_pixels: int, block: int) -> Vectors:
    """Histograms of oriented gradients (Dalal and Triggs, 2005), computed by scikit-image.

    pixels: uint8 (h, w, 3) RGB, of which the channel with the steepest gradient counts.
    orientations: bins over half a turn. cells: a side; the picture is squeezed to a square of
    `cells` · `cell_pixels` pixels, so that its size does not matter. block: cells a side over which
    the contrast is evened out, at most `cells`.

    Returns ((cells - block + 1)² · block² · orientations,) float32.
    """
    from skimage.feature import hog as histograms

    return as_vector(
        histograms(
            _squeeze(pixels, cells * cell_pixels),
            orientations=orientations,
            pixels_per_cell=(cell_pixels, cell_pixels),
            cells_per_block=(block, block),
            block_norm="L2-Hys",
            channel_axis=-1,
        )
    )


def _squeeze(pixels: Pixels, side: int) -> Pixels:
    """Resize to a square as `Preprocessing.load` does: first shrink by area, then enlarge."""
    height, width = pixels.shape[:2]
    shrunk = cv2.resize(pixels, (min(width, side), min(height, side)), interpolation=cv2.INTER_AREA)
    square = cv2.resize(shrunk, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(square, dtype=np.uint8)


def edge_histogram(
    pixels: Pixels, *, orientations: int, signed: bool, grid: int, square_root: bool
) -> Vectors:
    """How much edge there is in each direction, in each cell of the picture.

    pixels: uint8 (h, w, 3) RGB. orientations: bins over half a turn, or with `signed` over a whole
    one, where dark to bright and bright to dark are two directions. grid: grid x grid cells, each
    with a histogram. square_root: see `cells.as_vector`.

    A pixel votes with the magnitude of its gradient (Scharr, whose directions are truer than
    Sobel's), divided between the two nearest bins by nearness. The first bin has its centre at
    gradients to the right, so that upright and level edges lie within bins.

    Returns (grid² · orientations,) float32, cell by cell. A cell's histogram sums to its mean
    magnitude before the root, so that cells without edges count as little as they show.
    """
    brightness = grey(at_least(pixels, grid)).astype(np.float32) / np.float32(255)
    across = cv2.Scharr(brightness, cv2.CV_32F, 1, 0, borderType=cv2.BORDER_REPLICATE)
    down = cv2.Scharr(brightness, cv2.CV_32F, 0, 1, borderType=cv2.BORDER_REPLICATE)
    magnitude = np.hypot(across, down)
    turn = 2 * np.pi if signed else np.pi
    position = np.arctan2(down, across) / turn * orientations
    lower = np.floor(position)
    share = position - lower
    cells = cell_index(brightness, grid)
    histogram = np.zeros((grid * grid, orientations))
    for bin_, weight in ((lower, (1 - share) * magnitude), (lower + 1, share * magnitude)):
        histogram += cell_histograms(
            bin_.astype(np.intp) % orientations,
            cells,
            grid=grid,
            count=orientations,
            weights=weight,
        )
    return as_vector(histogram, square_root=square_root)


def hu_moments(pixels: Pixels) -> Vectors:
    """Seven moments of the region that stands out, unchanged by moving, scaling and turning it.

    Hu: Visual pattern recognition by moment invariants (1962). The last changes its sign in a
    mirror. They span many powers of ten, so each h becomes sign(h) · log10(1 + |h| / 1e-10), which
    is a logarithm where h is more than rounding, and 0 where h is 0.

    pixels: uint8 (h, w, 3) RGB. Returns (7,) float32; zeros when no region stands out.
    """
    moments = cv2.HuMoments(cv2.moments(salient_region(pixels), binaryImage=True)).ravel()
    return as_vector(np.sign(moments) * np.log10(1 + np.abs(moments) / SMALLEST_HU))


def zernike_moments(pixels: Pixels, *, degree: int) -> Vectors:
    """Magnitudes of Zernike moments of the region that stands out; turning it changes none.

    Teague: Image analysis via the general theory of moments (1980); Khotanzad and Hong: Invariant
    image recognition by Zernike moments (1990); computed by mahotas. They are taken on the
    smallest disc around the region's centre of mass that holds it, so that neither place nor size
    of the region matters. The first is 1/π for every region, and the second nearly 0; they stay,
    so that a perfect disc, whose others are nearly 0 too, is not scaled up to noise.

    pixels: uint8 (h, w, 3) RGB. degree: the highest.

    Returns one float32 for each order n of repetition l, l ≤ n ≤ degree, n - l even: 25 at degree
    8. Zeros when no region stands out.
    """
    from mahotas.features import zernike_moments as magnitudes

    region = salient_region(pixels)
    if not region.any():
        count = sum(n // 2 + 1 for n in range(degree + 1))
        return np.zeros(count, dtype=np.float32)
    points = np.argwhere(region)
    centre = points.mean(axis=0)
    radius = np.sqrt(((points - centre) ** 2).sum(axis=1).max()) + 0.5
    return as_vector(magnitudes(region, radius, degree=degree, cm=tuple(centre)))


def salient_region(pixels: Pixels) -> Pixels:
    """Find the region that stands out from its background: uint8 (h, w), 1 inside and 0 outside.

    The grey values are divided in two by Otsu (A threshold selection method from gray-level
    histograms, 1979). The background is the side that most of the picture's border belongs to, the
    dark one in a tie, so that a dark animal on white and a bright one on black are found alike. Of
    the rest, the largest piece is the region. A picture of one grey value has none.
    """
    brightness = grey(pixels)
    if brightness.min() == brightness.max():
        return np.zeros_like(brightness)
    _, bright = cv2.threshold(brightness, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    border = np.concatenate([bright[0], bright[-1], bright[1:-1, 0], bright[1:-1, -1]])
    if 2 * int(border.sum()) > len(border):
        bright = 1 - bright
    _, pieces, measures, _ = cv2.connectedComponentsWithStats(bright, connectivity=8)
    if len(measures) < 2:
        return np.zeros_like(brightness)
    largest = 1 + int(np.argmax(measures[1:, cv2.CC_STAT_AREA]))
    return np.asarray(pieces == largest, dtype=np.uint8)
