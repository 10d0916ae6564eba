"""Answers at one distance come by id, on every path: histograms that share no bin are such."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.features.store import Features, normalise
from gallerist.search import approximate, distances, exact, ties
from gallerist.search.approximate import search_approximately
from gallerist.search.exact import search
from gallerist.search.gallery import PreparedGallery, search_gallery
from gallerist.search.k_reciprocal import k_reciprocal
from gallerist.settings.ranking import KReciprocal, Neighbourhood, Search

BINS, PICTURES = 96, 90


def histograms(rng, count, bins):
    """Counts of pixels, of which the sum is always the same, in some of the given bins."""
    counts = np.zeros((count, BINS))
    for row in counts:
        chosen = rng.choice(bins, size=rng.integers(5, len(bins)), replace=False)
        np.add.at(row, rng.choice(chosen, size=1024), 1)
    return counts


@pytest.fixture(scope="module")
def pictures():
    """Queries in the lower bins; a gallery of which the first 15 share some of them, others none.

    Ids are not in the order of the rows.
    """
    rng = np.random.default_rng(5)
    queries = histograms(rng, 6, np.arange(48))
    gallery = np.concatenate(
        [histograms(rng, 15, np.arange(96)), histograms(rng, PICTURES - 15, np.arange(48, 96))]
    )
    ids = tuple(f"g{number:03d}" for number in rng.permutation(PICTURES))
    return (
        Features.of(queries, [f"q{number}" for number in range(6)], "model", "pictures"),
        Features.of(gallery, ids, "model", "pictures"),
    )


def without_common_bin(query, gallery):
    """The ids of those that share no bin with a query, in their order."""
    common = (gallery.vectors * (query > 0)).any(axis=1)
    return sorted(name for name, shares in zip(gallery.ids, common, strict=True) if not shares)


def assert_ties_come_by_id(ranking, queries, gallery, depth, distance):
    for query, answers, distances in zip(
        queries.vectors, ranking.answers, ranking.distances, strict=True
    ):
        tied = without_common_bin(query, gallery)
        near = PICTURES - len(tied)
        assert near == 15
        assert list(answers[near:]) == tied[: depth - near]
        assert set(distances[near:]) == {distance}
        assert max(distances[:near]) < distance


@pytest.mark.parametrize("depth", [20, 40, PICTURES])
@pytest.mark.parametrize(("options", "distance"), [({"metric": "cosine"}, 1.0), ({}, math.sqrt(2))])
def test_histograms_that_share_no_bin_are_ties(pictures, depth, options, distance):
    queries, gallery = pictures
    data = queries.vectors, queries.ids, gallery.vectors, gallery.ids
    ranking = search(*data, depth, **options)
    assert_ties_come_by_id(ranking, queries, gallery, depth, distance)
    one_by_one = [
        search(vector[None], [name], gallery.vectors, gallery.ids, depth, **options)
        for vector, name in zip(queries.vectors, queries.ids, strict=True)
    ]
    assert tuple(each.answers[0] for each in one_by_one) == ranking.answers
    assert tuple(each.distances[0] for each in one_by_one) == ranking.distances


def test_what_rounding_to_float32_leaves_would_not_order_them_by_id(pictures):
    queries, gallery = pictures
    differences = queries.vectors[0].astype(np.float64) - gallery.vectors.astype(np.float64)
    squares = (differences**2).sum(axis=1)
    tied = without_common_bin(queries.vectors[0], gallery)
    by_rounding = [gallery.ids[row] for row in np.argsort(squares)][15:]
    assert sorted(by_rounding) == tied
    assert by_rounding != tied


def test_of_equal_norms_those_that_share_no_bin_are_ties_with_norms_too():
    """Every histogram has the counts 3, 4 and 12 somewhere: all norms are 13."""
    rng = np.random.default_rng(6)
    gallery = np.zeros((60, BINS))
    for row in gallery:
        row[rng.choice(np.arange(40, BINS), 3, replace=False)] = (3, 4, 12)
    query = np.zeros((1, BINS))
    query[0, :3] = (1, 2, 2)
    asked, there = normalise(query), normalise(gallery)
    ids = [f"g{number:03d}" for number in rng.permutation(60)]
    norms = {"query_norms": np.array([3.0]), "gallery_norms": np.full(60, 13.0)}
    ranking = search(asked, ["q"], there, ids, 50, **norms)
    assert list(ranking.answers[0]) == sorted(ids)[:50]
    assert len(set(ranking.distances[0])) == 1
    assert ranking.distances[0][0] == pytest.approx(math.sqrt(9 + 169), rel=1e-12)


@pytest.mark.parametrize("name", ["CHUNK_CELLS", "BLOCK_CELLS", "GROUP_CELLS", "CACHED_CELLS"])
@pytest.mark.parametrize("cells", [1, 96, 1000])
def test_ties_come_by_id_in_any_blocks(pictures, monkeypatch, name, cells):
    queries, gallery = pictures
    monkeypatch.setattr(exact if hasattr(exact, name) else distances, name, cells)
    ranking = search(
        *(queries.vectors, queries.ids, gallery.vectors, gallery.ids, 40), metric="cosine"
    )
    assert_ties_come_by_id(ranking, queries, gallery, 40, 1.0)


@pytest.mark.parametrize("depth", [20, 40, PICTURES])
@pytest.mark.parametrize("index", ["Flat", "HNSW32", "IVF2,Flat"])
def test_ties_come_by_id_from_an_index(pictures, index, depth):
    """One that finds all: a graph's search and all cells reach the whole of so small a gallery."""
    queries, gallery = pictures
    effort = {"HNSW32": {"ef_search": 500}, "IVF2,Flat": {"nprobe": 2}}.get(index, {})
    ranking, report = search_approximately(
        *(queries.vectors, queries.ids, gallery.vectors, gallery.ids, depth),
        Search(metric="cosine", index=index, **effort),
    )
    assert_ties_come_by_id(ranking, queries, gallery, depth, 1.0)
    assert set(report.recall.values()) == {1.0}


def test_of_a_tie_longer_than_an_index_is_asked_for_the_found_come_by_id(pictures, monkeypatch):
    queries, gallery = pictures
    monkeypatch.setattr(approximate, "TIED", 30)
    data = queries.vectors, queries.ids, gallery.vectors, gallery.ids
    ranking, report = search_approximately(*data, 20, Search(metric="cosine", index="Flat"))
    for answers, distances in zip(ranking.answers, ranking.distances, strict=True):
        assert list(answers[15:]) == sorted(answers[15:])
        assert set(distances[15:]) == {1.0}
    assert set(report.recall.values()) == {1.0}  # any of several equally near will do


@pytest.mark.parametrize("index", [None, "Flat"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_gallery_asked_for_one_picture_after_the_other_ties_as_the_workflow(
    pictures, index, metric
):
    queries, gallery = pictures
    settings = Search(metric=metric, index=index)
    whole, _ = search_gallery(queries, gallery, 40, settings, threads=2)
    prepared = PreparedGallery(gallery, settings, threads=1)
    for row, name in enumerate(queries.ids):
        only = slice(row, row + 1)
        one = Features(queries.vectors[only], queries.norms[only], (name,), "model", "pictures")
        found = prepared.rank(one, 40)
        assert found.answers[0] == whole.answers[row]
        assert found.distances[0] == whole.distances[row]


def test_what_is_mixed_from_ties_does_not_hang_on_the_order_of_the_rows(pictures):
    """Their neighbours are the first by id, whichever of them comes first in memory."""
    queries, gallery = pictures
    backwards = Features(
        *(gallery.vectors[::-1], gallery.norms[::-1], gallery.ids[::-1], "model", "pictures")
    )
    for mixing in (
        Search(metric="cosine", query_expansion=Neighbourhood(neighbours=30, alpha=0)),
        Search(metric="cosine", database_augmentation=Neighbourhood(neighbours=30, alpha=0)),
    ):
        one, other = (
            search_gallery(queries, each, 40, mixing, threads=1)[0] for each in (gallery, backwards)
        )
        assert one == other


def test_ties_come_by_id_when_ranked_by_neighbours(pictures):
    """Of a query that nobody has for a neighbour, all that share no bin are as far."""
    queries, gallery = pictures
    ids = gallery.ids
    ranking = k_reciprocal(
        *(queries.vectors, queries.ids, gallery.vectors, ids, KReciprocal(k1=3, k2=1, weight=1.0)),
        depth=PICTURES,
    )
    assert_ties_come_by_id(ranking, queries, gallery, PICTURES, 1.0)


def test_what_shares_a_little_comes_before_what_shares_nothing():
    """A cosine of 1e-8 is less than what float32 leaves of a length, and is known all the same."""
    gallery = np.zeros((30, 40))
    gallery[np.arange(30), np.arange(10, 40)] = 1
    gallery[:, 9] = np.linspace(0.5, 3, 30)  # lengths that float32 rounds up and down
    gallery[20:, 0] = np.arange(10, 0, -1) * 1e-8
    query = np.zeros((1, 40))
    query[0, 0] = 1
    ids = [f"g{number:03d}" for number in range(30)]
    ranking = search(normalise(query), ["q"], normalise(gallery), ids, 30, metric="cosine")
    cosines = {name: row[0] / np.linalg.norm(row) for name, row in zip(ids, gallery, strict=True)}
    assert list(ranking.answers[0]) == sorted(ids, key=lambda name: (-cosines[name], name))


counts = st.lists(st.integers(-3, 3), min_size=5, max_size=5)


@settings(deadline=None, max_examples=60)
@given(counts, st.lists(counts, min_size=1, max_size=30), st.integers(1, 30))
def test_all_at_a_right_angle_are_ties_by_exact_arithmetic(query, gallery, depth):
    """Also where products of both signs cancel out, which rounded elements do not exactly."""
    ids = [f"g{number:03d}" for number in range(len(gallery))][::-1]
    ranking = search(
        *(normalise(np.array([query])), ["q"], normalise(np.array(gallery)), ids, depth),
        metric="cosine",
    )
    nearness = {
        name: signed_square_of_cosine(query, row) for name, row in zip(ids, gallery, strict=True)
    }
    assert [nearness[name] for name in ranking.answers[0]] == sorted(
        nearness.values(), reverse=True
    )[:depth]
    tied = [name for name in ranking.answers[0] if nearness[name] == 0]
    assert tied == sorted(name for name in ids if nearness[name] == 0)[: len(tied)]
    assert {ranking.distances[0][ranking.answers[0].index(name)] for name in tied} <= {1.0}


def signed_square_of_cosine(one, other):
    product = sum(a * b for a, b in zip(one, other, strict=True))
    lengths = sum(a * a for a in one) * sum(b * b for b in other)
    return Fraction(product * abs(product), lengths) if lengths else Fraction(0)


@given(st.lists(st.floats(0, 1e300), min_size=2, max_size=20))
def test_keys_are_in_the_order_of_the_distances(distances):
    keys = ties.key(np.array(sorted(distances)))
    assert (np.diff(keys) >= 0).all()


@given(st.floats(1e-300, 1e300), st.integers(0, 3))
def test_keys_tell_apart_what_differs_by_one_in_a_million_millions(distance, steps):
    near = distance
    for _ in range(steps):
        near = np.nextafter(near, np.inf)
    one, other, farther = ties.key(np.array([distance, near, distance * (1 + 2e-12)]))
    assert abs(other - one) <= 1  # the next one, where rounding falls between them
    assert farther > one
