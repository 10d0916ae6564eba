"""Training: the frozen graph in every epoch, or once, with its rows kept on the disk."""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import published
from benchmarks.apart import apart
from benchmarks.machine import threads
from benchmarks.networks import SMALL, Measured, configured
from benchmarks.photos import photos
from benchmarks.rounds import ratio
from benchmarks.tables import Cell, Table
from gallerist.data.manifest import Manifest
from gallerist.data.preprocessing import Preprocessing

if TYPE_CHECKING:
    import keras

    from gallerist.training.batches import TrainingData

CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")
SEED = 99

PUBLISHED, OURS = "published: the whole graph", "Gallerist: rows of the frozen part"


@dataclass(frozen=True)
class Course:
    """One training. cache, whole: seconds. epochs: seconds of each. last: the last metrics."""

    cache: float | None
    epochs: list[float]
    whole: float
    last: dict[str, float]
    engine: str

    @property
    def later(self) -> float:
        """Seconds of an epoch after the first, in which what is computed is prepared too."""
        return median(self.epochs[1:])


@dataclass(frozen=True)
class Task:
    """What both ways train: the network, the pictures, and for how long."""

    measured: Measured
    training: Manifest
    held_out: Manifest
    epochs: int

    @property
    def data(self) -> "TrainingData":
        """The pictures as batches, in one order for both ways."""
        from gallerist.training.batches import TrainingData

        preprocessing = Preprocessing(self.measured.image_size)
        return TrainingData(self.training, self.held_out, preprocessing, published.BATCH_SIZE, SEED)


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    measured: Measured
    training: int
    held_out: int
    epochs: int

    @classmethod
    def of(cls, quick: bool) -> "Size":
        """The published network and number of epochs, with few pictures; or next to nothing."""
        if quick:
            return cls(SMALL, 32, 16, 3)
        return cls(Measured(), 96, 32, published.EPOCHS)


def measure(rounds: int, *, quick: bool = False) -> Table:
    """The published way and ours, in turn, each training in a process of its own."""
    courses: dict[str, list[Course]] = {PUBLISHED: [], OURS: []}
    for _ in range(rounds):
        for way, done in courses.items():
            arguments = [way, *(["--quick"] if quick else [])]
            done.append(Course(**apart("benchmarks.training", *arguments)))
    size = Size.of(quick)
    measured = size.measured
    return Table(
        "training",
        f"Training of {measured.backbone} at {measured.image_size} pixels",
        tuple(_row(way, courses, size.epochs) for way in courses),
        (
            f"{size.training} training and {size.held_out} held-out pictures, batches of "
            f"{published.BATCH_SIZE}, Adam, random weights; frozen before {measured.freeze_until}",
            "both ways take the same pictures in the same order; an epoch includes the held-out "
            "pictures; building the network is not counted, compiling it and the cache are",
            "the published way reads its pictures as Gallerist does, ahead of the network",
            f"the cache is made by {courses[OURS][-1].engine}",
            f"rounds, in turn: {rounds}; medians",
        ),
        {way: [vars(course) for course in done] for way, done in courses.items()},
    )


def _row(way: str, courses: dict[str, list[Course]], epochs: int) -> dict[str, Cell]:
    own, theirs = courses[way], courses[PUBLISHED]
    caches = [course.cache for course in own if course.cache is not None]
    return {
        "way": way,
        "cache, s": median(caches) if caches else None,
        "first epoch, s": median(course.epochs[0] for course in own),
        "later epoch, s": median(course.later for course in own),
        f"{epochs} epochs in all, s": median(course.whole for course in own),
        "times, later epoch": ratio([c.later for c in theirs], [c.later for c in own]),
        "times, in all": ratio([c.whole for c in theirs], [c.whole for c in own]),
        **{f"last {curve}": f"{own[-1].last[curve]:.5g}" for curve in CURVES},
    }


def as_published(task: Task) -> Course:
    """Keras's `fit` on the network as it is, from picture files in every epoch."""
    import keras

    network = task.measured.build()
    moments: list[float] = []
    clock = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: moments.append(time.perf_counter()),
        on_train_end=lambda logs: moments.append(time.perf_counter()),
    )
    started = time.perf_counter()
    training_batches, validation_batches = task.data.pictures(threads())
    history = published.fit(network, training_batches, validation_batches, task.epochs, clock)
    whole = time.perf_counter() - started
    seconds = [end - begin for begin, end in pairwise(moments)]
    last = {curve: float(history[curve][-1]) for curve in CURVES}
    return Course(None, seconds, whole, last, "TensorFlow")


def with_kept_rows(task: Task) -> Course:
    """What the rules extract_trunk and train_network do."""
    from gallerist.networks.tensorflow_inference import compile_network
    from gallerist.networks.trunk import Halves
    from gallerist.networks.trunk_rows import TrunkRows
    from gallerist.training import loop as training
    from gallerist.training.checkpoint import Checkpoint

    network = task.measured.build()
    with tempfile.TemporaryDirectory(prefix="gallerist-benchmark-") as name:
        started = time.perf_counter()
        forward = compile_network(Halves(network).trunk(), threads=threads())
        layers = FrozenLayers(network, forward, task.data.preprocessing)
        rows = TrunkRows(layers, Path(name) / "rows")
        rows.fill(task.training, task.held_out)
        cached = time.perf_counter()
        trained = training.train(
            Halves(network).after_trunk(),
            *task.data.rows(layers.model, rows),
            settings=schedule(task.epochs),
            checkpoint=Checkpoint(Path(name) / "checkpoint.npz", "this training"),
        )
        whole = time.perf_counter() - started
    history = trained.history
    seconds = [row["epoch_seconds"] for row in history]
    last = {curve: history[-1][curve] for curve in CURVES}
    return Course(cached - started, seconds, whole, last, forward.name)


def schedule(epochs: int) -> Any:
    """The published one, to the last epoch."""
    from gallerist.settings.networks import Trained

    return Trained(
        epochs=epochs,
        batch_size=published.BATCH_SIZE,
        learning_rate=published.LEARNING_RATE,
        early_stopping=None,
        reduce_learning_rate=None,
        restore_best_weights=False,
        seed=SEED,
    )


class FrozenLayers:
    """The frozen layers of a network that is in memory, in place of `trunk_rows.Trunk`."""

    dtype = "float32"

    def __init__(self, network: "keras.Model", forward: Any, preprocessing: Any) -> None:
        from gallerist.networks.trunk import Halves

        self.forward, self.pictures = forward, preprocessing
        self.model, self.preprocessing = Halves(network).identity, preprocessing.sha256
        self.length = Halves(network).cut.values
        self.identity = [self.model, self.preprocessing]

    def batches(self, pictures: Any) -> Iterator[Any]:
        """Rows of pictures, a batch at a time."""
        from gallerist.data.preprocessing import decode_ahead

        return self.forward.stream(decode_ahead(pictures, self.pictures, threads=threads()))


def main() -> None:
    """Train once in this process, and print the course as JSON."""
    ways = {PUBLISHED: as_published, OURS: with_kept_rows}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training")
    parser.add_argument("way", choices=ways)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    size = Size.of(asked.quick)
    configured()
    with ExitStack() as stack:
        training = stack.enter_context(photos(size.training)).manifest("training")
        held_out = stack.enter_context(photos(size.held_out, part="query")).manifest("validation")
        course = ways[asked.way](Task(size.measured, training, held_out, size.epochs))
    print(json.dumps(vars(course)))


if __name__ == "__main__":
    main()
