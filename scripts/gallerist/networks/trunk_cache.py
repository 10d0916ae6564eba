"""What frozen layers make of the pictures of one part, kept on the disk for all who train on it."""

import logging
import shutil
from collections.abc import Iterable, Sequence
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
    check_positions,
    file_size,
    format_size,
    write_rows,
)

logger = logging.getLogger("gallerist")

MARGIN = 500_000_000
"""Bytes to be left free at least: the run goes on to write a network and the state of its training,
which are some hundred megabytes each."""

MARGIN_SHARE = 0.1
"""The same as a share of a large cache: caches of other parts are often written meanwhile, and file
systems need room to manage what they hold."""


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

    @classmethod
    def read(cls, rows: PathLike, ids: PathLike, origin: PathLike) -> Self:
        """Open what `write_trunk_cache` wrote.

        The whole row file is hashed, every time: rows of another network look like any numbers and
        would train without complaint. It costs about a tenth of a millisecond a picture once, where
        one epoch of training costs some ten, and leaves the rows in the kernel's cache.

        Raises UserError when the files do not belong together, or the row file is
        damaged; FileNotFoundError.
        """
        try:
            identity = read_json(origin)
            trunk, preprocessing = identity["trunk"], identity["preprocessing"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{origin} is damaged. Remove it, {ids} and {rows}, and they are made again."
            ) from error
        listing = Path(ids).read_text(encoding="utf-8")
        stored = RowFile(rows)
        if identity != _identity(stored, sha256_of_file(rows), listing, trunk, preprocessing):
            raise UserError(
                f"{ids} or {rows} is not the file that {origin} describes. Remove all three, and "
                "they are made again."
            )
        return cls(stored, tuple(listing.splitlines()[1:]), trunk, preprocessing)


class JoinedRows:
    """The rows of several caches as those of one, in the order given: originals and their copies.

    ids: of all pictures.
    """

    def __init__(self, caches: Sequence[TrunkCache]) -> None:
        """caches: one or more. Raises UserError unless one trunk made all, each picture once."""
        for cache in caches[1:]:
            check_trunk(cache, caches[0].trunk, caches[0].preprocessing)
        self.rows = [cache.rows for cache in caches]
        self.ids = tuple(each for cache in caches for each in cache.ids)
        self._positions = _positions(self.ids)
        self._starts = np.cumsum([0, *map(len, self.rows)])

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
        positions = check_positions(indices, len(self))
        taken = np.empty((len(positions), self.rows[0].length), self.rows[0].dtype)
        for rows, start in zip(self.rows, self._starts, strict=False):
            here = (positions >= start) & (positions < start + len(rows))
            if here.any():
                taken[here] = rows.take(positions[here] - start)
        return taken


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
        *(part, format_size(size), format_size(free), folder),
    )
    spare = max(MARGIN, round(size * MARGIN_SHARE))
    if size + spare > free:
        raise NoSpace(
            f"The trunk cache of {part} takes {format_size(size)}, and {format_size(spare)} "
            f"more should stay free; {folder} has {format_size(free)} free. {_remedies(dtype)}"
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
    stored = RowFile(rows)
    write_json(origin, _identity(stored, written.sha256, listing, trunk, preprocessing))
    return TrunkCache(stored, tuple(ids), trunk, preprocessing)


def _identity(
    rows: RowFile, sha256: str, listing: str, trunk: str, preprocessing: str
) -> dict[str, Any]:
    """What ties the files of a cache together. sha256: of the rows. listing: the file of ids."""
    return {
        "trunk": trunk,
        "preprocessing": preprocessing,
        "dtype": rows.dtype.name,
        "images": len(rows),
        "values": rows.length,
        "rows": sha256,
        "ids": sha256_of_text(listing),
    }


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
