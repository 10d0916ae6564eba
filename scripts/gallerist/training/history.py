"""What a training leaves behind: one row an epoch, and how long it took."""

import csv
from dataclasses import dataclass
from pathlib import Path

from gallerist.io.files import PathLike, write_csv

CURVES = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "epoch_seconds")
"""Columns of a history, beside the epoch."""

RETRIEVAL_CURVES = ("loss", "val_map_at_r", "val_top1", "learning_rate", "epoch_seconds")
"""Those of a training by a loss for retrieval."""


@dataclass(frozen=True)
class Training:
    """What came of it.

    history: one row an epoch, keys `CURVES` or `RETRIEVAL_CURVES`. seconds: of all epochs.
    images: of one epoch. resumed_epochs: how many of the epochs ran before the training was killed
    and went on.
    """

    history: tuple[dict[str, float], ...]
    seconds: float
    images: int
    resumed_epochs: int = 0

    @property
    def images_per_second(self) -> float:
        """Training images a second, validation included in the time; 0 when nothing was trained."""
        return self.images * len(self.history) / self.seconds if self.history else 0.0

    @property
    def last_epoch(self) -> dict[str, float]:
        """Its row of the history; empty when nothing was trained."""
        return self.history[-1] if self.history else {}

    def metrics(self) -> dict[str, float]:
        """What a record says of the whole training, by name."""
        return {
            "epochs_run": len(self.history),
            "epochs_resumed": self.resumed_epochs,
            "training_seconds": self.seconds,
            "images_per_second": self.images_per_second,
        }

    def write_history(self, path: PathLike) -> None:
        """Write as CSV, epochs counted from 1."""
        by_retrieval = any("val_map_at_r" in row for row in self.history)
        curves = RETRIEVAL_CURVES if by_retrieval else CURVES
        rows = (
            (epoch, *(row.get(name, "") for name in curves))
            for epoch, row in enumerate(self.history, start=1)
        )
        write_csv(path, ("epoch", *curves), rows)


def read_history(path: PathLike) -> list[dict[str, float]]:
    """Read what `Training.write_history` wrote."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
