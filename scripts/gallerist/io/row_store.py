"""Rows of numbers kept by key: a folder of files that are written whole, and then never changed.

A segment is an Arrow IPC file: the columns `key` (text) and `rows` (for each key a list of rows of
one length), one batch or more. Its name is the SHA-256 of the store's identity and of its bytes, so
that a damaged file, or one of another store, does not bear its own name: it is named, removed, and
what was in it is missing. A writer killed at any moment leaves a file that has no such name yet.

Why Arrow (measured on 10^6 rows of 256 float32, 1 GB, 2 cores): pyarrow is there (MLflow brings it)
and imported in .04 s of a processor; keys are read and rows mapped in .08 s; hashing, which any
format would need, takes .8 s. Two arrays of NumPy in one file would take .21 s, and be a format of
our own in which lists of different lengths, as key points are, had to be described too. Lance keeps
a table's state in files of versions, which two writers on a shared folder have to agree about; it
takes 217 MB and .49 s to import. A database in a file, such as SQLite, needs locks that shared
folders do not keep.
"""

import hashlib
import logging
import mmap
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from gallerist.io.arrays import AnyArray, Integers
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike

logger = logging.getLogger("gallerist")

SECONDS = 10.0
BYTES = 64 * 2**20
"""A segment is written when what is to be kept is so old, or so large: a kill loses no more."""

FEW = 8
SMALL = FEW * BYTES
"""So many segments below so many bytes are merged into one: each is an open file."""

ABANDONED = 3600.0
"""Seconds after which an unfinished file belongs to nobody: writing one takes a few."""

_AT_ONCE = 2**20
"""Bytes, and four rows at least, copied between two returns of mapped pages. The kernel may map
2 MB for each end of a row."""


@dataclass(frozen=True, eq=False)
class _Block:
    """One batch of a segment, mapped into memory and never held in it.

    The kernel counts mapped pages as this process's memory until they are returned, so every copy
    is followed by that. Long rows are announced to it before, which reads one from a cold disk in
    one go; reading them with `preadv` was slower there and no leaner.

    starts: (keys + 1,) of each key's rows. rows: (any number, length). map: that they lie in.
    """

    starts: Integers
    rows: AnyArray
    map: mmap.mmap

    def take(self, numbers: Integers) -> AnyArray:
        """Copies of the only row of each of these keys. Safe in several threads."""
        copy = np.empty((len(numbers), self.rows.shape[1]), self.rows.dtype)
        places = self.starts[numbers]
        width = copy.itemsize * copy.shape[1]
        if width > 4 * mmap.PAGESIZE:
            self._announce(places, width)
        step = max(4, _AT_ONCE // width)
        for first in range(0, len(places), step):
            some = slice(first, first + step)
            # "clip" because the places are right, and "raise" would copy twice.
            np.take(self.rows, places[some], axis=0, out=copy[some], mode="clip")
            self._advise("MADV_DONTNEED")
        return copy

    def rows_of(self, number: int) -> AnyArray:
        """A copy of all rows of one key."""
        copy = np.array(self.rows[self.starts[number] : self.starts[number + 1]])
        self._advise("MADV_DONTNEED")
        return copy

    def _announce(self, places: Integers, width: int) -> None:
        begin = self.rows.ctypes.data - np.frombuffer(self.map, np.uint8).ctypes.data
        for place in places.tolist():
            first = begin + place * width
            before = first % mmap.PAGESIZE
            self._advise("MADV_WILLNEED", first - before, width + before)

    def _advise(self, name: str, *span: int) -> None:
        advice = getattr(mmap, name, None)  # not every system has them
        if advice is not None:
            self.map.madvise(advice, *span)


@dataclass(frozen=True, eq=False)
class _Segment:
    path: Path
    bytes: int
    seconds: float
    batches: list[pa.RecordBatch]
    blocks: list[_Block]


class RowStore:
    """The rows of one identity, by key. Several processes may fill it side by side.

    folder: of its segments, which need not exist. identity: of what makes the rows: whatever can
    change a bit of them. computed: keys that this object has added.
    """

    def __init__(self, folder: PathLike, identity: str) -> None:
        """Open a store; every byte of it is checked. A segment that is damaged is removed."""
        self.folder, self.identity = Path(folder), identity
        self.computed = 0
        self._segments: dict[str, _Segment] = {}
        self.refresh()

    def refresh(self) -> None:
        """Take in what others have added meanwhile."""
        while not all(map(self._open, sorted(self.folder.glob("[!.]*.arrow")))):
            pass  # merged by another process since the folder was read
        self._index()

    def _open(self, path: Path) -> bool:
        """Whether the file is still there; what it holds is known then."""
        if path.name in self._segments:
            return True
        try:
            size = path.stat().st_size
            if _name_of(path, self.identity) != path.name:
                logger.warning("%s is damaged: what was in it is computed again", path)
                path.unlink(missing_ok=True)
                return True
            self._segments[path.name] = _map(path, size)
        except FileNotFoundError:
            return False
        return True

    def _index(self) -> None:
        self._blocks = [block for each in self._segments.values() for block in each.blocks]
        self._place: dict[str, tuple[int, int]] = {}
        batches = (batch for each in self._segments.values() for batch in each.batches)
        for block, batch in enumerate(batches):
            keys = batch.column("key").to_pylist()
            self._place.update((key, (block, number)) for number, key in enumerate(keys))

    def __contains__(self, key: str) -> bool:
        return key in self._place

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)

    @property
    def bytes(self) -> int:
        """Of all segments."""
        return sum(each.bytes for each in self._segments.values())

    @property
    def seconds(self) -> float:
        """How long it took to compute all that is stored."""
        return sum(each.seconds for each in self._segments.values())

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys that have no rows, each once, in their order."""
        return [key for key in dict.fromkeys(keys) if key not in self._place]

    def take(self, keys: Sequence[str]) -> AnyArray:
        """The only row of each key: copies, (keys, length). Raises UserError where one has none."""
        places = np.array([self._place_of(key) for key in keys], np.int64).reshape(-1, 2)
        if not len(places):
            return self._blocks[0].rows[:0] if self._blocks else np.empty((0, 0), np.float32)
        first = self._blocks[places[0, 0]].rows
        rows = np.empty((len(places), first.shape[1]), first.dtype)
        for block in np.unique(places[:, 0]):
            here = places[:, 0] == block
            rows[here] = self._blocks[block].take(places[here, 1])
        return rows

    def batches(self, keys: Sequence[str], size: int = 256) -> Iterator[AnyArray]:
        """The same, `size` keys at a time."""
        return (self.take(keys[start : start + size]) for start in range(0, len(keys), size))

    def rows_of(self, key: str) -> AnyArray:
        """All rows of a key: a copy, (any number, length). Raises UserError where it has none."""
        block, number = self._place_of(key)
        return self._blocks[block].rows_of(number)

    def _place_of(self, key: str) -> tuple[int, int]:
        try:
            return self._place[key]
        except KeyError:
            raise UserError(
                f"{self.folder} has nothing of picture {key}: run the workflow again"
            ) from None

    @contextmanager
    def adding(self) -> Iterator["Additions"]:
        """What is added within is kept, at the latest when the block ends, even by an error."""
        additions = Additions(self)
        try:
            yield additions
        finally:
            additions.flush()
            self._index()

    def merge(self) -> None:
        """Put small segments together where there are many, and remove what killed writers left.

        Not while others read: a shared folder may take away what another machine has mapped.
        """
        for path in self.folder.glob(".*.arrow"):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink(missing_ok=True)
        self._merge(self._segments)
        self._index()

    def _merge(self, names: Iterable[str]) -> list[str]:
        """The small ones of some segments, as they are afterwards."""
        small = [name for name in names if self._segments[name].bytes < SMALL]
        if len(small) < FEW:
            return small
        old = [self._segments.pop(name) for name in small]
        batches = [batch for each in old for batch in each.batches]
        merged = self._write(batches, sum(each.seconds for each in old))
        for each in old:
            if each.path.name != merged:
                each.path.unlink(missing_ok=True)
        return [merged]

    def _write(self, batches: Sequence[pa.RecordBatch], seconds: float) -> str:
        """Write one segment; it has its name, which is returned, when it is whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f".{uuid.uuid4().hex}.arrow"
        schema = batches[0].schema.with_metadata({"seconds": repr(seconds)})
        try:
            with (
                pa.OSFile(os.fspath(unfinished), "wb") as file,
                pa.ipc.new_file(file, schema) as writer,
            ):
                for batch in batches:
                    writer.write_batch(batch)
            path = self.folder / _name_of(unfinished, self.identity)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        self._segments[path.name] = _map(path, path.stat().st_size)
        return path.name


class Additions:
    """Rows on their way into a store, written as segments of SECONDS or BYTES."""

    def __init__(self, store: RowStore) -> None:
        """store: that they are for."""
        self._store = store
        self._written: list[str] = []
        self._begin()

    def _begin(self) -> None:
        self._keys: list[str] = []
        self._counts: list[int] = []
        self._rows: list[AnyArray] = []
        self._started = time.monotonic()

    def add(self, keys: Sequence[str], rows: AnyArray) -> None:
        """Keep (keys, length) rows, one for each key; with one key, any number."""
        if len(keys) != 1 and len(keys) != len(rows):
            raise ValueError(f"{len(rows)} rows cannot be those of {len(keys)} keys")
        self._keys += keys
        self._counts += [len(rows)] if len(keys) == 1 else [1] * len(keys)
        self._rows.append(np.array(rows))
        waiting = time.monotonic() - self._started
        if waiting >= SECONDS or sum(each.nbytes for each in self._rows) >= BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what has been added so far."""
        if self._keys:
            rows = np.concatenate(self._rows)
            numbers = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
            starts = pa.array(np.cumsum([0, *self._counts]), pa.int64())
            lists = pa.LargeListArray.from_arrays(starts, numbers)
            batch = pa.record_batch([pa.array(self._keys), lists], names=["key", "rows"])
            self._written.append(self._store._write([batch], time.monotonic() - self._started))
            self._store.computed += len(self._keys)
            self._written = self._store._merge(self._written)  # nobody else reads these
        self._begin()


def keys_in(path: PathLike) -> list[str]:
    """The keys of a segment, whether its bytes are right or not; none where it is no Arrow file."""
    try:
        with pa.memory_map(os.fspath(path)) as file:
            keys: list[str] = pa.ipc.open_file(file).read_all().column("key").to_pylist()
            return keys
    except pa.ArrowInvalid:
        return []


def _name_of(path: Path, identity: str) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.sha256(identity.encode()))
    return f"{digest.hexdigest()}.arrow"


def _map(path: Path, size: int) -> _Segment:
    """A segment whose bytes have been checked."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    reader = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped)))
    batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    blocks = []
    for batch in batches:
        lists = batch.column("rows")
        length = lists.type.value_type.list_size
        numbers = lists.values.flatten().to_numpy(zero_copy_only=True)
        starts = lists.offsets.to_numpy(zero_copy_only=True).astype(np.int64)
        blocks.append(_Block(starts, numbers.reshape(-1, length), mapped))
    seconds = float(reader.schema.metadata[b"seconds"])
    return _Segment(path, size, seconds, batches, blocks)
