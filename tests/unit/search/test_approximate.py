"""Approximate search: what FAISS finds is ordered as the exact search orders it, and counted."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.features.store import normalise
from gallerist.io.errors import UserError
from gallerist.search import approximate as module
from gallerist.search import faiss_index
from gallerist.search.approximate import recall
from gallerist.search.distances import METRICS, Measure
from gallerist.search.exact import search
from gallerist.search.faiss_index import _centroids, build_index, empty_index
from gallerist.search.ranking import Ranking
from gallerist.settings.ranking import Search

LENGTH = 32


def pictures(count: int, *, seed: int, clusters: int = 12):
    """Vectors around a few centres, as features of a few classes are; and the norms they had."""
    centres = np.random.default_rng(0).normal(size=(clusters, LENGTH))
    rng = np.random.default_rng(seed)
    given = centres[rng.integers(clusters, size=count)] + rng.normal(size=(count, LENGTH)) / 2
    given *= rng.uniform(0.5, 2, size=(count, 1))
    return normalise(given), np.linalg.norm(given, axis=1)


@pytest.fixture(scope="module")
def gallery():
    return pictures(1500, seed=1)


@pytest.fixture(scope="module")
def queries():
    return pictures(60, seed=2)


GALLERY_IDS = [f"g{number:04d}" for number in np.random.default_rng(3).permutation(1500)]
QUERY_IDS = [f"q{number:02d}" for number in range(60)]


def search_approximately(*data, threads=1, query_norms=None, gallery_norms=None, **chosen):
    norms = {"query_norms": query_norms, "gallery_norms": gallery_norms}
    settings = Search(**{"metric": "euclidean", **chosen})
    return module.search_approximately(*data, settings, threads=threads, **norms)


def vectors_needed(index):
    empty = empty_index(index, LENGTH, "cosine")
    return 0 if empty.is_trained else _centroids(empty)


def ranked(queries, gallery, depth=10, **settings):
    return search_approximately(
        *(queries[0], QUERY_IDS, gallery[0], GALLERY_IDS, depth),
        **{"query_norms": queries[1], "gallery_norms": gallery[1], **settings},
    )


def exactly(queries, gallery, depth=10, **settings):
    return search(
        *(queries[0], QUERY_IDS, gallery[0], GALLERY_IDS, depth),
        **{"query_norms": queries[1], "gallery_norms": gallery[1], **settings},
    )


@pytest.mark.parametrize("metric", METRICS)
def test_a_flat_index_gives_the_exact_ranking(queries, gallery, metric):
    ranking, report = ranked(queries, gallery, index="Flat", metric=metric)
    assert ranking == exactly(queries, gallery, metric=metric)
    assert report.recall == {1: 1.0, 10: 1.0}


def test_without_norms_a_flat_index_compares_the_rows_as_they_are(queries, gallery):
    without = {"query_norms": None, "gallery_norms": None}
    ranking, _ = ranked(queries, gallery, index="Flat", **without)
    assert ranking == exactly(queries, gallery, **without)
    assert ranking != exactly(queries, gallery)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("index", "effort", "least"),
    [
        ("HNSW32", {"ef_search": 100}, 0.98),
        ("IVF16,Flat", {"nprobe": 8}, 0.95),
        ("IVF16,PQ16", {"nprobe": 8}, 0.6),
        ("PCA16,Flat", {}, 0.35),
        ("SQ8", {}, 0.95),
        ("IVF8,PQ8,RFlat", {"nprobe": 8}, 0.5),
    ],
)
def test_every_kind_of_index_finds_much_and_misplaces_nothing(
    queries, gallery, metric, index, effort, least
):
    ranking, report = ranked(queries, gallery, index=index, metric=metric, **effort)
    whole = exactly(queries, gallery, depth=1500, metric=metric)
    for answers, distances, all_answers, all_distances in zip(
        ranking.answers, ranking.distances, whole.answers, whole.distances, strict=True
    ):
        place = {name: number for number, name in enumerate(all_answers)}
        found = [place[name] for name in answers]
        assert found == sorted(found)
        assert distances == tuple(all_distances[number] for number in found)
    assert least <= report.recall[10] <= 1


def test_a_rotation_is_learnt_with_the_code():
    """Small, because OPQ takes seconds even for few vectors."""
    vectors, _ = pictures(300, seed=4)
    ids = GALLERY_IDS[:300]
    ranking, report = search_approximately(
        *(vectors[:9, :8], list("abcdefghi"), vectors[:, :8], ids, 20),
        index="OPQ2,IVF4,PQ2",
        metric="cosine",
        nprobe=4,
    )
    assert report.recall[20] > 0.6
    assert all(len(answers) == 20 for answers in ranking.answers)


def test_recall_is_counted_as_by_hand(queries, gallery):
    ranking, report = ranked(queries, gallery, 20, index="IVF32,PQ4", metric="cosine")
    exact = exactly(queries, gallery, 20, metric="cosine")
    for k in (1, 10, 20):
        shares = [
            len(set(found[:k]) & set(wanted[:k])) / k
            for found, wanted in zip(ranking.answers, exact.answers, strict=True)
        ]
        assert report.recall[k] == pytest.approx(np.mean(shares))
    assert report.recall_queries == 60
    assert report.recall[20] < 1


def test_more_effort_finds_no_less(queries, gallery):
    shares = [
        ranked(queries, gallery, index="IVF32,Flat", nprobe=nprobe)[1].recall[10]
        for nprobe in (1, 4, 32)
    ]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1] == 1


def test_recall_of_any_of_several_equally_near_answers_is_whole():
    assert recall([(0.0, 1.0, 1.0)], [(0.0, 1.0, 1.0)], 2) == {1: 1.0, 2: 1.0}
    assert recall([(0.5, 1.0)], [(1.0, 2.0)], 2) == {1: 0.0, 2: 0.5}
    assert recall([(0.5, 1.0)], [(0.5,)], 2) == {1: 1.0, 2: 0.5}
    assert recall([(), (0.5,)], [(), ()], 12) == {1: 0.0, 10: 0.0, 12: 0.0}
    assert recall([()], [()], 3) == {}


def test_recall_is_measured_on_a_sample_of_many_queries(queries, gallery, monkeypatch):
    monkeypatch.setattr(module, "SAMPLE", 25)
    asked = []
    monkeypatch.setattr(
        module, "search", lambda *rest, **more: asked.append(rest[1]) or search(*rest, **more)
    )
    settings = {"index": "IVF32,Flat", "metric": "cosine"}
    first, again = (ranked(queries, gallery, **settings)[1] for _ in range(2))
    assert first.recall_queries == 25 == len(set(asked[0]))
    assert asked[0] == asked[1] == sorted(asked[0])
    assert asked[0] != QUERY_IDS[:25]
    assert first.recall == again.recall


@pytest.mark.parametrize("index", ["Flat", "HNSW16", "IVF8,Flat"])
@pytest.mark.parametrize("metric", METRICS)
def test_a_query_that_is_in_the_gallery_is_not_its_own_answer(gallery, index, metric):
    vectors, norms = gallery[0][:80], gallery[1][:80]
    ids = GALLERY_IDS[:80]
    ranking, report = search_approximately(
        *(vectors, ids, vectors, ids, 5),
        index=index,
        metric=metric,
        query_norms=norms,
        gallery_norms=norms,
        **({"nprobe": 8} if "IVF" in index else {}),
    )
    for own, answers in zip(ids, ranking.answers, strict=True):
        assert own not in answers
        assert len(answers) == 5
    assert report.recall[1] > 0.95


def test_fewer_answers_than_asked_for_are_all_that_the_index_finds(queries, gallery):
    ranking, report = ranked(queries, gallery, 1500, index="IVF32,Flat", metric="cosine")
    counts = [len(answers) for answers in ranking.answers]
    assert 0 < max(counts) < 1500
    assert all(len(set(answers)) == len(answers) for answers in ranking.answers)
    assert report.recall[1500] == pytest.approx(sum(counts) / (60 * 1500))
    few, _ = search_approximately(
        *(queries[0], QUERY_IDS, gallery[0][:7], GALLERY_IDS[:7], 50), index="Flat", metric="cosine"
    )
    assert [set(answers) for answers in few.answers] == [set(GALLERY_IDS[:7])] * 60


def test_equally_near_answers_come_by_id():
    vectors = np.repeat(pictures(3, seed=5)[0], 4, axis=0)
    ids = list("lkjihgfedcba")
    for metric in METRICS:
        ranking, _ = search_approximately(
            vectors[:1], "q", vectors, ids, 12, index="Flat", metric=metric
        )
        assert ranking.answers[0][:4] == ("i", "j", "k", "l")
        assert ranking == search(vectors[:1], "q", vectors, ids, 12, metric=metric)


def test_zero_vectors_are_where_the_exact_search_has_them(queries, gallery):
    vectors, norms = gallery[0].copy(), gallery[1].copy()
    vectors[::100], norms[::100] = 0, 0
    asked, lengths = queries[0].copy(), queries[1].copy()
    asked[3], lengths[3] = 0, 0
    for metric in METRICS:
        settings = {"metric": metric, "depth": 1500}
        found, _ = ranked((asked, lengths), (vectors, norms), index="Flat", **settings)
        assert found == exactly((asked, lengths), (vectors, norms), **settings)


@pytest.mark.parametrize(
    ("index", "effort"), [("HNSW16", {}), ("IVF16,PQ8", {"nprobe": 4}), ("PCA8,IVF4,SQ8", {})]
)
def test_the_ranking_depends_neither_on_threads_nor_on_chunks(
    queries, gallery, index, effort, monkeypatch
):
    before = faiss.omp_get_max_threads()
    first, one = ranked(queries, gallery, index=index, metric="cosine", threads=1, **effort)
    second, two = ranked(queries, gallery, index=index, metric="cosine", threads=2, **effort)
    assert first == second
    assert (one.recall, one.index_bytes) == (two.recall, two.index_bytes)
    assert faiss.omp_get_max_threads() == before
    monkeypatch.setattr(module, "ASKED_CELLS", 25 * LENGTH)
    assert ranked(queries, gallery, index=index, metric="cosine", **effort)[0] == first


def test_a_gallery_added_in_parts_is_found_as_a_whole(queries, gallery, monkeypatch):
    settings = {"index": "IVF16,PQ8", "metric": "euclidean", "nprobe": 4}
    whole, _ = ranked(queries, gallery, **settings)
    monkeypatch.setattr(faiss_index, "ADDED_CELLS", 77 * LENGTH)
    assert ranked(queries, gallery, **settings)[0] == whole


def test_an_index_built_twice_is_the_same_to_the_byte(gallery):
    for text in ("HNSW16", "IVF16,PQ8"):
        written = [
            faiss.serialize_index(build_index(gallery[0], text, Measure("cosine")).index).tobytes()
            for _ in range(2)
        ]
        assert written[0] == written[1]


def test_an_index_is_built_by_one_thread_and_searched_by_those_that_are_lent(
    queries, gallery, monkeypatch
):
    """Threads that add to a graph at once make another graph each time."""
    before, seen = faiss.omp_get_max_threads(), []
    index = faiss.IndexHNSWFlat

    def noted(work):
        def working(*arguments):
            seen.append((work.__name__.removeprefix("replacement_"), faiss.omp_get_max_threads()))
            return work(*arguments)

        return working

    for name in ("add", "search"):
        monkeypatch.setattr(index, name, noted(getattr(index, name)))
    faiss.omp_set_num_threads(2)
    try:
        ranked(queries, gallery, index="HNSW16", threads=3)
        assert seen == [("add", 1), ("search", 3)]
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(before)


def test_the_bytes_are_those_of_the_file(gallery, tmp_path):
    for text in ("Flat", "HNSW16", "IVF16,PQ8"):
        built = build_index(gallery[0], text, Measure("cosine"))
        faiss.write_index(built.index, str(tmp_path / "index"))
        assert built.bytes == (tmp_path / "index").stat().st_size


def test_a_gallery_mapped_from_a_file_gives_the_same_answers(queries, gallery, tmp_path):
    settings = {"index": "IVF16,Flat", "nprobe": 3, "metric": "euclidean"}
    in_memory, _ = ranked(queries, gallery, **settings)
    for layout in (np.ascontiguousarray, np.asfortranarray):
        np.save(tmp_path / "gallery.npy", layout(gallery[0]))
        mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
        assert ranked(queries, (mapped, gallery[1]), **settings)[0] == in_memory


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.integers(-2, 2), min_size=4, max_size=4), min_size=0, max_size=30),
    st.lists(st.lists(st.integers(-2, 2), min_size=4, max_size=4), min_size=0, max_size=4),
    st.integers(1, 35),
    st.sampled_from(METRICS),
    st.booleans(),
)
def test_with_every_candidate_found_the_ranking_is_the_exact_one(
    gallery, queries, depth, metric, in_gallery
):
    """`depth` is the whole gallery, so that a tie at the end cannot be cut otherwise by FAISS."""
    depth = max(depth, len(gallery))
    gallery, queries = (np.array(rows, float).reshape(-1, 4) for rows in (gallery, queries))
    ids = [f"{number * 7 % 31:02d}" for number in range(len(gallery))]
    query_ids = [f"{number:02d}" if in_gallery else f"q{number}" for number in range(len(queries))]
    arguments = (normalise(queries), query_ids, normalise(gallery), ids, depth)
    norms = {
        "query_norms": np.linalg.norm(queries, axis=1),
        "gallery_norms": np.linalg.norm(gallery, axis=1),
    }
    ranking, report = search_approximately(*arguments, index="Flat", metric=metric, **norms)
    assert ranking == search(*arguments, metric=metric, **norms)
    assert set(report.recall.values()) <= {1.0}


@pytest.mark.parametrize("index", ["Flat", "HNSW32", "IVF4,Flat", "IVF4,PQ4"])
def test_an_empty_gallery_gives_no_answers_and_no_queries_no_rows(queries, gallery, index):
    none = np.ones((0, LENGTH), np.float32)
    ranking, report = search_approximately(
        queries[0], QUERY_IDS, none, [], 3, index=index, metric="cosine"
    )
    assert ranking.answers == ((),) * 60
    assert report.recall == {}
    ranking, report = search_approximately(
        none, [], gallery[0], GALLERY_IDS, 3, index=index, metric="cosine"
    )
    assert ranking == Ranking((), (), ())
    assert (report.recall, report.recall_queries) == ({}, 0)


@pytest.mark.parametrize(
    ("index", "least"),
    [
        ("Flat", 0),
        ("HNSW32", 0),
        ("IVF1024,Flat", 1024),
        ("IVF1024,PQ16", 1024),
        ("IVF16,PQ16", 256),
        ("IVF16,PQ16x4", 16),
        ("IVF300_HNSW16,Flat", 300),
        ("OPQ8,IVF64,PQ8", 256),
        ("OPQ8,IVF512,PQ8", 512),
        ("HNSW16_PQ8", 256),
        ("IVF700,PQ4,RFlat", 700),
        ("PCA8,IVF20,Flat", 20),
    ],
)
def test_too_few_vectors_for_an_index_are_refused_with_how_many_it_needs(index, least):
    assert vectors_needed(index) == least
    if least:
        vectors, _ = pictures(least - 1, seed=6)
        reason = f"'{index}' needs at least {least} gallery vectors.*there are {least - 1}"
        with pytest.raises(UserError, match=reason):
            search_approximately(
                vectors[:1], "q", vectors, GALLERY_IDS[: least - 1], 1, index=index
            )


@pytest.mark.parametrize(
    "index", ["IVF60,Flat", "PCA8,IVF20,SQ8", "IVF30_HNSW8,Flat", "IVF9,PQ4x3"]
)
def test_as_many_vectors_as_an_index_needs_are_enough(index, capfd, caplog):
    least = vectors_needed(index)
    vectors, _ = pictures(least, seed=7)
    ranking, _ = search_approximately(
        vectors[:3], "abc", vectors, GALLERY_IDS[:least], 2, index=index, nprobe=least
    )
    assert [len(answers) for answers in ranking.answers] == [2, 2, 2]
    assert f"is trained on {least} gallery vectors; FAISS advises {39 * least}" in caplog.text
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ("flat", "could not parse index string flat"),
        ("HNSW32,Rubbish", "could not parse HNSW code description Rubbish"),
        ("PQ5", "should be a multiple of the number of subquantizers"),
        ("IVF99999999999999,Flat", "no index that FAISS can build"),
        ("LSH", "METRIC_L2"),
        ("IDMap,Flat", "IDMap is not needed"),
    ],
)
def test_a_factory_string_that_cannot_be_is_named_before_the_run(index, reason):
    vector = np.ones((1, LENGTH), np.float32)
    with pytest.raises(UserError, match=reason) as refusal:
        search_approximately(vector, "q", vector, "g", 1, index=index, metric="cosine")
    assert f"'{index}'" in str(refusal.value)
    assert "faiss::" not in str(refusal.value)


@pytest.mark.parametrize(
    ("index", "effort", "reason"),
    [
        ("Flat", {"nprobe": 3}, "'Flat' has no nprobe"),
        ("HNSW16", {"nprobe": 3}, "'HNSW16' has no nprobe"),
        ("IVF4,Flat", {"ef_search": 3}, "'IVF4,Flat' has no ef_search"),
    ],
)
def test_an_effort_that_the_index_does_not_know_is_refused(index, effort, reason):
    vector = np.ones((1, LENGTH), np.float32)
    with pytest.raises(UserError, match=reason):
        search_approximately(vector, "q", vector, "g", 1, index=index, **effort)


def test_what_the_exact_search_refuses_is_refused_here(queries, gallery):
    with pytest.raises(UserError, match="not of one feature length"):
        ranked((queries[0][:, :5], queries[1]), gallery, index="Flat")
    with pytest.raises(UserError, match="depth is 0"):
        ranked(queries, gallery, 0, index="Flat")
    with pytest.raises(UserError, match="gallery vectors have norms"):
        ranked(queries, (gallery[0], gallery[1][:4]), index="Flat")
