"""What a script asks its run for: settings, the title of its figures, the time that work takes."""

import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from gallerist.io.files import canonical_json
from gallerist.records.made import verify_inputs
from gallerist.records.record import read_record
from gallerist.workflow.stage import stage


@dataclass
class Search:
    metric: str
    neighbours: int


def job(**changes):
    """A job as Snakemake describes it, without MLflow."""
    values = {
        "rule": "search_gallery",
        "threads": 1,
        "input": [],
        "output": SimpleNamespace(record="search.record.json"),
        "params": SimpleNamespace(
            settings=canonical_json({"metric": "cosine", "neighbours": 3}),
            members=canonical_json(["hog", "colour"]),
            group="[not JSON",
        ),
        "wildcards": SimpleNamespace(experiment="hog", part="query"),
        "log": ["search.log"],
        "config": {"dataset": {"name": "monkeys"}, "tracking": None},
    }
    return SimpleNamespace(**(values | changes))


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_settings_are_read_as_a_mapping_or_as_a_class():
    with stage(job()) as run:
        assert run.settings == {"metric": "cosine", "neighbours": 3}
        assert run.settings_as(Search) == Search("cosine", 3)


def test_settings_can_be_taken_apart_and_read_again():
    with stage(job()) as run:
        run.settings.pop("metric")
        assert run.settings["metric"] == "cosine"


def test_a_parameter_is_read_as_json_only_where_it_is_asked_for():
    with stage(job()) as run:
        assert run.param("members") == ["hog", "colour"]
        assert run.settings  # the group is no JSON, and nobody asked


def test_figures_are_headed_by_the_data_set_and_the_experiment():
    with stage(job()) as run:
        assert run.title == "monkeys, hog"
    with stage(job(wildcards=SimpleNamespace())) as run:
        assert run.title == "monkeys"


def test_the_seconds_of_a_block_are_a_metric():
    with stage(job()) as run, run.timed("search_seconds") as timer:
        time.sleep(0.05)
    seconds = read_record("search.record.json").metrics["search_seconds"]
    assert seconds == timer.seconds
    assert 0.05 <= seconds < 5


def test_what_is_recorded_of_the_search_of_a_challenge_says_so():
    with stage(job()) as run:
        files = ["rankings/a.png", "rankings/challenge/a.png"]
        for file, queries in run.each_search(files, [9, 4]):
            run.metrics(queries=queries)
            Path(file).parent.mkdir(parents=True)
            Path(file).touch()
            run.artifact(file, "pictures")
        run.metrics(searches=2)
    record = read_record("search.record.json")
    measured = {"queries": 9, "challenge/queries": 4, "searches": 2}
    assert record.metrics == {**measured, "seconds": record.metrics["seconds"]}
    # Beside the log, and where it is not committed the change of the code.
    assert [each.folder for each in record.artifacts if each.folder not in ("log", None)] == [
        "pictures",
        "challenge/pictures",
    ]


def test_a_block_that_fails_has_no_seconds():
    given = job(output=SimpleNamespace())
    with pytest.raises(SystemExit), stage(given) as run, run.timed("search_seconds") as timer:
        raise ValueError("no gallery")
    assert timer.seconds == 0


def test_a_record_of_when_another_job_made_a_file_goes_when_the_file_is_made_anew():
    """Who reads the file would compare it with that one first."""
    Path("manifests").mkdir()
    output = SimpleNamespace(made="manifests/gallery.csv", record="manifests/source.record.json")
    earlier = SimpleNamespace(made=output.made, record="manifests/gallery.record.json")
    for text, files in (("1", earlier), ("2", output)):
        with stage(job(output=files)):
            Path(files.made).write_text(text)
        verify_inputs([files.made])
    assert [each.name for each in Path("manifests").glob("*.json")] == ["source.record.json"]
