"""Feature vectors, stored as rows of length 1 with the norm each had, and what may be compared."""

import array
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gallerist.io.arrays import AnyArray, Floats, Indices, Vectors, take_rows
from gallerist.io.errors import UserError
from gallerist.io.files import (
    PathLike,
    read_json,
    sha256_of_file,
    sha256_of_text,
    write_json,
    write_text,
)
from gallerist.io.row_file import write_rows

logger = logging.getLogger("gallerist")

SCALED_AT_ONCE = 1 << 17
"""Numbers scaled at once: a megabyte of float64, which a processor's cache can hold."""

_ORIGIN = {"model", "preprocessing", "vectors", "ids", "feature_length"}
_MEND = "Remove both, and run the workflow to have them made again."


class FeatureSource(Protocol):
    """What makes vectors, an extractor above all.

    model, preprocessing: SHA-256 of what computes them, and of what is done to a picture before;
    vectors compare only where both are equal. length: numbers in a vector.
    """

    @property
    def model(self) -> str: ...  # noqa: D102

    @property
    def preprocessing(self) -> str: ...  # noqa: D102

    @property
    def length(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class Features:
    """The vectors of one part by one extractor.

    vectors: (n, d) float32, rows of Euclidean length 1 (0 where the extractor gave all zeros).
    norms: (n,) float64, the length that each row had: norm times row is what the extractor gave.
    ids: of the pictures, in the same order. model, preprocessing: of their `FeatureSource`.
    """

    vectors: Vectors
    norms: Floats
    ids: tuple[str, ...]
    model: str
    preprocessing: str

    @classmethod
    def of(
        cls, extracted: AnyArray, ids: Sequence[str], model: str, preprocessing: str
    ) -> "Features":
        """Scale (n, d) vectors as an extractor gave them. Raises UserError as `unit_rows`."""
        return cls(*unit_rows(extracted), tuple(ids), model, preprocessing)

    @property
    def length(self) -> int:
        """Numbers in a vector."""
        return int(self.vectors.shape[1])

    @classmethod
    def read(cls, vectors: PathLike, ids: PathLike, origin: PathLike) -> "Features":
        """Read what `write_features` wrote; raises UserError for files that do not fit."""
        identity = _read_origin(origin, vectors)
        listing = Path(ids).read_text(encoding="utf-8")
        if sha256_of_file(vectors) != identity["vectors"]:
            raise UserError(f"{vectors} is not the file that {origin} describes. {_MEND}")
        if sha256_of_text(listing) != identity["ids"]:
            raise UserError(f"{ids} is not the file that {origin} describes. {_MEND}")
        rows = np.load(vectors, mmap_mode="r", allow_pickle=False)
        lines = StringIO(listing)  # one after the other: of 10^6 a list takes 100 MB
        if next(lines, "").rstrip() != "id,norm":
            raise UserError(f"{ids} is of another version of Gallerist: run the workflow again")
        names, norms = [], array.array("d")
        for line in lines:
            name, _, norm = line.rpartition(",")
            names.append(name)
            norms.append(float(norm))
        made_by = identity["model"], identity["preprocessing"]
        return cls(rows, np.array(norms), tuple(names), *made_by)

    def rows_of(self, ids: Sequence[str]) -> Vectors:
        """The vectors of some pictures, in that order: (n, d) float32, in memory.

        Raises UserError naming the first picture that is not in them.
        """
        return take_rows(self.vectors, self._rows(ids))

    def norms_of(self, ids: Sequence[str]) -> Floats:
        """The lengths that those rows had: (n,) float64."""
        return self.norms[self._rows(ids)]

    def batches(self, ids: Sequence[str], size: int = 256) -> Iterator[Vectors]:
        """The same, `size` pictures at a time."""
        rows = self._rows(ids)
        for start in range(0, len(rows), size):
            yield take_rows(self.vectors, rows[start : start + size])

    def unscaled_batches(self, ids: Sequence[str], size: int = 256) -> Iterator[Floats]:
        """The same as the extractor gave them: norm times row, (n, d) float64."""
        rows = self._rows(ids)
        for start in range(0, len(rows), size):
            chosen = rows[start : start + size]
            yield self.norms[chosen, None] * take_rows(self.vectors, chosen)

    def _rows(self, ids: Sequence[str]) -> Indices:
        row_of = {identifier: row for row, identifier in enumerate(self.ids)}
        unknown = [identifier for identifier in ids if identifier not in row_of]
        if unknown:
            raise UserError(f"picture {unknown[0]} has no vector: run the workflow again")
        return np.array([row_of[identifier] for identifier in ids], np.intp)


def length_of(origin: PathLike) -> int:
    """Numbers in a vector of the set that a file describes."""
    return int(_read_origin(origin, "its vectors")["feature_length"])


def _read_origin(origin: PathLike, vectors: PathLike) -> dict[str, Any]:
    identity = read_json(origin)
    if not isinstance(identity, dict) or not identity.keys() >= _ORIGIN:
        raise UserError(f"{origin} does not say what made {vectors}. {_MEND}")
    return identity


def read_sets(files: Sequence[PathLike]) -> list[Features]:
    """Read several sets of features: their vectors, ids and origin, set after set."""
    return [Features.read(*files[start : start + 3]) for start in range(0, len(files), 3)]


class VectorsOf(FeatureSource, Protocol):
    """What makes the vectors of pictures from others that are there, by ids."""

    def batches(self, pictures: Sequence[PathLike], /) -> Iterator[AnyArray]:
        """See `extractors.Extractor`."""


def write_parts(
    sources: Mapping[str, tuple[Sequence[str], VectorsOf]], files: Mapping[str, Sequence[PathLike]]
) -> dict[str, float]:
    """Write the vectors of several parts, as `write_features` does of one.

    sources: part -> the ids of its pictures, and what makes their vectors. files: by part.

    Returns what a record says: pictures of all parts and of each, those without content, length.
    """
    metrics: dict[str, float] = {"images": 0, "images_without_content": 0}
    for part, (ids, source) in sources.items():
        written = write_features(source.batches(ids), ids, source, files[part])
        metrics[f"{part}_images"] = len(ids)
        metrics["feature_length"] = written["feature_length"]
        for name in ("images", "images_without_content"):
            metrics[name] += written[name]
    return metrics


def write_features(
    batches: Iterable[AnyArray],
    ids: Sequence[str],
    source: FeatureSource,
    files: Sequence[PathLike],
) -> dict[str, float]:
    """Write what `Features.read` reads, from batches that are never in memory together.

    batches: of (any number, length) numbers as the source gave them, in the order of `ids`; they
    are scaled to length 1 here. files: of vectors, ids and origin.

    Returns what a record says of them: pictures, those whose vector is all zeros, and length.
    Raises UserError as `unit_rows`, and when there are not as many vectors as ids, or of different
    lengths; DiskFull. A file is whole or not there.
    """
    norms: list[float] = []

    def scaled() -> Iterator[Vectors]:
        for batch in batches:
            rows, lengths = unit_rows(batch)
            norms.extend(lengths.tolist())
            yield rows

    vectors, ids_file, origin = files
    written = write_rows(vectors, scaled(), count=len(ids), length=source.length)
    rows = (f"{name},{norm!r}\n" for name, norm in zip(ids, norms, strict=True))
    listing = "".join(["id,norm\n", *rows])
    write_text(ids_file, listing)
    identity = {
        "model": source.model,
        "preprocessing": source.preprocessing,
        "vectors": written.sha256,
        "ids": sha256_of_text(listing),
        "images": written.count,
        "feature_length": written.length,
    }
    write_json(origin, identity)
    empty = norms.count(0.0)
    if empty:
        logger.warning("%d of %d pictures have an all-zero feature vector", empty, written.count)
    return {
        "images": written.count,
        "images_without_content": empty,
        "feature_length": written.length,
    }


def check_comparable(a: Features, b: Features) -> None:
    """Raise UserError unless one model with one preprocessing made both."""
    if a.model != b.model:
        raise UserError(
            "these features come from different models "
            f"({a.model[:12]} and {b.model[:12]}): run the workflow again"
        )
    if a.preprocessing != b.preprocessing:
        raise UserError("these features come from differently prepared pictures")


def normalise(vectors: AnyArray) -> Vectors:
    """Scale rows to Euclidean length 1; rows of zeros stay zeros. See `unit_rows`."""
    return unit_rows(vectors)[0]


def unit_rows(vectors: AnyArray) -> tuple[Vectors, Floats]:
    """Rows scaled to Euclidean length 1, in float64, and the length of each; zeros stay zeros.

    Raises UserError when a row has an infinite or undefined number.
    """
    count, length = vectors.shape
    scaled, lengths = np.empty((count, length), np.float32), np.empty(count)
    step = max(1, SCALED_AT_ONCE // max(1, length))
    for start in range(0, count, step):
        part = slice(start, start + step)
        exact = np.array(vectors[part], dtype=np.float64)
        with np.errstate(invalid="ignore"):  # see below
            lengths[part] = np.linalg.norm(exact, axis=1)
            exact /= np.where(lengths[part] > 0, lengths[part], 1.0)[:, None]
        scaled[part] = exact
    broken = int((~np.isfinite(lengths)).sum())
    if broken:
        raise UserError(
            f"{broken} of {count} feature vectors are not finite: the network has diverged. "
            "Train it with a smaller learning_rate."
        )
    return scaled, lengths
