"""A capsule holds what a comparison follows from, no more, and equal contents in equal bytes."""

import csv
import io
import shutil

import pytest
from capsules import files_of
from checkout import LIBRARY
from small_comparison import EXPERIMENTS, write_results

from gallerist.capsule.contents import STATED, rounded
from gallerist.capsule.packing import pack
from gallerist.evaluation.external_evaluation import Task, evaluate_files
from gallerist.io.errors import UserError
from gallerist.io.files import read_json
from gallerist.workflow.dependencies import imported_names


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return write_results(tmp_path_factory.mktemp("packing"))


@pytest.fixture(scope="module")
def files(results):
    pack(results, results.folder / "capsule.zip")
    return files_of(results.folder / "capsule.zip")


def test_equal_results_give_equal_bytes(results, tmp_path):
    again = write_results(tmp_path)
    digests = [pack(each, tmp_path / f"{n}.zip") for n, each in enumerate((results, again))]
    assert digests[0] == digests[1]
    assert (tmp_path / "0.zip").read_bytes() == (tmp_path / "1.zip").read_bytes()


def test_another_figure_gives_another_digest(results, tmp_path):
    other = write_results(tmp_path)
    table = other.folder / "comparison/comparison.csv"
    table.write_text(table.read_text().replace("12.3", "12.4"))
    assert pack(results, tmp_path / "0.zip") != pack(other, tmp_path / "1.zip")


def test_rankings_and_the_truth_are_carried_as_they_are(results, files):
    for name in EXPERIMENTS:
        ranking = results.path(f"rankings/{name}.csv").read_bytes()
        assert files[f"rankings/{name}.csv"] == ranking
    truth = list(csv.DictReader(io.StringIO(files["truth.csv"].decode())))
    for part in ("gallery", "query"):
        with results.path(f"manifests/{part}.csv").open(newline="") as file:
            wanted = [
                [row[key] for key in ("id", "label", "source_id")] for row in csv.DictReader(file)
            ]
        carried = [row for row in truth if row["part"] == part]
        assert [[row[key] for key in ("id", "label", "source_id")] for row in carried] == wanted


def test_nothing_says_where_the_pictures_lie(files):
    assert not [name for name, content in files.items() if b"/home/somebody" in content]


def test_every_cell_of_the_comparison_is_carried_to_ten_decimals(results, files):
    with results.path("comparison/comparison.csv").open(newline="") as file:
        wanted = list(csv.reader(file))
    carried = list(csv.reader(io.StringIO(files["comparison/comparison.csv"].decode())))
    assert carried[0] == wanted[0]
    assert set(STATED) <= set(carried[0])
    for row, again in zip(carried, wanted, strict=True):
        for cell, full in zip(row, again, strict=True):
            assert cell == full or float(cell) == pytest.approx(float(full), abs=0.5e-10)


@pytest.mark.parametrize(
    ("cell", "carried"),
    [
        ("0.254236034606665", "0.2542360346"),
        ("-0.7000000000000001", "-0.7"),
        ("1.2345678901234e-05", "1.23457e-05"),
        ("4.44e-16", "4.44e-16"),
        ("0.5100", "0.5100"),
        ("12", "12"),
        ("0.4100 to 0.6100", "0.4100 to 0.6100"),
        ("", ""),
    ],
)
def test_only_numbers_written_in_full_are_rounded(cell, carried):
    assert rounded(cell) == carried


def test_the_code_in_it_needs_the_standard_library_numpy_and_scipy(files, tmp_path):
    carried = {name for name in files if name.startswith("gallerist/") and name.endswith(".py")}
    assert {"gallerist/capsule/verification.py", "gallerist/evaluation/bootstrap.py"} <= carried
    for name in carried:
        assert files[name] == (LIBRARY.parent / name).read_bytes()
        for module in imported_names(LIBRARY.parent / name):
            if module.startswith("gallerist.") and module.count(".") == 2:
                assert f"{module.replace('.', '/')}.py" in carried


def test_its_files_are_what_gallerist_evaluate_reads(files, tmp_path):
    for name in ("truth.csv", "rankings/good.csv"):
        (tmp_path / name.replace("rankings/", "")).write_bytes(files[name])
    task = Task([tmp_path / "good.csv", tmp_path / "truth.csv"], json=tmp_path / "found.json")
    evaluate_files(task)
    found = read_json(tmp_path / "found.json")["rankings"]["good"]["metrics"]["mAP"]["mean"]
    rows = csv.DictReader(io.StringIO(files["comparison/comparison.csv"].decode()))
    assert float(next(rows)["mAP"]) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize(
    "changed", ["rankings/good.csv", "manifests/query.csv", "evaluation/seed_1/queries.csv"]
)
def test_results_that_do_not_belong_together_are_refused(tmp_path, changed):
    results = write_results(tmp_path)
    path = results.folder / changed
    path.write_text(path.read_text() + "\n")
    with pytest.raises(UserError, match=rf"{changed} is not the file .* make run"):
        pack(results, tmp_path / "capsule.zip")
    assert not (tmp_path / "capsule.zip").exists()


def test_before_the_first_run_it_says_what_to_do(tmp_path):
    results = write_results(tmp_path)
    shutil.rmtree(results.folder / "comparison")
    with pytest.raises(UserError, match="Run the workflow first"):
        pack(results, tmp_path / "capsule.zip")
