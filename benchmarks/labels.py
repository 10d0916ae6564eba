"""Doubtful labels: of labels that are made wrong on purpose, how many are found, beside chance."""

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.photos import PHOTOS
from benchmarks.serving import CHECKOUT
from benchmarks.tables import Cell, Table
from gallerist.data.manifest import Manifest
from gallerist.evaluation import doubtful_labels as doubting
from gallerist.evaluation.doubtful_labels import NEIGHBOURS, Judged, find_doubts
from gallerist.features.store import read_sets
from gallerist.io.arrays import Integers
from gallerist.search.nearest_others import nearest_others

SHARE = 0.05
"""Of the labels, that are made wrong."""

LITE2 = {
    **{"network": "transfer", "backbone": "EfficientNetLite2", "weights": "imagenet"},
    **{"freeze_until": "everything", "trunk_cache": False, "pooling": "avg", "image_size": 260},
    **{"head": "standard", "l1": 0, "l2": 0, "epochs": 0, "augmented": False},
}
"""As ImageNet left it."""

PARTS = ("query", "gallery")

EXPERIMENTS: Mapping[str, Mapping[str, Any]] = {"lite2": LITE2, "hog": {"descriptor": "hog"}}


def measure(rounds: int, *, quick: bool = False) -> Table:
    """A row for the vectors of each experiment. quick: the tiny data set, without the network."""
    with tempfile.TemporaryDirectory(prefix="gallerist-benchmark-") as folder:
        workflow, experiments = _finished(Path(folder) / "gallerist", quick=quick)
        parts = [Manifest.read(workflow.results / f"manifests/{each}.csv") for each in PARTS]
        judged = doubting.judged_pictures(parts, 4, 99, doubting.MOST)
        rows = [
            {
                "vectors": name,
                **found_of(judged, _neighbours(workflow.results, name, judged), rounds),
            }
            for name in experiments
        ]
    return Table(
        "labels",
        f"{SHARE:.0%} of {len(judged.pictures)} labels made wrong at random, {rounds} times",
        tuple(rows),
        notes=(
            "Means of all times. Each wrong label is another class, drawn by seed.",
            "By chance: as many pictures drawn as were doubted.",
            f"Where neighbours agree with fewer than {doubting.LEAST_AGREEMENT:.0%} of the labels "
            "nothing is doubted; what would be is in the columns all the same.",
        ),
    )


def _finished(folder: Path, *, quick: bool) -> tuple[Any, list[str]]:
    """A run with the vectors, and the experiments that have them."""
    sys.path.append(str(CHECKOUT / "tests/helpers"))
    from tiny_workflow import CONFIG, Workflow

    experiments = {name: EXPERIMENTS[name] for name in (["hog"] if quick else EXPERIMENTS)}
    if quick:
        workflow = Workflow(folder, {**CONFIG, "experiments": experiments})
    else:
        config = {
            "dataset": {"name": "monkeys", "folder": str(PHOTOS)},
            "augmentation": {"copies": 0},
            "experiments": experiments,
            "challenge": None,
            "evaluation": {"explanations": []},
        }
        workflow = Workflow(folder, config, counts=None)
    workflow.run_command("compare_experiments", timeout=3600)
    return workflow, [*experiments]


def _neighbours(results: Path, experiment: str, judged: Judged) -> Integers:
    ends = ("npy", "ids.csv", "origin.json")
    files = [results / f"features/{experiment}/{part}.{end}" for part in PARTS for end in ends]
    ids = [judged.ids(part) for part in PARTS]
    pairs = [*zip(read_sets(files), ids, strict=True)]
    return nearest_others(pairs, judged.groups, NEIGHBOURS)


def found_of(judged: Judged, neighbours: Integers, rounds: int) -> dict[str, Cell]:
    """What is found, on average. The share that has to agree is not asked for."""
    true = np.array(judged.labels)
    figures: list[dict[str, float]] = []
    for seed in range(rounds):
        flipped = _flipped(true, seed)
        wrong = flipped != true
        pictures = [
            replace(picture, label=str(label))
            for picture, label in zip(judged.pictures, flipped, strict=True)
        ]
        doubts = find_doubts(Judged(pictures, judged.groups), {"one": neighbours}, agreement=0.0)
        row_of = {picture.id: row for row, picture in enumerate(pictures)}
        rows = [row_of[each.picture] for each in doubts.found]
        right = [each.suggested == true[row_of[each.picture]] for each in doubts.found]
        found = wrong[rows].sum()
        figures.append(
            {
                "agreement": doubts.agreement["one"],
                "doubted": len(rows),
                "precision": found / max(1, len(rows)),
                "by chance": SHARE,
                "recall": found / wrong.sum(),
                "by chance ": len(rows) / len(true),
                "right class": sum(right) / max(1, int(found)),
            }
        )
    return {name: round(mean(float(each[name]) for each in figures), 3) for name in figures[0]}


def _flipped(labels: Any, seed: int) -> Any:
    """The labels, of which a share is another class."""
    random = np.random.default_rng(seed)
    names, codes = np.unique(labels, return_inverse=True)
    chosen = random.choice(len(codes), round(SHARE * len(codes)), replace=False)
    codes[chosen] = (codes[chosen] + random.integers(1, len(names), len(chosen))) % len(names)
    return names[codes]
