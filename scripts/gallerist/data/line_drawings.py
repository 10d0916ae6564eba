"""Drawings and photos brought closer: photos drawn in lines, colours left out, drawings recognised.

A network that was trained on photos finds little in a line drawing, and much in colours that no
drawing has. What is compared becomes alike when the photos are drawn, or all colours are left out.
"""

import cv2
import numpy as np
from skimage.morphology import remove_small_objects

from gallerist.io.arrays import Booleans, Indices, Pixels, Vectors

SIDE = 256
"""Pixels of the longer side at which everything is measured and traced. Larger pictures are shrunk
to it, so that a picture gives the same lines at any resolution; smaller ones stay as they are."""

LINE_WIDTH = 0.015
"""Of a drawn line, as a share of the longer side: 3 pixels of 227, as in sketches by hand."""

_SMOOTHING = 0.012
"""Deviation of the Gaussian before edges are sought, as a share of the longer side. Less finds
leaves and fur, which nobody draws; more loses ears and legs."""

_SHORTEST = 0.2
"""A line that covers fewer pixels than this share of the longer side has is left out."""

_STRONG, _WEAK = 0.94, 0.82
"""A line begins where the gradient is above this share of the picture's, and follows it down to the
other: a foggy picture is drawn with as many lines as a contrasty one."""

_FAINTEST = 1.0
"""CIELAB units in 1/256 of the longer side: the least gradient that begins a line. An eye hardly
sees less, and without it the shading of an empty sky would be drawn."""

_WIDEST_LINE = 0.05
"""Of a line, as a share of the longer side, that still counts as a line and not as a surface."""

_LEAST_PAPER, _SAME_PAPER, _DARKEST_PAPER = 0.9, 30, 170
"""Share of a drawing that is paper once its lines are gone, how many grey levels away from the
median still are paper, and the least level that the median has."""

_LEAST_INK, _CONTRAST = 0.01, 80
"""Share of a drawing that is covered by lines, and how much darker these are than their paper."""

_MOST_COLOUR = 40
"""Difference of the largest and the smallest of red, green and blue that all but 1 % of a drawing's
pixels stay below: yellow paper, but no brown beetle on white."""


class NotPixels(ValueError):
    """An array is not a picture: (h, w, 3) uint8, a pixel or more. The message is complete."""


def colour_blind(pixels: Pixels) -> Pixels:
    """A grey copy: (h, w, 3) uint8 RGB -> the same shape, with three equal channels.

    The grey is OpenCV's, the luma of ITU-R BT.601. Raises NotPixels.
    """
    return _three_channels(_grey(_checked(pixels)))


def drawing(pixels: Pixels) -> Pixels:
    """A photo as a line drawing: (h, w, 3) uint8 RGB -> the same shape, black lines on white.

    Textures are flattened by mean shift (D. Comaniciu and P. Meer, Mean Shift: A Robust Approach
    Toward Feature Space Analysis, 2002), and lines are Canny's edges (J. Canny, A Computational
    Approach to Edge Detection, 1986) of the lightness or either colour of CIELAB, whichever changes
    most, widened to LINE_WIDTH. Where the picture was shrunk, enlarging leaves the borders of the
    lines grey. The extended difference of Gaussians (H. Winnemoeller and others, XDoG, 2012) was
    tried too: its lines are broken and unevenly wide, which those of sketches are not.

    A picture that is a drawing (see `is_sketch`) is returned without its colours: its lines would
    be drawn twice, once on either side. Equal pictures give equal drawings. Raises NotPixels.
    """
    if is_sketch(pixels):
        return colour_blind(pixels)
    height, width = pixels.shape[:2]
    small = _shrunk(pixels)
    side = max(small.shape[:2])
    edges = remove_small_objects(_edges(small), max_size=int(_SHORTEST * side), connectivity=2)
    across = max(1, round(LINE_WIDTH * side))
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))
    paper = np.where(cv2.dilate(edges.astype(np.uint8), pen), np.uint8(0), np.uint8(255))
    if paper.shape != (height, width):
        paper = np.asarray(cv2.resize(paper, (width, height), interpolation=cv2.INTER_LINEAR))
    return _three_channels(paper)


def is_sketch(pixels: Pixels) -> bool:
    """Whether a picture, (h, w, 3) uint8 RGB, is a line drawing: thin, dark, colourless on paper.

    A morphological closing takes away all that is dark and narrow. A drawing is what then is
    nothing but paper, bright and even, and was not empty. Painted, shaded and densely hatched
    pictures are none, nor are drawings in light on dark. Empty paper is none either.
    Raises NotPixels.
    """
    small = _shrunk(_checked(pixels))
    if np.percentile(np.ptp(small, axis=2), 99) > _MOST_COLOUR:
        return False
    grey = _grey(small)
    across = 2 * round(_WIDEST_LINE * max(grey.shape) / 2) + 1
    eraser = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))
    erased = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, eraser).astype(np.int16)
    level = float(np.median(erased))
    paper = float((abs(erased - level) <= _SAME_PAPER).mean())
    ink = float((erased - grey > _CONTRAST).mean())
    return level >= _DARKEST_PAPER and paper >= _LEAST_PAPER and ink >= _LEAST_INK


def _edges(pixels: Pixels) -> Booleans:
    """(h, w, 3) RGB -> (h, w), true on lines one pixel wide."""
    side = max(pixels.shape[:2])
    flat = cv2.pyrMeanShiftFiltering(pixels, sp=12, sr=30)
    lab = cv2.cvtColor(flat.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab = cv2.GaussianBlur(lab, (0, 0), max(0.5, _SMOOTHING * side))
    # Sobel's weights sum to 8 for a slope of 1; the gradient is for 1/256 of the longer side.
    scale = side / 256 / 8
    across = cv2.Sobel(lab, cv2.CV_32F, 1, 0, scale=scale)
    down = cv2.Sobel(lab, cv2.CV_32F, 0, 1, scale=scale)
    strongest = np.argmax(across**2 + down**2, axis=2)[..., np.newaxis]
    across, down = (_chosen(each, strongest) for each in (across, down))
    strength = np.hypot(across, down)
    strong = max(float(np.quantile(strength, _STRONG)), _FAINTEST)
    weak = max(float(np.quantile(strength, _WEAK)), _FAINTEST / 2)
    # Canny takes whole numbers: 128 keeps 1 % of the faintest, and 255 units do not overflow.
    whole = [np.rint(128 * each).astype(np.int16) for each in (across, down)]
    found = cv2.Canny(whole[0], whole[1], 128 * weak, 128 * strong, L2gradient=True)
    return np.asarray(found > 0)


def _chosen(channels: Vectors, index: Indices) -> Vectors:
    """(h, w, 3) and (h, w, 1) -> (h, w), of each pixel the channel of that index."""
    return np.ascontiguousarray(np.take_along_axis(channels, index, axis=2)[..., 0])


def _grey(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _three_channels(grey: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def _shrunk(pixels: Pixels) -> Pixels:
    """The picture with a longer side of at most SIDE."""
    height, width = pixels.shape[:2]
    factor = SIDE / max(height, width)
    if factor >= 1:
        return pixels
    size = (max(1, round(factor * width)), max(1, round(factor * height)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _checked(pixels: Pixels) -> Pixels:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise NotPixels(
            f"a picture is an array of (height, width, 3) uint8 with a pixel or more, "
            f"not {pixels.shape} {pixels.dtype}"
        )
    return np.ascontiguousarray(pixels)
