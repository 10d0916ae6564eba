"""Augmentation with the published ranges: the warp alone, and from files to a network's input."""

import tempfile
from collections.abc import Callable
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
from gallerist.data.augmentation import augment, draw_warp, write_copies
from gallerist.data.manifest import Manifest
from gallerist.data.preprocessing import Preprocessing, decode_ahead
from gallerist.data.warping import apply
from gallerist.settings.augmentation import Augmentation

SETTINGS = Augmentation(copies=published.COPIES)
SEED = 99
READ_SIDE = 224
"""Pixels a side of what the network reads."""


def measure(rounds: int, *, quick: bool = False) -> Table:
    """Keras's generator, which warps with scipy, and ours, which warps with OpenCV."""
    with photos(4 if quick else 48) as pictures, tempfile.TemporaryDirectory() as folder:
        ways = {
            **_warps(pictures, 250),
            **_warps(pictures, 224),
            **_from_files_to_a_network(pictures, Path(folder)),
        }
        return compared(
            "augmentation",
            f"Augmentation of {pictures.source}",
            ways,
            rounds,
            item=("copy", "copies"),
            notes=(
                "warp alone: on one thread, the draw included",
                f"published, files: {published.COPIES} copies a picture decoded, warped, written "
                f"as JPEG, then read as a network of {READ_SIDE} pixels does",
                "Gallerist, recipes: drawn and listed, then warped where the network reads; files: "
                "written as BMP, which loses nothing, and read",
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
        for row, each in enumerate(pixels):
            warp = draw_warp(SETTINGS, seed=SEED, picture_id=f"{row:016x}", copy=1)
            apply(each, warp, SETTINGS.fill)

    theirs = f"published, warp alone at {side}"
    against = {"times the published": theirs}
    return {
        theirs: Way(keras_warps, len(pixels), against),
        f"Gallerist, warp alone at {side}": Way(_alone(our_warps), len(pixels), against),
    }


def _from_files_to_a_network(pictures: Photos, folder: Path) -> dict[str, Way]:
    """Each ends with the pixels of every copy as a network reads them, once."""
    manifest, preprocessing = pictures.manifest("training"), Preprocessing(READ_SIDE)
    copies = published.COPIES * len(manifest)
    # A new one each time: file systems make sure of a file's content before they replace it.
    folders = (folder / str(number) for number in count())

    def theirs() -> None:
        target = next(folders)
        published.augment(pictures.paths, target)
        published.read(sorted(target.iterdir()), READ_SIDE)

    def ours(at_once: int, *, files: bool = False) -> None:
        target = next(folders)
        listed = augment(manifest, SETTINGS)
        if files:
            listed = write_copies(listed, target / "copies", threads=at_once)
        listed.write(target / "copies.csv")
        read = Manifest.read(target / "copies.csv").pictures
        for _ in decode_ahead(read, preprocessing, threads=at_once):
            pass

    slow = "published, files"
    against = {"times the published": slow}
    return {
        slow: Way(theirs, copies, against),
        "Gallerist, recipes, 1 thread": Way(_alone(partial(ours, 1)), copies, against),
        "Gallerist, files, 1 thread": Way(_alone(partial(ours, 1, files=True)), copies, against),
        f"Gallerist, recipes, {threads()} threads": Way(partial(ours, threads()), copies, against),
    }


def _alone(work: Callable[[], None]) -> Callable[[], None]:
    """The same work without OpenCV's own threads."""

    def run() -> None:
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        work()
        cv2.setNumThreads(before)

    return run
