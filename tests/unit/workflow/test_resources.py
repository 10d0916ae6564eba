"""What jobs ask of a batch system: for every rule, more with more data and with every attempt."""

import math
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from checkout import CHECKOUT
from hypothesis import given
from hypothesis import strategies as st

from gallerist.config.completion import check
from gallerist.workflow.experiments import Experiment
from gallerist.workflow.plan import Plan
from gallerist.workflow.resources import (
    NEEDS,
    ROW_BYTES,
    Needs,
    count_pictures,
    measure,
    training_threads,
)

CONFIG = {
    "experiments": {
        "scratch": {"network": "scratch", "epochs": 2},
        "resnet": {"network": "transfer", "backbone": "ResNet152", "image_size": 224, "epochs": 9},
        "hog": {"descriptor": "hog"},
    },
}
RESNET = {"network": "transfer", "backbone": "ResNet152"}
OF_AN_EXPERIMENT = SimpleNamespace(experiment="resnet")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of seven."""
    folder = tmp_path_factory.mktemp("pictures")
    for part in ("training", "validation/gallery", "validation/query"):
        (folder / part / "fox").mkdir(parents=True)
    for number in range(7):
        (folder / f"training/fox/{number}.png").touch()
    return folder


def planned(**dataset):
    return Plan(check({**CONFIG, "dataset": {"name": "many", **dataset}}))


def counted(**dataset):
    return count_pictures(planned(**dataset))


@pytest.fixture(scope="module")
def plan(pictures):
    return planned(folder=str(pictures))


def asked(needs, rule, files, attempt=1):
    wildcards = SimpleNamespace() if rule == "extract_trunk" else OF_AN_EXPERIMENT
    found = needs.of(rule)
    return {
        name: value(wildcards, files, attempt) if callable(value) else value
        for name, value in found.items()
    }


@pytest.fixture
def inputs(tmp_path):
    """Inputs of a job: a manifest of so many pictures, and so many megabytes of vectors."""

    def make(pictures, megabytes):
        sizes = {"gallery.csv": pictures * ROW_BYTES, "gallery.npy": megabytes * 10**6}
        for name, size in sizes.items():
            with (tmp_path / name).open("wb") as file:
                file.truncate(size)  # a sparse file: nothing is written
        return [str(tmp_path / name) for name in sizes]

    return make


def test_every_rule_that_computes_says_what_it_needs():
    """By its name; and no rule that is gone has a row left."""
    named, rules = set(), set()
    for path in (CHECKOUT / "rules").glob("*.smk"):
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r"\*\*needs\.of\(\"(\w+)\"\)", text))
        rules |= set(re.findall(r"^ *rule (\w+):", text, flags=re.MULTILINE))
        rules |= set(re.findall(r"name:\s+f\"(\w+?)_*\{", text))
    assert rules - {"sync_tracking", "prune_runs"} == named
    assert set(NEEDS) <= named


@pytest.mark.parametrize("rule", ["not_measured", *sorted(set(NEEDS) - {"extract_trunk"})])
def test_more_is_asked_for_with_more_data_and_with_every_attempt(rule, plan, inputs):
    needs = Needs(plan)
    few = asked(needs, rule, inputs(1000, 10))
    many = asked(needs, rule, inputs(1_000_000, 10_000))
    again = asked(needs, rule, inputs(1_000_000, 10_000), attempt=2)
    for name in ("mem_mb", "runtime", "disk_mb"):
        assert few[name] <= many[name]
        assert again[name] == 2 * many[name]
        assert all(isinstance(each[name], int) and each[name] > 0 for each in (few, many, again))


def test_no_job_asks_for_more_memory_than_the_largest_node_has(plan, inputs):
    many = inputs(1_000_000, 10_000)
    assert asked(Needs(plan), "search_gallery", many)["mem_mb"] > 11_000
    assert asked(Needs(plan, megabytes=11_000), "search_gallery", many)["mem_mb"] == 11_000


def test_time_and_disk_are_asked_of_a_batch_system_only(plan, inputs):
    found = asked(Needs(plan, sending=False), "search_gallery", inputs(1000, 10))
    assert found == {"mem_mb": asked(Needs(plan), "search_gallery", inputs(1000, 10))["mem_mb"]}


@pytest.mark.parametrize("gpus", [0, 1])
def test_jobs_of_networks_alone_share_the_gpus(gpus, plan):
    needs = Needs(plan, gpus=gpus)
    found = {rule: needs.of(rule).get("gpu") for rule in NEEDS}
    networks = {"train_network", "extract_trunk", "extract_features", "encode_images"}
    networks |= {"explain_experiment"}
    assert found == {rule: gpus if rule in networks else None for rule in NEEDS}


@pytest.mark.parametrize(
    ("settings", "threads"),
    [
        ({"network": "scratch", "image_size": 96}, 1),
        ({"network": "scratch", "image_size": 96, "batch_size": 64}, 8),
        ({"network": "scratch", "image_size": 250}, 8),
        ({**RESNET, "image_size": 64, "freeze_until": "conv5"}, 1),
        ({**RESNET, "image_size": 64, "freeze_until": "conv5", "trunk_cache": False}, 8),
        ({**RESNET, "image_size": 64, "freeze_until": "nothing"}, 8),
        ({**RESNET, "freeze_until": "conv5"}, 8),
    ],
)
def test_a_training_of_small_steps_is_given_one_thread(settings, threads):
    assert training_threads(Experiment.of("it", settings), 8) == threads
    assert training_threads(Experiment.of("it", settings), 1) == 1


@given(st.integers(0, 10**7), st.integers(0, 10**5))
def test_data_is_measured_by_its_files(pictures, megabytes):
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"a.csv": pictures * ROW_BYTES, "a.npy": megabytes * 10**6, "a.ids.csv": 50}
        for name, size in sizes.items():
            with Path(folder, name).open("wb") as file:
                file.truncate(size)
        names = [str(Path(folder, name)) for name in sizes]
        assert measure([*names, "scripts/no_file.py"]) == (pictures, megabytes)


def test_what_is_not_there_yet_is_named_so_that_snakemake_asks_again(tmp_path):
    missing = str(tmp_path / "gallery.npy")
    with pytest.raises(FileNotFoundError) as raised:
        measure([missing])
    assert raised.value.filename == missing


def test_jobs_with_little_work_stay_and_the_rest_is_sent(plan):
    needs = Needs(plan)
    assert set(needs.small(NEEDS, 1000, 0)) == set()
    few = set(needs.small(NEEDS, 1000, 2))
    assert {"search_gallery", "compare_experiments", "import_images"} <= few
    assert not {"train_network", "extract_trunk", "extract_features"} & few
    many = set(needs.small(NEEDS, 1_000_000, 2))
    assert many < few
    assert {"split_images", "write_submissions"} <= many
    assert set(needs.small(NEEDS, math.inf, 2)) <= many
    assert needs.small(["not_measured"], 1000, 2) == ["not_measured"]
    assert needs.small(["not_measured"], 1_000_000, 2) == []


def test_pictures_are_counted_before_they_are_imported(tmp_path, monkeypatch, pictures):
    monkeypatch.chdir(tmp_path)
    assert counted(folder=str(pictures)) == 7
    (tmp_path / "a.zip").touch()
    archive = {"location": "a.zip", "sha256": "0" * 64}
    assert counted(archive=archive) == math.inf
    for part, rows in (("originals", 3), ("gallery", 2), ("query", 1)):
        path = tmp_path / f"results/many/manifests/{part}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"." * rows * ROW_BYTES)
    assert counted(archive=archive) == 6
    drawn = {"training_per_class": 4, "gallery_per_class": 2, "query_per_class": 1}
    assert counted(embedded=drawn) == 70
