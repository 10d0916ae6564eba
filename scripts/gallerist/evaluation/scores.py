"""Every metric of one experiment, query by query, and how sure their means are."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.bootstrap import Interval, macro_mean_intervals, mean_intervals
from gallerist.evaluation.metrics import FloatArray, macro_mean, metric, overall_mean
from gallerist.evaluation.relevance import RelevantRanks, TruncatedRanking
from gallerist.io.files import PathLike, write_csv
from gallerist.search.ranking import Ranking

COLUMNS = ("query_id", "path", "class", "original", "first_right")
"""What the list of queries has before the metrics."""

EXCLUDED = "excluded"


@dataclass(frozen=True)
class Settings:
    """How intervals are drawn: see `bootstrap`. confidence: such as 0.95."""

    seed: int
    rounds: int
    confidence: float

    def draws(self) -> dict[str, Any]:
        """The same under the names of `bootstrap`."""
        return {"seed": self.seed, "rounds": self.rounds, "level": self.confidence}


@dataclass(frozen=True)
class Measure:
    """A mean metric. low, high: ends of its interval; None where too few originals allow none."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Assessment:
    """What a ranking reaches for each judged query.

    queries, labels, originals: id, class and original picture of each judged query.
    values: metric -> (queries,) float64 in [0, 1].
    unknown: metric -> why it cannot be known from this ranking.
    """

    queries: tuple[str, ...]
    labels: tuple[str, ...]
    originals: tuple[str, ...]
    values: Mapping[str, FloatArray]
    unknown: Mapping[str, str]

    def overall(self, settings: Settings) -> dict[str, Measure]:
        """Mean over the queries of each metric, with its interval by originals.

        There is none where all queries are of one original.
        """
        if len(set(self.originals)) < 2:
            return {name: Measure(overall_mean(column)) for name, column in self.values.items()}
        return _measures(mean_intervals(self.values, self.originals, **settings.draws()))

    def macro(self, settings: Settings) -> dict[str, Measure]:
        """Mean over the classes of each class's mean, so that every class weighs the same.

        There is no interval where a class has a single original.
        """
        of_class = Counter(label for label, _ in set(zip(self.labels, self.originals, strict=True)))
        if min(of_class.values(), default=0) < 2:
            means = {name: macro_mean(column, self.labels) for name, column in self.values.items()}
            return {name: Measure(mean) for name, mean in means.items()}
        return _measures(
            macro_mean_intervals(self.values, self.originals, self.labels, **settings.draws())
        )

    def of_classes(self) -> Iterator[tuple[str, "Assessment"]]:
        """The queries of each class, by class name in order."""
        labels = np.asarray(self.labels)
        for label in sorted(set(self.labels)):
            yield label, self.of(np.flatnonzero(labels == label))

    def of(self, rows: npt.NDArray[np.intp]) -> "Assessment":
        """Those queries only, by position."""
        return Assessment(
            tuple(self.queries[row] for row in rows),
            tuple(self.labels[row] for row in rows),
            tuple(self.originals[row] for row in rows),
            {name: column[rows] for name, column in self.values.items()},
            self.unknown,
        )


def metric_name(name: str) -> str:
    """The metric's name in `metrics`: "top-5", the published word, is the hit rate at 5."""
    return f"hit rate@{name[4:]}" if name.startswith("top-") else name


def ranks_of_right(
    ranking: Ranking,
    queries: Manifest,
    gallery: Manifest,
    judged: Sequence[str],
    *,
    depth: int | None,
) -> RelevantRanks:
    """Where the right answers to the judged queries stand, in that order.

    judged: ids of queries that have a right picture in the gallery: see `evaluation.evaluate`.
    depth: answers that were kept of a query, None for all. Where there are fewer the ranking ended
    by itself, as that of an approximate index may: a right picture that it lacks is not unknown,
    but was not found, as in trec_eval.
    """
    pictures = queries.by_id()
    labels = {identifier: pictures[identifier].label for identifier in judged}
    ranks = RelevantRanks.from_ranking(
        ranking, labels, dict(zip(gallery.ids, gallery.labels, strict=True))
    )
    ended = np.full(len(ranks), True) if depth is None else ranks.depth < depth
    return replace(ranks, depth=np.where(ended, np.iinfo(np.int64).max, ranks.depth))


def assess(
    ranks: RelevantRanks, queries: Manifest, judged: Sequence[str], names: Iterable[str]
) -> Assessment:
    """Compute each metric for the judged queries, in their order.

    names: of metrics, such as "mAP" or "top-5". Those for which the ranking is not deep enough are
    in `unknown`, with the reason, and not guessed.
    """
    values, unknown = {}, {}
    for name in names:
        try:
            values[name] = metric(metric_name(name))(ranks)
        except TruncatedRanking as error:
            unknown[name] = str(error)
    by_id = queries.by_id()
    pictures = [by_id[identifier] for identifier in judged]
    labels = tuple(picture.label for picture in pictures)
    originals = tuple(picture.source_id for picture in pictures)
    return Assessment(tuple(judged), labels, originals, values, unknown)


def measured(assessment: Assessment, settings: Settings) -> dict[str, Any]:
    """What a reader wants of it, as JSON can hold it: every metric's means, and what is unknown.

    {"metrics": name -> {mean, low, high, macro_mean, macro_low, macro_high}, "unknown": ...}; the
    macro mean is over the classes of each class's mean. An end is null where there is no interval.
    """
    overall, macro = assessment.overall(settings), assessment.macro(settings)
    return {
        "metrics": {
            name: {**asdict(overall[name]), **{f"macro_{k}": v for k, v in asdict(each).items()}}
            for name, each in macro.items()
        },
        "unknown": dict(assessment.unknown),
    }


def flat(metrics: Mapping[str, Mapping[str, float | None]]) -> dict[str, float]:
    """The same under names that MLflow takes, which has no "@": mAP-10, "intervals/mAP-10 low".

    metrics: as `measured` gives them.
    """
    named = {
        _flat_name(name.replace("@", "-"), figure): value
        for name, figures in metrics.items()
        for figure, value in figures.items()
    }
    return {name: value for name, value in named.items() if value is not None}


def _flat_name(name: str, figure: str) -> str:
    return name if figure == "mean" else f"intervals/{name} {figure.replace('_', ' ')}"


def write_queries(
    path: PathLike,
    assessment: Assessment,
    queries: Manifest,
    *,
    first_right: Sequence[int | None],
    excluded: Sequence[str],
) -> None:
    """Write one line a query as CSV: rank of its first right answer, and each metric.

    first_right: of each judged query. excluded: ids of queries that cannot be judged; they are
    there too, with "excluded" for the rank. Hits are 1 or 0; other metrics keep all their digits.
    """
    pictures = queries.by_id()
    columns = [column.tolist() for column in assessment.values.values()]
    rows = [
        (
            *_known(pictures[query]),
            first_right[row] or "",
            *(_spelled(each[row]) for each in columns),
        )
        for row, query in enumerate(assessment.queries)
    ]
    rows += [(*_known(pictures[query]), EXCLUDED, *("",) * len(columns)) for query in excluded]
    write_csv(path, (*COLUMNS, *assessment.values), rows)


def read_queries(path: PathLike) -> Assessment:
    """Read the judged queries of what `write_queries` wrote; `unknown` is empty.

    Raises ValueError naming the file when it is no such list, and the line that does not fit.
    """
    queries, labels, originals, numbers = [], [], [], []
    with Path(path).open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = tuple(next(reader, ()))
        if header[: len(COLUMNS)] != COLUMNS:
            raise ValueError(f"{path}: a list of judged queries begins with {', '.join(COLUMNS)}")
        names = header[len(COLUMNS) :]
        for cells in reader:
            try:
                identifier, _, label, original, first_right, *values = cells
                if first_right == EXCLUDED:
                    continue
                found = [float(value) for _, value in zip(names, values, strict=True)]
            except ValueError:
                raise ValueError(
                    f"{path}, line {reader.line_num}: a row has {', '.join(header)}; this one has "
                    "too few or too many, or a metric that is no number"
                ) from None
            queries.append(identifier)
            labels.append(label)
            originals.append(original)
            numbers.append(found)
    columns = np.array(numbers, dtype=np.float64).reshape(len(numbers), len(names))
    return Assessment(
        tuple(queries),
        tuple(labels),
        tuple(originals),
        dict(zip(names, np.ascontiguousarray(columns.T), strict=True)),
        {},
    )


def write_classes(path: PathLike, assessment: Assessment, settings: Settings) -> None:
    """Write each class's mean of every metric as CSV, with the ends of its interval.

    The ends are empty where a class has a single original picture among its queries.
    """
    columns = (f"{name}{end}" for name in assessment.values for end in ("", " low", " high"))
    rows = (
        (label, len(each.queries), len(set(each.originals)), *_class_cells(each, settings))
        for label, each in assessment.of_classes()
    )
    write_csv(path, ("class", "queries", "originals", *columns), rows)


def _class_cells(members: Assessment, settings: Settings) -> Iterator[str]:
    for each in members.overall(settings).values():
        yield from (
            "" if number is None else f"{number:.4f}" for number in (each.mean, each.low, each.high)
        )


def _measures(found: Mapping[str, Interval]) -> dict[str, Measure]:
    return {name: Measure(each.mean, each.low, each.high) for name, each in found.items()}


def _known(picture: Picture) -> tuple[str, str, str, str]:
    return picture.id, picture.path, picture.label, picture.source_id


def _spelled(value: float) -> str:
    return str(int(value)) if value in (0.0, 1.0) else repr(value)
