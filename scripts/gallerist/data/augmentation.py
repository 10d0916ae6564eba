"""Augmentation: changed copies of the training pictures, each drawn as a recipe.

A copy is its original and some drawn numbers: a row of a manifest, which is warped where it is
read (`reading.read_pixels`). Files of copies are written where they are asked for.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Unpack

import cv2
import numpy as np
from PIL import Image, ImageOps

from gallerist.data.decoding import Reading
from gallerist.data.manifest import Manifest, Picture
from gallerist.data.reading import of_one_file, read_pixels
from gallerist.data.warping import Recipe, Warp, shrunk_size
from gallerist.io.arrays import Pixels
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, canonical_json, replacing, sha256_of_text
from gallerist.io.parallel import ordered
from gallerist.settings.augmentation import Augmentation
from gallerist.workflow.progress import tracked

SAMPLES = 8
"""Originals on the sheet of samples, of different classes where there are so many."""

COPIES_SHOWN = 7
"""Copies of each original on the sheet, at most."""

_TILE, _GAP = 128, 4
"""Pixels of the sheet: side of a picture, and between two."""


def draw_warp(ranges: Augmentation, *, seed: int, picture_id: str, copy: int) -> Warp:
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


def copy_id(picture_id: str, recipe: str) -> str:
    """Name a copy by its original's content and its recipe, and by nothing else.

    picture_id: of the original, which is a hash of its content. recipe: see `warping.Recipe.text`.
    Returns the first 16 hexadecimal digits of the SHA-256 of the id, a line feed and the recipe.
    So an id never stands for two contents, and whatever was computed of a copy stays valid.
    """
    return sha256_of_text(f"{picture_id}\n{recipe}")[:16]


def augment(pictures: Manifest, settings: Augmentation) -> Manifest:
    """List `settings.copies` copies of each training picture. No file is read or written.

    settings: their seed, with a picture's id and the copy's number, is all that a draw depends on.
    Returns the copies in manifest order, those of one picture together; empty for 0 copies.
    Each has its original's path, source_id, label and part, and a recipe; its id is explained at
    `copy_id`. It has no perceptual hash: only originals are compared.

    Raises UserError for a picture of another part: gallery and query are never augmented.
    """
    for picture in pictures:
        if picture.part != "training":
            raise UserError(
                f"{picture.path} belongs to {picture.part}: only training pictures are augmented"
            )
    numbers = range(1, settings.copies + 1)
    return Manifest(tuple(_copy(each, number, settings) for each in pictures for number in numbers))


def _copy(picture: Picture, number: int, settings: Augmentation) -> Picture:
    warp = draw_warp(settings, seed=settings.seed, picture_id=picture.id, copy=number)
    recipe = Recipe(number, settings.max_side, settings.fill, warp).text()
    width, height = shrunk_size(picture.width, picture.height, settings.max_side)
    identity = copy_id(picture.id, recipe)
    return replace(picture, id=identity, width=width, height=height, phash="", recipe=recipe)


def write_copies(
    copies: Manifest, folder: PathLike, *, threads: int, **reading: Unpack[Reading]
) -> Manifest:
    """Write each copy as a file, and list these in place of the recipes, all else being equal.

    folder: created; copy c of a picture goes to <folder>/<label>/<picture id>-<c>.bmp. BMP loses
        nothing and is not compressed: written in .07 ms and read in .25, where the quickest PNG
        takes 1.6 and 1.1 (250 x 250 pixels, silhouettes; photos take longer). It takes 3 bytes a
        pixel.
    threads: pictures worked on at a time. It changes neither bytes nor order.
    reading: see `decoding.Reading`.

    Raises UserError for a label that is no folder name, and for a picture that cannot be read.
    Copies written by then remain; no manifest lists them.
    """
    for copy in copies:
        if copy.label in {"", ".."} or Path(copy.label).name != copy.label:
            raise UserError(f"{copy.path}: its label {copy.label!r} is no name for a folder")
    write = partial(_write_group, folder=Path(folder), reading=reading)
    groups = ordered(write, of_one_file(copies), threads=threads, ahead=2 * threads)
    written = tracked(chain.from_iterable(groups), "copies written", len(copies))
    return Manifest(tuple(written))


def _write_group(copies: Sequence[Picture], *, folder: Path, reading: Reading) -> list[Picture]:
    waiting = iter(copies)

    def write(pixels: Pixels) -> Picture:
        copy = next(waiting)
        number = Recipe.read(copy.recipe).copy
        path = folder / copy.label / f"{copy.source_id}-{number}.bmp"
        with replacing(path) as temporary:
            _, encoded = cv2.imencode(".bmp", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
            temporary.write_bytes(encoded.tobytes())
        return replace(copy, path=str(path), recipe="")

    return read_pixels(copies, write, **reading)


def draw_samples(
    originals: Manifest, copies: Manifest, path: PathLike, **reading: Unpack[Reading]
) -> None:
    """Draw a sheet to look at: a row each for SAMPLES originals, which stand before their copies.

    copies: with their recipes. The first original of every class comes first.
    """
    copies_of: dict[str, list[Picture]] = defaultdict(list)
    for copy in copies:
        copies_of[copy.source_id].append(copy)
    one_of = {original.label: original for original in reversed(originals.pictures)}
    firsts = [one_of[label] for label in sorted(one_of)]
    shown = list(dict.fromkeys([*firsts, *originals]))[:SAMPLES]
    rows = [[original, *copies_of[original.id][:COPIES_SHOWN]] for original in shown]
    step = _TILE + _GAP
    size = step * max(map(len, rows), default=1), step * max(1, len(rows))
    sheet = Image.new("RGB", size, "white")
    for down, row in enumerate(rows):
        for across, tile in enumerate(read_pixels(row, _tile, **reading)):
            sheet.paste(tile, (across * step, down * step))
    with replacing(path) as temporary:
        sheet.save(temporary)


def _tile(pixels: Pixels) -> Image.Image:
    return ImageOps.pad(Image.fromarray(pixels), (_TILE, _TILE), color="white")
