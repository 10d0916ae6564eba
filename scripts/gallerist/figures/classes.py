"""An experiment by class: which it finds and which not, and which it takes for which."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.evaluation.relevance import Confusion, Evaluation
from gallerist.evaluation.scores import Scores
from gallerist.figures.style import (
    MOST_NAMED,
    NORMAL,
    PALETTE,
    SMALL,
    WIDTH,
    entitle,
    intervals_at,
    left_out,
    save,
    shorten,
    text_width,
)
from gallerist.io.arrays import Floats, Integers
from gallerist.io.files import PathLike
from gallerist.io.metric_names import top

_ONE_COLUMN = 34
"""More classes stand in two columns, or half a page could not hold them."""

_CONFUSED = 100
"""Classes that one confusion has."""

_NUMBERED_CLASSES = 25
"""Larger confusions are drawn smaller, and without numbers."""


class ClassBar(NamedTuple):
    """A metric's mean over the queries of a class, in [0, 1], and the ends of its interval.

    low, high: None where there is none. queries: how many the class has.
    """

    name: str
    queries: int
    mean: float
    low: float | None
    high: float | None


def class_bars(scores: Scores, metric: str, settings: IntervalSettings) -> list[ClassBar]:
    """Mean of a metric of each class with its interval, by the bootstrap over originals.

    The highest mean first; equal ones by more queries, then by name. A class needs two originals to
    have an interval.
    """
    bars = []
    for name, members in replace(scores, values={metric: scores.values[metric]}).of_classes():
        found = members.overall(settings)[metric]
        bars.append(ClassBar(name, len(members.queries), found.mean, found.low, found.high))
    return sorted(bars, key=lambda bar: (-bar.mean, -bar.queries, bar.name))


def draw_classes(
    evaluation: Evaluation,
    scores: Scores,
    settings: IntervalSettings,
    paths: Mapping[str, PathLike],
    *,
    k: int,
    title: str,
) -> None:
    """Draw the confusion of the first answer, and each class's hit rate at k, as PNG.

    paths: files for "confusion" and "bars"; nothing is drawn where these are not among them.
    """
    if "bars" not in paths:
        return
    draw_confusion(evaluation.confusion(most=_CONFUSED), paths["confusion"], title=title)
    draw_class_bars(
        class_bars(scores, top(k), settings),
        paths["bars"],
        title=title,
        metric=f"hit rate at {k} (share of queries)",
        level=settings.confidence,
    )


def draw_class_bars(
    bars: Sequence[ClassBar], path: PathLike, *, title: str, metric: str, level: float = 0.95
) -> None:
    """Draw the classes as bars, in order, with the number of queries behind each name, as PNG.

    metric: what is shown, for the axis: "hit rate at 1 (share of queries)". A dashed line stands
    at the mean over all queries. level: of confidence of the intervals. Of more than two columns of
    MOST_NAMED the first and the last are drawn, and the title says how many others there are.
    """
    queries = sum(bar.queries for bar in bars)
    mean = sum(bar.mean * bar.queries for bar in bars) / queries
    total, most = len(bars), 2 * MOST_NAMED
    if total > most:
        bars = [*bars[:MOST_NAMED], *bars[-MOST_NAMED:]]
        title += left_out(total, most, "classes, the best and the worst", "classes.csv")
    columns = 1 if len(bars) <= _ONE_COLUMN else 2
    height = -(-len(bars) // columns)
    figure = Figure(figsize=(WIDTH, 1.2 + 0.155 * max(height, 4)), layout="constrained")
    panels = figure.subplots(1, columns, squeeze=False)[0]
    for column, axis in enumerate(panels):
        _draw_column(axis, bars[column * height : (column + 1) * height])
        axis.axvline(mean, color="black", linestyle="--", linewidth=1)
        axis.set_xlim(0, 1.02)
        axis.set_ylim(height - 0.4, -0.6)
    intervals = f", {intervals_at(level)}" if any(bar.low is not None for bar in bars) else ""
    entitle(figure, f"{title}{intervals}; dashed: all {queries} queries, {mean:.3f}")
    figure.supxlabel(metric, fontsize=NORMAL)
    figure.supylabel("class (queries)", fontsize=NORMAL)
    save(figure, path)


def draw_confusion(confusion: Confusion, path: PathLike, *, title: str) -> None:
    """Class of the query against class of the first answer, rows scaled to shares, as PNG.

    The title says how many classes are left out.
    """
    classes, counts, totals, more = confusion
    what = "classes, those with most wrong answers"
    title += left_out(len(classes) + more, len(classes), what, "queries.csv and answers.csv")
    numbered = len(classes) <= _NUMBERED_CLASSES
    points = SMALL if numbered else SMALL - 0.5
    names = [shorten(name, points=points, inches=1.8) for name in classes]
    longest = max((text_width(name, points) for name in names), default=0.0)
    size = 0.8 + longest + max(2, (0.32 if numbered else 0.108) * len(classes))
    figure = Figure(figsize=(size + 0.6, size), layout="constrained")
    axis = figure.subplots()
    shares = counts / np.maximum(totals, 1)[:, None]
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set(xlabel="class of the first answer", ylabel="class of the query")
    entitle(axis, title)
    # A folder's name may have dollar signs, which are no formula.
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=points, parse_math=False)
    axis.set_yticks(range(len(names)), names, fontsize=points, parse_math=False)
    if numbered:
        _write_counts(axis, counts, shares)
    else:
        _rule(axis, len(classes))
    figure.colorbar(image, ax=axis, label="share of the class's queries", shrink=0.7)
    save(figure, path)


def _draw_column(axis: Axes, bars: Sequence[ClassBar]) -> None:
    means, lows, highs = np.array([bar[2:] for bar in bars], dtype=np.float64).T
    places = np.arange(len(bars))
    axis.barh(places, means, height=0.72, color=PALETTE[5])
    # The mean of a skewed bootstrap may lie outside its own interval by a rounding.
    below = np.clip(means - lows, 0, None)
    above = np.clip(highs - means, 0, None)
    axis.errorbar(
        means, places, xerr=np.stack([below, above]), fmt="none", ecolor="black", elinewidth=0.9,
        capsize=1.6,
    )  # fmt: skip
    names = [f"{shorten(bar.name, points=SMALL, inches=1.7)} ({bar.queries})" for bar in bars]
    axis.set_yticks(places, names, fontsize=SMALL, parse_math=False)
    axis.tick_params(axis="x", labelsize=SMALL)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)


def _write_counts(axis: Axes, counts: Integers, shares: Floats) -> None:
    for row, column in zip(*np.nonzero(counts), strict=True):
        axis.text(
            column, row, str(counts[row, column]), ha="center", va="center", fontsize=7,
            color="white" if shares[row, column] > 0.5 else "black",
        )  # fmt: skip


def _rule(axis: Axes, classes: int) -> None:
    """Faint lines from the names to their cells, without which nobody follows row 40."""
    for place in range(classes):
        for line in (axis.axhline, axis.axvline):
            line(place, color="#000000", alpha=0.07, linewidth=0.4)
