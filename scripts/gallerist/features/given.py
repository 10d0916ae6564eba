"""Vectors that somebody else made: read from a file, and matched to the pictures by their names."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gallerist.data.manifest import Manifest
from gallerist.data.names import Names
from gallerist.io.arrays import AnyArray
from gallerist.io.errors import UserError, first_of
from gallerist.io.files import PathLike, canonical_json, sha256_of_file, sha256_of_text

AT_ONCE = 256
"""Rows of a batch."""

_COLUMNS = ("id", "path")
"""Of a CSV of ids: the first that it has."""


class GivenVectors:
    """Rows of a file in the place of an extractor: see `extractors.Extractor`.

    They are as the file has them. model: of the contents of both files.
    """

    preprocessing = sha256_of_text("given")

    def __init__(
        self, vectors: PathLike, ids: PathLike, pictures: Mapping[str, Manifest], folder: str
    ) -> None:
        """vectors: NPY, (n, length). ids: of its rows, in their order, see `read_ids`.

        pictures: part -> those that vectors are wanted of; names of others are passed over. folder:
        that paths start from. Raises UserError naming the file, and pictures that have no vector.
        """
        self._vectors = read_vectors(vectors)
        self.length = int(self._vectors.shape[1])
        names = read_ids(ids)
        if len(names) != len(self._vectors):
            raise UserError(
                f"{vectors} has {len(self._vectors)} rows, and {ids} names {len(names)} pictures"
            )
        every = Manifest({each.id: each for part in pictures.values() for each in part}.values())
        self._row_of = _rows(every, names, ids, folder)
        self._id_of = {each.path: each.id for part in pictures.values() for each in part}
        missing = [each.path for each in every if each.id not in self._row_of]
        if missing:
            raise UserError(
                f"{ids} names no vector for {len(missing)} of {len(every)} pictures: "
                f"{first_of(missing)}"
            )
        self._check(vectors)
        digests = {"vectors": sha256_of_file(vectors), "ids": sha256_of_file(ids)}
        self.model = sha256_of_text(canonical_json(digests))

    def _check(self, path: PathLike) -> None:
        rows = sorted(self._row_of.values())
        for start in range(0, len(rows), AT_ONCE):
            chosen = rows[start : start + AT_ONCE]
            finite = np.isfinite(np.asarray(self._vectors[chosen], np.float32)).all(axis=1)
            if not finite.all():
                row = chosen[int(np.argmin(finite))]
                raise UserError(f"{path}: row {row + 1} has a number that is not finite")

    def batches(self, pictures: Sequence[PathLike], /) -> Iterator[AnyArray]:
        """Batches of rows, one a picture in their order. pictures: paths."""
        rows = [self._row_of[self._id_of[str(path)]] for path in pictures]
        for start in range(0, len(rows), AT_ONCE):
            yield np.asarray(self._vectors[rows[start : start + AT_ONCE]], dtype=np.float32)


def read_vectors(path: PathLike) -> AnyArray:
    """An array of (n, length) numbers from an NPY file, not yet in memory.

    Raises UserError naming the file.
    """
    found = _load(path, "numbers", "r")
    if not isinstance(found, np.ndarray) or found.ndim != 2 or 0 in found.shape:
        shape = getattr(found, "shape", "of several arrays")
        raise UserError(f"{path} is {shape}: vectors are (pictures, length)")
    if found.dtype.kind not in "fiu":
        raise UserError(f"{path} holds {found.dtype}: vectors are fractions or whole numbers")
    return found


def read_ids(path: PathLike) -> list[str]:
    """Names of pictures: CSV with a column id or path, one a line, or an NPY file of texts.

    Raises UserError naming the file.
    """
    if Path(path).suffix.lower() == ".npy":
        found = _load(path, "texts")
        if not isinstance(found, np.ndarray) or found.ndim != 1 or found.dtype.kind not in "US":
            kind = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else "an archive"
            raise UserError(f"{path} is {kind}: ids are (pictures,) texts")
        try:
            return [
                each.decode() if isinstance(each, bytes) else str(each) for each in found.tolist()
            ]
        except Exception as error:  # of numbers that are no characters NumPy raises SystemError
            raise UserError(f"{path} has texts that are none: {error}") from error
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = [cells for cells in csv.reader(file) if cells]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    head = [cell.strip() for cell in rows[0]] if rows else []
    column = next((head.index(name) for name in _COLUMNS if name in head), None)
    if column is not None:
        if short := next((row for row in rows if len(row) <= column), None):
            raise UserError(f"{path}: the row {','.join(short)!r} has no {head[column]}")
        return [row[column].strip() for row in rows[1:]]
    if any(len(row) > 1 for row in rows):
        raise UserError(f"{path} has no column id or path; nor is it one name a line")
    return [row[0].strip() for row in rows]


def _load(path: PathLike, what: str, mapped: Literal["r"] | None = None) -> Any:
    try:
        return np.load(path, mmap_mode=mapped, allow_pickle=False)
    except Exception as error:  # NumPy raises everything from TokenError to MemoryError
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} is no NPY file of {what}: {reason}") from error


def _rows(pictures: Manifest, names: Sequence[str], path: PathLike, folder: str) -> dict[str, int]:
    """Id -> row. Raises UserError for a picture that is named twice."""
    known, found = Names(pictures, folder), dict[str, int]()
    for row, name in enumerate(names):
        place = f"{path}, name {row + 1}"
        identifier = known.find(name, place, required=False)
        if identifier is not None and found.setdefault(identifier, row) != row:
            raise UserError(f"{place}: {name!r} is named before, as number {found[identifier] + 1}")
    return found
