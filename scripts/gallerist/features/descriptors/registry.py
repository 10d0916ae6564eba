"""The classical descriptors of whole pictures, by name.

A descriptor is a pure function `(pixels, **settings) -> vector`: pixels are uint8 (h, w, 3) RGB of
any size from one pixel on, the vector is float32 (d,), finite, and d follows from the settings
alone. All zeros say that there is nothing in the picture for it.

Adding one is a function in a module beside this one, its row in the table below, and its settings
in the configuration's.
"""

from collections.abc import Callable

from gallerist.features.descriptors.colour import colour_histogram
from gallerist.features.descriptors.shape import edge_histogram, hog, hu_moments, zernike_moments
from gallerist.features.descriptors.texture import gabor, haralick, local_binary_patterns
from gallerist.io.arrays import Vectors

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
