"""Small pictures described in shards that are killed and go on: are the files equal each time?

    python -m benchmarks.store [--pictures 10000] [--kills 10]

For 1, 3 and 8 shards: processes describe the pictures side by side, all are killed with SIGKILL at
so many moments drawn with a seed, and started again; one gathers and writes the files of two parts.
It ends with status 1 where bytes differ, or a picture was computed again after it had been stored.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from gallerist.data.manifest import Manifest, Picture
from gallerist.features.descriptors.extract import DescriptorExtractor
from gallerist.features.extraction import Extraction
from gallerist.io import row_store
from gallerist.io.files import sha256_of_file
from gallerist.settings.descriptors import read_descriptor
from gallerist.workflow.results import vector_files

SIDE = 24
SETTINGS = {
    "descriptor": "hog", "image_size": 64, "look": "colour", "orientations": 9, "cells": 8,
    "cell_pixels": 8, "block": 2,
}  # fmt: skip
PARTS = ("gallery", "query")
SHARDS = (1, 3, 8)


def draw(folder: Path, count: int) -> None:
    """Draw the pictures, each of its own seed, and list them: one in ten stands in both parts."""
    pictures = []
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        path = folder / f"pictures/{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        name = sha256_of_file(path)[:16]
        pictures.append(Picture(name, str(path), "noise", "", name, SIDE, SIDE, "0" * 16))
    Manifest(tuple(pictures[: count * 6 // 10])).write(folder / "gallery.csv")
    Manifest(tuple(pictures[count // 2 :])).write(folder / "query.csv")


def extraction(folder: Path, name: str) -> Extraction:
    """Of all parts, into the store `name`."""
    extractor = DescriptorExtractor(read_descriptor(**SETTINGS), max_pixels=SIDE**2, threads=1)
    parts = {part: Manifest.read(folder / f"{part}.csv") for part in PARTS}
    return Extraction(extractor, parts, folder / name / "store")


def start(folder: Path, name: str, shard: int, shards: int) -> "subprocess.Popen[bytes]":
    """A process that describes one shard."""
    within = ["--folder", folder, "--name", name, "--shard", shard, shards]
    command = [sys.executable, "-m", "benchmarks.store", *map(str, within)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=one_thread, stdout=subprocess.PIPE)


def keys_stored(folder: Path, name: str) -> Counter[str]:
    """How often each picture stands in the segments."""
    found: Counter[str] = Counter()
    for store in (folder / name / "store").glob("*"):
        for path in store.glob("[!.]*.arrow"):
            found.update(row_store.keys_in(path))
    return found


def describe(folder: Path, name: str, shards: int, kills: int) -> tuple[dict[str, str], int, int]:
    """Hashes of the parts' files, pictures stored when each kill came, and those stored twice."""
    random, seen = np.random.default_rng(shards), 0
    for _ in range(kills):
        processes = [start(folder, name, shard, shards) for shard in range(shards)]
        for process in processes:
            process.stdout.readline()  # it has read its store, and begins
        time.sleep(random.uniform(0.1, 3))
        for process in processes:
            process.kill()
            process.wait()
        stored = len(keys_stored(folder, name))
        print(f"  killed with {stored} stored, {stored - seen} of them since", flush=True)
        seen = stored
    for process in [start(folder, name, shard, shards) for shard in range(shards)]:
        if process.wait():
            raise SystemExit(f"a shard of {name} failed")
    gathered = extraction(folder, name)
    gathered.fill()
    files = {part: vector_files(str(folder / name / part)) for part in PARTS}
    computed = gathered.write(files)["vectors_computed"]
    twice = sum(count > 1 for count in keys_stored(folder, name).values())
    hashes = {Path(each).name: sha256_of_file(each) for names in files.values() for each in names}
    return hashes, int(computed), twice


def main() -> int:
    """Describe in each number of shards; say what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=10)
    for option in ("--folder", "--name"):
        parser.add_argument(option, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--shard", type=int, nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    row_store.SECONDS = 1.0  # as much is lost by a kill here as in ten times as long a run
    if asked.shard:
        begun = extraction(asked.folder, asked.name)
        print("begun", flush=True)
        begun.fill(*asked.shard)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        draw(folder, asked.pictures)
        whole, _, _ = describe(folder, "whole", 1, 0)
        right = True
        for shards in SHARDS:
            print(f"{shards} shards, {asked.kills} kills", flush=True)
            began = time.monotonic()
            hashes, computed, twice = describe(folder, f"in-{shards}", shards, asked.kills)
            same = hashes == whole and not twice and not computed
            print(f"  {'equal bytes' if hashes == whole else 'OTHER BYTES'}, {twice} pictures "
                  f"stored twice, {computed} left to the gatherer, "
                  f"{time.monotonic() - began:.0f} s")  # fmt: skip
            right = right and same
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
