"""The picture of what made pairs match: query and answer, each with its heat beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from gallerist.figures.picture_grid import Tile, draw_grid
from gallerist.io.arrays import AnyArray, Pixels
from gallerist.io.files import PathLike

_STRENGTH = 0.6
"""Part of a heated pixel's colour that is the heat's; the rest is the picture's grey."""

_SIDE = 210
"""Pixels of a picture's longer side."""


@dataclass(frozen=True, eq=False)
class MatchedRegions:
    """A query and an answer, and where they are alike.

    query_pixels, answer_pixels: (h, w, 3) RGB 0-255 of any dtype. query_map, answer_map: (h, w)
    from 0 to 1, as `similarity_map` gives them. labels: classes of query and answer. cosine: of
    their vectors.
    """

    query_pixels: AnyArray
    answer_pixels: AnyArray
    query_map: npt.NDArray[np.floating]
    answer_map: npt.NDArray[np.floating]
    labels: tuple[str, str]
    cosine: float


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
    query, answer = _whole(pair.query_pixels), _whole(pair.answer_pixels)
    heated = _heated(query, pair.query_map), _heated(answer, pair.answer_map)
    return [
        Tile(Image.fromarray(query), "query", pair.labels[0]),
        Tile(Image.fromarray(heated[0]), "where it matches"),
        Tile(Image.fromarray(answer), "answer", pair.labels[1]),
        Tile(Image.fromarray(heated[1]), "where it matches", f"cosine {pair.cosine:.3f}"),
    ]


def _whole(pixels: AnyArray) -> Pixels:
    return np.asarray(np.clip(np.rint(pixels.astype(np.float64)), 0, 255), dtype=np.uint8)


def _heated(pixels: Pixels, heat: npt.NDArray[np.floating]) -> Pixels:
    """(h, w, 3): the picture in grey under the colours of its map."""
    grey = pixels.mean(axis=2, keepdims=True)
    colours = cv2.applyColorMap(_whole(255 * heat), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    return _whole(_STRENGTH * colours + (1 - _STRENGTH) * grey)
