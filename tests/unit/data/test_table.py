"""Tables of pictures: what is read, what is named, and that folders say the same."""

import csv
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from gallerist.data.boxes import Box, cut, split_box, with_box
from gallerist.data.decoding import read_image
from gallerist.data.importing import import_folder
from gallerist.data.manifest import Manifest
from gallerist.data.reading import read_pixels
from gallerist.data.splitting import split
from gallerist.data.table import import_table
from gallerist.data.table_rows import table_fingerprint
from gallerist.io.errors import UserError
from gallerist.workflow.table_layout import layout_of, read_table

HOW = {"min_side": 8, "max_pixels": 10**8, "threads": 2}


def draw(path, seed, width=40, height=24):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def put(path, header, *rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def imported(table, part="gallery", folder=None):
    return import_table(table, str(folder or table.parent), part=part, **HOW)


def reasons(problems):
    return {problem.path: problem.reason for problem in problems}


@pytest.fixture
def tree(tmp_path):
    """A tree of class folders, and its files: (path, part, label)."""
    rows = []
    for part, folder in (("training", "training"), ("gallery", "validation/gallery")):
        for number in range(6):
            label = ("cat", "dog")[number % 2]
            path = f"{folder}/{label}/{number}.png"
            draw(tmp_path / path, len(rows))
            rows.append((path, part, label))
    (tmp_path / "validation/gallery/cat/bad.png").write_bytes(b"no picture")
    rows.append(("validation/gallery/cat/bad.png", "gallery", "cat"))
    return tmp_path, rows


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_gives_the_manifest_of_the_folder_byte_for_byte(tree, kind):
    folder, rows = tree
    rows = [*reversed(rows), ("query.png", "query", "cat")]
    table = folder / f"table.{kind}"
    if kind == "csv":
        put(table, ("path", "part", "label", "photographer"), *[(*row, "me") for row in rows])
    else:
        names = ("path", "part", "label")
        columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        parquet.write_table(pa.table(columns), table)
    for part, place in (("originals", "training"), ("gallery", "validation/gallery")):
        plain = import_folder(folder / place, part=part, **HOW)
        found = imported(table, part)
        plain.manifest.write(folder / "plain.csv")
        found.manifest.write(folder / "found.csv")
        assert (folder / "plain.csv").read_bytes() == (folder / "found.csv").read_bytes()
        assert reasons(plain.problems).keys() == reasons(found.problems).keys()
    [reason] = reasons(found.problems).values()
    assert reason.startswith("no image") or "table" in reason
    assert f"table.{kind}, {'line' if kind == 'csv' else 'row'} " in reason


def test_a_box_is_what_is_described_and_part_of_the_identity(tmp_path):
    pixels = draw(tmp_path / "a.png", 1)
    boxes = [(0, 0, 40, 24), (4.4, 2, 20, 10), (20, 0, 20, 24), ("", "", "", "")]
    rows = [("a.png", *box) for box in boxes]
    table = put(tmp_path / "t.csv", ("path", "x", "y", "width", "height"), *rows)
    found = imported(table, "originals")
    whole, small, right = found.manifest
    assert whole.path == str(tmp_path / "a.png")
    assert [small.path, right.path] == [
        f"{whole.path}#xywh={b}" for b in ("4,2,20,10", "20,0,20,24")
    ]
    assert (small.width, small.height) == (20, 10)
    assert len({whole.id, small.id, right.id}) == 3
    assert {each.source_id for each in found.manifest} == {whole.id}
    assert reasons(found.problems)[whole.path].startswith("same picture as")
    assert np.array_equal(read_image(small.path), pixels[2:12, 4:24])
    [read] = read_pixels([right], np.copy)
    assert np.array_equal(read, pixels[:, 20:])
    parts = split(found.manifest, {"training": 1.0}, seed=1)
    assert len(parts["training"]) == 3


@given(st.text(), st.none() | st.builds(Box, *[st.integers(0, 99)] * 4))
def test_a_path_with_a_box_is_read_as_it_was_written(path, box):
    if split_box(path)[1] is None:
        assert split_box(with_box(path, box)) == (path, box)


def test_bad_rows_are_named_by_their_line_and_the_others_are_used(tmp_path):
    draw(tmp_path / "a.png", 1)
    rows = [
        ("a.png", "cat", 0, 0, 20, 20),
        ("a.png", "cat", 0, 0, "nan", 20),
        ("a.png", "cat", 30, 0, 20, 20),
        ("a.png", "cat", 0, 0, 20, 20),
        ("a.png", "cat", -1, 0, 20, 20),
        ("a.png", "cat", 0, 0, 20, ""),
        ("a.png", "", 0, 0, 21, 20),
        ("", "cat", 0, 0, 20, 20),
        ("b.png", "cat", 0, 0, 20, 20),
        ("a.png", "a/../b", 0, 0, 20, 20),
        ("a.png", "cat", 0, 0, 4, 20),
    ]
    table = put(tmp_path / "t.csv", ("path", "label", "x", "y", "width", "height"), *rows)
    found = imported(table, "originals")
    assert len(found.manifest) == 1
    said = [problem.reason for problem in found.problems]
    expected = {
        3: "width is nan: a box has four numbers of pixels",
        4: "the box 30,0,20,20 is not within the picture, which has 40x24",
        5: f"the same row as {table}, line 2",
        6: "the box -1,0,20,20 is not within a picture",
        7: "height is '': a box has four numbers of pixels",
        8: "no label, though the table has that column",
        9: "no path",
        10: "no such file",
        11: "the label 'a/../b' is no name of a class: leave / and line ends out",
        12: "the box 0,0,4,20 is smaller than 8 pixels a side",
    }
    assert sorted(said) == sorted(f"{why} ({table}, line {n})" for n, why in expected.items())
    assert all(problem.severity == "skipped" for problem in found.problems)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,part\na.png,query\n", "has no column path; it has file, part$"),
        ("path;part\na.png;query\n", "has no column path; .* separated by commas$"),
        ("path,lable\na.png,cat\n", "has a column 'lable': call it label$"),
        ("path,part\na.png,test\n", r"line 2: the part 'test' is none of training, .*query$"),
        ("path,part\na.png,query\nb.png,\n", "line 3: no part, though other rows have one"),
        ("path,part\na.png,query\n", "has no row of the part gallery$"),
        ("path\n../a.png\n", r"line 2: the path '\.\./a\.png' leaves the folder"),
        ("path\na/../../b.png\n", "line 2: .* leaves the folder"),
        ("path\n/etc/passwd\n", "line 2: .* leaves the folder"),
        ("path,part\na.png\n", "line 2: the row has 1 cells, and the header 2"),
        ("path,path\na.png,b\n", "has the column path twice"),
        ("path\n", "has no rows, only names of columns"),
        ("", "is empty: its first line names the columns"),
        ("path,width\na.png,3\n", "a box has the columns x, y, width, height, all of them"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(tmp_path, text, said):
    table = tmp_path / "t.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=said) as error:
        layout_of(table)
    assert "\n" not in str(error.value)
    assert str(table) in str(error.value)


def test_paths_within_the_folder_may_have_dots(tmp_path):
    table = put(tmp_path / "t.csv", ("path",), ("./a.png",), ("..a/b.png",), ("a/../b.png",))
    assert len(read_table(table)) == 3


def test_a_million_rows_are_read_in_seconds(tmp_path):
    rows = ((f"p/{n}.jpg", "gallery" if n % 2 else "query", f"c{n % 99}") for n in range(10**6))
    table = put(tmp_path / "t.csv", ("path", "part", "label"), *rows)
    start = time.process_time()
    layout = layout_of(table)
    assert time.process_time() - start < 10
    assert layout.parts == {"gallery", "query"}
    plain = read_table(table)
    assert (len(plain), plain.lines[-1]) == (10**6, 10**6 + 1)
    assert plain.column("path")[999_999] == "p/999999.jpg"
    with table.open("a", encoding="utf-8") as file:
        file.write("short\n")
    with pytest.raises(UserError, match="line 1000002: the row has 1 cells, and the header 3"):
        layout_of(table)


def test_the_fingerprint_of_a_part_follows_its_own_rows_and_files(tmp_path):
    for number in range(3):
        draw(tmp_path / f"{number}.png", number)
    rows = [("0.png", "query"), ("1.png", "gallery"), ("2.png", "gallery")]
    table = put(tmp_path / "t.csv", ("path", "part"), *rows)

    def prints():
        cache = tmp_path / "cache.json"
        found = (table_fingerprint(table, str(tmp_path), p, cache) for p in ("query", "gallery"))
        return tuple(found)

    before = prints()
    put(table, ("part", "path", "note"), *[(b, a, "new") for a, b in reversed(rows)])
    assert prints() == before
    draw(tmp_path / "2.png", 9)
    after = prints()
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)
    put(table, ("path", "part"), *rows[:2])
    assert prints()[1] not in (before[1], after[1])


@settings(max_examples=25)
@given(st.integers(0, 39), st.integers(0, 23), st.integers(1, 40), st.integers(1, 24))
def test_a_cut_is_the_pixels_of_the_box(x, y, width, height):
    pixels = np.arange(24 * 40 * 3, dtype=np.int64).reshape(24, 40, 3)
    part = cut(pixels, Box(x, y, width, height))
    assert part.size == 0 or part[0, 0, 0] == pixels[y, x, 0]


def test_no_row_for_training_is_no_picture_and_no_error(tmp_path):
    draw(tmp_path / "a.png", 1)
    rows = [("a.png", "query"), ("a.png", "gallery")]
    table = put(tmp_path / "t.csv", ("path", "part"), *rows)
    assert imported(table, "originals").manifest == Manifest()
    assert len(imported(table, "query").manifest) == 1
    assert Path(imported(table, "gallery").manifest.paths[0]).name == "a.png"
