"""benchmarks.equality: what tells of the run itself may differ, a digit of a result may not."""

import json
import sys
from pathlib import Path

import pytest
from checkout import CHECKOUT

sys.path.insert(0, str(CHECKOUT))

from benchmarks.equality import compare

RECORD = {"status": "finished", "metrics": {"top-1": 0.5, "search_seconds": 1.5}}
RECORD |= {"tags": {"threads": "1", "code": "evaluate_retrieval 0123456789abcdef"}}
RECORD |= {"curves": {"epoch_seconds": [[1, 2.0]], "loss": [[1, 0.25]]}, "started": "2026-01-01"}
FILES = {
    "comparison/comparison.csv": "experiment,top-1,training s\nhog,0.66,1.25\n",
    "comparison/comparison.md": (
        "| experiment | training s |\n|---|---|\n| hog | 1.2 |\n\n"
        "| seeds | top-1 | training s |\n|---|---|---|\n| 3 | 0.25 | 1.2 |\n"
    ),
    "comparison/over_seeds.csv": "seeds,top-1 mean,training s mean\n3,0.25,1.5\n",
    "rankings/hog.csv": "query,rank,gallery,distance\na,1,b,0.125\n",
    "evaluation/hog/evaluation.record.json": json.dumps(RECORD),
    "logs/search_gallery/hog.log": "search_gallery hog on host, pid 1\n",
    ".workflow.json": '{"pid": 1}',
}
OF_THE_RUN = {"logs/search_gallery/hog.log", ".workflow.json"}


def results(folder: Path, **changed: str) -> Path:
    for name, text in {**FILES, **changed}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_times_and_logs_may_differ(tmp_path):
    later = {**RECORD, "started": "2026-02-02", "metrics": {"top-1": 0.5, "search_seconds": 9.0}}
    later["tags"] = {"threads": "1", "code": "evaluate_retrieval fedcba9876543210"}
    later["curves"] = {"epoch_seconds": [[1, 7.0]], "loss": [[1, 0.25]]}
    new = {
        "comparison/comparison.csv": "experiment,top-1,training s\nhog,0.66,9.5\n",
        "comparison/comparison.md": (
            "| experiment | training s |\n|-----|--|\n| hog | 10.2 |\n\n"
            "| seeds | top-1 | training s |\n|---|---|---|\n| 3 | 0.25 | 7.2 |\n"
        ),
        "comparison/over_seeds.csv": "seeds,top-1 mean,training s mean\n3,0.25,9.5\n",
        "evaluation/hog/evaluation.record.json": json.dumps(later),
        "logs/search_gallery/hog.log": "search_gallery hog on host, pid 2\n",
        ".workflow.json": '{"pid": 2}',
    }
    equal, lines = compare(results(tmp_path / "old"), results(tmp_path / "new", **new))
    assert lines == []
    assert equal == {".csv": 3, ".md": 1, ".record.json": 1}


@pytest.mark.parametrize("name", sorted(set(FILES) - OF_THE_RUN))
def test_a_digit_that_differs_is_named(name, tmp_path):
    digit = {"comparison/comparison.md": "hog", "rankings/hog.csv": "0.125"}.get(name, "0.5")
    digit = "0.66" if name == "comparison/comparison.csv" else digit
    digit = "0.25" if name == "comparison/over_seeds.csv" else digit
    assert digit in FILES[name]
    new = {name: FILES[name].replace(digit, digit[:-1] + "7")}
    _, lines = compare(results(tmp_path / "old"), results(tmp_path / "new", **new))
    assert lines == [f"different: {name}"]


def test_a_file_of_one_folder_only_is_named(tmp_path):
    old = results(tmp_path / "old")
    new = results(tmp_path / "new", **{"models/cnn/history.csv": "epoch\n1\n"})
    _, lines = compare(old, new)
    assert lines == [f"only in {new}: models/cnn/history.csv"]
