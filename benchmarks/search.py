"""Search: 600 queries in a gallery of 4800 vectors of length 2048, exactly."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import published
from benchmarks.machine import threads
from benchmarks.rounds import Way, compared
from benchmarks.tables import Table
from gallerist.features.store import normalise
from gallerist.io.arrays import Vectors
from gallerist.search.exact import search

ONE_BY_ONE = 40
"""Queries of the published way in one round: each takes as long as the others."""


def measure(rounds: int, *, quick: bool = False) -> Table:
    """The published search, scikit-learn's, faiss's and ours, at two depths."""
    with tempfile.TemporaryDirectory(prefix="gallerist-benchmark-") as folder:
        return _measured(rounds, Path(folder), quick=quick)


def _measured(rounds: int, folder: Path, *, quick: bool) -> Table:
    import faiss
    from sklearn.neighbors import NearestNeighbors

    count, pictures, length = (40, 300, 64) if quick else (600, 4800, 2048)
    queries, gallery = vectors(count, length, seed=1), vectors(pictures, length, seed=2)
    query_ids = [f"q{row:015x}" for row in range(count)]
    gallery_ids = [f"{row:016x}" for row in range(pictures)]
    faiss.omp_set_num_threads(threads())

    def fitted(depth: int) -> None:
        neighbours = NearestNeighbors(n_neighbors=depth, algorithm="brute").fit(gallery)
        neighbours.kneighbors(queries)

    def ours(depth: int) -> None:
        search(queries, query_ids, gallery, gallery_ids, depth)

    few = min(ONE_BY_ONE, count)
    stored = folder / "gallery.npy"
    np.save(stored, gallery)
    fitted_each, read_each = "published: fitted for each query", "published: read and fitted"
    published_too = {"times the published": fitted_each}
    ways = {
        name: Way(partial(published.search, queries[:few], source, 10), few, published_too)
        for name, source in (
            (fitted_each, lambda: gallery),
            (read_each, partial(np.load, stored)),
        )
    }
    for depth in (10, 50):
        both = {**published_too, "times faiss": f"faiss.knn, {depth} answers"}
        ways |= {
            f"scikit-learn at once, {depth} answers": Way(partial(fitted, depth), count, both),
            f"faiss.knn, {depth} answers": Way(
                partial(faiss.knn, queries, gallery, depth), count, both
            ),
            f"Gallerist, {depth} answers": Way(partial(ours, depth), count, both),
        }
    return compared(
        "search",
        f"Search of {count} queries in {pictures} vectors of length {length}",
        ways,
        rounds,
        item=("query", "queries"),
        notes=(
            f"the published way: 10 answers, {few} queries a round, from memory and from a file",
            "Gallerist orders by float64 distances and equal ones by id; the others by float32",
            f"OpenBLAS multiplies for {_kernels('numpy')} in NumPy, and for {_kernels('faiss')} "
            "in faiss, which brings another",
        ),
    )


def _kernels(package: str) -> str:
    """The processor that a package's OpenBLAS takes this one for, which OPENBLAS_CORETYPE may say.

    A product takes twice as long where it is one without AVX-512.
    """
    from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

    loaded = (each for each in threadpool_info() if each["internal_api"] == "openblas")
    found = [each["architecture"] for each in loaded if f"/{package}" in each["filepath"]]
    return " and ".join(found) or "no processor it names"


def vectors(count: int, length: int, *, seed: int) -> Vectors:
    """Unit vectors without negative elements, as a network's last ReLU leaves them."""
    random = np.random.default_rng(seed)
    return normalise(np.maximum(random.standard_normal((count, length), np.float32), 0))
