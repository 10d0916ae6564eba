"""The classical descriptors of whole pictures, by name.

A descriptor is a pure function `(pixels, **settings) -> vector`: pixels are uint8 (h, w, 3) RGB of
any size from one pixel on, the vector is float32 (d,), finite, and d follows from the settings
alone. All zeros say that there is nothing in the picture for it.

Adding one is a function in a module beside this one, its row in the table below, and its settings
in the configuration's.
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gallerist.features.descriptors.colour import colour_histogram
from gallerist.features.descriptors.shape import edge_histogram, hog, hu_moments, zernike_moments
from gallerist.features.descriptors.texture import gabor, haralick, local_binary_patterns
from gallerist.io.arrays import Vectors
from gallerist.io.errors import UserError

Descriptor = Callable[..., Vectors]

DESCRIPTORS: dict[str, Descriptor] = {
    "colour_histogram": colour_histogram,
    "edge_histogram": edge_histogram,
    "gabor": gabor,
    "haralick": haralick,
    "hog": hog,
    "hu_moments": hu_moments,
    "local_binary_patterns": local_binary_patterns,
    "zernike_moments": zernike_moments,
}


def descriptor(name: str) -> Descriptor:
    """The descriptor of that name. Raises UserError, which lists the names."""
    if name not in DESCRIPTORS:
        near = difflib.get_close_matches(name, DESCRIPTORS, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        known = ", ".join(DESCRIPTORS)
        raise UserError(f"{name!r} is not a descriptor.{hint}\n  Known: {known}")
    return DESCRIPTORS[name]


def vector_length(name: str, settings: Mapping[str, Any]) -> int:
    """Numbers in a vector of this descriptor with these settings. Raises as `descriptor`."""
    return len(descriptor(name)(np.zeros((1, 1, 3), np.uint8), **settings))
