"""Key points of a picture: places that are found again in other pictures, and what is around them.

SIFT (Lowe, Distinctive Image Features from Scale-Invariant Keypoints, 2004) and ORB (Rublee et al.,
ORB: an efficient alternative to SIFT or SURF, 2011) are OpenCV's, SURF (Bay et al., Speeded-Up
Robust Features, 2008) is mahotas's.

They need room: in pictures with a side below 63 pixels ORB finds nothing by construction, nor does
SURF below 49, because the border that their patches would reach over is left out.
"""

import os
from dataclasses import asdict, dataclass, field
from typing import Literal

import cv2
import numpy as np

from gallerist.data.decoding import MAX_PIXELS, BadImage, Profiles, read_image
from gallerist.io.arrays import AnyArray, Pixels, Vectors
from gallerist.io.files import PathLike, canonical_json

Kind = Literal["sift", "orb", "surf"]

DESCRIPTOR_LENGTH: dict[Kind, int] = {"sift": 128, "orb": 32, "surf": 64}
"""Columns of `KeyPoints.descriptors`: float32 numbers, for ORB bytes of eight bits each."""

_SMALLEST_SIDE = 2
"""Pixels. OpenCV's ORB fails where a side of its smallest copy of the picture rounds to none."""

_SURF_DIAMETER = 7.5
"""From mahotas's scale to the side of the filter: Bay et al. give 9 pixels the scale 1.2."""

_ALL = 2**31 - 1


@dataclass(frozen=True, eq=False)
class KeyPoints:
    """The key points of one picture, the strongest first.

    positions: (n, 2) float32, x to the right and y down, in pixels from the first pixel's centre.
    sizes: (n,) float32, diameters in pixels of what was looked at to find the point.
    angles: (n,) float32, degrees in [0, 360) from the x axis towards the y axis, that is clockwise
        as seen: where the picture gets brighter around the point.
    responses: (n,) float32, strengths, comparable within one kind only.
    descriptors: (n, 128) float32 of SIFT, (n, 64) float32 of SURF, (n, 32) uint8 of ORB, which is
        256 bits to be compared by their Hamming distance.
    """

    positions: Vectors
    sizes: Vectors
    angles: Vectors
    responses: Vectors
    descriptors: AnyArray

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True)
class Detector:
    """How key points are detected: the same for every picture that is to be compared.

    kind: "sift", "orb" or "surf". max_side: pixels that the longer side is shrunk to.
    max_points: of a picture, the strongest. root: see `root_sift`; for SIFT only.
    max_pixels, profiles: see `decoding.decode_image`. The first decides no key point, and is no
    part of what a detector is.
    """

    kind: Kind
    max_side: int
    max_points: int
    root: bool = False
    max_pixels: int = field(default=MAX_PIXELS, compare=False)
    profiles: Profiles = "apply"

    @property
    def descriptor_length(self) -> int:
        """Columns of the descriptors."""
        return DESCRIPTOR_LENGTH[self.kind]

    def to_json(self) -> str:
        """One spelling of the settings: equal detectors give equal strings."""
        return canonical_json({k: v for k, v in asdict(self).items() if k != "max_pixels"})

    def prepare(self, path: PathLike) -> Pixels:
        """Read a picture and shrink it: what positions are pixels of.

        Raises `decoding.BadImage` naming the file when it cannot be decoded.
        """
        try:
            pixels = read_image(path, max_pixels=self.max_pixels, profiles=self.profiles)
            return shrink(pixels, self.max_side)
        except BadImage as error:
            raise BadImage(f"{os.fspath(path)}: {error}") from error

    def detect(self, pixels: Pixels) -> KeyPoints:
        """Key points of uint8 (h, w, 3) RGB pixels, which are shrunk first where needed."""
        shrunk = shrink(pixels, self.max_side)
        return detect(self.kind, shrunk, max_points=self.max_points, root=self.root)

    def detect_in_file(self, path: PathLike) -> KeyPoints:
        """Key points of a picture file. Raises `decoding.BadImage` naming it."""
        return self.detect(self.prepare(path))

    def descriptors(self, path: PathLike) -> AnyArray:
        """The descriptors of a picture file: see `KeyPoints`."""
        return self.detect_in_file(path).descriptors


def shrink(pixels: Pixels, max_side: int) -> Pixels:
    """Shrink a picture so that its longer side has at most `max_side` pixels; enlarge none.

    Its proportions are kept but for the rounding to whole pixels, of which one is always left. Each
    new pixel is the average over the area it covers.
    """
    height, width = pixels.shape[:2]
    factor = max_side / max(height, width)
    if factor >= 1:
        return pixels
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def detect(kind: Kind, pixels: Pixels, *, max_points: int, root: bool = False) -> KeyPoints:
    """The strongest `max_points` key points of uint8 (h, w, 3) RGB pixels.

    Colours are weighted to grey as OpenCV does (ITU-R BT.601). root: see `root_sift`.
    SIFT gives a place with several directions one point for each. Points of equal strength come in
    the order of their rows, columns, sizes and angles, and are cut in this order. ORB shares
    `max_points` among its scales before, so that it may give fewer than the picture has.

    A picture without structure, or too small for a patch, has none: every array is empty.
    """
    if min(pixels.shape[:2]) < _SMALLEST_SIDE:
        return _none(kind)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    found = _surf(grey) if kind == "surf" else _of_opencv(kind, grey, max_points)
    columns = (found.angles, found.sizes, *found.positions.T, -found.responses)
    best = np.lexsort(columns)[:max_points]
    descriptors = found.descriptors[best]
    return KeyPoints(
        positions=found.positions[best],
        sizes=found.sizes[best],
        angles=found.angles[best],
        responses=found.responses[best],
        descriptors=root_sift(descriptors) if root else descriptors,
    )


def root_sift(descriptors: Vectors) -> Vectors:
    """Scale SIFT descriptors to a sum of 1 and take the square root of each number.

    (n, d) non-negative float32 -> (n, d) float32 of Euclidean length 1; zeros stay zeros. The dot
    product of two is the Hellinger kernel (Bhattacharyya coefficient) of the descriptors.
    Source: Arandjelović & Zisserman, Three things everyone should know to improve object
    retrieval, 2012.
    """
    sums = descriptors.sum(axis=1, dtype=np.float64, keepdims=True)
    return np.sqrt(descriptors / np.where(sums > 0, sums, 1.0)).astype(np.float32)


def _of_opencv(kind: Kind, grey: Pixels, max_points: int) -> KeyPoints:
    create = cv2.SIFT.create if kind == "sift" else cv2.ORB.create
    points, descriptors = create(nfeatures=max_points).detectAndCompute(grey, None)
    if descriptors is None or not len(points):
        return _none(kind)
    rows = np.array(
        [(*point.pt, point.size, point.angle % 360, point.response) for point in points],
        dtype=np.float32,
    )
    return KeyPoints(rows[:, :2], rows[:, 2], rows[:, 3], rows[:, 4], np.asarray(descriptors))


def _surf(grey: Pixels) -> KeyPoints:
    from mahotas.features.surf import surf

    # It would cut before it drops those at the border, and break ties as its sorting happens to.
    rows = surf(grey.astype(np.float64), max_points=_ALL)
    # Its angles go from the y axis towards the x axis, and point to where it gets darker.
    angles = ((270 - np.degrees(rows[:, 5])) % 360).astype(np.float32)
    return KeyPoints(
        positions=rows[:, [1, 0]].astype(np.float32),
        sizes=(_SURF_DIAMETER * rows[:, 2]).astype(np.float32),
        angles=np.where(angles < 360, angles, np.float32(0)),
        responses=rows[:, 3].astype(np.float32),
        descriptors=rows[:, 6:].astype(np.float32),
    )


def _none(kind: Kind) -> KeyPoints:
    number = np.empty(0, dtype=np.float32)
    stored = np.uint8 if kind == "orb" else np.float32
    descriptors: AnyArray = np.empty((0, DESCRIPTOR_LENGTH[kind]), dtype=stored)
    return KeyPoints(np.empty((0, 2), dtype=np.float32), number, number, number, descriptors)
