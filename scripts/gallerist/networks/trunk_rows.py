"""What frozen layers make of pictures, kept on the disk for all who train and extract on it."""

import errno
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock

from gallerist.data.manifest import Manifest
from gallerist.data.preprocessing import Preprocessing, decode_ahead
from gallerist.data.reading import Readable
from gallerist.io.arrays import AnyArray
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike
from gallerist.io.row_file import TooLarge, format_size
from gallerist.io.row_store import RowStore
from gallerist.networks.exported import Exported
from gallerist.networks.inference import Forward, compile_exported, uses_tensorflow
from gallerist.workflow.progress import Progress
from gallerist.workflow.stores import open_store

RowType = Literal["float16", "float32"]

logger = logging.getLogger("gallerist")

MARGIN = 500_000_000
"""Bytes to be left free at least: the run goes on to write a network and the state of its training,
which are some hundred megabytes each."""

MARGIN_SHARE = 0.1
"""The same as a share of many rows: others are often written meanwhile, and file systems need room
to manage what they hold."""

AT_ONCE = 64
"""Rows read from the store at once."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NoSpace(UserError):
    """The disk has no room for the rows of a trunk."""


class Trunk:
    """The frozen layers of a backbone, as an extractor of rows: see `extractors.Extractor`.

    dtype: of the rows. exported: what it is. engine_name: what computed, once something has been.
    """

    def __init__(
        self,
        exported: PathLike,
        settings: Mapping[str, Any],
        pictures: Preprocessing,
        *,
        weights: str | None,
        threads: int,
        compute: Mapping[str, Any],
    ) -> None:
        """Open what rule export_trunk left. Nothing is compiled before the first row.

        exported: its description. settings: `Experiment.trunk_settings`. pictures: how they are
        read. weights: of the backbone, a file, or None for random ones; for TensorFlow only.
        compute: the section of that name.
        Raises UserError when the files are damaged.
        """
        remedy = f"Remove {exported}, and it is made again."
        self.exported = Exported.read(exported, remedy)
        self._settings, self._weights = settings, weights
        self._threads, self._compute = threads, compute
        self.pictures = pictures
        self.dtype: RowType = settings["trunk_cache"]
        self.engine_name = "none"

    @property
    def model(self) -> str:
        """The identity of the layers: see `trunk.Halves.identity`."""
        return self.exported.model

    @property
    def identity(self) -> list[object]:
        """All that can change a bit of a row."""
        computing = uses_tensorflow(self._compute["engine"]), self._compute["gpu_precision"]
        return [self.model, self.preprocessing, self.dtype, *computing]

    @property
    def preprocessing(self) -> str:
        """Of what is done to a picture before."""
        return self.pictures.sha256

    @property
    def length(self) -> int:
        """Numbers in a row."""
        return self.exported.length

    def batches(self, pictures: Sequence[Readable]) -> Iterator[AnyArray]:
        """Batches of (n, length) rows in the type that they are kept in, one a picture.

        Raises TooLarge naming the remedy when float16 cannot hold a number; UserError when one is
        not finite; `decoding.BadImage`.
        """
        forward, progress = self._forward(), Progress("images", len(pictures))
        with closing(decode_ahead(pictures, self.pictures, threads=self._threads)) as pixels:
            for rows in forward.stream(pixels):
                yield in_stored_type(rows, self.dtype)
                progress.advance(len(rows))

    def _forward(self) -> Forward:
        def in_keras() -> Any:
            from gallerist.networks.trunk import load_trunk

            return load_trunk(self._settings, self._weights)[0]

        forward = compile_exported(
            self.exported,
            in_keras,
            engine=self._compute["engine"],
            threads=self._threads,
            xla=self._compute["gpu_xla"],
        )
        self.engine_name = forward.name
        return forward


class TrunkRows:
    """The rows of a trunk by picture, computed where they are not kept.

    trunk: what makes them. store: that they are kept in.
    """

    def __init__(self, trunk: Trunk, folder: PathLike) -> None:
        """folder: of the trunk's stores, one for each `Trunk.identity`."""
        self.trunk = trunk
        self.store: RowStore = open_store(folder, Trunk, *trunk.identity, copies=True)
        self._ids: dict[str, str] = {}
        self._passing: set[str] = set()

    def fill(self, *manifests: Manifest) -> None:
        """Compute and keep the rows of pictures that have none.

        Raises NoSpace before or while writing, and as `Trunk.batches`. What was computed before an
        error is kept.
        """
        self._fill({row.id: row for images in manifests for row in images})

    def _fill(self, pictures: Mapping[str, Readable]) -> None:
        missing = self.store.missing(pictures)
        if not missing:
            return
        dtype, folder = self.trunk.dtype, self.store.folder
        width = self.trunk.length * np.dtype(dtype).itemsize
        announce_and_check(folder, len(missing) * width, dtype)
        waiting = iter(missing)
        try:
            with self.store.adding() as additions:
                for rows in self.trunk.batches([pictures[each] for each in missing]):
                    additions.add(list(islice(waiting, len(rows))), rows)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise NoSpace(
                f"The rows of frozen layers take more than the disk of {folder} had free "
                f"({error.strerror}). {_remedies(dtype)}"
            ) from error

    def of(self, *manifests: Manifest, passing: Sequence[Manifest] = ()) -> "TrunkRows":
        """These rows, to be asked for by the paths of these pictures.

        passing: others, whose rows are not kept where they have to be computed.
        """
        self._ids = {row.path: row.id for images in (*manifests, *passing) for row in images}
        self._passing = {row.id for images in passing for row in images}
        self._passing.difference_update(*(images.ids for images in manifests))
        return self

    def batches(self, paths: Sequence[PathLike]) -> Iterator[AnyArray]:
        """Batches of (n, length) rows of pictures, kept or not; see `of`. None is kept by this."""
        ids = [self._ids[str(path)] for path in paths]
        for kept, group in groupby(range(len(ids)), lambda at: ids[at] in self.store):
            places = list(group)
            if kept:
                yield from self.store.batches([ids[at] for at in places], AT_ONCE)
            else:
                yield from self.trunk.batches([paths[at] for at in places])

    def keep(self, paths: Sequence[PathLike]) -> None:
        """Compute and keep the rows of pictures that have none, but of those that pass; see `of`.

        Of jobs that lack the same, one computes it and the others wait, unless the disk knows no
        locks. Raises as `fill`.
        """
        found = {self._ids[str(path)]: path for path in paths}
        pictures = {key: path for key, path in found.items() if key not in self._passing}
        missing = self.store.missing(pictures)
        if not missing:
            return
        self.store.folder.mkdir(parents=True, exist_ok=True)
        # Few files, which stay, and seldom the same for shards, which lack others.
        lock = FileLock(self.store.folder / f".{missing[0][:2]}.lock")
        with suppress(NotImplementedError, OSError):
            lock.acquire()
        try:
            self.store.refresh()
            self._fill(pictures)
        finally:
            lock.release()

    def metrics(self, parts: Mapping[str, Manifest]) -> dict[str, float]:
        """What a record says of the pictures of all parts, each counted once."""
        images = len({row.id for images in parts.values() for row in images})
        rate = len(self.store) / max(self.store.seconds, 1e-9)
        return {
            "images": images,
            **{f"{part}_images": len(each) for part, each in parts.items()},
            "vectors_computed": self.store.computed,
            "vectors_stored": images - self.store.computed,
            "extraction_seconds": images / rate if rate else 0.0,
            "images_per_second": rate,
            "values": self.trunk.length,
            "bytes": self.store.bytes,
        }


def check_trunk(rows: TrunkRows, trunk: str, preprocessing: str) -> None:
    """Raise UserError unless these frozen layers, so prepared, make the rows."""
    if rows.trunk.model != trunk:
        raise UserError(
            f"{rows.store.folder} has rows of other frozen layers ({rows.trunk.model[:12]}) than "
            f"those of this network ({trunk[:12]}): run the workflow again"
        )
    if rows.trunk.preprocessing != preprocessing:
        raise UserError(
            f"{rows.store.folder} has rows of pictures prepared in another way: run the workflow "
            "again"
        )


def announce_and_check(folder: PathLike, size: int, dtype: RowType) -> None:
    """Log what rows of `size` bytes in `folder` will take, before anything is taken.

    Raises NoSpace when they would leave less than MARGIN bytes or MARGIN_SHARE of their size free.
    The folder need not exist yet.
    """
    there = Path(folder).absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    logger.info(
        "the rows of frozen layers take %s of %s free in %s",
        *(format_size(size), format_size(free), folder),
    )
    spare = max(MARGIN, round(size * MARGIN_SHARE))
    if size + spare > free:
        raise NoSpace(
            f"The rows of frozen layers take {format_size(size)}, and {format_size(spare)} "
            f"more should stay free; {folder} has {format_size(free)} free. {_remedies(dtype)}"
        )


def in_stored_type(rows: AnyArray, dtype: RowType) -> AnyArray:
    """Rows in the type that they are kept in. Raises as `Trunk.batches`."""
    largest = float(np.abs(rows).max(initial=0))
    if not np.isfinite(largest):
        raise UserError("the frozen layers give numbers that are not finite")
    greatest = float(np.finfo(dtype).max)
    if largest > greatest:
        raise TooLarge(
            f"a number of {largest:.6g} of the frozen layers does not fit into {dtype}, whose "
            f"largest is {greatest:.6g}. Keep the rows by `trunk_cache: float32`."
        )
    return rows.astype(dtype)


def _remedies(dtype: RowType) -> str:
    half = "`trunk_cache: float16` to need half of it, " if dtype == "float32" else ""
    return (
        f"Set {half}`trunk_cache: off` to need nothing and compute the frozen layers in every "
        "epoch, or run in a folder on another disk."
    )
