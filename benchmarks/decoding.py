"""From a file to the pixels that a network sees: reading, decoding, checking and resizing."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.photos import photos
from benchmarks.rounds import Way, compared
from benchmarks.tables import Table
from gallerist.data.preprocessing import Preprocessing

IMAGE_SIZE = 224


def measure(rounds: int, *, quick: bool = False) -> Table:
    """OpenCV alone, Keras and ours, one picture after the other on one thread."""
    import keras

    count = 8 if quick else 300
    preprocessing = Preprocessing(IMAGE_SIZE)
    with photos(count) as pictures:
        paths = pictures.paths

        def in_keras() -> None:
            for path in paths:
                size = (IMAGE_SIZE, IMAGE_SIZE)
                keras.utils.img_to_array(keras.utils.load_img(path, target_size=size))

        against = {"times Keras": "Keras load_img", "times OpenCV": "OpenCV alone"}
        ways = {
            "Keras load_img": Way(in_keras, count, against),
            "OpenCV alone": Way(lambda: [in_opencv(path) for path in paths], count, against),
            "Gallerist": Way(lambda: [preprocessing.load(path) for path in paths], count, against),
        }
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            return compared(
                "decoding",
                f"Reading {pictures.source} as {IMAGE_SIZE} x {IMAGE_SIZE} pixels, one thread",
                ways,
                rounds,
                item=("picture", "pictures"),
                notes=(
                    "Gallerist turns pictures upright, lays transparent ones on white, and refuses "
                    "those that are cut short; OpenCV shows the rest of those grey. Keras takes "
                    "the nearest pixel; the others average",
                ),
            )
        finally:
            cv2.setNumThreads(before)


def in_opencv(path: Path) -> npt.NDArray[np.uint8]:
    """Read and resize as one would with nothing but OpenCV."""
    pixels = cv2.imread(str(path))
    size = (IMAGE_SIZE, IMAGE_SIZE)
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(resized, cv2.COLOR_BGR2RGB), np.uint8)
