"""Kept indexes: built once, found again by what they are built from, mapped, never believed."""

import json

import faiss
import numpy as np
import pytest

from gallerist.features.store import Features, normalise
from gallerist.search import kept_index as module
from gallerist.search.approximate import search_approximately, search_index
from gallerist.search.distances import Measure
from gallerist.search.faiss_index import build_index
from gallerist.search.gallery import PreparedGallery, search_gallery
from gallerist.search.kept_index import kept_index
from gallerist.settings.ranking import Search

COSINE = Measure("cosine")
KINDS = ("Flat", "HNSW16", "IVF16,Flat", "IVF16,PQ8", "OPQ8,IVF16,PQ8", "PCA16,HNSW8", "SQ8")
IDS = [f"g{row:04d}" for row in range(900)]


@pytest.fixture(scope="module")
def vectors():
    return normalise(np.random.default_rng(0).normal(size=(900, 32)))


@pytest.fixture
def built(monkeypatch):
    """What has been built: factory strings."""
    texts = []

    def noted(gallery, text, measure):
        texts.append(text)
        return build_index(gallery, text, measure)

    monkeypatch.setattr(module, "build_index", noted)
    return texts


@pytest.mark.parametrize("text", KINDS)
def test_an_opened_index_answers_as_the_one_that_was_built(vectors, tmp_path, text):
    answers, sizes = [], []
    for _ in range(2):
        index, file = kept_index(tmp_path, vectors, text, COSINE)
        asked = vectors[:20][:, ::-1].copy(), [f"q{row}" for row in range(20)]
        settings = Search(metric="cosine", index=text)
        answers.append(search_index(index, *asked, vectors, IDS, 7, COSINE, settings))
        sizes.append((index.bytes, index.seconds))
        assert file.stat().st_size == index.bytes
    assert answers[0] == answers[1]
    assert sizes[0] == sizes[1]


def test_it_is_built_once_for_what_it_is_built_from(vectors, tmp_path, built):
    lengths = np.linspace(0.1, 0.9, len(vectors))
    measures = [COSINE, Measure("euclidean"), Measure("euclidean", lengths[:3], lengths)]
    different = [
        *((vectors, "Flat", measure) for measure in measures),
        (vectors, "HNSW8", COSINE),
        (vectors[:-1], "Flat", COSINE),
        (vectors[::-1], "Flat", COSINE),
    ]
    for _ in range(2):
        files = {kept_index(tmp_path, *each)[1] for each in different}
        assert len(files) == len(different)
    assert len(built) == len(different)
    mapped = tmp_path / "gallery.npy"
    np.save(mapped, vectors)
    kept_index(tmp_path, np.load(mapped, mmap_mode="r"), "Flat", COSINE)
    assert len(built) == len(different)


def test_another_effort_depth_or_query_builds_nothing(vectors, tmp_path, built):
    for queries, depth, nprobe in ((vectors[:5], 3, 1), (vectors[5:9], 10, 4)):
        ids = [f"q{row}" for row in range(len(queries))]
        settings = Search(metric="cosine", index="IVF16,Flat", nprobe=nprobe)
        search_approximately(
            *(queries, ids, vectors, IDS, depth, settings), kept_in=tmp_path
        )  # fmt: skip
    assert built == ["IVF16,Flat"]


@pytest.mark.parametrize("damage", ["a byte", "cut short", "no note", "note cut short", "a list"])
def test_a_damaged_one_is_built_again(vectors, tmp_path, built, damage, caplog):
    before, file = kept_index(tmp_path, vectors, "HNSW16", COSINE)
    note, held = file.with_suffix(".json"), bytearray(file.read_bytes())
    if damage == "a byte":
        held[len(held) // 2] ^= 1
        file.write_bytes(held)
    elif damage == "cut short":
        file.write_bytes(held[:-100])
    elif damage == "no note":
        note.unlink()
    else:
        note.write_text('{"sha' if damage == "note cut short" else "[]")
    after, same = kept_index(tmp_path, vectors, "HNSW16", COSINE)
    assert same == file
    assert built == ["HNSW16", "HNSW16"]
    assert faiss.serialize_index(after.index).tobytes() == faiss.serialize_index(
        before.index
    ).tobytes()  # fmt: skip
    assert json.loads(note.read_text()).keys() == {"sha256", "build_seconds"}
    assert ("damaged" in caplog.text) == (damage != "no note")


def test_what_is_searched_again_and_again_opens_the_index_of_the_workflow(vectors, tmp_path, built):
    settings = Search(metric="cosine", index="HNSW16")
    norms = np.ones(len(vectors))
    gallery = Features(vectors, norms, tuple(IDS), "model", "none")
    queries = Features(vectors[:4, ::-1], norms[:4], tuple("abcd"), "model", "none")
    found, report = search_gallery(queries, gallery, 5, settings, threads=1, kept_in=tmp_path)
    prepared = PreparedGallery(gallery, settings, threads=1, kept_in=tmp_path)
    assert prepared.rank(queries, 5) == found
    assert built == ["HNSW16"]
    assert [*tmp_path.glob("*.faiss")] == [report.file]


def test_without_a_folder_nothing_is_kept(vectors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert kept_index(None, vectors, "Flat", COSINE)[1] is None
    assert [*tmp_path.iterdir()] == []
