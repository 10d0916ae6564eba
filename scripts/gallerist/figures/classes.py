"""A metric by class as bars with intervals: which classes an experiment finds and which not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gallerist.evaluation.bootstrap import ROUNDS, Groups, mean_intervals
from gallerist.figures.style import (
    NORMAL,
    PALETTE,
    SMALL,
    WIDTH,
    entitle,
    intervals_at,
    save,
    shortened,
)
from gallerist.io.files import PathLike

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_ONE_COLUMN = 34
"""More classes stand in two columns, or half a page could not hold them."""


class ClassBarFault(ValueError):
    """Arrays that do not belong together, or nothing to draw."""


@dataclass(frozen=True, eq=False)
class ClassBars:
    """A metric's mean by class.

    names: (n,) classes. means, lows, highs: (n,) float64 in [0, 1], the mean and the ends of its
    interval; these are NaN where there is none. queries: (n,) int64, queries of the class.
    """

    names: tuple[str, ...]
    means: FloatArray
    lows: FloatArray
    highs: FloatArray
    queries: IntArray

    def __post_init__(self) -> None:
        """Refuse arrays of different lengths, no class at all, and a class without queries."""
        lengths = {len(each) for each in (self.means, self.lows, self.highs, self.queries)}
        if lengths != {len(self.names)}:
            raise ClassBarFault(
                f"{len(self.names)} classes and arrays of {sorted(lengths)} do not belong together"
            )
        if not self.names or (self.queries < 1).any() or not np.isfinite(self.means).all():
            raise ClassBarFault(
                "a class without queries, or a mean that is no number, has no bar: leave it out"
            )

    @property
    def order(self) -> list[int]:
        """Positions, the highest mean first; equal ones by more queries, then by name."""
        return sorted(
            range(len(self.names)), key=lambda i: (-self.means[i], -self.queries[i], self.names[i])
        )


def class_bars(
    values: npt.ArrayLike, labels: Sequence[str], groups: Groups, *, seed: int,
    rounds: int = ROUNDS, level: float = 0.95,
) -> ClassBars:  # fmt: skip
    """Mean of each class with its interval, by the bootstrap over originals.

    values: (queries,) a metric in [0, 1]. labels: (queries,) classes. groups: (queries,) original
    that each query was made from, of which a class needs two to have an interval. seed, rounds,
    level: as for `bootstrap.mean_intervals`.

    Raises ClassBarFault when the arrays are not of one length.
    """
    metric = np.asarray(values, dtype=np.float64)
    classes, sources = np.asarray(labels, dtype=np.str_), np.asarray(groups)
    if not len(metric) == len(classes) == len(sources):
        raise ClassBarFault(
            f"{len(metric)} values, {len(classes)} labels and {len(sources)} originals do not "
            "belong together"
        )
    names = np.unique(classes).tolist()
    rows = np.zeros((len(names), 3))
    for row, name in zip(rows, names, strict=True):
        of_class = classes == name
        row[:] = metric[of_class].mean(), np.nan, np.nan
        if len(np.unique(sources[of_class])) > 1:
            found = mean_intervals(
                {"": metric[of_class]}, sources[of_class], seed=seed, rounds=rounds, level=level
            )
            row[1:] = found[""].low, found[""].high
    counts = np.array([int((classes == name).sum()) for name in names], dtype=np.int64)
    return ClassBars(tuple(names), rows[:, 0], rows[:, 1], rows[:, 2], counts)


def draw(bars: ClassBars, path: PathLike, *, title: str, metric: str, level: float = 0.95) -> None:
    """Draw the classes as bars, best first, with the number of queries behind each name, as PNG.

    metric: what is shown, for the axis: "hit rate at 1 (share of queries)". A dashed line stands
    at the mean over all queries. level: of confidence of the intervals.
    """
    columns = 1 if len(bars.names) <= _ONE_COLUMN else 2
    height = -(-len(bars.names) // columns)
    figure = Figure(figsize=(WIDTH, 1.2 + 0.155 * max(height, 4)), layout="constrained")
    mean = float(np.average(bars.means, weights=bars.queries))
    panels = figure.subplots(1, columns, squeeze=False)[0]
    for column, axis in enumerate(panels):
        chosen = bars.order[column * height : (column + 1) * height]
        _draw_column(axis, bars, chosen)
        axis.axvline(mean, color="black", linestyle="--", linewidth=1)
        axis.set_xlim(0, 1.02)
        axis.set_ylim(height - 0.4, -0.6)
    intervals = f", {intervals_at(level)}" if np.isfinite(bars.lows).any() else ""
    entitle(figure, f"{title}{intervals}; dashed: all {bars.queries.sum()} queries, {mean:.3f}")
    figure.supxlabel(metric, fontsize=NORMAL)
    figure.supylabel("class (queries)", fontsize=NORMAL)
    save(figure, path)


def _draw_column(axis: Axes, bars: ClassBars, chosen: Sequence[int]) -> None:
    means = bars.means[chosen]
    places = np.arange(len(chosen))
    axis.barh(places, means, height=0.72, color=PALETTE[5])
    # The mean of a skewed bootstrap may lie outside its own interval by a rounding.
    below = np.clip(means - bars.lows[chosen], 0, None)
    above = np.clip(bars.highs[chosen] - means, 0, None)
    axis.errorbar(
        means, places, xerr=np.stack([below, above]), fmt="none", ecolor="black", elinewidth=0.9,
        capsize=1.6,
    )  # fmt: skip
    names = [
        f"{shortened(bars.names[i], points=SMALL, inches=1.7)} ({bars.queries[i]})" for i in chosen
    ]
    axis.set_yticks(places, names, fontsize=SMALL, parse_math=False)
    axis.tick_params(axis="x", labelsize=SMALL)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)
