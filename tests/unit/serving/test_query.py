"""One query at a time: of the data set, as it was ranked, and any picture file."""

import numpy as np
import pytest
from PIL import Image

from gallerist.data.decoding import MAX_PIXELS, BadImage
from gallerist.data.manifest import DISTRACTOR, Manifest, Picture
from gallerist.evaluation.stated_truth import write_truth
from gallerist.features import vocabulary
from gallerist.features.descriptors.extract import DescriptorExtractor
from gallerist.features.extractors import extract
from gallerist.features.key_points import Detector
from gallerist.features.reduction import Reduced, fit
from gallerist.features.store import Features, write_features
from gallerist.io.errors import UserError
from gallerist.search.exact import search
from gallerist.serving.pictures import KnownPictures
from gallerist.serving.query import find_query, search_file, search_query
from gallerist.settings.descriptors import read_descriptor
from gallerist.workflow.experiments import NotSearchable
from gallerist.workflow.results import Results


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
    vectors = np.random.default_rng(seed).normal(size=(len(manifest), 6))
    return Features.of(vectors, manifest.ids, model, preprocessing)


def ranked(depth: int = 4):
    queries, gallery = features(QUERIES, 1), features(GALLERY, 2)
    return search(queries.vectors, queries.ids, gallery.vectors, gallery.ids, depth)


RANKING = "rankings/resnet.csv"


@pytest.fixture
def results(tmp_path):
    QUERIES.write(tmp_path / "manifests" / "query.csv")
    GALLERY.write(tmp_path / "manifests" / "gallery.csv")
    ranked().write(tmp_path / RANKING)
    return Results(tmp_path)


def known(results, **how):
    return KnownPictures.read(results, **how)


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
    with pytest.raises(UserError, match=f"query {name}: the data set has queries 1 to 5"):
        find_query(QUERIES, name)


@pytest.mark.parametrize("name", ["nothing.jpg", "1.jp", "at_1.jpg", "", ".", "-1", "²", "/1.jpg"])
def test_a_name_of_no_query_is_answered_with_one_that_is(name):
    with pytest.raises(UserError, match=r"no query is called .*data/query/cat/cat_1\.jpg is one"):
        find_query(QUERIES, name)


def test_a_name_of_several_queries_is_answered_with_their_paths():
    with pytest.raises(UserError, match=r"2 queries .* 1\.jpg: .*dog/1\.jpg, .*cat/1\.jpg"):
        find_query(QUERIES, "1.jpg")


def test_a_data_set_without_queries_has_no_query():
    with pytest.raises(UserError, match=r"no query is called a\.jpg$"):
        find_query(Manifest(()), "a.jpg")
    with pytest.raises(UserError, match="queries 1 to 0"):
        find_query(Manifest(()), "1")


def test_answers_are_those_of_the_workflow(results):
    ranking = ranked()
    for row, query in enumerate(QUERIES):
        answers = search_query(results, RANKING, query, 3, known(results))
        assert tuple(answer.picture.id for answer in answers) == ranking.answers[row][:3]
        distances = [answer.distance for answer in answers]
        assert distances == pytest.approx(ranking.distances[row][:3], abs=1e-9)
        assert [answer.rank for answer in answers] == [1, 2, 3]


def test_answers_are_marked_right_by_class_and_distractors_never(results):
    expected = {"g1": True, "g2": False, "both": True, "g3": False}
    cat = search_query(results, RANKING, QUERIES.pictures[0], 4, known(results))
    assert {answer.picture.id: answer.relevant for answer in cat} == expected
    assert {answer.mark for answer in cat if answer.relevant} == {"o"}
    assert {answer.mark for answer in cat if not answer.relevant} == {"x"}
    distractor = search_query(results, RANKING, QUERIES.pictures[3], 4, known(results))
    assert [answer.relevant for answer in distractor] == [False] * 4


def test_answers_are_marked_by_what_is_stated_where_it_is_not_by_class(results):
    pairs = [("q1", "g2", 1.0), ("q1", "g1", -1.0), ("q2", "g1", 2.0)]
    write_truth(results.folder / "truth.csv", pairs)
    pictures = known(results, stated=True)
    marks = {
        answer.picture.id: answer.mark
        for answer in search_query(results, RANKING, QUERIES.pictures[0], 4, pictures)
    }
    assert marks == {"g1": " ", "g2": "o", "both": "x", "g3": "x"}  # g1, of its class, is junk
    assert pictures.judge("g1", ["g1", "both"]) == [None, None]  # no query: nothing is said of it
    assert pictures.judge("from elsewhere", ["g2"]) == [None]
    (results.folder / "truth.csv").unlink()
    with pytest.raises(UserError, match=r"truth\.csv is not there yet"):
        known(results, stated=True)


def test_a_query_that_is_in_the_gallery_is_not_its_own_answer(results):
    answers = search_query(results, RANKING, QUERIES.pictures[4], 10, known(results))
    assert sorted(answer.picture.id for answer in answers) == ["g1", "g2", "g3"]


def test_a_query_that_was_added_since_is_refused_in_words(results):
    new = picture("new", "new.jpg", "cat", "query")
    with pytest.raises(UserError, match=r"new\.jpg has not been searched for: run the workflow"):
        search_query(results, RANKING, new, 3, known(results))


def test_a_gallery_that_has_lost_a_picture_since_is_refused_in_words(results):
    Manifest(GALLERY.pictures[1:]).write(results.folder / "manifests" / "gallery.csv")
    with pytest.raises(UserError, match="the gallery has changed since it was ranked"):
        search_query(results, RANKING, QUERIES.pictures[1], 4, known(results))


def test_an_experiment_that_has_not_run_is_named_with_what_to_do(results):
    with pytest.raises(UserError, match=r"rankings/scratch\.csv is not there yet"):
        search_query(results, "rankings/scratch.csv", QUERIES.pictures[0], 3, known(results))


# A picture file. Networks are searched in tests/end_to_end.

SEARCH = {"metric": "cosine"}
HOG = {
    "descriptor": "hog", "image_size": 64, "look": "colour", "orientations": 9, "cells": 8,
    "cell_pixels": 8, "block": 2, "search": SEARCH,
}  # fmt: skip
SIFT = {"descriptor": "sift", "encoding": "vlad", "square_root": True, "search": SEARCH}


@pytest.fixture
def gallery_files(results, tmp_path):
    """Four real files as the gallery, with vectors of HOG, of SIFT, and of HOG reduced."""
    paths = []
    for row, name in enumerate(GALLERY.ids):
        pixels = np.random.default_rng(row).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{name}.png")
        Image.fromarray(pixels).resize((90, 70), Image.Resampling.BICUBIC).save(paths[-1])
    extractor = DescriptorExtractor(read_descriptor(**HOG), max_pixels=MAX_PIXELS, threads=1)
    hog = extract(extractor, paths, GALLERY.ids)
    write(extractor, paths, files_of(tmp_path, "features/hog"))
    reduction = fit("pca", 2, hog.vectors, seed=1)
    reduction.write(tmp_path / "reductions/small.npz")
    write(Reduced(hog, reduction), GALLERY.ids, files_of(tmp_path, "reduced/small"))
    detector = Detector("sift", 512, 100, root=True)
    sample = vocabulary.sample(paths, detector, at_most=1000, seed=1, threads=1)
    words = vocabulary.learn(sample, 4, 1, detector=detector)
    words.write(tmp_path / "vocabularies/sift.npz")
    sift = vocabulary.WordExtractor(words, "vlad", square_root=True, threads=1)
    write(sift, paths, files_of(tmp_path, "features/sift"))
    return paths


def write(extractor, pictures, files):
    write_features(extractor.batches(pictures), GALLERY.ids, extractor, files)


def files_of(folder, name):
    stem = folder / name
    return stem / "gallery.npy", stem / "gallery.ids.csv", stem / "gallery.origin.json"


@pytest.mark.parametrize(
    ("experiment", "settings"),
    [("hog", HOG), ("small", {**HOG, "reduction": {"method": "pca"}}), ("sift", SIFT)],
)
def test_a_copy_of_a_gallery_picture_is_found_first_at_no_distance(
    results, gallery_files, experiment, settings
):
    for path, expected in zip(gallery_files, GALLERY.ids, strict=True):
        label, answers = search_file(
            results, experiment, {experiment: settings}, path, 2, threads=1
        )
        assert label is None  # the manifest's ids are made up, so the file is not known by its own
        assert answers[0].picture.id == expected
        assert answers[0].distance == pytest.approx(0, abs=1e-6)
        assert answers[1].distance > 1e-3


def test_a_gallery_of_vectors_by_other_settings_is_refused(results, gallery_files):
    with pytest.raises(UserError, match=r"different models .* run the workflow again"):
        search_file(results, "hog", {"hog": {**HOG, "block": 1}}, gallery_files[0], 2, threads=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fusion": "ranks", "of": ["hog", "sift"]}, r"search with one of them \(hog, sift\)"),
        ({**HOG, "k_reciprocal": {"k1": 3}}, "k_reciprocal, which the workflow does; .*--query"),
        ({**HOG, "geometric_verification": {"first": 3}}, "geometric_verification, which"),
    ],
)
def test_what_one_picture_cannot_be_searched_by_is_reported(
    results, gallery_files, settings, message
):
    with pytest.raises(NotSearchable, match=message):
        search_file(results, "hog", {"hog": settings}, gallery_files[0], 2, threads=1)


def test_a_file_that_is_no_picture_is_named_before_any_network_is_loaded(results, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(BadImage, match=r"notes\.txt: not an image"):
        search_file(
            results,
            "resnet",
            {"resnet": {"network": "scratch"}},
            tmp_path / "notes.txt",
            3,
            threads=1,
        )
