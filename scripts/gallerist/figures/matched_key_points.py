"""The picture of a geometric verification: two pictures, and lines between matched points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from gallerist.features.key_points import KeyPoints
from gallerist.figures.style import RELEVANT, WRONG, entitle, save
from gallerist.io.arrays import Pixels
from gallerist.io.files import PathLike
from gallerist.search.geometric_verification import Matches

GAP = 10
"""Pixels of paper between the two pictures."""

_WIDTH, _TALLEST = 7.0, 6.0
"""Inches: of the figure, and of one pair at most."""

LINES_DRAWN = 80
"""Matches of a pair that are drawn: of more, the pictures could not be seen."""


@dataclass(frozen=True, eq=False)
class MatchedPictures:
    """A query and an answer, and what was matched between them.

    query_pixels, answer_pixels: (h, w, 3) RGB or (h, w) grey, uint8, in the size in which the key
    points were detected. query, answer: those key points. matches: between them. caption: one line.
    """

    query_pixels: Pixels
    answer_pixels: Pixels
    query: KeyPoints
    answer: KeyPoints
    matches: Matches
    caption: str


def draw(pairs: Sequence[MatchedPictures], path: PathLike, *, title: str) -> None:
    """Draw pairs below each other into a PNG: inliers are green lines, other matches faint red.

    At most LINES_DRAWN matches of a pair are drawn.

    Without pairs, says that there are none. The file is whole or not there.
    """
    boards = [_side_by_side(pair) for pair in pairs]
    heights = [min(_TALLEST, _WIDTH * b.shape[0] / b.shape[1]) for b in boards] or [1.0]
    size = (_WIDTH, sum(heights) + 0.35 * len(heights) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
    entitle(figure, title)
    for axis in axes.flat:
        axis.set_axis_off()
    if not pairs:
        axes[0, 0].text(0.5, 0.5, "no such pair", fontsize=9, ha="center")
    for axis, pair, board in zip(axes.flat, pairs, boards, strict=False):
        _pair(axis, pair, board)
    save(figure, path)


def _pair(axis: Axes, pair: MatchedPictures, board: Pixels) -> None:
    axis.imshow(board)
    count = len(pair.matches.pairs)
    # Evenly over all, so that the pictures can be seen through the lines.
    drawn = np.unique(np.linspace(0, count - 1, min(count, LINES_DRAWN)).round().astype(np.intp))
    chosen, agree = pair.matches.pairs[drawn], pair.matches.inliers[drawn]
    starts = pair.query.positions[chosen[:, 0]]
    ends = pair.answer.positions[chosen[:, 1]] + [pair.query_pixels.shape[1] + GAP, 0]
    lines = np.stack([starts, ends], axis=1)
    axis.add_collection(LineCollection(list(lines[~agree]), colors=WRONG, lw=0.5, alpha=0.5))
    axis.add_collection(LineCollection(list(lines[agree]), colors=RELEVANT, lw=0.8))
    for points in (starts[agree], ends[agree]):
        axis.plot(points[:, 0], points[:, 1], "o", color=RELEVANT, ms=2, mew=0)
    # A line to a point at the border must not widen the picture.
    axis.set(xlim=(-0.5, board.shape[1] - 0.5), ylim=(board.shape[0] - 0.5, -0.5))
    text = f"{pair.caption} ({pair.matches.agreeing} of {count} matches agree"
    text += f", {len(drawn)} drawn)" if len(drawn) < count else ")"
    axis.set_title(text, fontsize=7, pad=3, parse_math=False)


def _side_by_side(pair: MatchedPictures) -> Pixels:
    """(h, w, 3): the query, a gap, and the answer, with white paper below the lower one."""
    left, right = _colour(pair.query_pixels), _colour(pair.answer_pixels)
    height = max(len(left), len(right))
    board = np.full((height, left.shape[1] + GAP + right.shape[1], 3), 255, dtype=np.uint8)
    board[: len(left), : left.shape[1]] = left
    board[: len(right), left.shape[1] + GAP :] = right
    return board


def _colour(pixels: Pixels) -> Pixels:
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
