"""The picture of what made pairs match: query and answer, each with its heat beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from gallerist.figures.picture_grid import Tile, draw_grid
from gallerist.io.arrays import AnyArray, Pixels, Vectors
from gallerist.io.files import PathLike

_STRENGTH = 0.6
"""Part of a heated pixel's colour that is the heat's; the rest is the picture's grey."""

_SIDE = 210
"""Pixels of a picture's longer side."""


@dataclass(frozen=True, eq=False)
class Similarity:
    """How alike two pictures are to a network, and where.

    cosine: of their vectors, -1 to 1; 0 where a vector is 0. query_map, answer_map: (h, w) float32
    from 0 to 1.
    """

    cosine: float
    query_map: Vectors
    answer_map: Vectors


@dataclass(frozen=True, eq=False)
class MatchedRegions:
    """A query and an answer, (h, w, 3) RGB 0-255 of any dtype, and their classes."""

    query: AnyArray
    answer: AnyArray
    labels: tuple[str, str]
    alike: Similarity


def draw(rows: Sequence[MatchedRegions], path: PathLike, *, title: str) -> None:
    """Draw pairs below each other into a PNG: query, its heat, answer, its heat.

    The heat lies on a grey copy of the picture, in the colours inferno of Matplotlib: dark to
    bright, in order in print without colour, too. Without pairs, says that there are none.
    """
    draw_grid(
        [_tiles(pair) for pair in rows],
        path,
        title=title,
        side=_SIDE,
        nothing="no such pair",
        remark="the brighter, the more it pulls towards the match; each map by its own maximum",
    )


def _tiles(pair: MatchedRegions) -> list[Tile]:
    query, answer = _whole(pair.query), _whole(pair.answer)
    maps = heated(query, pair.alike.query_map), heated(answer, pair.alike.answer_map)
    return [
        Tile(Image.fromarray(query), "query", pair.labels[0]),
        Tile(Image.fromarray(maps[0]), "where it matches"),
        Tile(Image.fromarray(answer), "answer", pair.labels[1]),
        Tile(Image.fromarray(maps[1]), "where it matches", f"cosine {pair.alike.cosine:.3f}"),
    ]


def _whole(pixels: AnyArray) -> Pixels:
    return np.asarray(np.clip(np.rint(pixels.astype(np.float64)), 0, 255), dtype=np.uint8)


def heated(pixels: Pixels, heat: Vectors) -> Pixels:
    """uint8 (h, w, 3) RGB: the picture in grey under the colours of its (h, w) map, 0 to 1."""
    grey = pixels.mean(axis=2, keepdims=True)
    colours = cv2.applyColorMap(_whole(255 * heat), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    return _whole(_STRENGTH * colours + (1 - _STRENGTH) * grey)
