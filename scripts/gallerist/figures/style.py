"""What all figures share: one palette, one style an experiment, legends and titles never cut."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from gallerist.figures.fonts import drawable, families, set_fonts
from gallerist.io.files import PathLike, replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito, Color Universal Design (2008): told apart with any colour vision, and in print.

Without their yellow, which is hardly seen as a line on white.
"""

LINESTYLES = ("-", "--", ":", "-.")
MARKERS = "osD^vPX*"

CLASS_COLOURS = (
    "#332288", "#88ccee", "#117733", "#ddcc77", "#cc6677",
    "#aa4499", "#44aa99", "#999933", "#882255", "#661100",
)  # fmt: skip
"""Tol, Colour Schemes (2012), the qualitative scheme of ten: as areas and dots."""

OTHER = "#bbbbbb"
"""What no colour is left for."""

RELEVANT, WRONG = "#1b7837", "#b2182b"
"""What is relevant, or agrees, and what is not."""

WIDTH = 7.2
"""Inches that a figure is wide unless its content needs more: a page without its margins."""

SMALL, NORMAL = 7.5, 9.0
"""Points. Printed at two thirds of its width, a figure's smallest letters are still 5 points."""

MOST_NAMED = 60
"""Experiments, or classes below each other, that one figure has: with more it grows beyond what a
page, or a viewer, shows, and in the end beyond all memory."""

_TITLE_LETTERS = 11.5
"""Letters of a title an inch, so that it stays over its figure."""

_LONGEST_NAME = 2.6
"""Inches that a name in a legend may take."""

_MARGIN = 0.03
"""Inches of white around what is drawn: less than a figure's layout leaves by itself."""


class Style(TypedDict):
    """How an experiment is drawn. Taken by `Axes.plot` as it is: `axis.plot(x, y, **style)`."""

    color: str
    linestyle: str
    marker: str


def styles(names: Sequence[str]) -> dict[str, Style]:
    """Colour, line style and marker of each experiment, by its position among `names`.

    names: all experiments in the order of the configuration, also in figures of some of them: so
    each looks the same everywhere. One added behind them changes none. The first 7 differ in
    colour and marker, the first 28 in colour and line style, 224 in the three together.
    """
    colours, lines = len(PALETTE), len(PALETTE) * len(LINESTYLES)
    return {
        name: Style(
            color=PALETTE[index % colours],
            linestyle=LINESTYLES[index // colours % len(LINESTYLES)],
            marker=MARKERS[(index + index // lines) % len(MARKERS)],
        )
        for index, name in enumerate(names)
    }


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """Colour of each class: the first ten have one of their own, the others share a grey."""
    return {
        name: CLASS_COLOURS[index] if index < len(CLASS_COLOURS) else OTHER
        for index, name in enumerate(classes)
    }


def rate_axis_bottom(lowest: float) -> float:
    """Where an axis of rates begins: at 0, or at a tenth well below values that are all high."""
    return 0.0 if lowest < 0.6 else int(10 * lowest - 0.5) / 10


def intervals_at(level: float) -> str:
    """What a title says of intervals at that level of confidence, such as 0.95."""
    return f"{100 * level:g} % intervals"


def left_out(total: int, drawn: int, what: str, where: str) -> str:
    """What a title says of those that are not drawn; nothing where all are."""
    more = total - drawn
    return f"; {drawn} of {total} {what}, and {more} more in {where}" if more > 0 else ""


def entitle(target: "Figure | Axes", title: str) -> None:
    """Write a title, in several lines where it is long. Dollar signs in it are no formula."""
    from matplotlib.figure import Figure

    figure = target if isinstance(target, Figure) else target.get_figure(root=True)
    width = figure.get_figwidth() if figure is not None else WIDTH
    lines = textwrap.fill(drawable(title), max(20, int(_TITLE_LETTERS * width)))
    if isinstance(target, Figure):
        target.suptitle(lines, fontsize=NORMAL + 1, parse_math=False)
    else:
        target.set_title(lines, fontsize=NORMAL + 1, parse_math=False)


def shorten(line: str, *, points: float, inches: float) -> str:
    """The line as a figure's own font shows it in that width: see `shorten_to`."""
    return shorten_to(line, lambda text: text_width(text, points) <= inches)


def shorten_to(line: str, fits: Callable[[str], bool]) -> str:
    """The line, without its middle where it does not fit: numbers stand at the end.

    What no font can draw stands as its code, see `fonts.drawable`.
    """
    line = drawable(line)
    shortened, kept = line, min(len(line), 60)
    while kept > 2 and not fits(shortened):
        kept -= 1
        shortened = f"{line[: (kept + 1) // 2]}…{line[len(line) - kept // 2 :]}"
    return shortened


def text_width(line: str, points: float) -> float:
    """Inches that a line of letters of that size is wide in a figure's own font."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=points, family=families(line) or None)
    return float(text_to_path.get_text_width_height_descent(line, font, ismath=False)[0]) / 72


def legend_below(figure: "Figure", handles: "Mapping[str, Line2D]") -> "Legend":
    """A legend under all axes, in as many columns as fit; the figure grows by its rows.

    handles: name -> what stands for it. The axes keep their size however many entries there are.
    """
    names = [shorten(name, points=SMALL, inches=_LONGEST_NAME) for name in handles]
    widest = max(text_width(name, SMALL) for name in names) + 5.5 * SMALL / 72
    columns = max(1, min(len(names), int(figure.get_figwidth() / widest)))
    rows = -(-len(names) // columns)
    figure.set_figheight(figure.get_figheight() + 0.1 + rows * 1.5 * SMALL / 72)
    legend = figure.legend(
        list(handles.values()), names, loc="outside lower center", ncols=columns, frameon=False,
        fontsize=SMALL, handlelength=3.0, columnspacing=1.2, labelspacing=0.3, borderaxespad=0.2,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
    return legend


def save(figure: "Figure", path: PathLike) -> None:
    """Write a figure as PNG, whole or not at all, larger where something reaches over its edges."""
    from matplotlib.transforms import Bbox

    set_fonts(figure)
    engine = figure.get_layout_engine()
    if engine is None:
        figure.draw_without_rendering()
    else:  # a second time, because what it moved may take other room there
        engine.execute(figure)
        figure.set_dpi(150)
        engine.execute(figure)
        figure.set_layout_engine("none")  # or it was laid out once more when it is written
    drawn = figure.get_tightbbox().padded(_MARGIN)
    with replacing(path) as temporary:
        figure.savefig(
            temporary, format="png", dpi=150, bbox_inches=Bbox.union([figure.bbox_inches, drawn])
        )
