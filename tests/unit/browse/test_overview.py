"""What the first page says where an experiment was trained from several seeds."""

import csv

import pytest
from looking import printed_alone
from small_comparison import COSTS, write_results

from gallerist.browse.data_sets import DataSet
from gallerist.browse.overview import overview


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return write_results(tmp_path_factory.mktemp("overview"))


def test_seeds_of_one_experiment_are_one_line_with_the_figures_of_the_table(results):
    data = DataSet(results.folder)
    found = overview(data)
    assert data.experiments == ["good", "seed_1", "seed_2"]
    assert [(each["name"], each["members"]) for each in found["lines"]] == [
        ("good", ("good",)),
        ("seed", ("seed_1", "seed_2")),
    ]
    assert [each["name"] for each in found["experiments"]] == data.experiments
    with results.path("comparison/metrics.csv").open(newline="") as file:
        table = {(row["experiment"], row["metric"]): row for row in csv.DictReader(file)}
    for line in found["lines"]:
        for name, figures in line["metrics"].items():
            for end in ("mean", "low", "high"):
                assert figures[end] == pytest.approx(float(table[line["name"], name][end]))
    seeds = [float(table[name, "top-1"]["mean"]) for name in ("seed_1", "seed_2")]
    assert float(table["seed", "top-1"]["mean"]) == pytest.approx(sum(seeds) / 2)
    first, second = found["lines"]
    assert (first["over"], second["over"]) == ("queries, not training", "queries and 2 seeds")
    assert second["costs"]["training s"] == pytest.approx(COSTS["training_seconds"])
    assert set(found["curves"]["hit rate"]) == {"good", "seed"}


def test_a_test_says_which_experiment_was_trained_once(results):
    rows = overview(DataSet(results.folder))["differences"]
    assert {(row["first"], row["second"]) for row in rows} == {("good", "seed")}
    assert all(row["trained_once"] == ["good"] for row in rows)


def test_the_first_page_is_made_without_loading_the_models_of_settings(finished):
    program = (
        "import sys\nfrom pathlib import Path\nfrom gallerist.browse.overview import overview\n"
        "from gallerist.browse.site import Site\n"
        f"site = Site(Path({str(finished.root)!r}))\n"
        "print(len(overview(site.data_sets.get(site.index()['data_sets'][0]['name']))['lines']))\n"
        "print([name for name in ('pydantic', 'gallerist.settings') if name in sys.modules])"
    )
    assert printed_alone(program).split("\n") == ["2", "[]"]
