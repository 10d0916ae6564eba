"""How MLflow's page of a data set shows its rows: which columns and charts, in which order.

MLflow sorts names as texts, so that top-10 comes before top-3, shows no metric until one is chosen,
and opens an experiment among pages for language models. It keeps a view that somebody shares as a
tag of the experiment; a view written here makes the page answer at a glance, and names in MLflow
stay those of the tables.
"""

import json
from collections.abc import Mapping
from typing import Any

from gallerist.io.metric_names import HIT_RATE, OUTLINE, accuracies, top
from gallerist.records.record import Record

VIEW = "gallerist"
"""The key of the view, in the address of the page."""

CURRENT = 'tags.current = "true"'
"""The filter that hides runs that a later one replaces."""

_SORTED_BY = ("mAP", top(1))
_COSTS = ("training_seconds", "extraction_images_per_second")
_TRAINING = ("val_accuracy", "accuracy", "val_loss", "loss")
_NARROW, _WIDE = 100, 160
_COMPARED = 20
"""Rows that a chart draws at most."""


def experiment_tags(record: Record) -> dict[str, str]:
    """Tags of the MLflow experiment that a record is shown in: its description and its view."""
    tags = {
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.note.content": _description(record),
    }
    if record.destination == "comparison":
        tags[f"mlflow.sharedViewState.{VIEW}"] = json.dumps(_view(record.metrics), sort_keys=True)
    return tags


def address(root: str, identity: str, *, charts: bool = False) -> str:
    """Where the comparison is. root: of MLflow's server. identity: of the MLflow experiment."""
    mode = "&compareRunsMode=CHART" if charts else ""
    page = f"#/experiments/{identity}/runs?workflowType=machine_learning"
    return f"{root.rstrip('/')}/{page}&viewStateShareKey={VIEW}{mode}"


def _description(record: Record) -> str:
    if record.destination == "comparison":
        return (
            f"A row is an experiment of the configuration on the data set **{record.dataset}**: "
            "its accuracies, what it cost and the parameters of all its stages. "
            f"Rows that were made again have current = false: filter with `{CURRENT}`."
        )
    return (
        f"A run is one job on the data set **{record.dataset}**: what it did, its curves and its "
        f"log. Accuracies are compared in the MLflow experiment {record.dataset}. "
        f"Jobs that were done again have current = false: filter with `{CURRENT}`."
    )


def _view(metrics: Mapping[str, float]) -> dict[str, Any]:
    accurate = accuracies(metrics)
    narrow = [f"metrics.`{name}`" for name in accurate]
    wide = [f"metrics.`{name}`" for name in _COSTS] + [f"params.`{name}`" for name in OUTLINE]
    columns = [*narrow, *wide]
    sorted_by = [f"metrics.`{name}`" for name in _SORTED_BY if name in metrics][:1]
    charts, sections = _charts(accurate)
    return {
        **({"orderByKey": sorted_by[0], "orderByAsc": False} if sorted_by else {}),
        "searchFilter": CURRENT,
        "selectedColumns": columns,
        "columnOrder": ["attributes.`Run Name`", *columns],
        "columnWidths": {**dict.fromkeys(narrow, _NARROW), **dict.fromkeys(wide, _WIDE)},
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": charts,
        "compareRunSections": sections,
    }


def _charts(accurate: list[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Bars of the accuracies, curves of the training; all other metrics below, folded away."""
    bars = [_chart("accuracy", "BAR", name) for name in accurate]
    lines = [_chart("accuracy", "LINE", HIT_RATE), *bars]
    training = [_chart("training", "LINE", name) for name in _TRAINING]
    costs = [_chart("cost", "BAR", name) for name in _COSTS]
    sections = [
        _section("accuracy", "Accuracy"),
        _section("training", "Training"),
        _section("cost", "Cost"),
        _section("rest", "Model metrics", shown=False),
        _section("intervals", "intervals", shown=False),
        _section("system", "System metrics", shown=False),
    ]
    return [*lines, *training, *costs], sections


def _section(identity: str, name: str, *, shown: bool = True) -> dict[str, Any]:
    return {
        **{"uuid": identity, "name": name, "display": shown},
        **{"isReordered": False, "deleted": False, "isGenerated": True},
    }


def _chart(section: str, kind: str, metric: str) -> dict[str, Any]:
    chart: dict[str, Any] = {
        **{"uuid": f"{section} {metric}", "type": kind, "metricSectionId": section},
        **{"metricKey": metric, "displayName": metric, "runsCountToCompare": _COMPARED},
        **{"deleted": False, "isGenerated": True},
    }
    if kind == "LINE":
        chart |= {
            **{"xAxisKey": "step", "xAxisScaleType": "linear", "scaleType": "linear", "range": {}},
            **{"lineSmoothness": 0, "selectedXAxisMetricKey": "", "yAxisKey": "metric"},
            **{"yAxisExpressions": [], "ignoreOutliers": False},
            **{"useGlobalXaxisKey": True, "useGlobalLineSmoothing": True},
        }
    return chart
