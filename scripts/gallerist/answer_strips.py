"""The published picture: a query and its answers in a row, right ones and wrong ones marked."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from PIL import Image

from gallerist.evaluation import QueryResult
from gallerist.files import PathLike, replacing
from gallerist.images import BadImage, read_image

RIGHT, WRONG, UNKNOWN, QUERY = "#1b7837", "#b2182b", "#666666", "#2166ac"
TILE = 128
"""Pixels a side that a thumbnail is shrunk to."""

_COLUMN = 1.2
"""Inches from one picture to the next."""

_CAPTION = FontProperties(size=6.5)

Strip = tuple[str, str, list[tuple[str, str, bool | None]]]
"""Path of the query, its caption, and path, caption and rightness of each answer."""


def strips(
    results: Sequence[QueryResult], paths: Mapping[str, str], query_paths: Mapping[str, str],
    answers: int,
) -> list[Strip]:  # fmt: skip
    """The strips of judged queries, `answers` answers each. paths, query_paths: id -> file."""
    rows: list[Strip] = []
    for result in results:
        shown = zip(
            result.answers, result.answer_labels, result.distances, result.right, strict=True
        )
        tiles: list[tuple[str, str, bool | None]] = [
            (paths[answer], f"{label}\n{distance:.3f}", right)
            for answer, label, distance, right in list(shown)[:answers]
        ]
        name = Path(query_paths[result.query_id]).name
        rows.append((query_paths[result.query_id], f"{result.label}\n{name}", tiles))
    return rows


def draw(rows: Sequence[Strip], path: PathLike, *, title: str) -> None:
    """Draw strips below each other into a PNG: the query in blue, o right in green, x wrong in red.

    The number below an answer is its distance to the query. Without rows, says that there are none.
    """
    columns = 1 + max((len(tiles) for _, _, tiles in rows), default=0)
    height = max(len(rows), 1)
    figure, axes = plt.subplots(
        height, columns, squeeze=False, layout="constrained",
        figsize=(max(_COLUMN * columns, 5), 1.6 * height + 0.4),
    )  # fmt: skip
    figure.suptitle(title, fontsize=10)
    for axis in axes.flat:
        axis.set_axis_off()
    if not rows:
        axes[0, 0].text(0.5, 0.5, "no such query", fontsize=9, ha="center")
    for line, (query, caption, tiles) in zip(axes, rows, strict=False):
        _tile(line[0], query, caption, QUERY, "query")
        for rank, (axis, (answer, text, right)) in enumerate(
            zip(line[1:], tiles, strict=False), start=1
        ):
            colour = {True: RIGHT, False: WRONG, None: UNKNOWN}[right]
            mark = {True: "o", False: "x", None: ""}[right]
            _tile(axis, answer, text, colour, f"{rank} {mark}".strip())
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)


def _tile(axis: Axes, path: str, caption: str, colour: str, head: str) -> None:
    axis.set_axis_on()
    axis.set(xticks=[], yticks=[])
    axis.imshow(_thumbnail(path), vmin=0, vmax=255)
    for spine in axis.spines.values():
        spine.set(color=colour, linewidth=2.5)
    axis.set_title(head, fontsize=8, color=colour, pad=4, fontweight="bold")
    # A file's name may have dollar signs, which are no formula.
    lines = "\n".join(_shortened(line) for line in caption.split("\n"))
    axis.set_xlabel(lines, fontproperties=_CAPTION, labelpad=3, parse_math=False)


def _thumbnail(path: str) -> npt.NDArray[np.uint8]:
    """The picture at most TILE pixels a side; a grey field where it cannot be read any more."""
    try:
        image = Image.fromarray(read_image(path))
    except BadImage:
        return np.full((TILE, TILE, 3), 200, dtype=np.uint8)
    image.thumbnail((TILE, TILE))
    return np.asarray(image)


def _shortened(line: str) -> str:
    """The line, without its middle where it is wider than a column: numbers stand at the end."""
    shown, kept = line, min(len(line), 60)
    while kept > 2 and _width(shown) > 0.95 * 72 * _COLUMN:
        kept -= 1
        shown = f"{line[: (kept + 1) // 2]}…{line[len(line) - kept // 2 :]}"
    return shown


def _width(line: str) -> float:
    """Width of a caption in points."""
    return float(text_to_path.get_text_width_height_descent(line, _CAPTION, ismath=False)[0])
