"""Colour management: what a picture's numbers stand for -> the numbers that sRGB has for it.

A descriptor sees numbers. Those of a photo in Adobe RGB or of a PNG with a gamma of its own are
others than an sRGB picture of the same thing has, and no browser shows them as they are.
"""

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from gallerist.data.formats import BadImage
from gallerist.io.arrays import Floats, Pixels

_SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""White, red, green and blue of sRGB, as x and y (IEC 61966-2-1)."""

_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
"""From XYZ to the cones' answers, in which white points are exchanged (ICC.1, annex E)."""

_BAND = 1 << 18
"""Pixels that are converted at once."""

_STEPS = 65535
"""In which light is divided where it becomes numbers again: none is a tenth of a level."""

_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
"""The colour space that a profile names for a kind of pixel."""

_LONGEST_PROFILE = 16 << 20
"""Bytes. Profiles of printing presses have two million."""


@dataclass(frozen=True)
class Encoding:
    """Red, green and blue numbers n from 0 to 1 stand for light n ** gamma of three primaries.

    gammas: of the three; None for the curve of sRGB. primaries: white, red, green and blue, as x
    and y; None for those of sRGB.
    """

    gammas: tuple[float, float, float] | None = None
    primaries: tuple[float, ...] | None = None

    @classmethod
    def of(
        cls, primaries: tuple[float, ...] | None, gammas: tuple[float, ...] | None
    ) -> "Encoding | None":
        """None where they say what sRGB says, or nothing that could be meant."""
        if primaries and (np.allclose(primaries, _SRGB, atol=1e-3) or _to_xyz(primaries) is None):
            primaries = None
        if gammas and not all(0.01 < each < 100 for each in gammas):
            gammas = None
        if not gammas:
            return cls(None, primaries) if primaries else None
        return cls((gammas[0], gammas[1], gammas[2]), primaries)

    @classmethod
    def of_code_points(cls, primaries: int, transfer: int) -> "tuple[bool, Encoding | None]":
        """What two numbers of ITU-T H.273 say, and whether they say anything that is known here.

        The curve of television is taken for that of sRGB, as browsers do.
        Raises BadImage for what is brighter than any paper: it was made for other screens.
        """
        if transfer in _HDR:
            raise BadImage(
                f"made for HDR screens ({_HDR[transfer]}), which is not read here: "
                "convert it to sRGB"
            )
        if primaries not in _CODED or transfer not in _CURVES:
            return False, None
        return True, cls.of(_CODED[primaries], _CURVES[transfer])


_D65 = (0.3127, 0.3290)
_CODED: dict[int, tuple[float, ...]] = {
    1: _SRGB,
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
"""Primaries by their number in ITU-T H.273, table 2."""

_CURVES: dict[int, tuple[float, float, float] | None] = {
    **dict.fromkeys((1, 6, 7, 11, 12, 13, 14, 15)),
    4: (2.2,) * 3,
    5: (2.8,) * 3,
    8: (1.0,) * 3,
}
"""Curves by their number in table 3."""

_HDR = {16: "PQ", 18: "HLG"}

Source = bytes | Encoding | None
"""What the numbers of a picture mean: an ICC profile, an encoding, or nothing but sRGB."""


def to_srgb(image: Image.Image, source: Source) -> Image.Image:
    """An image of mode L, RGB or CMYK with the numbers that sRGB has for its colours.

    It comes back as it is where `source` is sRGB, does not belong to such an image or is damaged,
    for which browsers do not apply it either.
    """
    if isinstance(source, Encoding):
        rgb = image if image.mode == "RGB" else image.convert("RGB")
        return Image.fromarray(_encoded(np.asarray(rgb), source))
    if not source or len(source) > _LONGEST_PROFILE:
        return image
    transform = _transform(source, image.mode)
    if transform is None and image.mode == "L":  # a profile of three channels, all of them equal
        transform = _transform(source, "RGB")
        image = image.convert("RGB") if transform else image
    return image if transform is None else transform.apply(image)


def changes_nothing(profile: bytes) -> bool:
    """Whether `to_srgb` gives back RGB pixels of this profile as they are."""
    return _transform(profile, "RGB") is None


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; None where it is no profile of such pixels, or sRGB itself."""
    try:
        read = ImageCms.ImageCmsProfile(BytesIO(profile))
        if read.profile.xcolor_space != _SPACES.get(mode):
            return None
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        transform = ImageCms.ImageCmsTransform(read, srgb, mode, "RGB", ImageCms.Intent.PERCEPTUAL)
        if mode == "CMYK":
            return transform
        probe = _probe() if mode == "RGB" else Image.fromarray(np.arange(256, dtype=np.uint8)[None])
        before = np.asarray(probe.convert("RGB"), np.int16)
        after = np.asarray(transform.apply(probe), np.int16)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None
    return None if np.abs(after - before).max() <= _ROUNDING else transform


_ROUNDING = 2
"""Levels by which the sRGB profiles of cameras and programs differ from sRGB and each other."""


def _probe() -> Image.Image:
    """Some colours over the whole cube, one pixel each."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
    return Image.fromarray(cube.reshape(27, 27, 3))


def _encoded(pixels: Pixels, encoding: Encoding) -> Pixels:
    """(h, w, 3) uint8 RGB in the numbers of sRGB."""
    numbers = np.arange(256) / 255
    if encoding.gammas is None:
        light = np.repeat(_light_of(numbers)[:, None], 3, axis=1)
    else:
        light = np.stack([numbers**gamma for gamma in encoding.gammas], axis=1)
    if encoding.primaries is None:
        table = _levels(light).astype(np.uint8)
        import cv2

        return np.asarray(cv2.LUT(np.ascontiguousarray(pixels), table[None]), np.uint8)
    to_xyz, from_xyz = _to_xyz(encoding.primaries), _to_xyz(_SRGB)
    assert to_xyz is not None
    assert from_xyz is not None
    matrix = (np.linalg.inv(from_xyz) @ to_xyz).astype(np.float32)
    result = np.empty_like(pixels)
    flat, target = pixels.reshape(-1, 3), result.reshape(-1, 3)
    single = light.astype(np.float32)
    steps = _levels(np.arange(_STEPS + 1) / _STEPS).astype(np.uint8)
    for start in range(0, len(flat), _BAND):
        part = flat[start : start + _BAND]
        channels = np.stack([single[part[:, each], each] for each in range(3)], axis=1)
        inside = np.clip(channels @ matrix.T, 0, 1)
        target[start : start + _BAND] = steps[(inside * _STEPS + 0.5).astype(np.uint16)]
    return result


def _light_of(numbers: Floats) -> Floats:
    """The curve of sRGB: from its numbers, 0 to 1, to light."""
    return np.where(numbers <= 0.04045, numbers / 12.92, ((numbers + 0.055) / 1.055) ** 2.4)


def _levels(light: Floats) -> Floats:
    """From light to the numbers of sRGB, 0 to 255, rounded."""
    inside = np.clip(light, 0, 1)
    numbers = np.where(
        inside <= 0.0031308, 12.92 * inside, 1.055 * np.maximum(inside, 1e-9) ** (1 / 2.4) - 0.055
    )
    return np.asarray(np.rint(255 * numbers))


def _to_xyz(primaries: tuple[float, ...]) -> Floats | None:
    """From light of the primaries to XYZ under D50 (3, 3); None where they span nothing."""
    points = np.array(primaries, np.float64).reshape(4, 2)
    if (points[:, 1] <= 0).any() or not np.isfinite(points).all():
        return None
    xyz = np.stack(
        [points[:, 0] / points[:, 1], np.ones(4), (1 - points.sum(axis=1)) / points[:, 1]]
    )
    white, colours = xyz[:, 0], xyz[:, 1:]
    if abs(np.linalg.det(colours)) < 1e-6:
        return None
    scaled = colours * np.linalg.solve(colours, white)
    cones = (_BRADFORD @ np.array([0.9642, 1.0, 0.8249])) / (_BRADFORD @ white)
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ scaled)
