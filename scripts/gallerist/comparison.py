"""All experiments in one table: what they reach, what they cost, what they started from."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gallerist.records import Record


@dataclass(frozen=True)
class Row:
    """One experiment's line of the comparison.

    hit_rates: k -> hit rate at k. training_seconds: all epochs, validation included.
    images_per_second: of extraction, gallery and query together. weights: what it started from.
    """

    experiment: str
    hit_rates: Mapping[int, float]
    queries: int
    excluded: int
    training_seconds: float
    epochs: int
    images_per_second: float
    parameters: int
    parameters_trained: int
    feature_length: int
    weights: str

    def cells(self) -> dict[str, Any]:
        """Column name -> value, in the order of the table."""
        return {
            "experiment": self.experiment,
            **{f"top-{k}": rate for k, rate in sorted(self.hit_rates.items())},
            "weights": self.weights,
            "epochs": self.epochs,
            "training s": self.training_seconds,
            "extraction images/s": self.images_per_second,
            "parameters": self.parameters,
            "trained": self.parameters_trained,
            "feature length": self.feature_length,
            "queries": self.queries,
            "excluded": self.excluded,
        }


def table_row(row: Record, rates: Mapping[int, float]) -> Row:
    """The line of the comparison table for a row's record. rates: k -> hit rate at k."""
    metrics = row.metrics
    return Row(
        experiment=str(row.experiment),
        hit_rates=rates,
        queries=int(metrics["queries"]),
        excluded=int(metrics["queries_excluded"]),
        training_seconds=metrics["training_seconds"],
        epochs=int(metrics["epochs_run"]),
        images_per_second=metrics["extraction_images_per_second"],
        parameters=int(metrics["parameters"]),
        parameters_trained=int(metrics["parameters_trained"]),
        feature_length=int(metrics["feature_length"]),
        weights=str(row.tags["weights"]),
    )


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """The comparison, in the order of the configuration."""
    return pd.DataFrame([row.cells() for row in rows])


def markdown(rows: Sequence[Row], *, title: str, notes: Sequence[str]) -> str:
    """The comparison as a Markdown page: a table, the definitions, and what one must know."""
    cells = [
        {name: value.replace("|", "\\|") for name, value in _formatted(row.cells()).items()}
        for row in rows
    ]
    header = list(cells[0])
    widths = {name: max(len(name), *(len(line[name]) for line in cells)) for name in header}
    lines = [
        "| " + " | ".join(name.ljust(widths[name]) for name in header) + " |",
        "| " + " | ".join("-" * widths[name] for name in header) + " |",
        *(
            "| " + " | ".join(line[name].ljust(widths[name]) for name in header) + " |"
            for line in cells
        ),
    ]
    explained = (
        "top-k: share of the queries with a picture of their class among the first k answers. "
        "Excluded queries have no such picture in the gallery."
    )
    remarks = [f"- {note}" for note in notes]
    return "\n".join([f"# {title}", "", *lines, "", explained, "", *remarks]).rstrip() + "\n"


def page(rows: Sequence[Row], *, title: str, notes: Sequence[str]) -> str:
    """The comparison as a small HTML page, for the workflow's report."""
    cells = [_formatted(row.cells()) for row in rows]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in cells[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(value)}</td>" for value in line.values()) + "</tr>"
        for line in cells
    )
    remarks = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    style = "body{font-family:sans-serif}td,th{padding:.3em .7em;text-align:right}"
    return (
        f"<!doctype html><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<style>{style}</style><h1>{html.escape(title)}</h1>"
        f"<table><tr>{head}</tr>{body}</table><ul>{remarks}</ul>\n"
    )


def _formatted(cells: Mapping[str, Any]) -> dict[str, str]:
    return {name: _cell(name, value) for name, value in cells.items()}


def _cell(name: str, value: Any) -> str:
    if name.startswith("top-"):
        return f"{value:.4f}"
    if isinstance(value, float):
        return f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
