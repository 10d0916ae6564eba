"""One query at a time, from stored features."""

import numpy as np
import pytest

from gallerist.features import FeatureMismatch, Features, normalise
from gallerist.images import BadImage
from gallerist.layout import ResultMissing, Results
from gallerist.manifest import DISTRACTOR, Manifest, Picture
from gallerist.search import search
from gallerist.single_search import QueryUnknown, find_query, search_file, search_query


def picture(name: str, path: str, label: str, part: str) -> Picture:
    return Picture(name, path, label, part, name, 10, 10, "0" * 16)


QUERIES = Manifest(
    (
        picture("q1", "data/query/cat/cat_1.jpg", "cat", "query"),
        picture("q2", "data/query/dog/1.jpg", "dog", "query"),
        picture("q3", "data/query/cat/1.jpg", "cat", "query"),
        picture("q4", "data/query/distractor/x.jpg", DISTRACTOR, "query"),
        picture("both", "data/query/cat/same.jpg", "cat", "query"),
    )
)
GALLERY = Manifest(
    (
        picture("g1", "data/gallery/cat/a.jpg", "cat", "gallery"),
        picture("g2", "data/gallery/dog/b.jpg", "dog", "gallery"),
        picture("both", "data/gallery/cat/same.jpg", "cat", "gallery"),
        picture("g3", "data/gallery/distractor/c.jpg", DISTRACTOR, "gallery"),
    )
)


def features(manifest: Manifest, seed: int, model: str = "m", preprocessing: str = "p"):
    vectors = normalise(np.random.default_rng(seed).normal(size=(len(manifest), 6)))
    return Features(vectors, tuple(manifest.ids), model, preprocessing)


def store(folder, part: str, stored: Features) -> None:
    stem = folder / "features" / "resnet"
    stored.write(stem / f"{part}.npy", stem / f"{part}.ids.csv", stem / f"{part}.origin.json")


@pytest.fixture
def results(tmp_path):
    QUERIES.write(tmp_path / "manifests" / "query.csv")
    GALLERY.write(tmp_path / "manifests" / "gallery.csv")
    store(tmp_path, "query", features(QUERIES, 1))
    store(tmp_path, "gallery", features(GALLERY, 2))
    return Results(tmp_path)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("1", "q1"),
        ("5", "both"),
        ("cat_1.jpg", "q1"),
        ("dog/1.jpg", "q2"),
        ("query/cat/1.jpg", "q3"),
        ("data/query/cat/1.jpg", "q3"),
        ("./dog/1.jpg", "q2"),
        ("x.jpg", "q4"),
    ],
)
def test_a_query_is_found_by_number_name_or_end_of_its_path(name, found):
    assert find_query(QUERIES, name).id == found


@pytest.mark.parametrize("name", ["0", "6", "99999999999999999999"])
def test_a_number_out_of_range_is_answered_with_the_range(name):
    with pytest.raises(QueryUnknown, match=f"query {name}: the data set has queries 1 to 5"):
        find_query(QUERIES, name)


@pytest.mark.parametrize("name", ["nothing.jpg", "1.jp", "at_1.jpg", "", ".", "-1", "²", "/1.jpg"])
def test_a_name_of_no_query_is_answered_with_one_that_is(name):
    with pytest.raises(
        QueryUnknown, match=r"no query is called .*data/query/cat/cat_1\.jpg is one"
    ):
        find_query(QUERIES, name)


def test_a_name_of_several_queries_is_answered_with_their_paths():
    with pytest.raises(QueryUnknown, match=r"2 queries .* 1\.jpg: .*dog/1\.jpg, .*cat/1\.jpg"):
        find_query(QUERIES, "1.jpg")


def test_a_data_set_without_queries_has_no_query():
    with pytest.raises(QueryUnknown, match=r"no query is called a\.jpg$"):
        find_query(Manifest(()), "a.jpg")
    with pytest.raises(QueryUnknown, match="queries 1 to 0"):
        find_query(Manifest(()), "1")


def test_answers_are_those_of_the_whole_search(results):
    queries, gallery = features(QUERIES, 1), features(GALLERY, 2)
    ranking = search(queries.vectors, queries.ids, gallery.vectors, gallery.ids, 3)
    for row, query in enumerate(QUERIES):
        answers = search_query(results, "resnet", query, 3)
        assert tuple(answer.picture.id for answer in answers) == ranking.answers[row]
        assert tuple(answer.distance for answer in answers) == ranking.distances[row]
        assert [answer.rank for answer in answers] == [1, 2, 3]


def test_answers_are_marked_right_by_class_and_distractors_never(results):
    expected = {"g1": True, "g2": False, "both": True, "g3": False}
    cat = search_query(results, "resnet", QUERIES.pictures[0], 4)
    assert {answer.picture.id: answer.right for answer in cat} == expected
    assert {answer.mark for answer in cat if answer.right} == {"o"}
    assert {answer.mark for answer in cat if not answer.right} == {"x"}
    distractor = search_query(results, "resnet", QUERIES.pictures[3], 4)
    assert [answer.right for answer in distractor] == [False] * 4


def test_a_query_that_is_in_the_gallery_is_not_its_own_answer(results):
    answers = search_query(results, "resnet", QUERIES.pictures[4], 10)
    assert sorted(answer.picture.id for answer in answers) == ["g1", "g2", "g3"]


@pytest.mark.parametrize("made", [{"model": "other"}, {"preprocessing": "other"}])
def test_query_and_gallery_that_were_described_differently_are_refused(results, made):
    store(results.folder, "gallery", features(GALLERY, 2, **made))
    with pytest.raises(FeatureMismatch):
        search_query(results, "resnet", QUERIES.pictures[0], 3)


def test_a_query_that_was_added_since_is_refused_in_words(results):
    with pytest.raises(FeatureMismatch, match=r"new\.jpg has not been described: run the workflow"):
        search_query(results, "resnet", picture("new", "new.jpg", "cat", "query"), 3)


def test_a_gallery_that_has_lost_a_picture_since_is_refused_in_words(results):
    Manifest(GALLERY.pictures[1:]).write(results.folder / "manifests" / "gallery.csv")
    with pytest.raises(FeatureMismatch, match="the gallery has changed since it was described"):
        search_query(results, "resnet", QUERIES.pictures[1], 3)


def test_an_experiment_that_has_not_run_is_named_with_what_to_do(results):
    with pytest.raises(ResultMissing, match=r"features/scratch/query\.npy is not there yet"):
        search_query(results, "scratch", QUERIES.pictures[0], 3)


def test_a_file_that_is_no_picture_is_named_before_any_network_is_loaded(results, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(BadImage, match=r"notes\.txt: not an image"):
        search_file(results, "resnet", tmp_path / "notes.txt", 3, threads=1)
