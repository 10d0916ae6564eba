"""Experiments of kind `descriptor`: colour, texture, shape, and key points encoded by words."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from gallerist.settings.base import Count, Float, Int, Seed, Settings, key
from gallerist.settings.ranking import (
    CROP_RATIO,
    KIND,
    LOOK,
    RESIZING,
    CropRatio,
    Look,
    RankedByVectors,
    Resizing,
)
from gallerist.settings.texts import File


class WholePicture(Settings):
    """What all descriptors have that make one vector of a whole picture."""

    descriptor: str = KIND
    image_size: Int = key(128, "pixels", ge=16, le=1024)
    """Pictures are resized to a square of this side."""
    look: Look = LOOK
    resizing: Resizing = RESIZING
    crop_ratio: CropRatio | None = CROP_RATIO


_GRID = "The picture is divided into so many cells a side, each with a histogram of its own."


class _Grid(Settings):
    grid: Int = key(4, "cells a side", ge=1, le=16, doc=_GRID)
    square_root: bool = key(True)
    """Takes the square root of every share, so that frequent values do not drown the rare ones."""


class _ColourKeys(WholePicture):
    space: Literal["rgb", "linear_rgb", "hsv", "lab"] = key("hsv", noun="a colour space")
    """Coordinates of the colours; `linear_rgb` counts light, the others what the eye sees."""
    bins: Int = key(8, "bins", ge=2, le=64, doc="Bins of each channel.")
    joint: bool = key(True)
    """`true`: bins of whole colours, bins³ of them. `false`: a histogram for each channel."""
    soft: bool = key(True, doc="A pixel votes for the neighbouring bins too, by nearness.")


class ColourHistogram(RankedByVectors, _Grid, _ColourKeys):
    """Which colours a picture has."""

    descriptor: Literal["colour_histogram"] = KIND
    grid: Int = key(1, "cells a side", ge=1, le=16, doc=_GRID)


class _PatternKeys(WholePicture):
    pattern: Literal["uniform", "ror", "nri_uniform"] = key("uniform", noun="a pattern")
    """`uniform`: unchanged by rotation. `ror`: finer, unchanged too. `nri_uniform`: by
    direction."""
    points: Int = key(8, "pixels", ge=4, le=24, doc="Neighbours of a pixel.")
    radius: Float = key(1.0, "pixels", gt=0, le=32, doc="Distance of the neighbours.")


class LocalBinaryPatterns(RankedByVectors, _Grid, _PatternKeys):
    """Texture by which neighbours of a pixel are brighter than it (Ojala et al., 2002)."""

    descriptor: Literal["local_binary_patterns"] = KIND


class _HaralickKeys(WholePicture):
    levels: Int = key(32, "levels", ge=2, le=256)
    """The 256 grey values are divided into so many."""
    distance: Int = key(1, "pixels", ge=1, le=15, doc="Of the two pixels of a pair.")


class Haralick(RankedByVectors, _HaralickKeys):
    """Texture by which grey values stand side by side (Haralick et al., 1973)."""

    descriptor: Literal["haralick"] = KIND


class _GaborKeys(WholePicture):
    scales: Int = key(4, "widths", ge=1, le=5)
    """Widths: a wavelength of 4 pixels, and each twice the one before."""
    orientations: Int = key(6, "directions", ge=1, le=16, doc="Directions over half a turn.")


class Gabor(RankedByVectors, _GaborKeys):
    """Texture by the strength of stripes of several widths and directions (Manjunath and Ma,
    1996).
    """

    descriptor: Literal["gabor"] = KIND


class _HogKeys(WholePicture):
    orientations: Int = key(9, "directions", ge=2, le=36, doc="Directions over half a turn.")
    cells: Int = key(8, "cells a side", ge=1, le=32, doc="Cells a side.")
    cell_pixels: Int = key(8, "pixels", ge=2, le=64, doc="Side of a cell.")
    block: Int = key(2, "cells a side", ge=1, le=8)
    """Cells a side over which the contrast is evened out, at most `cells`."""


class Hog(RankedByVectors, _HogKeys):
    """Shape by the directions of edges in overlapping blocks (Dalal and Triggs, 2005)."""

    descriptor: Literal["hog"] = KIND


class _EdgeKeys(WholePicture):
    orientations: Int = key(8, "directions", ge=2, le=36, doc="Directions.")
    signed: bool = key(False, doc="Dark to bright and bright to dark are two directions.")


class EdgeHistogram(RankedByVectors, _Grid, _EdgeKeys):
    """Shape by the directions of edges in each cell of a grid."""

    descriptor: Literal["edge_histogram"] = KIND


class HuMoments(RankedByVectors, WholePicture):
    """Shape of the region that stands out, by seven numbers that turning and scaling leave as they
    are (Hu, 1962).
    """

    descriptor: Literal["hu_moments"] = KIND


class _ZernikeKeys(WholePicture):
    degree: Int = key(8, ge=1, le=20, doc="The highest degree.")


class ZernikeMoments(RankedByVectors, _ZernikeKeys):
    """Shape of the region that stands out, by its Zernike moments, which turning leaves as they
    are (Khotanzad and Hong, 1990).
    """

    descriptor: Literal["zernike_moments"] = KIND


class _Words(Settings):
    descriptor: str = KIND
    encoding: Literal["bag_of_words", "vlad"] = key("vlad", noun="an encoding")
    """`bag_of_words`: how often each visual word occurs, rare words weigh more (tf-idf). `vlad`:
    how the descriptors lie around the words."""
    words: Int = key(64, "words", ge=2, le=65536)
    """Visual words, learned from the training pictures only."""


class _RootWords(_Words):
    root: bool = key(True)
    """RootSIFT (Arandjelovic and Zisserman, 2012), which compares histograms as histograms."""


class _KeyPoints(Settings):
    square_root: bool = key(True)
    """Takes the signed square root of every number, so that bursts of one word do not drown the
    others."""
    max_side: Int = key(512, "pixels", ge=16, le=4096)
    """Larger pictures are shrunk to this longer side; none is enlarged."""
    max_points: Count = key(500, "key points")
    """The strongest key points of a picture are taken, so many at most."""
    sample: Int = key(200_000, "descriptors", ge=1000)
    """Descriptors that the words are learned from, at most."""
    seed: Seed = key(99, doc="Chooses these descriptors, and starts the clustering.")


class Sift(RankedByVectors, _KeyPoints, _RootWords):
    """Key points described by SIFT (Lowe, 2004)."""

    descriptor: Literal["sift"] = KIND


class Orb(RankedByVectors, _KeyPoints, _Words):
    """Key points described by ORB (Rublee et al., 2011), 256 bits compared bit by bit. Finds none
    in pictures below 63 pixels a side.
    """

    descriptor: Literal["orb"] = KIND


class Surf(RankedByVectors, _KeyPoints, _Words):
    """Key points described by SURF (Bay et al., 2006). Finds none in pictures below 49 pixels
    a side.
    """

    descriptor: Literal["surf"] = KIND


class _GivenKeys(Settings):
    descriptor: Literal["given"] = KIND
    vectors: File = key(..., expects="the path of a file", example="data/theirs.npy")
    """An NPY file of (pictures, length) numbers."""
    ids: File = key(..., expects="the path of a file", example="data/theirs.csv")
    """Which picture each row is of: CSV with a column `id` or `path`, one name a line, or an NPY
    file of texts. Names as in `dataset.truth.pairs`; those of no picture are passed over."""


class Given(RankedByVectors, _GivenKeys):
    """Vectors that somebody else made, from a file: judged, compared and fused with the others. A
    new picture cannot be searched with them.
    """


Descriptor = Annotated[
    ColourHistogram
    | LocalBinaryPatterns
    | Haralick
    | Gabor
    | Hog
    | EdgeHistogram
    | HuMoments
    | ZernikeMoments
    | Sift
    | Orb
    | Surf
    | Given,
    Field(discriminator="descriptor"),
]
_DESCRIPTOR: TypeAdapter[Descriptor] = TypeAdapter(Descriptor)


def read_descriptor(**settings: Any) -> Any:
    """The settings of a descriptor, as the class of the kind that they name.

    Raises pydantic's ValidationError.
    """
    return _DESCRIPTOR.validate_python(settings)
