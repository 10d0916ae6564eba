"""In a real run: one more picture costs one picture, and shards change nothing."""

import pytest
from tiny_workflow import CONFIG, Workflow, draw_picture

from gallerist.io.files import read_json

EXPERIMENTS = {
    "colour": {"descriptor": "colour_histogram", "bins": 4},
    "sift": {"descriptor": "sift", "words": 4, "max_points": 60},
}
RANKINGS = [f"results/tiny/rankings/{name}.csv" for name in EXPERIMENTS]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "gallerist"
    workflow = Workflow(folder, {**CONFIG, "experiments": EXPERIMENTS})
    workflow.log_nothing()
    workflow.run(*RANKINGS)
    return workflow


@pytest.fixture
def workflow(finished, tmp_path):
    return finished.copy(tmp_path / "gallerist")


PARTS = ("gallery", "query")


def counts(workflow, experiment):
    """Vectors computed, and those that were there, when the experiment was last extracted."""
    record = read_json(workflow.results / f"features/{experiment}/extraction.record.json")
    metrics = record["metrics"]
    return int(metrics["vectors_computed"]), int(metrics["vectors_stored"])


def features(workflow, experiment):
    files = sorted((workflow.results / "features" / experiment).glob("[!e]*.*"))
    return {file.name: file.read_bytes() for file in files}


def test_a_picture_added_renamed_and_moved_computes_one_none_and_one(workflow):
    assert counts(workflow, "colour") == (15, 0)
    pictures = workflow.folder / "pictures"
    draw_picture(pictures / "validation/gallery/discs/another.png", "discs", 1002)
    query = pictures / "validation/query/discs/discs_0.jpg"
    query.rename(query.with_stem("renamed"))
    done = workflow.rerun(*RANKINGS)
    assert {"describe_images colour", "encode_key_points sift"} <= done
    assert "learn_vocabulary sift" not in done
    assert [counts(workflow, name) for name in EXPERIMENTS] == [(1, 15), (1, 15)]
    imported = [read_json(workflow.results / f"manifests/{part}.record.json") for part in PARTS]
    assert [each["metrics"]["images_examined"] for each in imported] == [1, 0]

    moved = pictures / "training/discs/discs_1.png"
    moved.rename(pictures / "validation/gallery/discs/moved.png")
    workflow.run("results/tiny/rankings/colour.csv")
    assert counts(workflow, "colour") == (1, 16)


def test_shards_write_the_same_bytes_and_a_lost_store_is_made_again(workflow):
    before = {name: features(workflow, name) for name in EXPERIMENTS}
    for path in workflow.results.glob("store/*/*/*/*.arrow"):
        path.unlink()
    workflow.edit_config("compute", {"shards": 3})
    done = workflow.rerun(*RANKINGS)
    shards = {f"describe_images colour {number}" for number in range(3)}
    assert shards | {"describe_images colour"} <= done
    assert "learn_vocabulary sift" not in done
    assert {name: features(workflow, name) for name in EXPERIMENTS} == before
    assert counts(workflow, "colour") == (0, 15)


def test_what_no_experiment_uses_is_counted_and_removed_when_asked_for(workflow):
    assert "0 unused files" in workflow.gallerist("collect").stdout
    workflow.edit_config("experiments.colour.bins", 5)
    workflow.run(*RANKINGS)
    kept = sorted(workflow.results.glob("store/*/*/*/*.arrow"))
    said = workflow.gallerist("collect").stdout
    assert said.startswith("1 unused files of ")
    assert "gallerist collect --yes" in said
    assert sorted(workflow.results.glob("store/*/*/*/*.arrow")) == kept
    assert workflow.gallerist("collect", "--yes").stdout.startswith("removed 1 unused files of ")
    assert "0 unused files" in workflow.gallerist("collect").stdout
    assert workflow.dry_run(*RANKINGS) == set()
