"""Types of arrays, each with one meaning. Shapes stand in the docstrings of those who use them."""

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
