"""Resizing: what squeezing, cropping and padding do to pictures three times as long as wide.

    PYTHONPATH=scripts:. python -m benchmarks.resizing WEIGHTS.h5

From the middle of every photo a box of aspect 1:3 is cut, upright or lying by a seeded throw, and
described by MobileNetV2 with average pooling; gallery and queries are searched by cosine.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.machine import threads
from benchmarks.photos import PHOTOS
from gallerist.data.preprocessing import Preprocessing
from gallerist.data.resizing import Resizing
from gallerist.features.network import NetworkExtractor
from gallerist.features.store import normalise
from gallerist.io.arrays import Vectors

SIZE, SEED = 224, 1

WAYS: tuple[tuple[str, Resizing, float | None], ...] = (
    ("squeeze", "squeeze", None),
    ("crop, ratio .875", "crop", None),
    ("crop, ratio 1", "crop", 1.0),
    ("pad", "pad", None),
)


def main(weights: str) -> None:
    """Print the table, in Markdown."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryDirectory(prefix="gallerist-benchmark-") as name:
        folder = Path(name)
        _store(folder, weights)
        print("| resizing | top-1, photos | top-1, 1:3 | mAP, photos | mAP, 1:3 |")
        print("|---|---|---|---|---|")
        sets = {"square": _pictures(folder, cut=False), "cut": _pictures(folder, cut=True)}
        for label, resizing, ratio in WAYS:
            Preprocessing(SIZE, resizing=resizing, crop_ratio=ratio).write(folder / "p.json")
            found = [_accuracy(folder, *each) for each in sets.values()]
            cells = [f"{scores[place]:.3f}" for place in (0, 1) for scores in found]
            print(f"| {label} | {' | '.join(cells)} |", flush=True)


def _store(folder: Path, weights: str) -> None:
    from gallerist.networks.architectures import Head, Transfer
    from gallerist.training.loop import save

    head = Head("standard", dropout=0.1, dropout_seed=1, l1=0.0, l2=0.0)
    network = Transfer("MobileNetV2", SIZE, "everything", "avg", head).build(10, weights)
    save(network, folder / "model.keras")


def _pictures(folder: Path, *, cut: bool) -> tuple[list[Path], list[Path]]:
    """Gallery and queries: the photos themselves, or boxes of aspect 1:3 of their middles."""
    random, parts = np.random.default_rng(SEED), []
    for part in ("gallery", "query"):
        files = sorted(path for path in (PHOTOS / "validation" / part).rglob("*") if path.is_file())
        parts.append([_cut(file, folder / "cut", random) for file in files] if cut else files)
    return parts[0], parts[1]


def _cut(file: Path, folder: Path, random: np.random.Generator) -> Path:
    image = Image.open(file).convert("RGB")
    long, lying = min(image.size), bool(random.integers(2))
    width, height = (long, long // 3) if lying else (long // 3, long)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    target = folder / file.parent.parent.name / file.parent.name / f"{file.stem}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    image.crop((left, top, left + width, top + height)).save(target)
    return target


def _accuracy(folder: Path, gallery: list[Path], queries: list[Path]) -> tuple[float, float]:
    """Top-1, and mean average precision over the whole gallery."""
    found = NetworkExtractor(folder / "model.keras", folder / "p.json", threads=threads())

    def vectors(paths: list[Path]) -> Vectors:
        return normalise(np.concatenate([*found.batches(paths)]))

    order = np.argsort(-(vectors(queries) @ vectors(gallery).T), axis=1, kind="stable")
    labels = np.array([path.parent.name for path in gallery])
    asked = np.array([path.parent.name for path in queries])
    right = labels[order] == asked[:, None]
    precision = right.cumsum(axis=1) / np.arange(1, right.shape[1] + 1)
    average = (precision * right).sum(axis=1) / right.sum(axis=1)
    return float(right[:, 0].mean()), float(average.mean())


if __name__ == "__main__":
    main(sys.argv[1])
