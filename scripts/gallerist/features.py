"""Feature vectors of length 1, and the hashes that tell which of them may be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gallerist.files import (
    PathLike,
    read_json,
    replacing,
    sha256_of_file,
    sha256_of_text,
    write_json,
    write_text,
)

Vectors = npt.NDArray[np.float32]


class FeatureMismatch(ValueError):
    """Features that were made differently, or files of one set that do not belong together."""


class NotFinite(ValueError):
    """A describer gave infinite or undefined numbers, which are near to nothing."""


@dataclass(frozen=True)
class Features:
    """The vectors of one part by one describer.

    vectors: (n, d) float32, rows of Euclidean length 1 (0 where the describer gave all zeros).
    ids: of the pictures, in the same order. model, preprocessing: SHA-256 of what made them.
    """

    vectors: Vectors
    ids: tuple[str, ...]
    model: str
    preprocessing: str

    def write(self, vectors: PathLike, ids: PathLike, origin: PathLike) -> None:
        """Write `.npy`, the ids as CSV, and a JSON of hashes that ties the two and their origin."""
        with replacing(vectors) as temporary:
            np.save(temporary, self.vectors, allow_pickle=False)
        listing = _listing(self.ids)
        write_text(ids, listing)
        identity = {
            "model": self.model,
            "preprocessing": self.preprocessing,
            "vectors": sha256_of_file(vectors),
            "ids": sha256_of_text(listing),
            "images": len(self.ids),
            "feature_length": int(self.vectors.shape[1]),
        }
        write_json(origin, identity)

    @classmethod
    def read(cls, vectors: PathLike, ids: PathLike, origin: PathLike) -> "Features":
        """Read what `write` wrote; raises FeatureMismatch when the files do not belong together."""
        identity = read_json(origin)
        listing = Path(ids).read_text(encoding="utf-8")
        if sha256_of_file(vectors) != identity["vectors"]:
            raise FeatureMismatch(f"{vectors} is not the file that {origin} describes")
        if sha256_of_text(listing) != identity["ids"]:
            raise FeatureMismatch(f"{ids} is not the file that {origin} describes")
        array = np.load(vectors, mmap_mode="r", allow_pickle=False)
        names = tuple(listing.splitlines()[1:])
        return cls(array, names, identity["model"], identity["preprocessing"])


def check_comparable(a: Features, b: Features) -> None:
    """Raise FeatureMismatch unless one model with one preprocessing made both."""
    if a.model != b.model:
        raise FeatureMismatch(
            "these features come from different models "
            f"({a.model[:12]} and {b.model[:12]}): extract them again"
        )
    if a.preprocessing != b.preprocessing:
        raise FeatureMismatch("these features come from differently prepared pictures")


def _listing(ids: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in ("id", *ids))


def normalise(vectors: npt.NDArray[Any]) -> Vectors:
    """Scale rows to Euclidean length 1, in float64; rows of zeros stay zeros.

    Raises NotFinite when a row has an infinite or undefined number.
    """
    exact = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    broken = int((~np.isfinite(lengths)).sum())
    if broken:
        raise NotFinite(
            f"{broken} of {len(exact)} feature vectors are not finite: the network has diverged. "
            "Train it with a smaller learning_rate."
        )
    return np.asarray(exact / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)
