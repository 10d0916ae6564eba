import csv
import hashlib
import io
import logging
import os
import random
import struct
import threading
import zlib
from contextlib import contextmanager
from pathlib import Path

import imagehash
import numpy as np
import pytest
from checkout import SHARED
from PIL import Image

from gallerist.data import examining
from gallerist.data.examining import Problem
from gallerist.data.importing import import_folder, stop_on_bad_images, write_problems
from gallerist.data.manifest import Manifest
from gallerist.io.errors import UserError


def photo(seed, width=24, height=16):
    noise = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def save(path, seed, kind="PNG", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(photo(seed), kind, **options))
    return path


def imported(folder, **options):
    settings = {"part": "training", "min_side": 8, "max_pixels": 10**8, "threads": 2} | options
    return import_folder(folder, **settings)


def by_name(problems):
    return {Path(problem.path).name: (problem.severity, problem.reason) for problem in problems}


def bomb(width, height):
    """A PNG of a few bytes that declares itself vast."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")):
        check = zlib.crc32(kind + content)
        data += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
    return data


JPEG = encoded(photo(1, 200, 150), "JPEG")
PNG = encoded(photo(1, 200, 150), "PNG")
WEBP = encoded(photo(1, 200, 150), "WEBP")
GIF = encoded(photo(1, 200, 150), "GIF")
TIFF = encoded(photo(1, 200, 150), "TIFF")
BMP = encoded(photo(1, 200, 150), "BMP")

BAD_FILES = {
    "empty.jpg": (b"", "empty file"),
    "cut.jpg": (JPEG[: len(JPEG) // 2], "truncated: the JPEG does not end"),
    "cut-progressive.jpg": (
        encoded(photo(1, 200, 150), "JPEG", progressive=True)[:-300],
        "truncated: the JPEG does not end",
    ),
    "zero-tail.jpg": (JPEG[:2000] + bytes(len(JPEG) - 2000), "truncated: the JPEG does not end"),
    "cut.png": (PNG[: len(PNG) // 2], "truncated: the PNG does not end"),
    "cut-at-the-end.png": (PNG[:-4], "truncated: the PNG does not end"),
    "cut.webp": (WEBP[: len(WEBP) // 2], "truncated: the WebP does not end"),
    "cut.gif": (GIF[: len(GIF) // 2], "truncated: the GIF does not end"),
    "cut.bmp": (BMP[: len(BMP) // 2], "truncated: the BMP does not end"),
    "cut.tiff": (TIFF[: len(TIFF) // 2], "truncated: the TIFF does not end"),
    "half-header.png": (PNG[:20], "truncated: the PNG does not end"),
    "signature.png": (PNG[:5], "truncated: only 5 bytes"),
    "damaged.png": (PNG[:200] + b"\xff" * 50 + PNG[250:], "damaged PNG: "),
    "text.jpg": (b"this is a text\n", "not an image: text"),
    "page.png": (b"<!DOCTYPE html>\n<html><body>404", "not an image: an HTML page"),
    "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not an image: an SVG drawing"),
    "pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\n", "not an image: a Git LFS"),
    "random.jpg": (b"\xee" + random.Random(1).randbytes(500), "not an image"),
    "zeros.jpg": (bytes(5000), "not an image: nothing but zero bytes"),
    "paper.pdf": (b"%PDF-1.4 \xe2\xe3", "not an image: a PDF document"),
    "one.png": (encoded(photo(1, 1, 1), "PNG"), "1x1 pixels: smaller than 8 a side"),
    "long.png": (
        encoded(Image.new("RGB", (20000, 1)), "PNG"),
        "20000x1 pixels: smaller than 8 a side",
    ),
    "bomb.png": (bomb(60000, 60000), "60000x60000 pixels: more than 100000000 in all"),
    "floats.tif": (
        encoded(Image.fromarray(np.full((9, 9), 1e9, np.float32)), "TIFF"),
        "float pixels from 1e+09 to 1e+09, whose scale is unknown",
    ),
}


def test_parts_of_a_data_set_are_refused_in_place_of_classes(tmp_path):
    for name in ("train", "test"):
        draw = tmp_path / name / "cat"
        draw.mkdir(parents=True)
        Image.new("RGB", (20, 20), name == "test" and "red").save(draw / "a.png")
    with pytest.raises(
        UserError, match=r"holds test/ and train/, which would be taken for classes"
    ):
        import_folder(tmp_path, part="originals", min_side=8, max_pixels=10**8)


def test_each_bad_file_of_a_folder_is_named_with_its_reason(tmp_path):
    good = save(tmp_path / "cat" / "good.png", seed=1)
    for name, (content, _) in BAD_FILES.items():
        (tmp_path / "cat" / name).write_bytes(content)
    (tmp_path / "cat" / "dangling.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "cat" / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "cat" / "pipe.jpg")
    (tmp_path / "README.txt").write_text("beside the classes")

    outcome = imported(tmp_path)
    assert outcome.manifest.paths == [str(good)]
    found = by_name(outcome.problems)
    for name, (_, reason) in BAD_FILES.items():
        severity, stated = found.pop(name)
        assert (severity, stated[: len(reason)]) == ("skipped", reason), name
    assert found == {
        "dangling.jpg": ("skipped", "dangling link: nowhere.jpg does not exist"),
        "folder.jpg": (
            "warning",
            "a folder, though its name is a picture's; the files in it are tried",
        ),
        "pipe.jpg": ("skipped", "a pipe, socket or device, not a file"),
        "README.txt": ("skipped", "not inside a class folder"),
    }
    assert list(outcome.problems) == sorted(outcome.problems, key=lambda problem: problem.path)


def test_a_row_describes_its_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "cat" / "turned.jpg", 1, "JPEG", exif=exif)
    (picture,) = imported(tmp_path, part="gallery").manifest
    upright = Image.open(path).convert("RGB").transpose(Image.Transpose.ROTATE_270)
    assert picture.id == hashlib.sha256(path.read_bytes()).hexdigest()[:16] == picture.source_id
    assert (picture.path, picture.label, picture.part) == (str(path), "cat", "gallery")
    assert (picture.width, picture.height) == (16, 24)
    assert picture.phash == str(imagehash.phash(upright))
    assert len(picture.phash) == 16


def test_the_order_is_by_class_then_path_by_code_points(tmp_path):
    names = [
        "b/z.png",
        "b/Z.png",
        "b/a/2.png",
        "b/a.png",
        "B/1.png",
        "ä/1.png",
        "a b/10.png",
        "a b/9.png",
        "a/1.png",
    ]
    for seed, name in enumerate(random.Random(3).sample(names, len(names))):
        save(tmp_path / name, seed)
    outcome = imported(tmp_path)
    below = [Path(path).relative_to(tmp_path).as_posix() for path in outcome.manifest.paths]
    assert below == [
        "B/1.png",
        "a/1.png",
        "a b/10.png",
        "a b/9.png",
        "b/Z.png",
        "b/a.png",
        "b/a/2.png",
        "b/z.png",
        "ä/1.png",
    ]
    assert outcome.problems == ()


def test_neither_threads_nor_the_order_of_the_disk_change_the_outcome(tmp_path, monkeypatch):
    for seed in range(30):
        save(tmp_path / f"class{seed % 3}" / f"{seed}.png", seed // 2)
    (tmp_path / "class0" / "bad.jpg").write_text("bad")
    expected = imported(tmp_path, threads=1)
    assert imported(tmp_path, threads=5) == expected
    scandir = os.scandir

    class Backwards:
        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert imported(tmp_path) == expected
    assert len(expected.manifest) == 15


def test_the_same_picture_twice_is_kept_once(tmp_path):
    first = save(tmp_path / "cat" / "1.png", seed=1)
    save(tmp_path / "cat" / "2.png", seed=1)
    save(tmp_path / "dog" / "1.png", seed=1)
    save(tmp_path / "dog" / "2.png", seed=2)
    outcome = imported(tmp_path)
    assert [Path(path).parts[-2:] for path in outcome.manifest.paths] == [
        ("cat", "1.png"),
        ("dog", "2.png"),
    ]
    assert outcome.problems == (
        Problem(str(tmp_path / "cat/2.png"), "skipped", f"same picture as {first}"),
        Problem(
            str(tmp_path / "dog/1.png"),
            "skipped",
            f"same picture as {first}, but under another class (cat)",
        ),
    )


def test_pictures_with_wrong_names_are_used_with_a_warning(tmp_path):
    save(tmp_path / "cat" / "a.jpg", 1, "PNG")
    save(tmp_path / "cat" / "b.dat", 2, "JPEG")
    save(tmp_path / "cat" / "c", 3, "WEBP")
    save(tmp_path / "cat" / "d.JPEG", 4, "JPEG")
    save(tmp_path / "cat" / "e.Tif", 5, "TIFF")
    outcome = imported(tmp_path)
    assert len(outcome.manifest) == 5
    assert by_name(outcome.problems) == {
        "a.jpg": ("warning", "the content is PNG, though the name says JPEG"),
        "b.dat": ("warning", "the content is JPEG, though '.dat' is no picture's extension"),
        "c": ("warning", "the content is WebP, though the name has no extension"),
    }


def test_links_are_followed_and_hidden_files_ignored(tmp_path):
    folder, outside = tmp_path / "pictures", tmp_path / "outside"
    save(outside / "1.png", 1)
    save(outside / "2.png", 2)
    (folder / "cat").mkdir(parents=True)
    (folder / "cat" / "link.png").symlink_to(outside / "1.png")
    (folder / "dog").symlink_to(outside)
    (folder / "cat" / "round").symlink_to(folder)
    for name in (
        ".hidden/1.png",
        "cat/.1.png",
        "cat/.cache/1.png",
        "cat/Thumbs.db",
        "cat/desktop.ini",
    ):
        save(folder / name, 9)
    outcome = imported(folder)
    assert [Path(path).name for path in outcome.manifest.paths] == ["link.png", "2.png"]
    assert outcome.manifest.labels == ["cat", "dog"]
    assert by_name(outcome.problems) == {
        "1.png": (
            "skipped",
            f"same picture as {folder / 'cat/link.png'}, but under another class (cat)",
        ),
        "round": ("skipped", "a link to a folder that it lies in"),
    }


def test_a_class_is_its_nfc_name_however_the_disk_spells_it(tmp_path):
    save(tmp_path / "caf\u00e9" / "2.png", 1)
    save(tmp_path / "cafe\u0301" / "1.png", 2)
    save(tmp_path / "caff" / "3.png", 3)  # between the two spellings
    outcome = imported(tmp_path)
    assert outcome.manifest.labels == ["caff", "caf\u00e9", "caf\u00e9"]
    assert all(Path(path).exists() for path in outcome.manifest.paths)


def test_class_folders_without_a_usable_picture_are_named(tmp_path):
    save(tmp_path / "cat" / "1.png", 1)
    (tmp_path / "dog").mkdir()
    (tmp_path / "cow").mkdir()
    (tmp_path / "cow" / "bad.png").write_text("bad")
    assert by_name(imported(tmp_path).problems) == {
        "bad.png": ("skipped", "not an image: text"),
        "cow": ("warning", "no usable picture in this class"),
        "dog": ("warning", "no usable picture in this class"),
    }


STRANGE = [
    "blank in it.png",
    " .png",
    'comma, and "quotes".png',
    "line\nbreak.png",
    "Ünï-日本-🐈.png",
]


def test_strange_names_survive_the_files_they_are_written_to(tmp_path):
    folder = tmp_path / "my pictures"
    for seed, name in enumerate(STRANGE):
        save(folder / "big\ncat, wild" / name, seed)
        (folder / "big\ncat, wild" / f"bad {name}").touch()
    outcome = imported(folder)
    outcome.manifest.write(tmp_path / "manifest.csv")
    assert Manifest.read(tmp_path / "manifest.csv") == outcome.manifest
    assert {Path(path).name for path in outcome.manifest.paths} == set(STRANGE)

    write_problems(tmp_path / "problems.csv", outcome.problems)
    with (tmp_path / "problems.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["path", "severity", "reason"]
    assert [Problem(*row) for row in rows[1:]] == list(outcome.problems)
    assert len(outcome.problems) == len(STRANGE)


def test_names_that_no_manifest_can_hold_are_skipped(tmp_path):
    save(tmp_path / "cat" / "1.png", 1)
    save(tmp_path / "cat" / "carriage\rreturn.png", 2)
    save(Path(os.fsdecode(os.fsencode(tmp_path) + b"/cat/latin\xe9.png")), 3)
    outcome = imported(tmp_path)
    assert len(outcome.manifest) == 1
    write_problems(tmp_path / "problems.csv", outcome.problems)
    with (tmp_path / "problems.csv").open(encoding="utf-8", newline="") as file:
        found = {Path(path).name: reason for path, _, reason in list(csv.reader(file))[1:]}
    assert found == {
        "carriage\rreturn.png": (
            "its name has a carriage return, which a manifest cannot hold: rename it"
        ),
        "latin\\udce9.png": "its name is not UTF-8: rename it",
    }


def test_paths_begin_with_the_folder_as_it_was_given(tmp_path, monkeypatch):
    save(tmp_path / "data" / "cat" / "1.png", 1)
    monkeypatch.chdir(tmp_path)
    for given in ("data", "./data", "data/", "../" + tmp_path.name + "/data"):
        assert imported(given).manifest.paths == [os.path.join(given, "cat", "1.png")]  # noqa: PTH118
    assert imported(Path("data")).manifest.paths == ["data/cat/1.png"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "{}: no such folder"),
        ({}, "{}: no files. It must hold one folder a class"),
        ({"1.png": PNG, "2.png": PNG}, "{}: 2 files, but none of them in a class folder"),
        (
            {"cat/1.png": b"", "cat/2.png": b"text"},
            "{0}: none of its 2 files is a usable picture:\n"
            "  {0}/cat/1.png: empty file\n  {0}/cat/2.png: not an image: text",
        ),
    ],
)
def test_a_folder_that_gives_nothing_is_refused_with_the_reason(tmp_path, files, message):
    folder = tmp_path / "pictures"
    for name, content in (files or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    if files == {}:
        (folder / "cat").mkdir(parents=True)
    with pytest.raises(UserError) as caught:
        imported(folder)
    assert str(caught.value).startswith(message.format(folder))


def test_all_bad_images_are_listed_when_they_stop_the_import(tmp_path):
    for name in ("1.png", "2.png"):  # two copies
        save(tmp_path / "cat" / name, 1)
    save(tmp_path / "cat" / "3.jpg", 2, "PNG")
    (tmp_path / "README.txt").write_text("beside the classes")
    problems = imported(tmp_path).problems
    assert len(problems) == 3
    stop_on_bad_images(problems)  # none of these is a bad image

    for number in range(8):
        (tmp_path / "cat" / f"bad{number}.png").touch()
    (tmp_path / "cat" / "link.png").symlink_to("nowhere")
    with pytest.raises(UserError) as caught:
        stop_on_bad_images(imported(tmp_path).problems)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("9 files are no usable pictures.")
    assert lines[1:] == [
        *(f"  {tmp_path}/cat/bad{number}.png: empty file" for number in range(8)),
        f"  {tmp_path}/cat/link.png: dangling link: nowhere does not exist",
    ]


def test_a_file_given_as_folder_is_refused(tmp_path):
    path = save(tmp_path / "1.png", 1)
    with pytest.raises(UserError, match=r"1\.png: a file, not a folder"):
        imported(path)


def test_no_more_pictures_are_open_than_there_are_threads(tmp_path, monkeypatch):
    for seed in range(24):
        save(tmp_path / "cat" / f"{seed}.png", seed)
    decoded, lock = examining.decoded, threading.Lock()
    now, most = 0, 0

    @contextmanager
    def counting(*arguments, **options):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        with decoded(*arguments, **options) as pixels:
            yield pixels
        with lock:
            now -= 1

    monkeypatch.setattr(examining, "decoded", counting)
    assert len(imported(tmp_path, threads=3).manifest) == 24
    assert 1 <= most <= 3


def test_progress_and_a_summary_are_logged(tmp_path, caplog):
    save(tmp_path / "cat" / "1.png", 1)
    (tmp_path / "cat" / "bad.png").touch()
    with caplog.at_level(logging.INFO, "gallerist"):
        imported(tmp_path)
    assert "2 of 2 pictures examined" in caplog.messages[0]
    assert caplog.messages[-1] == f"{tmp_path}: 1 pictures, 1 files skipped"


def test_the_shared_photos_are_imported_without_a_fault():
    folder = SHARED / "data" / "monkeys10" / "validation" / "query"
    if not folder.is_dir():
        pytest.skip("the shared data set monkeys10 is absent")
    outcome = imported(folder, part="query")
    assert len(outcome.manifest.classes) == 10
    skipped = [problem for problem in outcome.problems if problem.severity == "skipped"]
    assert all(problem.reason.startswith("same picture as ") for problem in skipped)
    files = [path for path in folder.rglob("*") if path.is_file()]
    contents = {path.read_bytes() for path in files}
    assert len(outcome.manifest) == len(contents) == len(files) - len(skipped)
