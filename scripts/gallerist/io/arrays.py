"""Types of arrays, each with one meaning, and arrays that are mapped files.

Shapes stand in the docstrings of those who use them.
"""

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]
"""Pictures: (h, w, 3) RGB, (h, w) grey, or a batch of either."""

Vectors = npt.NDArray[np.float32]
"""Feature vectors, rows of an array or a single one, and what is as exact as they are."""

Floats = npt.NDArray[np.float64]
"""Numbers that are computed with in full: norms, distances, weights, values of metrics."""

Integers = npt.NDArray[np.int64]
"""Counts, ranks, labels as numbers."""

Indices = npt.NDArray[np.intp]
"""Positions in another array."""

Booleans = npt.NDArray[np.bool_]

_TAKEN_AT_ONCE = 64
"""Rows copied of a mapped file before its pages are let go: the kernel may map 2 MB for each."""


def take_rows(vectors: Vectors, rows: Indices) -> Vectors:
    """Copies of some rows: (rows, length). Of a mapped file no pages stay in this process."""
    array = np.asarray(vectors)  # indexing a np.memmap costs more
    copies = np.empty((len(rows), *array.shape[1:]), array.dtype)
    for start in range(0, len(rows), _TAKEN_AT_ONCE):
        part = slice(start, start + _TAKEN_AT_ONCE)
        copies[part] = array[rows[part]]
        release_pages(vectors)
    return copies


def release_pages(vectors: AnyArray) -> None:
    """Count the pages of a mapped file no longer as this process's memory. They stay cached."""
    base: Any = vectors
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
