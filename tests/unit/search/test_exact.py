"""Exact search against brute force, where it is hard: ties, near ties, zeros, chunks."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checkout import SCRIPTS
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import cosine_distances
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from gallerist.features.store import normalise
from gallerist.io.errors import UserError
from gallerist.search import distances as distances_module
from gallerist.search import exact as module
from gallerist.search.distances import METRICS, Measure
from gallerist.search.exact import search
from gallerist.search.products import SLICE, margin
from gallerist.search.ties import RIGHT_ANGLE


def brute_force(queries, query_ids, gallery, gallery_ids, depth):
    """Every distance in float64, sorted by (distance, id): slow, and plainly right.

    Of rows whose products add up to nothing, exactly, it is that of a right angle.
    """
    answers, distances = [], []
    for vector, own in zip(queries.astype(np.float64), query_ids, strict=True):
        found = sorted(
            ((plain_distance(vector, row), name)
            for row, name in zip(gallery.astype(np.float64), gallery_ids, strict=True)
            if name != own),
            key=lambda each: (float(f"{each[0]:.12g}"), each[1]),
        )[:depth]  # fmt: skip
        answers.append(tuple(name for _, name in found))
        distances.append(tuple(distance for distance, _ in found))
    return tuple(answers), tuple(distances)


def plain_distance(one, other):
    if math.fsum((one * other).tolist()) == 0:  # the products of float32 numbers are exact here
        return math.sqrt(int(one.any()) + int(other.any()))
    return float(np.sqrt(((one - other) ** 2).sum()))


def assert_exact(queries, query_ids, gallery, gallery_ids, depth):
    ranking = search(queries, query_ids, gallery, gallery_ids, depth)
    answers, distances = brute_force(queries, query_ids, gallery, gallery_ids, depth)
    assert ranking.query_ids == tuple(query_ids)
    assert ranking.answers == answers
    assert all(
        found == pytest.approx(wanted, abs=1e-12)
        for found, wanted in zip(ranking.distances, distances, strict=True)
    )
    return ranking


def names(prefix: str, count: int, rng) -> list[str]:
    """Ids whose order is not that of the rows."""
    return [f"{prefix}{number:04d}" for number in rng.permutation(count)]


def rectified(rng, rows: int, length: int):
    """Unit vectors without negative elements, as a network's last ReLU leaves them."""
    return normalise(np.maximum(rng.normal(size=(rows, length)), 0))


@pytest.mark.parametrize("length", [1, 2, 3, 17, 256])
@pytest.mark.parametrize("depth", [1, 7, 80, 500])
def test_answers_are_those_of_brute_force(length, depth):
    rng = np.random.default_rng([length, depth])
    queries, gallery = rectified(rng, 20, length), rectified(rng, 80, length)
    assert_exact(queries, names("q", 20, rng), gallery, names("g", 80, rng), depth)


def test_answers_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    queries, gallery = rectified(rng, 50, 64), rectified(rng, 700, 64)
    ids = names("g", 700, rng)
    ranking = search(queries, names("q", 50, rng), gallery, ids, 10)
    neighbours = NearestNeighbors(n_neighbors=10, algorithm="brute")
    neighbours.fit(gallery.astype(np.float64))
    distances, rows = neighbours.kneighbors(queries.astype(np.float64))
    assert ranking.answers == tuple(tuple(ids[row] for row in line) for line in rows)
    np.testing.assert_allclose(ranking.distances, distances, atol=1e-9)


small_numbers = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=3, max_size=3)


@settings(deadline=None)
@given(
    st.lists(small_numbers, min_size=1, max_size=6),
    st.lists(small_numbers, min_size=1, max_size=40),
    st.integers(1, 45),
    st.integers(1, 200),
    st.randoms(use_true_random=False),
)
def test_many_exact_ties_and_zero_vectors_come_by_distance_then_id(
    queries, gallery, depth, chunk, shuffler
):
    ids = [f"{number:02d}" for number in range(len(gallery))]
    shuffler.shuffle(ids)
    query_ids = [f"{number:02d}" if number % 2 else f"q{number}" for number in range(len(queries))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_CELLS", chunk)
        patch.setattr(module, "BLOCK_CELLS", chunk)
        patch.setattr(module, "GROUP_CELLS", chunk)
        patch.setattr(distances_module, "CACHED_CELLS", chunk)
        assert_exact(
            normalise(np.array(queries)), query_ids, normalise(np.array(gallery)), ids, depth
        )


def test_a_hundred_copies_of_one_picture_come_in_the_order_of_their_ids():
    rng = np.random.default_rng(2)
    one, other = rectified(rng, 2, 2048)
    gallery = np.stack([one] * 100 + [other] * 100)
    ids = names("g", 200, rng)
    ranking = assert_exact(np.stack([one, other]), ["q1", "q2"], gallery, ids, 30)
    assert ranking.answers[0] == tuple(sorted(ids[:100])[:30])
    assert ranking.answers[1] == tuple(sorted(ids[100:])[:30])
    assert set(ranking.distances[0]) == {0.0}


@pytest.mark.parametrize("length", [3, 300, 20_000])
def test_ties_within_the_error_of_float32_are_distinguished(length):
    """All gallery vectors are the query, one element in the last place of float32 aside."""
    rng = np.random.default_rng(length)
    query = rectified(rng, 1, length) + np.float32(1e-3)
    gallery = np.repeat(query, 60, axis=0)
    for row in range(60):
        element = rng.integers(length)
        for _ in range(rng.integers(0, 4)):
            gallery[row, element] = np.nextafter(gallery[row, element], np.float32(2))
    assert len(np.unique(gallery, axis=0)) >= 8
    assert_exact(query, ["q"], gallery, names("g", 60, rng), 10)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("length", [3, 2048, 2049, 100_000])
def test_the_margin_covers_vectors_whose_roundings_add_up(length, seed):
    """Constant vectors with one large element have the largest float32 errors that were found."""
    rng = np.random.default_rng([length, seed])
    gallery = np.full((40, length), 1 / np.sqrt(length))
    gallery[:, 0] = 1 + rng.random(40) * 1e-4
    gallery = normalise(gallery * (1 + 1e-5 * rng.random(gallery.shape)))
    queries = normalise(gallery[:3].astype(np.float64) * (1 + 1e-5 * rng.random((3, length))))
    exact = queries.astype(np.float64) @ gallery.T.astype(np.float64) - 0.5
    together = module._nearness(queries, gallery)
    apart = np.concatenate([module._nearness(query[None], gallery) for query in queries])
    for nearness in (together, apart):
        assert 2 * np.abs(nearness - exact).max() < margin(length)
    assert_exact(queries, ["a", "b", "c"], gallery, names("g", 40, rng), 5)


def test_the_margin_holds_for_a_sum_in_the_worst_order():
    """One element after the other, rounded each time: no library adds up more carelessly."""
    length = 2 * SLICE
    gallery = normalise(np.random.default_rng(8).random((4, length)))
    partial = np.zeros((4, 4), np.float32)
    for start in range(0, length, SLICE):
        part = np.zeros((4, 4), np.float32)
        for column in range(start, start + SLICE):
            part += np.multiply.outer(gallery[:, column], gallery[:, column])
        partial += part
    exact = gallery.astype(np.float64) @ gallery.T.astype(np.float64)
    assert partial.dtype == np.float32
    assert 0 < 2 * np.abs(partial - exact).max() < margin(length)


def test_the_margin_is_small_beside_the_distances_between_pictures():
    assert margin(2048) < 2.5e-4
    assert margin(100_352) < 8e-4


def test_a_zero_vector_is_at_distance_one_and_takes_its_place():
    gallery = np.array([[0, 0], [0.6, 0.8], [-1, 0], [1, 0]], dtype=np.float32)
    queries = np.array([[0, -1], [0, 0], [1, 0]], dtype=np.float32)
    ranking = search(
        queries, ["below", "blank", "right"], gallery, ["zero", "up", "left", "same"], 2
    )
    assert ranking.answers[0] == ("zero", "left")  # 1, then √2 twice
    assert ranking.distances[0] == pytest.approx((1, np.sqrt(2)))
    assert ranking.answers[1] == ("zero", "left")  # 0, then 1 three times
    assert ranking.distances[1] == pytest.approx((0, 1))
    assert ranking.answers[2] == ("same", "up")
    assert ranking.distances[2] == pytest.approx((0, np.sqrt(0.8)))


def test_a_query_that_is_in_the_gallery_is_not_its_own_answer():
    rng = np.random.default_rng(3)
    gallery = rectified(rng, 12, 8)
    ids = names("p", 12, rng)
    ranking = assert_exact(gallery, ids, gallery, ids, 12)
    for own, answers in zip(ids, ranking.answers, strict=True):
        assert own not in answers
        assert len(answers) == 11
    alone = search(gallery[:1], ids[:1], gallery[:1], ids[:1], 5)
    assert alone.answers == ((),)
    assert alone.distances == ((),)


def test_a_copy_of_the_query_with_another_id_is_an_answer():
    vector = normalise(np.ones((1, 4)))
    assert search(vector, ["q"], vector, ["copy"], 1).answers == (("copy",),)


def test_there_are_as_many_answers_as_pictures_when_the_depth_is_larger():
    rng = np.random.default_rng(4)
    ranking = assert_exact(
        rectified(rng, 3, 5), ["a", "b", "c"], rectified(rng, 6, 5), names("g", 6, rng), 50
    )
    assert [len(answers) for answers in ranking.answers] == [6, 6, 6]


@pytest.mark.parametrize(
    "name", ["CHUNK_CELLS", "BLOCK_CELLS", "GROUP_CELLS", "GATHERED_CELLS", "CACHED_CELLS"]
)
@pytest.mark.parametrize("cells", [1, 700, 7_000, 10**9])
def test_the_result_does_not_depend_on_the_chunks(monkeypatch, name, cells):
    rng = np.random.default_rng(5)
    gallery = np.repeat(rectified(rng, 30, 2333), 3, axis=0)
    queries = np.concatenate([gallery[::9], rectified(rng, 7, 2333)])
    query_ids, gallery_ids = names("q", len(queries), rng), names("g", 90, rng)
    whole = search(queries, query_ids, gallery, gallery_ids, 10)
    monkeypatch.setattr(module if hasattr(module, name) else distances_module, name, cells)
    assert search(queries, query_ids, gallery, gallery_ids, 10) == whole


def test_the_result_does_not_depend_on_the_threads():
    rng = np.random.default_rng(9)
    gallery = rectified(rng, 900, 3000)
    queries = normalise(gallery[:40] + 1e-4 * rng.normal(size=(40, 3000)))
    query_ids, gallery_ids = names("q", 40, rng), names("g", 900, rng)
    whole = search(queries, query_ids, gallery, gallery_ids, 25)
    with threadpool_limits(1):
        assert search(queries, query_ids, gallery, gallery_ids, 25) == whole
    one_by_one = [
        search(query[None], [name], gallery, gallery_ids, 25)
        for query, name in zip(queries, query_ids, strict=True)
    ]
    assert tuple(ranking.distances[0] for ranking in one_by_one) == whole.distances


def test_the_result_does_not_depend_on_the_order_of_the_gallery():
    rng = np.random.default_rng(6)
    gallery = np.repeat(rectified(rng, 20, 40), 2, axis=0)
    ids = names("g", 40, rng)
    queries = rectified(rng, 5, 40)
    order = rng.permutation(40)
    assert search(queries, list("abcde"), gallery, ids, 9) == search(
        queries, list("abcde"), gallery[order], [ids[row] for row in order], 9
    )


def test_features_mapped_from_a_file_are_searched_as_they_are(tmp_path):
    rng = np.random.default_rng(7)
    gallery = rectified(rng, 30, 1100)
    ids = names("g", 30, rng)
    in_memory = search(gallery[:4], list("abcd"), gallery, ids, 6)
    for layout in (np.ascontiguousarray, np.asfortranarray):
        np.save(tmp_path / "gallery.npy", layout(gallery))
        mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
        assert assert_exact(mapped[:4], list("abcd"), mapped, ids, 6) == in_memory


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak")
def test_a_gallery_mapped_from_a_file_is_never_in_memory_as_a_whole(tmp_path):
    """240 MB of gallery are searched in less than 80 MB; all of it zeros, so that all are ties."""
    np.lib.format.open_memmap(tmp_path / "gallery.npy", "w+", np.float32, (2000, 30_000))
    program = """
import pathlib, re, sys
import numpy as np
from gallerist.search import exact as module

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])

module.BLOCK_CELLS = module.GROUP_CELLS = 1_000_000
gallery = np.load(sys.argv[1], mmap_mode="r")
ids = [f"{row:04d}" for row in range(len(gallery))]
before = peak()
ranking = module.search(gallery[:4], ids[:4], gallery, ids, 5)
print(peak() - before, ranking.answers[1][0])
"""
    library = SCRIPTS
    said = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "gallery.npy"],
        env={**os.environ, "PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    kilobytes, first = said.split()
    assert first == "0000"
    assert int(kilobytes) < 80_000


def test_no_queries_and_an_empty_gallery_give_no_answers():
    some, none = np.ones((2, 4), dtype=np.float32), np.ones((0, 4), dtype=np.float32)
    assert search(none, [], some, ["a", "b"], 3).query_ids == ()
    assert search(some, ["a", "b"], none, [], 3).answers == ((), ())


@pytest.mark.parametrize(
    ("queries", "gallery"), [((2, 3), (4, 5)), ((3,), (4, 3)), ((2, 3), (4, 3, 1))]
)
def test_vectors_of_different_lengths_are_refused(queries, gallery):
    with pytest.raises(ValueError, match="not of one feature length"):
        search(np.ones(queries, np.float32), list("ab"), np.ones(gallery, np.float32), "abcd", 1)


@pytest.mark.parametrize("depth", [0, -3])
def test_a_depth_below_one_is_refused(depth):
    one = np.ones((1, 1), dtype=np.float32)
    with pytest.raises(ValueError, match=f"depth is {depth}; it is at least 1"):
        search(one, ["q"], one, ["g"], depth)


def lengthened(rng, rows: int, length: int, *, decades: float = 3):
    """Rows of length 1, norms of 10^-decades to 10^decades, and the product of the two."""
    norms = 10 ** rng.uniform(-decades, decades, rows)
    unit = normalise(rng.normal(size=(rows, length)))
    return unit, norms, unit * norms[:, None]


def assert_ordered(ranking, wanted, query_ids, gallery_ids, depth, *, tolerance):
    """The first `depth` of wanted[query, picture], told apart as far as float64 can be trusted.

    Distances are equal within the tolerance, which is relative; where two wanted ones are no nearer
    than that to each other, so are the answers. Equal distances come by id.
    """
    column = {name: number for number, name in enumerate(gallery_ids)}
    for line, own, answers, distances in zip(
        wanted, query_ids, ranking.answers, ranking.distances, strict=True
    ):
        others = [column[name] for name in gallery_ids if name != own]
        nearest = np.sort(line[others])[:depth]
        of_answers = line[[column[name] for name in answers]]
        np.testing.assert_allclose(distances, of_answers, rtol=tolerance, atol=1e-300)
        np.testing.assert_allclose(of_answers, nearest, rtol=2 * tolerance, atol=1e-300)
        assert len(set(answers)) == len(answers) == len(nearest)
        assert list(answers) == [name for _, name in sorted(zip(distances, answers, strict=True))]


def test_without_a_metric_the_rows_are_compared_as_they_are():
    rng = np.random.default_rng(20)
    queries, gallery = rectified(rng, 5, 30), rectified(rng, 40, 30)
    ids = names("g", 40, rng)
    assert search(queries, "abcde", gallery, ids, 7) == search(
        queries, "abcde", gallery, ids, 7, metric="euclidean"
    )


@pytest.mark.parametrize("length", [1, 2, 64, 2100])
def test_with_norms_the_distances_are_those_of_the_vectors_before_they_were_scaled(length):
    rng = np.random.default_rng([21, length])
    queries, query_norms, asked = lengthened(rng, 40, length)
    gallery, gallery_norms, there = lengthened(rng, 500, length)
    query_ids, ids = names("q", 40, rng), names("g", 500, rng)
    ranking = search(
        *(queries, query_ids, gallery, ids, 12),
        query_norms=query_norms,
        gallery_norms=gallery_norms,
    )
    assert_ordered(ranking, cdist(asked, there), query_ids, ids, 12, tolerance=1e-9)


def test_with_norms_the_answers_are_those_of_scikit_learn():
    rng = np.random.default_rng(22)
    queries, query_norms, asked = lengthened(rng, 60, 32, decades=0.3)
    gallery, gallery_norms, there = lengthened(rng, 900, 32, decades=0.3)
    ids = names("g", 900, rng)
    ranking = search(
        *(queries, names("q", 60, rng), gallery, ids, 10),
        query_norms=query_norms,
        gallery_norms=gallery_norms,
    )
    neighbours = NearestNeighbors(n_neighbors=10, algorithm="kd_tree").fit(there)
    distances, rows = neighbours.kneighbors(asked)
    assert ranking.answers == tuple(tuple(ids[row] for row in line) for line in rows)
    np.testing.assert_allclose(ranking.distances, distances, rtol=1e-9)


def test_norms_change_the_order():
    """The gallery's longest vector has the query's direction, and is the farthest."""
    gallery = normalise(np.array([[100.0, 0.0], [1.0, 1.0], [0.0, 1.0]]))
    norms = np.array([100.0, 2.0**0.5, 1.0])
    query, ids = gallery[:1], ["far", "between", "near"]
    given = {"query_norms": np.array([1.0]), "gallery_norms": norms}
    assert search(query, ["q"], gallery, ids, 3).answers == (("far", "between", "near"),)
    ranking = search(query, ["q"], gallery, ids, 3, **given)
    assert ranking.answers == (("between", "near", "far"),)
    assert ranking.distances[0] == pytest.approx((1, 2**0.5, 99))
    assert search(query, ["q"], gallery, ids, 3, metric="cosine", **given).answers == (
        ("far", "between", "near"),
    )


def about_right_angles(queries, gallery, norms, metric):
    """Which pairs are at a right angle within float32, and their distances by the vectors given."""
    lengths = np.maximum(np.multiply.outer(*norms), 1e-300)
    cosines = queries @ gallery.T / lengths
    cosines = np.where(np.abs(cosines) < 1e-13, 0, cosines)  # what float64 has left of 0
    one, other = (each > 0 for each in norms) if metric == "rows" else norms
    squares = np.add.outer(one**2.0, other**2.0) - 2 * np.multiply.outer(one * 1.0, other) * cosines
    distances = 1 - cosines if metric == "cosine" else np.sqrt(squares)
    return np.abs(cosines) <= RIGHT_ANGLE, distances


numbers = st.sampled_from([-1000.0, -1.0, -0.001, 0.0, 0.001, 1.0, 1.5, 1000.0])
rows_of_numbers = st.lists(numbers, min_size=3, max_size=3)


@settings(deadline=None)
@given(
    st.lists(rows_of_numbers, min_size=1, max_size=6),
    st.lists(rows_of_numbers, min_size=1, max_size=40),
    st.integers(1, 45),
    st.integers(1, 200),
    st.sampled_from([*METRICS, "rows"]),
    st.randoms(use_true_random=False),
)
def test_every_metric_is_exact_for_ties_zeros_and_any_norms(
    queries, gallery, depth, chunk, metric, shuffler
):
    queries, gallery = np.array(queries), np.array(gallery)
    gallery_ids = [f"{number:02d}" for number in range(len(gallery))]
    shuffler.shuffle(gallery_ids)
    query_ids = [f"{number:02d}" if number % 2 else f"q{number}" for number in range(len(queries))]
    asked, there = normalise(queries), normalise(gallery)
    norms = (np.linalg.norm(queries, axis=1), np.linalg.norm(gallery, axis=1))
    given = {} if metric == "rows" else {"query_norms": norms[0], "gallery_norms": norms[1]}
    if metric == "cosine":
        halves = cdist(asked.astype(np.float64), there.astype(np.float64), "sqeuclidean") / 2
        without = ~(queries.any(axis=1)[:, None] & gallery.any(axis=1))
        wanted = np.where(without, 1, halves)
    elif metric == "rows":
        wanted = cdist(asked.astype(np.float64), there.astype(np.float64))
    else:
        wanted = cdist(asked * norms[0][:, None], there * norms[1][:, None])
    wanted = np.where(*about_right_angles(queries, gallery, norms, metric), wanted)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CHUNK_CELLS", "BLOCK_CELLS", "GROUP_CELLS", "CACHED_CELLS"):
            patch.setattr(module if hasattr(module, name) else distances_module, name, chunk)
        ranking = search(
            *(asked, query_ids, there, gallery_ids, depth),
            metric="cosine" if metric == "cosine" else "euclidean",
            **given,
        )
    assert_ordered(ranking, wanted, query_ids, gallery_ids, depth, tolerance=1e-9)


def test_equal_vectors_come_by_id_whatever_their_norm():
    rng = np.random.default_rng(23)
    unit, norms, _ = lengthened(rng, 4, 50)
    which = rng.integers(4, size=200)
    ids = names("g", 200, rng)
    given = {"query_norms": norms, "gallery_norms": norms[which]}
    ranking = search(unit, "abcd", unit[which], ids, 10, **given)
    for number, (answers, distances) in enumerate(
        zip(ranking.answers, ranking.distances, strict=True)
    ):
        copies = sorted(name for name, row in zip(ids, which, strict=True) if row == number)
        assert answers == tuple(copies[:10])
        assert set(distances) == {0.0}


@pytest.mark.parametrize("longest", [1e3, 1e20, 1e22])
@pytest.mark.parametrize("length", [3, 2049, 20_000])
def test_the_margin_covers_vectors_of_any_lengths(length, longest):
    rng = np.random.default_rng([24, length])
    # Constant vectors with one large element have the largest float32 errors that were found.
    given = np.full((60, length), 1 / np.sqrt(length))
    given[:, 0] = 1 + rng.random(60) * 1e-4
    given = normalise(given * (1 + 1e-5 * rng.random(given.shape)))
    norms = 10 ** rng.uniform(-3, 3, 60)
    norms[50:] = norms[49]  # as long as a query
    norms[0] = longest  # beside which products of the others leave float32's range
    measure = Measure.of("euclidean", given[40:], given, norms[40:], norms)
    error = module._nearness(given[40:], given, measure).astype(np.float64)
    vectors = given * measure.gallery[:, None]
    error -= vectors[40:] @ vectors.T - (vectors**2).sum(axis=1) / 2
    assert (np.abs(error) < module._allowance(measure, length)).all()


def test_one_long_vector_does_not_make_candidates_of_all_others(monkeypatch):
    rng = np.random.default_rng(25)
    unit, norms = rectified(rng, 400, 2048), np.ones(400)
    norms[7] = 1e6
    looked_at = []
    compute = module.distances

    def counted(queries, of_query, *rest):
        looked_at.append(len(of_query))
        return compute(queries, of_query, *rest)

    monkeypatch.setattr(module, "distances", counted)
    search(
        *(unit[:20], names("q", 20, rng), unit, names("g", 400, rng), 5),
        query_norms=norms[:20] + 0.5,
        gallery_norms=norms,
    )
    assert sum(looked_at) < 20 * 100


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_norms_of_any_size_give_the_same_order(scale):
    rng = np.random.default_rng(26)
    queries, query_norms, _ = lengthened(rng, 6, 20, decades=1)
    gallery, gallery_norms, _ = lengthened(rng, 90, 20, decades=1)
    ids = names("g", 90, rng)
    plain = search(
        *(queries, "abcdef", gallery, ids, 9), query_norms=query_norms, gallery_norms=gallery_norms
    )
    scaled = search(
        *(queries, "abcdef", gallery, ids, 9),
        query_norms=query_norms * scale,
        gallery_norms=gallery_norms * scale,
    )
    assert scaled.answers == plain.answers
    np.testing.assert_allclose(np.array(scaled.distances) / scale, plain.distances, rtol=1e-9)


@pytest.mark.parametrize("longest", [1e12, 1e18, 1e20, 1e22, 1e30])
def test_vectors_too_short_beside_another_for_float32_are_still_distinguished(longest):
    """In float32 their products have few binary digits left, or none; float64 orders them."""
    rng = np.random.default_rng(27)
    unit, norms, vectors = lengthened(rng, 2000, 8, decades=0.3)
    norms[0], vectors[0] = longest, unit[0] * longest
    ids = names("g", 2000, rng)
    ranking = search(
        *(unit[1:6], "abcde", unit, ids, 12), query_norms=norms[1:6] * 1.01, gallery_norms=norms
    )
    wanted = cdist(vectors[1:6] * 1.01, vectors)
    assert_ordered(ranking, wanted, "abcde", ids, 12, tolerance=1e-9)


def test_a_row_is_looked_at_again_when_both_errors_together_could_change_its_place():
    nearness = np.array([[0.5, 0.4, 0.3, 0.281, 0.279]], np.float32)
    for allowance in (np.float32(0.01), np.full((1, 5), 0.01, np.float32)):
        of_query, rows = module._candidates(nearness, 3, np.asarray(allowance))
        assert rows.tolist() == [0, 1, 2, 3]
        assert of_query.tolist() == [0] * 4
    # The last is as near as its own error allows; the third may be farther by its own.
    each = np.array([[0, 0, 0.01, 0, 0.0111]], np.float32)
    assert module._candidates(nearness, 3, each)[1].tolist() == [0, 1, 2, 4]


def test_the_cosine_distance_is_that_of_scipy_and_does_not_depend_on_norms():
    rng = np.random.default_rng(28)
    queries, query_norms, asked = lengthened(rng, 30, 40)
    gallery, gallery_norms, there = lengthened(rng, 300, 40)
    query_ids, ids = names("q", 30, rng), names("g", 300, rng)
    ranking = search(queries, query_ids, gallery, ids, 15, metric="cosine")
    column = {name: number for number, name in enumerate(ids)}
    wanted = cdist(asked, there, "cosine")
    for line, answers, distances in zip(wanted, ranking.answers, ranking.distances, strict=True):
        np.testing.assert_allclose(distances, line[[column[name] for name in answers]], atol=1e-7)
        np.testing.assert_allclose(distances, np.sort(line)[:15], atol=1e-7)
    assert ranking == search(
        *(queries, query_ids, gallery, ids, 15),
        metric="cosine",
        query_norms=query_norms,
        gallery_norms=gallery_norms,
    )


def test_by_cosine_the_order_is_that_of_unit_vectors_and_the_distance_half_the_square():
    rng = np.random.default_rng(29)
    queries, gallery = rectified(rng, 20, 100), np.repeat(rectified(rng, 60, 100), 2, axis=0)
    ids = names("g", 120, rng)
    plain = search(queries, names("q", 20, rng), gallery, ids, 30)
    cosine = search(queries, list(plain.query_ids), gallery, ids, 30, metric="cosine")
    assert cosine.answers == plain.answers
    np.testing.assert_allclose(cosine.distances, np.square(plain.distances) / 2, rtol=1e-12)


def test_a_zero_vector_has_cosine_zero_with_everything():
    gallery = np.array([[0, 0], [0.6, 0.8], [-1, 0], [1, 0], [0, 0]], dtype=np.float32)
    queries = np.array([[0, -1], [0, 0], [0.8, 0.6]], dtype=np.float32)
    ids = ["zero", "up", "left", "right", "also"]
    ranking = search(queries, ["below", "blank", "flat"], gallery, ids, 5, metric="cosine")
    assert ranking.answers[0] == ("also", "left", "right", "zero", "up")
    assert ranking.distances[0] == pytest.approx((1, 1, 1, 1, 1.8))
    assert ranking.answers[1] == tuple(sorted(ids))
    assert ranking.distances[1] == (1,) * 5
    assert ranking.answers[2] == ("up", "right", "also", "zero", "left")
    assert ranking.distances[2] == pytest.approx((0.04, 0.2, 1, 1, 1.8))
    wanted = cosine_distances(queries, gallery)
    column = {name: number for number, name in enumerate(ids)}
    for line, answers, distances in zip(wanted, ranking.answers, ranking.distances, strict=True):
        assert distances == pytest.approx(line[[column[name] for name in answers]], abs=1e-6)


def test_by_cosine_a_zero_vector_is_farther_than_by_unit_vectors():
    """At 70° a unit vector is behind a row of zeros by Euclid (1.15 > 1), before it by cosine."""
    angle = np.radians(70)
    gallery = np.array([[0, 0], [np.cos(angle), np.sin(angle)]], dtype=np.float32)
    query = np.array([[1, 0]], dtype=np.float32)
    assert search(query, "q", gallery, ["zero", "at 70"], 1).answers == (("zero",),)
    assert search(query, "q", gallery, ["zero", "at 70"], 1, metric="cosine").answers == (
        ("at 70",),
    )


def test_a_row_of_zeros_with_norms_is_at_the_length_of_the_query():
    unit = np.array([[0, 0], [1, 0], [1, 0]], dtype=np.float32)
    given = {"query_norms": np.array([3.0]), "gallery_norms": np.array([0.0, 7.0, 5.0])}
    ranking = search(unit[1:2], "q", unit, ["zero", "seven", "five"], 3, **given)
    assert ranking.answers == (("five", "zero", "seven"),)
    assert ranking.distances == ((2.0, 3.0, 4.0),)
    blank = search(unit[:1], "q", unit, ["zero", "seven", "five"], 3, **given)
    assert blank.distances == ((0.0, 5.0, 7.0),)


def test_a_row_of_zeros_is_zero_whatever_its_norm():
    unit = np.array([[0, 0], [1, 0]], dtype=np.float32)
    given = {"query_norms": np.array([3.0]), "gallery_norms": np.array([7.0, 7.0])}
    ranking = search(unit[1:], "q", unit, ["zero", "seven"], 1, **given)
    assert (ranking.answers, ranking.distances) == ((("zero",),), ((3.0,),))


def test_only_zeros_are_all_at_distance_zero_by_euclid():
    nothing = np.zeros((4, 3), np.float32)
    ranking = search(
        nothing[:1], "q", nothing, "dbca", 3, query_norms=np.zeros(1), gallery_norms=np.zeros(4)
    )
    assert ranking.answers == (("a", "b", "c"),)
    assert ranking.distances == ((0.0, 0.0, 0.0),)


@pytest.mark.parametrize("name", ["CHUNK_CELLS", "BLOCK_CELLS", "GROUP_CELLS", "CACHED_CELLS"])
@pytest.mark.parametrize("metric", METRICS)
def test_with_norms_the_result_does_not_depend_on_chunks_and_threads(monkeypatch, name, metric):
    rng = np.random.default_rng(30)
    gallery, norms, _ = lengthened(rng, 90, 2333, decades=1)
    queries, query_ids, ids = gallery[::9], names("q", 10, rng), names("g", 90, rng)
    given = {"metric": metric, "query_norms": norms[::9] * 1.1, "gallery_norms": norms}
    whole = search(queries, query_ids, gallery, ids, 10, **given)
    with threadpool_limits(1):
        assert search(queries, query_ids, gallery, ids, 10, **given) == whole
    monkeypatch.setattr(module if hasattr(module, name) else distances_module, name, 700)
    assert search(queries, query_ids, gallery, ids, 10, **given) == whole


one = np.ones(1)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"query_norms": one}, "come together"),
        ({"gallery_norms": one}, "come together"),
        ({"query_norms": one, "gallery_norms": np.ones(3)}, "1 gallery vectors have norms of"),
        ({"query_norms": np.ones((1, 1)), "gallery_norms": one}, "1 query vectors have norms of"),
        ({"query_norms": -one, "gallery_norms": one}, "query norms are not all finite"),
        ({"query_norms": one, "gallery_norms": one * np.nan}, "gallery norms are not all finite"),
        ({"query_norms": one, "gallery_norms": -one, "metric": "cosine"}, "gallery norms"),
    ],
)
def test_norms_that_do_not_fit_are_refused(given, reason):
    vector = np.ones((1, 1), np.float32)
    with pytest.raises(UserError, match=reason):
        search(vector, ["q"], vector, ["g"], 1, **given)
