"""Where pictures come from: an archive over a bad line, and one folder of class folders."""

import contextlib
import hashlib
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from found_pictures import read_rows
from tiny_workflow import CLASSES, EXPERIMENT, Workflow, draw_data_set, jobs_of

SHARES = {"training": 0.4, "validation": 0.2, "gallery": 0.25, "query": 0.15}
PER_CLASS = 12
EXPECTED = {"training": 5, "validation": 2, "gallery": 3, "query": 2}
"""Of 4.8, 2.4, 3 and 1.8 by largest remainder."""


class Archive:
    """A file served at `address`. The first answer breaks off half way.

    asked: the number of requests.
    """

    def __init__(self, content):
        self.asked = 0
        archive = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                archive.asked += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                end = len(content) // 2 if archive.asked == 1 else len(content)
                self.wfile.write(content[:end])

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/animals.zip"

    @contextlib.contextmanager
    def served(self):
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()


def config(location, sha256):
    return {
        "dataset": {
            "name": "archived",
            "archive": {"location": location, "sha256": sha256, "subfolder": "animals-1.0/photos"},
            "layout": "classes",
            "split": SHARES,
        },
        "augmentation": {"copies": 1, "files": True},
        "experiments": {"small": {**EXPERIMENT, "epochs": 1}},
        "search": {"depth": 5},
        "evaluation": {"k": [1, 5], "answers_drawn": 3, "strips_drawn": 1, "explanations": []},
    }


@pytest.fixture(scope="module")
def zipped(tmp_path_factory):
    """An archive with class folders some way down, and a file beside them."""
    folder = tmp_path_factory.mktemp("zipped")
    draw_data_set(folder, {".": PER_CLASS})
    path = folder / "animals.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for picture in sorted(folder.glob("*/*")):
            archive.write(picture, f"animals-1.0/photos/{picture.relative_to(folder)}")
        archive.writestr("animals-1.0/README.txt", "Animals.\n")
        archive.writestr("__MACOSX/animals-1.0/._README.txt", "\0")
    return path.read_bytes()


@pytest.fixture(scope="module")
def archived(zipped, tmp_path_factory):
    """A whole run on an archive whose server hangs up half way, once."""
    folder = tmp_path_factory.mktemp("archived") / "gallerist"
    with Archive(zipped).served() as archive:
        digest = hashlib.sha256(zipped).hexdigest()
        workflow = Workflow(folder, config(archive.address, digest), counts=None)
        workflow.first_run = workflow.run()
    workflow.asked = archive.asked
    return workflow


def manifest(workflow, part):
    return read_rows(workflow.results / f"manifests/{part}.csv")


def test_a_broken_download_is_made_again_and_the_run_completes(archived, zipped):
    assert archived.asked == 2
    assert (archived.results / "comparison/comparison.md").is_file()
    (run,) = archived.tracked_runs("archived/stages", "tags.`gallerist.stage` = 'fetch_archive'")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["archive_bytes"] == len(zipped)
    assert run.data.metrics["files"] == len(CLASSES) * PER_CLASS + 1
    (row,) = archived.tracked_runs("archived")
    assert row.data.params["fetch_archive.sha256"] == hashlib.sha256(zipped).hexdigest()


def test_every_picture_of_the_archive_is_in_exactly_one_part(archived):
    parts = {part: manifest(archived, part) for part in SHARES}
    ids = [row["id"] for rows in parts.values() for row in rows]
    assert len(ids) == len(set(ids)) == len(CLASSES) * PER_CLASS
    assert set(ids) == {row["id"] for row in manifest(archived, "originals")}
    paths = [row["path"] for rows in parts.values() for row in rows]
    assert len(paths) == len(set(paths))
    assert all((archived.folder / path).is_file() for path in paths)


@pytest.mark.parametrize("label", CLASSES)
def test_every_class_is_divided_by_the_shares(archived, label):
    counts = {
        part: sum(row["label"] == label for row in manifest(archived, part)) for part in SHARES
    }
    assert counts == EXPECTED


def test_the_parts_say_their_name_and_only_training_is_augmented(archived):
    for part in SHARES:
        assert {row["part"] for row in manifest(archived, part)} == {part}
    copies = manifest(archived, "augmented")
    assert {row["source_id"] for row in copies} == {
        row["id"] for row in manifest(archived, "training")
    }


def test_copies_that_were_asked_for_as_files_are_there_and_listed(archived):
    files = {str(path) for path in (archived.results / "augmented").rglob("*.bmp")}
    listed = {str(archived.folder / row["path"]) for row in manifest(archived, "augmented")}
    assert files == listed
    assert len(files) == len(manifest(archived, "training"))


def test_the_accuracy_is_over_the_queries_of_the_split(archived):
    (line,) = read_rows(archived.results / "comparison/comparison.csv")
    assert line["queries"] == str(len(CLASSES) * EXPECTED["query"])
    ranking = read_rows(archived.results / "rankings/small.csv")
    assert {row["query_id"] for row in ranking} == {
        row["id"] for row in manifest(archived, "query")
    }
    assert {row["gallery_id"] for row in ranking} <= {
        row["id"] for row in manifest(archived, "gallery")
    }


def test_another_archive_than_the_one_named_is_refused_with_both_hashes(zipped, tmp_path):
    with Archive(zipped).served() as archive:
        wrong = hashlib.sha256(b"another archive").hexdigest()
        workflow = Workflow(tmp_path / "gallerist", config(archive.address, wrong), counts=None)
        run = workflow.run(check=False)
    assert run.returncode != 0
    assert "fetch_archive failed: " in run.stdout
    assert wrong in run.stdout
    assert hashlib.sha256(zipped).hexdigest() in run.stdout
    assert "Traceback" not in run.stdout
    assert jobs_of(run) == set()
    assert not (workflow.results / "source").exists()
    (failed,) = workflow.tracked_runs("archived/stages")
    assert failed.info.status == "FAILED"
    assert wrong in failed.data.tags["mlflow.note.content"]
