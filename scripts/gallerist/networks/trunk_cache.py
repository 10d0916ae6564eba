"""What frozen layers make of the pictures of one part, kept on the disk for all who train on it."""

import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from gallerist.io.arrays import AnyArray, Integers
from gallerist.io.errors import UserError
from gallerist.io.files import (
    PathLike,
    read_json,
    remove_leftovers,
    sha256_of_file,
    sha256_of_text,
    write_json,
    write_text,
)
from gallerist.io.row_file import (
    DiskFull,
    RowFile,
    Rows,
    RowType,
    TooLarge,
    checked_positions,
    file_size,
    size_in_words,
    write_rows,
)

logger = logging.getLogger("gallerist")

MARGIN = 500_000_000
"""Bytes to be left free at least: the run goes on to write a network and the state of its training,
which are some hundred megabytes each."""

MARGIN_SHARE = 0.1
"""The same as a share of a large cache: caches of other parts are often written meanwhile, and file
systems need room to manage what they hold."""

_ORIGIN: dict[str, type] = {
    "trunk": str,
    "preprocessing": str,
    "dtype": str,
    "images": int,
    "values": int,
    "rows": str,
    "ids": str,
}


class NoSpace(UserError):
    """The disk has no room for a trunk cache."""


@dataclass(frozen=True, repr=False)
class TrunkCache:
    """The rows of one part of a data set by one trunk.

    rows: (images, values) float16 or float32 on the disk. ids: of the pictures, in the same order.
    trunk: SHA-256 of the frozen layers (`trunk.trunk_identity`). preprocessing: of its settings.
    """

    rows: RowFile
    ids: tuple[str, ...]
    trunk: str
    preprocessing: str

    def __post_init__(self) -> None:
        """Refuse an id that stands for two rows, and rows without an id."""
        if len(self.ids) != len(self.rows):
            raise UserError(f"{self.rows.path} has {len(self.rows)} rows, not {len(self.ids)}")
        _positions(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def values(self) -> int:
        """Values of one row."""
        return self.rows.length

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values."""
        return self.rows.dtype

    def blocks(self, size: int) -> Iterator[Rows]:
        """Copies of all rows in order, `size` at a time, in bounded memory."""
        return self.rows.blocks(size)

    @classmethod
    def read(cls, rows: PathLike, ids: PathLike, origin: PathLike) -> Self:
        """Open what `write_trunk_cache` wrote.

        The whole row file is hashed, every time: rows of another network look like any numbers and
        would train without complaint. It costs about a tenth of a millisecond a picture once, where
        one epoch of training costs some ten, and leaves the rows in the kernel's cache.

        Raises UserError when the files do not belong together, or the row file is
        damaged; FileNotFoundError.
        """
        identity = _read_origin(origin)
        listing = Path(ids).read_text(encoding="utf-8")
        stored = RowFile(rows)
        shape = len(stored), stored.length, stored.dtype.name
        if shape != (identity["images"], identity["values"], identity["dtype"]):
            raise _strangers(rows, origin)
        if sha256_of_text(listing) != identity["ids"]:
            raise _strangers(ids, origin)
        if sha256_of_file(rows) != identity["rows"]:
            raise _strangers(rows, origin)
        names = tuple(listing.splitlines()[1:])
        return cls(stored, names, identity["trunk"], identity["preprocessing"])


class JoinedRows:
    """The rows of several caches as those of one, in the order given: originals and their copies.

    ids: of all pictures. values, dtype, trunk, preprocessing: as of each cache.
    """

    def __init__(self, caches: Sequence[TrunkCache]) -> None:
        """Raises UserError unless one trunk made all, in one type, and each picture once."""
        if not caches:
            raise ValueError("at least one trunk cache is needed")
        first = caches[0]
        for cache in caches:
            check_trunk(cache, first.trunk, first.preprocessing)
            if (cache.values, cache.dtype) != (first.values, first.dtype):
                raise UserError(
                    f"rows of {first.values} {first.dtype.name} values and of {cache.values} "
                    f"{cache.dtype.name} values ({first.rows.path}, {cache.rows.path}) cannot be "
                    "joined"
                )
        self.caches = tuple(caches)
        self.values, self.dtype = first.values, first.dtype
        self.trunk, self.preprocessing = first.trunk, first.preprocessing
        self.ids = tuple(each for cache in caches for each in cache.ids)
        self._positions = _positions(self.ids)
        self._starts = np.cumsum([0, *map(len, caches)])

    def __len__(self) -> int:
        return len(self.ids)

    def positions_of(self, ids: Iterable[str]) -> Integers:
        """(k,) where the pictures of these ids are. Raises UserError naming one that is not."""
        try:
            return np.array([self._positions[each] for each in ids], dtype=np.int64)
        except KeyError as error:
            raise UserError(
                f"the trunk cache has no row of picture {error.args[0]}: it was made from another "
                "list of pictures. Remove it, and it is made again."
            ) from None

    def take(self, indices: npt.ArrayLike) -> Rows:
        """(k,) positions among all -> (k, values) copies of the rows, in that order."""
        positions = checked_positions(indices, len(self))
        rows = np.empty((len(positions), self.values), self.dtype)
        for cache, start in zip(self.caches, self._starts, strict=False):
            here = (positions >= start) & (positions < start + len(cache))
            if here.any():
                rows[here] = cache.rows.take(positions[here] - start)
        return rows


def check_trunk(cache: TrunkCache, trunk: str, preprocessing: str) -> None:
    """Raise UserError unless these frozen layers, so prepared, made the rows of the cache."""
    if cache.trunk != trunk:
        raise UserError(
            f"{cache.rows.path} was made by other frozen layers ({cache.trunk[:12]}) than those of "
            f"this network ({trunk[:12]}). Remove it, and it is made again."
        )
    if cache.preprocessing != preprocessing:
        raise UserError(
            f"{cache.rows.path} was made from pictures prepared in another way. Remove it, and it "
            "is made again."
        )


def announce_and_check(folder: PathLike, size: int, *, part: str, dtype: RowType) -> None:
    """Log what a cache of `size` bytes in `folder` will take, before anything is taken.

    Raises NoSpace when it would leave less than MARGIN bytes or MARGIN_SHARE of its size free.
    The folder need not exist yet.
    """
    there = Path(folder).absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    logger.info(
        "the trunk cache of %s takes %s of %s free in %s",
        *(part, size_in_words(size), size_in_words(free), folder),
    )
    spare = max(MARGIN, round(size * MARGIN_SHARE))
    if size + spare > free:
        raise NoSpace(
            f"The trunk cache of {part} takes {size_in_words(size)}, and {size_in_words(spare)} "
            f"more should stay free; {folder} has {size_in_words(free)} free. {_remedies(dtype)}"
        )


def write_trunk_cache(
    batches: Iterable[AnyArray],
    ids: Sequence[str],
    *,
    part: str,
    trunk: str,
    preprocessing: str,
    values: int,
    dtype: RowType,
    rows: PathLike,
    ids_file: PathLike,
    origin: PathLike,
) -> TrunkCache:
    """Write the rows of one part's pictures batch by batch, as many as there are ids.

    batches: of (any number, values) floating-point rows in the order of `ids`; the first is asked
    for when the disk has been found large enough. The three files of an earlier cache are removed
    before, because they would take room, and the origin is written last: where it is, all are.

    Raises NoSpace before or while writing; TooLarge naming the remedy when float16 cannot hold a
    number; UserError when the rows are not those announced. No half file is left.
    """
    _positions(ids)
    for path in (origin, ids_file, rows):
        Path(path).unlink(missing_ok=True)
    remove_leftovers(rows)
    size = file_size(len(ids), values, dtype)
    announce_and_check(Path(rows).parent, size, part=part, dtype=dtype)
    listing = "".join(f"{line}\n" for line in ("id", *ids))
    try:
        written = write_rows(rows, batches, count=len(ids), length=values, dtype=dtype)
    except DiskFull as error:
        raise NoSpace(
            f"The trunk cache of {part} takes more than the disk had free. {error} "
            f"{_remedies(dtype)}"
        ) from error
    except TooLarge as error:
        raise TooLarge(f"{error} That is `trunk_cache: float32`.") from error
    write_text(ids_file, listing)
    identity = {
        "trunk": trunk,
        "preprocessing": preprocessing,
        "dtype": dtype,
        "images": written.count,
        "values": written.length,
        "rows": written.sha256,
        "ids": sha256_of_text(listing),
    }
    write_json(origin, identity)
    return TrunkCache(RowFile(rows), tuple(ids), trunk, preprocessing)


def _remedies(dtype: RowType) -> str:
    half = "`trunk_cache: float16` to need half of it, " if dtype == "float32" else ""
    return (
        f"Set {half}`trunk_cache: off` to need nothing and compute the frozen layers in every "
        "epoch, or run in a folder on another disk."
    )


def _positions(ids: Sequence[str]) -> dict[str, int]:
    positions = {each: position for position, each in enumerate(ids)}
    if len(positions) < len(ids):
        twice = next(each for position, each in enumerate(ids) if positions[each] != position)
        raise UserError(f"picture {twice} is listed twice: its row would not be clear")
    return positions


def _read_origin(origin: PathLike) -> Mapping[str, Any]:
    """The description of a cache, with each of its entries of the right type."""
    try:
        identity = read_json(origin)
    except ValueError:  # JSON or UTF-8 broken
        identity = None
    if not isinstance(identity, dict) or any(
        type(identity.get(key)) is not kind for key, kind in _ORIGIN.items()
    ):
        raise UserError(
            f"{origin} does not describe a trunk cache. Remove it, and the cache is made again."
        )
    return identity


def _strangers(path: PathLike, origin: PathLike) -> UserError:
    return UserError(
        f"{path} is not the file that {origin} describes. Remove both, and they are made again."
    )
