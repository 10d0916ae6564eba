"""Fonts for names in any script: the one of all figures, and others for the letters that it lacks.

Noto Sans CJK has the letters of Chinese, Japanese and Korean, the other Noto fonts those of some
twenty scripts more. A character that none of them has is written as its code, [1F600]: a box would
be the same for all of them.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PACKAGES = (
    ("matplotlib", "mpl-data/fonts/ttf/DejaVuSans.ttf"),
    ("noto_cjk_sans_jp_regular", "*.otf"),
    ("manimgx_fonts", "NotoSans[[]wght[]].ttf"),
    ("manimgx_fonts", "NotoSans*.ttf"),
)
"""Packages and the files that are fonts in them, in the order in which they are asked."""

_OUR_OWN = 0x250
"""Below are Latin letters, signs and digits, which the figures' own font has, but for controls."""


@cache
def files() -> tuple[Path, ...]:
    """The fonts, that of all figures first."""
    found: dict[Path, None] = {}
    for package, pattern in _PACKAGES:
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            fonts = sorted(Path(spec.origin).parent.glob(pattern))
            found |= dict.fromkeys(font for font in fonts if "Italic" not in font.name)
    return tuple(found)


@cache
def _characters(font: Path) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(font)).get_charmap())


@cache
def font_of(character: str) -> Path | None:
    """The first font that has a character; None where none has it."""
    code = ord(character)
    if 0x20 <= code < 0x7F or 0xA0 <= code < _OUR_OWN:
        return files()[0]
    if unicodedata.category(character) in ("Cc", "Cs"):  # controls, and halves of characters
        return None
    return next((font for font in files() if code in _characters(font)), None)


def drawable(text: str) -> str:
    """The text with the code in place of each character that no font has. Ends of lines stay."""
    if text.isascii() and text.isprintable():
        return text
    return re.sub(
        r"[^\n]", lambda found: found[0] if font_of(found[0]) else f"[{ord(found[0]):X}]", text
    )


def runs(text: str) -> Iterator[tuple[Path, str]]:
    """A drawable text in pieces of one font each. What only joins letters goes with them."""
    fonts: list[Path] = []
    for character in text:
        joins = fonts and unicodedata.category(character) in ("Mn", "Mc", "Cf", "Zs")
        found = fonts[-1] if joins else font_of(character)
        fonts.append(found or files()[0])
    for font, places in groupby(range(len(text)), key=fonts.__getitem__):
        yield font, "".join(text[place] for place in places)


def families(text: str) -> list[str]:
    """What Matplotlib calls the fonts of a text; nothing where it has the figures' own alone."""
    others = {font_of(each) for each in text if ord(each) >= _OUR_OWN} - {None, files()[0]}
    return (
        [_family(files()[0]), *sorted(_family(font) for font in others if font)] if others else []
    )


@cache
def _family(font: Path) -> str:
    """Make Matplotlib know a font; its name."""
    from matplotlib.font_manager import FontProperties, fontManager

    fontManager.addfont(font)
    return str(FontProperties(fname=str(font)).get_name())


def set_fonts(figure: "Figure") -> None:
    """Give every text of a figure the fonts that it needs besides the figures' own."""
    from matplotlib.text import Text

    for axes in figure.axes:  # whose ticks have no texts before they are asked for
        _ = axes.get_xticklabels(), axes.get_yticklabels()
    for text in figure.findobj(Text):
        if isinstance(text, Text) and (found := families(text.get_text())):
            text.set_fontfamily(found)
