"""Rows of numbers as one plain `.npy` file, larger than memory: written piece by piece."""

import errno
import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gallerist.io.arrays import AnyArray
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, remove_leftovers, replacing

_STORED = np.dtype("<f4")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PIECE = 16 * 2**20
"""Bytes converted at once."""


class TooLarge(UserError):
    """A number beyond what the type of the rows can hold."""


class DiskFull(UserError):
    """The disk, or the user's share of it, was full before the file was whole."""


@dataclass(frozen=True)
class WrittenRows:
    """What was written. sha256: of the whole file. bytes: its size. length: values a row."""

    count: int
    length: int
    bytes: int
    sha256: str


def write_rows(
    path: PathLike,
    batches: Iterable[AnyArray],
    *,
    count: int,
    length: int | None = None,
) -> WrittenRows:
    """Write batches of rows, each (any number, length), as float32; whole or not at all.

    count: rows that must come together. length: values a row; by default the first batch's.
    Memory is bounded by one batch. The bytes are those that `numpy.save` would write, and reach the
    file by ordinary writes: pages of a writable map would count as this process's memory.

    Raises UserError when the rows are fewer, more or longer than said, or not finite; TooLarge
    when a finite number would become infinite; DiskFull when the disk is.
    """
    path = Path(path)
    remove_leftovers(path)
    with replacing(path) as temporary:
        writer = _Writer(temporary, path, count, length)
        try:
            for batch in batches:
                writer.append(np.asarray(batch))
            return writer.finish()
        finally:
            writer.close()


def format_size(size: float) -> str:
    """Bytes as people say them: 1.5 GB, of 1000 MB each."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} bytes"


class _Writer:
    """A file that grows by rows, and its hash."""

    def __init__(self, file: Path, named: Path, count: int, length: int | None) -> None:
        self.named, self.count = named, count
        self.length = 0
        self.done = self.bytes = 0
        self.digest = hashlib.sha256()
        self.file = file.open("wb", buffering=0)
        if length is not None:
            self._begin(length)

    def _begin(self, length: int) -> None:
        if length < 1:
            raise UserError(f"{self.named}: rows of {length} values cannot be stored")
        self.length = length
        self._write(_header(self.count, length))

    def append(self, batch: AnyArray) -> None:
        """Write the rows of one batch."""
        if batch.ndim != 2 or batch.dtype.kind != "f":
            raise UserError(
                f"{self.named}: rows come as (n, length) floating-point numbers, "
                f"not as {batch.shape} {batch.dtype}"
            )
        if not self.length:
            self._begin(batch.shape[1])
        if batch.shape[1] != self.length:
            raise UserError(
                f"{self.named}: row {self.done} has {batch.shape[1]} values instead of "
                f"{self.length}"
            )
        if self.done + len(batch) > self.count:
            raise UserError(f"{self.named}: more rows came than the {self.count} it is for")
        for start, stop in _spans(len(batch), self.length * batch.itemsize):
            self._write(self._check(batch[start:stop]))
            self.done += stop - start

    def _check(self, piece: AnyArray) -> memoryview:
        """The bytes of some rows in the stored type. Raises when a number is lost."""
        largest = max(float(piece.max()), -float(piece.min()))
        if not np.isfinite(largest):
            broken = int(np.isfinite(piece).all(axis=1).argmin())
            raise UserError(
                f"{self.named}: row {self.done + broken} has numbers that are not finite"
            )
        greatest = float(np.finfo(_STORED).max)
        if largest > greatest:
            raise TooLarge(
                f"{self.named}: a number of {largest:.6g} does not fit into {_STORED.name}, "
                f"whose largest is {greatest:.6g}"
            )
        exact: AnyArray = np.ascontiguousarray(piece, dtype=_STORED)
        return exact.view(np.uint8).reshape(-1).data

    def _write(self, data: bytes | memoryview) -> None:
        self.digest.update(data)
        left = memoryview(data)
        try:
            while left:
                written = self.file.write(left)
                self.bytes += written
                left = left[written:]
        except OSError as error:
            self._raise_if_full(error)
            raise

    def finish(self) -> WrittenRows:
        """Close the file, which must have all its rows."""
        if not self.length:
            raise UserError(f"{self.named}: without rows their length must be given")
        if self.done < self.count:
            raise UserError(f"{self.named}: only {self.done} of {self.count} rows came")
        try:
            self.file.close()
        except OSError as error:  # where file systems over a network tell
            self._raise_if_full(error)
            raise
        return WrittenRows(self.count, self.length, self.bytes, self.digest.hexdigest())

    def _raise_if_full(self, error: OSError) -> None:
        if error.errno in _FULL:
            total = len(_header(self.count, self.length))
            total += self.count * self.length * _STORED.itemsize
            raise DiskFull(
                f"{self.named}: the disk took {format_size(self.bytes)} of "
                f"{format_size(total)} and no more ({error.strerror}). "
                "The unfinished file has been removed."
            ) from error

    def close(self) -> None:
        """Let go of the file, whatever became of it."""
        self.file.close()


def _header(count: int, length: int) -> bytes:
    """What an `.npy` file of this shape begins with, as `numpy.save` writes it."""
    description = {"descr": _STORED.str, "fortran_order": False, "shape": (count, length)}
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, description)
    return header.getvalue()


def _spans(count: int, width: int) -> Iterator[tuple[int, int]]:
    """Cut `count` rows of `width` bytes into spans of bounded size."""
    step = max(1, _PIECE // max(width, 1))
    for start in range(0, count, step):
        yield start, min(start + step, count)
