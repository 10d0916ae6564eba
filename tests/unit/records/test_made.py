"""What was kept is compared before it is believed: one changed digit is refused, the file named."""

import json
import os
import shutil

import pytest
from tracked import a_record

from gallerist.io.files import sha256_of_file
from gallerist.records.made import is_noted, verify_inputs
from gallerist.records.record import RecordError, read_record, write_record

MEND = "Remove it, and run the workflow to have it made again."


def made(record, *files):
    """Files that a job made, and its record."""
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"id,label\n{file.name},1\n")
    record.parent.mkdir(parents=True, exist_ok=True)
    hashes = {
        f"results/mine/{file.relative_to(record.parents[1])}": sha256_of_file(file)
        for file in files
    }
    write_record(record, a_record("mine", made=hashes))


@pytest.fixture
def results(tmp_path):
    """Results of several jobs: each of their files is tied to a record in another way."""
    made(tmp_path / "rankings/hog.record.json", tmp_path / "rankings/hog.csv")
    made(tmp_path / "rankings/hog.reciprocal.record.json", tmp_path / "rankings/hog.reciprocal.csv")
    parts = [tmp_path / f"manifests/{part}.csv" for part in ("gallery", "query")]
    made(tmp_path / "manifests/split.record.json", *parts)
    origin = tmp_path / "features/hog/gallery.origin.json"
    made(tmp_path / "features/hog/extraction.record.json", origin)
    answers = [tmp_path / f"challenge/submissions/{name}/results.json" for name in ("hog", "sift")]
    made(tmp_path / "challenge/submissions/results.record.json", *answers)
    return tmp_path


FILES = (
    *("rankings/hog.csv", "rankings/hog.reciprocal.csv", "manifests/gallery.csv"),
    *("manifests/query.csv", "features/hog/gallery.origin.json"),
    *("challenge/submissions/hog/results.json", "challenge/submissions/sift/results.json"),
)


def change(path, edit):
    """Edit a file and keep its time, as Snakemake compares that."""
    status = path.stat()
    path.write_bytes(edit(path.read_bytes()))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_what_jobs_made_is_taken_wherever_it_was_moved(results, tmp_path_factory):
    moved = shutil.copytree(results, tmp_path_factory.mktemp("moved") / "elsewhere")
    for folder in (results, moved):
        verify_inputs(folder / name for name in FILES)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "edit",
    [lambda text: text.replace(b"1", b"2"), lambda text: text[:-1], lambda text: b""],
    ids=["a digit", "cut short", "empty"],
)
def test_one_that_was_changed_is_refused_with_the_way_out(results, name, edit):
    path = results / name
    change(path, edit)
    with pytest.raises(RecordError) as refusal:
        verify_inputs([results / FILES[0], path])
    message = str(refusal.value)
    assert message.startswith(f"{path} is not the file that its job made, says {results}")
    assert message.endswith(MEND)
    assert "\n" not in message


def test_the_same_name_in_another_folder_is_another_file(results):
    one, other = (
        results / f"challenge/submissions/{name}/results.json" for name in ("hog", "sift")
    )
    one.write_text("other")
    verify_inputs([other])


def test_what_no_record_names_is_taken(results):
    (results / "manifests/mine.csv").write_text("id\n")
    (results / "alone.csv").write_text("id\n")
    write_record(results / "rankings/old.record.json", a_record("mine"))
    (results / "rankings/old.csv").write_text("id\n")
    verify_inputs(
        results / name for name in ("manifests/mine.csv", "alone.csv", "rankings/old.csv")
    )


def test_large_files_are_tied_by_the_file_beside_them():
    assert not any(map(is_noted, ("a/gallery.npy", "m/model.bin", "m/model.xml", "x.record.json")))
    assert all(map(is_noted, ("a/gallery.origin.json", "m/model.json", "m/model.keras", "a.csv")))


@pytest.mark.parametrize("name", ["rankings/hog.record.json", "manifests/split.record.json"])
@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text[: len(text) // 2],
        lambda text: b"",
        lambda text: b"\xff\xfe{",
        lambda text: b"[" * 100_000,
        lambda text: b"{}",
        lambda text: b"[]",
        lambda text: b'{"schema": 1}',
        lambda text: text.replace(b'"seconds": 1', b'"seconds": 2'),
    ],
    ids=["cut", "empty", "not UTF-8", "deep", "no keys", "a list", "one key", "a digit"],
)
def test_a_record_that_was_changed_is_named_with_the_way_out_and_no_words_of_json(
    results, name, edit
):
    path = results / name
    value = {**a_record("mine", seconds=1.5).to_json(), "made": read_record(path).made}
    write_record(path, a_record("mine", seconds=1.5, made=value["made"]))
    change(path, edit)
    for read in (read_record, lambda path: verify_inputs([path])):
        with pytest.raises(RecordError) as refusal:
            read(path)
        message = str(refusal.value)
        assert message.startswith(str(path))
        assert "emove it, and run the workflow to have it made again." in message
        assert not any(word in message for word in ("Expecting", "delimiter", "codec", "\n"))


def test_a_record_of_before_there_were_hashes_of_them_is_read(tmp_path):
    record = a_record("mine", moments={3: 4}, metrics={"a": float("nan")})
    path = tmp_path / "a.record.json"
    write_record(path, record)
    assert read_record(path).moments == {3: 4}
    value = json.loads(path.read_text())
    del value["sha256"]
    path.write_text(json.dumps(value))
    assert read_record(path).execution == record.execution
