"""Pictures as a user finds them: many formats, odd names, broken files, and one in two places.

What is drawn here is known here: `BAD` says why each bad file must be refused.
"""

import csv
import os
import shutil
import struct
import zlib
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from tiny_workflow import EXPERIMENT, Workflow

CLASSES = ("blå fugl", "cat", "red fox")
DISTRACTOR = "distractor"
TREE = {"training": 10, "validation/gallery": 5, "validation/query": 3}
"""Good pictures a class in each folder."""

TURNED = "turned.jpg"
"""Stored lying on its side, with the EXIF orientation that puts it upright."""


def pixels(label, seed, height=44, width=56):
    """A soft pattern, half its class's and half its own: classes that are hard to tell apart."""
    common = np.random.default_rng(sum(label.encode())).normal(size=(3, 4, 3))
    own = np.random.default_rng([seed, *label.encode()]).normal(size=(6, 7, 3))
    mixed = 0.6 * enlarged(common, height, width) + enlarged(own, height, width)
    return np.clip(128 + 55 * mixed, 0, 255).astype(np.uint8)


def enlarged(grid, height, width):
    channels = [
        np.asarray(Image.fromarray(each.astype(np.float32)).resize((width, height), 3))
        for each in np.moveaxis(grid, 2, 0)
    ]
    return np.stack(channels, axis=2)


def save_turned(image, path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned by 90 degrees to the right
    image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)


def save_sixteen_bits(image, path):
    grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(path)


def save_frames(image, path):
    other = Image.new("RGB", image.size, "black")
    image.save(path, save_all=True, append_images=[other])


def save_transparent(image, path):
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(path)


def save_as(mode):
    return lambda image, path: image.convert(mode).save(path)


GOOD = {
    "plain.png": save_as("RGB"),
    "photo.jpg": save_as("RGB"),
    TURNED: save_turned,
    "sixteen bits.png": save_sixteen_bits,
    "web.webp": save_as("RGB"),
    "bitmap.bmp": save_as("RGB"),
    "frames.gif": save_frames,
    "scan.tif": save_as("RGB"),
    "print.jpg": save_as("CMYK"),
    "palette.png": save_as("P"),
    "transparent.png": save_transparent,
    "grey.png": save_as("L"),
    "CAMERA.JPEG": save_as("RGB"),
    "ñandú und Würfel, 'so' $x_1$ {y} #1.png": save_as("RGB"),
}
"""Name -> how it is saved. Every class gets these in turn, so that every part has several."""


def draw_good(folder, label, numbers):
    """Draw pictures of a class; their numbers choose the format and the content."""
    kinds = list(GOOD.items())
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        name, save = kinds[number % len(kinds)]
        save(Image.fromarray(pixels(label, number)), Path(folder, f"{number:02d} {name}"))


def draw_tree(folder):
    """Draw every part of the tree, with distractors, and queries of a class nobody can answer."""
    folder = Path(folder)
    number = 0
    for part, count in TREE.items():
        for label in CLASSES:
            draw_good(folder / part / label, label, range(number, number + count))
        number += count
    draw_good(folder / "training" / DISTRACTOR, DISTRACTOR, range(6))
    draw_good(folder / "validation/gallery" / DISTRACTOR, DISTRACTOR, range(6, 10))
    draw_good(folder / "validation/query" / DISTRACTOR, DISTRACTOR, range(10, 12))
    draw_good(folder / "validation/query" / "unicorn", "unicorn", range(1))


def encoded(kind, size=(48, 48), mode="RGB", **options):
    file = BytesIO()
    image = Image.fromarray(pixels("encoded", 1, *size)).convert(mode)
    image.save(file, kind, **options)
    return file.getvalue()


def damaged_png():
    """A PNG that is complete, whose coded pixels are not what zlib wrote."""
    data = bytearray(encoded("PNG"))
    start = data.index(b"IDAT") + 4
    (length,) = struct.unpack_from(">I", data, start - 8)
    data[start + length // 2 : start + length // 2 + 40] = bytes(40)
    checksum = zlib.crc32(data[start - 4 : start + length])
    struct.pack_into(">I", data, start + length, checksum)
    return bytes(data)


def huge_png():
    """A PNG whose header promises 400 million pixels."""
    data = bytearray(encoded("PNG"))
    struct.pack_into(">II", data, 16, 20_000, 20_000)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    return bytes(data)


def integer_tiff():
    file = BytesIO()
    Image.fromarray(np.arange(400, dtype=np.int32).reshape(20, 20) * 1000).save(file, "TIFF")
    return file.getvalue()


def half(data):
    return data[: len(data) // 2]


BAD = {
    "empty.jpg": (b"", "empty file"),
    "two bytes.jpg": (b"\xff\xd8", "truncated: only 2 bytes"),
    "cut.jpg": (half(encoded("JPEG")), "truncated: the JPEG does not end"),
    "cut.png": (half(encoded("PNG")), "truncated: the PNG does not end"),
    "cut.webp": (half(encoded("WEBP")), "truncated: the WebP does not end"),
    "cut.gif": (half(encoded("GIF")), "truncated: the GIF does not end"),
    "cut.bmp": (half(encoded("BMP")), "truncated: the BMP does not end"),
    "cut.tif": (half(encoded("TIFF")), "truncated"),
    "damaged.png": (damaged_png(), "damaged PNG"),
    "text.jpg": (b"This is not a picture.\n", "not an image: text"),
    "page.jpg": (b"<!DOCTYPE html><html>404</html>", "not an image: an HTML page"),
    "pointer.png": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "drawing.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
    "paper.jpg": (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
    "archive.jpg": (b"PK\x03\x04\x14\x00", "a ZIP archive"),
    "film.mp4": (b"\x00\x00\x00\x18ftypmp42", "a video"),
    "zeros.jpg": (bytes(500), "nothing but zero bytes"),
    "noise.jpg": (bytes(range(128, 256)), "not an image"),
    "dot.png": (encoded("PNG", (1, 1)), "1x1 pixels: smaller than 8 a side"),
    "line.png": (encoded("PNG", (1, 20_000)), "20000x1 pixels: smaller than 8 a side"),
    "huge.png": (huge_png(), "20000x20000 pixels: more than 100000000 in all"),
    "integers.tif": (integer_tiff(), "signed integer pixels"),
}
"""Name -> content, and what its reason must say."""

BAD_ENTRIES = {
    "gone.jpg": "dangling link: nowhere.jpg does not exist",
    "circle.jpg": "a link that leads back to itself",
    "pipe.jpg": "a pipe, socket or device",
}


def draw_bad(folder):
    """Put every kind of bad file into a folder. Returns path -> what its reason must say."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    reasons = {folder / name: reason for name, (_, reason) in BAD.items()}
    for name, (content, _) in BAD.items():
        (folder / name).write_bytes(content)
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "circle.jpg").symlink_to("circle.jpg")
    os.mkfifo(folder / "pipe.jpg")
    reasons |= {folder / name: reason for name, reason in BAD_ENTRIES.items()}
    if os.geteuid() != 0:
        locked = folder / "locked.jpg"
        shutil.copyfile(folder / "dot.png", locked)
        locked.chmod(0)
        reasons[locked] = "no permission to read it"
    return reasons


FOUND = {
    "dataset": {
        "name": "found",
        "folder": "pictures",
        "split": {"validation": 0.2},
        "extend": {"pool": "pool", "per_class": 14},
    },
    "augmentation": {"copies": 1},
    "experiments": {"small": {**EXPERIMENT, "epochs": 2}},
    "search": {"depth": 12},
    "evaluation": {
        "explanations": [],
        "k": [1, 3, 5],
        "answers_drawn": 4,
        "strips_drawn": 2,
        "queries_drawn": ["15 photo.jpg"],
    },
}


@dataclass
class Found:
    """A workflow on found pictures, and what is known about them.

    bad: path as the workflow opens it -> what the reason of its fault must say.
    """

    workflow: Workflow
    bad: dict = field(default_factory=dict)

    def __post_init__(self):
        self.pictures = self.workflow.folder / "pictures"
        self.pool = self.workflow.folder / "pool"
        draw_tree(self.pictures)
        self._break()
        self._duplicate()
        self._fill_pool()

    def _break(self):
        for part in ("training", "validation/gallery", "validation/query"):
            reasons = draw_bad(self.pictures / part / "cat")
            if part != "training":  # a few of them are enough there
                for path in list(reasons)[3:]:
                    path.unlink()
                reasons = dict(list(reasons.items())[:3])
            self.bad |= {self.as_opened(path): reason for path, reason in reasons.items()}
        image = Image.fromarray(pixels("cat", 96))
        image.save(self.pictures / "training/cat/96 misnamed.png", "JPEG")

    def _duplicate(self):
        training, query = self.pictures / "training", self.pictures / "validation/query"
        gallery = self.pictures / "validation/gallery"
        shutil.copy(query / "cat/15 photo.jpg", training / "cat/99 also a query.jpg")
        shutil.copy(gallery / "red fox/14 plain.png", query / "red fox/98 also in the gallery.png")
        shutil.copy(training / "cat/00 plain.png", training / "red fox/97 also a cat.png")
        (training / "notes.txt").write_text("the cats are from the garden\n")

    def _fill_pool(self):
        for label in CLASSES:
            draw_good(self.pool / label, label, range(42, 45))
        cats, gallery = self.pool / "cat", self.pictures / "validation/gallery/cat"
        shutil.copy(gallery / "14 plain.png", cats / "held out.png")
        with Image.open(gallery / "14 plain.png") as image:
            image.save(cats / "held out, saved anew.jpg", quality=90)
        shutil.copy(self.pictures / "training/cat/00 plain.png", cats / "known.png")
        draw_good(self.pool / "walrus", "walrus", range(1))
        (cats / "empty.jpg").write_bytes(b"")
        self.bad[self.as_opened(cats / "empty.jpg")] = "empty file"

    def as_opened(self, path):
        return str(path.relative_to(self.workflow.folder))


def read_rows(path):
    """The rows of a CSV file."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
