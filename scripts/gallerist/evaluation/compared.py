"""What is compared, and its tables: an experiment is one, from however many seeds."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.evaluation.comparison import (
    Row,
    hit_rates,
    metric_table,
    summarise_seeds,
    table_rows,
    write_seeds,
    write_table,
)
from gallerist.evaluation.curves import Curve
from gallerist.evaluation.scores import Scores, mean_over_seeds
from gallerist.evaluation.significance import (
    Difference,
    better_than,
    find_differences,
    write_differences,
)
from gallerist.evaluation.wrong_labels import WrongLabels, fewest_wrong_labels
from gallerist.io.files import PathLike
from gallerist.records.record import Record


@dataclass(frozen=True)
class Evaluated:
    """One experiment of the configuration: values by query, metrics.json, its row's record."""

    scores: Scores
    metrics: Mapping[str, Any]
    record: Record


@dataclass(frozen=True)
class Compared:
    """One line of the comparison.

    members: the experiments that it is the mean of, one a seed; itself, where there is one. scores:
    its values by query. metrics: as an evaluation writes metrics.json; of several, with the number
    of `seeds`. record: of its row; costs are means over the members. of_seeds: the metrics of each
    seed, where there are several.
    """

    name: str
    members: tuple[str, ...]
    scores: Scores
    metrics: Mapping[str, Any]
    record: Record
    of_seeds: tuple[Mapping[str, Any], ...] = ()

    @property
    def trained_once(self) -> bool:
        """Whether it was trained, and from one seed, so that its intervals leave training out."""
        return len(self.members) == 1 and self.record.metrics["epochs_run"] > 0

    def curves(
        self, of_each: Mapping[str, Mapping[str, Curve]], confidence: float
    ) -> dict[str, Curve]:
        """Kind -> its curve, the mean of its members' where all have it.

        of_each: experiment -> kind -> curve.
        """
        first, *others = (of_each[name] for name in self.members)
        kinds = [kind for kind in first if all(kind in each for each in others)]
        return {
            kind: mean_curve([each[kind] for each in (first, *others)], confidence)
            for kind in kinds
        }


@dataclass(frozen=True)
class Comparison:
    """A whole comparison. rows: of its table. seeds: those of the one over seeds.

    wrong_labels: how many change the best; None where the metric that decides is not known of all.
    """

    lines: Sequence[Compared]
    differences: Sequence[Difference]
    rows: Sequence[Row]
    seeds: Sequence[Row]
    wrong_labels: WrongLabels | None

    @property
    def metrics(self) -> list[Mapping[str, Any]]:
        """Of every line."""
        return [line.metrics for line in self.lines]

    def write(
        self, *, table: PathLike, metrics: PathLike, differences: PathLike, seeds: PathLike
    ) -> None:
        """Write the four tables as CSV. In that of the metrics, seeds come after their mean."""
        write_table(table, self.rows)
        every = [each for line in self.lines for each in (line.metrics, *line.of_seeds)]
        write_table(metrics, metric_table(every))
        write_differences(differences, self.differences)
        write_seeds(seeds, self.seeds, hit_rates(self.rows[0]))


def compare(
    found: Mapping[str, Evaluated],
    groups: Mapping[str, Sequence[str]],
    decided_by: str,
    settings: IntervalSettings,
) -> Comparison:
    """Compare experiments that were evaluated on the same queries.

    groups: name -> experiments that differ in their seed only, as `sweeps.groups` finds them; an
    experiment in none is a line of its own. decided_by: the metric by which one is called better.
    settings: of the intervals. Raises KeyError for a group of experiments that there are not.
    """
    lines = compared(found, groups, settings)
    once = {line.name for line in lines if line.trained_once}
    differences = find_differences({line.name: line.scores for line in lines}, settings, once)
    surpassed = better_than(differences, decided_by)
    metrics, records = [line.metrics for line in lines], [line.record for line in lines]
    rows = table_rows(records, metrics, decided_by, surpassed)
    alone = table_rows(
        [each.record for each in found.values()],
        [each.metrics for each in found.values()],
        decided_by,
        {},
    )
    seeds = summarise_seeds(alone, groups, decided_by)
    values = {line.name: line.scores.values.get(decided_by) for line in lines}
    known = {name: column for name, column in values.items() if column is not None}
    originals = lines[0].scores.originals
    wrong = fewest_wrong_labels(known, originals) if len(known) == len(lines) else None
    return Comparison(lines, differences, rows, seeds, wrong)


def compared(
    found: Mapping[str, Evaluated],
    groups: Mapping[str, Sequence[str]],
    settings: IntervalSettings,
) -> list[Compared]:
    """The lines of a comparison, in the order of their first members; see `compare`."""
    names = {member: (name, members) for name, members in groups.items() for member in members}
    lines: dict[str, Compared] = {}
    for experiment in found:
        name, members = names.get(experiment, (experiment, [experiment]))
        if name not in lines:
            lines[name] = _line(name, {each: found[each] for each in members}, settings)
    return list(lines.values())


def _line(name: str, members: Mapping[str, Evaluated], settings: IntervalSettings) -> Compared:
    first, *others = members.values()
    if not others:
        return Compared(name, tuple(members), first.scores, first.metrics, first.record)
    mean = mean_over_seeds([each.scores for each in members.values()])
    of_one = ("folds", "over_folds")
    shared = {key: value for key, value in first.metrics.items() if key not in of_one}
    head = {**shared, "experiment": name, "seeds": len(members)}
    return Compared(
        name,
        tuple(members),
        mean,
        head | mean.as_json(settings),
        _mean_record(name, [each.record for each in members.values()]),
        tuple(each.metrics for each in members.values()),
    )


def groups_of(record: Record) -> dict[str, list[str]]:
    """Name -> experiments that differ in their seed only, by the record of a comparison."""
    start = "groups."
    return {
        name.removeprefix(start): json.loads(str(text))
        for name, text in record.parameters.items()
        if name.startswith(start)
    }


def _mean_record(name: str, records: Sequence[Record]) -> Record:
    """The record of several trainings: means of what all measured."""
    first, *others = records
    known = [each for each in first.metrics if all(each in other.metrics for other in others)]
    means = {each: math.fsum(r.metrics[each] for r in records) / len(records) for each in known}
    started = ", ".join(dict.fromkeys(each.tags["weights"] for each in records))
    shared = {
        each: value
        for each, value in first.parameters.items()
        if all(other.parameters.get(each) == value for other in others)
    }
    tags = {"weights": started}  # no other tag of one is one of all
    return replace(first, experiment=name, title=name, parameters=shared, metrics=means, tags=tags)


def mean_curve(curves: Sequence[Curve], confidence: float) -> Curve:
    """The mean of the curves of several trainings, at the places that all have.

    Its band joins the means of theirs with the interval by seeds, as `seeds.widened` does. The
    chance of a query with a seed is in both parts: the band is rather too wide.
    """
    first, *others = curves
    if not others:
        return first
    from scipy.special import stdtrit

    at = first.at[np.all([np.isin(first.at, each.at) for each in others], axis=0)]
    means, lows, highs = (
        np.stack([getattr(each, name)[np.isin(each.at, at)] for each in curves])
        for name in ("means", "lows", "highs")
    )
    spread = means.std(axis=0, ddof=1) / math.sqrt(len(curves))
    seeds = spread * stdtrit(len(curves) - 1, (1 + confidence) / 2)
    mean = means.mean(axis=0)
    below = np.hypot((means - lows).mean(axis=0), seeds)
    above = np.hypot((highs - means).mean(axis=0), seeds)
    return Curve(at, mean, np.maximum(mean - below, 0), np.minimum(mean + above, 1))
