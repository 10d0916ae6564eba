"""The state of an unfinished training as a file, so that one that is killed can go on."""

import json
import logging
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from gallerist import LIBRARY
from gallerist.io.arrays import AnyArray
from gallerist.io.files import (
    PathLike,
    canonical_json,
    remove_leftovers,
    replacing,
    sha256_of_file,
    sha256_of_text,
)

logger = logging.getLogger("gallerist")

SHARE = 0.05
"""Of the time, that writing may take."""

BYTES_A_SECOND = 4e8
"""Speed of writing that is assumed until one was timed."""


def identity_of(*parts: Any) -> str:
    """SHA-256 of what a training depends on: the JSON values given, the libraries, this code.

    parts: settings, digests of data and weights, the device and its threads. The code counts
    because a training is often stopped to correct it, and must not go on with what was wrong.
    """
    import tensorflow as tf  # which has two names where it is installed, and no other version

    versions = [tf.__version__, version("keras"), version("numpy")]
    code = [sha256_of_file(path) for path in sorted(LIBRARY.rglob("*.py"))]
    return sha256_of_text(canonical_json([parts, versions, code]))


@dataclass(frozen=True)
class Saved:
    """What is stored. facts: any JSON value, in which NaN and infinities are allowed."""

    facts: dict[str, Any]
    arrays: list[AnyArray]

    @property
    def size(self) -> int:
        """Bytes of the arrays."""
        return sum(array.nbytes for array in self.arrays)


class Checkpoint:
    """One file that belongs to one training: an npz of arrays and a JSON text, without pickle.

    It is replaced whole, so that a kill at any moment leaves the one before or the new one. A file
    that belongs to another training, or is damaged, is removed with a warning.

    To write takes a while: .55 s for the 256 MB of 16 million trained weights (the weights, Adam's
    two moments and the best weights), where an epoch may take 5 s. So an epoch is stored only when
    20 times as long passed since the last writing as a writing takes, or `every` seconds. A kill
    costs at most that, and the epoch that was under way; a signal that asks to stop costs nothing.
    """

    def __init__(self, path: PathLike, identity: str, *, every: float = 30.0) -> None:
        """identity: names all that the training depends on, such as a SHA-256 of it. every: seconds
        after which an epoch is stored whatever it costs; 0 stores every epoch.
        """
        self.path, self.identity, self.every = Path(path), identity, every
        self._rate = BYTES_A_SECOND
        self._last = time.monotonic()

    def read(self) -> Saved | None:
        """What was stored for this training, or None. Anything else is removed."""
        remove_leftovers(self.path)
        self._last = time.monotonic()
        try:
            with np.load(self.path, allow_pickle=False) as file:
                head = json.loads(str(file["head"]))
                if head["identity"] != self.identity:
                    self._discard("belongs to another training")
                    return None
                return Saved(head["facts"], [file[f"array{i}"] for i in range(head["arrays"])])
        except FileNotFoundError:
            return None
        except Exception as error:  # of what is cut off or altered NumPy and zipfile raise many
            self._discard(f"is damaged ({type(error).__name__})")
            return None

    def is_due(self, size: int) -> bool:
        """Whether what happened since the last writing is worth writing `size` bytes."""
        return time.monotonic() - self._last >= min(size / self._rate / SHARE, self.every)

    def write(self, saved: Saved) -> None:
        """Store, whole or not at all. A disk that is full does not stop the training."""
        started = time.monotonic()
        try:
            self._write(saved)
        except OSError as error:
            logger.warning("%s: not stored, %s; training goes on", self.path, error)
        self._last = time.monotonic()
        self._rate = max(saved.size, 1) / max(self._last - started, 1e-6)

    def _write(self, saved: Saved) -> None:
        head = {"identity": self.identity, "arrays": len(saved.arrays), "facts": saved.facts}
        arrays = {f"array{index}": array for index, array in enumerate(saved.arrays)}
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, head=np.array(json.dumps(head)), **arrays)

    def _discard(self, reason: str) -> None:
        logger.warning("%s %s: it is removed, and training begins anew", self.path, reason)
        self.remove()

    def remove(self) -> None:
        """Remove the file, and what killed writers left. Call it when the network is stored."""
        self.path.unlink(missing_ok=True)
        remove_leftovers(self.path)
