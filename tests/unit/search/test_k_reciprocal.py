"""Re-ranking by k-reciprocal neighbours, against the paper's formulas in plain loops."""

import logging
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gallerist.search.distances
import gallerist.search.k_reciprocal
from gallerist.io.errors import UserError
from gallerist.search.exact import search
from gallerist.settings.ranking import KReciprocal


def unit_rows(seed: int, count: int, length: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, length))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{(number * 37) % 101:03d}-{number}" for number in range(count)]


def paper(queries, query_ids, gallery, gallery_ids, k1, k2, weight, depth):
    """The formulas, one picture at a time: sets are sets, nothing is shared between queries."""
    pictures = dict(zip(gallery_ids, gallery.astype(np.float64), strict=True))

    def d(a, b):
        return math.fsum((a - b) ** 2) / 2

    def nearest(vector, k, without):
        others = [name for name in pictures if name != without]
        return sorted(others, key=lambda name: (d(vector, pictures[name]), name))[:k]

    def of_gallery(name, k):
        return [name, *nearest(pictures[name], k, name)]

    lists = {k: {name: of_gallery(name, k) for name in pictures} for k in (k1, half(k1), k2 - 1)}

    def mutual(name, k):
        return {other for other in lists[k][name] if name in lists[k][other]}

    small = {name: mutual(name, half(k1)) for name in pictures}

    def expanded(members):
        united = set(members)
        for member in members:
            if len(members & small[member]) >= 2 / 3 * len(small[member]) - 1e-12:
                united |= small[member]
        return united

    def encoded(vector, members):
        return {name: math.exp(-d(vector, pictures[name])) for name in expanded(members)}

    def mean(vectors):
        return {
            name: math.fsum(vector.get(name, 0.0) for vector in vectors) / len(vectors)
            for name in pictures
        }

    before = {name: encoded(pictures[name], mutual(name, k1)) for name in pictures}
    after = {name: mean([before[other] for other in lists[k2 - 1][name]]) for name in pictures}

    def counts_among_nearest(vector, name):
        others = [other for other in pictures if other != name]
        nearer = sum(
            d(pictures[other], pictures[name]) < d(vector, pictures[name]) for other in others
        )
        return nearer < k1

    answers, distances = [], []
    for vector, own in zip(queries.astype(np.float64), query_ids, strict=True):
        members = {name for name in nearest(vector, k1, own) if counts_among_nearest(vector, name)}
        neighbours = [before[name] for name in nearest(vector, k2 - 1, own)]
        mine = mean([encoded(vector, members), *neighbours])
        mixed = []
        for name in pictures:
            if name == own:
                continue
            least = math.fsum(min(mine[j], after[name][j]) for j in pictures)
            most = math.fsum(max(mine[j], after[name][j]) for j in pictures)
            jaccard = 1 - least / most
            mixed.append(((1 - weight) * jaccard + weight * d(vector, pictures[name]), name))
        mixed = sorted(mixed)[:depth]
        answers.append(tuple(name for _, name in mixed))
        distances.append([distance for distance, _ in mixed])
    return answers, distances


def k_reciprocal(*data, depth, **chosen):
    return gallerist.search.k_reciprocal.k_reciprocal(*data, KReciprocal(**chosen), depth=depth)


def half(k: int) -> int:
    return max(1, round(k / 2))


@given(
    seed=st.integers(0, 10_000),
    pictures=st.integers(2, 25),
    k1=st.integers(1, 12),
    k2=st.integers(1, 6),
    weight=st.sampled_from([0.1, 0.3, 0.9]),
    depth=st.integers(1, 30),
)
@settings(max_examples=40, deadline=None)
def test_it_equals_the_formulas_of_the_paper(seed, pictures, k1, k2, weight, depth):
    queries, gallery = unit_rows(seed, 3, 4), unit_rows(seed + 1, pictures, 4)
    gallery_ids = names("g", pictures)
    query_ids = ["q0", "q1", gallery_ids[0]]
    queries[2] = gallery[0]  # the query's own file
    given_ = (queries, query_ids, gallery, gallery_ids)
    ranking = k_reciprocal(*given_, k1=k1, k2=k2, weight=weight, depth=depth)
    answers, distances = paper(*given_, k1, k2, weight, depth)
    assert ranking.query_ids == tuple(query_ids)
    for found, expected in zip(ranking.distances, distances, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert list(ranking.answers) == answers


def clustered(seed: int):
    """40 pictures around each of 3 centres, and one query near each centre."""
    rng = np.random.default_rng(seed)
    centres = unit_rows(seed, 3, 16)
    gallery = np.repeat(centres, 40, axis=0) + rng.normal(0, 0.1, (120, 16))
    queries = centres + rng.normal(0, 0.1, (3, 16))
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (queries, gallery)]
    return unit[0].astype(np.float32), unit[1].astype(np.float32)


def test_it_equals_the_formulas_where_pictures_come_in_groups():
    queries, gallery = clustered(5)
    given_ = (queries, names("q", 3), gallery, names("g", 120))
    ranking = k_reciprocal(*given_, k1=20, k2=6, weight=0.3, depth=120)
    answers, distances = paper(*given_, 20, 6, 0.3, 120)
    np.testing.assert_allclose(ranking.distances, distances, rtol=0, atol=1e-9)
    assert list(ranking.answers) == answers


def test_a_weight_of_one_is_the_search():
    queries, gallery = unit_rows(1, 8, 6), unit_rows(2, 60, 6)
    given_ = (queries, names("q", 8), gallery, names("g", 60))
    ranking = k_reciprocal(*given_, k1=10, k2=3, weight=1.0, depth=25)
    plain = search(*given_, 25)
    assert ranking.answers == plain.answers
    np.testing.assert_allclose(ranking.distances, np.square(plain.distances) / 2, atol=1e-15)


def test_an_answer_does_not_depend_on_what_else_is_asked(monkeypatch):
    queries, gallery = unit_rows(3, 7, 5), unit_rows(4, 50, 5)
    ids, gallery_ids = names("q", 7), names("g", 50)
    settings_ = {"k1": 8, "k2": 4, "weight": 0.3, "depth": 50}
    together = k_reciprocal(queries, ids, gallery, gallery_ids, **settings_)
    monkeypatch.setattr(gallerist.search.k_reciprocal, "CHUNK_CELLS", 100)
    monkeypatch.setattr(gallerist.search.distances, "CACHED_CELLS", 7)
    assert k_reciprocal(queries, ids, gallery, gallery_ids, **settings_) == together
    alone = k_reciprocal(queries[4:5], ids[4:5], gallery, gallery_ids, **settings_)
    assert (alone.answers[0], alone.distances[0]) == (together.answers[4], together.distances[4])


def test_the_order_of_the_gallery_does_not_matter_even_with_ties():
    gallery = np.repeat(unit_rows(6, 12, 4), 3, axis=0)  # every picture three times
    gallery_ids, queries = names("g", 36), unit_rows(7, 4, 4)
    settings_ = {"k1": 5, "k2": 3, "weight": 0.3, "depth": 36}
    ranking = k_reciprocal(queries, names("q", 4), gallery, gallery_ids, **settings_)
    order = np.random.default_rng(8).permutation(36)
    shuffled = k_reciprocal(
        queries, names("q", 4), gallery[order], [gallery_ids[row] for row in order], **settings_
    )
    assert shuffled == ranking
    for found, distances in zip(ranking.answers, ranking.distances, strict=True):
        pairs = list(zip(distances, found, strict=True))
        assert pairs == sorted(pairs)


def test_a_collapsed_gallery_is_ordered_by_id():
    gallery = np.tile(unit_rows(0, 1, 4), (9, 1))
    ranking = k_reciprocal(
        gallery[:1], ["q"], gallery, names("g", 9), k1=20, k2=20, weight=0.3, depth=9
    )
    assert ranking.answers[0] == tuple(sorted(names("g", 9)))
    np.testing.assert_allclose(ranking.distances[0], 0, atol=1e-12)


def test_a_picture_that_shares_no_neighbour_is_as_far_as_can_be():
    corner, far = np.eye(4, dtype=np.float32)[:2]
    gallery = np.stack([corner, corner, corner, far, far, far])
    ranking = k_reciprocal(
        corner[None], ["q"], gallery, list("abcdef"), k1=2, k2=1, weight=0.25, depth=6
    )
    assert ranking.answers[0] == tuple("abcdef")
    # d is 1 between the two axes, and no neighbourhood is shared: 0.75 * 1 + 0.25 * 1.
    np.testing.assert_allclose(ranking.distances[0][3:], 1.0, atol=1e-12)


def test_a_query_that_is_the_whole_gallery_has_no_answer():
    picture = unit_rows(0, 1, 4)
    ranking = k_reciprocal(picture, ["a"], picture, ["a"], k1=3, k2=2, weight=0.3, depth=5)
    assert ranking.answers == ((),)
    assert ranking.distances == ((),)


def test_pictures_without_content_have_finite_distances():
    gallery = unit_rows(9, 10, 4)
    gallery[3:6] = 0
    queries = np.zeros((1, 4), np.float32)
    ranking = k_reciprocal(queries, ["q"], gallery, names("g", 10), k1=4, k2=2, weight=0.3, depth=9)
    assert np.isfinite(ranking.distances).all()
    assert set(ranking.answers[0][:3]) == set(names("g", 10)[3:6])


def test_a_large_gallery_is_warned_of(monkeypatch, caplog):
    monkeypatch.setattr(gallerist.search.k_reciprocal, "MANY_PICTURES", 5)
    gallery = unit_rows(1, 6, 3)
    settings_ = {"k1": 2, "k2": 1, "weight": 0.3, "depth": 2}
    with caplog.at_level(logging.WARNING, logger="gallerist"):
        k_reciprocal(gallery[:1], ["q"], gallery[:5], names("g", 5), **settings_)
        assert not caplog.records
        k_reciprocal(gallery[:1], ["q"], gallery, names("g", 6), **settings_)
    assert "6 gallery pictures" in caplog.text


def test_an_empty_gallery_is_refused():
    with pytest.raises(UserError, match="gallery is empty"):
        k_reciprocal(unit_rows(1, 1, 3), ["q"], np.zeros((0, 3), np.float32), [], depth=4)
