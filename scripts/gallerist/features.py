"""Feature vectors of length 1, and the hashes that tell which of them may be compared."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gallerist.files import (
    PathLike,
    read_json,
    sha256_of_file,
    sha256_of_text,
    write_json,
    write_text,
)
from gallerist.row_file import WrittenRows, write_rows

logger = logging.getLogger("gallerist")

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
        made_by = {"model": self.model, "preprocessing": self.preprocessing}
        length = int(self.vectors.shape[1])
        _write([self.vectors], self.ids, made_by, length, vectors, ids, origin)

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


@dataclass(frozen=True)
class FeatureSummary:
    """Features that have been written. empty: how many of the `count` vectors are all zeros."""

    count: int
    length: int
    empty: int


def write_features(
    batches: Iterable[npt.NDArray[Any]],
    ids: Sequence[str],
    *,
    model: str,
    preprocessing: str,
    vectors: PathLike,
    ids_file: PathLike,
    origin: PathLike,
    length: int | None = None,
) -> FeatureSummary:
    """Write what `Features.read` reads, from batches that are never in memory together.

    batches: of (any number, d) numbers as a describer gave them, in the order of `ids`; they are
    scaled to length 1 here. length: d, needed only where there may be no picture at all.

    Raises NotFinite as `normalise`; RowsRefused when there are not as many vectors as ids, or of
    different lengths; DiskFull. A file is whole or not there.
    """
    empty = 0

    def unit_rows() -> Iterator[Vectors]:
        nonlocal empty
        for batch in batches:
            rows = normalise(batch)
            empty += int((~rows.any(axis=1)).sum())
            yield rows

    made_by = {"model": model, "preprocessing": preprocessing}
    written = _write(unit_rows(), ids, made_by, length, vectors, ids_file, origin)
    if empty:
        logger.warning("%d of %d pictures have an all-zero feature vector", empty, written.count)
    return FeatureSummary(written.count, written.length, empty)


def _write(
    batches: Iterable[Vectors],
    ids: Sequence[str],
    made_by: dict[str, str],
    length: int | None,
    vectors: PathLike,
    ids_file: PathLike,
    origin: PathLike,
) -> WrittenRows:
    """The three files of a part's features, of vectors of length 1."""
    written = write_rows(vectors, batches, count=len(ids), length=length)
    listing = _listing(ids)
    write_text(ids_file, listing)
    identity = {
        **made_by,
        "vectors": written.sha256,
        "ids": sha256_of_text(listing),
        "images": written.count,
        "feature_length": written.length,
    }
    write_json(origin, identity)
    return written


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
