"""Results are believed only as they were made, and what a failure left undone is made again."""

import hashlib
import os
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from tiny_workflow import CONFIG, Workflow, all_said, draw_data_set, jobs_of

EXPERIMENTS = {"hist": {"descriptor": "colour_histogram", "image_size": 32}}
SETTINGS = {**CONFIG, "augmentation": {"copies": 0}, "experiments": EXPERIMENTS}
MEND = "emove it, and run the workflow to have it made again."
AFTER_EXTRACTION = {
    *("search_gallery hist", "evaluate_retrieval hist", "compare_experiments"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workflow = Workflow(tmp_path_factory.mktemp("kept") / "gallerist", SETTINGS)
    workflow.log_nothing()
    workflow.run()
    return workflow


@pytest.fixture
def workflow(finished, tmp_path):
    return finished.copy(tmp_path / "gallerist")


def change(path, old, new):
    """Edit a file and keep its time, which is what Snakemake compares."""
    status, text = path.stat(), path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new, 1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def refused(workflow, path, *arguments):
    """The line by which a run is refused that reads a file that was changed."""
    run = workflow.run(*arguments, check=False)
    assert run.returncode != 0
    assert "Traceback" not in run.stdout
    (line,) = [line for line in run.stdout.splitlines() if str(path) in line and "failed" in line]
    assert line.endswith(MEND)
    return line


def test_a_changed_label_is_refused_and_what_the_failure_left_is_made_again(workflow):
    manifest = workflow.results / "manifests/gallery.csv"
    as_made = manifest.read_bytes()
    workflow.edit_config("experiments.hist.image_size", 24)
    change(manifest, b",discs,", b",stripes,")
    line = refused(workflow, "results/tiny/manifests/gallery.csv")
    assert "is not the file that its job made" in line
    # Its old vectors are gone, and the comparison of before is the newest file that is left.
    assert not (workflow.results / "features/hist/gallery.npy").exists()
    assert (workflow.results / "comparison/comparison.csv").exists()
    status = manifest.stat()
    manifest.write_bytes(as_made)
    os.utime(manifest, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert workflow.rerun() == {"describe_images hist", *AFTER_EXTRACTION}
    assert workflow.dry_run() == set()


def test_what_is_deleted_to_save_room_is_not_made_again(workflow):
    for path in (workflow.results / "features").rglob("*.*"):
        path.unlink()
    assert workflow.dry_run() == set()


@pytest.mark.parametrize(
    ("name", "old", "new", "reader"),
    [
        ("rankings/hist.csv", b",1,", b",2,", "evaluate_retrieval"),
        ("evaluation/hist/queries.csv", b",1,", b",0,", "compare_experiments"),
        ("rankings/hist.record.json", b"}", b"", "evaluate_retrieval"),
        ("features/hist/gallery.origin.json", b"}", b"", "search_gallery"),
    ],
)
def test_a_changed_or_damaged_result_is_refused_by_who_reads_it(workflow, name, old, new, reader):
    change(workflow.results / name, old, new)
    refused(workflow, f"results/tiny/{name}", "--forcerun", reader)


def test_the_commands_refuse_it_too(workflow):
    ranking = workflow.results / "rankings/hist.csv"
    change(ranking, b",1,", b",2,")
    search = workflow.gallerist("search", "--experiment", "hist", "--query", "1", check=False)
    assert search.returncode == 1
    assert search.stdout.startswith("gallerist: results/tiny/rankings/hist.csv is not the file")
    change(workflow.results / "comparison/comparison.md", b"|", b"!")
    summary = workflow.gallerist("summary", check=False)
    assert "comparison/comparison.md is not the file that its job made" in summary.stdout


def test_files_of_the_future_are_refused_before_anything_is_planned(workflow):
    ahead = time.time() + 7200
    os.utime(workflow.results / "rankings/hist.csv", (ahead, ahead))
    run = workflow.run("--dry-run", check=False)
    assert run.returncode != 0
    assert "Traceback" not in run.stdout
    assert "results/tiny/rankings/hist.csv was written at" in run.stdout
    assert "still to come" in run.stdout


@pytest.mark.slow
def test_a_foreign_environment_changes_no_byte_of_a_figure_or_a_table(workflow, tmp_path):
    (tmp_path / "foreign/gallerist").mkdir(parents=True)
    (tmp_path / "foreign/gallerist/__init__.py").write_text("raise RuntimeError('foreign')\n")
    (tmp_path / "home/.keras").mkdir(parents=True)
    (tmp_path / "home/.keras/keras.json").write_text('{"floatx": "float16"}')
    (tmp_path / "home/matplotlibrc").write_text("font.size: 30\n")
    theirs = {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": str(tmp_path / "home"),
        "KERAS_BACKEND": "jax",
        "MLFLOW_REGISTRY_URI": "http://127.0.0.1:9",
        "PYTHONPATH": str(tmp_path / "foreign"),
        "PYTHONWARNINGS": "error",
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": "/dev/null/nowhere",
    }
    folders = ("manifests", "features", "rankings", "evaluation", "comparison")
    kinds = (".csv", ".npy", ".png")
    files = [path for each in folders for path in (workflow.results / each).rglob("*")]
    # The tables of the comparison have seconds among their columns.
    before = {
        path: path.read_bytes()
        for path in files
        if path.suffix in kinds and (path.parent.name, path.suffix) != ("comparison", ".csv")
    }
    assert len(before) > 15
    workflow.run_command("--forceall", env=theirs)
    for path, content in before.items():
        assert path.read_bytes() == content, path


HOLD = (
    "import sys; from gallerist.workflow.lock import hold; held = hold(sys.argv[1]);"
    "print('held', flush=True); input()"
)


def test_two_workflows_never_work_on_one_data_set_whatever_became_of_snakemakes_lock(workflow):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, "results/tiny"],
        cwd=workflow.folder,
        env=workflow.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert other.stdout.readline() == b"held\n"
        workflow.gallerist("unlock")
        run = workflow.run("--forcerun", "compare_experiments", check=False)
        assert run.returncode != 0
        assert "Traceback" not in run.stdout
        assert f"results/tiny: another workflow (process {other.pid} on" in run.stdout
        assert jobs_of(run) == set()
    finally:
        other.kill()
        other.communicate()
    assert workflow.rerun("--forcerun", "compare_experiments") == {"compare_experiments"}


@contextmanager
def served(folder):
    """The address of a server that gives the files of a folder, whatever the query."""
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder))
    )
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


SECRET = "Zx9" * 70
"""A signature, which is longer than the name of a file may be."""


@pytest.mark.slow
def test_a_signed_address_is_in_no_file_and_no_name_of_the_results(tmp_path):
    draw_data_set(
        tmp_path / "drawn", {"training": 4, "validation/gallery": 2, "validation/query": 1}
    )
    (tmp_path / "served").mkdir()
    with zipfile.ZipFile(tmp_path / "served/a.zip", "w") as archive:
        for path in sorted((tmp_path / "drawn").rglob("*.*")):
            archive.write(path, path.relative_to(tmp_path / "drawn"))
    content = (tmp_path / "served/a.zip").read_bytes()
    with served(tmp_path / "served") as address:
        source = {
            "location": f"{address}/a.zip?signature={SECRET}",
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        dataset = {"name": "tiny", "archive": source, "split": {"validation": 0.34}}
        workflow = Workflow(tmp_path / "gallerist", {**SETTINGS, "dataset": dataset}, counts=None)
        with workflow.config_file.open("a") as file:
            file.write(f"# the password is {SECRET}\n")
        workflow.log_nothing()
        first = workflow.run()
        assert SECRET not in all_said(first)
        for path in (workflow.folder / "results").rglob("*"):
            assert SECRET[:30] not in path.name
            assert path.is_dir() or SECRET[:30].encode() not in path.read_bytes(), path
        # Signed anew it is the same archive.
        source["location"] = f"{address}/a.zip?signature=another"
        workflow.edit_config("dataset.archive", source)
        assert workflow.dry_run() == set()
    workflow.run("--report", "report.html")
    assert SECRET not in (workflow.folder / "report.html").read_text(encoding="utf-8")
