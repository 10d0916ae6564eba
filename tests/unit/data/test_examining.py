"""Pictures are decoded once for a content: imports that keep what was found say the same."""

import csv
import os

import numpy as np
import pytest
from PIL import Image

from gallerist.data import examining
from gallerist.data.folders import folder_fingerprint
from gallerist.data.importing import import_folder
from gallerist.data.table import import_table
from gallerist.data.table_rows import table_fingerprint
from gallerist.io.row_store import RowStore

HOW = {"part": "gallery", "min_side": 8, "max_pixels": 10**6, "threads": 2}


def draw(path, seed, kind="PNG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, kind)


@pytest.fixture
def folder(tmp_path):
    """Six pictures, one of them misnamed and one a copy, and a broken one; long ago."""
    for seed in range(4):
        draw(tmp_path / f"pictures/class{seed % 2}/{seed}.png", seed)
    draw(tmp_path / "pictures/class0/misnamed.jpg", 5)
    draw(tmp_path / "pictures/class1/copy.png", 0)
    (tmp_path / "pictures/class1/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    for path in (tmp_path / "pictures").rglob("*.*"):
        os.utime(path, (1e9, 1e9))
    return tmp_path / "pictures"


@pytest.fixture
def looked_at(monkeypatch):
    """How much has been decoded, and read: lists of sizes."""
    counts = {"decoded": [], "read_bytes": []}

    def counted(name):
        work = getattr(examining, name)

        def counting(data, **how):
            counts[name].append(data)
            return work(data, **how)

        return counting

    for name in counts:
        monkeypatch.setattr(examining, name, counted(name))
    return counts


def kept(tmp_path):
    return RowStore(tmp_path / "store", "identity")


def test_a_second_import_decodes_only_what_is_no_picture(folder, tmp_path, looked_at):
    plain = import_folder(folder, **HOW)
    first = import_folder(folder, **HOW, kept=kept(tmp_path))
    looked_at["decoded"].clear()
    second = import_folder(folder, **HOW, kept=kept(tmp_path))
    assert first == second == plain
    assert len(plain.manifest) == 5
    assert "the content is PNG, though the name says JPEG" in str(second.problems)
    assert len(looked_at["decoded"]) == 1  # the broken one


def test_by_fingerprints_what_is_known_is_not_even_read(folder, tmp_path, looked_at, monkeypatch):
    monkeypatch.setattr("gallerist.data.folders._RACY_NS", -(2**62))
    cache = tmp_path / "fingerprints.json"
    folder_fingerprint(folder, cache)
    how = {**HOW, "fingerprints": cache}
    first = import_folder(folder, **how, kept=kept(tmp_path))
    draw(folder / "class1/new.png", 9)
    draw(folder / "class0/0.png", 10)  # other content in a file of the same name
    looked_at["decoded"].clear()
    looked_at["read_bytes"].clear()
    second = import_folder(folder, **how, kept=kept(tmp_path))
    read = {os.path.basename(path) for path in looked_at["read_bytes"]}  # noqa: PTH119
    assert read == {"new.png", "0.png", "broken.png"}
    assert len(looked_at["decoded"]) == 3
    assert second == import_folder(folder, **HOW)
    assert second != first


def test_parts_of_pictures_are_kept_too(folder, tmp_path, looked_at):
    rows = [
        ("class0/0.png", "a", "", "", "", ""),
        ("class0/0.png", "a", 0, 0, 40, 24),  # all of it: the same picture
        ("class0/0.png", "b", 0, 0, 20, 20),
        ("class0/0.png", "b", 10, 4, 20, 20),
        ("class0/2.png", "b", 10, 4, 20, 90),  # outside
    ]
    with (folder / "table.csv").open("w", newline="") as file:
        header = ("path", "label", "x", "y", "width", "height", "part")
        csv.writer(file).writerows([header, *((*row, "gallery") for row in rows)])
    cache, where = tmp_path / "fingerprints.json", (folder / "table.csv", str(folder))
    table_fingerprint(*where, "gallery", cache)
    plain = import_table(*where, **HOW)
    found = []
    for _ in range(2):
        looked_at["decoded"].clear()
        found.append(
            import_table(*where, **HOW, kept=kept(tmp_path), fingerprints=cache)
        )  # fmt: skip
    assert found == [plain, plain]
    assert len(plain.manifest) == 3
    assert len(looked_at["decoded"]) == 1  # the one outside


def test_what_was_found_before_an_error_is_kept(folder, tmp_path, monkeypatch):
    look = examining.Examiner._look

    def failing(self, data, identity, box):
        if len(self._new) == 2:
            raise OSError("the disk is gone")
        return look(self, data, identity, box)

    monkeypatch.setattr(examining.Examiner, "_look", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        import_folder(folder, **{**HOW, "threads": 1}, kept=kept(tmp_path))
    assert len(kept(tmp_path)) == 2


def test_many_pictures_are_kept_by_several_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(examining, "_TOGETHER", 7)
    for seed in range(60):
        draw(tmp_path / f"pictures/class{seed % 3}/{seed}.png", seed)
    how = {**HOW, "threads": 8, "kept": kept(tmp_path)}
    first = import_folder(tmp_path / "pictures", **how)
    assert sorted(kept(tmp_path)) == sorted(first.manifest.ids)
    assert import_folder(tmp_path / "pictures", **{**how, "kept": kept(tmp_path)}) == first
