"""Augmentation: training pictures turned, shifted, sheared, zoomed, mirrored or drawn in lines."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gallerist.data.decoding import MAX_PIXELS, BadImage, read_image
from gallerist.data.manifest import Manifest, Picture
from gallerist.io.arrays import Pixels
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, canonical_json, replacing, sha256_of_text
from gallerist.workflow.progress import tracked

FILLS: dict[str, int] = {
    "nearest": cv2.BORDER_REPLICATE,  # aaaa|abcd|dddd
    "reflect": cv2.BORDER_REFLECT,  #   dcba|abcd|dcba
    "wrap": cv2.BORDER_WRAP,  #         abcd|abcd|abcd
    "constant": cv2.BORDER_CONSTANT,  # 0000|abcd|0000: black
}
"""What is seen outside the picture, by the name it has in scipy.ndimage and Keras."""

LARGEST_SIDE = 32_766
"""Pixels. OpenCV before version 5 warps nothing larger."""

# A fifth faster than level 1 with OpenCV's default strategy, and no larger (photos of 250 pixels).
_PNG = [
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE,
]


@dataclass(frozen=True)
class Ranges:
    """How far a copy may be changed. The defaults are the published ranges.

    rotation: degrees, in [0, 180]; the angle is drawn from [-rotation, rotation].
    width_shift, height_shift: fractions of the width and height, in [0, 1]; drawn likewise.
    shear: degrees, in [0, 90); drawn likewise. (Keras's shear_range, in spite of its look.)
    zoom: in [0, 1); a factor for x and one for y are drawn from [1 - zoom, 1 + zoom].
    horizontal_flip: mirror half of the copies.
    fill: what is seen outside the picture: nearest, reflect, wrap or constant (black).
    drawings: share of the copies that are line drawings of their picture, in [0, 1]; paper is seen
        outside of these, whatever the fill, since a border would continue a line to the edge.

    Raises UserError when a value lies outside its interval.
    """

    rotation: float = 40.0
    width_shift: float = 0.2
    height_shift: float = 0.2
    shear: float = 0.2
    zoom: float = 0.2
    horizontal_flip: bool = True
    fill: str = "nearest"
    drawings: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.rotation <= 180:
            raise UserError(f"rotation is {self.rotation}: it must lie in [0, 180] degrees")
        if not 0 <= self.shear < 90:
            raise UserError(f"shear is {self.shear}: it must lie in [0, 90) degrees")
        if not 0 <= self.zoom < 1:
            raise UserError(f"zoom is {self.zoom}: it must lie in [0, 1)")
        for name in ("width_shift", "height_shift", "drawings"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must lie in [0, 1]")
        if self.fill not in FILLS:
            raise UserError(f"fill is {self.fill!r}: it must be one of {', '.join(FILLS)}")


@dataclass(frozen=True)
class Warp:
    """One drawn transform. The default is the identity.

    theta: degrees; a positive angle turns what is seen anticlockwise.
    tx, ty: fractions of the width and of the height. The output looks that much further right and
        down, along axes that turn with theta: what is seen moves the other way.
    shear: degrees.
    zx, zy: factors along x and y; above 1 the picture shrinks, as in Keras.
    flip: mirrored left to right after all the rest.
    drawn: the picture is drawn in lines before all the rest.

    Nothing is in pixels, so a warp means the same for a picture and its shrunk form.
    """

    theta: float = 0.0
    tx: float = 0.0
    ty: float = 0.0
    shear: float = 0.0
    zx: float = 1.0
    zy: float = 1.0
    flip: bool = False
    drawn: bool = False


def draw(ranges: Ranges, *, seed: int, picture_id: str, copy: int) -> Warp:
    """Draw the transform of one copy from the distributions of Keras's get_random_transform.

    It depends on nothing but the arguments: another picture, or a larger number of copies, changes
    no copy that exists. Each quantity has its own number in the stream, whether or not its range is
    zero, so changing one range leaves the other draws alone; a larger share of drawings keeps those
    that there were.

    copy: number of the copy, from 1.
    """
    stream = int(sha256_of_text(canonical_json([seed, picture_id, copy])), 16)
    uniform = np.random.default_rng(stream).random(8)
    theta, tx, ty, shear, zx, zy = (float(number) for number in 2 * uniform[:6] - 1)
    return Warp(
        theta=ranges.rotation * theta,
        tx=ranges.width_shift * tx,
        ty=ranges.height_shift * ty,
        shear=ranges.shear * shear,
        zx=1 + ranges.zoom * zx,
        zy=1 + ranges.zoom * zy,
        flip=ranges.horizontal_flip and bool(uniform[6] < 0.5),
        drawn=bool(uniform[7] < ranges.drawings),
    )


def matrix(warp: Warp, height: int, width: int) -> NDArray[np.float64]:
    """Map pixel coordinates (x, y, 1) of the output to (x, y) of the input.

    height, width: pixels, of both. Pixel centres have whole coordinates, so the picture's centre
    is ((width - 1) / 2, (height - 1) / 2).
    Returns (2, 3) float64.

    The product rotation x shift x shear x zoom is that of Keras's apply_affine_transform, as is the
    shear matrix, which keeps lengths along the slanted axis. Keras puts half the height for the
    centre's x and half the width for its y; and its height_shift_range, times the height, becomes a
    move along x. With square pictures and equal ranges neither shows. Here the centre is the
    centre, and width_shift moves along the width.
    """
    angle, slant = np.deg2rad(warp.theta), np.deg2rad(warp.shear)
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    shift = np.array([[1, 0, warp.tx * width], [0, 1, warp.ty * height], [0, 0, 1]])
    shear = np.array([[1, -np.sin(slant), 0], [0, np.cos(slant), 0], [0, 0, 1]])
    zoom = np.diag([-warp.zx if warp.flip else warp.zx, warp.zy, 1.0])  # mirrored about the centre
    x, y = (width - 1) / 2, (height - 1) / 2
    to_corner = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])
    to_centre = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
    product: NDArray[np.float64] = to_corner @ rotation @ shift @ shear @ zoom @ to_centre
    return product[:2]


def apply(image: Pixels, warp: Warp, fill: str = "nearest") -> Pixels:
    """Warp a picture, with linear interpolation, drawn in lines before where the warp says so.

    image: (height, width, 3) uint8. fill: a key of FILLS; around a drawing there is white paper.
    Returns a new array of the same shape and type.
    """
    if warp.drawn:
        # Here, because it loads scikit-image, which is not needed without drawings.
        from gallerist.data.line_drawings import drawing

        # Inverted twice: the constant border is black.
        ink = 255 - drawing(image)
        inked: Pixels = 255 - apply(ink, replace(warp, drawn=False), "constant")
        return inked
    height, width = image.shape[:2]
    warped: Pixels = cv2.warpAffine(
        image,
        matrix(warp, height, width),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=FILLS[fill],
        borderValue=(0, 0, 0),
    )
    return warped


def shrink(image: Pixels, max_side: int) -> Pixels:
    """Shrink a picture until its longer side is `max_side` pixels, by area averages.

    A picture that is small enough is returned as it is. The shorter side is rounded, to at least 1.
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    if longer <= max_side:
        return image
    size = [max(1, round(side * max_side / longer)) for side in (width, height)]
    small: Pixels = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small


def copy_id(picture_id: str, copy: int, content: bytes) -> str:
    """Name a copy by its original, its number and its file's bytes.

    Returns the first 16 hexadecimal digits of the SHA-256 of the line "<picture id>-<copy>", ended
    by a line feed, followed by the bytes.

    The bytes alone would not do: every copy of a flat picture, or of two files with the same
    pixels, has the same bytes, and a manifest refuses an id that stands for two pictures. The bytes
    take part so that, as for originals, an id never stands for two contents.
    """
    return hashlib.sha256(f"{picture_id}-{copy}\n".encode() + content).hexdigest()[:16]


def augment(
    pictures: Manifest,
    folder: PathLike,
    *,
    copies: int,
    ranges: Ranges,
    seed: int,
    max_side: int,
    threads: int,
    max_pixels: int = MAX_PIXELS,
) -> Manifest:
    """Write `copies` warped copies of each training picture as PNG, and list them.

    folder: created; copy c of a picture goes to <folder>/<label>/<picture id>-<c>.png.
    seed: with a picture's id and the copy's number, all that the draw depends on.
    max_side: pixels; a picture with a longer side is shrunk before it is warped.
    threads: pictures worked on at a time. It changes neither bytes nor order.
    max_pixels: a picture of more pixels is refused before it is decoded.
    Returns the copies in manifest order, those of one picture together; empty when `copies` is 0.
    Each has part training and its original's source_id and label; its id is explained at `copy_id`.

    Raises UserError for a setting out of range, for a picture of another part (gallery and
    query are never augmented), for a label that is no folder name, and for a picture that cannot be
    read. Copies written by then remain; no manifest lists them.
    """
    _check(pictures, copies=copies, max_side=max_side, threads=threads)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if copies == 0:
        return Manifest(())
    write = partial(
        _write_copies,
        folder=folder,
        copies=copies,
        ranges=ranges,
        seed=seed,
        max_side=max_side,
        max_pixels=max_pixels,
    )
    with _one_opencv_thread(), ThreadPoolExecutor(threads) as pool:
        written = tracked(pool.map(write, pictures), "pictures augmented", len(pictures))
        return Manifest(tuple(copy for group in written for copy in group))


def _check(pictures: Manifest, *, copies: int, max_side: int, threads: int) -> None:
    if copies < 0:
        raise UserError(f"copies is {copies}: it must be 0 or more")
    if not 1 <= max_side <= LARGEST_SIDE:
        raise UserError(f"max_side is {max_side}: it must lie in [1, {LARGEST_SIDE}]")
    if threads < 1:
        raise UserError(f"threads is {threads}: it must be 1 or more")
    for picture in pictures:
        if picture.part != "training":
            raise UserError(
                f"{picture.path} belongs to {picture.part}: only training pictures are augmented"
            )
        if picture.label in {"", ".."} or Path(picture.label).name != picture.label:
            raise UserError(f"{picture.path}: its label {picture.label!r} is no name for a folder")


def _write_copies(
    picture: Picture,
    *,
    folder: Path,
    copies: int,
    ranges: Ranges,
    seed: int,
    max_side: int,
    max_pixels: int,
) -> list[Picture]:
    try:
        original = shrink(read_image(picture.path, max_pixels=max_pixels), max_side)
    except BadImage as error:
        raise UserError(
            f"{picture.path}: {error}. Has it changed? Import the pictures again"
        ) from error
    written = []
    for copy in range(1, copies + 1):
        warp = draw(ranges, seed=seed, picture_id=picture.id, copy=copy)
        image = apply(original, warp, ranges.fill)
        path = folder / picture.label / f"{picture.id}-{copy}.png"
        content = _png(image)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        written.append(
            replace(
                picture,
                id=copy_id(picture.id, copy, content),
                path=str(path),
                width=image.shape[1],
                height=image.shape[0],
                phash=str(imagehash.phash(Image.fromarray(image))),
            )
        )
    return written


def _png(image: Pixels) -> bytes:
    encoded: Pixels
    _, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _PNG)
    return encoded.tobytes()


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Let OpenCV use no threads of its own: each picture has one already."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
