"""The benchmarks run, say what they should, and compare ways that do the same work."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from checkout import CHECKOUT
from PIL import Image

sys.path.insert(0, str(CHECKOUT))

from benchmarks import published, rounds
from benchmarks.apart import WorkFailed, apart
from benchmarks.comparisons import COMPARISONS
from benchmarks.labels import found_of
from benchmarks.loss_accuracy import found_by
from benchmarks.machine import Machine, threads
from benchmarks.photos import photos
from benchmarks.rounds import Way, compared, in_turn, ratio
from benchmarks.search import vectors
from benchmarks.tables import Table, format_cell

from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.doubtful_labels import NEIGHBOURS, judged_pictures
from gallerist.features.store import Features
from gallerist.search.exact import search
from gallerist.search.nearest_others import nearest_others

TIMED = ("decoding", "augmentation", "search", "indexes")
OF_NETWORKS = ("engines", "extraction")
SIMULATED = "seeds"
SPLIT = "abstaining"
IN_PROCESSES_OF_THEIR_OWN = ("training", "memory")

ALL_IN_ONE_PROCESS = """
import sys
from pathlib import Path
from benchmarks.apart import WorkFailed, apart  # noqa: E402
from benchmarks.comparisons import COMPARISONS
from benchmarks.machine import Machine
for name in sys.argv[2:]:
    COMPARISONS[name].measure(quick=True).write(Path(sys.argv[1]), Machine.here())
"""


def run_python(*arguments):
    """Run Python in the checkout, where `benchmarks` is found; returns what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT / "scripts"), "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout


def quick_tables(folder, names):
    """The JSON of some comparisons, measured with tiny sizes."""
    run_python("-c", ALL_IN_ONE_PROCESS, folder, *names)
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in names}


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    return quick_tables(tmp_path_factory.mktemp("timed"), TIMED)


@pytest.fixture(scope="module")
def in_processes(tmp_path_factory):
    return quick_tables(tmp_path_factory.mktemp("processes"), IN_PROCESSES_OF_THEIR_OWN)


@pytest.fixture(scope="module")
def of_networks(tmp_path_factory):
    return quick_tables(tmp_path_factory.mktemp("networks"), OF_NETWORKS)


@pytest.mark.parametrize("name", TIMED)
def test_each_comparison_gives_positive_medians_and_ratios(timed, name):
    check_the_medians_and_ratios(timed[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_NETWORKS)
def test_each_comparison_of_networks_does_so_too(of_networks, name):
    check_the_medians_and_ratios(of_networks[name])


def check_the_medians_and_ratios(table):
    (heading,) = [each for each in table["rows"][0] if each.startswith("ms a ")]
    for row in table["rows"]:
        assert 0 < row["fastest"] <= row[heading] <= row["slowest"]
        ratios = [value for column, value in row.items() if column.startswith(("times ", "of "))]
        assert ratios
        assert all(value > 0 and math.isfinite(value) for value in ratios)
    assert any(row["way"].startswith("Gallerist") for row in table["rows"])


@pytest.mark.slow
def test_engines_give_the_same_vectors(of_networks):
    cosines = [float(row["least cosine"]) for row in of_networks["engines"]["rows"]]
    assert len(cosines) >= 6
    assert min(cosines) > 0.99999


@pytest.mark.slow
def test_both_trainings_end_with_the_same_metrics(in_processes):
    theirs, ours = in_processes["training"]["rows"]
    for row in (theirs, ours):
        assert all(row[name] > 0 for name in row if name.endswith(", s") and row[name] is not None)
        assert row["times, later epoch"] > 0
        assert row["times, in all"] > 0
    assert ours["cache, s"] > 0
    for curve in ("last loss", "last accuracy", "last val_loss", "last val_accuracy"):
        assert float(ours[curve]) == pytest.approx(float(theirs[curve]), rel=1e-3)


@pytest.mark.slow
def test_the_memory_of_each_kind_of_work_is_reported(in_processes):
    rows = in_processes["memory"]["rows"]
    assert [row["work"] for row in rows] == ["extraction", "an epoch on kept rows"]
    for row in rows:
        few, many = row["MB at 8 pictures"], row["MB at 40 pictures"]
        assert few > 100
        assert many > 100
        assert row["MB more"] == pytest.approx(many - few)


def test_work_that_fails_in_a_process_of_its_own_is_reported():
    with pytest.raises(WorkFailed, match=r"benchmarks\.memory nonsense 3:(.|\n)*invalid choice"):
        apart("benchmarks.memory", "nonsense", 3)


@pytest.mark.slow
def test_the_overhead_of_every_job_is_reported_and_who_imports_tensorflow(tmp_path):
    run_python("-m", "benchmarks", "--quick", "--only", "overhead", "--output", tmp_path)
    rows = json.loads((tmp_path / "overhead.json").read_text())["rows"]
    imports = {row["rule"]: row.get("imports TensorFlow") for row in rows}
    assert {"import_images", "train_network", "search_gallery", "all jobs"} <= set(imports)
    assert imports["train_network"] == "yes"
    assert {imports[rule] for rule in ("extract_features", "split_images", "search_gallery")} == {
        "no"
    }
    assert all(row["added"] > 0 and 0 <= row["computing"] < row["process"] for row in rows)


@pytest.mark.slow
def test_a_served_model_is_asked_by_one_and_by_four_and_ranks_as_the_workflow(tmp_path):
    run_python("-m", "benchmarks", "--quick", "--only", "serving", "--output", tmp_path)
    rows = json.loads((tmp_path / "serving.json").read_text())["rows"]
    assert [row["clients"] for row in rows] == [1, 4]
    assert {row["equal rankings"] for row in rows} == {"6 of 6"}
    assert all(0 < row["latency ms, median"] <= row["latency ms, 95 %"] for row in rows)
    assert all(row["requests a second"] > 0 for row in rows)


def test_the_command_prints_a_table_and_writes_it(tmp_path):
    said = run_python(
        *("-m", "benchmarks", "--quick", "--only", "search", "--rounds", "2", "--output", tmp_path)
    )
    written = (tmp_path / "search.md").read_text(encoding="utf-8")
    assert written in said
    assert "| Gallerist, 10 answers " in written
    assert "2 rounds" in written
    value = json.loads((tmp_path / "search.json").read_text(encoding="utf-8"))
    assert len(value["raw"]["seconds an item"]["Gallerist, 10 answers"]) == 2
    assert value["machine"]["cores"] == threads()
    assert value["machine"]["libraries"]["numpy"] == np.__version__


def test_a_comparison_that_does_not_exist_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--only", "nothing"],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT / "scripts")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "invalid choice: 'nothing'" in done.stderr


def test_every_comparison_is_tested():
    others = {"overhead", "serving", "browse", "labels", "losses", SIMULATED, SPLIT}
    assert set(COMPARISONS) == {*TIMED, *OF_NETWORKS, *IN_PROCESSES_OF_THEIR_OWN, *others}


def test_labels_that_were_made_wrong_are_found_far_above_chance():
    """Vectors of one picture a class, which every other of the class is equal to."""
    labels = [f"class {row % 4}" for row in range(80)]
    pictures = [
        Picture(f"{row:016x}", "", label, "gallery", f"{row:016x}", 8, 8, "0" * 16)
        for row, label in enumerate(labels)
    ]
    judged = judged_pictures([Manifest(pictures)], 0, 1, 100)
    features = Features.of(np.eye(4)[np.arange(80) % 4], judged.ids("gallery"), "model", "none")
    neighbours = nearest_others([(features, features.ids)], judged.groups, NEIGHBOURS)
    found = found_of(judged, neighbours, 5)
    assert found["precision"] == found["right class"] == 1
    assert found["recall"] > 0.7


@pytest.mark.slow
def test_an_epoch_of_each_loss_is_compared_with_one_of_cross_entropy(tmp_path):
    rows = quick_tables(tmp_path, ["losses"])["losses"]["rows"]
    assert [row["way"] for row in rows][:2] == ["classification", "triplet"]
    assert len(rows) == 10
    assert all(row["takes times as long"] > 0 for row in rows)


def test_what_a_loss_finds_is_counted_as_in_the_evaluation():
    """Two of a class, one beside the other and one behind a wrong picture; itself is no answer."""
    vectors = np.array([[1, 0], [0.9, 0.1], [0.8, 0.5], [0.1, 1], [0, 1]], float)
    labels = ["a", "a", "b", "a", "distractor"]
    found = found_by(vectors, labels, range(5), range(5))
    # Of the first: a, b; of the second: a, b; of the fourth: distractor, b. b has no other.
    np.testing.assert_allclose(found["top-1"], [1, 1, 0])
    np.testing.assert_allclose(found["mAP@R"], [0.5, 0.5, 0])


def test_thresholds_are_fitted_and_tried_on_every_split(tmp_path):
    rows = quick_tables(tmp_path, [SPLIT])[SPLIT]["rows"]
    assert len({row["absent"] for row in rows}) == 4
    assert {row["with a threshold"] for row in rows} == {1.0}
    for row in rows:
        assert 0 < row["coverage"] <= 1
        assert row["risk"] <= row["promised"]


def test_ways_are_measured_in_turn_after_one_round_that_does_not_count(monkeypatch):
    said, now = [], [0.0]
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: now[0])

    def work(name, seconds):
        said.append(name)
        now[0] += seconds

    ways = {"a": Way(lambda: work("a", 6), items=2), "b": Way(lambda: work("b", 1), items=1)}
    assert in_turn(ways, 2) == {"a": [3, 3], "b": [1, 1]}
    assert said == ["a", "b"] * 3


def test_a_ratio_is_the_median_of_the_ratios_of_neighbours():
    assert ratio([2, 20, 9], [1, 10, 3]) == 2  # of the medians it would be 3


def test_a_table_compares_each_way_with_its_yardstick(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: now[0])

    def lasting(seconds):
        def run():
            now[0] += seconds

        return run

    ways = {
        "slow": Way(lasting(2), 4, {"times slow": "slow"}),
        "fast": Way(lasting(1), 4, {"times slow": "slow"}, {"parity": "1.0"}),
    }
    table = compared("x", "X", ways, 3, item=("thing", "things"))
    assert table.columns == [
        *("way", "ms a thing", "fastest", "slowest", "things a second", "times slow", "parity")
    ]
    assert table.column("ms a thing") == [500, 250]
    assert table.column("things a second") == [2, 4]
    assert table.column("times slow") == [1, 2]
    assert table.column("parity") == [None, "1.0"]


def test_a_table_is_written_with_its_notes_and_its_machine(tmp_path):
    machine = Machine("Example", 3, 16.2, ("avx2",), "Linux, Python 3.11", {"numpy": "2"}, 0.5)
    table = Table("x", "Title", ({"way": "a", "s": 1.23456}, {"way": "bb", "n": 3}), ("Noted",))
    assert table.write(tmp_path, machine) == tmp_path / "x.md"
    assert (tmp_path / "x.md").read_text(encoding="utf-8") == (
        "# Title\n\n"
        "| way | s    | n |\n"
        "|-----|------|---|\n"
        "| a   | 1.23 |   |\n"
        "| bb  |      | 3 |\n\n"
        "- Noted\n"
        "- Example (avx2), 3 cores, 16 GB; Linux, Python 3.11\n"
        "- numpy 2\n"
        "- load average at the start: 0.50\n"
    )
    assert json.loads((tmp_path / "x.json").read_text())["rows"][0]["s"] == 1.23456


@pytest.mark.parametrize(
    ("cell", "text"),
    [(None, ""), ("a", "a"), (12, "12"), (0.00123456, "0.00123"), (1.0, "1"), (123.456, "123.5"),
     (100.0, "100"), (12345.6, "12346")],
)  # fmt: skip
def test_numbers_are_shown_with_three_digits_or_more(cell, text):
    assert format_cell(cell) == text


def test_this_machine_has_a_name_and_cores():
    machine = Machine.here()
    assert machine.processor
    assert 1 <= machine.cores <= os.cpu_count()
    assert machine.memory_gb > 0.1
    assert len(machine.lines) == 3


def test_pictures_are_of_all_classes_alike_and_come_again_where_they_are_few():
    with photos(5000) as pictures:
        counts = [pictures.labels.count(label) for label in set(pictures.labels)]
        assert len(pictures.paths) == sum(counts) == 5000
        assert max(counts) - min(counts) <= 1
        assert all(path.is_file() for path in set(pictures.paths))
        manifest = pictures.manifest("training")
        assert len(set(manifest.ids)) == 5000


def test_without_photos_silhouettes_are_drawn(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.photos.PHOTOS", tmp_path / "none")
    with photos(30) as pictures:
        assert pictures.source == "silhouettes"
        assert len(set(pictures.paths)) == 30
        with Image.open(pictures.paths[0]) as image:
            assert image.size == (250, 250)


def test_the_published_search_gives_the_same_answers():
    queries, gallery = vectors(12, 48, seed=1), vectors(200, 48, seed=2)
    ids = [f"{row:03d}" for row in range(200)]
    ours = search(queries, [f"q{row}" for row in range(12)], gallery, ids, 10)
    theirs = published.search(queries, lambda: gallery, 10)
    assert ours.answers == tuple(tuple(ids[row] for row in rows) for rows in theirs)


def test_the_published_loop_gives_the_same_features_where_nothing_is_resized(tmp_path):
    from benchmarks.networks import SMALL, backbone_of

    from gallerist.features.extractors import extract
    from gallerist.features.network import NetworkExtractor

    random = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        pixels = random.integers(0, 256, (SMALL.image_size, SMALL.image_size, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    extractor = NetworkExtractor(*SMALL.store(tmp_path), threads=2)
    theirs = published.extract(published.feature_network(backbone_of(extractor.network)), paths)
    ours = extract(extractor, paths).vectors
    assert ours.shape == theirs.shape
    assert (theirs.astype(np.float64) * ours).sum(axis=1).min() > 0.99999


def test_the_published_augmentation_writes_five_copies_of_a_picture(tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    published.augment([tmp_path / "a.png"], tmp_path / "copies")
    # Its random names may meet: one of them would then be lost.
    copies = list((tmp_path / "copies").iterdir())
    assert 4 <= len(copies) <= published.COPIES
    with Image.open(copies[0]) as image:
        assert image.size == (40, 30)
        assert image.format == "JPEG"
