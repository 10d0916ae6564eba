"""From a file to the pixels a network sees: one function for training, extraction and search.

The scaling of pixel values is the network's first layer (see `pixel_scaling`), so that it is stored
inside the model; what happens before, decoding and resizing, is stored beside it in
`preprocessing.json`. Features carry the hash of both.
"""

import os
from dataclasses import asdict, dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from gallerist.data.decoding import BadImage, decode_image, read_bytes
from gallerist.data.fast_jpeg import decode_plain_jpeg
from gallerist.io.files import PathLike, canonical_json, read_json, sha256_of_text, write_json

Pixels = npt.NDArray[np.uint8]
Look = Literal["colour", "grey", "drawing"]


@dataclass(frozen=True)
class Preprocessing:
    """Decode to RGB and squeeze to a square, as the published work does (no crop, no border).

    image_size: pixels a side.
    max_pixels: larger files are refused before they are decoded.
    look: what is made of the colours. "colour" leaves them; "grey" takes them away; "drawing" turns
        a photo into black lines on white (`sketches.drawing`), so that sketches are like it.
    """

    image_size: int
    max_pixels: int = 100_000_000
    look: Look = "colour"
    version: int = 1
    """Raised whenever `load` would give other pixels for the same settings."""

    def load(self, path: PathLike) -> Pixels:
        """Read one file: uint8 (image_size, image_size, 3) RGB.

        A side that is too long is shrunk by averaging over the covered area, which does not alias;
        one that is too short is then enlarged bilinearly.
        Raises `images.BadImage` naming the file when it cannot be decoded.
        """
        try:
            data = read_bytes(path, max_pixels=self.max_pixels)
            pixels = decode_plain_jpeg(data, max_pixels=self.max_pixels)
            if pixels is None:
                pixels = decode_image(data, max_pixels=self.max_pixels)
        except BadImage as error:
            raise BadImage(f"{os.fspath(path)}: {error}") from error
        pixels = _looked(pixels, self.look)
        size = self.image_size
        height, width = pixels.shape[:2]
        # One call would enlarge both sides bilinearly, and so alias the longer side of a panorama.
        shrunk = cv2.resize(
            pixels, (min(width, size), min(height, size)), interpolation=cv2.INTER_AREA
        )
        if shrunk.shape[:2] != (size, size):
            shrunk = cv2.resize(shrunk, (size, size), interpolation=cv2.INTER_LINEAR)
        return np.asarray(shrunk, dtype=np.uint8)

    @property
    def sha256(self) -> str:
        """Identity of these settings: features of different settings are not comparable."""
        return sha256_of_text(canonical_json(asdict(self)))

    def write(self, path: PathLike) -> None:
        """Store beside a model."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: PathLike) -> "Preprocessing":
        """Read what `write` stored."""
        return cls(**read_json(path))


def _looked(pixels: Pixels, look: Look) -> Pixels:
    if look == "colour":
        return pixels
    # Here, because it loads scikit-image, which most experiments need not wait for.
    from gallerist.data.line_drawings import draw_lines, to_grey

    return to_grey(pixels) if look == "grey" else draw_lines(pixels)
