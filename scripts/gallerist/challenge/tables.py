"""The graded challenge as tables: every experiment by domain, and what the key fault does to it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple

from gallerist.challenge.grading import Grade
from gallerist.challenge.key_fault import StudyRow
from gallerist.evaluation.comparison_page import markdown_table
from gallerist.evaluation.scores import Estimate
from gallerist.io.files import PathLike, write_csv

COLUMNS = ("experiment", "domain", "queries", "metric", "mean", "low", "high")
ALL = "all"
"""The name of the queries of every domain together."""

_FAULT = (
    "The published answer file has its keys from the gallery's list of names, not from the "
    "queries'. So answers are graded by the class of an unrelated gallery picture, most often a "
    "confusion image, and a ranker gets a high grade for answering with those."
)


def write_grades(path: PathLike, grades: Mapping[str, Grade]) -> None:
    """Write every metric of every experiment over all queries and by domain, as CSV."""
    rows = (
        (experiment, domain, queries, metric, *("" if x is None else f"{x:.4f}" for x in ends))
        for experiment, grade in grades.items()
        for domain, queries, estimates in _domains(grade)
        for metric, each in estimates.items()
        for ends in [astuple(each)]
    )
    write_csv(path, COLUMNS, rows)


def format_page(
    grades: Mapping[str, Grade], study: Sequence[StudyRow], *, title: str, notes: Sequence[str]
) -> str:
    """The grades as Markdown: by domain, then next to those with the published key fault."""
    metrics = list(next(iter(grades.values())).overall)
    by_domain = [
        {
            "experiment": experiment,
            "domain": domain,
            "queries": str(queries),
            **{metric: _format(estimates.get(metric)) for metric in metrics},
        }
        for experiment, grade in grades.items()
        for domain, queries, estimates in _domains(grade)
    ]
    with_fault = [
        {
            "ranker": row.ranker,
            "k": str(row.k),
            "right": _format(row.right),
            "with the fault": _format(row.fault),
            "expected over all orders": _format(row.fault_expected),
        }
        for row in study
    ]
    lines = [f"# {title}", "", *markdown_table(by_domain), "", "## With the published key fault"]
    lines += ["", _FAULT, "", *markdown_table(with_fault), "", *(f"- {note}" for note in notes)]
    return "\n".join(lines).rstrip() + "\n"


def _domains(grade: Grade) -> Iterator[tuple[str, int, Mapping[str, Estimate]]]:
    yield ALL, len(grade.domains), grade.overall
    if len(grade.by_domain) > 1:
        counts = Counter(grade.domains)
        for domain, estimates in grade.by_domain.items():
            yield domain, counts[domain], estimates


def _format(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.low is None:
        return f"{estimate.mean:.3f}"
    return f"{estimate.mean:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
