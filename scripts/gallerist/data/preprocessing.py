"""From a file to the pixels a network sees: one function for training, extraction and search.

The scaling of pixel values is the network's first layer (`architectures.PixelScaling`), so that it
is stored inside the model; what happens before, decoding and resizing, is stored beside it in
`preprocessing.json`. Features carry the hash of both.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, Unpack

from gallerist.data.decoding import Profiles, Reading
from gallerist.data.reading import Readable, of_one_file, read_pixels
from gallerist.data.resizing import CROP_RATIO, Colour, Fitting, Resizing, resize
from gallerist.io.arrays import Pixels
from gallerist.io.files import PathLike, canonical_json, read_json, sha256_of_text, write_json
from gallerist.io.parallel import flattened, ordered, stack_batches

ColourMode = Literal["colour", "grey", "drawing"]

PADDING: dict[ColourMode, Colour] = {
    "colour": (124, 116, 104),  # ImageNet's mean, which most networks take for 0
    "grey": (118, 118, 118),  # its luma
    "drawing": (255, 255, 255),  # paper
}
"""What lies beside a padded picture, RGB."""


@dataclass(frozen=True)
class Preprocessing:
    """Decode to RGB and fit into a square: squeezed, as the published work does, by default.

    image_size: pixels a side.
    max_pixels: larger files are refused before they are decoded.
    profiles: whether a picture's own colour space is applied, see `decoding.decode_image`.
    look: the colour mode: "colour" leaves the colours, "grey" takes them away, "drawing" turns
        a photo into black lines on white (`line_drawings.drawing`), so that sketches are like it.
    resizing: of what has been warped and drawn, see `resizing.Fitting`; padded by PADDING.
    crop_ratio: of "crop"; None is the usual one.
    """

    image_size: int
    max_pixels: int = 100_000_000
    look: ColourMode = "colour"
    profiles: Profiles = "apply"
    version: int = 2
    """Raised whenever `load` would give other pixels for the same settings."""
    resizing: Resizing = "squeeze"
    crop_ratio: float | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any], **reading: Unpack[Reading]) -> Self:
        """As the settings of an experiment, or of its trunk, say."""
        keys = ("image_size", "look", "resizing", "crop_ratio")
        return cls(**{key: settings[key] for key in keys}, **reading)

    def load(self, picture: Readable) -> Pixels:
        """Read a file, or a picture of a manifest: uint8 (image_size, image_size, 3) RGB.

        Interpolation: see `resizing.resize`.
        Raises `decoding.BadImage` naming the file when it cannot be decoded.
        """
        return self.load_group([picture])[0]

    def load_group(self, pictures: Sequence[Readable]) -> list[Pixels]:
        """Read pictures of one file, as an original's copies are, and decode it once."""
        return read_pixels(pictures, self._fit, max_pixels=self.max_pixels, profiles=self.profiles)

    def load_whole(self, picture: Readable, longest: int) -> Pixels:
        """The same in the picture's own shape, its longer side at most `longest` pixels."""

        def whole(pixels: Pixels) -> Pixels:
            sides = pixels.shape[:2]
            scale = min(1, longest / max(sides))
            height, width = (max(1, round(side * scale)) for side in sides)
            return resize(_in_colour_mode(pixels, self.look), height, width)

        (pixels,) = read_pixels(
            [picture], whole, max_pixels=self.max_pixels, profiles=self.profiles
        )
        return pixels

    def _fit(self, pixels: Pixels) -> Pixels:
        pixels = _in_colour_mode(pixels, self.look)
        return self.fitting(*pixels.shape[:2]).fit(pixels, PADDING[self.look])

    def fitting(self, height: int, width: int) -> Fitting:
        """How pictures of one shape, in pixels, are resized."""
        ratio = self.crop_ratio or CROP_RATIO
        return Fitting(height, width, self.image_size, self.resizing, ratio)

    def _described(self) -> dict[str, Any]:
        """What can change a pixel; what is squeezed is described as before there was a choice."""
        described = asdict(self)
        if self.resizing == "squeeze":
            del described["resizing"]
        if self.resizing == "crop":
            described["crop_ratio"] = self.crop_ratio or CROP_RATIO
        else:
            del described["crop_ratio"]
        return described

    @property
    def sha256(self) -> str:
        """Identity of these settings: features of different settings are not comparable."""
        return sha256_of_text(canonical_json(self._described()))

    def write(self, path: PathLike) -> None:
        """Store beside a model."""
        write_json(path, self._described())

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
