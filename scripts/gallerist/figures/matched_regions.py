"""The picture of what made pairs match: query and answer, each with its heat beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from gallerist.figures.style import NORMAL, SMALL, entitle, save, shorten
from gallerist.io.arrays import AnyArray, Pixels
from gallerist.io.files import PathLike

HEAT = "inferno"
"""Matplotlib's colours of a map, dark to bright: in order in print without colour, too."""

_STRENGTH = 0.6
"""Part of a heated pixel's colour that is the heat's; the rest is the picture's grey."""

_COLUMNS, _SIDE = 4, 1.4
"""Pictures in a row, and inches from one to the next."""


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


_HEADS = ("query", "where it matches", "answer", "where it matches")


def draw(rows: Sequence[MatchedRegions], path: PathLike, *, title: str) -> None:
    """Draw pairs below each other into a PNG: query, its heat, answer, its heat.

    The heat lies on a grey copy of the picture. Without pairs, says that there are none.
    """
    count = max(len(rows), 1)
    height = (_SIDE + 0.2) * count + 0.9
    figure = Figure(figsize=(_SIDE * _COLUMNS, height), layout="constrained")
    axes = figure.subplots(count, _COLUMNS, squeeze=False)
    entitle(figure, title)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.set_frame_on(False)
    if not rows:
        axes[0, 0].text(0.5, 0.5, "no such pair", fontsize=NORMAL, ha="center")
    else:
        for axis, head in zip(axes[0], _HEADS, strict=True):
            axis.set_title(head, fontsize=NORMAL, pad=3)
        _key(figure, axes)
    for line, pair in zip(axes, rows, strict=False):
        _pair(line, pair)
    save(figure, path)


def _pair(line: Sequence[Axes], pair: MatchedRegions) -> None:
    query, answer = _whole(pair.query_pixels), _whole(pair.answer_pixels)
    tiles = (query, _heated(query, pair.query_map), answer, _heated(answer, pair.answer_map))
    captions = (pair.labels[0], "", pair.labels[1], f"cosine {pair.cosine:.3f}")
    for axis, tile, caption in zip(line, tiles, captions, strict=True):
        axis.imshow(tile)
        text = shorten(caption, points=NORMAL, inches=0.95 * _SIDE)
        axis.set_xlabel(text, fontsize=NORMAL, labelpad=3, parse_math=False)


def _key(figure: Figure, axes: npt.NDArray[np.object_]) -> None:
    """What the colours stand for, below all pairs."""
    bar = figure.colorbar(
        ScalarMappable(cmap=HEAT), ax=axes, location="bottom", shrink=0.6, aspect=50, pad=0.01
    )
    bar.set_ticks([0, 1])
    bar.ax.tick_params(labelsize=SMALL, length=0)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.set_label("pull towards the match, by the picture's maximum", fontsize=SMALL, labelpad=-7)


def _whole(pixels: AnyArray) -> Pixels:
    """RGB as Matplotlib takes it: of floats it would expect 0 to 1."""
    return np.asarray(np.clip(np.rint(pixels.astype(np.float64)), 0, 255), dtype=np.uint8)


def _heated(pixels: Pixels, heat: npt.NDArray[np.floating]) -> Pixels:
    """(h, w, 3): the picture in grey under the colours of its map."""
    grey = pixels.mean(axis=2, keepdims=True)
    colours = 255 * matplotlib.colormaps[HEAT](heat.astype(np.float64))[:, :, :3]
    return _whole(_STRENGTH * colours + (1 - _STRENGTH) * grey)
