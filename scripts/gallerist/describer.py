"""A trained network as a describer: picture files in, vectors of length 1 out."""

import logging
import os
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import tensorflow as tf

from gallerist.features import Features, Vectors, normalise
from gallerist.files import PathLike, sha256_of_file
from gallerist.network import without_head
from gallerist.preprocessing import Preprocessing
from gallerist.progress import Progress

logger = logging.getLogger("gallerist")


class ModelRefused(ValueError):
    """A model file cannot be read, or is not a network that `training.save` stored."""


class Describer:
    """A trained network without its head, ready to describe files.

    model, preprocessing: SHA-256 of the model file and of the preprocessing settings.
    """

    def __init__(self, model: PathLike, preprocessing: PathLike, *, threads: int) -> None:
        """Load a `.keras` file (without executing anything stored in it) and its preprocessing.

        Raises ModelRefused naming the file when it is damaged or holds something else.
        """
        self.preprocessing = Preprocessing.read(preprocessing)
        self.model_sha256 = sha256_of_file(model)
        self.network = _headless(model)
        self.threads = threads
        size = self.preprocessing.image_size
        self._forward = tf.function(
            lambda pixels: self.network(pixels, training=False),
            input_signature=[tf.TensorSpec((None, size, size, 3), tf.uint8)],
        )

    def describe(self, paths: Sequence[PathLike], *, batch_size: int = 32) -> Vectors:
        """(n, d) float32 rows of length 1, in the order of `paths`.

        The next batch is decoded while the network works on this one.
        Raises `images.BadImage` naming the file that cannot be decoded.
        """
        if not paths:
            return np.empty((0, self.network.output_shape[-1]), np.float32)
        batches = [paths[start : start + batch_size] for start in range(0, len(paths), batch_size)]
        progress = Progress("images", len(paths))
        rows: list[Vectors] = []
        with ThreadPoolExecutor(self.threads) as readers, ThreadPoolExecutor(1) as ahead:
            upcoming = ahead.submit(self.preprocessing.load_batch, batches[0], readers)
            for number in range(len(batches)):
                pixels = upcoming.result()
                if number + 1 < len(batches):
                    upcoming = ahead.submit(
                        self.preprocessing.load_batch, batches[number + 1], readers
                    )
                rows.append(normalise(self._forward(pixels).numpy()))
                progress.advance(len(pixels))
        return np.concatenate(rows)

    def features(
        self, paths: Sequence[PathLike], ids: Sequence[str], *, batch_size: int = 32
    ) -> Features:
        """Describe files and tie the vectors to their ids and origin."""
        vectors = self.describe(paths, batch_size=batch_size)
        empty = int((~vectors.any(axis=1)).sum())
        if empty:
            logger.warning("%d of %d pictures have an all-zero feature vector", empty, len(ids))
        return Features(vectors, tuple(ids), self.model_sha256, self.preprocessing.sha256)


def _headless(model: PathLike) -> keras.Model:
    try:
        if not zipfile.is_zipfile(model):  # Keras would call it "not found"
            raise ValueError("not a whole .keras file")
        return without_head(keras.models.load_model(os.fspath(model), compile=False))
    except Exception as error:  # Keras raises everything from KeyError to BadZipFile
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelRefused(
            f"{os.fspath(model)} cannot be read as a trained network ({reason}). "
            "Remove it and train it again."
        ) from error
