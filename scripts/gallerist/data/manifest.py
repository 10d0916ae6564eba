"""The manifest: one row an image, the only list of pictures that any stage reads."""

import csv
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import get_type_hints

from gallerist.io.files import PathLike, sha256_of_text, write_csv

DISTRACTOR = "distractor"
"""The class that is nobody's answer: a picture of it is never relevant to any query."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One row of a manifest.

    id: first 16 hexadecimal digits of the SHA-256 of the file's bytes; for an augmented copy, of
        its original's id and its recipe. So it depends on content and recipe alone, and equal ids
        mean equal pixels. Unique in a manifest.
    path: where the file is, as the workflow opens it.
    label: the class, which is the name of the folder the picture came from.
    part: training, validation, gallery or query.
    source_id: the id of the picture this one was made from; its own id for an original.
    width, height: pixels, as seen (after EXIF orientation).
    phash: 64-bit DCT perceptual hash as 16 hexadecimal digits; empty for a copy.
    recipe: what makes the picture of its file, see `warping.Recipe`; empty where the file is it.
    """

    id: str
    path: str
    label: str
    part: str
    source_id: str
    width: int
    height: int
    phash: str
    recipe: str = ""


COLUMNS = tuple(field.name for field in fields(Picture))
"""Of a manifest of copies; others have no recipe, and leave the last one out."""
_TYPES = get_type_hints(Picture)


@dataclass(frozen=True)
class Manifest:
    """Pictures in a fixed order. Features and rankings refer to them by id."""

    pictures: tuple[Picture, ...]

    def __post_init__(self) -> None:
        """Refuse two rows with one id: a ranking could not tell them apart."""
        seen: dict[str, str] = {}
        for picture in self.pictures:
            if picture.id in seen:
                raise ValueError(
                    f"id {picture.id} stands for both {seen[picture.id]} and {picture.path}"
                )
            seen[picture.id] = picture.path

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[Picture]:
        return iter(self.pictures)

    @property
    def ids(self) -> list[str]:
        """Ids in manifest order."""
        return [picture.id for picture in self.pictures]

    @property
    def paths(self) -> list[str]:
        """Paths in manifest order."""
        return [picture.path for picture in self.pictures]

    @property
    def labels(self) -> list[str]:
        """Class of each picture, in manifest order."""
        return [picture.label for picture in self.pictures]

    @property
    def classes(self) -> list[str]:
        """The distinct classes, sorted: their positions are the network's outputs."""
        return sorted(set(self.labels))

    @property
    def digest(self) -> str:
        """SHA-256 of ids and labels: equal exactly when pictures and classes are, in this order."""
        return sha256_of_text("".join(f"{row.id} {row.label}\n" for row in self.pictures))

    def by_id(self) -> dict[str, Picture]:
        """Look pictures up by id."""
        return {picture.id: picture for picture in self.pictures}

    @property
    def label_of(self) -> dict[str, str]:
        """Class of each picture by its id, in manifest order."""
        return {picture.id: picture.label for picture in self.pictures}

    def write(self, path: PathLike) -> None:
        """Write as CSV with a header, whole or not at all."""
        columns = COLUMNS if any(picture.recipe for picture in self) else COLUMNS[:-1]
        rows = (astuple(picture)[: len(columns)] for picture in self)
        write_csv(path, columns, rows)

    @classmethod
    def read(cls, *paths: PathLike) -> "Manifest":
        """Read one manifest, or several as one, in the order given.

        Raises ValueError naming the file when its columns are not those of a manifest, and the line
        when a row has other cells.
        """
        return cls(tuple(picture for path in paths for picture in _read_rows(path)))


def _read_rows(path: PathLike) -> Iterator[Picture]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        columns = tuple(next(rows, ()))
        if columns not in (COLUMNS, COLUMNS[:-1]):
            raise ValueError(f"{path}: the columns of a manifest are {', '.join(COLUMNS[:-1])}")
        for cells in rows:
            try:
                row = {name: _TYPES[name](cell) for name, cell in zip(columns, cells, strict=True)}
            except ValueError:
                raise ValueError(
                    f"{path}, line {rows.line_num}: a manifest's rows are {', '.join(columns)}; "
                    "this one has too few or too many, or a size that is no number"
                ) from None
            yield Picture(**row)
