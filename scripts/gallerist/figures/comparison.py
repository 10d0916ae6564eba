"""All experiments beside each other: hit rates, and curves of what they reach."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from gallerist.evaluation.curves import (
    AMONG_DISTRACTORS,
    HIT_RATE,
    LINEAR_DEPTH,
    PRECISION,
    Curve,
    CurveError,
)
from gallerist.figures.style import (
    MOST_NAMED,
    NORMAL,
    SMALL,
    WIDTH,
    Style,
    entitle,
    intervals_at,
    left_out,
    legend_below,
    rate_axis_bottom,
    save,
    shorten,
    styles,
)
from gallerist.io.files import PathLike

Rates = Mapping[str, Mapping[int, float]]
"""Experiment -> k -> hit rate."""

Intervals = Mapping[str, Mapping[int, tuple[float, float]]]
"""Experiment -> k -> lower and upper end of the hit rate's interval."""

Curves = Mapping[str, Curve]
Styles = Mapping[str, Style]

_COMPARED_KS = 4
"""The comparison has a panel for each of so many k: of more, the first, the last and between."""

_MARKED = 12
"""Curves of so few places have a mark at each, others here and there."""


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
    title += left_out(len(names), MOST_NAMED, "experiments, the best", "comparison.csv")
    names = names[:MOST_NAMED]
    style_of = styles(configured or list(hit_rates))
    pitch = 0.26 if len(names) <= 12 else 0.17
    figure = Figure(figsize=(WIDTH, 1.5 + pitch * max(len(names), 4)), layout="constrained")
    panels = figure.subplots(1, len(ks), sharey=True, squeeze=False)[0]
    spans = intervals or {}
    lowest = min(hit_rates[name][k] for name in names for k in ks)
    shown = [spans[name] for name in names if name in spans]
    ends = [span[k][0] for span in shown for k in ks if k in span]
    for axis, k in zip(panels, ks, strict=True):
        for row, name in enumerate(names):
            _point(axis, row, hit_rates[name][k], spans.get(name, {}).get(k), style_of[name])
        axis.set_xlim(rate_axis_bottom(min([lowest, *ends])), 1.02)
        axis.set_title(f"k = {k}", fontsize=NORMAL)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        axis.tick_params(axis="x", labelsize=SMALL)
        axis.grid(alpha=0.3)
    labels = [shorten(name, points=SMALL, inches=2.2) for name in names]
    panels[0].set_yticks(range(len(names)), labels, fontsize=SMALL, parse_math=False)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    measured = f", {intervals_at(level)}" if ends else ""
    entitle(figure, f"{title}, {queries} queries{measured}")
    figure.supxlabel("hit rate at k (share of queries)", fontsize=NORMAL)
    save(figure, path)


def draw_curves(
    curves: Mapping[str, Mapping[str, Curve]],
    paths: Mapping[str, PathLike],
    *,
    title: str,
    level: float,
) -> None:
    """The three pictures of curves, as PNG.

    curves: experiment -> kind -> curve; not every one has every kind. paths: of `hit_rates`,
    `precision` and `distractor_curve`.
    """
    style_of = styles(list(curves))
    for kind, draw, name in (
        (HIT_RATE, draw_hit_rates, "hit_rates"),
        (PRECISION, draw_precision_recall, "precision"),
        (AMONG_DISTRACTORS, draw_hit_rates_among_distractors, "distractor_curve"),
    ):
        known = {experiment: each[kind] for experiment, each in curves.items() if kind in each}
        draw(known, style_of, paths[name], title=title, level=level)


def draw_hit_rates(
    curves: Curves, styles: Styles, path: PathLike, *, title: str, level: float = 0.95
) -> None:
    """Hit rate against k of all experiments, as PNG: logarithmic when k goes beyond 50.

    curves: experiment -> `hit_rate_curve`. styles: `style.styles` of all experiments.
    level: of confidence of the intervals. Without any curve, the picture says so.
    """
    figure, axis = _lines(curves, styles, title, level)
    deepest = max((each.at[-1] for each in curves.values()), default=1.0)
    axis.set(xlabel="k (answers looked at)", ylabel="hit rate at k (share of queries)")
    if deepest > LINEAR_DEPTH:
        axis.set_xscale("log")
        _tick(axis, [float(k) for k in _one_two_five(deepest)])
        axis.set_xlim(0.95, deepest * 1.05)
    else:
        every = next(step for step in (1, 2, 5, 10) if deepest <= 10 * step)
        _tick(axis, [1.0, *(float(k) for k in range(every, int(deepest) + 1, every) if k > 1)])
        axis.set_xlim(min(0.98, 1 - 0.02 * deepest), deepest + 0.02 * deepest)
    save(figure, path)


def draw_precision_recall(
    curves: Curves, styles: Styles, path: PathLike, *, title: str, level: float = 0.95
) -> None:
    """Interpolated precision against recall of all experiments, as PNG.

    curves: experiment -> `precision_recall_curve`. Others as for `draw_hit_rates`.
    """
    figure, axis = _lines(curves, styles, title, level)
    axis.set(
        xlabel="recall (share of the right pictures found)",
        ylabel="interpolated precision\n(share of the answers that are right)",
        xlim=(-0.01, 1.01),
        ylim=(0, 1.02),
    )
    save(figure, path)


def draw_hit_rates_among_distractors(
    curves: Curves, styles: Styles, path: PathLike, *, title: str, k: int = 1, level: float = 0.95
) -> None:
    """Hit rate at k against the number of distractors in the gallery, of all experiments, as PNG.

    The axis is logarithmic from its first number above 0, with 0 kept beside it, when that number
    is less than a twentieth of the last one. curves: experiment -> `curve` at numbers of
    distractors. Others as for `draw_hit_rates`.
    """
    figure, axis = _lines(curves, styles, title, level)
    places = sorted({0.0, *(float(place) for each in curves.values() for place in each.at)})
    least = next((place for place in places if place > 0), 1.0)
    axis.set(
        xlabel="distractors in the gallery (pictures)", ylabel=f"hit rate at {k} (share of queries)"
    )
    if places[-1] > 20 * least:
        axis.set_xscale("symlog", linthresh=least, linscale=0.4)
        ticks = [0.0, *(place for place in _one_two_five(places[-1]) if place >= least)]
        _tick(axis, [*ticks, places[-1]] if places[-1] > 1.35 * ticks[-1] else ticks)
        axis.set_xlim(places[0] - 0.05 * least, places[-1] * 1.08)
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


def _lines(curves: Curves, styles: Styles, title: str, level: float) -> tuple[Figure, Axes]:
    """A figure with a line, a band and an entry of the legend for each experiment."""
    lacking = [name for name in curves if name not in styles]
    if lacking:
        raise CurveError(f"no style for {', '.join(lacking)}: give those of all experiments")
    figure = Figure(figsize=(WIDTH, 4), layout="constrained")
    axis = figure.subplots()
    axis.grid(alpha=0.3)
    if not curves:
        axis.text(0.5, 0.5, "not known of any experiment", transform=axis.transAxes, ha="center")
        axis.set_ylim(0, 1.02)
        entitle(axis, title)
        return figure, axis
    if len(curves) > MOST_NAMED:
        best = sorted(curves, key=lambda name: -float(np.nanmean(curves[name].means)))[:MOST_NAMED]
        title += left_out(len(curves), MOST_NAMED, "experiments, the best", "comparison.csv")
        curves = {name: each for name, each in curves.items() if name in best}
    # Bands of many experiments lie over each other: all together still let the lines be seen.
    faint = min(0.18, 1 - 0.45 ** (1 / len(curves)))
    handles = {
        name: _line(axis, each, styles[name], faint, number)
        for number, (name, each) in enumerate(curves.items())
    }
    values = np.concatenate([np.r_[each.means, each.lows] for each in curves.values()])
    axis.set_ylim(rate_axis_bottom(float(np.nanmin(values))), 1.02)
    banded = any(np.isfinite(each.lows).any() for each in curves.values())
    entitle(axis, title + (f", bands: {intervals_at(level)}" if banded else ""))
    legend_below(figure, handles)
    return figure, axis


def _line(axis: Axes, drawn: Curve, style: Style, faint: float, number: int) -> Line2D:
    """One experiment's line and band, with marks at other places than its neighbours'."""
    colour = style["color"]
    axis.fill_between(drawn.at, drawn.lows, drawn.highs, color=colour, linewidth=0, alpha=faint)
    if len(drawn.at) == 1:
        axis.vlines(drawn.at, drawn.lows, drawn.highs, color=colour, linewidth=1.6)
    every = None if len(drawn.at) <= _MARKED else (0.13 * (number % 8) / 8, 0.13)
    (line,) = axis.plot(
        drawn.at, drawn.means, **style, markersize=4.5, linewidth=1.3, markevery=every
    )
    return line


def _one_two_five(last: float) -> list[int]:
    """1, 2, 5, 10, ... up to the last; every power of ten only where that is too many."""
    steps = (1, 2, 5) if last <= 2000 else (1,)
    powers = range(len(str(int(last))))
    return [step * 10**power for power in powers for step in steps if step * 10**power <= last]


def _tick(axis: Axes, places: Sequence[float]) -> None:
    axis.xaxis.set_major_locator(FixedLocator(list(places)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda place, _: f"{place:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
