"""How each stage grows with the gallery: processor seconds, memory and bytes, of real runs.

    python -m benchmarks.scale FOLDER --pictures 10000 100000 1000000

Draws a gallery of so many small pictures (seeded, ten classes), runs the workflow on it with a
descriptor and a small network, and reads what Snakemake measured of every job: nothing of the
library is called, so that the figures are those of a user. docs/scale.md rests on them.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import yaml

from benchmarks.machine import Machine
from benchmarks.tables import Cell, Table

CHECKOUT = Path(__file__).resolve().parents[1]
CLASSES = 10
SIDE = 64
"""Pixels of a picture's side."""

QUERIES, TRAINING = 1000, 1000
"""Pictures of these parts, whatever the gallery has."""

BESIDE = "beside the jobs"
"""Snakemake itself, which looks once into each file of a new folder; MLflow's writer; the end of
each job, and all of short ones, of which Snakemake sees nothing."""

A_FOLDER = 1000
"""Pictures in one folder: ten folders of a class for 10^5 pictures."""

CONFIG = {
    "augmentation": {"copies": 0},
    "experiments": {
        "colour": {"descriptor": "colour_histogram"},
        "small": {
            "network": "scratch",
            "image_size": 64,
            "padding": "same",
            "head": "standard",
            "epochs": 1,
        },
    },
    "search": {"depth": 100},
    "evaluation": {
        "k": [1, 10],
        "bootstrap_rounds": 1000,
        "strips_drawn": 2,
        "explanations": ["map"],
    },
    "challenge": None,
}


@dataclass(frozen=True)
class Used:
    """What all jobs of a rule took."""

    processor_seconds: float = 0.0
    megabytes: float = 0.0
    """Of the job that took most."""

    def __add__(self, other: "Used") -> "Used":
        return Used(
            self.processor_seconds + other.processor_seconds, max(self.megabytes, other.megabytes)
        )


def draw_gallery(folder: Path, pictures: int) -> None:
    """Draw all parts: blots of eight by eight colours about the colour of the class, as JPEG."""
    parts = {"training": TRAINING, "validation/query": QUERIES, "validation/gallery": pictures}
    for seed, (part, count) in enumerate(parts.items()):
        with ThreadPoolExecutor() as threads:
            list(threads.map(partial(_draw, folder / part, seed), range(count)))


def _draw(folder: Path, seed: int, number: int) -> None:
    random = np.random.default_rng([seed, number])
    label, place = number % CLASSES, number // CLASSES
    centre = np.array([label * 25, 255 - label * 25, (label * 70) % 255])
    small = np.clip(random.normal(centre, 60, (8, 8, 3)), 0, 255).astype(np.uint8)
    pixels = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    path = folder / f"class{label}" / f"{place // A_FOLDER:04d}" / f"{number}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


def run(folder: Path, pictures: int, cores: int) -> dict[str, Used]:
    """Draw and run everything in `folder`; what each rule took, and the workflow beside them."""
    if not (folder / "pictures").is_dir():
        draw_gallery(folder / "pictures", pictures)
    config = {"dataset": {"name": "many", "folder": "pictures", "layout": "tree"}, **CONFIG}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--snakefile", CHECKOUT / "Snakefile"]
    command += ["--directory", folder, "--configfile", folder / "config.yaml", "--quiet", "all"]
    before = _processor_seconds()
    subprocess.run([*map(str, command), "--cores", str(cores)], check=True)
    used = used_in(folder / "results/many")
    jobs = sum(each.processor_seconds for each in used.values())
    # A folder that is finished already is only looked at.
    return used | {BESIDE: Used(max(0.0, _processor_seconds() - before - jobs))}


def _processor_seconds() -> float:
    """Of all processes that this one has started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def used_in(results: Path) -> dict[str, Used]:
    """Rule -> what its jobs took, by the benchmark files of a finished run."""
    found: dict[str, Used] = defaultdict(Used)
    for path in (results / "benchmarks").rglob("*.tsv"):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                rule = path.relative_to(results / "benchmarks").parts[0].removesuffix(".tsv")
                found[rule] += Used(_number(row["cpu_time"]), _number(row["max_rss"]))
    return dict(found)


def _number(text: str) -> float:
    """Of a job that was too short to be measured Snakemake writes NA or a dash."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def bytes_in(results: Path) -> dict[str, int]:
    """Folder of the results -> bytes of what is in it."""
    found: dict[str, int] = defaultdict(int)
    for path in results.rglob("*"):
        if path.is_file():
            found[path.relative_to(results).parts[0]] += path.stat().st_size
    return dict(found)


def slope(sizes: list[int], figures: list[float]) -> float:
    """What a million pictures add, by the two largest sizes; of one size that figure alone."""
    if len(sizes) < 2:
        return figures[-1] * 1e6 / sizes[-1]
    return (figures[-1] - figures[-2]) * 1e6 / (sizes[-1] - sizes[-2])


def table(measured: dict[int, tuple[dict[str, Used], dict[str, int]]]) -> Table:
    """A row a stage: processor seconds and megabytes at each size, and what a million adds."""
    sizes = sorted(measured)
    rows: list[dict[str, Cell]] = []
    for rule in sorted({rule for used, _ in measured.values() for rule in used}):
        each = [measured[size][0].get(rule, Used()) for size in sizes]
        row: dict[str, Cell] = {"stage": rule}
        row |= {f"s, {n:,}": used.processor_seconds for n, used in zip(sizes, each, strict=True)}
        row["s a million"] = slope(sizes, [used.processor_seconds for used in each])
        row |= {f"MB, {n:,}": used.megabytes for n, used in zip(sizes, each, strict=True)}
        row["MB a million"] = slope(sizes, [used.megabytes for used in each])
        rows.append(row)
    for name in sorted({name for _, held in measured.values() for name in held}):
        held = [measured[size][1].get(name, 0) / 1e6 for size in sizes]
        row = {"stage": f"{name}/ on disk"}
        row |= {f"MB, {n:,}": size for n, size in zip(sizes, held, strict=True)}
        row["MB a million"] = slope(sizes, held)
        rows.append(row)
    return Table("scale", "What each stage takes as the gallery grows", tuple(rows))


def main() -> None:
    """Measure what is asked for, one size after the other, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("folder", type=Path, help="of the pictures and results: 20 kB a picture")
    parser.add_argument("--pictures", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    machine = Machine.here()
    measured = {}
    for pictures in sorted(asked.pictures):
        folder = (asked.folder / str(pictures)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        used = run(folder, pictures, asked.cores)
        print(f"{pictures:,} pictures: {time.monotonic() - began:.0f} s", flush=True)
        measured[pictures] = (used, bytes_in(folder / "results/many"))
        text = json.dumps({name: vars(each) for name, each in used.items()}, indent=2)
        (folder / "used.json").write_text(text, encoding="utf-8")
    found = table(measured)
    print(found.markdown(machine), f"\n{found.write(asked.folder, machine)}")


if __name__ == "__main__":
    main()
