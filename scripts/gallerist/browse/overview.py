"""What a data set's experiments reach, how sure that is, and which is best."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gallerist.browse.data_sets import DOUBTS, DataSet, NotThere
from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.evaluation.compared import Compared, Evaluated, compared
from gallerist.evaluation.comparison import OVER, table_rows
from gallerist.evaluation.comparison_page import find_caveats
from gallerist.evaluation.curves import Curve, read_curves
from gallerist.evaluation.scores import Scores
from gallerist.evaluation.tables import read_queries
from gallerist.evaluation.wrong_labels import WrongLabels

if TYPE_CHECKING:
    from gallerist.workflow.experiments import Experiment

_NUMBERS = ("difference", "low", "high", "p", "p_adjusted")
_COUNTS = ("first_ahead", "second_ahead")

_COSTS = (
    *("weights", "epochs", "training s", "frozen layers s", "extraction images/s"),
    *("parameters", "trained", "feature length"),
)
"""Columns of the comparison that say what an experiment costs."""

FIGURES = {
    "classes.png": "Hit rate by class",
    "confusion.png": "Class of the first answer, by class of the query",
    "map.png": "Gallery and queries in one plane",
    "similarity.png": "Which regions made query and answer match",
    "risk_coverage.png": "How many answers are wrong when how many queries are answered",
    "training_curves.png": "Accuracy and loss of the training",
    "worst.png": "The queries it answers worst",
    "best.png": "The queries it answers best",
}

BY_CLASS = ("classes.png", "confusion.png")
"""Pictures of an evaluation that are shown, and what they are called."""


def overview(data: DataSet) -> dict[str, Any]:
    """All that the first page shows, in plain values."""
    decided_by = str(data.comparison.parameters["decided_by"])
    found = differences(data)
    lines = [_line(data, name, members) for name, members in data.lines.items()]
    metrics = [line.metrics for line in lines]
    surpassed = better_than(found, decided_by)
    rows = table_rows([line.record for line in lines], metrics, decided_by, surpassed)
    return {
        "name": data.name,
        "decided_by": decided_by,
        "confidence": data.comparison.parameters["confidence"],
        "finished": data.comparison.finished,
        "queries": metrics[0]["queries"],
        "excluded": metrics[0]["queries_excluded"],
        "gallery": metrics[0]["gallery_images"],
        "experiments": [
            {
                "name": name,
                **_nature(data.experiment(name)),
                "metrics": data.metrics[name]["metrics"],
            }
            for name in data.experiments
        ],
        "lines": [
            {
                "name": line.name,
                "members": line.members,
                "metrics": line.metrics["metrics"],
                "costs": {cost: row[cost] for cost in _COSTS},
                "over": row[OVER],
            }
            for line, row in zip(lines, rows, strict=True)
        ],
        "differences": found,
        "verdict": verdict({line.name: line.metrics for line in lines}, found, decided_by),
        "wrong_labels": _wrong_labels(data, decided_by),
        "curves": _curves(data, lines),
        "caveats": _caveats(data, rows, metrics),
    }


def _line(data: DataSet, name: str, members: Sequence[str]) -> Compared:
    """A line of the comparison; the values by query are read only where several are joined."""
    if len(members) == 1:
        unread = Scores((), (), (), {}, {})
        return Compared(
            name, (*members,), unread, data.metrics[members[0]], data.records[members[0]]
        )
    asked = data.comparison.parameters
    settings = IntervalSettings(
        int(str(asked["seed"])),
        int(str(asked["bootstrap_rounds"])),
        float(str(asked["confidence"])),
    )
    found = {
        member: Evaluated(
            read_queries(data.results.path(f"evaluation/{member}/queries.csv")),
            data.metrics[member],
            data.records[member],
        )
        for member in members
    }
    (line,) = compared(found, {name: members}, settings)
    return line


def _wrong_labels(data: DataSet, decided_by: str) -> str:
    """How many change the best, in a sentence; nothing where the comparison does not say so."""
    tags = data.comparison.tags
    if "wrong_labels" not in tags:
        return ""
    found = WrongLabels(tags["best"], tags["rival"], int(tags["wrong_labels"]))
    return found.sentence(decided_by)


def _nature(made: "Experiment | None") -> dict[str, Any]:
    """What can be done with an experiment. refusal: why no picture can be searched with it."""
    if made is None:
        return {"kind": None, "refusal": "its configuration was not kept", "members": []}
    return {"kind": made.kind, "refusal": made.refusal, "members": made.members}


def differences(data: DataSet) -> list[dict[str, Any]]:
    """The rows of comparison/differences.csv: every pair of experiments by every metric."""
    path = data.results.path("comparison/differences.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {
                **{name: row[name] for name in ("metric", "first", "second")},
                **{name: float(row[name]) if row[name] else None for name in _NUMBERS},
                **{name: int(row[name]) for name in _COUNTS},
                "different": row["different"] == "yes",
                "trained_once": (row.get("training_left_out") or "").split(),
            }
            for row in csv.DictReader(file)
        ]


def better_than(found: Sequence[Mapping[str, Any]], metric: str) -> dict[str, list[str]]:
    """Experiment -> those that it really surpasses, as `significance.better_than`, of rows."""
    surpassed: dict[str, list[str]] = {}
    for row in found:
        if row["metric"] == metric and row["different"]:
            names = row["first"], row["second"]
            better, worse = names if row["difference"] > 0 else names[::-1]
            surpassed.setdefault(better, []).append(worse)
    return surpassed


def verdict(
    metrics: Mapping[str, Mapping[str, Any]], found: Sequence[Mapping[str, Any]], decided_by: str
) -> dict[str, Any]:
    """The experiment with the highest mean, those that it surpasses, and those it may not.

    The first in the configuration, of equal ones, as in the registry. unsure: the rows of the
    differences to experiments from which it cannot be told apart, nearest first.
    """
    means = {
        name: each["metrics"][decided_by]["mean"]
        for name, each in metrics.items()
        if decided_by in each["metrics"]
    }
    if not means:
        return {"best": None, "surpasses": [], "unsure": []}
    best = max(means, key=means.__getitem__)
    unsure = [
        row
        for row in found
        if row["metric"] == decided_by
        and best in (row["first"], row["second"])
        and not row["different"]
    ]
    unsure.sort(key=lambda row: abs(row["difference"]))
    return {
        "best": best,
        "surpasses": better_than(found, decided_by).get(best, []),
        "unsure": unsure,
    }


def _curves(
    data: DataSet, lines: Sequence[Compared]
) -> dict[str, dict[str, list[list[float | None]]]]:
    """Curve -> line of the comparison -> [at, mean, low, high] of each place."""
    paths = {name: data.there(f"evaluation/{name}/curves.csv") for name in data.experiments}
    of_each = {name: read_curves(path) if path else {} for name, path in paths.items()}
    confidence = float(str(data.comparison.parameters["confidence"]))
    found: dict[str, dict[str, list[list[float | None]]]] = {}
    for line in lines:
        for kind, curve in line.curves(of_each, confidence).items():
            found.setdefault(kind, {})[line.name] = _points(curve)
    return found


def _points(curve: Curve) -> list[list[float | None]]:
    columns = zip(curve.at, curve.means, curve.lows, curve.highs, strict=True)
    return [[None if x != x else round(float(x), 5) for x in row] for row in columns]


def _caveats(
    data: DataSet, rows: Sequence[Mapping[str, Any]], metrics: Sequence[Mapping[str, Any]]
) -> list[str]:
    faults = sorted((data.folder / "reports/faults").glob("*.csv"))
    parts = [
        data.results.path(f"reports/faults/{path.name}")
        for path in faults
        if not path.stem.startswith("challenge_")
    ]
    leaks, doubts = data.there("reports/leaks.csv"), data.there(DOUBTS)
    if leaks is None or doubts is None:
        return []
    return find_caveats(rows, metrics, faults=parts, leaks=leaks, doubts=doubts)


def experiment_page(data: DataSet, name: str) -> dict[str, Any]:
    """What one experiment is made of: its settings, its classes, its figures."""
    record, threshold = data.records[data.require(name)], data.threshold(name)
    folder = data.results.path(f"evaluation/{name}")
    by_class, by_domain = _by_class(data, name), "domains" in data.metrics[name]
    return {
        "name": name,
        "settings": data.settings.get(name) or {},
        "parameters": dict(record.parameters),
        "commit": record.git_commit,
        "dirty": record.git_dirty,
        "finished": record.finished,
        "classes": _table(data, f"evaluation/{name}/classes.csv" if by_class else None),
        "domains": _table(data, f"evaluation/{name}/domains.csv" if by_domain else None),
        "figures": [
            {"file": file, "title": title}
            for file, title in FIGURES.items()
            if (folder / file).is_file() and (file not in BY_CLASS or by_class)
        ],
        "unknown": data.metrics[name]["unknown"],
        "threshold": threshold and str(threshold),
    }


def _table(data: DataSet, name: str | None) -> dict[str, list[Any]]:
    """A table of the results; without columns where there is none."""
    path = name and data.there(name)
    rows: list[list[str]] = [[]]
    if path:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [*csv.reader(file)]
    return {"columns": rows[0], "rows": rows[1:]}


def _by_class(data: DataSet, experiment: str) -> bool:
    """Whether an experiment was evaluated by class, too: pictures may have none."""
    return any("macro_mean" in each for each in data.metrics[experiment]["metrics"].values())


def figure(data: DataSet, experiment: str, file: str) -> Path:
    """Where one of the FIGURES of an experiment is. Raises NotThere for any other file."""
    if file not in FIGURES:
        raise NotThere(f"{file} is no figure")
    return data.results.path(f"evaluation/{data.require(experiment)}/{file}")
