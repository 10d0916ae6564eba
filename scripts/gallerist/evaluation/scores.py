"""Every metric of one ranking, query by query, and how sure their means are."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from gallerist.data.manifest import Manifest
from gallerist.evaluation.bootstrap import (
    Estimate,
    IntervalSettings,
    macro_mean_intervals,
    mean_intervals,
)
from gallerist.evaluation.metrics import macro_mean, metric, overall_mean
from gallerist.evaluation.relevant_ranks import RelevantRanks, TruncatedRanking
from gallerist.evaluation.seeds import SeedVariance, of_seeds, widened
from gallerist.io.arrays import Floats, Indices
from gallerist.io.errors import UserError
from gallerist.io.metric_names import k_of

logger = logging.getLogger("gallerist")


class OtherQueries(UserError):
    """Experiments that were not evaluated on the same queries."""


@dataclass(frozen=True)
class Scores:
    """What a ranking reaches for each query that has a relevant picture.

    queries, labels, originals: id, class and original picture of each of those queries.
    values: metric -> (queries,) float64 in [0, 1].
    unknown: metric -> why it cannot be known from this ranking.
    seeds: the scores of each training, where the values are means over several; else empty.
    domains: of each of those queries; empty where none is known.
    """

    queries: tuple[str, ...]
    labels: tuple[str, ...]
    originals: tuple[str, ...]
    values: Mapping[str, Floats]
    unknown: Mapping[str, str]
    seeds: tuple["Scores", ...] = ()
    domains: tuple[str, ...] = ()

    def overall(self, settings: IntervalSettings) -> dict[str, Estimate]:
        """Mean over the queries of each metric, with its interval by originals, and by seeds.

        There is none where all queries are of one original.
        """
        if len(set(self.originals)) < 2:
            return {name: Estimate(overall_mean(column)) for name, column in self.values.items()}
        found = mean_intervals(self.values, self.originals, settings)
        return self._widened(found, self.seed_variances(), settings)

    def seed_variances(self) -> dict[str, SeedVariance]:
        """Metric -> what the seeds contribute to the variance of its mean; empty without seeds."""
        enough = len(self.seeds) > 1 and len(set(self.originals)) > 1
        return of_seeds([each.values for each in self.seeds], self.originals) if enough else {}

    @staticmethod
    def _widened(
        found: dict[str, Estimate],
        variances: Mapping[str, SeedVariance],
        settings: IntervalSettings,
    ) -> dict[str, Estimate]:
        return found | {
            name: widened(found[name], [each], settings.confidence)
            for name, each in variances.items()
        }

    def macro(self, settings: IntervalSettings) -> dict[str, Estimate]:
        """Mean over the classes of each class's mean, so that every class weighs the same.

        There is no interval where a class has a single original.
        """
        of_class = Counter(label for label, _ in set(zip(self.labels, self.originals, strict=True)))
        if min(of_class.values(), default=0) < 2:
            means = {name: macro_mean(column, self.labels) for name, column in self.values.items()}
            return {name: Estimate(mean) for name, mean in means.items()}
        found = macro_mean_intervals(self.values, self.originals, self.labels, settings)
        values = [each.values for each in self.seeds]
        variances = of_seeds(values, self.originals, self.labels) if values else {}
        return self._widened(found, variances, settings)

    def of_classes(self) -> Iterator[tuple[str, "Scores"]]:
        """The queries of each class, by class name in order."""
        return self._divided(self.labels)

    def of_domains(self) -> Iterator[tuple[str, "Scores"]]:
        """The queries of each domain, by its name in order."""
        return self._divided(self.domains)

    def _divided(self, names: Sequence[str]) -> Iterator[tuple[str, "Scores"]]:
        of_query = np.asarray(names)
        for name in sorted(set(names)):
            yield name, self.of(np.flatnonzero(of_query == name))

    def of(self, rows: Indices) -> "Scores":
        """Those queries only, by position."""
        return Scores(
            tuple(self.queries[row] for row in rows),
            tuple(self.labels[row] for row in rows),
            tuple(self.originals[row] for row in rows),
            {name: column[rows] for name, column in self.values.items()},
            self.unknown,
            tuple(each.of(rows) for each in self.seeds),
            tuple(self.domains[row] for row in rows) if self.domains else (),
        )

    def counts(self, *, excluded: Sized, gallery: Sized | None) -> dict[str, Any]:
        """How many there are. excluded: queries. gallery: pictures, None where that is unknown."""
        return {
            "queries": len(self.queries),
            "queries_excluded": len(excluded),
            "originals": len(set(self.originals)),
            "gallery_images": None if gallery is None else len(gallery),
        }

    def as_json(self, settings: IntervalSettings, *, by_class: bool = True) -> dict[str, Any]:
        """What a reader wants of it: every metric's means, and what is unknown.

        {"metrics": name -> {mean, low, high, macro_mean, macro_low, macro_high}, "unknown": ...};
        the macro mean is over the classes of each class's mean, and left out without `by_class`. An
        end is null without interval. Where domains are known, {"domains": name -> queries}, too.
        """
        metrics = {name: asdict(each) for name, each in self.overall(settings).items()}
        for name, each in self.macro(settings).items() if by_class else ():
            metrics[name] |= {f"macro_{k}": v for k, v in asdict(each).items()}
        found: dict[str, Any] = {"metrics": metrics, "unknown": dict(self.unknown)}
        if self.domains:
            found["domains"] = dict(sorted(Counter(self.domains).items()))
        return found


def mean_over_seeds(seeds: Sequence[Scores]) -> Scores:
    """Several trainings of one experiment as one: each query's mean, by the metrics that all have.

    One alone comes back as it is. Raises OtherQueries when they are not of the same queries in the
    same order.
    """
    first, *others = seeds
    if not others:
        return first
    if any(each.queries != first.queries for each in others):
        raise OtherQueries("the trainings of one experiment were not evaluated on the same queries")
    known = [name for name in first.values if all(name in each.values for each in others)]
    kept = tuple(
        replace(each, values={name: each.values[name] for name in known}) for each in seeds
    )
    means = {
        name: np.asarray(np.mean([each.values[name] for each in kept], axis=0), dtype=np.float64)
        for name in known
    }
    unknown = {name: reason for each in seeds for name, reason in each.unknown.items()}
    return replace(first, values=means, unknown=unknown, seeds=kept)


def full_name(name: str) -> str:
    """The metric's name in `metrics`: "top-5", the published word, is the hit rate at 5."""
    k = k_of(name)
    return name if k is None else f"hit rate@{k}"


def score(
    ranks: RelevantRanks,
    queries: Manifest,
    ids: Sequence[str],
    names: Iterable[str],
    domains: Mapping[str, str] | None = None,
) -> Scores:
    """Compute each metric for the queries of those ids, whose ranks these are, in their order.

    names: of metrics, such as "mAP" or "top-5". Those for which the ranking is not deep enough are
    in `unknown`, with the reason, and not guessed. domains: query id -> its domain.
    """
    values, unknown = compute_metrics(ranks, names)
    for name, reason in unknown.items():
        logger.warning("%s is left out: %s", name, reason)
    by_id = queries.by_id()
    pictures = [by_id[identifier] for identifier in ids]
    labels = tuple(picture.label for picture in pictures)
    originals = tuple(picture.source_id for picture in pictures)
    of_query = tuple(domains[identifier] for identifier in ids) if domains else ()
    return Scores(tuple(ids), labels, originals, values, unknown, domains=of_query)


def compute_metrics(
    ranks: RelevantRanks, names: Iterable[str]
) -> tuple[dict[str, Floats], dict[str, str]]:
    """Metric -> (queries,) values; and metric -> why the ranking is not deep enough for it."""
    values, unknown = {}, {}
    for name in names:
        try:
            values[name] = metric(full_name(name))(ranks)
        except TruncatedRanking as error:
            unknown[name] = str(error)
    return values, unknown


def flatten(
    metrics: Mapping[str, Mapping[str, float | None]],
    abstaining: Mapping[str, Any] | None = None,
    over_folds: Mapping[str, Mapping[str, float | None]] | None = None,
    **_: object,
) -> dict[str, float]:
    """Means and ends under names that MLflow takes, which has no "@": "intervals/mAP-10 low".

    They are keys of metrics.json, whose others are left alone. metrics: as `Scores.as_json` gives
    them. abstaining: as `Abstaining.as_json` does. over_folds: as `over_folds.folds_as_json` does.
    """
    named = {
        _flat_name(name.replace("@", "-"), figure): value
        for name, figures in metrics.items()
        for figure, value in figures.items()
    }
    if abstaining:
        further = {"distance below": abstaining["distance_below"], **abstaining["queries"]}
        named |= {f"abstaining/{name}": value for name, value in further.items()}
    for name, ends in (over_folds or {}).items():
        named |= {f"over folds/{name.replace('@', '-')} {end}": ends[end] for end in ends}
    return {name: value for name, value in named.items() if value is not None}


def _flat_name(name: str, figure: str) -> str:
    return name if figure == "mean" else f"intervals/{name} {figure.replace('_', ' ')}"
