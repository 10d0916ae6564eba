"""The page of the comparison: its tables in Markdown and HTML, and the caveats below them."""

import csv
import html
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gallerist.evaluation.comparison import (
    INDEX_RECALL,
    NOT_TRAINING,
    OVER,
    SURPASSED,
    Row,
    Spread,
    hit_rates,
)
from gallerist.evaluation.over_folds import over_folds_in_words
from gallerist.evaluation.tables import markdown_table
from gallerist.io.files import PathLike
from gallerist.io.metric_names import top

_NAMED = 3
"""Experiments that a page names in one cell; the CSV names all."""

_TOP_K = (
    "top-k: share of the queries with a picture of their class among the first k answers. "
    "Intervals are drawn over original pictures, and over seeds where an experiment was trained "
    "from several, whose mean it then is. One experiment is called really better than another "
    "where a paired test on the same queries, corrected for the number of pairs, says so "
    "(differences.csv). Excluded queries have no right picture in the gallery."
)
_OVER_SEEDS = (
    "Mean ± sample standard deviation (n - 1), smallest to largest, of experiments that differ in "
    "nothing but `seed`; under each, what decides, seed by seed. Pictures, split, augmented copies "
    "and `dropout_seed` are the same in all: what varies is the first weights of what is trained, "
    "and the order of the training pictures."
)


def format_markdown(
    rows: Sequence[Row], *, title: str, caveats: Sequence[str], seeds: Sequence[Row] = ()
) -> str:
    """The comparison as a Markdown page: a table, the definitions, and what one must know.

    seeds: the second table's rows, if there are any.
    """
    lines = [f"# {title}", "", *markdown_table(_format(rows)), "", _TOP_K, ""]
    if seeds:
        lines += ["## Over seeds", "", *markdown_table(_format(seeds)), "", _OVER_SEEDS, ""]
    lines += [f"- {caveat}" for caveat in caveats]
    return "\n".join(lines).rstrip() + "\n"


def format_html(
    rows: Sequence[Row], *, title: str, caveats: Sequence[str], seeds: Sequence[Row] = ()
) -> str:
    """The comparison as a small HTML page, for the report. seeds: as for `format_markdown`."""
    second = (
        f"<h2>Over seeds</h2>{_html_table(seeds)}<p>{html.escape(_OVER_SEEDS)}</p>" if seeds else ""
    )
    listed = "".join(f"<li>{html.escape(caveat)}</li>" for caveat in caveats)
    style = "body{font-family:sans-serif}td,th{padding:.3em .7em;text-align:right}"
    return (
        f"<!doctype html><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<style>{style}</style><h1>{html.escape(title)}</h1>"
        f"{_html_table(rows)}{second}<ul>{listed}</ul>\n"
    )


def _html_table(rows: Sequence[Row]) -> str:
    cells = _format(rows)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in cells[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(value)}</td>" for value in line.values()) + "</tr>"
        for line in cells
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _format(rows: Sequence[Row]) -> list[dict[str, str]]:
    """The text of every cell, "" where a row has none; no column that all lack."""
    names = [
        name
        for name in rows[0]
        if name != "experiments" and any(row[name] is not None for row in rows)
    ]
    return [{name: _cell(name, row[name]) for name in names} for row in rows]


_IN_TENTHS = ("training s", "frozen layers s", "extraction images/s")


def _cell(name: str, value: Any) -> str:
    if isinstance(value, Spread):
        mean, deviation, least, most = (_cell(name, each) for each in value)
        return f"{mean} ± {deviation} ({least} to {most})"
    if name == SURPASSED and len(str(value).split()) > _NAMED:
        return f"{len(str(value).split())} of them"
    if isinstance(value, float):
        return f"{value:.1f}" if name in _IN_TENTHS else f"{value:.4f}"
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)


def find_caveats(
    rows: Sequence[Row],
    metrics: Sequence[Mapping[str, Any]],
    *,
    faults: Sequence[PathLike],
    leaks: PathLike,
    doubts: PathLike,
) -> list[str]:
    """What a reader must know before believing the numbers: a sentence for each limit.

    metrics: of each row, with `gallery_images`. faults, leaks, doubts: the reports of the import,
    of the split, and of doubtful labels, whose lines are counted.
    """
    lines = _of_experiments(rows)
    gallery = metrics[0]["gallery_images"]
    if not any("macro_mean" in figures for figures in metrics[0]["metrics"].values()):
        lines.append(
            "The pictures have no classes, or several each: tables by class, the mean over classes "
            "and the confusion are left out."
        )
    if "truth" in metrics[0]:
        lines.append("What is right is stated for each query (dataset.truth), not by classes.")
    beyond = [k for k in hit_rates(rows[0]) if k > gallery]
    if beyond:
        lines.append(
            f"The gallery has {gallery} pictures: {', '.join(map(top, beyond))} look at "
            "all of them."
        )
    severities = Counter(row["severity"] for path in faults for row in _rows(path))
    if severities:
        counts = ", ".join(f"{count} {severity}" for severity, count in sorted(severities.items()))
        folder = Path(faults[0]).parent
        lines.append(f"Files with faults: {counts}; each is named with its reason in {folder}/.")
    shown = [name.removesuffix(" interval") for name in rows[0] if name.endswith(" interval")]
    lines += [text for each in metrics if (text := over_folds_in_words(each, shown))]
    kinds = Counter((row["kind"], row["part_a"], row["part_b"]) for row in _rows(leaks))
    for (kind, one, other), count in sorted(kinds.items()):
        same = "the same file" if kind == "exact" else "nearly the same picture"
        times = "Once" if count == 1 else f"{count} times"
        lines.append(f"{times} {same} is in {one} and in {other}; see {leaks}.")
    doubtful = len(_rows(doubts))
    if doubtful:
        which = "The label of one picture is" if doubtful == 1 else f"{doubtful} labels are"
        lines.append(f"{which} doubtful: the nearest pictures are of another class; see {doubts}.")
    return lines


def _of_experiments(rows: Sequence[Row]) -> list[str]:
    """What holds for some of the experiments: their weights, their training, their search."""
    lines = [
        f"{row['experiment']} STARTED FROM {row['weights'].upper()}: it cannot be compared with "
        "figures for pretrained weights."
        for row in rows
        if "random (" in row["weights"]
    ]
    once = [row["experiment"] for row in rows if row[OVER] == NOT_TRAINING]
    if once:
        names, were = ", ".join(once), "was" if len(once) == 1 else "were each"
        lines.append(
            f"{names} {were} trained once. Interval and tests hold for that training, and not for "
            "another one of the same settings, which may come out otherwise: `seed: [1, 2, 3]` in "
            "the configuration puts training in."
        )
    lines += [
        f"{row['experiment']} was searched by an index, which found {row[INDEX_RECALL]:.1%} of the "
        "exact first answers."
        for row in rows
        if row.get(INDEX_RECALL) is not None
    ]
    return lines


def _rows(path: PathLike) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
