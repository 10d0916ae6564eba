"""A gallery that is searched block by block: the answers of all distances, sorted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.features.store import normalise
from gallerist.search import blocks, exact
from gallerist.search.exact import search

small_numbers = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=3, max_size=3)


@pytest.fixture
def few_rows(monkeypatch):
    """Blocks so small that a gallery of some dozens has many."""
    for module in (blocks, exact):
        monkeypatch.setattr(module, "ROWS", 8)
    monkeypatch.setattr(blocks, "FEW", 1)


def sorted_distances(queries, query_ids, gallery, gallery_ids, depth):
    """By (distance, id), each in float64."""
    for query, own in zip(queries.astype(np.float64), query_ids, strict=True):
        all_of_them = np.sqrt(((query - gallery.astype(np.float64)) ** 2).sum(axis=1))
        found = sorted(zip(all_of_them.tolist(), gallery_ids, strict=True))
        yield [name for _, name in found if name != own][:depth]


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize("depth", [1, 3, 8])
@pytest.mark.parametrize("pictures", [17, 64, 301])
def test_answers_are_those_of_all_distances_sorted(depth, pictures):
    random = np.random.default_rng([depth, pictures])
    queries, gallery = (normalise(random.normal(size=(n, 9))) for n in (20, pictures))
    gallery[3] = 0
    query_ids = [f"{number:03d}" for number in range(0, 40, 2)]  # of which some are in the gallery
    gallery_ids = [f"{number:03d}" for number in random.permutation(pictures)]
    assert blocks.is_large(pictures, depth)
    ranking = search(queries, query_ids, gallery, gallery_ids, depth)
    wanted = sorted_distances(queries, query_ids, gallery, gallery_ids, depth)
    assert [list(answers) for answers in ranking.answers] == list(wanted)


@settings(deadline=None)
@given(
    st.lists(small_numbers, min_size=1, max_size=5),
    st.lists(small_numbers, min_size=17, max_size=60),
    st.integers(1, 8),
    st.integers(1, 200),
    st.sampled_from([5, 4_000_000]),
    st.sampled_from(["cosine", "euclidean"]),
    st.booleans(),
    st.integers(0, 9),
)
def test_ties_zeros_and_norms_come_as_in_one_piece(
    queries, gallery, depth, cells, most, metric, scaled, seed
):
    random = np.random.default_rng(seed)
    asked, shown = (normalise(np.array(rows)) for rows in (queries, gallery))
    ids = [f"{number:02d}" for number in random.permutation(len(shown))]
    names = [f"{number:02d}" for number in range(len(asked))]
    norms = {}
    if scaled:
        norms = {"query_norms": random.integers(1, 4, len(asked)).astype(float)}
        norms |= {"gallery_norms": random.integers(1, 4, len(shown)).astype(float)}
    data = asked, names, shown, ids, depth
    whole = search(*data, metric=metric, **norms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "ROWS", 8)
        patch.setattr(exact, "ROWS", 8)
        patch.setattr(blocks, "FEW", 1)
        patch.setattr(blocks, "MOST", most)
        patch.setattr(exact, "GROUP_CELLS", cells)
        assert search(*data, metric=metric, **norms) == whole


@pytest.mark.usefixtures("few_rows")
def test_of_a_gallery_of_ties_not_all_pairs_are_kept(monkeypatch):
    monkeypatch.setattr(blocks, "MOST", 100)
    gallery = normalise(np.ones((90, 4)))
    found = blocks.candidates(
        3, 90, 2, lambda part: (np.ones((3, len(gallery[part]))), np.float32(0.1)), 1000
    )
    assert found is None
    ids = [f"{number:02d}" for number in reversed(range(90))]
    ranking = search(gallery[:1], ["query"], gallery, ids, 2)
    assert ranking.answers == (("00", "01"),)
