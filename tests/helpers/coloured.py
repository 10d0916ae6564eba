"""Small pictures whose class is their colour, and a network that can learn it."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import cv2
import keras
import numpy as np

from gallerist.data.manifest import Manifest, Picture
from gallerist.data.preprocessing import Preprocessing
from gallerist.networks.architectures import Head
from gallerist.training.batches import ImageBatches, targets_of

SIDE = 16
PREPROCESSING = Preprocessing(SIDE)
CLASSES = ("blue", "green", "red")  # OpenCV's order of channels


def drawn(folder, part, per_class, contrast=120):
    """Noisy pictures, each of one colour, which is its class; as a manifest."""
    random = np.random.default_rng(len(part))
    rows = []
    for number in range(3 * per_class):
        pixels = random.integers(0, 90, (20, 24, 3), dtype=np.uint8)
        pixels[..., number % 3] += contrast
        path = folder / f"{part}-{number}.png"
        assert cv2.imwrite(str(path), pixels)
        name = f"{part}{number:03}"
        rows.append(Picture(name, str(path), CLASSES[number % 3], part, name, 24, 20, "0" * 16))
    return Manifest(tuple(rows))


def loaded(manifest):
    """All pixels and class indices, read one by one."""
    pixels = np.stack([PREPROCESSING.load(path) for path in manifest.paths])
    return pixels, np.array([CLASSES.index(label) for label in manifest.labels])


def image_batches(manifest, batch_size, seed, classes=CLASSES, preprocessing=PREPROCESSING):
    """Batches of the pictures, read by two threads."""
    targets = targets_of(manifest, classes)
    return ImageBatches(manifest.paths, targets, preprocessing, batch_size, 2, seed)


def network(seed=1, head=None, model=keras.Model):
    """Averages of 4 x 4 pixels and a softmax over them."""
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(pixels)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(x))
    head = head or Head("standard", 0.0, 1, 0.0, 0.0)
    return model(pixels, head.attach(x, 3))
