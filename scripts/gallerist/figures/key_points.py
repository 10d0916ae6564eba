"""Key points drawn on their pictures: a circle as large as the point, a radius where it points."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from gallerist.features.key_points import Detector, KeyPoints
from gallerist.figures.picture_grid import Tile, draw_grid
from gallerist.io.arrays import Pixels
from gallerist.io.files import PathLike

SHOWN = 100
"""Key points drawn on a picture, the strongest: more would cover it."""

_COLOUR = (0, 255, 0)
_SIDE = 360
"""Pixels of a picture's longer side."""

_DRAWN_SIDE = 600
"""Pixels that the longer side of a small picture is enlarged to before lines are drawn on it."""


def draw(paths: Sequence[PathLike], path: PathLike, *, detector: Detector, title: str) -> None:
    """Draw pictures in a row into a PNG, each with its strongest key points.

    Below each stand its file name, how many points it has, and how many are drawn where those are
    fewer. Without pictures, says that there are none. The file is whole or not there.
    Raises `images.BadImage` naming the picture that cannot be decoded.
    """
    tiles = [_tile(one, detector) for one in paths]
    draw_grid([tiles] if tiles else [], path, title=title, side=_SIDE, nothing="no such picture")


def with_key_points(pixels: Pixels, points: KeyPoints) -> Pixels:
    """A copy of uint8 (h, w, 3) RGB pixels with the first SHOWN points drawn on it.

    A small picture is enlarged first, by a whole number, so that its lines are thin.
    """
    factor = max(1, _DRAWN_SIDE // max(pixels.shape[:2]))
    canvas = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    # The centre of a pixel stays the centre of its block.
    places = (points.positions + 0.5) * factor - 0.5
    drawn = [
        cv2.KeyPoint(float(x), float(y), float(size * factor), float(angle))
        for (x, y), size, angle in zip(places, points.sizes, points.angles, strict=True)
    ][:SHOWN]  # they come with the strongest first
    flags = cv2.DRAW_MATCHES_FLAGS_DRAW_RICH_KEYPOINTS
    # One colour: those that OpenCV would choose by chance differ from run to run.
    return np.asarray(cv2.drawKeypoints(canvas, drawn, None, _COLOUR, flags), dtype=np.uint8)


def _tile(path: PathLike, detector: Detector) -> Tile:
    pixels = detector.prepare(path)
    points = detector.detect(pixels)
    drawn = f" ({SHOWN} strongest drawn)" if len(points) > SHOWN else ""
    number = "1 key point" if len(points) == 1 else f"{len(points)} key points"
    picture = Image.fromarray(with_key_points(pixels, points))
    return Tile(picture, below=f"{Path(path).name}\n{number}{drawn}")
