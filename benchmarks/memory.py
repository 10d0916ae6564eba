"""Memory: the most that a job holds at once, for 1,000 and for 10,000 pictures."""

import argparse
import json
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.apart import apart
from benchmarks.machine import threads
from benchmarks.networks import SMALL, Measured, configured
from benchmarks.photos import photos
from benchmarks.tables import Cell, Table
from benchmarks.training import Task, schedule

if TYPE_CHECKING:
    import keras

    from gallerist.networks.trunk_rows import TrunkRows
    from gallerist.training.batches import TrainingData

NETWORK = Measured("MobileNetV2", 64, "block_16", classes=10)
"""Small, so that 10,000 pictures take a minute. A feature vector has 5120 numbers."""

COUNTS = (1_000, 10_000)


def measure(rounds: int, *, quick: bool = False) -> Table:
    """One row for each kind of work; every count in a process of its own."""
    counts = (8, 40) if quick else COUNTS
    rows, raw = [], {}
    for work in WORK:
        peaks = [_peak(work, count, quick=quick) for count in counts]
        raw[work] = dict(zip(map(str, counts), peaks, strict=True))
        row: dict[str, Cell] = {"work": work}
        row |= {
            f"MB at {count:,} pictures": peak["peak"] / 1e6
            for count, peak in zip(counts, peaks, strict=True)
        }
        more = peaks[1]["peak"] - peaks[0]["peak"]
        row["MB more"] = more / 1e6
        row["of the result's bytes"] = more / (peaks[1]["result"] - peaks[0]["result"])
        rows.append(row)
    measured = SMALL if quick else NETWORK
    return Table(
        "memory",
        f"The most resident memory, with {measured.backbone} at {measured.image_size} pixels",
        tuple(rows),
        (
            "each in a process of its own; the libraries alone take most of it",
            "of the result's bytes: by how much memory grows with each byte that is written, or "
            "read, on the disk; 0 when it does not depend on the number of pictures",
        ),
        raw,
    )


def _peak(work: str, count: int, *, quick: bool) -> dict[str, int]:
    """The largest resident memory of a process that does the work, and the result's size: bytes."""
    return apart("benchmarks.memory", work, count, *(["--quick"] if quick else []))


def extract(measured: Measured, count: int, folder: Path) -> int:
    """What rule extract_features does; returns the bytes of the vectors."""
    from gallerist.features.network import NetworkExtractor
    from gallerist.features.store import write_features

    with photos(count) as pictures:
        extractor = NetworkExtractor(*measured.store(folder), threads=threads())
        vectors = folder / "vectors.npy"
        files = vectors, folder / "ids.csv", folder / "origin.json"
        ids = pictures.manifest("training").ids
        write_features(extractor.batches(pictures.paths), ids, extractor, files)
    return vectors.stat().st_size


def train(measured: Measured, count: int, folder: Path) -> int:
    """One epoch of rule train_network on kept rows, here of random numbers; their bytes."""
    from gallerist.networks.trunk import Halves
    from gallerist.training import loop as training

    network = measured.build()
    with photos(count) as pictures, photos(8) as few:
        training_images, validation_images = (
            pictures.manifest("training"),
            few.manifest("validation"),
        )
    data = Task(measured, training_images, validation_images, epochs=1).data
    rows = _random_rows(network, data, folder)
    training_batches, validation_batches = data.rows(rows.trunk.model, rows)
    training.train(
        Halves(network).after_trunk(), training_batches, validation_batches, schedule=schedule(1)
    )
    return rows.store.bytes


def _random_rows(network: "keras.Model", data: "TrainingData", folder: Path) -> "TrunkRows":
    """Rows of frozen layers that give random numbers."""
    from benchmarks.training import FrozenLayers
    from gallerist.networks.trunk_rows import TrunkRows

    layers, random = FrozenLayers(network, None, data.preprocessing), np.random.default_rng(0)
    layers.batches = lambda pictures: (
        random.random((1, layers.length), np.float32) for _ in pictures
    )
    return TrunkRows(layers, folder)


WORK: dict[str, Callable[[Measured, int, Path], int]] = {
    "extraction": extract,
    "an epoch on kept rows": train,
}


def peak_here() -> int:
    """Bytes. Linux counts what the process was before it became this program elsewhere."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 1024
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def main() -> None:
    """Do one kind of work in this process, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("work", choices=WORK)
    parser.add_argument("count", type=int)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    configured()
    with tempfile.TemporaryDirectory(prefix="gallerist-benchmark-") as folder:
        size = WORK[asked.work](SMALL if asked.quick else NETWORK, asked.count, Path(folder))
    print(json.dumps({"peak": peak_here(), "result": size}))


if __name__ == "__main__":
    main()
