"""The graded challenge as tables: every experiment by domain, and what the key fault does to it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gallerist.challenge.grading import Grade
from gallerist.challenge.key_fault import StudyRow
from gallerist.data.manifest import Manifest
from gallerist.evaluation.bootstrap import Estimate
from gallerist.io.files import PathLike, write_csv
from gallerist.search.ranking import Ranking

COLUMNS = ("experiment", "domain", "queries", "metric", "mean", "low", "high")
ALL = "all"
"""What the queries of every domain together are called."""

Answers = dict[str, tuple[str, ...]]


def file_names(manifest: Manifest) -> dict[str, str]:
    """Id -> file name of every picture of a flat folder."""
    return {picture.id: Path(picture.path).name for picture in manifest}


def name_answers(
    ranking: Ranking, queries: Mapping[str, str], gallery: Mapping[str, str]
) -> Answers:
    """A ranking with file names in place of ids, as submissions and ground truths have them."""
    return {
        queries[query]: tuple(gallery[answer] for answer in answers)
        for query, answers in zip(ranking.query_ids, ranking.answers, strict=True)
    }


def write_grades(path: PathLike, grades: Mapping[str, Grade]) -> None:
    """Write every metric of every experiment over all queries and by domain, as CSV."""
    rows = (
        (experiment, domain, queries, metric, *("" if x is None else f"{x:.4f}" for x in ends))
        for experiment, grade in grades.items()
        for domain, queries, measures in _domains(grade)
        for metric, each in measures.items()
        for ends in [(each.mean, each.low, each.high)]
    )
    write_csv(path, COLUMNS, rows)


def page(
    grades: Mapping[str, Grade],
    study: Sequence[StudyRow],
    *,
    title: str,
    notes: Sequence[str],
) -> str:
    """The grades as Markdown: by domain, then rightly graded against graded with the key fault."""
    first = next(iter(grades.values()))
    metrics = list(first.overall)
    lines = [f"# {title}", "", _row(["experiment", "domain", "queries", *metrics])]
    lines.append(_row(["---"] * (3 + len(metrics))))
    for experiment, grade in grades.items():
        for domain, queries, measures in _domains(grade):
            cells = [_format(measures.get(metric)) for metric in metrics]
            lines.append(_row([experiment, domain, str(queries), *cells]))
    lines += ["", "## With the published key fault", "", _FAULT, ""]
    lines += [_row(["ranker", "k", "right", "with the fault", "expected over all orders"])]
    lines += [_row(["---"] * 5)]
    lines += [
        _row([row.ranker, str(row.k), *map(_format, (row.right, row.fault, row.fault_expected))])
        for row in study
    ]
    remarks = [f"- {note}" for note in notes]
    return "\n".join([*lines, "", *remarks]).rstrip() + "\n"


_FAULT = (
    "The published answer file has its keys from the gallery's list of names, not from the "
    "queries'. So answers are judged by the class of an unrelated gallery picture, most often a "
    "confusion image, and a ranker is rewarded for answering with those."
)


def _domains(grade: Grade) -> Iterator[tuple[str, int, Mapping[str, Estimate]]]:
    yield ALL, len(grade.domains), grade.overall
    if len(grade.by_domain) > 1:
        counts = Counter(grade.domains)
        for domain, measures in grade.by_domain.items():
            yield domain, counts[domain], measures


def _format(measure: Estimate | None) -> str:
    if measure is None:
        return ""
    if measure.low is None or measure.high is None:
        return f"{measure.mean:.3f}"
    return f"{measure.mean:.3f} ({measure.low:.3f} to {measure.high:.3f})"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
