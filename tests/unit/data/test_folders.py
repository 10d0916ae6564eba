import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.data import folders as fingerprint
from gallerist.data.folders import folder_fingerprint, walk
from gallerist.io.errors import UserError


def age(folder, seconds=3600):
    """Date every file back, so that the clock of the file system plays no role."""
    then = time.time() - seconds
    for path in folder.rglob("*"):
        os.utime(path, (then, then), follow_symlinks=False)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    for name, content in {
        "cat/1.jpg": "one",
        "cat/deep/2.jpg": "two",
        "dog/3.jpg": "three",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


@pytest.fixture
def hashed(monkeypatch):
    """The files whose content was read."""
    names = []

    def counting(path):
        names.append(Path(path).name)
        return original(path)

    original = fingerprint.sha256_of_file
    monkeypatch.setattr(fingerprint, "sha256_of_file", counting)
    return names


@pytest.fixture
def settled(monkeypatch):
    """Look at the folder as it will be in an hour, when no edit is recent any more."""
    now = time.time_ns
    monkeypatch.setattr(fingerprint.time, "time_ns", lambda: now() + 3600 * 10**9)


@pytest.mark.parametrize("with_cache", [False, True])
def test_touching_or_copying_changes_nothing_and_every_edit_does(pictures, tmp_path, with_cache):
    cache = tmp_path / "cache.json" if with_cache else None
    digests = [folder_fingerprint(pictures, cache)]
    age(pictures)
    assert folder_fingerprint(str(pictures), cache) == digests[0]

    def changed():
        digest = folder_fingerprint(pictures, cache)
        new = digest not in digests
        digests.append(digest)
        return new

    (pictures / "cat/1.jpg").write_text("eno")
    assert changed()
    (pictures / "cat/1.jpg").rename(pictures / "cat/4.jpg")
    assert changed()
    (pictures / "dog/5.jpg").write_text("five")
    assert changed()
    (pictures / "dog/3.jpg").unlink()
    assert changed()
    (pictures / "cat/deep/2.jpg").rename(pictures / "cat/2.jpg")
    assert changed()
    (pictures / "stray.txt").touch()
    assert changed()
    assert len(digests[0]) == 64


def test_equal_trees_in_other_places_have_equal_digests(pictures, tmp_path):
    other = tmp_path / "elsewhere"
    for path in sorted(pictures.rglob("*.jpg"), reverse=True):
        target = other / path.relative_to(pictures)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    assert folder_fingerprint(other) == folder_fingerprint(pictures)


def test_hidden_files_do_not_count(pictures):
    before = folder_fingerprint(pictures)
    (pictures / ".git").mkdir()
    (pictures / ".git/a.jpg").write_text("a")
    (pictures / "cat/._1.jpg").write_text("a")
    (pictures / "cat/Thumbs.db").write_text("a")
    (pictures / "cat/Desktop.ini").write_text("a")
    assert folder_fingerprint(pictures) == before


def test_the_second_time_no_content_is_read(pictures, tmp_path, hashed, settled):
    cache = tmp_path / "cache.json"
    first = folder_fingerprint(pictures, cache)
    assert sorted(hashed) == ["1.jpg", "2.jpg", "3.jpg"]
    written = cache.stat()
    hashed.clear()
    assert folder_fingerprint(pictures, cache) == first
    assert hashed == []
    assert cache.stat().st_ino == written.st_ino, "the cache was rewritten though nothing changed"

    (pictures / "dog/3.jpg").write_text("edited")
    assert folder_fingerprint(pictures, cache) != first
    assert hashed == ["3.jpg"]
    assert cache.stat().st_ino != written.st_ino


def test_an_edit_that_keeps_size_and_date_is_seen(pictures, tmp_path, settled):
    cache = tmp_path / "cache.json"
    path = pictures / "cat/1.jpg"
    first = folder_fingerprint(pictures, cache)
    status = path.stat()
    time.sleep(0.02)
    path.write_text("eno")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert folder_fingerprint(pictures, cache) != first


def test_a_file_just_written_is_not_remembered(pictures, tmp_path, hashed):
    """A second edit within the resolution of the clock would leave it with the same times."""
    cache = tmp_path / "cache.json"
    folder_fingerprint(pictures, cache)
    folder_fingerprint(pictures, cache)
    assert len(hashed) == 6


def test_files_that_are_gone_are_forgotten(pictures, tmp_path, settled):
    cache = tmp_path / "cache.json"
    folder_fingerprint(pictures, cache)
    (pictures / "dog/3.jpg").unlink()
    folder_fingerprint(pictures, cache)
    assert sorted(json.loads(cache.read_text())) == ["cat/1.jpg", "cat/deep/2.jpg"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[1, 2]",
        b"null",
        b'{"cat/1.jpg": null}',
        b'{"cat/1.jpg": [3, 1, 1, "short"]}',
        b'{"cat/1.jpg": ["3", 1, 1, "' + b"0" * 64 + b'"]}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_cache_only_costs_time(pictures, tmp_path, content, settled):
    cache = tmp_path / "cache.json"
    cache.write_bytes(content)
    assert folder_fingerprint(pictures, cache) == folder_fingerprint(pictures)
    assert len(json.loads(cache.read_text())) == 3


def test_a_cache_that_cannot_be_written_only_costs_time(pictures, tmp_path, settled):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/inside").touch()
    expected = folder_fingerprint(pictures)
    for cache in (tmp_path / "file" / "cache.json", tmp_path / "folder"):
        assert folder_fingerprint(pictures, cache) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "pictures"]


def test_links_count_by_what_they_lead_to(pictures, tmp_path):
    outside = tmp_path / "outside.jpg"
    outside.write_text("linked")
    (pictures / "cat/link.jpg").symlink_to(outside)
    linked = folder_fingerprint(pictures)
    outside.write_text("another")
    assert folder_fingerprint(pictures) != linked
    outside.unlink()
    dangling = folder_fingerprint(pictures)
    assert dangling != linked
    (pictures / "cat/link.jpg").write_text("linked")
    assert (pictures / "cat/link.jpg").is_symlink()
    assert folder_fingerprint(pictures) == linked


def test_a_circle_of_links_ends_and_is_named(pictures):
    (pictures / "cat/round").symlink_to(pictures)
    (pictures / "cat/self.jpg").symlink_to("self.jpg")
    tree = walk(pictures)
    assert tree.troubles == {"cat/round": "a link to a folder that it lies in"}
    assert list(tree.files) == ["cat/1.jpg", "cat/deep/2.jpg", "cat/self.jpg", "dog/3.jpg"]
    assert tree.files["cat/self.jpg"] is None
    assert len(folder_fingerprint(pictures)) == 64


def test_a_pipe_is_not_waited_for(pictures):
    before = folder_fingerprint(pictures)
    os.mkfifo(pictures / "cat/pipe.jpg")
    assert folder_fingerprint(pictures) != before


def test_a_name_that_is_not_utf8_counts(pictures, tmp_path, settled):
    cache = tmp_path / "cache.json"
    before = folder_fingerprint(pictures, cache)
    Path(os.fsdecode(os.fsencode(pictures) + b"/cat/\xff.jpg")).write_text("a")
    after = folder_fingerprint(pictures, cache)
    assert after != before
    assert folder_fingerprint(pictures, cache) == after
    assert len(json.loads(cache.read_text())) == 3


def test_a_missing_folder_and_a_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        folder_fingerprint(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: a file, not a folder"):
        folder_fingerprint(tmp_path / "file")


NAMES = st.text("ab:\n 1é", min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(NAMES, st.binary(max_size=3), max_size=3),
    st.dictionaries(NAMES, st.binary(max_size=3), max_size=3),
)
def test_digests_are_equal_exactly_when_the_files_are(tmp_path_factory, one, other):
    digests = []
    for files in (one, other):
        folder = tmp_path_factory.mktemp("tree")
        for name, content in files.items():
            (folder / name).write_bytes(content)
        digests.append(folder_fingerprint(folder))
    assert (digests[0] == digests[1]) == (one == other)
