"""Several seeds as one line of the comparison: its order, costs, curve, and row in MLflow."""

from dataclasses import replace

import numpy as np
import pytest
from small_comparison import EXPERIMENTS, GROUPS, SETTINGS, write_results

from gallerist.evaluation.compared import Evaluated, compare, groups_of, mean_curve
from gallerist.evaluation.curves import Curve
from gallerist.evaluation.summary import mean_row
from gallerist.evaluation.tables import read_queries
from gallerist.io.files import read_json
from gallerist.records.record import read_record


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the evaluations of a small comparison left; the second seed trained longer."""
    results = write_results(tmp_path_factory.mktemp("compared"))
    read = {
        name: Evaluated(
            read_queries(results.path(f"evaluation/{name}/queries.csv")),
            read_json(results.path(f"evaluation/{name}/metrics.json")),
            read_record(results.path(f"evaluation/{name}/experiment.record.json")),
        )
        for name in EXPERIMENTS
    }
    longer = read["seed_2"].record
    longer = replace(
        longer,
        metrics={**longer.metrics, "epochs_run": 5.0},
        parameters={**longer.parameters, "train_network.seed": 2},
    )
    return {**read, "seed_2": replace(read["seed_2"], record=longer)}


def test_seeds_of_one_experiment_are_one_line_and_one_partner_in_the_tests(found):
    result = compare(found, GROUPS, "top-1", SETTINGS)
    assert [row["experiment"] for row in result.rows] == ["good", "seed"]
    assert {(each.pair.first, each.pair.second) for each in result.differences} == {
        ("good", "seed")
    }
    seeds = [found[name].metrics["metrics"]["mAP"]["mean"] for name in GROUPS["seed"]]
    assert result.rows[1]["mAP"] == pytest.approx(sum(seeds) / 2)
    assert result.rows[1]["epochs"] == 4
    assert [row["settings"] for row in result.seeds] == ["seed"]
    assert [line.trained_once for line in result.lines] == [True, False]


def test_figures_over_folds_are_of_one_experiment_and_not_of_a_mean(found):
    over = {"folds": [], "over_folds": {"top-1": {"mean": 0.5, "low": None, "high": None}}}
    folded = {name: replace(each, metrics={**each.metrics, **over}) for name, each in found.items()}
    result = compare(folded, GROUPS, "top-1", SETTINGS)
    assert [over.keys() <= line.metrics.keys() for line in result.lines] == [True, False]
    assert not over.keys() & result.lines[1].metrics.keys()


def test_an_experiment_in_no_group_is_a_line_of_its_own(found):
    result = compare(found, {}, "top-1", SETTINGS)
    assert [row["experiment"] for row in result.rows] == list(EXPERIMENTS)
    with pytest.raises(KeyError):
        compare(found, {"seed": ["seed_1", "seed_3"]}, "top-1", SETTINGS)


def test_the_order_is_that_of_the_first_seeds(found):
    turned = {name: found[name] for name in ("seed_1", "good", "seed_2")}
    result = compare(turned, GROUPS, "top-1", SETTINGS)
    assert [line.members for line in result.lines] == [("seed_1", "seed_2"), ("good",)]


def test_the_row_of_a_mean_has_its_intervals_each_seed_and_what_they_share(found):
    line = compare(found, GROUPS, "top-1", SETTINGS).lines[1]
    row = mean_row(line, "small", "top-1", Curve(*np.ones((4, 1))))
    figures = line.metrics["metrics"]["top-1"]
    assert row["metrics"]["top-1"] == figures["mean"]
    assert row["metrics"]["intervals/top-1 low"] == figures["low"]
    seeds = [row["metrics"][f"seeds/{name} top-1"] for name in GROUPS["seed"]]
    assert sum(seeds) / 2 == pytest.approx(figures["mean"])
    assert row["metrics"]["training_seconds"] == pytest.approx(12.345678901234)
    assert row["parameters"]["seeds"] == 2
    assert "train_network.seed" not in row["parameters"]
    assert "the mean of 2 trainings" in row["tags"]["mlflow.note.content"]


def test_the_mean_of_curves_is_at_the_places_that_all_have():
    one = Curve(np.array([1.0, 2, 3]), *np.array([[0.2, 0.4, 0.5], [0.1, 0.3, 0.4], [0.3, 0.5, 1]]))
    other = Curve(np.array([1.0, 3]), *np.array([[0.4, 0.5], [0.3, 0.4], [0.5, 1]]))
    found = mean_curve([one, other], 0.95)
    assert found.at.tolist() == [1, 3]
    assert found.means.tolist() == pytest.approx([0.3, 0.5])
    assert found.lows[1] == pytest.approx(0.4)
    assert found.lows[0] == 0
    assert found.highs.tolist() == [1, 1]
    assert mean_curve([one], 0.95) is one


def test_groups_are_read_from_the_record_of_a_comparison(found):
    record = replace(
        found["good"].record, parameters={"groups.a": '["x", "y"]', "decided_by": "top-1"}
    )
    assert groups_of(record) == {"a": ["x", "y"]}
