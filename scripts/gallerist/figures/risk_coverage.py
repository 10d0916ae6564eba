"""Risk against coverage: how many answers are wrong when how many queries are answered."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from gallerist.data.manifest import Manifest
from gallerist.evaluation.abstaining_report import Abstaining, abstain
from gallerist.evaluation.risk_coverage import RiskCoverage
from gallerist.evaluation.threshold import Promise
from gallerist.figures.style import (
    MOST_NAMED,
    NORMAL,
    OTHER,
    RELEVANT,
    WIDTH,
    WRONG,
    Style,
    entitle,
    left_out,
    legend_below,
    save,
)
from gallerist.io.files import PathLike
from gallerist.search.ranking import Ranking

_BLUE = "#0072b2"


def report_abstaining(
    ranking: Ranking,
    queries: Manifest,
    gallery: Manifest,
    validation: tuple[PathLike, PathLike],
    settings: Mapping[str, Any],
    output: Any,
    title: str,
) -> dict[str, Any]:
    """Fit an experiment's threshold, and write and draw what comes of it and of all others.

    validation: files of the ranking and of the manifest that it is fitted on. settings: as
    `Plan.abstaining` gives them. output: with paths under risk_coverage, CSV, and risk, PNG.
    Returns them as `Abstaining.as_json`.
    """
    promise = Promise(settings["risk"], settings["confidence"], settings["absent"])
    fitted = Ranking.read(validation[0]), Manifest.read(validation[1])
    chosen = {name: settings[name] for name in ("seed", "by_distance")}
    found = abstain((ranking, queries), fitted, gallery, promise, **chosen)
    found.curve.write(output.risk_coverage)
    draw_risk_coverage(found, output.risk, title=title)
    return found.as_json()


def draw_risks(
    curves: Mapping[str, RiskCoverage], styles: Mapping[str, Style], path: PathLike, *, title: str
) -> None:
    """Draw the risks of several experiments against coverage, closed and open set, as PNG.

    curves: by experiment. styles: of all of them.
    """
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    closed, opened = figure.subplots(1, 2, sharey=True)
    title += left_out(len(curves), MOST_NAMED, "experiments", "risk_coverage.csv")
    handles = {}
    for name, each in [*curves.items()][:MOST_NAMED]:
        style = {key: styles[name][key] for key in ("color", "linestyle")}
        (handles[name],) = closed.plot(each.coverage, each.risk, **style)
        if each.open_risk is not None:
            opened.plot(each.coverage, each.open_risk, **style)
    share = max(each.share for each in curves.values())
    closed.set_title("as they are", fontsize=NORMAL)
    opened.set_title(f"{100 * share:g} % without their class", fontsize=NORMAL)
    for axis in (closed, opened):
        axis.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="queries answered, share (coverage)")
        axis.grid(alpha=0.3)
    closed.set_ylabel("answers that are wrong, share (risk)")
    entitle(figure, title)
    legend_below(figure, handles)
    save(figure, path)


def draw_risk_coverage(found: Abstaining, path: PathLike, *, title: str) -> None:
    """Draw what comes of every threshold, and of the one that was fitted, as PNG."""
    curve, threshold, reached = found.curve, found.threshold, found.reached
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    axis = figure.add_subplot()
    lines = [("wrong, of the answers", curve.risk, RELEVANT, "-")]
    if curve.open_risk is not None and curve.absent is not None:
        share = f"{100 * curve.share:g} %"
        lines += [
            (f"the same, {share} of the queries without their class", curve.open_risk, WRONG, "--"),
            ("answered, of the queries without their class", curve.absent, _BLUE, ":"),
        ]
    handles = {}
    for label, values, colour, style in lines:
        (handles[label],) = axis.plot(curve.coverage, values, style, color=colour)
    promised = f"promised: {100 * threshold.promise.risk:g} %"
    handles[promised] = axis.axhline(threshold.promise.risk, color=OTHER, linestyle="-.")
    if reached is not None:
        at = f"answered below the threshold, {threshold.below:.4g}"
        handles[at] = axis.axvline(float(reached.coverage[0]), color="black", linewidth=1)
    else:
        title += "; no threshold can promise that"
    axis.set_xlim(0, 1.01)
    axis.set_ylim(0, 1.01)
    axis.set_xlabel("queries answered, share (coverage)", fontsize=NORMAL)
    axis.set_ylabel("share", fontsize=NORMAL)
    axis.grid(alpha=0.3)
    entitle(axis, title)
    legend_below(figure, handles)
    save(figure, path)
