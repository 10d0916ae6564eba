"""data.domains: which domain a table names for which picture, and what an edit of one changes."""

import csv

import numpy as np
import pytest
from PIL import Image

from gallerist.data.domains import (
    domains_fingerprint,
    domains_of,
    named_domains,
    read_domains,
    write_domains,
)
from gallerist.data.table import import_table
from gallerist.io.errors import UserError
from gallerist.workflow.table_layout import layout_of

HEADER = ["path", "part", "label", "x", "y", "width", "height", "domain"]
ROWS = [
    ["a.png", "query", "cat", "", "", "", "", "photo"],
    ["a.png", "query", "dog", "4", "2", "20", "10", "sketch"],
    ["b.png", "query", "cat", "0", "0", "40", "24", "sketch"],
    ["c.png", "query", "dog", "", "", "", "", ""],
    ["c.png", "gallery", "dog", "", "", "", "", "painting"],
]


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate("abc"):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 40, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return tmp_path


def put(folder, rows, header=HEADER):
    path = folder / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def manifest_of(table):
    how = {"part": "query", "min_side": 8, "max_pixels": 10**6}
    return import_table(table, str(table.parent), **how).manifest


def test_every_query_has_the_domain_of_its_row_or_is_unknown(folder):
    table = put(folder, ROWS)
    found = domains_of(manifest_of(table), named_domains(table, str(folder), "query"))
    by_path = dict(zip(manifest_of(table).paths, found.values(), strict=True))
    assert by_path == {
        f"{folder}/a.png": "photo",
        f"{folder}/a.png#xywh=4,2,20,10": "sketch",
        f"{folder}/b.png": "sketch",  # its box is the whole picture
        f"{folder}/c.png": "unknown",
    }
    write_domains(folder / "domains.csv", found)
    assert read_domains(folder / "domains.csv") == found
    assert read_domains([]) == {}


def test_a_manifest_is_the_same_byte_for_byte_with_domains_and_without(folder):
    manifest_of(put(folder, ROWS)).write(folder / "with.csv")
    manifest_of(put(folder, [row[:-1] for row in ROWS], HEADER[:-1])).write(folder / "without.csv")
    assert (folder / "with.csv").read_bytes() == (folder / "without.csv").read_bytes()


def test_domains_are_known_by_the_parts_whose_rows_name_some(folder):
    assert layout_of(put(folder, ROWS)).domains == {"query", "gallery"}
    assert layout_of(put(folder, [[*row[:-1], ""] for row in ROWS])).domains == set()
    whole = [[row[0], row[-1]] for row in ROWS]
    assert layout_of(put(folder, whole, ["path", "domain"])).domains == {""}


def changed(row, place, text):
    return [[*each[:place], text, *each[place + 1 :]] if each is row else each for each in ROWS]


@pytest.mark.parametrize(
    ("rows", "same"),
    [
        (ROWS[::-1], True),
        (changed(ROWS[0], 2, "tiger"), True),
        (changed(ROWS[4], 7, "photo"), True),  # of the gallery, which asks nothing
        (changed(ROWS[0], 7, "sketch"), False),
        (changed(ROWS[3], 7, "photo"), False),
    ],
)
def test_the_fingerprint_is_of_the_queries_domains_alone(folder, rows, same):
    before = domains_fingerprint(put(folder, ROWS), str(folder), "query")
    assert (domains_fingerprint(put(folder, rows), str(folder), "query") == before) == same


def test_a_domain_that_is_no_word_is_named_with_its_line(folder):
    table = put(folder, changed(ROWS[1], 7, "pho\nto"))
    with pytest.raises(UserError, match=r"table\.csv, line 4: the domain 'pho\\nto' is no word"):
        named_domains(table, str(folder), "query")
