"""Where results are found again."""

from pathlib import Path

import pytest

from gallerist.io.errors import UserError
from gallerist.workflow.results import Results


def test_results_lie_in_a_folder_named_for_the_data_set(tmp_path):
    assert Results.of({"dataset": {"name": "monkeys"}}).folder == Path("results/monkeys")
    assert Results.of({"dataset": {"name": "monkeys"}}, tmp_path).folder == tmp_path / "monkeys"


def test_a_file_of_the_results_is_named_before_it_is_there_also_with_wildcards():
    results = Results.of({"dataset": {"name": "monkeys"}})
    assert results.file("rankings/{experiment}.csv") == "results/monkeys/rankings/{experiment}.csv"


def test_a_result_that_is_there_is_found(tmp_path):
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "query.csv").touch()
    results = Results(tmp_path)
    assert results.path("manifests/query.csv") == tmp_path / "manifests" / "query.csv"
    assert results.path("manifests").is_dir()


def test_a_result_that_is_missing_is_named_with_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"manifests/query\.csv is not there yet.*make run"):
        Results(tmp_path).path("manifests/query.csv")


def test_the_features_of_a_part_are_three_files(tmp_path):
    folder = tmp_path / "features" / "resnet"
    folder.mkdir(parents=True)
    for suffix in ("npy", "ids.csv"):
        (folder / f"gallery.{suffix}").touch()
    with pytest.raises(UserError, match=r"gallery\.origin\.json"):
        Results(tmp_path).features("resnet", "gallery")
    (folder / "gallery.origin.json").touch()
    assert [path.name for path in Results(tmp_path).features("resnet", "gallery")] == [
        "gallery.npy",
        "gallery.ids.csv",
        "gallery.origin.json",
    ]
