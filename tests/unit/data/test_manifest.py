"""The manifest as a file and as a list."""

import csv
from dataclasses import astuple, replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.data import manifest as manifest_module
from gallerist.data.manifest import COLUMNS, Manifest, Picture

PICTURE = Picture("a1", "gallery/cat/1.jpg", "cat", "gallery", "a1", 640, 480, "00ff00ff00ff00ff")

# A carriage return alone is the one character that the csv module of Python 3.11 does not quote;
# the import refuses file names that have it.
names = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=12)
identifiers = st.text("0123456789abcdef", min_size=16, max_size=16)
pictures = st.builds(
    Picture,
    id=identifiers,
    path=names,
    label=names,
    part=st.sampled_from(["training", "validation", "gallery", "query"]),
    source_id=identifiers,
    width=st.integers(1, 100_000),
    height=st.integers(1, 100_000),
    phash=identifiers,
)
manifests = st.lists(pictures, max_size=8, unique_by=lambda picture: picture.id).map(
    lambda rows: Manifest(tuple(rows))
)
AWKWARD = [
    "plain.jpg", "with, comma.jpg", 'a "quoted" name.jpg', "two\nlines.jpg", " first", "last ",
    "日本猿/猿.png", "emoji 🐒.webp", "tab\there", "'", '"', "", ";", "#1", "=1+1",
    "line\u2028separator", "next\x85line",
]  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("manifests") / "manifest.csv"


@settings(deadline=None)
@given(manifests)
def test_what_is_written_reads_back(file, manifest):
    manifest.write(file)
    assert Manifest.read(file) == manifest


def test_awkward_names_survive_and_pandas_reads_the_same(tmp_path):
    rows = [
        replace(PICTURE, id=f"{number:016x}", path=name, label=name or "empty")
        for number, name in enumerate(AWKWARD)
    ]
    Manifest(tuple(rows)).write(tmp_path / "manifest.csv")
    assert Manifest.read(tmp_path / "manifest.csv").paths == AWKWARD
    frame = pd.read_csv(tmp_path / "manifest.csv", keep_default_na=False, dtype={"id": str})
    assert frame["path"].tolist() == AWKWARD
    assert frame["width"].tolist() == [640] * len(AWKWARD)


def test_the_file_is_plain_csv_with_a_header(tmp_path):
    Manifest((PICTURE,)).write(tmp_path / "manifest.csv")
    assert (tmp_path / "manifest.csv").read_bytes() == (
        b"id,path,label,part,source_id,width,height,phash\n"
        b"a1,gallery/cat/1.jpg,cat,gallery,a1,640,480,00ff00ff00ff00ff\n"
    )


def test_a_manifest_of_no_pictures_is_a_header_and_reads_back(tmp_path):
    Manifest(()).write(tmp_path / "manifest.csv")
    assert len(Manifest.read(tmp_path / "manifest.csv")) == 0


def test_several_files_are_read_as_one_in_their_order(tmp_path):
    parts = [replace(PICTURE, id=name, path=f"{name}.jpg") for name in "dacb"]
    Manifest(tuple(parts[:1])).write(tmp_path / "one.csv")
    Manifest(tuple(parts[1:])).write(tmp_path / "two.csv")
    assert Manifest.read(tmp_path / "one.csv", tmp_path / "two.csv").ids == ["d", "a", "c", "b"]
    assert Manifest.read(tmp_path / "two.csv", tmp_path / "one.csv").ids == ["a", "c", "b", "d"]


def test_two_rows_with_one_id_are_refused_and_both_named(tmp_path):
    twins = (PICTURE, replace(PICTURE, path="gallery/dog/2.jpg"))
    with pytest.raises(ValueError, match=r"a1 .*gallery/cat/1\.jpg and gallery/dog/2\.jpg"):
        Manifest(twins)
    for number, twin in enumerate(twins):
        Manifest((twin,)).write(tmp_path / f"{number}.csv")
    with pytest.raises(ValueError, match="a1"):
        Manifest.read(tmp_path / "0.csv", tmp_path / "1.csv")


@pytest.mark.parametrize(
    "header", ["", "id,path", ",".join(reversed(COLUMNS)), ",".join(COLUMNS) + ",more"]
)
def test_other_columns_are_refused_with_the_name_of_the_file(tmp_path, header):
    path = tmp_path / "other.csv"
    path.write_text(header)
    with pytest.raises(ValueError, match=r"other\.csv: the columns of a manifest are id, path"):
        Manifest.read(path)


@pytest.mark.parametrize("spoil", [
    lambda cells: cells[:-1],
    lambda cells: cells[:3],
    lambda cells: [*cells, "more"],
    lambda cells: [*cells[:5], "wide", *cells[6:]],
    lambda cells: [*cells[:6], "4.5", *cells[7:]],
])  # fmt: skip
def test_a_row_of_other_cells_is_named_with_its_line(tmp_path, spoil):
    path = tmp_path / "edited.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([COLUMNS, astuple(PICTURE), spoil([*map(str, astuple(PICTURE))])])
    with pytest.raises(ValueError, match=r"edited\.csv, line 3: "):
        Manifest.read(path)


def test_the_lists_are_in_manifest_order_and_classes_are_sorted():
    rows = [("3", "lion"), ("1", "bear"), ("2", "lion"), ("0", "Ape")]
    manifest = Manifest(
        tuple(replace(PICTURE, id=name, path=f"{name}.png", label=label) for name, label in rows)
    )
    assert manifest.ids == ["3", "1", "2", "0"]
    assert manifest.paths == ["3.png", "1.png", "2.png", "0.png"]
    assert manifest.labels == ["lion", "bear", "lion", "Ape"]
    assert manifest.classes == ["Ape", "bear", "lion"]
    assert [picture.id for picture in manifest] == manifest.ids
    assert manifest.by_id()["2"].path == "2.png"
    assert len(manifest) == 4


@pytest.fixture
def all_are_large(monkeypatch):
    """So that Arrow reads every file."""
    monkeypatch.setattr(manifest_module, "LARGE", 0)
    monkeypatch.setattr(manifest_module, "BLOCK_BYTES", 256)


@pytest.mark.usefixtures("all_are_large")
@pytest.mark.parametrize("count", [0, 1, 50])
def test_a_large_file_is_read_as_a_small_one(tmp_path, count):
    names = [AWKWARD[number % len(AWKWARD)] for number in range(count)]
    rows = [
        replace(PICTURE, id=f"{number:016x}", path=f"{number}{name}", recipe=name[:3])
        for number, name in enumerate(names)
    ]
    Manifest(rows).write(tmp_path / "manifest.csv")
    assert [*Manifest.read(tmp_path / "manifest.csv")] == rows


@pytest.mark.usefixtures("all_are_large")
@pytest.mark.parametrize("spoilt", ["wide", "4.5", "1,2", ""])
def test_the_line_of_a_large_file_that_is_wrong_is_named(tmp_path, spoilt):
    rows = [replace(PICTURE, id=f"{number:016x}") for number in range(40)]
    Manifest(rows).write(tmp_path / "manifest.csv")
    lines = (tmp_path / "manifest.csv").read_text().splitlines()
    lines[30] = lines[30].replace("640", spoilt)
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"manifest\.csv, line 31: "):
        Manifest.read(tmp_path / "manifest.csv")
