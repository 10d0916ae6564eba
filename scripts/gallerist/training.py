"""Training a network on the training pictures, watched on the held-out ones."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from gallerist.files import PathLike, replacing
from gallerist.manifest import Manifest
from gallerist.preprocessing import Preprocessing
from gallerist.progress import Progress
from gallerist.training_history import CURVES, Training

logger = logging.getLogger("gallerist")

EpochReport = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    epochs: at most so many; 0 leaves the network as it was built.
    early_stopping: {min_delta, patience} on the validation loss, or None.
    reduce_learning_rate: {factor, patience} on the validation loss, or None.
    restore_best_weights: keep the weights of the epoch with the least validation loss.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    early_stopping: Mapping[str, float] | None
    reduce_learning_rate: Mapping[str, float] | None
    restore_best_weights: bool
    seed: int

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Schedule":
        """The schedule part of a completed experiment of the configuration."""
        return cls(**{name: settings[name] for name in cls.__dataclass_fields__})


class ImageBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of (pixels uint8, class index) read from files while the network computes.

    The order of an epoch depends on `seed` and the number of the epoch alone.
    """

    def __init__(
        self,
        images: Manifest,
        classes: list[str],
        preprocessing: Preprocessing,
        batch_size: int,
        threads: int,
        seed: int | None,
    ) -> None:
        """seed: of the shuffling; None keeps the manifest's order."""
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=4)
        position = {name: index for index, name in enumerate(classes)}
        self.paths = images.paths
        self.targets = np.array([position[label] for label in images.labels], dtype=np.int32)
        self.preprocessing, self.batch_size, self.seed = preprocessing, batch_size, seed
        self.pool = ThreadPoolExecutor(threads)
        self.epoch = 0
        self.order = self._draw_order()
        self.failure: Exception | None = None

    def __len__(self) -> int:
        return -(-len(self.paths) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
        """Batch `index` of this epoch; the last one may be smaller."""
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        try:
            pixels = self.preprocessing.load_batch([self.paths[row] for row in rows], self.pool)
        except Exception as error:
            self.failure = error
            raise
        return pixels, self.targets[rows]

    def on_epoch_end(self) -> None:
        """Draw the next epoch's order."""
        self.epoch += 1
        self.order = self._draw_order()

    def _draw_order(self) -> npt.NDArray[np.intp]:
        if self.seed is None:
            return np.arange(len(self.paths))
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self.paths))


class _EpochLines(keras.callbacks.Callback):  # type: ignore[misc]
    """A log line an epoch, progress in between, and a call for live curves."""

    def __init__(self, epochs: int, images: int, batch_size: int, report: EpochReport) -> None:
        super().__init__()
        self.progress = Progress("training images", epochs * images)
        self.images, self.batch_size, self.epochs, self.report = images, batch_size, epochs, report
        self.rows: list[dict[str, float]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.began = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        left = self.images - batch * self.batch_size
        self.progress.advance(min(self.batch_size, left))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        row = {name: float(value) for name, value in (logs or {}).items() if name in CURVES}
        row["learning_rate"] = float(self.model.optimizer.learning_rate)
        row["epoch_seconds"] = time.monotonic() - self.began
        self.rows.append(row)
        values = ", ".join(f"{name} {value:.4g}" for name, value in row.items())
        logger.info("epoch %d of %d: %s", epoch + 1, self.epochs, values)
        self.report(epoch + 1, row)


def train(
    model: keras.Model,
    training: Manifest,
    validation: Manifest,
    *,
    preprocessing: Preprocessing,
    schedule: Schedule,
    threads: int,
    report: EpochReport = lambda epoch, row: None,
) -> Training:
    """Train `model` in place: Adam on the sparse categorical cross-entropy.

    Class i of the network is `training.classes[i]`. Validation pictures of a class that training
    lacks raise ValueError, a file that is no picture `images.BadImage`, which names it. `report` is
    called after every epoch, counted from 1.
    """
    classes = training.classes
    unknown = sorted(set(validation.classes) - set(classes))
    if unknown:
        raise ValueError(f"validation has classes that training lacks: {', '.join(unknown)}")
    if schedule.epochs == 0:
        return Training((), 0.0, len(training))
    model.compile(
        keras.optimizers.Adam(schedule.learning_rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    size = schedule.batch_size
    batches = ImageBatches(training, classes, preprocessing, size, threads, schedule.seed)
    held_out = ImageBatches(validation, classes, preprocessing, size, threads, None)
    lines = _EpochLines(schedule.epochs, len(training), size, report)
    started = time.monotonic()
    try:
        model.fit(
            batches,
            validation_data=held_out,
            epochs=schedule.epochs,
            shuffle=False,  # ImageBatches shuffles, by its own seed
            callbacks=[lines, *_callbacks(schedule)],
            verbose=0,
        )
    except Exception:
        # TensorFlow wraps what a reading thread raised into an error and pages of its own.
        if failure := batches.failure or held_out.failure:
            raise failure from None
        raise
    return Training(tuple(lines.rows), time.monotonic() - started, len(training))


def _callbacks(schedule: Schedule) -> list[keras.callbacks.Callback]:
    callbacks = []
    if schedule.reduce_learning_rate:
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau("val_loss", **schedule.reduce_learning_rate)
        )
    if schedule.early_stopping:
        callbacks.append(keras.callbacks.EarlyStopping("val_loss", **schedule.early_stopping))
    if schedule.restore_best_weights:
        # One of its own, which never stops: the other's best epoch is the last that improved by
        # min_delta, and later ones may be better.
        callbacks.append(
            keras.callbacks.EarlyStopping(
                "val_loss", patience=schedule.epochs, restore_best_weights=True
            )
        )
    return callbacks


def parameter_counts(model: keras.Model) -> dict[str, int]:
    """Numbers of weights: in all, and those that training changes."""
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    return {"parameters": int(model.count_params()), "parameters_trained": trainable}


def save(model: keras.Model, path: PathLike) -> None:
    """Store the network without its optimiser, whole or not at all."""
    with replacing(path) as temporary:
        keras.Model(model.inputs, model.outputs, name=model.name).save(os.fspath(temporary))
