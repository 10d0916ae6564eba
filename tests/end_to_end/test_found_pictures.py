"""A user's own pictures, as they are: every format, broken files, leaks, and a pool to add from."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import found_pictures
import numpy as np
import pytest
from found_pictures import FOUND, Found, read_rows
from PIL import Image
from sklearn.neighbors import NearestNeighbors
from tiny_workflow import Workflow, jobs_of


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The results of one whole run over found pictures, in a folder under version control."""
    folder = tmp_path_factory.mktemp("found") / "my own pictures"
    found = Found(Workflow(folder, FOUND, counts=None))
    found.workflow.log_nothing()
    author = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    for command in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "-m", "All"]):
        found.workflow.call(["git", *command])
    found.workflow.run()
    found.workflow.log_again()
    found.workflow.gallerist("summary")
    return found


PARTS = ("originals", "gallery", "query", "pool")


def manifest(found, part):
    return read_rows(found.workflow.results / "manifests" / f"{part}.csv")


def faults(found):
    return [
        row
        for part in PARTS
        for row in read_rows(found.workflow.results / "reports/faults" / f"{part}.csv")
    ]


def leaks(found):
    return read_rows(found.workflow.results / "reports/leaks.csv")


def the_row(found):
    (row,) = found.workflow.tracked_runs("found")
    return row


def test_every_bad_file_is_named_with_its_reason(found):
    reasons = {row["path"]: row for row in faults(found)}
    assert len(found.bad) > 25
    for path, reason in found.bad.items():
        assert reason in reasons[path]["reason"], path
        assert reasons[path]["severity"] == "skipped"


def test_no_good_file_is_called_bad(found):
    stray = "pictures/training/notes.txt"
    double = "pictures/training/red fox/97 also a cat.png"
    misnamed = "pictures/training/cat/96 misnamed.png"
    expected = {*found.bad, stray, double, misnamed}
    assert {row["path"] for row in faults(found)} == expected
    reasons = {row["path"]: (row["severity"], row["reason"]) for row in faults(found)}
    assert reasons[stray] == ("skipped", "not inside a class folder")
    assert reasons[double][0] == "skipped"
    assert "pictures/training/cat/00 plain.png" in reasons[double][1]
    assert "another class (cat)" in reasons[double][1]
    assert reasons[misnamed] == ("warning", "the content is JPEG, though the name says PNG")


def test_every_good_file_is_in_its_manifest_under_its_class(found):
    named = {row["path"] for row in faults(found) if row["severity"] == "skipped"}
    for part, folder in {
        "originals": "pictures/training",
        "gallery": "pictures/validation/gallery",
        "query": "pictures/validation/query",
        "pool": "pool",
    }.items():
        files = {
            path.relative_to(found.workflow.folder)
            for path in (found.workflow.folder / folder).rglob("*")
            if not path.is_dir()
        }
        listed = {Path(row["path"]): row["label"] for row in manifest(found, part)}
        assert listed.keys() == files - {Path(path) for path in named}
        for path, label in listed.items():
            assert label == path.relative_to(folder).parts[0]


@pytest.mark.parametrize("name", found_pictures.GOOD)
def test_every_format_is_imported_at_the_size_that_people_see(found, name):
    rows = [
        row for part in PARTS for row in manifest(found, part) if Path(row["path"]).name[3:] == name
    ]
    assert rows
    assert {(int(row["width"]), int(row["height"])) for row in rows} == {(56, 44)}


def test_a_picture_on_its_side_is_stored_lying_and_seen_upright(found):
    stored = found.pictures / f"training/cat/02 {found_pictures.TURNED}"
    with Image.open(stored) as image:
        assert image.size == (44, 56)


def test_the_faults_are_counted_in_mlflow_and_in_the_comparison(found):
    skipped = Counter()
    warned = Counter()
    for part in PARTS:
        for row in read_rows(found.workflow.results / f"reports/faults/{part}.csv"):
            (skipped if row["severity"] == "skipped" else warned)[part] += 1
    stages = {
        run.data.tags["gallerist.part"]: run.data.metrics
        for run in found.workflow.tracked_runs(
            "found/stages", "tags.`gallerist.stage` = 'import_images'"
        )
    }
    for part in PARTS:
        assert stages[part]["images_skipped"] == skipped[part]
        assert stages[part]["images_warned"] == warned[part]
        assert stages[part]["images"] == len(manifest(found, part))
    row = the_row(found).data.metrics
    assert row["images_skipped"] == skipped.total() == len(found.bad) + 2
    assert row["images_warned"] == warned.total() == 1
    page = (found.workflow.results / "comparison/comparison.md").read_text(encoding="utf-8")
    assert f"Files with faults: {skipped.total()} skipped, {warned.total()} warning" in page
    assert "results/found/reports/faults/" in page


def test_on_bad_fail_stops_at_the_import_with_the_whole_list(tmp_path):
    config = {**FOUND, "dataset": {**FOUND["dataset"], "images": {"on_bad": "fail"}}}
    found = Found(Workflow(tmp_path / "gallerist", config, counts=None))
    run = found.workflow.run(check=False)
    assert run.returncode != 0
    for path, reason in found.bad.items():
        (line,) = [line for line in run.stdout.splitlines() if line.startswith(f"  {path}: ")]
        assert reason in line
    in_training = sum(path.startswith("pictures/training/") for path in found.bad)
    assert f"import_images originals failed: {in_training} files are no usable pic" in run.stdout
    assert "on_bad: skip" in run.stdout
    assert "Traceback" not in run.stdout

    assert jobs_of(run) == set()  # no part is without bad files
    left = {path.name for path in found.workflow.results.glob("[!.]*")}
    # What was found in good pictures is kept for the next start.
    assert left <= {"fingerprints", "history", "logs", "benchmarks", "origin", "store"}
    runs = found.workflow.tracked_runs("found/stages")
    assert {run.data.tags["gallerist.part"] for run in runs} == set(PARTS)
    for run in runs:
        assert run.info.status == "FAILED"
        assert "no usable pictures" in run.data.tags["mlflow.note.content"]


def test_a_query_copied_into_training_is_reported(found):
    hits = [row for row in leaks(found) if "99 also a query" in row["path_a"] + row["path_b"]]
    (leak,) = [row for row in hits if row["part_b"] == "query"]
    assert leak["kind"] == "exact"
    assert leak["part_a"] in ("training", "validation")
    assert leak["path_a"] == "pictures/training/cat/99 also a query.jpg"
    assert leak["path_b"] == "pictures/validation/query/cat/15 photo.jpg"
    page = (found.workflow.results / "comparison/comparison.md").read_text(encoding="utf-8")
    assert f"the same file is in {leak['part_a']} and in query" in page
    assert "results/found/reports/leaks.csv" in page


def test_the_leaks_are_counted_in_mlflow(found):
    (run,) = found.workflow.tracked_runs("found/stages", "tags.`gallerist.stage` = 'report_leaks'")
    counts = Counter((row["kind"], row["part_a"], row["part_b"]) for row in leaks(found))
    assert counts["exact", "gallery", "query"] == 1
    for (kind, one, other), count in counts.items():
        assert run.data.metrics[f"{kind}_{one}_{other}"] == count


def test_a_query_that_is_in_the_gallery_too_is_not_its_own_answer(found):
    copy = "pictures/validation/query/red fox/98 also in the gallery.png"
    (identity,) = [row["id"] for row in manifest(found, "query") if row["path"] == copy]
    assert identity in {row["id"] for row in manifest(found, "gallery")}
    answers = [
        row["gallery_id"]
        for row in read_rows(found.workflow.results / "rankings/small.csv")
        if row["query_id"] == identity
    ]
    assert len(answers) == FOUND["search"]["depth"]
    assert identity not in answers
    (run,) = found.workflow.tracked_runs(
        "found/stages", "tags.`gallerist.stage` = 'search_gallery'"
    )
    assert run.data.metrics["queries_in_gallery"] == 1


def test_pool_pictures_that_are_held_out_are_refused(found):
    refused = {
        row["path"]: row["reason"]
        for row in read_rows(found.workflow.results / "reports/refused_pool_pictures.csv")
    }
    held_out = "pictures/validation/gallery/cat/14 plain.png (gallery)"
    assert refused.keys() == {
        "pool/cat/held out.png",
        "pool/cat/held out, saved anew.jpg",
        "pool/cat/known.png",
        "pool/walrus/00 plain.png",
    }
    assert refused["pool/cat/held out.png"] == f"same picture as {held_out}"
    assert "near-duplicate" in refused["pool/cat/held out, saved anew.jpg"]
    assert held_out in refused["pool/cat/held out, saved anew.jpg"]
    assert "same picture as pictures/training/cat/00 plain.png" in refused["pool/cat/known.png"]
    assert "'walrus' is not one of the training classes" in refused["pool/walrus/00 plain.png"]


def test_pool_pictures_are_trained_on_and_nothing_else_changes(found):
    before, after = manifest(found, "training"), manifest(found, "extended_training")
    assert after[: len(before)] == before
    added = after[len(before) :]
    assert {row["path"] for row in added} == {
        str(path.relative_to(found.workflow.folder))
        for label in found_pictures.CLASSES
        for path in (found.pool / label).glob("4*")
    }
    assert all(row["part"] == "training" for row in added)
    for part in ("training", "validation"):
        assert all(row["path"].startswith("pictures/training/") for row in manifest(found, part))
    originals = {row["id"] for row in manifest(found, "originals")}
    validation = {row["id"] for row in manifest(found, "validation")}
    assert validation | {row["id"] for row in before} == originals

    augmented = manifest(found, "augmented")
    assert {row["source_id"] for row in augmented} == {row["id"] for row in after}
    (training,) = found.workflow.tracked_runs(
        "found/stages", "tags.`gallerist.stage` = 'train_network'"
    )
    assert training.data.metrics["images"] == len(after)
    assert training.data.metrics["images_augmented"] == len(augmented)
    assert training.data.metrics["images_validation"] == len(validation)
    assert the_row(found).data.params["import_images.pool.folder"] == "pool"


def test_the_hit_rates_are_those_that_scikit_learn_finds(found):
    results = found.workflow.results / "features/small"
    gallery, queries = manifest(found, "gallery"), manifest(found, "query")
    for part, pictures in (("gallery", gallery), ("query", queries)):
        listing = (results / f"{part}.ids.csv").read_text().split()
        ids = [line.split(",")[0] for line in listing]
        assert ids == ["id", *(row["id"] for row in pictures)]
    neighbours = NearestNeighbors(n_neighbors=len(gallery), algorithm="brute")
    neighbours.fit(np.load(results / "gallery.npy").astype(float))
    order = neighbours.kneighbors(
        np.load(results / "query.npy").astype(float), return_distance=False
    )

    first_right = {}
    for query, row in zip(queries, order, strict=True):
        answers = [gallery[index] for index in row if gallery[index]["id"] != query["id"]]
        right = [
            answer["label"] == query["label"] != found_pictures.DISTRACTOR for answer in answers
        ]
        if any(right):
            first_right[query["id"]] = right.index(True) + 1
    assert len(first_right) == len(queries) - 3  # two distractors and a unicorn
    rates = {k: np.mean([rank <= k for rank in first_right.values()]) for k in (1, 3, 5)}
    assert rates[1] < 1  # or the comparison would be too easy

    (row,) = read_rows(found.workflow.results / "comparison/comparison.csv")
    assert {k: float(row[f"top-{k}"]) for k in rates} == pytest.approx(rates, abs=1e-12)
    assert (row["queries"], row["excluded"]) == (str(len(first_right)), "3")
    logged = the_row(found).data.metrics
    assert {k: logged[f"top-{k}"] for k in rates} == pytest.approx(rates, abs=1e-12)
    assert logged["queries_excluded"] == 3
    for row in read_rows(found.workflow.results / "evaluation/small/queries.csv"):
        expected = first_right.get(row["query_id"], "excluded")
        deep = expected != "excluded" and expected > FOUND["search"]["depth"]
        assert row["first_right"] == ("" if deep else str(expected))


def test_distractors_and_queries_without_an_answer_are_excluded_and_named(found):
    rows = read_rows(found.workflow.results / "evaluation/small/queries.csv")
    excluded = {row["class"] for row in rows if row["first_right"] == "excluded"}
    assert excluded == {found_pictures.DISTRACTOR, "unicorn"}
    answers = read_rows(found.workflow.results / "evaluation/small/answers.csv")
    assert not excluded & {row["class"] for row in answers}
    assert {row["right"] for row in answers if row["answer_class"] in excluded} <= {"x"}


def test_all_queries_of_a_chosen_name_are_drawn(found):
    """Each strip begins with its query, on tinted ground that reaches into the left margin."""
    with Image.open(found.workflow.results / "evaluation/small/chosen.png") as image:
        margin = [image.getpixel((12, y)) == (238, 242, 247) for y in range(image.height)]
    assert sum(now and not before for before, now in pairwise(margin)) == 3


def test_the_git_commit_of_the_code_is_on_every_run(found):
    commit = found.workflow.call(["git", "rev-parse", "HEAD"]).stdout.strip()
    for experiment in ("found", "found/stages"):
        for run in found.workflow.tracked_runs(experiment):
            assert run.data.tags["mlflow.source.git.commit"] == commit
            assert run.data.tags["gallerist.git_dirty"] == "false"


def test_a_name_that_several_queries_have_is_refused_with_their_paths(found):
    result = found.workflow.gallerist(
        "search", "--experiment", "small", "--query", "15 photo.jpg", check=False
    )
    assert result.returncode == 1
    assert "3 queries are called 15 photo.jpg" in result.stdout
    for label in found_pictures.CLASSES:
        assert f"pictures/validation/query/{label}/15 photo.jpg" in result.stdout


@pytest.mark.parametrize("label", found_pictures.CLASSES)
def test_a_name_with_its_folder_distinguishes_queries(found, label):
    name = f"{label}/15 photo.jpg"
    result = found.workflow.gallerist("search", "--experiment", "small", "--query", name)
    first, answer, *_, last = result.stdout.splitlines()
    assert first == f"pictures/validation/query/{name}  ({label}), experiment small"
    (query,) = [row for row in manifest(found, "query") if row["path"].endswith(name)]
    best, *_ = [
        row
        for row in read_rows(found.workflow.results / "rankings/small.csv")
        if row["query_id"] == query["id"]
    ]
    (nearest,) = [row for row in manifest(found, "gallery") if row["id"] == best["gallery_id"]]
    assert Path(nearest["path"]).name in answer
    assert answer.endswith(f"{float(best['distance']):.4f}  {nearest['label']}")
    with Image.open(found.workflow.folder / last.removeprefix("picture: ")) as image:
        assert image.width > image.height
