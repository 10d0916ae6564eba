"""Corrections: the import applies them, its record names them, an edit repeats the import."""

import pytest

from gallerist.data.corrections import Correction, write_corrections
from gallerist.data.manifest import Manifest
from gallerist.records.record import read_record

FILE = "corrections/tiny.csv"


@pytest.fixture
def workflow(workflow):
    workflow.log_nothing()
    return workflow


def test_corrections_change_the_import_and_are_named_in_its_record(workflow):
    gallery = Manifest.read(workflow.results / "manifests/gallery.csv")
    bad, moved, *_ = gallery.pictures
    other = next(label for label in gallery.classes if label != moved.label)
    corrections = [
        Correction(bad.id, "bad", "", "blurred"),
        Correction(moved.id, "label", other),
        Correction(gallery.ids[2], "leak", "query:0123456789abcdef"),
        Correction(gallery.ids[3], "leak", "no:0123456789abcdef"),
    ]
    write_corrections(workflow.folder / FILE, corrections)
    workflow.edit_config("dataset.corrections", FILE)
    repeated = workflow.dry_run()
    assert {"import_images gallery", "import_images query", "import_images originals"} <= repeated
    workflow.run("results/tiny/manifests/gallery.csv")
    corrected = Manifest.read(workflow.results / "manifests/gallery.csv")
    assert set(gallery.ids) - set(corrected.ids) == {bad.id, gallery.ids[2]}
    assert corrected.label_of[moved.id] == other
    faults = workflow.rows("reports/faults/gallery.csv")
    reasons = {row["path"]: row["reason"] for row in faults}
    assert reasons[bad.path] == "bad, by the corrections (blurred)"
    record = read_record(workflow.results / "manifests/gallery.record.json")
    assert record.parameters["corrections"] == FILE
    assert record.metrics["corrections"] == 4
    assert record.metrics["images_skipped"] == 2
    assert FILE in record.inputs


@pytest.mark.slow
def test_an_edited_file_of_corrections_is_read_again_and_an_untouched_one_is_not(workflow):
    gallery = Manifest.read(workflow.results / "manifests/gallery.csv")
    write_corrections(workflow.folder / FILE, [Correction(gallery.ids[0], "bad")])
    workflow.edit_config("dataset.corrections", FILE)
    target = "results/tiny/manifests/gallery.csv"
    workflow.run(target)
    assert workflow.dry_run(target) == set()
    write_corrections(workflow.folder / FILE, [Correction(gallery.ids[1], "bad")])
    assert workflow.dry_run(target) == {"import_images gallery"}


@pytest.mark.slow
def test_a_damaged_file_of_corrections_is_named_with_its_line(workflow):
    path = workflow.folder / FILE
    path.parent.mkdir()
    path.write_text("picture,action,value,note\nabc,rotten,,\n")
    workflow.edit_config("dataset.corrections", FILE)
    said = workflow.run("results/tiny/manifests/gallery.csv", check=False).stdout
    assert f"{FILE}, line 2: 'rotten' is no action" in said
    assert "Traceback" not in said


def test_a_file_that_is_not_there_is_a_mistake_in_the_configuration(workflow):
    workflow.edit_config("dataset.corrections", "nowhere.csv")
    said = workflow.run("--dry-run", check=False).stdout
    assert "dataset.corrections: 'nowhere.csv' is no file" in said
