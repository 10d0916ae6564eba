"""Vectors mixed with their neighbours."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.search import expansion as query_expansion
from gallerist.search.exact import search
from gallerist.settings.ranking import Neighbourhood

HALF = np.sqrt(0.5)
# By 45 degrees: g0 with the query, g1 beside it, g2 at a right angle, g3 opposite.
QUERY = np.array([[1, 0]], np.float32)
GALLERY = np.array([[1, 0], [HALF, HALF], [0, 1], [-1, 0]], np.float32)
IDS = ("g0", "g1", "g2", "g3")


def expand_queries(*data, **chosen):
    return query_expansion.expand_queries(*data, Neighbourhood(**chosen))


def augment_gallery(*data, **chosen):
    return query_expansion.augment_gallery(*data, Neighbourhood(**chosen))


def unit(*vector):
    return np.asarray(vector) / np.linalg.norm(vector)


def unit_rows(count, length, seed):
    rows = np.random.default_rng(seed).normal(size=(count, length))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def mix(**settings):
    return expand_queries(QUERY, ("q",), GALLERY, IDS, **settings)[0]


@pytest.mark.parametrize(
    ("neighbours", "alpha", "expected"),
    [
        (1, 0, unit(2, 0)),
        (2, 0, unit(2 + HALF, HALF)),
        (3, 0, unit(2 + HALF, 1 + HALF)),  # an average weighs g2 as all others
        (2, 2, unit(2 + HALF / 2, HALF / 2)),  # cos² of 45 degrees is 1/2
        (3, 2, unit(2 + HALF / 2, HALF / 2)),  # the cosine of g2 is 0
        (4, 2, unit(2 + HALF / 2, HALF / 2)),  # that of g3 is -1, and counts as 0
        (9, 2, unit(2 + HALF / 2, HALF / 2)),  # there are no more
    ],
)
def test_four_points_worked_by_hand(neighbours, alpha, expected):
    np.testing.assert_allclose(mix(neighbours=neighbours, alpha=alpha), expected, atol=1e-7)


def test_three_gallery_points_augmented_by_hand():
    found = augment_gallery(GALLERY[:3], IDS[:3], neighbours=1, alpha=2)
    # g1 is as near to g0 as to g2; float32 puts neither nearer, and g0 is the smaller id.
    middle, edge = unit(1 / 2 + HALF, HALF), unit(HALF / 2 + 1, HALF / 2)
    np.testing.assert_allclose(found, [edge, middle, edge[::-1]], atol=1e-7)


def test_a_large_alpha_leaves_only_the_query_and_its_copies():
    np.testing.assert_allclose(mix(neighbours=3, alpha=200), QUERY[0], atol=1e-7)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), neighbours=st.integers(1, 12), alpha=st.sampled_from([0, 1, 3]))
def test_it_is_the_formula_over_the_answers_of_the_search(seed, neighbours, alpha):
    queries, gallery = unit_rows(4, 6, seed), unit_rows(9, 6, seed + 1)
    ids = [f"g{row}" for row in range(9)]
    found = expand_queries(queries, "abcd", gallery, ids, neighbours=neighbours, alpha=alpha)
    assert found.dtype == np.float32
    answers = search(queries, "abcd", gallery, ids, neighbours).answers
    for query, names, row in zip(queries.astype(float), answers, found, strict=True):
        near = gallery[[ids.index(name) for name in names]].astype(float)
        weights = np.clip(near @ query, 0, None) ** alpha
        np.testing.assert_allclose(row, unit(*(query + weights @ near)), atol=1e-6)


def test_rows_have_length_one_and_do_not_depend_on_batches(monkeypatch):
    gallery, ids = unit_rows(30, 8, 1), [f"g{row}" for row in range(30)]
    whole = augment_gallery(gallery, ids, neighbours=4, alpha=1)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6)
    monkeypatch.setattr(query_expansion, "BATCH_CELLS", 8 * 7)
    in_batches = augment_gallery(gallery, ids, neighbours=4, alpha=1)
    np.testing.assert_array_equal(in_batches, whole)
    queries = expand_queries(gallery, ids, gallery, ids, neighbours=4, alpha=1)
    np.testing.assert_array_equal(queries, whole)


def test_a_query_is_not_its_own_neighbour():
    found = expand_queries(QUERY, ("g0",), GALLERY, IDS, neighbours=1, alpha=0)
    np.testing.assert_allclose(found[0], unit(1 + HALF, HALF), atol=1e-7)


def test_augmenting_does_not_change_its_argument_nor_use_mixed_vectors():
    before = GALLERY.copy()
    forwards = augment_gallery(GALLERY, IDS, neighbours=2, alpha=1)
    backwards = augment_gallery(GALLERY[::-1], IDS[::-1], neighbours=2, alpha=1)
    np.testing.assert_array_equal(GALLERY, before)
    np.testing.assert_allclose(backwards[::-1], forwards, atol=1e-7)


@pytest.mark.parametrize("alpha", [0, 3])
def test_a_picture_without_content_stays_zeros_and_adds_nothing(alpha):
    gallery = np.vstack([GALLERY, np.zeros((1, 2), np.float32)])
    ids = (*IDS, "empty")
    found = augment_gallery(gallery, ids, neighbours=4, alpha=alpha)
    assert np.isfinite(found).all()
    assert not found[4].any()
    queries = expand_queries(
        np.zeros((1, 2), np.float32), "q", gallery, ids, neighbours=2, alpha=alpha
    )
    assert not queries.any()
    with_it = expand_queries(
        QUERY, "q", gallery[[0, 4]], ("g0", "empty"), neighbours=2, alpha=alpha
    )
    np.testing.assert_allclose(with_it, QUERY, atol=1e-7)


def test_vectors_mapped_from_files_give_the_same(tmp_path):
    gallery, ids = unit_rows(30, 8, 1), [f"g{row}" for row in range(30)]
    np.save(tmp_path / "gallery.npy", gallery)
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    expected = augment_gallery(gallery, ids, neighbours=3, alpha=1)
    found = augment_gallery(mapped, ids, neighbours=3, alpha=1)
    np.testing.assert_array_equal(found, expected)


def test_an_empty_gallery_leaves_queries_as_they_are():
    found = expand_queries(QUERY, "q", GALLERY[:0], (), neighbours=3, alpha=1)
    np.testing.assert_array_equal(found, QUERY)
