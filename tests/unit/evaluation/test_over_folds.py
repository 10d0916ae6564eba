"""Figures of folds: their means, and the interval of the mean of these."""

import numpy as np
import pytest
from scipy import stats

from gallerist.data.groups import Groups
from gallerist.evaluation.over_folds import (
    folds_as_json,
    mean_over_folds,
    over_folds_in_words,
)
from gallerist.evaluation.scores import Scores, flatten


def scores(values):
    names = tuple(f"q{n}" for n in range(len(values)))
    return Scores(names, ("a",) * len(values), names, {"mAP@R": np.array(values, float)}, {})


FOLDS = Groups({"q0": "1", "q1": "2", "q2": "2", "q3": "10"}, within=False, folds=True)


def test_each_fold_has_its_mean_and_weighs_the_same():
    found = folds_as_json(scores([1, 0, 0.5, 0.2]), FOLDS, 0.95)
    assert found["folds"] == [
        {"fold": 1, "queries": 1, "mAP@R": 1.0},
        {"fold": 2, "queries": 2, "mAP@R": 0.25},
        {"fold": 10, "queries": 1, "mAP@R": 0.2},
    ]
    assert found["over_folds"]["mAP@R"]["mean"] == pytest.approx((1 + 0.25 + 0.2) / 3)
    assert folds_as_json(scores([1]), None, 0.95) == {}
    assert folds_as_json(scores([1]), Groups({"q0": "o"}, within=False), 0.95) == {}


def test_the_interval_is_that_of_students_test():
    means = [0.41, 0.45, 0.39, 0.47, 0.44]
    found = mean_over_folds(means, 0.9)
    wanted = stats.ttest_1samp(means, 0).confidence_interval(0.9)
    assert (found["low"], found["high"]) == pytest.approx((wanted.low, wanted.high), abs=1e-12)
    assert mean_over_folds([0.0, 1.0], 0.95) == {"mean": 0.5, "low": 0.0, "high": 1.0}
    assert mean_over_folds([0.3], 0.95) == {"mean": 0.3, "low": None, "high": None}


def test_folds_are_told_in_words_and_under_names_that_mlflow_takes():
    found = {"experiment": "hog", **folds_as_json(scores([1, 0, 0.5, 0.2]), FOLDS, 0.95)}
    text = over_folds_in_words(found, ["mAP@R"])
    assert text.startswith("hog, mean of 3 folds and its interval: mAP@R 0.4833 (0.0000 to ")
    assert over_folds_in_words(found, ["top-1"]) == over_folds_in_words({}, ["mAP@R"]) == ""
    named = flatten(**found, metrics={})
    assert set(named) == {f"over folds/mAP-R {e}" for e in ("mean", "low", "high")}
