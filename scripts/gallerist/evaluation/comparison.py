"""All experiments in one table: what they reach, what they cost, what they started from.

Experiments that differ in nothing but their seed are summed up in a second one. `comparison_page`
shows both to a reader.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from gallerist.io.files import PathLike, replacing
from gallerist.io.metric_names import k_of, top
from gallerist.records.record import Record

SURPASSED = "really better than"


@dataclass(frozen=True)
class Decision:
    """How sure one experiment's deciding metric is, and whom it surpasses by it.

    metric: such as top-1. low, high: ends of its interval; None where there is none.
    better_than: experiments that it really surpasses: see `significance`.
    """

    metric: str
    low: float | None
    high: float | None
    better_than: tuple[str, ...]

    def cells(self) -> dict[str, str]:
        """Column name -> text."""
        known = self.low is not None and self.high is not None
        return {
            f"{self.metric} interval": f"{self.low:.4f} to {self.high:.4f}" if known else "",
            SURPASSED: " ".join(self.better_than),
        }


@dataclass(frozen=True)
class Row:
    """One experiment's line of the comparison.

    hit_rates: k -> hit rate at k. training_seconds: all epochs, validation included.
    trunk_seconds: what the frozen layers took, once, for the pictures trained on.
    images_per_second: of extraction, gallery and query together. weights: what it started from.
    further: other metrics by name, None where not known. decision: what the experiments are told
    apart by, if they are.
    """

    experiment: str
    hit_rates: Mapping[int, float]
    queries: int
    excluded: int
    training_seconds: float
    trunk_seconds: float
    epochs: int
    images_per_second: float
    parameters: int
    parameters_trained: int
    feature_length: int
    weights: str
    further: Mapping[str, float | None] = field(default_factory=dict)
    decision: Decision | None = None

    def cells(self) -> dict[str, Any]:
        """Column name -> value, in the order of the table."""
        return {
            "experiment": self.experiment,
            **{top(k): rate for k, rate in sorted(self.hit_rates.items())},
            **self.further,
            **(self.decision.cells() if self.decision else {}),
            "weights": self.weights,
            "epochs": self.epochs,
            "training s": self.training_seconds,
            "frozen layers s": self.trunk_seconds,
            "extraction images/s": self.images_per_second,
            "parameters": self.parameters,
            "trained": self.parameters_trained,
            "feature length": self.feature_length,
            "queries": self.queries,
            "excluded": self.excluded,
        }


UNKNOWN: Mapping[str, float | None] = {"mean": None, "low": None, "high": None}
"""A metric that a ranking is not deep enough for."""


def table_row(
    row: Record,
    measured: Mapping[str, Mapping[str, float | None]],
    decided_by: str,
    better_than: Sequence[str],
) -> Row:
    """The line of the comparison table for a row's record.

    measured: metric -> its mean and the ends of its interval, as `Scores.as_json` gives them.
    """
    metrics = row.metrics
    means = {name: figures["mean"] for name, figures in measured.items()}
    rates = {k: mean for name, mean in means.items() if (k := k_of(name)) is not None}
    deciding = measured.get(decided_by, UNKNOWN)
    return Row(
        experiment=str(row.experiment),
        hit_rates={k: rate for k, rate in rates.items() if rate is not None},
        further={name: mean for name, mean in means.items() if k_of(name) is None},
        decision=Decision(decided_by, deciding["low"], deciding["high"], tuple(better_than)),
        queries=int(metrics["queries"]),
        excluded=int(metrics["queries_excluded"]),
        training_seconds=metrics["training_seconds"],
        trunk_seconds=metrics["trunk_seconds"],
        epochs=int(metrics["epochs_run"]),
        images_per_second=metrics["extraction_images_per_second"],
        parameters=int(metrics["parameters"]),
        parameters_trained=int(metrics["parameters_trained"]),
        feature_length=int(metrics["feature_length"]),
        weights=str(row.tags["weights"]),
    )


def table_rows(
    records: Sequence[Record],
    metrics: Sequence[Mapping[str, Any]],
    decided_by: str,
    surpassed: Mapping[str, Sequence[str]],
) -> list[Row]:
    """The lines of the comparison, in order.

    records: of each experiment's row. metrics: what each evaluation wrote as metrics.json.
    surpassed: experiment -> those that it is better than.
    """
    names = dict.fromkeys(name for each in metrics for name in each["metrics"])
    return [
        table_row(
            record,
            {name: each["metrics"].get(name, UNKNOWN) for name in names},
            decided_by,
            surpassed.get(each["experiment"], ()),
        )
        for record, each in zip(records, metrics, strict=True)
    ]


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """The comparison, in the order of the configuration.

    A metric that only some experiments' rankings are deep enough for is missing in the others.
    """
    cells = [row.cells() for row in rows]
    return pd.DataFrame(cells, columns=columns(cells))


def write_table(path: PathLike, frame: pd.DataFrame) -> None:
    """Write a table as CSV, whole or not at all."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False)


def columns(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns of all lines, each behind the one that it follows in its own line."""
    columns: list[str] = []
    for line in cells:
        place = 0
        for name in line:
            if name in columns:
                place = columns.index(name) + 1
            else:
                columns.insert(place, name)
                place += 1
    return columns


def metric_table(metrics: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Every metric of every experiment with its intervals, a line each.

    metrics: what each evaluation wrote as metrics.json. The macro mean is over the classes.
    """
    return pd.DataFrame(
        [
            {"experiment": each["experiment"], "metric": name, **figures}
            for each in metrics
            for name, figures in each["metrics"].items()
        ]
    )


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


@dataclass(frozen=True)
class Spread:
    """Some numbers summed up: mean, sample standard deviation (n - 1), smallest, largest."""

    mean: float
    deviation: float
    least: float
    most: float


def spread(numbers: Sequence[float]) -> Spread:
    """Sum up two numbers or more. NaN among them makes all four NaN."""
    if len(numbers) < 2:
        raise ValueError("a standard deviation needs two numbers at least")
    values = np.asarray(numbers, dtype=float)
    return Spread(
        float(values.mean()), float(values.std(ddof=1)), float(values.min()), float(values.max())
    )


@dataclass(frozen=True)
class SeedRow:
    """One line of the table over seeds: experiments with the same settings and different seeds.

    settings: what they are called together. hit_rates: k -> its spread.
    """

    settings: str
    experiments: tuple[str, ...]
    hit_rates: Mapping[int, Spread]
    training_seconds: Spread

    def cells(self) -> dict[str, Any]:
        """Column name -> value, in the order of the table."""
        return {
            "settings": self.settings,
            "seeds": len(self.experiments),
            **{top(k): each for k, each in sorted(self.hit_rates.items())},
            "training s": self.training_seconds,
        }


def summarise_seeds(rows: Sequence[Row], groups: Mapping[str, Sequence[str]]) -> list[SeedRow]:
    """Sum up each group of two experiments or more, in the order of their first rows.

    groups: name -> experiments, as `sweeps.groups` finds them.
    """
    by_name = {row.experiment: row for row in rows}
    places = {name: place for place, name in enumerate(by_name)}
    return [
        SeedRow(
            settings=group,
            experiments=tuple(names),
            hit_rates={
                k: spread([by_name[name].hit_rates[k] for name in names])
                for k in by_name[names[0]].hit_rates
                if all(k in by_name[name].hit_rates for name in names)
            },
            training_seconds=spread([by_name[name].training_seconds for name in names]),
        )
        for group, names in sorted(groups.items(), key=lambda each: places[each[1][0]])
        if len(names) > 1
    ]


def named_hit_rates(rows: Sequence[Row], seeds: Sequence[SeedRow]) -> dict[str, float]:
    """All hit rates under names that MLflow takes: of each experiment, and over seeds."""
    named = {f"{row.experiment}/{top(k)}": r for row in rows for k, r in row.hit_rates.items()}
    for row in seeds:
        for k, rate in row.hit_rates.items():
            named[f"{row.settings} over seeds/{top(k)} mean"] = rate.mean
            named[f"{row.settings} over seeds/{top(k)} sd"] = rate.deviation
    return named


def seed_table(rows: Sequence[SeedRow], ks: Iterable[int]) -> pd.DataFrame:
    """The table over seeds, a column a number. ks: of the hit rates, for the columns of no rows."""
    measured = [*(top(k) for k in sorted(ks)), "training s"]
    parts = {"mean": "mean", "sd": "deviation", "min": "least", "max": "most"}
    return pd.DataFrame(
        [
            {
                "settings": row.settings,
                "seeds": len(row.experiments),
                **{
                    f"{name} {part}": getattr(row.cells().get(name), attribute, np.nan)
                    for name in measured
                    for part, attribute in parts.items()
                },
                "experiments": " ".join(row.experiments),
            }
            for row in rows
        ],
        columns=[
            "settings",
            "seeds",
            *(f"{name} {part}" for name in measured for part in parts),
            "experiments",
        ],
    )
