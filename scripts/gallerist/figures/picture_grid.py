"""Pictures in rows, each framed, marked and captioned: composed with Pillow.

A Matplotlib figure has an axis a picture, and takes some 15 times as long.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from gallerist.figures.style import shorten_to
from gallerist.io.files import PathLike, replacing

_PAPER, _INK, _FAINT, _PANEL = "#ffffff", "#1a1a1a", "#595959", "#eef2f7"
_LETTERS, _TITLE = 13, 17
"""Pixels that letters are high."""

_LINE, _BADGE, _FRAME, _GAP, _APART, _MARGIN = 18, 16, 4, 12, 26, 16
"""Pixels: a line of text, a mark, a frame's width, from one picture to the next, besides that from
one that stands apart, and around everything."""

_NARROWEST = 520
"""Pixels that a grid is wide at least, so that its title and legend have room."""


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture with its texts.

    above: one line, beside the mark. below: lines, of which the first is printed darker. colour: of
    the frame and the mark; None for no frame. mark: "o", a ring in a disc; "x", a cross in a
    square; or "". first: stands apart from the others, on a tinted ground.
    """

    picture: Image.Image
    above: str = ""
    below: str = ""
    colour: str | None = None
    mark: str = ""
    apart: bool = False


Legend = Iterable[tuple[str, str, str]]
"""Colour, mark and meaning of each kind of tile; a remark has neither colour nor mark."""


def draw_grid(
    rows: Sequence[Sequence[Tile]],
    path: PathLike,
    *,
    title: str,
    side: int,
    nothing: str,
    legend: Legend = (),
) -> None:
    """Draw rows of tiles below each other into a PNG, whole or not at all.

    side: pixels; a picture is enlarged or shrunk until its longer side is as long. nothing: what is
    written where there is no row. Texts that are too long lose their middle.
    """
    pitch = side + 2 * _FRAME + _GAP
    lines = [max((tile.below.count("\n") + 1 for tile in row), default=0) for row in rows]
    heights = [_LINE + 6 + side + 2 * _FRAME + 4 + _LINE * count + 2 * _GAP for count in lines]
    apart = _APART if any(tile.apart for row in rows for tile in row) else 0
    content = pitch * max(map(len, rows), default=1) - _GAP + apart
    width = max(content, _NARROWEST) + 2 * _MARGIN
    titled = textwrap.wrap(title, int((width - 2 * _MARGIN) / (0.62 * _TITLE)))
    head = _MARGIN + 24 * len(titled) + (_LINE + 18 if rows else 4 * _LINE)
    canvas = Image.new("RGB", (width, head + sum(heights) + _MARGIN - 2 * _GAP * bool(rows)), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(titled):
        _write(draw, (_MARGIN, _MARGIN + 24 * number), line, width, _INK, _TITLE, bold=True)
    if rows:
        _draw_legend(canvas, draw, legend, _MARGIN + 24 * len(titled) + 2)
    else:
        draw.text((width / 2, head - 2 * _LINE), nothing, _INK, _font(_LETTERS), anchor="ms")
    top = head
    for row, height in zip(rows, heights, strict=True):
        left = _MARGIN
        for tile in row:
            if tile.apart:
                ground = (left - 6, top - 4, left + pitch - _GAP + 6, top + height - 2 * _GAP + 4)
                draw.rounded_rectangle(ground, 6, _PANEL)
            _draw_tile(canvas, draw, tile, (left, top), side)
            left += pitch + (apart if tile.apart else 0)
        top += height
    with replacing(path) as temporary:
        canvas.save(temporary, format="PNG")


def _draw_tile(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, place: tuple[int, int], side: int
) -> None:
    left, top = place
    width = side + 2 * _FRAME
    colour = tile.colour or _PAPER
    ink = colour if tile.apart else _INK
    _write(draw, place, tile.above, width - _BADGE, ink, _LETTERS, bold=True)
    if tile.mark:
        badge = _badge(tile.mark, colour)
        canvas.paste(badge, (left + width - _BADGE, top + 2), badge)
    top += _LINE + 6
    draw.rectangle((left, top, left + width - 1, top + width - 1), _PAPER, colour, _FRAME)
    shown = ImageOps.contain(tile.picture.convert("RGB"), (side, side))
    canvas.paste(
        shown, (left + (width - shown.width) // 2, top + (width - shown.height) // 2)
    )
    top += width + 4
    for number, line in enumerate(tile.below.split("\n")):
        _write(draw, (left, top + number * _LINE), line, width, _FAINT if number else _INK)


def _draw_legend(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, legend: Legend, top: int
) -> None:
    left = _MARGIN
    for colour, mark, meaning in legend:
        if mark:
            badge = _badge(mark, colour)
            canvas.paste(badge, (left, top + 1), badge)
        elif colour:
            draw.rectangle((left, top + 1, left + _BADGE - 1, top + _BADGE), None, colour, 3)
        left += _BADGE + 6 if colour else 0
        draw.text((left, top), meaning, _INK if colour else _FAINT, _font(_LETTERS))
        left += 20 + round(_font(_LETTERS).getlength(meaning))


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], line: str, width: int, ink: str,
    pixels: int = _LETTERS, *, bold: bool = False,
) -> None:  # fmt: skip
    font = _font(pixels, bold=bold)
    draw.text(place, shorten_to(line, lambda text: font.getlength(text) <= width), ink, font)


@cache
def _font(pixels: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font of all other figures, which comes with Matplotlib, without loading that."""
    found = find_spec("matplotlib")
    assert found is not None
    assert found.origin is not None
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(found.origin).parent / "mpl-data/fonts/ttf" / name, pixels)


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
