"""The answer file: what a ranking becomes in it, and that it comes back as it was."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
from checkout import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.challenge.answer_file import Submission
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
def submissions(draw):
    queries = draw(st.lists(names, max_size=5, unique=True))
    answers = st.lists(names, max_size=6).map(tuple)
    group = draw(names.filter(str.strip))
    return Submission(group, {query: draw(answers) for query in queries})


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("submission") / "results.json"


def test_a_ranking_becomes_the_published_form(tmp_path):
    Submission.from_ranking(RANKING, QUERIES, GALLERY, "Primati", 2).write(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_bytes()) == {
        "groupname": "Primati",
        "images": {"a.jpg": ["y.jpg", "a.jpg"], "b.jpg": ["a.jpg", "x.jpg"]},
    }


def test_the_csv_has_a_row_an_answer(tmp_path):
    Submission.from_ranking(RANKING, QUERIES, GALLERY, "Primati", 2).write_csv(tmp_path / "r.csv")
    table = pd.read_csv(tmp_path / "r.csv")
    assert table.columns.tolist() == ["query", "rank", "answer"]
    assert table.to_numpy().tolist() == [
        ["a.jpg", 1, "y.jpg"],
        ["a.jpg", 2, "a.jpg"],
        ["b.jpg", 1, "a.jpg"],
        ["b.jpg", 2, "x.jpg"],
    ]


@settings(max_examples=100, deadline=None)
@given(submission=submissions())
def test_what_is_written_is_read_again(file, submission):
    submission.write(file)
    assert Submission.read(file) == submission
    file.read_bytes().decode("utf-8")


@settings(max_examples=50, deadline=None)
@given(submission=submissions())
def test_the_csv_holds_the_same_answers(file, submission):
    submission.write_csv(file)
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.reader(opened))[1:]
    expected = [
        [query, str(rank), answer]
        for query in sorted(submission.answers)
        for rank, answer in enumerate(submission.answers[query], start=1)
    ]
    assert rows == expected


def test_the_order_of_the_queries_does_not_change_the_bytes(tmp_path):
    answers = {"b": ("1",), "a": ("2",), "ä": ("3",)}
    Submission("g", answers).write(tmp_path / "one")
    Submission("g", dict(reversed(answers.items()))).write(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert "ä".encode() in (tmp_path / "one").read_bytes()


@pytest.mark.parametrize("part", ["query", "gallery"])
def test_two_files_of_one_name_are_refused_with_both_paths(part):
    twice = manifest(part, "data/cats/1.jpg", "data/dogs/1.jpg")
    queries, gallery = (twice, GALLERY) if part == "query" else (QUERIES, twice)
    with pytest.raises(UserError) as fault:
        Submission.from_ranking(RANKING, queries, gallery, "g", 1)
    for word in (part, "1.jpg", "data/cats/1.jpg", "data/dogs/1.jpg", "one flat folder"):
        assert word in str(fault.value)


def test_a_query_and_a_gallery_picture_may_have_one_name():
    submission = Submission.from_ranking(RANKING, QUERIES, GALLERY, "g", 1)
    assert submission.answers["b.jpg"] == ("a.jpg",)


def test_too_few_answers_are_refused_with_the_query():
    with pytest.raises(UserError, match=r"3 answers to b\.jpg, and 4 are to be sent"):
        Submission.from_ranking(RANKING, QUERIES, GALLERY, "g", 4)


def test_a_query_without_any_answer_is_refused():
    only_one = Ranking(RANKING.query_ids[:1], RANKING.answers[:1], RANKING.distances[:1])
    with pytest.raises(UserError, match=r"0 answers to a\.jpg"):
        Submission.from_ranking(only_one, QUERIES, GALLERY, "g", 1)


def test_a_ranking_of_other_pictures_is_refused():
    with pytest.raises(UserError, match="query picture query1, which the manifest"):
        Submission.from_ranking(RANKING, manifest("query", "b.jpg"), GALLERY, "g", 1)
    with pytest.raises(UserError, match="gallery picture gallery2, which the manifest"):
        Submission.from_ranking(RANKING, QUERIES, manifest("gallery", "x", "y"), "g", 1)


@pytest.mark.parametrize("group", ["", "  \n"])
def test_a_group_without_a_name_is_refused(group):
    with pytest.raises(UserError, match="no name"):
        Submission.from_ranking(RANKING, QUERIES, GALLERY, group, 1)


def test_k_below_one_is_refused():
    with pytest.raises(ValueError, match="k is 0"):
        Submission.from_ranking(RANKING, QUERIES, GALLERY, "g", 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("[]", "keys are not groupname and images"),
        ('{"images": {}}', "keys are not groupname and images"),
        ('{"groupname": "g", "images": {}, "more": 1}', "keys are not groupname and images"),
        ('{"groupname": 1, "images": {}}', "groupname is not text"),
        ('{"groupname": "g", "images": []}', "images is not an object"),
        ('{"groupname": "", "images": {}}', "no name"),
        ('{"groupname": "g", "images": {"q": "x"}}', "'q' are not a list of texts"),
        ('{"groupname": "g", "images": {"q": [1]}}', "'q' are not a list of texts"),
        ('{"groupname": "g", "images": {"q": [], "q": []}}', "stands twice"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_another_form_is_refused_with_the_file_and_the_form(tmp_path, text, reason):
    (tmp_path / "r.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=rf"(?s)r\.json.*{reason}.*The form is"):
        Submission.read(tmp_path / "r.json")


def test_bytes_that_are_no_utf8_are_refused(tmp_path):
    (tmp_path / "r.json").write_bytes(b'{"groupname": "\xe4", "images": {}}')
    with pytest.raises(UserError, match=r"r\.json is not in the form"):
        Submission.read(tmp_path / "r.json")


def test_the_real_challenge_is_answered_whole(tmp_path):
    if not (SHARED / "data/challenge").is_dir():
        pytest.skip("the challenge's pictures are not here")
    parts = {
        part: manifest(part, *sorted(map(str, (SHARED / "data/challenge" / part).iterdir())))
        for part in ("query", "gallery")
    }
    answers = tuple(parts["gallery"].ids[:12])
    count = len(parts["query"])
    ranking = Ranking(tuple(parts["query"].ids), (answers,) * count, (tuple(range(12)),) * count)
    Submission.from_ranking(ranking, parts["query"], parts["gallery"], "g", 10).write(
        tmp_path / "r.json"
    )
    images = json.loads((tmp_path / "r.json").read_bytes())["images"]
    assert set(images) == {Path(path).name for path in parts["query"].paths}
    assert {len(names) for names in images.values()} == {10}
