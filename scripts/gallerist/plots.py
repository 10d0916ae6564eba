"""Curves, confusion and comparison as pictures: one palette, one colour an experiment."""

from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter

from gallerist.files import PathLike, replacing

PALETTE = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#f0e442",
)  # fmt: skip
"""Okabe and Ito (2008): told apart with any colour vision, and in print."""

MARKERS = "osD^vPX*"

_MARKED_EPOCHS = 30
"""Longer curves are drawn without a dot an epoch."""

_NUMBERED_CLASSES = 25
"""Larger confusions are drawn smaller, and without numbers."""

_LINEAR_K = 20
"""Beyond it the axis of k is logarithmic, or the small ones would lie on each other."""


def experiment_styles(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Colour and marker of each experiment, by its position in the configuration."""
    return {
        name: {
            "color": PALETTE[index % len(PALETTE)],
            "marker": MARKERS[(index + index // len(PALETTE)) % len(MARKERS)],
        }
        for index, name in enumerate(names)
    }


def draw_curves(history: Sequence[Mapping[str, float]], path: PathLike, *, title: str) -> None:
    """Accuracy and loss by epoch, training and validation, as PNG."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    figure.suptitle(title, fontsize=10)
    epochs = [row["epoch"] for row in history]
    marker = "." if len(history) <= _MARKED_EPOCHS else ""
    for axis, name, unit in zip(axes, ("accuracy", "loss"), ("share right", "loss"), strict=True):
        for column, label, style in ((name, "training", "-"), (f"val_{name}", "validation", "--")):
            colour = PALETTE[0] if style == "-" else PALETTE[1]
            axis.plot(
                epochs, [row[column] for row in history], style, color=colour, marker=marker,
                label=label,
            )  # fmt: skip
        axis.set(xlabel="epoch", ylabel=f"{name} ({unit})" if name == "accuracy" else name)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        axis.grid(alpha=0.3)
        if not history:
            axis.set(xticks=[], yticks=[])
            axis.text(0.5, 0.5, "not trained", transform=axis.transAxes, ha="center")
    axes[0].set_ylim(0, 1.02)
    if history:
        axes[0].legend(fontsize=8)
    _save(figure, path)


def draw_confusion(
    classes: Sequence[str], counts: npt.NDArray[np.int64], path: PathLike, *, title: str
) -> None:
    """Class of the query against class of the first answer, rows scaled to shares, as PNG."""
    numbered = len(classes) <= _NUMBERED_CLASSES
    longest = max(map(len, classes), default=0)
    size = 1 + 0.06 * longest + max(2, (0.32 if numbered else 0.14) * len(classes))
    figure, axis = plt.subplots(figsize=(size + 0.6, size), layout="constrained")
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(totals > 0, totals, 1)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set(xlabel="class of the first answer", ylabel="class of the query")
    axis.set_title(title, fontsize=10)
    # A folder's name may have dollar signs, which are no formula.
    axis.set_xticks(range(len(classes)), classes, rotation=90, fontsize=7, parse_math=False)
    axis.set_yticks(range(len(classes)), classes, fontsize=7, parse_math=False)
    if numbered:
        for row, column in zip(*np.nonzero(counts), strict=True):
            axis.text(
                column, row, str(counts[row, column]), ha="center", va="center", fontsize=7,
                color="white" if shares[row, column] > 0.5 else "black",
            )  # fmt: skip
    figure.colorbar(image, ax=axis, label="share of the class's queries", shrink=0.7)
    _save(figure, path)


def draw_comparison(
    hit_rates: Mapping[str, Mapping[int, float]], path: PathLike, *, title: str, queries: int
) -> None:
    """Hit rate against k, one line an experiment, as PNG. hit_rates: experiment -> k -> rate."""
    figure, axis = plt.subplots(figsize=(7.2, 4), layout="constrained")
    for name, style in experiment_styles(list(hit_rates)).items():
        ks, rates = zip(*sorted(hit_rates[name].items()), strict=True)
        axis.plot(ks, rates, label=name, **style)  # type: ignore[arg-type]
    ticks = sorted({k for rates in hit_rates.values() for k in rates})
    if ticks[-1] > _LINEAR_K:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticks(ticks)
    axis.set(xlabel="k (answers looked at)", ylabel="hit rate at k (share of queries)")
    axis.set_ylim(0, 1.02)
    axis.set_title(f"{title}, {queries} queries", fontsize=10)
    axis.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)  # it covers no line there
    _save(figure, path)


def _save(figure: Figure, path: PathLike) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
    plt.close(figure)
