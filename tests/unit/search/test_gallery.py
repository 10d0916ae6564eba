"""Search as an experiment has it set: metric, index, and the mixtures before it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.spatial.distance import cdist

from gallerist.features.store import Features
from gallerist.io.errors import UserError
from gallerist.search.approximate import IndexReport
from gallerist.search.exact import search
from gallerist.search.expansion import augment_gallery, expand_queries
from gallerist.search.gallery import search_gallery
from gallerist.settings.ranking import Neighbourhood, Search

AUGMENTED = {"neighbours": 3, "alpha": 1}
EXPANDED = {"neighbours": 2, "alpha": 3}


def random_features(count, prefix, seed, length=8):
    """Vectors as an extractor gives them: of any length."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, length)) * rng.uniform(0.2, 5, size=(count, 1))
    return Features.of(vectors, [f"{prefix}{row:03d}" for row in range(count)], "m", "p"), vectors


QUERIES, QUERY_ROWS = random_features(15, "q", 1)
GALLERY, GALLERY_ROWS = random_features(60, "g", 2)


def found(queries=QUERIES, gallery=GALLERY, depth=10, threads=1, **chosen):
    return search_gallery(queries, gallery, depth, Search(**chosen), threads=threads)


def by_distance(distances):
    """The order of the gallery for each query, by distances of (queries, gallery)."""
    return tuple(
        tuple(GALLERY.ids[row] for row in np.argsort(line)[:10].tolist()) for line in distances
    )


# Nothing mixed


def test_by_default_it_is_the_exact_search_by_cosine():
    ranking, report = found()
    assert report is None
    assert ranking == search(
        QUERIES.vectors, QUERIES.ids, GALLERY.vectors, GALLERY.ids, 10, metric="cosine"
    )
    distances = cdist(QUERY_ROWS, GALLERY_ROWS, "cosine")
    assert ranking.answers == by_distance(distances)
    np.testing.assert_allclose(ranking.distances, np.sort(distances)[:, :10], atol=1e-6)


def test_the_euclidean_distance_is_of_the_vectors_as_they_were_described():
    ranking, _ = found(metric="euclidean")
    distances = cdist(QUERY_ROWS, GALLERY_ROWS)
    assert ranking.answers == by_distance(distances)
    np.testing.assert_allclose(ranking.distances, np.sort(distances)[:, :10], rtol=1e-6)
    assert ranking.answers != found()[0].answers


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.sampled_from(["cosine", "euclidean"]), st.integers(1, 40))
def test_it_equals_search_with_the_norms_of_both(seed, metric, depth):
    queries, _ = random_features(5, "q", seed)
    gallery, _ = random_features(30, "g", seed + 1)
    ranking, report = found(queries, gallery, depth, metric=metric)
    assert report is None
    assert ranking == search(
        *(queries.vectors, queries.ids, gallery.vectors, gallery.ids, depth),
        metric=metric,
        query_norms=queries.norms,
        gallery_norms=gallery.norms,
    )


def test_by_cosine_the_lengths_have_no_part():
    longer = Features.of(7 * GALLERY_ROWS, GALLERY.ids, "m", "p")
    assert found(gallery=longer)[0].answers == found()[0].answers


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValidationError, match=r"metric\n.*manhattan"):
        found(metric="manhattan")


# Mixed


def test_expansion_alone_mixes_the_queries_with_the_gallery():
    data = QUERIES.vectors, QUERIES.ids, GALLERY.vectors, GALLERY.ids
    rows = expand_queries(*data, Neighbourhood(**EXPANDED))
    for metric in ("cosine", "euclidean"):
        ranking, _ = found(metric=metric, query_expansion=EXPANDED)
        assert ranking == search(rows, QUERIES.ids, GALLERY.vectors, GALLERY.ids, 10, metric=metric)
    assert ranking.answers != found(metric="euclidean")[0].answers


def test_augmentation_alone_leaves_the_queries_as_they_are():
    rows = augment_gallery(GALLERY.vectors, GALLERY.ids, Neighbourhood(**AUGMENTED))
    ranking, _ = found(database_augmentation=AUGMENTED)
    assert ranking == search(QUERIES.vectors, QUERIES.ids, rows, GALLERY.ids, 10, metric="cosine")
    assert ranking.answers != found()[0].answers


def test_the_gallery_is_augmented_before_the_queries_are_expanded():
    rows = augment_gallery(GALLERY.vectors, GALLERY.ids, Neighbourhood(**AUGMENTED))
    both, _ = found(database_augmentation=AUGMENTED, query_expansion=EXPANDED)

    def ranked(mixed_with):
        data = QUERIES.vectors, QUERIES.ids, mixed_with, GALLERY.ids
        queries = expand_queries(*data, Neighbourhood(**EXPANDED))
        return search(queries, QUERIES.ids, rows, GALLERY.ids, 10, metric="cosine")

    assert both == ranked(rows)
    assert both != ranked(GALLERY.vectors)


def test_a_worked_case_of_both():
    """Gallery at 0, 40 and 90 degrees, the query at 60: nearer to 40, and to 90 once mixed."""
    degrees = np.deg2rad([0.0, 40.0, 90.0])
    gallery = Features.of(np.c_[np.cos(degrees), np.sin(degrees)], ["a", "b", "c"], "m", "p")
    queries = Features.of(np.array([[0.5, np.sqrt(0.75)]]), ["q"], "m", "p")
    average = {"neighbours": 1, "alpha": 0}
    assert found(queries, gallery, 3)[0].answers == (("b", "c", "a"),)
    # Each is mixed with its nearest other, half and half: 20, 20 and 65 degrees.
    mixed, _ = found(queries, gallery, 3, database_augmentation=average)
    assert mixed.answers == (("c", "a", "b"),)
    expected = 1 - np.cos(np.deg2rad([5.0, 40.0, 40.0]))
    np.testing.assert_allclose(mixed.distances[0], expected, atol=1e-6)
    # And the query with the one at 65: 62.5.
    twice, _ = found(queries, gallery, 3, database_augmentation=average, query_expansion=average)
    expected = 1 - np.cos(np.deg2rad([2.5, 42.5, 42.5]))
    np.testing.assert_allclose(twice.distances[0], expected, atol=1e-6)


def test_mixed_vectors_have_no_length_left_for_a_euclidean_distance():
    longer = Features.of(9 * GALLERY_ROWS, GALLERY.ids, "m", "p")
    chosen = {"metric": "euclidean", "database_augmentation": AUGMENTED}
    short, long = found(**chosen)[0], found(gallery=longer, **chosen)[0]
    assert long.answers == short.answers
    np.testing.assert_allclose(long.distances, short.distances, atol=1e-6)
    assert max(map(max, long.distances)) <= 2


@pytest.mark.parametrize("key", ["database_augmentation", "query_expansion"])
def test_without_a_mixture_nothing_is_mixed_and_an_empty_one_has_its_defaults(key):
    plain, _ = found(metric="euclidean")
    assert found(metric="euclidean", **{key: None})[0] == plain
    mixed, _ = found(metric="euclidean", **{key: {}})
    assert mixed == found(metric="euclidean", **{key: {"neighbours": 5, "alpha": 3}})[0] != plain


def test_features_are_not_changed_by_a_search():
    before = QUERIES.vectors.copy(), GALLERY.vectors.copy()
    found(database_augmentation=AUGMENTED, query_expansion=EXPANDED)
    np.testing.assert_array_equal(QUERIES.vectors, before[0])
    np.testing.assert_array_equal(GALLERY.vectors, before[1])


@pytest.mark.parametrize("key", ["database_augmentation", "query_expansion"])
def test_settings_that_mean_nothing_are_refused(key):
    with pytest.raises(ValidationError, match=rf"{key}\.neighbours\n.*input_value=0"):
        found(**{key: {"neighbours": 0, "alpha": 1}})


def test_a_picture_that_is_in_both_is_no_answer_to_itself():
    itself = Features.of(GALLERY_ROWS[:5], GALLERY.ids[:5], "m", "p")
    for chosen in ({}, {"index": "Flat"}, {"query_expansion": EXPANDED}):
        ranking, _ = found(itself, depth=60, **chosen)
        for query, answers in zip(ranking.query_ids, ranking.answers, strict=True):
            assert query not in answers
            assert len(answers) == 59


def test_an_empty_gallery_has_no_answers():
    empty = Features.of(np.zeros((0, 8)), (), "m", "p")
    for chosen in ({}, {"database_augmentation": AUGMENTED, "query_expansion": EXPANDED}):
        ranking, _ = found(gallery=empty, **chosen)
        assert ranking.query_ids == QUERIES.ids
        assert ranking.answers == ((),) * 15


# With an index


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_an_index_that_misses_nothing_gives_the_same_ranking_and_a_report(metric):
    exact, _ = found(metric=metric)
    ranking, report = found(metric=metric, index="Flat", threads=2)
    assert ranking == exact
    assert isinstance(report, IndexReport)
    assert report.recall == {1: 1.0, 10: 1.0}
    assert report.recall_queries == 15
    assert report.index_bytes > 60 * 8 * 4
    assert report.queries_per_second > 0


def test_an_index_is_built_of_the_mixed_vectors():
    chosen = {"database_augmentation": AUGMENTED, "query_expansion": EXPANDED}
    for metric in ("cosine", "euclidean"):
        exact, _ = found(metric=metric, **chosen)
        ranking, report = found(metric=metric, index="Flat", **chosen)
        assert ranking == exact
        assert report.recall[10] == 1


def test_the_effort_of_an_index_reaches_it():
    gallery, _ = random_features(400, "g", 3)
    recalls = [
        found(gallery=gallery, index="IVF8,Flat", nprobe=nprobe)[1].recall[10]
        for nprobe in (1, 3, 8)
    ]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[-1] == 1
    ranking, _ = found(gallery=gallery, index="HNSW8", ef_search=200)
    assert ranking == found(gallery=gallery)[0]


def test_a_setting_that_the_index_does_not_have_is_refused():
    with pytest.raises(UserError):
        found(index="Flat", nprobe=4)
    with pytest.raises(UserError, match="Flatt"):
        found(index="Flatt")
