"""The answer file: what a ranking becomes in it, and that it comes back as it was."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
from checkout import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.challenge.answer_file import name_answers, write_answer_table, write_answers
from gallerist.data.manifest import Manifest, Picture
from gallerist.io.errors import UserError
from gallerist.search.ranking import Ranking

names = st.text(st.characters(codec="utf-8", exclude_characters="/\0\r"), min_size=1, max_size=12)


def manifest(part, *paths):
    """Pictures whose ids are the part and their number."""
    rows = [
        Picture(f"{part}{number}", path, "unknown", part, f"{part}{number}", 9, 9, "0" * 16)
        for number, path in enumerate(paths)
    ]
    return Manifest(tuple(rows))


QUERIES = manifest("query", "data/query/b.jpg", "data/query/a.jpg")
GALLERY = manifest("gallery", "data/gallery/x.jpg", "data/gallery/y.jpg", "data/gallery/a.jpg")
RANKING = Ranking(
    ("query0", "query1"),
    (("gallery2", "gallery0", "gallery1"), ("gallery1", "gallery2", "gallery0")),
    ((0.1, 0.2, 0.3), (0.0, 0.5, 0.9)),
)


@st.composite
def every_answers(draw):
    queries = draw(st.lists(names, max_size=5, unique=True))
    answers = st.lists(names, max_size=6)
    return {query: draw(answers) for query in queries}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("submission") / "results.json"


def test_a_ranking_becomes_the_published_form(tmp_path):
    answers = name_answers(RANKING, QUERIES, GALLERY, 2)
    write_answers(tmp_path / "r.json", "Primati", answers)
    assert json.loads((tmp_path / "r.json").read_bytes()) == {
        "groupname": "Primati",
        "images": {"a.jpg": ["y.jpg", "a.jpg"], "b.jpg": ["a.jpg", "x.jpg"]},
    }


def test_the_csv_has_a_row_an_answer(tmp_path):
    write_answer_table(tmp_path / "r.csv", name_answers(RANKING, QUERIES, GALLERY, 2))
    table = pd.read_csv(tmp_path / "r.csv")
    assert table.columns.tolist() == ["query", "rank", "answer"]
    assert table.to_numpy().tolist() == [
        ["a.jpg", 1, "y.jpg"],
        ["a.jpg", 2, "a.jpg"],
        ["b.jpg", 1, "a.jpg"],
        ["b.jpg", 2, "x.jpg"],
    ]


@settings(max_examples=100, deadline=None)
@given(group=names, answers=every_answers())
def test_what_is_written_is_read_again(file, group, answers):
    write_answers(file, group, answers)
    found = json.loads(file.read_bytes().decode("utf-8"))
    assert found == {"groupname": group, "images": answers}


@settings(max_examples=50, deadline=None)
@given(answers=every_answers())
def test_the_csv_holds_the_same_answers(file, answers):
    write_answer_table(file, answers)
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.reader(opened))[1:]
    expected = [
        [query, str(rank), answer]
        for query in sorted(answers)
        for rank, answer in enumerate(answers[query], start=1)
    ]
    assert rows == expected


def test_the_order_of_the_queries_does_not_change_the_bytes(tmp_path):
    answers = {"b": ("1",), "a": ("2",), "ä": ("3",)}
    write_answers(tmp_path / "one", "g", answers)
    write_answers(tmp_path / "two", "g", dict(reversed(answers.items())))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert "ä".encode() in (tmp_path / "one").read_bytes()


@pytest.mark.parametrize("part", ["query", "gallery"])
def test_two_files_of_one_name_are_refused_with_both_paths(part):
    twice = manifest(part, "data/cats/1.jpg", "data/dogs/1.jpg")
    queries, gallery = (twice, GALLERY) if part == "query" else (QUERIES, twice)
    with pytest.raises(UserError) as fault:
        name_answers(RANKING, queries, gallery, 1)
    for word in (part, "1.jpg", "data/cats/1.jpg", "data/dogs/1.jpg", "one flat folder"):
        assert word in str(fault.value)


def test_a_query_and_a_gallery_picture_may_have_one_name():
    assert name_answers(RANKING, QUERIES, GALLERY, 1)["b.jpg"] == ("a.jpg",)


def test_without_a_number_of_answers_the_whole_ranking_is_named():
    assert name_answers(RANKING, QUERIES, GALLERY)["b.jpg"] == ("a.jpg", "x.jpg", "y.jpg")


def test_too_few_answers_are_refused_with_the_query():
    with pytest.raises(UserError, match=r"3 answers to b\.jpg, and 4 are to be sent"):
        name_answers(RANKING, QUERIES, GALLERY, 4)


def test_a_query_without_any_answer_is_refused():
    only_one = Ranking(RANKING.query_ids[:1], RANKING.answers[:1], RANKING.distances[:1])
    with pytest.raises(UserError, match=r"0 answers to a\.jpg"):
        name_answers(only_one, QUERIES, GALLERY, 1)


def test_a_ranking_of_other_pictures_is_refused():
    with pytest.raises(UserError, match="query picture query1, which the manifest"):
        name_answers(RANKING, manifest("query", "b.jpg"), GALLERY, 1)
    with pytest.raises(UserError, match="gallery picture gallery2, which the manifest"):
        name_answers(RANKING, QUERIES, manifest("gallery", "x", "y"), 1)


def test_the_real_challenge_is_answered_whole():
    if not (SHARED / "data/challenge").is_dir():
        pytest.skip("the challenge's pictures are not here")
    parts = {
        part: manifest(part, *sorted(map(str, (SHARED / "data/challenge" / part).iterdir())))
        for part in ("query", "gallery")
    }
    answers = tuple(parts["gallery"].ids[:12])
    count = len(parts["query"])
    ranking = Ranking(tuple(parts["query"].ids), (answers,) * count, (tuple(range(12)),) * count)
    images = name_answers(ranking, parts["query"], parts["gallery"], 10)
    assert set(images) == {Path(path).name for path in parts["query"].paths}
    assert {len(names) for names in images.values()} == {10}
