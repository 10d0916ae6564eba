"""Augmentation with the published ranges: the warp alone, and from file to file."""

import tempfile
from functools import partial
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from benchmarks import published
from benchmarks.machine import threads
from benchmarks.photos import Photos, photos
from benchmarks.rounds import Way, compared
from benchmarks.tables import Table
from gallerist.data.augmentation import apply, augment, draw_warp
from gallerist.data.preprocessing import Preprocessing
from gallerist.settings.augmentation import Augmentation

SETTINGS = Augmentation(copies=published.COPIES)
SEED = 99


def measure(rounds: int, *, quick: bool = False) -> Table:
    """Keras's generator, which warps with scipy, and ours, which warps with OpenCV."""
    with photos(4 if quick else 48) as pictures, tempfile.TemporaryDirectory() as folder:
        ways = {
            **_warps(pictures, 250),
            **_warps(pictures, 224),
            **_from_file_to_file(pictures, Path(folder)),
        }
        return compared(
            "augmentation",
            f"Augmentation of {pictures.source}",
            ways,
            rounds,
            item=("copy", "copies"),
            notes=(
                "warp alone: on one thread, the draw included; files: read, decoded, warped, "
                f"encoded and written, {published.COPIES} copies a picture",
                "the published way writes JPEG, Gallerist PNG, which loses nothing and takes "
                "longer; Gallerist also computes each copy's perceptual hash",
            ),
        )


def _warps(pictures: Photos, side: int) -> dict[str, Way]:
    drawn = published.generator()
    preprocessing = Preprocessing(side)
    pixels = [preprocessing.load(path) for path in pictures.paths]
    floats = [each.astype(np.float32) for each in pixels]

    def keras_warps() -> None:
        for each in floats:
            drawn.random_transform(each)

    def our_warps() -> None:
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        for row, each in enumerate(pixels):
            apply(
                each,
                draw_warp(SETTINGS, seed=SEED, picture_id=f"{row:016x}", copy=1),
                SETTINGS.fill,
            )
        cv2.setNumThreads(before)

    theirs = f"published, warp alone at {side}"
    against = {"times the published": theirs}
    return {
        theirs: Way(keras_warps, len(pixels), against),
        f"Gallerist, warp alone at {side}": Way(our_warps, len(pixels), against),
    }


def _from_file_to_file(pictures: Photos, folder: Path) -> dict[str, Way]:
    manifest = pictures.manifest("training")
    copies = published.COPIES * len(manifest)
    # A new one each time: file systems make sure of a file's content before they replace it.
    folders = (folder / str(number) for number in count())

    def ours(at_once: int) -> None:
        augment(
            manifest,
            next(folders),
            SETTINGS,
            threads=at_once,
        )

    theirs = "published, files"
    against = {"times the published": theirs}
    return {
        theirs: Way(lambda: published.augment(pictures.paths, next(folders)), copies, against),
        "Gallerist, files, 1 thread": Way(partial(ours, 1), copies, against),
        f"Gallerist, files, {threads()} threads": Way(partial(ours, threads()), copies, against),
    }
