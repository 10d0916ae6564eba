"""Classical describers of whole pictures: found by name, and what they share.

A describer is a pure function `(pixels, **settings) -> vector`: pixels are uint8 (h, w, 3) RGB of
any size from one pixel on, the vector is float32 (d,), finite, and d follows from the settings
alone. All zeros say that the picture has nothing to describe.

Adding one is a function with the decorator `descriptor` in a module that `names` imports, and its
settings in the schema of the configuration.
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Vector = npt.NDArray[np.float32]
Describe = Callable[..., Vector]
AnyDescribe = TypeVar("AnyDescribe", bound=Describe)

_known: dict[str, Describe] = {}


class UnknownDescriptor(ValueError):
    """No describer has this name. The message lists the names."""


class NameTaken(ValueError):
    """Two describers were given one name."""


def descriptor(name: str) -> Callable[[AnyDescribe], AnyDescribe]:
    """Make a function known as the describer `name`; it is returned unchanged.

    Raises NameTaken when another function has the name.
    """

    def remember(function: AnyDescribe) -> AnyDescribe:
        other = _known.setdefault(name, function)
        # A module that is imported again defines its functions again, under the same names.
        if (other.__module__, other.__qualname__) != (function.__module__, function.__qualname__):
            raise NameTaken(
                f"{function.__module__}.{function.__qualname__} cannot be the describer {name!r}: "
                f"{other.__module__}.{other.__qualname__} is. Choose another name."
            )
        _known[name] = function
        return function

    return remember


def get(name: str) -> Describe:
    """Return the describer `name`. Raises UnknownDescriptor."""
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UnknownDescriptor(f"{name!r} is not a descriptor.{hint}\n  Known: {', '.join(known)}")
    return _known[name]


def names() -> tuple[str, ...]:
    """List the names of all describers, in alphabetical order."""
    # Here, because they import this module; and by name, so that a job sees that it needs them.
    from gallerist.features.descriptors import (
        colour,  # noqa: F401
        shape,  # noqa: F401
        texture,  # noqa: F401
    )

    return tuple(sorted(_known))


def vector_length(name: str, settings: Mapping[str, Any]) -> int:
    """Numbers in a vector of this describer with these settings. Raises UnknownDescriptor."""
    return len(get(name)(np.zeros((1, 1, 3), np.uint8), **settings))


def grey(pixels: Pixels) -> Pixels:
    """Luma of uint8 (h, w, 3) RGB pixels by ITU-R BT.601, rounded: uint8 (h, w)."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def at_least(pixels: Pixels, side: int) -> Pixels:
    """Repeat pixels of a picture with a side below `side`, so that it has none; others as given.

    Repeating invents no new values: a small picture is described like its magnified self.
    """
    height, width = pixels.shape[:2]
    if min(height, width) >= side:
        return pixels
    larger = (max(width, side), max(height, side))
    return np.asarray(cv2.resize(pixels, larger, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def cell_index(picture: npt.NDArray[Any], grid: int) -> npt.NDArray[np.intp]:
    """Number the cells of a grid x grid division of a picture, row by row, for each of its pixels.

    picture: (h, w, ...). Returns (h, w), numbers 0 to grid² - 1. No cell is empty when no
    side is below `grid`.
    """
    height, width = picture.shape[:2]
    row = np.arange(height) * grid // height
    column = np.arange(width) * grid // width
    return np.asarray(row[:, None] * grid + column, dtype=np.intp)


def cell_histograms(
    bins: npt.NDArray[np.integer[Any]],
    cells: npt.NDArray[np.intp],
    *,
    grid: int,
    count: int,
    weights: npt.NDArray[np.floating[Any]] | None = None,
) -> npt.NDArray[np.float64]:
    """Weigh the pixels of each cell by bin, divided by how many pixels the cell has.

    bins: (h, w), the bin 0 to `count` - 1 of each pixel. cells: of `cell_index`. weights: (h, w),
    of the pixels' votes; None is 1 each, and then the histogram of a cell sums to 1.
    Returns (grid², count); sums are exact or in float64, so that they do not depend on the size.
    """
    flat = None if weights is None else weights.ravel()
    index = cells.ravel() * count + bins.ravel()
    sums = np.bincount(index, flat, minlength=grid * grid * count).reshape(grid * grid, count)
    pixels = np.bincount(cells.ravel(), minlength=grid * grid)
    return np.asarray(sums / np.maximum(pixels, 1)[:, None], dtype=np.float64)


def as_vector(values: npt.NDArray[Any], *, square_root: bool = False) -> Vector:
    """Flatten to float32; with `square_root`, of values that are not negative, by their roots.

    The Euclidean distance of the roots of two histograms is their Hellinger distance, which a few
    large bins do not rule (Arandjelović and Zisserman: Three things everyone should know to
    improve object retrieval, 2012).
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    return np.asarray(np.sqrt(flat) if square_root else flat, dtype=np.float32)
