"""From a file to the pixels a network sees: one function for training, extraction and search.

The scaling of pixel values is the network's first layer (`architectures.PixelScaling`), so that it
is stored inside the model; what happens before, decoding and resizing, is stored beside it in
`preprocessing.json`. Features carry the hash of both.
"""

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import cv2
import numpy as np

from gallerist.data.decoding import Profiles
from gallerist.data.reading import Readable, of_one_file, read_pixels
from gallerist.io.arrays import Pixels
from gallerist.io.files import PathLike, canonical_json, read_json, sha256_of_text, write_json
from gallerist.io.parallel import flattened, ordered, stack_batches

ColourMode = Literal["colour", "grey", "drawing"]


@dataclass(frozen=True)
class Preprocessing:
    """Decode to RGB and squeeze to a square, as the published work does (no crop, no border).

    image_size: pixels a side.
    max_pixels: larger files are refused before they are decoded.
    profiles: whether a picture's own colour space is applied, see `decoding.decode_image`.
    look: the colour mode: "colour" leaves the colours, "grey" takes them away, "drawing" turns
        a photo into black lines on white (`line_drawings.drawing`), so that sketches are like it.
    """

    image_size: int
    max_pixels: int = 100_000_000
    look: ColourMode = "colour"
    profiles: Profiles = "apply"
    version: int = 2
    """Raised whenever `load` would give other pixels for the same settings."""

    def load(self, picture: Readable) -> Pixels:
        """Read a file, or a picture of a manifest: uint8 (image_size, image_size, 3) RGB.

        A side that is too long is shrunk by averaging over the covered area, which does not alias;
        one that is too short is then enlarged bilinearly.
        Raises `decoding.BadImage` naming the file when it cannot be decoded.
        """
        return self.load_group([picture])[0]

    def load_group(self, pictures: Sequence[Readable]) -> list[Pixels]:
        """Read pictures of one file, as an original's copies are, and decode it once."""
        return read_pixels(pictures, self._fit, max_pixels=self.max_pixels, profiles=self.profiles)

    def _fit(self, pixels: Pixels) -> Pixels:
        pixels = _in_colour_mode(pixels, self.look)
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


def _in_colour_mode(pixels: Pixels, mode: ColourMode) -> Pixels:
    if mode == "colour":
        return pixels
    # Here, because it loads scikit-image, which most experiments need not wait for.
    from gallerist.data.line_drawings import draw_lines, to_grey

    return to_grey(pixels) if mode == "grey" else draw_lines(pixels)


def decode_ahead(
    pictures: Sequence[Readable],
    preprocessing: Preprocessing,
    *,
    threads: int,
    batch_size: int | None = None,
    ahead: int = 2,
) -> Generator[Pixels]:
    """Read and resize pictures in `threads` threads: uint8 (n, s, s, 3) batches, in their order.

    Pictures of one file that stand next to each other, as an original's copies do, are read
    together. Every batch has `batch_size` pictures but the last; None is 32, or two for each thread
    where those are more. While one batch is used, as many files are read as the next `ahead` need,
    and no more, so that memory is bounded. The threads start with the first batch that is asked
    for, and end with the last one, with an error, or when the iterator is closed or dropped.

    Raises BadImage naming the first file, in their order, that cannot be decoded; the batches
    before it have been given by then.
    """
    size = batch_size or max(32, 2 * threads)
    groups = of_one_file(pictures)
    files = -(-ahead * size * len(groups) // max(1, len(pictures)))
    read = ordered(preprocessing.load_group, groups, threads=threads, ahead=files, name="decoding")
    return stack_batches(flattened(read), size)
