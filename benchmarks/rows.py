"""How the stages that look at no picture grow with the gallery: seconds and memory of each.

    PYTHONPATH=scripts python -m benchmarks.rows FOLDER --rows 100000 1000000

Rows and vectors are drawn (seeded), so that 10^6 take minutes where as many pictures take hours.
Each stage is a process of its own that calls the library as its rule does. docs/scale.md rests on
it; what looks at pictures is measured by `benchmarks.scale`.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.apart import apart
from benchmarks.machine import Machine, threads
from benchmarks.memory import peak_here
from benchmarks.tables import Cell, Table
from gallerist.io.arrays import AnyArray

LENGTH = 256
QUERIES = 1000
DEPTH = 100
CLASSES = 10


@dataclass(frozen=True)
class Drawn:
    """An extractor whose vectors are drawn."""

    model: str = "drawn"
    preprocessing: str = "none"
    length: int = LENGTH

    def batches(self, pictures: Sequence[object], /) -> Iterator[AnyArray]:
        """256 at a time."""
        drawn = np.random.default_rng(0)
        for start in range(0, len(pictures), 256):
            yield drawn.standard_normal((min(256, len(pictures) - start), LENGTH), np.float32)


def write_manifest(folder: Path, rows: int) -> None:
    """From pictures, one after the other, as an import finds them."""
    from gallerist.data.manifest import Manifest, Picture

    drawn = random.Random(0)

    def pictures() -> Iterator[Picture]:
        for row in range(rows):
            name, phash = (f"{drawn.getrandbits(64):016x}" for _ in range(2))
            label, path = f"class{row % CLASSES}", f"pictures/{row % CLASSES}/{row // 1000}/{row}"
            yield Picture(name, f"{path}.jpg", label, "gallery", name, 64, 64, phash)

    Manifest(pictures()).write(folder / "gallery.csv")


def read_manifest(folder: Path, rows: int) -> None:
    """All of it."""
    from gallerist.data.manifest import Manifest

    assert len(Manifest.read(folder / "gallery.csv")) == rows


def split(folder: Path, rows: int) -> None:
    """Into two parts, which are written."""
    from gallerist.data.manifest import Manifest
    from gallerist.data.splitting import split as divide

    pictures = Manifest.read(folder / "gallery.csv")
    for part, each in divide(pictures, {"training": 0.5, "gallery": 0.5}, seed=1).items():
        each.write(folder / f"split_{part}.csv")


def find_leaks(folder: Path, rows: int) -> None:
    """Between a thousand pictures and the rest."""
    from gallerist.data.manifest import Manifest
    from gallerist.data.near_duplicates import find_leaks as leaks

    pictures = Manifest.read(folder / "gallery.csv")
    leaks({"query": pictures[:1000], "gallery": pictures[1000:]}, 4)


def keep_vectors(folder: Path, rows: int) -> None:
    """In a store, and from there as a part's files; drawing them is not what takes the time."""
    from gallerist.data.manifest import Manifest
    from gallerist.features.extraction import Extraction

    parts = {"gallery": Manifest.read(folder / "gallery.csv")}
    extraction = Extraction(Drawn(), parts, folder / "store")
    extraction.fill()
    extraction.write({"gallery": _files(folder)})


def add_one(folder: Path, rows: int) -> None:
    """One more picture: what an extraction costs that finds all others in its store."""
    from gallerist.data.manifest import Manifest, Picture
    from gallerist.features.extraction import Extraction

    one = Picture("f" * 16, "new.jpg", "class0", "gallery", "f" * 16, 64, 64, "0" * 16)
    pictures = Manifest.read(folder / "gallery.csv")
    extraction = Extraction(Drawn(), {"gallery": Manifest([*pictures, one])}, folder / "store")
    extraction.fill()
    extraction.write({"gallery": _files(folder)})


def search(folder: Path, rows: int) -> None:
    """QUERIES queries, exactly, and the ranking written."""
    from gallerist.features.store import Features
    from gallerist.search.exact import search as rank

    gallery = Features.read(*_files(folder))
    queries = np.array(gallery.vectors[:QUERIES])[:, ::-1].copy()
    ids = [f"q{number}" for number in range(QUERIES)]
    ranking = rank(queries, ids, gallery.vectors, gallery.ids, DEPTH, metric="cosine")
    ranking.write(folder / "ranking.csv")


def search_by_faiss(folder: Path, rows: int) -> None:
    """The same queries by FAISS's exact search of inner products: in float32, ties in any order."""
    import faiss

    from gallerist.features.store import Features

    gallery = np.array(Features.read(*_files(folder)).vectors)
    faiss.omp_set_num_threads(threads())
    faiss.knn(gallery[:QUERIES, ::-1].copy(), gallery, DEPTH, metric=faiss.METRIC_INNER_PRODUCT)


def evaluate(folder: Path, rows: int) -> None:
    """That ranking, by classes."""
    from gallerist.data.manifest import Manifest
    from gallerist.evaluation.relevance import evaluate as judge
    from gallerist.search.ranking import Ranking

    labels = {f"q{number}": f"class{number % CLASSES}" for number in range(QUERIES)}
    ranking = Ranking.read(folder / "ranking.csv")
    judge(ranking, labels, Manifest.read(folder / "gallery.csv").label_of)


def _files(folder: Path) -> list[Path]:
    return [folder / f"gallery.{end}" for end in ("npy", "ids.csv", "origin.json")]


STAGES: dict[str, Callable[[Path, int], None]] = {
    each.__name__: each
    for each in (
        *(write_manifest, read_manifest, split, find_leaks),
        *(keep_vectors, search, search_by_faiss, evaluate, add_one),
    )
}


def measure(folder: Path, sizes: Sequence[int]) -> Table:
    """Each stage at each size, in the order in which they need each other."""
    found: dict[str, dict[str, Cell]] = {name: {"stage": name} for name in STAGES}
    for rows in sizes:
        place = folder / str(rows)
        place.mkdir(parents=True, exist_ok=True)
        for name in STAGES:
            figures = apart("benchmarks.rows", place, "--stage", name, "--rows", rows)
            found[name][f"s, {rows:,}"] = figures["seconds"]
            found[name][f"MB, {rows:,}"] = figures["peak"] / 1e6
            print(f"{rows:,} {name}: {figures}", flush=True)
    return Table("rows", "What stages take that look at no picture", tuple(found.values()))


def main() -> None:
    """All stages at all sizes, or one stage in this process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rows", description=__doc__)
    parser.add_argument("folder", type=Path, help="of what is drawn and made: 2 kB a row")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--stage", choices=STAGES)
    asked = parser.parse_args()
    if asked.stage:
        before = time.process_time()
        STAGES[asked.stage](asked.folder, asked.rows[0])
        seconds = time.process_time() - before
        print(json.dumps({"seconds": round(seconds, 2), "peak": peak_here()}))
        return
    machine = Machine.here()
    table = measure(asked.folder, sorted(asked.rows))
    print(table.markdown(machine), f"\n{table.write(asked.folder, machine)}")


if __name__ == "__main__":
    sys.exit(main())
