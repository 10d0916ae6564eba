"""Indexes kept as files: what takes hours to build is built once, and then mapped into memory."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import faiss as faiss_with_stubs
import numpy as np

from gallerist.io.arrays import AnyArray, Vectors, release_pages
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, read_json, replacing, sha256_of_file, write_json
from gallerist.search import faiss_index
from gallerist.search.distances import Measure
from gallerist.search.faiss_index import BuiltIndex, build_index

logger = logging.getLogger("gallerist")

faiss: Any = faiss_with_stubs  # whose stubs lack some of what it has

_HASHED_ROWS = 1 << 15
"""Rows of a mapped gallery that are read before their pages are let go."""


def kept_index(
    folder: PathLike | None, gallery: Vectors, text: str, measure: Measure
) -> tuple[BuiltIndex, Path | None]:
    """The index of a gallery as `build_index` builds it, and its file, which is kept in `folder`.

    The file bears a SHA-256 of all that the index is built from: the vectors, how long they are,
    metric, factory string, FAISS. So another gallery has another file, and other queries, depths
    and efforts have the same. One whose bytes are not those that were written is built again.

    folder: which need not exist; None keeps nothing. Raises as `build_index`.
    """
    if folder is None:
        return build_index(gallery, text, measure), None
    file = Path(folder) / f"{_identity(gallery, text, measure)}.faiss"
    with suppress(FileNotFoundError):
        return _opened(file, text), file
    built = build_index(gallery, text, measure)
    with replacing(file) as temporary:
        faiss.write_index(built.index, str(temporary))
    written = {"sha256": sha256_of_file(file), "build_seconds": built.seconds}
    write_json(_note_of(file), written)
    return replace(built, file_bytes=file.stat().st_size), file


def _opened(file: Path, text: str) -> BuiltIndex:
    """Raises FileNotFoundError where there is no whole index of that name."""
    try:
        note = read_json(_note_of(file))
        if sha256_of_file(file) != note["sha256"]:
            raise UserError(f"{file} is not what was written")
        index = faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC)
        return BuiltIndex(text, index, float(note["build_seconds"]), file.stat().st_size)
    except (UserError, KeyError, TypeError, ValueError, RuntimeError) as error:
        logger.warning("%s is damaged, and built again (%s)", file, error)
        raise FileNotFoundError(file) from None


def _note_of(file: Path) -> Path:
    return file.with_suffix(".json")


def _identity(gallery: Vectors, text: str, measure: Measure) -> str:
    """SHA-256 of what an index is built from."""
    constants = faiss_index.SEED, faiss_index.ADDED_CELLS, faiss_index.USEFUL
    head = text, measure.metric, gallery.shape, str(gallery.dtype), constants, faiss.__version__
    digest = sha256(repr(head).encode())
    for rows in _blocks(gallery):
        digest.update(np.ascontiguousarray(rows).data)
    release_pages(gallery)
    if measure.gallery is not None:
        digest.update(np.ascontiguousarray(measure.gallery).data)
    return digest.hexdigest()


def _blocks(gallery: Vectors) -> Iterator[AnyArray]:
    for start in range(0, len(gallery), _HASHED_ROWS):
        yield gallery[start : start + _HASHED_ROWS]
        release_pages(gallery)
