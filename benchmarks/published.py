"""The published way: what the experiment that Gallerist generalises did, written anew.

It stands for the code of a university competition entry (ten animal classes, ResNet152 at 224
pixels), from its description alone; none of it is copied. What the description leaves open is
chosen in its favour, and noted. Nothing here is used outside the benchmarks.
"""

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gallerist.training.batches import Batches

if TYPE_CHECKING:
    import keras

Vectors = npt.NDArray[np.float32]

COPIES = 5
"""Augmented copies of one picture."""

EPOCHS, BATCH_SIZE, LEARNING_RATE = 10, 16, 1e-5


def feature_network(backbone: "keras.Model") -> "keras.Model":
    """The network that features come from: the classifier is cut off, the activations flattened."""
    import keras

    return keras.Model(backbone.input, keras.layers.Flatten()(backbone.output))


def extract(network: "keras.Model", paths: Sequence[Path]) -> Vectors:
    """One picture at a time through `predict`, which shows a progress bar for each.

    The bar goes nowhere: a terminal would only slow it down. network: as `feature_network` makes it
    from a ResNet, whose pictures are scaled by the mean of ImageNet.
    """
    import keras
    from keras.applications.resnet import preprocess_input

    _, height, width, _ = network.input_shape
    vectors = []
    for path in paths:
        picture = keras.utils.load_img(path, target_size=(height, width))
        pixels = preprocess_input(np.expand_dims(keras.utils.img_to_array(picture), axis=0))
        with contextlib.redirect_stdout(io.StringIO()):
            features = network.predict(pixels).flatten()
        vectors.append(features / np.linalg.norm(features))
    return np.array(vectors)


def generator() -> Any:
    """What draws and warps the augmented copies, with the published ranges."""
    import tensorflow as tf

    return tf.keras.preprocessing.image.ImageDataGenerator(
        rotation_range=40,
        width_shift_range=0.2,
        height_shift_range=0.2,
        shear_range=0.2,
        zoom_range=0.2,
        horizontal_flip=True,
        fill_mode="nearest",
    )


def augment(paths: Sequence[Path], folder: Path) -> None:
    """Write COPIES warped copies of each picture, as JPEG: quicker to write than PNG."""
    import keras

    drawn = generator()
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        pixels = keras.utils.img_to_array(keras.utils.load_img(path))
        copies = drawn.flow(
            pixels[None],
            batch_size=1,
            save_to_dir=folder,
            save_prefix=path.stem,
            save_format="jpeg",
        )
        for _ in range(COPIES):
            next(copies)


def read(paths: Sequence[Path], side: int) -> None:
    """Read pictures one by one as pixels of a square, as training from the files does."""
    import keras

    for path in paths:
        keras.utils.img_to_array(keras.utils.load_img(path, target_size=(side, side)))


def fit(
    network: "keras.Model", training: Batches, held_out: Batches, epochs: int, callback: Any
) -> dict[str, list[float]]:
    """Train the whole graph, frozen layers and all, for so many epochs; returns the curves."""
    import keras

    network.compile(
        keras.optimizers.Adam(LEARNING_RATE),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    history: dict[str, list[float]] = network.fit(
        _for_ever(training),
        steps_per_epoch=len(training),
        validation_data=_for_ever(held_out),
        validation_steps=len(held_out),
        epochs=epochs,
        callbacks=[callback],
        verbose=0,
    ).history
    return history


def _for_ever(batches: Batches) -> Iterator[Any]:
    for epoch in count(1):  # Keras takes nothing but a generator
        yield from batches.epoch(epoch)


def search(queries: Vectors, read_gallery: Callable[[], Vectors], k: int) -> npt.NDArray[np.intp]:
    """(queries, k) rows of the gallery, nearest first: for every query it is read and fitted anew.

    read_gallery: gives the gallery's vectors, from a file or from memory.
    """
    from sklearn.neighbors import NearestNeighbors

    answers = []
    for query in queries:
        neighbours = NearestNeighbors(n_neighbors=k, algorithm="brute", metric="euclidean")
        neighbours.fit(read_gallery())
        answers.append(neighbours.kneighbors(query[None], return_distance=False)[0])
    return np.array(answers)
