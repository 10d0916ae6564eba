"""Colour histograms (Swain and Ballard: Color indexing, 1991)."""

from collections.abc import Callable
from itertools import product
from typing import Literal

import cv2
import numpy as np

from gallerist.features.descriptors.cells import (
    as_vector,
    at_least,
    cell_histograms,
    cell_index,
)
from gallerist.io.arrays import Floats, Indices, Pixels, Vectors

Space = Literal["rgb", "linear_rgb", "hsv", "lab"]
Votes = list[tuple[Indices, Vectors]]
"""For each bin that a pixel votes for: which bin (h, w), and with what weight (h, w)."""

_LAB_LOWEST = np.array([0, -87, -108], dtype=np.float32)
_LAB_HIGHEST = np.array([100, 99, 95], dtype=np.float32)
"""The box around all colours of sRGB in CIE L*a*b*: bins beyond it would always be empty."""


def colour_histogram(
    pixels: Pixels,
    *,
    space: Space,
    bins: int,
    joint: bool,
    soft: bool,
    grid: int,
    square_root: bool,
) -> Vectors:
    """How much of each colour there is.

    pixels: uint8 (h, w, 3) RGB. space: the colours' coordinates. bins: of each channel.
    joint: bins³ bins of colours, else three histograms of `bins` bins. soft: see `_votes`.
    grid: grid x grid cells, each with a histogram; 1 is the whole picture. square_root: see
    `cells.as_vector`.

    Returns (grid² · bins³,) or (grid² · 3 · bins,) float32, cell by cell. A cell's joint
    histogram sums to 1 before the root; so does each of its three, but that of hue to the mean
    saturation: a pixel's hue says as much as the pixel is saturated, and of grey nothing.
    """
    pixels = at_least(pixels, grid)
    cells = cell_index(pixels, grid)
    channels = _SPACES[space](pixels)
    votes = [
        _votes(channels[..., i], bins, circular=space == "hsv" and i == 0, soft=soft)
        for i in range(3)
    ]
    if joint:
        return as_vector(_joint(votes, cells, grid, bins), square_root=square_root)
    if space == "hsv":
        saturation = channels[..., 1]
        votes[0] = [(which, share * saturation) for which, share in votes[0]]
    return as_vector(_separate(votes, cells, grid, bins), square_root=square_root)


def _joint(votes: list[Votes], cells: Indices, grid: int, bins: int) -> Floats:
    histogram = np.zeros((grid * grid, bins**3))
    for (a, of_a), (b, of_b), (c, of_c) in product(*votes):
        histogram += cell_histograms(
            (a * bins + b) * bins + c, cells, grid=grid, count=bins**3, weights=of_a * of_b * of_c
        )
    return histogram


def _separate(votes: list[Votes], cells: Indices, grid: int, bins: int) -> Floats:
    histograms = np.zeros((grid * grid, 3, bins))
    for i, votes_of_channel in enumerate(votes):
        for which, share in votes_of_channel:
            histograms[:, i] += cell_histograms(which, cells, grid=grid, count=bins, weights=share)
    return histograms


def _votes(channel: Vectors, bins: int, *, circular: bool, soft: bool) -> Votes:
    """Say which bins each pixel votes for, of a channel (h, w) between 0 and 1.

    Hard votes go to the bin that holds the value. Then a slightly brighter light moves all pixels
    of a plain picture into other bins at once. Soft votes are divided between the two bins whose
    centres are nearest, by nearness, and move by degrees; beyond the outermost centres, whole to
    the outermost bin.

    The first bin of a circular channel has its centre at 0: a red on either side of the turn is
    one colour, and primary colours lie within bins and not on their borders.
    """
    position = channel * bins if circular else channel * bins - np.float32(0.5)
    if soft:
        lower = np.floor(position)
        upper_share = position - lower
        votes = [(lower, 1 - upper_share), (lower + 1, upper_share)]
    else:
        votes = [(np.floor(position + np.float32(0.5)), np.ones_like(position))]
    inside = [(which.astype(np.intp), share) for which, share in votes]
    if circular:
        return [(which % bins, share) for which, share in inside]
    return [(np.clip(which, 0, bins - 1), share) for which, share in inside]


def _rgb(pixels: Pixels) -> Vectors:
    """Over 256 and not 255: then every bin holds equally many of the 256 values."""
    return np.asarray(pixels / np.float32(256), dtype=np.float32)


def _linear_rgb(pixels: Pixels) -> Vectors:
    """Amounts of light, by the transfer function of sRGB (IEC 61966-2-1)."""
    value = np.arange(256) / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.asarray(light.astype(np.float32)[pixels])


def _hsv(pixels: Pixels) -> Vectors:
    converted = cv2.cvtColor(np.float32(1 / 255) * pixels, cv2.COLOR_RGB2HSV)
    return np.asarray(converted * np.array([1 / 360, 1, 1], dtype=np.float32))


def _lab(pixels: Pixels) -> Vectors:
    converted = cv2.cvtColor(np.float32(1 / 255) * pixels, cv2.COLOR_RGB2Lab)
    return np.asarray((converted - _LAB_LOWEST) / (_LAB_HIGHEST - _LAB_LOWEST), dtype=np.float32)


_SPACES: dict[Space, Callable[[Pixels], Vectors]] = {
    "rgb": _rgb,
    "linear_rgb": _linear_rgb,
    "hsv": _hsv,
    "lab": _lab,
}
