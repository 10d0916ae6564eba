"""Pictures in rows, each framed, marked and captioned: composed with Pillow.

A Matplotlib figure has an axis a picture, and takes some 15 times as long.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from PIL import Image, ImageDraw, ImageFont, ImageOps

from gallerist.figures.fonts import files, runs
from gallerist.figures.style import shorten_to
from gallerist.io.files import PathLike, replacing

_PAPER, _INK, _FAINT, _PANEL = "#ffffff", "#1a1a1a", "#595959", "#eef2f7"
_LETTERS, _TITLE = 12, 17
"""Pixels that letters are high."""

_LINE, _BADGE, _FRAME, _GAP, _APART, _MARGIN = 18, 16, 4, 12, 26, 16
"""Pixels: a line of text, a mark, a frame's width, from one picture to the next, besides that from
one that stands apart, and around everything."""

MOST_ROWS, MOST_TILES = 40, 40
"""Of one picture: with tiles of 128 pixels it has 50 million at most. What is left out is said."""

_NARROWEST = 520
"""Pixels that a grid is wide at least, so that its title has room."""


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture with its texts.

    above: one line, beside the mark. below: lines, of which the first is printed darker. colour: of
    the frame and the mark; None for no frame. mark: "o", a ring in a disc; "x", a cross in a
    square; or "". apart: the tile stands apart from those behind it, on a tinted ground.
    """

    picture: Image.Image
    above: str = ""
    below: str = ""
    colour: str | None = None
    mark: str = ""
    apart: bool = False


Legend = Sequence[tuple[str, str, str]]
"""Colour, mark and meaning of each kind of tile."""


def draw_grid(
    rows: Sequence[Sequence[Tile]],
    path: PathLike,
    *,
    title: str,
    side: int,
    nothing: str,
    legend: Legend = (),
    remark: str = "",
) -> None:
    """Draw rows of tiles below each other into a PNG, whole or not at all.

    side: pixels; a picture is enlarged or shrunk until its longer side is as long. nothing: what is
    written where there is no row. remark: a line below the legend. Texts that are too long lose
    their middle. Of too many rows, or tiles in a row, the first are drawn, and the remark says how
    many more there are: see `bounded`.
    """
    rows, more = bounded(rows)
    remark = "; ".join(filter(None, [remark, more]))
    apart = any(tile.apart for row in rows for tile in row)
    widest = max([1, *map(len, rows)]) * (side + 2 * _FRAME + _GAP) - _GAP + _APART * apart
    explained = sum(_BADGE + 26 + _font(_LETTERS).getlength(meaning) for *_, meaning in legend)
    width = max(widest, round(explained), _NARROWEST) + 2 * _MARGIN
    bands = [_head(title, legend if rows else (), remark if rows else "", width)]
    bands += [_row(row, side, width) for row in rows]
    if not rows:
        bands.append(Image.new("RGB", (width, 4 * _LINE), _PAPER))
        place = width / 2, 2 * _LINE
        ImageDraw.Draw(bands[-1]).text(place, nothing, _INK, _font(_LETTERS), anchor="mm")
    canvas = Image.new("RGB", (width, sum(band.height for band in bands)), _PAPER)
    top = 0
    for band in bands:
        canvas.paste(band, (0, top))
        top += band.height
    with replacing(path) as temporary:
        canvas.save(temporary, format="PNG", compress_level=3)  # higher ones gain nothing here


Thing = TypeVar("Thing")


def bounded(rows: Sequence[Sequence[Thing]]) -> tuple[list[Sequence[Thing]], str]:
    """The rows, and the tiles of each, that are drawn, and how many more there are, in words.

    Whoever makes tiles of files asks this before, so that nothing is read that is not drawn.
    """
    longest = max(map(len, rows), default=0)
    left = {"rows": len(rows) - MOST_ROWS, "pictures in a row": longest - MOST_TILES}
    more = " and ".join(f"{count} more {what}" for what, count in left.items() if count > 0)
    return [row[:MOST_TILES] for row in rows[:MOST_ROWS]], more and f"{more} are not drawn"


def _head(title: str, legend: Legend, remark: str, width: int) -> Image.Image:
    """Title, legend and remark, with the space below them."""
    lines = textwrap.wrap(title, int((width - 2 * _MARGIN) / (0.62 * _TITLE)))
    top = _MARGIN + 24 * len(lines) + 2
    height = top + _LINE * (bool(legend) + bool(remark)) + 8
    band = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(band)
    for number, line in enumerate(lines):
        place = _MARGIN, _MARGIN + 24 * number
        _write(draw, place, line, width - 2 * _MARGIN, _INK, _TITLE, bold=True)
    left = _MARGIN
    for colour, mark, meaning in legend:
        if mark:
            band.paste(_badge(mark, colour), (left, top + 1), _badge(mark, colour))
        else:
            draw.rectangle((left, top + 1, left + _BADGE - 1, top + _BADGE), None, colour, 3)
        draw.text((left + _BADGE + 6, top), meaning, _INK, _font(_LETTERS))
        left += _BADGE + 26 + round(_font(_LETTERS).getlength(meaning))
    _write(draw, (_MARGIN, top + _LINE * bool(legend)), remark, width - 2 * _MARGIN, _FAINT)
    return band


def _row(row: Sequence[Tile], side: int, width: int) -> Image.Image:
    """Tiles in boxes of one size, and the space below them."""
    pictures = [ImageOps.contain(tile.picture.convert("RGB"), (side, side)) for tile in row]
    wide, tall = side + 2 * _FRAME, max(each.height for each in pictures) + 2 * _FRAME
    box = 8 + (_LINE + 4) * any(tile.above for tile in row)
    below = box + tall + 4
    height = below + _LINE * max(tile.below.count("\n") + 1 for tile in row) + 8
    band = Image.new("RGB", (width, height + 4), _PAPER)
    draw, left = ImageDraw.Draw(band), _MARGIN
    for tile, picture in zip(row, pictures, strict=True):
        colour = tile.colour or _PAPER
        if tile.apart:
            draw.rounded_rectangle((left - 6, 2, left + wide + 5, height), 6, _PANEL)
        ink = colour if tile.apart else _INK
        _write(draw, (left, 6), tile.above, wide - _BADGE, ink, bold=True)
        if tile.mark:
            badge = _badge(tile.mark, colour)
            band.paste(badge, (left + wide - _BADGE, 7), badge)
        draw.rectangle((left, box, left + wide - 1, box + tall - 1), _PAPER, colour, _FRAME)
        across, down = (wide - picture.width) // 2, (tall - picture.height) // 2
        band.paste(picture, (left + across, box + down))
        for number, line in enumerate(tile.below.split("\n")):
            place = left, below + number * _LINE
            _write(draw, place, line, wide, _FAINT if number else _INK)
        left += wide + _GAP + _APART * tile.apart
    return band


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], line: str, width: int, ink: str,
    pixels: int = _LETTERS, *, bold: bool = False,
) -> None:  # fmt: skip
    line = shorten_to(line, lambda text: _length(text, pixels, bold=bold) <= width)
    pieces = list(runs(line))
    if {file for file, _ in pieces} <= {files()[0]}:
        draw.text(place, line, ink, _font(pixels, bold=bold))
        return
    left, base = float(place[0]), place[1] + _font(pixels, bold=bold).getmetrics()[0]
    for file, piece in pieces:
        font = _font_of(file, pixels, bold=bold)
        draw.text((left, base), piece, ink, font, anchor="ls")
        left += font.getlength(piece)


def _length(line: str, pixels: int, *, bold: bool = False) -> float:
    return sum(_font_of(file, pixels, bold=bold).getlength(piece) for file, piece in runs(line))


def _font_of(file: Path, pixels: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    return _font(pixels, bold=bold) if file == files()[0] else _other_font(file, pixels)


@cache
def _other_font(file: Path, pixels: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, pixels)


@cache
def _font(pixels: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font of all other figures, which comes with Matplotlib, without loading that."""
    own = files()[0]
    return ImageFont.truetype(own.with_stem(f"{own.stem}-Bold") if bold else own, pixels)


@cache
def _badge(mark: str, colour: str) -> Image.Image:
    """A mark as RGBA: drawn four times larger and reduced, so that its edges are smooth."""
    size = 4 * _BADGE
    badge = Image.new("RGBA", (size, size))
    draw = ImageDraw.Draw(badge)
    near, far = size * 0.28, size * 0.72
    if mark == "o":
        draw.ellipse((0, 0, size - 1, size - 1), colour)
        draw.ellipse((near, near, far, far), None, _PAPER, size // 9)
    else:
        draw.rounded_rectangle((0, 0, size - 1, size - 1), size // 8, colour)
        for start, end in ((near, far), (far, near)):
            draw.line((near, start, far, end), _PAPER, size // 8)
    return badge.resize((_BADGE, _BADGE), Image.Resampling.LANCZOS)
