"""All experiments in one table: what they reach, what they cost, what they started from.

Experiments that differ in nothing but their seed are one line of it (`compared`), and each of them
stands in a second one. `comparison_page` shows both to a reader.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gallerist.io.files import PathLike, write_csv
from gallerist.io.metric_names import accuracies, k_of, top
from gallerist.records.record import Record

EACH = "each"
"""Column of the second table: the deciding metric of every seed."""

INDEX_RECALL = "index recall"
SURPASSED = "really better than"
OVER = "interval over"
NOT_TRAINING = "queries, not training"
"""What the interval of a training from one seed is drawn over."""

Row = Mapping[str, Any]
"""A line of a table: column -> value, None where it is not known. All have the same columns."""


def table_rows(
    records: Sequence[Record],
    metrics: Sequence[Mapping[str, Any]],
    decided_by: str,
    surpassed: Mapping[str, Sequence[str]],
) -> list[Row]:
    """The lines of the comparison, in order.

    records: of each experiment's row. metrics: what each evaluation wrote as metrics.json; of
    several, with the number of `seeds`. A metric that only some experiments' rankings are deep
    enough for is None in the others. decided_by: the metric whose interval is shown.
    surpassed: experiment -> those that it is better than by it.

    Costs: training s is of all epochs, validation included; frozen layers s what these took, once,
    for the pictures trained on; extraction images/s of gallery and query together. Index recall:
    the share of the exact first answers that an index finds; no column where none searches.
    """
    names = dict.fromkeys(name for each in metrics for name in each["metrics"])
    ordered = [*_hit_rates(names), *(name for name in names if k_of(name) is None)]
    rows: list[Row] = []
    for record, each in zip(records, metrics, strict=True):
        measured, costs = each["metrics"], record.metrics
        low, high = (measured.get(decided_by, {}).get(end) for end in ("low", "high"))
        interval = "" if low is None or high is None else f"{low:.4f} to {high:.4f}"
        rows.append(
            {
                "experiment": each["experiment"],
                **{name: measured.get(name, {}).get("mean") for name in ordered},
                f"{decided_by} interval": interval,
                OVER: _drawn_over(each.get("seeds", 1), costs["epochs_run"]),
                SURPASSED: " ".join(surpassed.get(each["experiment"], ())),
                "weights": record.tags["weights"],
                "epochs": round(costs["epochs_run"]),
                "training s": costs["training_seconds"],
                "frozen layers s": costs["trunk_seconds"],
                "extraction images/s": costs["extraction_images_per_second"],
                "parameters": int(costs["parameters"]),
                "trained": int(costs["parameters_trained"]),
                "feature length": int(costs["feature_length"]),
                INDEX_RECALL: costs.get("index_recall"),
                "queries": int(costs["queries"]),
                "excluded": int(costs["queries_excluded"]),
            }
        )
    if all(row[INDEX_RECALL] is None for row in rows):
        rows = [{name: row[name] for name in row if name != INDEX_RECALL} for row in rows]
    return rows


def _drawn_over(seeds: int, epochs: float) -> str:
    if seeds > 1:
        return f"queries and {seeds} seeds"
    return NOT_TRAINING if epochs else "queries"


def hit_rates(row: Row) -> dict[int, Any]:
    """K -> the hit rate at k, or its spread, where it is known."""
    return {int(name[4:]): row[name] for name in _hit_rates(row) if row[name] is not None}


def _hit_rates(names: Iterable[str]) -> list[str]:
    return [name for name in accuracies(names) if k_of(name) is not None]


def write_table(path: PathLike, rows: Sequence[Row]) -> None:
    """Write a table as CSV, whole or not at all; what is not known is empty."""
    write_csv(path, rows[0], (row.values() for row in rows))


def metric_table(metrics: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Every metric of every experiment with its intervals, a line each.

    metrics: what each evaluation wrote as metrics.json. The macro mean is over the classes.
    """
    return [
        {"experiment": each["experiment"], "metric": name, **figures}
        for each in metrics
        for name, figures in each["metrics"].items()
    ]


def intervals(metrics: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, tuple[float, float]]]:
    """Experiment -> k -> ends of the hit rate's interval; only experiments that have them."""
    found = {
        each["experiment"]: {
            k: (figures["low"], figures["high"])
            for name, figures in each["metrics"].items()
            if (k := k_of(name)) is not None and figures["low"] is not None
        }
        for each in metrics
    }
    return {name: ends for name, ends in found.items() if ends}


class Spread(NamedTuple):
    """Some numbers summed up: mean, sample standard deviation (n - 1), smallest, largest."""

    mean: float
    sd: float
    min: float
    max: float


def spread(numbers: Sequence[float]) -> Spread:
    """Sum up two numbers or more. NaN among them makes all four NaN."""
    values = np.asarray(numbers, dtype=float)
    found = values.mean(), values.std(ddof=1), values.min(), values.max()
    return Spread(*map(float, found))


def summarise_seeds(
    rows: Sequence[Row], groups: Mapping[str, Sequence[str]], decided_by: str
) -> list[Row]:
    """Sum up each group of two experiments or more, in the order of their first rows.

    rows: one of every experiment. groups: name -> experiments, as `sweeps.groups` finds them. Hit
    rates and training seconds become their `Spread`; None where one of the group has none. Each
    one's mean of the deciding metric is there too.
    """
    by_name = {row["experiment"]: row for row in rows}
    places = {name: place for place, name in enumerate(by_name)}
    seeds: list[Row] = []
    for group, names in sorted(groups.items(), key=lambda each: places[each[1][0]]):
        numbers = {
            column: [by_name[name][column] for name in names]
            for column in (*_hit_rates(rows[0]), "training s")
        }
        if len(names) > 1:
            spreads = {
                column: None if None in each else spread(each) for column, each in numbers.items()
            }
            each = (by_name[name].get(decided_by) for name in names)
            shown = ("" if mean is None else f"{mean:.4f}" for mean in each)
            seeds.append(
                {
                    **{"settings": group, "seeds": len(names), EACH: " ".join(shown)},
                    **spreads,
                    "experiments": " ".join(names),
                }
            )
    return seeds


def named_hit_rates(rows: Sequence[Row], seeds: Sequence[Row]) -> dict[str, float]:
    """All hit rates under names that MLflow takes: of each experiment, and over seeds."""
    named = {f"{row['experiment']}/{top(k)}": r for row in rows for k, r in hit_rates(row).items()}
    for row in seeds:
        for k, rate in hit_rates(row).items():
            named[f"{row['settings']} over seeds/{top(k)} mean"] = rate.mean
            named[f"{row['settings']} over seeds/{top(k)} sd"] = rate.sd
    return named


def write_seeds(path: PathLike, seeds: Sequence[Row], ks: Iterable[int]) -> None:
    """Write the table over seeds as CSV, a column a number. ks: of the hit rates."""
    measured = [*(top(k) for k in sorted(ks)), "training s"]
    columns = (f"{name} {part}" for name in measured for part in Spread._fields)
    rows = (
        (
            *(row["settings"], row["seeds"], row[EACH]),
            *(number for name in measured for number in row[name] or ("",) * 4),
            row["experiments"],
        )
        for row in seeds
    )
    write_csv(path, ("settings", "seeds", EACH, *columns, "experiments"), rows)
