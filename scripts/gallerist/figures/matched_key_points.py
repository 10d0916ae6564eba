"""The picture of a geometric verification: two pictures, and lines between matched points."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageColor

from gallerist.features.key_points import KeyPoints
from gallerist.figures.picture_grid import Tile, draw_grid
from gallerist.figures.style import RELEVANT, WRONG
from gallerist.io.arrays import AnyArray, Pixels
from gallerist.io.files import PathLike
from gallerist.search.geometric_verification import Matches

GAP = 10
"""Pixels of paper between the two pictures."""

_SIDE = 1050
"""Pixels of the longer side of a pair."""

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
    rows = [[Tile(Image.fromarray(_drawn(pair)), _caption(pair))] for pair in pairs]
    remark = "green: the matches that agree in their places; faint red: the others"
    draw_grid(rows, path, title=title, side=_SIDE, nothing="no such pair", remark=remark)


def _caption(pair: MatchedPictures) -> str:
    count = len(pair.matches.pairs)
    drawn = f", {LINES_DRAWN} drawn" if count > LINES_DRAWN else ""
    return f"{pair.caption} ({pair.matches.agreeing} of {count} matches agree{drawn})"


def _drawn(pair: MatchedPictures) -> Pixels:
    """(h, w, 3): the pictures with their lines, enlarged so that these are thin."""
    board = _side_by_side(pair)
    factor = _SIDE / max(board.shape[:2])
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    board = cv2.resize(board, None, fx=factor, fy=factor, interpolation=method)
    count = len(pair.matches.pairs)
    # Evenly over all, so that the pictures can be seen through the lines.
    drawn = np.unique(np.linspace(0, count - 1, min(count, LINES_DRAWN)).round().astype(np.intp))
    chosen, agree = pair.matches.pairs[drawn], pair.matches.inliers[drawn]
    starts = pair.query.positions[chosen[:, 0]]
    ends = pair.answer.positions[chosen[:, 1]] + [pair.query_pixels.shape[1] + GAP, 0]
    lines = (np.stack([starts, ends], axis=1) + 0.5) * factor - 0.5
    faint = _with_lines(board.copy(), lines[~agree], WRONG)
    board = cv2.addWeighted(board, 0.5, faint, 0.5, 0)
    return _with_lines(board, lines[agree], RELEVANT)


def _with_lines(board: Pixels, lines: AnyArray, colour: str) -> Pixels:
    """The board itself, with smooth lines and dots at their ends. lines: (n, 2, 2) places."""
    rgb = ImageColor.getrgb(colour)
    for start, end in np.rint(16 * lines).astype(int).tolist():  # in sixteenths of a pixel
        cv2.line(board, start, end, rgb, 2, cv2.LINE_AA, shift=4)
        for place in (start, end):
            cv2.circle(board, place, 16 * 3, rgb, cv2.FILLED, cv2.LINE_AA, shift=4)
    return board


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
