"""Rankings of any tool, outside the workflow: evaluated by their files, and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.evaluation.external_rankings import (
    EvaluatedRanking,
    Truth,
    find_relevant,
    read_ranking,
    read_truth,
    write_qrels,
    write_run,
)
from gallerist.evaluation.metrics import metric
from gallerist.evaluation.scores import Scores, full_name, score
from gallerist.evaluation.significance import Difference, find_differences
from gallerist.evaluation.tables import write_queries
from gallerist.evaluation.trec_files import FORMS, RANKINGS, TRUTHS, Source
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, write_json
from gallerist.io.metric_names import top
from gallerist.search.ranking import Ranking

METRICS = ("mAP", "mAP@10", "R-precision", "MRR", "nDCG@10")
"""Unless others are asked for; hit rates come before them."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Task:
    """What is to be done.

    files: rankings and their truth, in any order: each is known by its content.
    metrics: names, such as "mAP@10". ks: hit rates at those come first.
    seed, rounds: of the intervals, see `bootstrap`.
    json: file for all figures. to_qrels: for the truth as TREC qrels. queries, to_run: for the
    values of each query as CSV, and for the ranking as a TREC run; with one ranking only.
    """

    files: Sequence[PathLike]
    metrics: Sequence[str] = METRICS
    ks: Sequence[int] = (1, 3, 5, 10)
    seed: int = 99
    rounds: int = 10_000
    json: PathLike | None = None
    queries: PathLike | None = None
    to_run: PathLike | None = None
    to_qrels: PathLike | None = None

    @property
    def names(self) -> list[str]:
        """Every metric once, hit rates first."""
        return list(dict.fromkeys([*map(top, self.ks), *self.metrics]))

    @property
    def settings(self) -> IntervalSettings:
        """How intervals and tests are made."""
        return IntervalSettings(self.seed, self.rounds, CONFIDENCE)


@dataclass(frozen=True)
class _Result:
    """One ranking: where its relevant answers are, and its figures as JSON holds them."""

    ranking: Ranking
    found: EvaluatedRanking
    scores: Scores
    figures: Mapping[str, Any]


def evaluate_files(task: Task) -> str:
    """Evaluate rankings, write the files asked for, and return the report for a reader.

    Raises UserError and what reading and evaluating raise, with the file in the message.
    """
    for name in task.names:
        metric(full_name(name))
    if task.rounds < 1000:
        raise UserError(f"{task.rounds} rounds are too few for an interval: give 1000 or more")
    files, truths = _by_kind(task.files)
    if len(files) > 1 and not (task.queries is None and task.to_run is None):
        raise UserError("--queries and --to-run are for one ranking: name one at a time")
    rankings = {file: read_ranking(each) for file, each in files.items()}
    ranked = [query for ranking in rankings.values() for query in ranking.query_ids]
    truth = read_truth([*truths.values()], ranked)
    stems = [Path(file).stem for file in files]
    results = {
        stem if stems.count(stem) == 1 else file: _result(file, rankings[file], truth, task)
        for file, stem in zip(files, stems, strict=True)
    }
    found: list[Difference] = []
    if len(results) > 1:
        scores = {name: each.scores for name, each in results.items()}
        found = find_differences(scores, task.settings)
    _write(task, truth, results, found)
    sections = [_section(name, each, truth) for name, each in results.items()]
    if len(results) > 1:
        lines = [
            _format_difference(each) for each in sorted(found, key=lambda one: not one.different)
        ]
        head = "differences (paired tests; p after Holm's correction over the pairs of rankings)"
        sections.append("\n".join([head, *(lines or ["no metric is known of all rankings"])]))
    return "\n\n".join(sections)


def _by_kind(files: Sequence[PathLike]) -> tuple[dict[str, Source], dict[str, Source]]:
    """The rankings and the truths, each in the order given: file -> itself, opened."""
    sources = {str(file): Source(file) for file in files}
    rankings = {file: each for file, each in sources.items() if each.kind in RANKINGS}
    truths = {file: each for file, each in sources.items() if each.kind in TRUTHS}
    for found, what, wanted in ((rankings, "ranking", RANKINGS), (truths, "truth", TRUTHS)):
        if not found:
            listed = "".join(f"\n  {file} is {FORMS[each.kind]}" for file, each in sources.items())
            forms = "".join(f"\n  - {FORMS[kind]}" for kind in wanted)
            raise UserError(f"there is no {what} among the files:{listed}\n  Add one:{forms}")
    return rankings, truths


def _result(file: str, ranking: Ranking, truth: Truth, task: Task) -> _Result:
    try:
        found = find_relevant(ranking, truth)
    except ValueError as error:
        raise UserError(f"{file}: {error}") from error
    scores = score(found.ranks, truth.queries, found.queries, task.names)
    counts = scores.counts(excluded=found.excluded, gallery=truth.gallery)
    # Without a gallery nothing is known of classes, nor of means over them.
    measured = scores.as_json(task.settings, by_class=truth.gallery is not None)
    return _Result(ranking, found, scores, {"file": file, **counts, **measured})


# -- files --------------------------------------------------------------------------------------


def _write(
    task: Task, truth: Truth, results: Mapping[str, _Result], found: Sequence[Difference]
) -> None:
    name, first = next(iter(results.items()))
    if task.to_qrels is not None:
        write_qrels(truth, task.to_qrels)
    if task.to_run is not None:
        write_run(first.ranking, task.to_run, "-".join(name.split()))
    if task.queries is not None:
        _write_queries(task.queries, first, truth)
    if task.json is not None:
        value = {
            **{"seed": task.seed, "rounds": task.rounds, "confidence": CONFIDENCE},
            "rankings": {name: each.figures for name, each in results.items()},
            "differences": [_as_json(each) for each in found],
        }
        write_json(task.json, value)


def _write_queries(path: PathLike, result: _Result, truth: Truth) -> None:
    excluded, known = result.found.excluded, truth.queries.by_id()
    unknown = [Picture(q, "", "", "query", q, 0, 0, "") for q in excluded if q not in known]
    queries = Manifest((*truth.queries, *unknown))
    write_queries(path, result.scores, queries, result.found.ranks, excluded)


def _as_json(each: Difference) -> dict[str, Any]:
    pair, interval = each.pair, each.interval
    return {
        **{"metric": each.metric, "first": pair.first, "second": pair.second},
        "difference": pair.difference,
        **{"low": interval.low, "high": interval.high},
        **{"p": pair.p_value, "p_adjusted": pair.adjusted},
        **{"different": each.different, "test": pair.method},
    }


# -- the report ---------------------------------------------------------------------------------


def _section(name: str, result: _Result, truth: Truth) -> str:
    figures = result.figures
    gallery = figures["gallery_images"]
    excluded = figures["queries_excluded"]
    counts = [
        f"{figures['queries']} queries evaluated (of {figures['originals']} originals)",
        f"{excluded} excluded, which have no relevant picture" if excluded else "0 excluded",
        "size of the gallery unknown" if gallery is None else f"gallery of {gallery} pictures",
    ]
    lines = [f"{name}  ({figures['file']})", "; ".join(counts), *_table(figures["metrics"], truth)]
    lines += [f"unknown: {reason}" for reason in figures["unknown"].values()]
    lines += _without_intervals(figures["metrics"])
    return "\n".join(lines)


def _table(metrics: Mapping[str, Mapping[str, float | None]], truth: Truth) -> list[str]:
    head = ["metric", "mean", "95 % interval"]
    rows = [[name, *_format_mean(each, "")] for name, each in metrics.items()]
    if truth.gallery is not None:
        head += ["mean of classes", "95 % interval"]
        rows = [[*row, *_format_mean(metrics[row[0]], "macro_")] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in ([head, *rows] if rows else [])
    ]


def _format_mean(figures: Mapping[str, float | None], prefix: str) -> tuple[str, str]:
    mean, low, high = (figures[f"{prefix}{end}"] for end in ("mean", "low", "high"))
    return f"{mean:.4f}", "-" if low is None else f"{low:.4f} to {high:.4f}"


def _without_intervals(metrics: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    figures = next(iter(metrics.values()), {})
    if figures.get("low", 0) is None:
        return ["no interval: all queries are of one original, and it takes two"]
    if figures.get("macro_low", 0) is None:
        return ["no interval of the mean of classes: some class has a single original"]
    return []


def _format_difference(each: Difference) -> str:
    pair, interval = each.pair, each.interval
    chance = f"p = {pair.adjusted:.3g}"
    if not each.different:
        return (
            f"{each.metric}: no difference shown between {pair.first} and {pair.second}, {chance}"
        )
    better, worse = pair.first, pair.second
    ends = [] if interval.low is None or interval.high is None else [interval.low, interval.high]
    if pair.difference < 0:
        better, worse, ends = worse, better, [-end for end in reversed(ends)]
    between = f" ({ends[0]:.4f} to {ends[1]:.4f})" if ends else ""
    by = f"{abs(pair.difference):.4f}{between}"
    return f"{each.metric}: {better} is better than {worse} by {by}, {chance} ({pair.method})"
