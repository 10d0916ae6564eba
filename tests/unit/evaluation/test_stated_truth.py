"""A truth that is not a class: pairs, columns, labels, places, annotations; and what is refused."""

import csv
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.stated_truth import Names, relevance_of, state_truth, write_truth
from gallerist.io.errors import UserError
from gallerist.settings.truth import Truth


def pictures(part, *names, labels=None):
    rows = zip(names, labels or [""] * len(names), strict=True)
    return Manifest(
        Picture(f"{part[0]}{row}", f"data/{part}/{name}", label, part, f"{part[0]}{row}", 9, 9, "")
        for row, (name, label) in enumerate(rows)
    )


QUERIES = pictures("query", "a.jpg", "b.jpg", "c.jpg")
GALLERY = pictures("gallery", "a.jpg", "x.jpg", "y.jpg", "deep/y.jpg", "cut.jpg#xywh=1,2,3,4")


def put(path, *rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return str(path)


def stated(truth, queries=QUERIES, gallery=GALLERY, table=None, faults=()):
    parts = [(each, Names(each, "data", faults)) for each in (queries, gallery)]
    return state_truth(Truth(**truth), *parts, table, "data")


def test_pairs_name_pictures_by_path_by_name_or_by_id(tmp_path):
    rows = [
        ("query", "gallery", "relevance"),
        ("a.jpg", "gallery/deep/y.jpg", "2"),
        ("query/b.jpg", "x", "-1"),
        ("data/query/b.jpg", "g0", "1"),
        ("c", "cut.jpg", "0"),
    ]
    found = stated({"pairs": put(tmp_path / "t.csv", *rows)})
    assert found == [("q0", "g3", 2), ("q1", "g0", 1), ("q1", "g1", -1), ("q2", "g4", 0)]
    write_truth(tmp_path / "truth.csv", found)
    relevance = relevance_of(QUERIES.label_of, GALLERY.label_of, tmp_path / "truth.csv")
    assert relevance.answerable == ("q0", "q1")
    assert relevance.mark("q1", ["g0", "g1", "g2"]) == (True, None, False)
    with pytest.raises(UserError, match="of other pictures"):
        relevance_of(QUERIES.label_of, {"g9": ""}, tmp_path / "truth.csv")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("question", "gallery"), ("a.jpg", "x.jpg")], "has no column query. Pairs have query"),
        ([("query", "gallery"), ("a.jpg", "z.jpg")], "line 2: no picture is called 'z.jpg'"),
        ([("query", "gallery"), ("a.jpg", "y.jpg")], "line 2: 2 pictures are called 'y.jpg': wri"),
        ([("query", "gallery", "relevance"), ("a.jpg", "x.jpg", "good")], "'good' is no number"),
        ([("query", "gallery", "relevance"), ("a.jpg", "x.jpg", "nan")], "'nan' is no number"),
        ([("query", "gallery", "relevance"), ("a.jpg", "x.jpg", "0")], "gives no query a right"),
        (
            [("query", "gallery", "relevance"), ("a.jpg", "x.jpg", 1), ("a", "x", 2)],
            "line 3: a and x stand there with another relevance too",
        ),
    ],
)
def test_a_wrong_list_of_pairs_is_refused_in_one_line(tmp_path, rows, said):
    with pytest.raises(UserError, match=said.replace("?", r"\?")) as error:
        stated({"pairs": put(tmp_path / "t.csv", *rows)})
    assert "\n" not in str(error.value)


def test_pairs_of_bad_files_are_left_out_and_those_of_copies_are_of_the_first(tmp_path):
    faults = put(
        tmp_path / "faults.csv",
        ("path", "severity", "reason"),
        ("data/gallery/bad.jpg", "skipped", "truncated (t.csv, line 3)"),
        ("data/gallery/copy.jpg", "skipped", "same picture as data/gallery/x.jpg (t.csv, line 4)"),
    )
    rows = [("query", "gallery"), ("a.jpg", "bad.jpg"), ("a.jpg", "copy.jpg")]
    assert stated({"pairs": put(tmp_path / "t.csv", *rows)}, faults=[faults]) == [("q0", "g1", 1)]


def test_a_column_of_the_table_lists_right_answers_and_another_junk(tmp_path):
    rows = [
        ("path", "part", "right", "junk"),
        ("query/a.jpg", "query", "x.jpg; gallery/deep/y.jpg", ""),
        ("query/b.jpg", "query", "x.jpg", "a.jpg"),
        ("gallery/x.jpg", "gallery", "ignored", ""),
    ]
    found = stated({"column": "right"}, table=put(tmp_path / "t.csv", *rows))
    assert found == [("q0", "g1", 1), ("q0", "g3", 1), ("q1", "g0", -1), ("q1", "g1", 1)]


def test_of_several_labels_any_or_all_of_the_query_s_are_asked_for():
    queries = pictures("query", "a", "b", "c", labels=["cat;dog", "cat", ""])
    gallery = pictures("gallery", "u", "v", "w", labels=["dog ; cat", "cat", "distractor;bird"])
    both = stated({"labels": "any"}, queries, gallery)
    assert [pair[:2] for pair in both] == [("q0", "g0"), ("q0", "g1"), ("q1", "g0"), ("q1", "g1")]
    every = stated({"labels": "all"}, queries, gallery)
    assert [pair[:2] for pair in every] == [("q0", "g0"), ("q1", "g0"), ("q1", "g1")]


def haversine(one, other):
    (north, east), (north2, east2) = ([math.radians(x) for x in each] for each in (one, other))
    half = math.sin((north2 - north) / 2) ** 2
    half += math.cos(north) * math.cos(north2) * math.sin((east2 - east) / 2) ** 2
    return 2 * 6_371_008.8 * math.asin(math.sqrt(half))


places = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@settings(deadline=None, max_examples=40)
@given(st.lists(places, min_size=2, max_size=6), st.floats(1, 3e7))
def test_places_within_a_distance_on_earth_are_those_of_the_haversine(tmp_path_factory, at, far):
    folder = tmp_path_factory.mktemp("places")
    query, *others = at
    rows = [("query/a.jpg", "query", *query)]
    rows += [(f"gallery/{n}.jpg", "gallery", *place) for n, place in enumerate(others)]
    table = put(folder / "t.csv", ("path", "part", "latitude", "longitude"), *rows)
    gallery = pictures("gallery", *[f"{n}.jpg" for n in range(len(others))])
    distances = [haversine(query, other) for other in others]
    if any(abs(each - far) < 1e-3 + 1e-6 * far for each in distances):
        return  # a rounding decides
    expected = [("q0", f"g{n}", 1) for n, each in enumerate(distances) if each <= far]
    try:
        found = stated({"within": far}, pictures("query", "a.jpg"), gallery, table)
    except UserError:
        found = []
    assert found == expected


def test_places_in_metres_and_pictures_without_one(tmp_path):
    rows = [
        ("path", "part", "east", "north"),
        ("query/a.jpg", "query", 0, 0),
        ("query/b.jpg", "query", "", ""),
        ("gallery/a.jpg", "gallery", 3, 4),
        ("gallery/x.jpg", "gallery", 3, 4.1),
    ]
    assert stated({"within": 5.0}, table=put(tmp_path / "t.csv", *rows)) == [("q0", "g0", 1)]
    rows[2] = ("query/b.jpg", "query", "here", 1)
    with pytest.raises(UserError, match="line 3: here, 1 is no place: east and north"):
        stated({"within": 5.0}, table=put(tmp_path / "t.csv", *rows))


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        ("easy", {"g0": 1, "g1": -1, "g2": -1}),
        ("medium", {"g0": 1, "g1": 1, "g2": -1}),
        ("hard", {"g0": -1, "g1": 1, "g2": -1}),
    ],
)
def test_annotations_of_the_revisited_sets_by_their_setup(tmp_path, setup, expected):
    value = {
        "gallery": ["a", "x", "gallery/y"],
        "queries": ["a"],
        "truth": [{"easy": [0], "hard": [1], "junk": [2], "bbx": [1, 2, 3, 4]}],
    }
    file = tmp_path / "t.json"
    file.write_text(json.dumps(value), encoding="utf-8")
    gallery = pictures("gallery", "a.jpg", "x.jpg", "y")
    found = stated({"annotations": str(file), "setup": setup}, gallery=gallery)
    assert {answer: value for _, answer, value in found} == expected
