"""Figures of each fold of a cross-validation, and their mean with an interval over folds."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gallerist.data.groups import Groups
from gallerist.evaluation.scores import Scores


def folds_as_json(scores: Scores, groups: Groups | None, confidence: float) -> dict[str, Any]:
    """What metrics.json says of folds; nothing where the groups are none.

    {"folds": [{"fold", "queries", metric: its mean over the fold's queries}, ...], "over_folds":
    metric -> {"mean", "low", "high"}}. The mean is that of the folds' means, each fold weighing
    the same. The interval is Student's: mean ± t s / √k, with the sample standard deviation s of
    the k folds' means (divisor k - 1) and the quantile t of k - 1 degrees of freedom, cut to
    [0, 1]. Folds share their galleries, so that they differ less than independent samples would
    (Bengio, Grandvalet, No Unbiased Estimator of the Variance of K-Fold Cross-Validation, 2004).
    There is no interval, but null, with a single fold.

    scores: of the queries. confidence: level of the intervals.
    """
    if groups is None or not groups.folds:
        return {}
    of_query = np.array([groups.of.get(query, "") for query in scores.queries])
    names = sorted(set(of_query.tolist()) - {""}, key=int)
    parts = {name: scores.of(np.flatnonzero(of_query == name)) for name in names}
    rows = [
        {
            **{"fold": int(name), "queries": len(part.queries)},
            **{metric: float(values.mean()) for metric, values in part.values.items()},
        }
        for name, part in parts.items()
    ]
    over = {
        metric: mean_over_folds([row[metric] for row in rows], confidence)
        for metric in scores.values
    }
    return {"folds": rows, "over_folds": over}


def mean_over_folds(means: list[float], confidence: float) -> dict[str, float | None]:
    """Mean of the folds' means and its ends: see `folds_as_json`."""
    mean = math.fsum(means) / len(means)
    if len(means) < 2:
        return {"mean": mean, "low": None, "high": None}
    from scipy.stats import t

    error = float(np.std(means, ddof=1)) / math.sqrt(len(means))
    half = float(t.ppf((1 + confidence) / 2, len(means) - 1)) * error
    return {"mean": mean, "low": max(0.0, mean - half), "high": min(1.0, mean + half)}


def over_folds_in_words(metrics: Mapping[str, Any], names: Iterable[str]) -> str:
    """A sentence on some metrics of an experiment over its folds; nothing where there are none.

    metrics: what its evaluation wrote as metrics.json.
    """
    over = {name: each for name, each in metrics.get("over_folds", {}).items() if name in names}
    figures = [f"{name} {each['mean']:.4f}{_ends(each)}" for name, each in over.items()]
    if not figures:
        return ""
    head = f"{metrics['experiment']}, mean of {len(metrics['folds'])} folds and its interval"
    return f"{head}: {', '.join(figures)}."


def _ends(found: Mapping[str, float | None]) -> str:
    low, high = found["low"], found["high"]
    return "" if low is None or high is None else f" ({low:.4f} to {high:.4f})"
