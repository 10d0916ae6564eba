"""The rows of a table of pictures that may be pictures, and what is wrong with others.

It imports nothing that takes long: a run asks it before any job.
"""

import hashlib
import math
import posixpath
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from gallerist.data.boxes import Box, with_box
from gallerist.data.folders import contents, status_of
from gallerist.io.files import PathLike, sha256_of_text
from gallerist.io.table_file import TextTable
from gallerist.workflow.table_layout import BOX, UNDIVIDED, read_table

_FAR = 1e7
"""Pixels that no picture has a side of."""


class Row(NamedTuple):
    """A row that can be looked up: where it stands, its file, label, box and original."""

    number: int
    path: str
    label: str
    box: Box | None
    original: str

    @property
    def picture(self) -> str:
        """The path of the picture: its file, with the box behind it."""
        return with_box(self.path, self.box)


class Wrong(NamedTuple):
    """A row that cannot: what it names, and why."""

    path: str
    reason: str


def table_fingerprint(path: PathLike, folder: str, part: str, cache: PathLike) -> str:
    """SHA-256 over the rows of a part and the contents of their files.

    Other rows, other columns and the order of rows do not matter; cache: see
    `folders.folder_fingerprint`.
    """
    wrong: list[Wrong] = []
    rows = [row[1:] for row in rows_of(read_table(path), folder, part, wrong)]
    rows.sort(key=lambda row: (*row[:2], row[2] or (), *row[3:]))  # all of a picture has no box
    names = dict.fromkeys(posixpath.relpath(row[0], folder) for row in rows)
    statuses = {name: status_of(posixpath.join(folder, name)) for name in names}
    found = contents(folder, statuses, cache)
    digest = hashlib.sha256()
    for text in (*map(repr, rows), *map(repr, sorted(wrong)), *map(repr, found.items())):
        digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def rows_of(
    table: TextTable, folder: str, part: str, wrong: list[Wrong] | None = None
) -> Iterator[Row]:
    """The rows of a part that may be pictures; the others go to `wrong`."""
    wanted = {"training", ""} if part == "originals" else {part.removesuffix(UNDIVIDED)}
    labelled = "label" in table.columns
    names = ("path", "part", "label", "original", *BOX)
    boxed = set(BOX) <= table.columns.keys()
    cells = [table.column(name) for name in names]
    seen: dict[tuple[str, Box | None], int] = {}
    bad = [] if wrong is None else wrong
    for number, (name, of_part, label, original, *sides) in enumerate(zip(*cells, strict=True)):
        if of_part not in wanted:
            continue
        path = posixpath.join(folder, name)
        try:
            box = _box(sides) if boxed else None
            reason = _fault(name, label) if labelled or not name else ""
            if not reason and (path, box) in seen:
                reason = f"the same row as {table.place(seen[path, box])}"
        except ValueError as error:
            box, reason = None, str(error)
        if reason:
            named = with_box(path, box) if name else table.path
            bad.append(Wrong(named, f"{reason} ({table.place(number)})"))
            continue
        seen[path, box] = number
        source = sha256_of_text(f"original {original}")[:16] if original else ""
        yield Row(number, path, unicodedata.normalize("NFC", label), box, source)


def _fault(name: str, label: str) -> str:
    if not name:
        return "no path"
    if not label:
        return "no label, though the table has that column"
    if "/" in label or "\0" in label or label in (".", "..") or not label.isprintable():
        return f"the label {label!r} is no name of a class: leave / and line ends out"
    return ""


def _box(sides: list[str]) -> Box | None:
    """The box of four cells, its edges rounded to whole pixels; None where all are empty.

    Raises ValueError with what is wrong.
    """
    if not any(sides):
        return None
    numbers = []
    for name, text in zip(BOX, sides, strict=True):
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f"{name} is {text!r}: a box has four numbers of pixels") from None
        if not math.isfinite(number) or abs(number) > _FAR:
            raise ValueError(f"{name} is {text}: a box has four numbers of pixels")
        numbers.append(number)
    left, top, width, height = numbers
    x, y = round(left), round(top)
    box = Box(x, y, round(left + width) - x, round(top + height) - y)
    if min(box) < 0 or min(box[2:]) < 1:
        raise ValueError(f"the box {','.join(sides)} is not within a picture")
    return box
