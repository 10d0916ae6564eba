"""The embedded challenge: silhouettes and outlines of animals among digits, without class folders.

Everything comes from packages that hold it: silhouettes of animal-mnist, as in the embedded data
set, and the handwritten digits of scikit-learn as confusion images, in which there is no animal.
"""

import gzip

import cv2
import numpy as np
from PIL import Image

from gallerist.challenge.truth import CONFUSION, PHOTO, SKETCH, Truth
from gallerist.data.silhouettes import (
    CLASSES,
    SIDE,
    distinct_in_seeded_order,
    draw,
    load,
    require_empty,
    without_near_duplicates,
)
from gallerist.io.arrays import Pixels
from gallerist.io.files import PathLike, temporary_folder
from gallerist.io.unpickling import packaged_file
from gallerist.settings.challenge import EmbeddedChallenge

TRUTH_FILE = "ground_truth.json"

_PAPER, _INK = 255, 30
_FINER = 4
"""Outlines are drawn so many times larger, and then reduced: lines without steps."""

_LINE = 1 / 48
"""Width of an outline, as a share of the side."""

_MARGIN = 2
_SHARPER = 3.0
"""Pixels around an enlarged digit, and its contrast about the middle grey."""

_Drawn = tuple[str, str, Image.Image]


def draw_challenge(folder: PathLike, settings: EmbeddedChallenge) -> dict[str, int]:
    """Draw an unlabelled challenge as PNG files, `image_size` pixels a side.

    `folder` gets gallery/, query/ and ground_truth.json (`truth.Truth`), whole or not at all. The
    gallery holds silhouettes and digits; of the queries one half are silhouettes (domain photo),
    the other outlines of silhouettes (domain sketch), by turns. Files are numbered in an order
    drawn by the seed, over both folders: names do not depend on the class, and no two are the same.

    The silhouettes of a class are those in the middle of the order in which `draw_tree` takes them
    with the same seed. That data set takes training pictures from the front, gallery and query
    from the back. So none of its pictures is in the challenge unless it needs nearly half of what a
    class has to offer (about 590, more than the settings allow here). Under another seed, some may
    be. No two silhouettes of the challenge are equal or nearly so. Larger counts keep the pictures
    of smaller ones, though not their names or domains.

    Returns the number of pictures drawn for "gallery" (with distractors), "query", "distractors".
    Raises UserError for a folder that holds something already.
    """
    require_empty(folder)
    with temporary_folder(folder) as temporary:
        gallery, queries = _animals(settings)
        for digit in _digits(settings.distractors, settings.seed):
            gallery.append((CONFUSION, PHOTO, draw(digit, settings.image_size)))
        names = iter(_names(len(gallery) + len(queries), settings.seed))
        labels: dict[str, dict[str, str]] = {"gallery": {}, "query": {}}
        domains = {}
        for part, pictures in (("gallery", gallery), ("query", queries)):
            (temporary / part).mkdir()
            for (label, domain, picture), name in zip(pictures, names, strict=False):
                picture.save(temporary / part / name)
                labels[part][name] = label
                if part == "query":
                    domains[name] = domain
        Truth(labels["query"], labels["gallery"], domains).write(temporary / TRUTH_FILE)
    return {
        "gallery": len(gallery),
        "query": len(queries),
        "distractors": settings.distractors,
    }


def outline(silhouette: Pixels, image_size: int) -> Image.Image:
    """Draw a (28, 28) silhouette as a thin dark line on white, (image_size, image_size) grey.

    The line runs along the edge of what `draw` draws dark, around holes too.
    """
    large = np.asarray(draw(silhouette, _FINER * image_size))
    animal = (large < (_PAPER + _INK) / 2).astype(np.uint8)
    contours, _ = cv2.findContours(animal, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    width = max(_FINER, round(_FINER * image_size * _LINE))
    lines = cv2.drawContours(np.full_like(large, _PAPER), contours, -1, _INK, width)
    return Image.fromarray(np.asarray(lines, dtype=np.uint8)).reduce(_FINER)


def _animals(settings: EmbeddedChallenge) -> tuple[list[_Drawn], list[_Drawn]]:
    """Class, domain and picture of the gallery's animals, and of the queries."""
    images, labels = load()
    rows = without_near_duplicates(images, distinct_in_seeded_order(images, settings.seed))
    gallery: list[_Drawn] = []
    queries: list[_Drawn] = []
    for number, name in enumerate(CLASSES):
        own = _from_the_middle([row for row in rows if labels[row] == name])
        chosen = own[0::2][: settings.gallery_per_class]
        gallery += [(name, PHOTO, draw(images[row], settings.image_size)) for row in chosen]
        for turn, row in enumerate(own[1::2][: settings.query_per_class]):
            # By turns over the classes too: with one query a class, half of all are sketches.
            sketched = (number + turn) % 2 == 1
            picture = (outline if sketched else draw)(images[row], settings.image_size)
            queries.append((name, SKETCH if sketched else PHOTO, picture))
    return gallery, queries


def _from_the_middle(rows: list[int]) -> list[int]:
    """The same rows, those in the middle first, then by turns to both sides."""
    middle = (len(rows) - 1) / 2
    return [
        rows[place] for place in sorted(range(len(rows)), key=lambda at: (abs(at - middle), at))
    ]


def _digits(count: int, seed: int) -> list[Pixels]:
    """So many of the 1797 different digits, drawn by the seed: (28, 28) uint8, 255 is ink."""
    # As `sklearn.datasets.load_digits` reads them, which takes a second to load.
    with gzip.open(packaged_file("scikit-learn", "sklearn/datasets/data/digits.csv.gz")) as file:
        values = np.loadtxt(file, delimiter=",", usecols=range(64))
    images = np.rint(values.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    rows = distinct_in_seeded_order(images, seed)
    return [_enlarge(images[row]) for row in rows[:count]]


def _enlarge(digit: Pixels) -> Pixels:
    """An (8, 8) digit of the size of a silhouette, with a margin, and edges as sharp.

    Otherwise blur alone would distinguish confusion images from animals.
    """
    inner = SIDE - 2 * _MARGIN
    large = np.asarray(
        Image.fromarray(digit.astype(np.float32)).resize((inner, inner), Image.Resampling.BICUBIC)
    )
    sharp = np.rint(np.clip((large - 127.5) * _SHARPER + 127.5, 0, 255)).astype(np.uint8)
    return np.pad(sharp, _MARGIN)


def _names(count: int, seed: int) -> list[str]:
    """File names in an order drawn by the seed: of numbers of one width, from 1."""
    digits = len(str(count))
    order = np.random.default_rng(seed).permutation(count) + 1
    return [f"{number:0{digits}d}.png" for number in order.tolist()]
