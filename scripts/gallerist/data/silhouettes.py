"""The embedded data set: silhouettes of ten animals from the package animal-mnist, drawn as files.

The package holds 1000 silhouettes of 28 x 28 grey pixels of each animal. What was found in it
(version 0.4): 284 silhouettes are there twice, always within a class; a handful more are the same
animal moved by a pixel; and many more stand alike, so that their perceptual hashes nearly agree.
None of these are drawn twice, or a query could be answered by its own copy in the gallery.
"""

import gzip
import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gallerist.io.arrays import Pixels
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, temporary_folder
from gallerist.io.unpickling import NUMPY_ARRAYS, packaged_file, restricted_load
from gallerist.settings.dataset import EmbeddedPictures

logger = logging.getLogger("gallerist")

DISTRIBUTION = "animal-mnist"
CLASSES = (
    "bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra",
)  # fmt: skip
"""The animals in the order of the package's labels 0 to 9."""

SIDE = 28
"""Pixels a side of a silhouette as the package holds it."""

HASHED_SIDE = 96
NEAR = 4
"""Of two silhouettes whose perceptual hashes, taken from pictures of HASHED_SIDE pixels a side,
differ in at most NEAR of 64 bits, only one is drawn. The side is fixed, so that the same
silhouettes are drawn at any size."""

_FOLDER = "animal_mnist/data/Animal_MNIST"
_PAPER, _INK = 255.0, 30.0
_CONTRAST = 2.0


def load() -> tuple[Pixels, list[str]]:
    """Read the package: silhouettes (10000, 28, 28) uint8, 255 is animal, and the class of each.

    Raises UserError without the package, and when its files hold anything else.
    """
    images = _read_array("animal_data_version_3.gz")
    labels = _read_array("animal_label_version_3.gz")
    shaped = images.shape == (len(labels), SIDE, SIDE) and images.dtype == np.uint8
    if not shaped or not np.isin(labels, range(len(CLASSES))).all():
        raise UserError(
            f"the package {DISTRIBUTION} holds {images.dtype} {images.shape}, not {SIDE} x {SIDE} "
            f"grey pictures with a label each, or labels other than 0 to {len(CLASSES) - 1}. "
            "Install the version that envs/ pins."
        )
    return images, [CLASSES[label] for label in labels]


def _read_array(name: str) -> NDArray[Any]:
    path = packaged_file(DISTRIBUTION, f"{_FOLDER}/{name}")
    with gzip.open(path) as file:
        value = restricted_load(file, NUMPY_ARRAYS)  # type: ignore[arg-type]
    if not isinstance(value, np.ndarray):
        raise UserError(f"{path}: holds a {type(value).__name__}, not an array")
    return value


def draw(silhouette: Pixels, image_size: int) -> Image.Image:
    """Draw a (28, 28) silhouette as a dark animal on white paper, (image_size, image_size) grey.

    Enlarged bicubically, then with more contrast about the middle grey: the outline is as smooth as
    after enlarging, but not blurred, and a zebra keeps its stripes. A margin of 1/16 keeps the
    animal off the edge, because augmentation continues a picture with the pixels at its edge.
    """
    margin = round(image_size / 16)
    inner = image_size - 2 * margin
    animal = Image.fromarray(silhouette.astype(np.float32) / 255)
    enlarged = np.asarray(animal.resize((inner, inner), Image.Resampling.BICUBIC))
    cover = np.clip((enlarged - 0.5) * _CONTRAST + 0.5, 0, 1)
    picture = np.full((image_size, image_size), _PAPER, np.uint8)
    picture[margin : margin + inner, margin : margin + inner] = np.rint(
        _PAPER - cover * (_PAPER - _INK)
    )
    return Image.fromarray(picture)


def draw_tree(folder: PathLike, settings: EmbeddedPictures) -> dict[str, int]:
    """Draw a sample of each class as PNG files, `settings.image_size` pixels a side.

    `folder` gets training/<class>/, validation/gallery/<class>/ and validation/query/<class>/,
    whole or not at all. A file is named for its row in the package, NNNN.png: a silhouette has the
    same name in whichever tree it is drawn, and no two in a tree share one.

    Which silhouettes are drawn, and for which part, depends on the seed, the counts and the pixels
    alone. No two in the tree are equal or nearly so (see NEAR). A larger count keeps the
    silhouettes of a smaller one and leaves the other parts as they were, while training_per_class
    + 2 x the larger of the other two does not pass what each class has to offer (about 590).

    Returns the number of pictures drawn for "training", "gallery" and "query". How many silhouettes
    of the package are no choice, being like another one, is logged.
    Raises UserError for counts that a class cannot fill, or a folder that holds something already.
    """
    images, labels = load()
    distinct = distinct_in_seeded_order(images, settings.seed)
    rows = without_near_duplicates(images, distinct)
    logger.info(
        "of %d silhouettes %d equal another one and %d nearly do; drawing from the other %d",
        len(images),
        len(images) - len(distinct),
        len(distinct) - len(rows),
        len(rows),
    )
    counts = (settings.training_per_class, settings.gallery_per_class, settings.query_per_class)
    require_empty(folder)
    with temporary_folder(folder) as temporary:
        for name in CLASSES:
            own = [row for row in rows if labels[row] == name]
            if sum(counts) > len(own):
                raise UserError(_too_many(name, len(own), counts))
            for part, chosen in _share_out(own, *counts).items():
                below = "training" if part == "training" else f"validation/{part}"
                target = temporary / below / name
                target.mkdir(parents=True)
                for row in chosen:
                    draw(images[row], settings.image_size).save(target / f"{row:04d}.png")
    every = (count * len(CLASSES) for count in counts)
    return dict(zip(("training", "gallery", "query"), every, strict=True))


def distinct_in_seeded_order(images: Pixels, seed: int) -> list[int]:
    """Rows of the distinct silhouettes, in an order drawn by the seed from the pixels alone."""
    rows: dict[bytes, int] = {}
    for row, image in enumerate(images):
        rows.setdefault(hashlib.sha256(b"%d:" % seed + image.tobytes()).digest(), row)
    return [rows[key] for key in sorted(rows)]


def without_near_duplicates(images: Pixels, rows: list[int]) -> list[int]:
    """Keep the rows whose hash is more than NEAR bits from that of every row kept before."""
    hashes = np.zeros(len(rows), np.uint64)
    kept: list[int] = []
    for row in rows:
        perceptual = _perceptual_hash(images[row])
        distances = np.bitwise_count(hashes[: len(kept)] ^ perceptual)
        if (distances > NEAR).all():
            hashes[len(kept)] = perceptual
            kept.append(row)
    return kept


def _perceptual_hash(silhouette: Pixels) -> np.uint64:
    from imagehash import phash

    return np.uint64(int(str(phash(draw(silhouette, HASHED_SIDE))), 16))


def _share_out(rows: list[int], training: int, gallery: int, query: int) -> dict[str, list[int]]:
    """Share the rows of a class out to the parts, each row to at most one.

    Training is filled from the front; gallery and query in turn from the back, so that none of the
    three shifts when another one grows. When gallery or query has used up its turns it goes on with
    the other's, starting from the other's end.
    """
    gallery_turns, query_turns = rows[::-1][0::2], rows[::-1][1::2]
    chosen_gallery = (gallery_turns + query_turns[::-1])[:gallery]
    chosen_query = (query_turns + gallery_turns[::-1])[:query]
    used = {*chosen_gallery, *chosen_query}
    chosen_training = [row for row in rows if row not in used][:training]
    return {"training": chosen_training, "gallery": chosen_gallery, "query": chosen_query}


def _too_many(name: str, available: int, counts: tuple[int, ...]) -> str:
    return (
        f"dataset.embedded: {' + '.join(map(str, counts))} = {sum(counts)} pictures a class are "
        f"asked for, but of class {name} only {available} differ enough from each other. Lower "
        "dataset.embedded.training_per_class, dataset.embedded.gallery_per_class or "
        "dataset.embedded.query_per_class."
    )


def require_empty(folder: PathLike) -> None:
    """Raise UserError if `folder` holds something, which drawing into it would lose."""
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(
            f"{target}: holds something already, which would be lost. Remove it, or name another "
            "folder for the pictures."
        )
