"""Pictures to measure with: real photos where there are any, else drawn silhouettes."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gallerist.data.manifest import Manifest, Picture

SHARED = Path(os.environ.get("GALLERIST_SHARED") or Path(__file__).resolve().parents[2] / "shared")
PHOTOS = SHARED / "data" / "monkeys10"
"""Folders of photos, one a class, 250 pixels a side; not part of Gallerist."""

SIDE = 250


@dataclass(frozen=True)
class Photos:
    """Picture files, as many of one class as of another, and in one word what they show."""

    paths: tuple[Path, ...]
    source: str

    @property
    def labels(self) -> list[str]:
        """The class of each, which is the name of its folder."""
        return [path.parent.name for path in self.paths]

    def manifest(self, part: str) -> Manifest:
        """As the pictures of one part. A file that comes twice is two pictures."""
        return Manifest(
            tuple(
                Picture(
                    f"{row:016x}",
                    str(path),
                    path.parent.name,
                    part,
                    f"{row:016x}",
                    SIDE,
                    SIDE,
                    "0" * 16,
                )
                for row, path in enumerate(self.paths)
            )
        )


@contextmanager
def photos(count: int, *, part: str = "training") -> Iterator[Photos]:
    """So many pictures; where there are fewer, they come again. part: training or query."""
    with tempfile.TemporaryDirectory(prefix="gallerist-benchmark-") as folder:
        below = "training" if part == "training" else f"validation/{part}"
        root, source = PHOTOS / below, "photos of monkeys"
        if not root.is_dir():
            root, source = _silhouettes(Path(folder) / "drawn") / below, "silhouettes"
        classes = [sorted(each.iterdir()) for each in sorted(root.iterdir()) if each.is_dir()]
        yield Photos(tuple(islice(_in_turn(classes), count)), source)


def _in_turn(classes: list[list[Path]]) -> Iterator[Path]:
    """The first of every class, the second of every class, and so on, for ever."""
    number = 0
    while True:
        for files in classes:
            yield files[number % len(files)]
        number += 1


def _silhouettes(folder: Path) -> Path:
    from gallerist.data.silhouettes import draw_tree
    from gallerist.settings.dataset import EmbeddedPictures

    counts = {"training_per_class": 20, "gallery_per_class": 2, "query_per_class": 10}
    draw_tree(folder, EmbeddedPictures(**counts, image_size=SIDE))
    return folder
