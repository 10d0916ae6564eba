"""Indexes: what FAISS's approximate ones find, and cost, beside the exact search and FAISS alone.

PYTHONPATH=scripts python -m benchmarks.indexes --pictures 1000000 --rounds 3
"""

import argparse
from functools import partial

import faiss
import numpy as np

from benchmarks.machine import Machine, threads
from benchmarks.rounds import Way, compared
from benchmarks.tables import Cell, Table
from gallerist.features.store import normalise
from gallerist.io.arrays import Vectors
from gallerist.search.approximate import recall, search_index
from gallerist.search.distances import Measure
from gallerist.search.exact import search
from gallerist.search.faiss_index import BuiltIndex, build_index, set_effort
from gallerist.settings.ranking import Search

DEPTH = 10

EXACT = "Gallerist, exact"

COSINE = Measure("cosine")

EFFORTS = {
    "IVF1024,Flat": [{"nprobe": 1}, {"nprobe": 8}, {"nprobe": 64}],
    "IVF1024,PQ64": [{"nprobe": 8}, {"nprobe": 64}],
    "HNSW32": [{"ef_search": 16}, {"ef_search": 64}, {"ef_search": 256}],
}
"""FAISS factory string -> the efforts it is searched with."""

QUICK = {
    "IVF16,Flat": [{"nprobe": 1}, {"nprobe": 8}],
    "IVF16,PQ8x4": [{"nprobe": 8}],
    "HNSW32": [{"ef_search": 16}],
}


PICTURES = 200_000


def measure(rounds: int, *, quick: bool = False, pictures: int = PICTURES) -> Table:
    """The exact search, FAISS's own, and three kinds of index at two or three efforts each."""
    count, pictures, length = (30, 700, 32) if quick else (1_000, pictures, 256)
    vectors = clustered(count + pictures, length, clusters=pictures // 200)
    queries, gallery = vectors[:count], vectors[count:]
    ids = [f"q{row:015x}" for row in range(count)], [f"{row:016x}" for row in range(pictures)]
    exact = search(queries, ids[0], gallery, ids[1], DEPTH, metric="cosine")
    faiss.omp_set_num_threads(threads())

    def alone(built: BuiltIndex, effort: dict[str, int]) -> Way:
        def run() -> None:
            set_effort(built.index, built.factory, Search(**effort))
            built.index.search(queries, DEPTH)

        return Way(run, count, {"times exact": EXACT})

    def way(built: BuiltIndex, depth: int, effort: dict[str, int], beside: str) -> Way:
        run = partial(
            search_index,
            *(built, queries, ids[0], gallery, ids[1], depth, COSINE, Search(**effort)),
            threads=threads(),
        )
        share = recall(exact.distances, [line[:DEPTH] for line in run().distances], DEPTH)[DEPTH]
        costs: dict[str, Cell] = {"index MB": built.bytes / 1e6, "build s": built.seconds}
        against = {"times exact": EXACT, "times FAISS alone": beside}
        return Way(run, count, against, {f"recall@{DEPTH}": share, **costs})

    flat = build_index(gallery, "Flat", COSINE)
    whole = partial(search, queries, ids[0], gallery, ids[1], DEPTH, metric="cosine")
    found: dict[str, Cell] = {f"recall@{DEPTH}": 1.0, "index MB": gallery.nbytes / 1e6}
    ways = {
        EXACT: Way(whole, count, {"times exact": EXACT}, {**found, "build s": 0.0}),
        "FAISS alone, Flat": alone(flat, {}),
        "Flat": way(flat, DEPTH, {}, "FAISS alone, Flat"),
    }
    for text, efforts in (QUICK if quick else EFFORTS).items():
        built = build_index(gallery, text, COSINE)
        for effort in efforts:
            at = ", ".join(f"{name} {value}" for name, value in effort.items())
            name = f"{text}, {at}"
            beside = f"FAISS alone, {name}"
            ways[beside] = alone(built, effort)
            ways[name] = way(built, DEPTH, effort, beside)
            if "PQ" in text:
                ways[f"{name}, {10 * DEPTH} answers"] = way(built, 10 * DEPTH, effort, beside)
    return compared(
        "indexes",
        f"Approximate search of {count} queries in {pictures} vectors of length {length}",
        ways,
        rounds,
        item=("query", "queries"),
        notes=(
            f"synthetic vectors: unit vectors around {pictures // 200} random centres, spread in "
            "32 directions of falling variance and a little in all others; real features may be "
            "easier or harder",
            f"{DEPTH} answers by cosine; every answer's distance is computed again in float64, so "
            f"that of {10 * DEPTH} answers the first {DEPTH} are better than of {DEPTH}",
            "index MB: as a file; build s: by one thread, so that it comes out the same each time",
        ),
    )


def clustered(count: int, length: int, *, clusters: int, seed: int = 1) -> Vectors:
    """Unit vectors around random centres, spread mostly in 32 directions: features of classes."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((max(1, clusters), length), np.float32)
    directions = random.standard_normal((32, length), np.float32)
    directions *= (np.arange(1, 33, dtype=np.float32) ** -0.5)[:, None] / 2
    vectors = centres[random.integers(len(centres), size=count)]
    vectors += random.standard_normal((count, 32), np.float32) @ directions
    vectors += random.standard_normal((count, length), np.float32) / 5
    return normalise(vectors)


def main() -> None:
    """Measure at the size that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.indexes", description=__doc__)
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    print(measure(asked.rounds, pictures=asked.pictures).markdown(Machine.here()))


if __name__ == "__main__":
    main()
