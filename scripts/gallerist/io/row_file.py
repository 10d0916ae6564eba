"""Rows of numbers as one plain `.npy` file, larger than memory: written and read piece by piece."""

import errno
import hashlib
import io
import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gallerist.io.arrays import AnyArray, Integers
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, remove_leftovers, replacing

Rows = npt.NDArray[np.floating[Any]]
RowType = Literal["float16", "float32"]

_STORED: dict[str, np.dtype[Any]] = {"float16": np.dtype("<f2"), "float32": np.dtype("<f4")}
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PIECE = 16 * 2**20
"""Bytes converted, copied or mapped at once."""

_ROWS_AT_ONCE = 4
"""Rows taken between two returns of mapped pages. The kernel may map 2 MB for each end of a row."""


class TooLarge(UserError):
    """A number beyond what the type of the rows can hold."""


class DiskFull(RuntimeError):
    """The disk, or the user's share of it, was full before the file was whole."""


@dataclass(frozen=True)
class WrittenRows:
    """What was written. sha256: of the whole file. bytes: its size. length: values a row."""

    count: int
    length: int
    bytes: int
    sha256: str


def file_size(count: int, length: int, dtype: RowType) -> int:
    """Bytes of the file of `count` rows of `length` values."""
    stored = _STORED[dtype]
    return len(_header(count, length, stored)) + count * length * stored.itemsize


def write_rows(
    path: PathLike,
    batches: Iterable[AnyArray],
    *,
    count: int,
    length: int | None = None,
    dtype: RowType = "float32",
) -> WrittenRows:
    """Write batches of rows, each (any number, length), one below the other; whole or not at all.

    count: rows that must come together. length: values a row; by default the first batch's.
    Memory is bounded by one batch. The bytes are those that `numpy.save` would write, and reach the
    file by ordinary writes: pages of a writable map would count as this process's memory.

    Raises UserError when the rows are fewer, more or longer than said, or not finite; TooLarge
    when a finite number would become infinite in `dtype`; DiskFull when the disk is.
    """
    path = Path(path)
    remove_leftovers(path)
    with replacing(path) as temporary:
        writer = _Writer(temporary, path, count, length, _STORED[dtype])
        try:
            for batch in batches:
                writer.append(np.asarray(batch))
            return writer.finish()
        finally:
            writer.close()


def size_in_words(size: float) -> str:
    """Bytes as people say them: 1.5 GB, of 1000 MB each."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} bytes"


class _Writer:
    """A file that grows by rows, and its hash."""

    def __init__(
        self, file: Path, named: Path, count: int, length: int | None, stored: np.dtype[Any]
    ) -> None:
        self.named, self.count, self.stored = named, count, stored
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
        self._write(_header(self.count, length, self.stored))

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
            self._write(self._checked(batch[start:stop]))
            self.done += stop - start

    def _checked(self, piece: AnyArray) -> memoryview:
        """The bytes of some rows in the stored type. Raises when a number is lost."""
        largest = max(float(piece.max()), -float(piece.min()))
        if not np.isfinite(largest):
            broken = int(np.isfinite(piece).all(axis=1).argmin())
            raise UserError(
                f"{self.named}: row {self.done + broken} has numbers that are not finite"
            )
        greatest = float(np.finfo(self.stored).max)
        if largest > greatest:
            raise TooLarge(
                f"{self.named}: a number of {largest:.6g} does not fit into {self.stored.name}, "
                f"whose largest is {greatest:.6g}. Store the rows as float32."
            )
        exact: AnyArray = np.ascontiguousarray(piece, dtype=self.stored)
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
            self._tell_if_full(error)
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
            self._tell_if_full(error)
            raise
        return WrittenRows(self.count, self.length, self.bytes, self.digest.hexdigest())

    def _tell_if_full(self, error: OSError) -> None:
        if error.errno in _FULL:
            total = len(_header(self.count, self.length, self.stored))
            total += self.count * self.length * self.stored.itemsize
            raise DiskFull(
                f"{self.named}: the disk took {size_in_words(self.bytes)} of "
                f"{size_in_words(total)} and no more ({error.strerror}). "
                "The unfinished file has been removed."
            ) from error

    def close(self) -> None:
        """Let go of the file, whatever became of it."""
        self.file.close()


class RowFile:
    """A file that `write_rows` or `numpy.save` wrote, mapped into memory and never held in it.

    The kernel counts mapped pages as this process's memory until they are returned, so every copy
    is followed by that. Rows are announced to it before they are copied, which reads a row from a
    cold disk in one go; reading them with `preadv` was slower there and no leaner.

    path, dtype, length: the file, the type of its numbers, values a row. bytes: the file's size.
    """

    def __init__(self, path: PathLike) -> None:
        """Open a file. Raises UserError when it is damaged or holds something else."""
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                shape, self.dtype = _read_header(file)
                self._start = file.tell()
                self.bytes = self.path.stat().st_size
                needed = self._start + shape[0] * shape[1] * self.dtype.itemsize
                if self.bytes != needed:
                    raise ValueError(f"it has {self.bytes} bytes instead of {needed}")
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._rows: Rows = np.ndarray(shape, self.dtype, self._map, self._start)
        except ValueError as error:
            raise UserError(f"{self.path} is not a whole file of rows: {error}") from None
        self.length = shape[1]

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def mapped(self) -> Rows:
        """All rows as a read-only array on the map. What is touched stays in memory."""
        return self._rows

    def take(self, indices: npt.ArrayLike) -> Rows:
        """Copy rows: (k,) positions -> (k, length), in the order of the positions.

        Resident memory grows by the copy and no more. Safe in several threads.
        Raises IndexError unless each position is from 0 to len - 1.
        """
        positions = checked_positions(indices, len(self))
        copy = np.empty((len(positions), self.length), self.dtype)
        for position in positions.tolist():
            self._announce(position, position + 1)
        for first in range(0, len(positions), _ROWS_AT_ONCE):
            some = slice(first, first + _ROWS_AT_ONCE)
            # "clip" because the positions are right, and "raise" would copy twice.
            np.take(self._rows, positions[some], axis=0, out=copy[some], mode="clip")
            self._return_pages()
        return copy

    def blocks(self, size: int) -> Iterator[Rows]:
        """Copies of all rows in order, `size` at a time; the last block may be shorter."""
        if size < 1:
            raise ValueError(f"blocks of {size} rows are impossible")
        self._announce(0, size)
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            self._announce(stop, stop + size)
            block = np.empty((stop - start, self.length), self.dtype)
            for first, last in _spans(len(block), self.length * self.dtype.itemsize):
                block[first:last] = self._rows[start + first : start + last]
                self._return_pages()
            yield block

    def _announce(self, start: int, stop: int) -> None:
        """Let the kernel read these rows ahead, where it can be told."""
        advice = getattr(mmap, "MADV_WILLNEED", None)
        width = self.length * self.dtype.itemsize
        first = self._start + start * width
        first -= first % mmap.PAGESIZE
        last = min(self._start + stop * width, self.bytes)
        if advice is not None and first < last:
            self._map.madvise(advice, first, last - first)

    def _return_pages(self) -> None:
        """Give mapped pages back; they stay in the kernel's cache, which is nobody's memory."""
        advice = getattr(mmap, "MADV_DONTNEED", None)
        if advice is not None:
            self._map.madvise(advice)


def checked_positions(indices: npt.ArrayLike, count: int) -> Integers:
    """(k,) positions as int64. Raises IndexError unless each is a whole number from 0 to count - 1.

    Python's negative positions are refused: in a list of pictures they are somebody's mistake.
    """
    positions = np.asarray(indices)
    if positions.ndim != 1 or (positions.size and positions.dtype.kind not in "iu"):
        raise IndexError("rows are taken by a list of whole numbers")
    if positions.size and not 0 <= int(positions.min()) <= int(positions.max()) < count:
        wrong = positions[(positions < 0) | (positions >= count)][0]
        raise IndexError(f"there is no row {wrong} among {count}")
    return positions.astype(np.int64)


def _header(count: int, length: int, stored: np.dtype[Any]) -> bytes:
    """What an `.npy` file of this shape begins with, as `numpy.save` writes it."""
    description = {"descr": stored.str, "fortran_order": False, "shape": (count, length)}
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, description)
    return header.getvalue()


def _read_header(file: io.BufferedReader) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Shape and type of the rows. Raises ValueError when the file has none that we read."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"its format is {'.'.join(map(str, version))}, not 1.0 or 2.0")
    try:
        shape, by_column, dtype = _HEADERS[version](file)
    except Exception as error:  # of a damaged header NumPy raises TokenError and others
        raise ValueError(f"its header is damaged ({error})") from None
    if len(shape) != 2 or dtype not in _STORED.values() or by_column:
        order = " by column" if by_column else ""
        raise ValueError(f"it holds {shape} {dtype.str}{order}, not rows of float16 or float32")
    return shape, dtype


def _spans(count: int, width: int) -> Iterator[tuple[int, int]]:
    """Cut `count` rows of `width` bytes into spans of bounded size."""
    step = max(1, _PIECE // max(width, 1))
    for start in range(0, count, step):
        yield start, min(start + step, count)
