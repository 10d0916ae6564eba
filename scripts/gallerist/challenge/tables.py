"""The graded challenge as tables: every experiment by domain, and what the key fault does to it."""

from collections.abc import Sequence

from gallerist.challenge.grading import ALL, Grades
from gallerist.challenge.key_fault import StudyRow, format_ends
from gallerist.evaluation.bootstrap import Estimate
from gallerist.evaluation.tables import markdown_table
from gallerist.io.files import PathLike, write_csv

COLUMNS = ("experiment", "domain", "queries", "metric", "mean", "low", "high")

_FAULT = (
    "The published answer file has its keys from the gallery's list of names, not from the "
    "queries'. So answers are graded by the class of an unrelated gallery picture, most often a "
    "confusion image, and a ranker gets a high grade for answering with those."
)


def write_grades(path: PathLike, grades: Grades) -> None:
    """Write every metric of every experiment over all queries and by domain, as CSV."""
    rows = (
        (experiment, domain, len(grade.scores.queries), metric, *format_ends(estimate))
        for experiment, by_domain in grades.items()
        for domain, grade in by_domain.items()
        for metric, estimate in grade.estimates.items()
    )
    write_csv(path, COLUMNS, rows)


def format_page(
    grades: Grades,
    study: Sequence[StudyRow],
    *,
    title: str,
    notes: Sequence[str],
) -> str:
    """The grades as Markdown: by domain, then next to those with the published key fault."""
    metrics = list(next(iter(grades.values()))[ALL].estimates)
    by_domain = [
        {
            "experiment": experiment,
            "domain": domain,
            "queries": str(len(grade.scores.queries)),
            **{metric: _format(grade.estimates.get(metric)) for metric in metrics},
        }
        for experiment, of_domain in grades.items()
        for domain, grade in of_domain.items()
    ]
    columns = ("ranker", "k", "right", "with the fault", "expected over all orders")
    with_fault = [
        dict(zip(columns, (row.ranker, str(row.k), *map(_format, row.estimates)), strict=True))
        for row in study
    ]
    lines = [f"# {title}", "", *markdown_table(by_domain), "", "## With the published key fault"]
    lines += ["", _FAULT, "", *markdown_table(with_fault), "", *(f"- {note}" for note in notes)]
    return "\n".join(lines).rstrip() + "\n"


def _format(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.low is None:
        return f"{estimate.mean:.3f}"
    return f"{estimate.mean:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
