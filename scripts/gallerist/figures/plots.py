"""Training curves, confusion and the comparison of all experiments as pictures."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gallerist.figures.style import (
    NORMAL,
    PALETTE,
    SMALL,
    WIDTH,
    Style,
    entitle,
    intervals_at,
    rate_axis_bottom,
    save,
    shortened,
    styles,
    text_width,
)
from gallerist.io.files import PathLike

Rates = Mapping[str, Mapping[int, float]]
"""Experiment -> k -> hit rate."""

Intervals = Mapping[str, Mapping[int, tuple[float, float]]]
"""Experiment -> k -> lower and upper end of the hit rate's interval."""

_MARKED_EPOCHS = 30
"""Longer curves are drawn without a dot an epoch."""

_NUMBERED_CLASSES = 25
"""Larger confusions are drawn smaller, and without numbers."""

_COMPARED_KS = 4
"""The comparison has a panel for each of so many k: of more, the first, the last and between."""


def draw_curves(history: Sequence[Mapping[str, float]], path: PathLike, *, title: str) -> None:
    """Accuracy and loss by epoch, training and validation, as PNG."""
    figure = Figure(figsize=(WIDTH + 0.8, 3.2), layout="constrained")
    entitle(figure, title)
    epochs = [row["epoch"] for row in history]
    marker = "." if len(history) <= _MARKED_EPOCHS else ""
    axes = figure.subplots(1, 2)
    for axis, name, unit in zip(axes, ("accuracy", "loss"), (" (share right)", ""), strict=True):
        for column, label, line, colour in (
            (name, "training", "-", PALETTE[0]),
            (f"val_{name}", "validation", "--", PALETTE[1]),
        ):
            values = [row[column] for row in history]
            axis.plot(epochs, values, line, color=colour, marker=marker, label=label)
        axis.set(xlabel="epoch", ylabel=f"{name}{unit}")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        axis.grid(alpha=0.3)
        if not history:
            axis.set(xticks=[], yticks=[])
            axis.text(0.5, 0.5, "not trained", transform=axis.transAxes, ha="center")
    axes[0].set_ylim(0, 1.02)
    if history:
        axes[0].legend(fontsize=SMALL)
    save(figure, path)


def draw_confusion(
    classes: Sequence[str], counts: npt.NDArray[np.int64], path: PathLike, *, title: str
) -> None:
    """Class of the query against class of the first answer, rows scaled to shares, as PNG."""
    numbered = len(classes) <= _NUMBERED_CLASSES
    points = SMALL if numbered else SMALL - 0.5
    names = [shortened(name, points=points, inches=1.8) for name in classes]
    longest = max((text_width(name, points) for name in names), default=0.0)
    size = 0.8 + longest + max(2, (0.32 if numbered else 0.108) * len(classes))
    figure = Figure(figsize=(size + 0.6, size), layout="constrained")
    axis = figure.subplots()
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(totals > 0, totals, 1)
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


def draw_comparison(
    hit_rates: Rates,
    path: PathLike,
    *,
    title: str,
    queries: int,
    intervals: Intervals | None = None,
    level: float = 0.95,
    configured: Sequence[str] | None = None,
) -> None:
    """Hit rates of all experiments, a row each and a panel for each k, best first, as PNG.

    hit_rates: experiment -> k -> rate, with the same k for every experiment. intervals: those that
    are known, at that level of confidence. configured: all experiments in the order of the
    configuration, for their colours; those of hit_rates unless given.
    """
    ks = _panels(sorted(next(iter(hit_rates.values()))))
    names = sorted(hit_rates, key=lambda name: -hit_rates[name][ks[0]])
    looks = styles(configured or list(hit_rates))
    pitch = 0.26 if len(names) <= 12 else 0.17
    figure = Figure(figsize=(WIDTH, 1.5 + pitch * max(len(names), 4)), layout="constrained")
    panels = figure.subplots(1, len(ks), sharey=True, squeeze=False)[0]
    spans = intervals or {}
    lowest = min(min(rates[k] for k in ks) for rates in hit_rates.values())
    ends = [spans[name][k][0] for name in spans for k in ks if k in spans[name]]
    for axis, k in zip(panels, ks, strict=True):
        for row, name in enumerate(names):
            _point(axis, row, hit_rates[name][k], spans.get(name, {}).get(k), looks[name])
        axis.set_xlim(rate_axis_bottom(min([lowest, *ends])), 1.02)
        axis.set_title(f"k = {k}", fontsize=NORMAL)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        axis.tick_params(axis="x", labelsize=SMALL)
        axis.grid(alpha=0.3)
    shown = [shortened(name, points=SMALL, inches=2.2) for name in names]
    panels[0].set_yticks(range(len(names)), shown, fontsize=SMALL, parse_math=False)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    measured = f", {intervals_at(level)}" if ends else ""
    entitle(figure, f"{title}, {queries} queries{measured}")
    figure.supxlabel("hit rate at k (share of queries)", fontsize=NORMAL)
    save(figure, path)


def _panels(ks: Sequence[int]) -> list[int]:
    if len(ks) <= _COMPARED_KS:
        return list(ks)
    return [ks[round(place)] for place in np.linspace(0, len(ks) - 1, _COMPARED_KS)]


def _point(
    axis: Axes, row: int, rate: float, span: tuple[float, float] | None, style: Style
) -> None:
    """One experiment's rate with its interval, unclipped: it may lie on the edge."""
    if span is not None:
        axis.plot(span, (row, row), color=style["color"], linewidth=1.6, solid_capstyle="butt")
    axis.plot(
        rate, row, color=style["color"], marker=style["marker"], markersize=5, linestyle="none",
        clip_on=False,
    )  # fmt: skip


def _write_counts(
    axis: Axes, counts: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]
) -> None:
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
