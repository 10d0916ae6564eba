"""What a table of pictures has: the parts and columns that rules and configuration ask for."""

import difflib
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike
from gallerist.io.table_file import TextTable, read_text_table

PARTS = ("training", "validation", "gallery", "query")
BOX = ("x", "y", "width", "height")
POSITIONS = (("latitude", "longitude"), ("east", "north"), ("x", "y"))
"""Columns that say where a picture was taken; x and y only of a table without boxes."""
COLUMNS = (
    *("path", "part", "label", "original", "domain"),
    *(*BOX, *POSITIONS[0], *POSITIONS[1], "junk"),
)
"""All that have a meaning; others are not read, unless `dataset.truth` names one."""

UNDIVIDED = "_originals"
"""After the name of a part whose classes are divided after its import."""


@dataclass(frozen=True)
class TableLayout:
    """What is known of a table before a job reads its pictures.

    parts: those that its rows name; none where it leaves them to the split. columns: all that it
    has. domains: the parts whose rows name some; "" is that of rows without a part.
    """

    parts: frozenset[str]
    columns: tuple[str, ...]
    domains: frozenset[str] = frozenset()

    @property
    def labelled(self) -> bool:
        """Whether its pictures have classes."""
        return "label" in self.columns

    @property
    def boxes(self) -> bool:
        """Whether its rows are parts of pictures."""
        return set(BOX) <= set(self.columns)

    @property
    def position(self) -> tuple[str, str] | None:
        """The columns that say where a picture was taken; None without them."""
        known = POSITIONS[:-1] if self.boxes else POSITIONS
        return next((pair for pair in known if set(pair) <= set(self.columns)), None)


def layout_of(path: PathLike) -> TableLayout:
    """What a table has. Raises UserError as `read_table`."""
    status = Path(path).stat()
    return _layout(str(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _layout(path: str, _time: int, _size: int) -> TableLayout:
    table = read_table(path)
    part_of = table.column("part")
    named = {part for part, name in zip(part_of, table.column("domain"), strict=True) if name}
    return TableLayout(frozenset(part_of) - {""}, tuple(table.columns), frozenset(named))


def read_table(path: PathLike) -> TextTable:
    """Read a table of pictures whose rows can be told apart and belong somewhere.

    Raises UserError in one line: where a column is missing or misspelled, a part is unknown or
    given in some rows only, a needed part has no row, or a path leads out of the folder.
    """
    table = read_text_table(path)
    _check_columns(table)
    if not len(table):
        raise UserError(f"{path} has no rows, only names of columns")
    _check_parts(table)
    for row, name in enumerate(table.column("path")):
        if ("." in name[:1] or name[:1] in "/~" or "/.." in name) and _leaves(name):
            raise UserError(
                f"{table.place(row)}: the path {name!r} leaves the folder of the pictures. Write "
                "paths below it, or name another folder by dataset.folder"
            )
    return table


def _leaves(name: str) -> bool:
    return name.startswith(("/", "~")) or posixpath.normpath(name).split("/")[0] == ".."


def _check_columns(table: TextTable) -> None:
    names = [*table.columns]
    for wanted in COLUMNS:
        if wanted not in names:
            others = [name for name in names if name not in COLUMNS]
            near = difflib.get_close_matches(wanted, [n.lower() for n in others], n=1, cutoff=0.8)
            if near:
                meant = next(name for name in others if name.lower() == near[0])
                raise UserError(f"{table.path} has a column {meant!r}: call it {wanted}")
    if "path" not in names:
        found = ", ".join(names)
        hint = "" if len(names) > 1 else ". Columns are separated by commas"
        raise UserError(f"{table.path} has no column path; it has {found}{hint}")
    if len(given := [name for name in BOX[2:] if name in names]) == 1 or (
        given and not {"x", "y"} <= {*names}
    ):
        raise UserError(f"{table.path}: a box has the columns {', '.join(BOX)}, all of them")


def _check_parts(table: TextTable) -> None:
    parts = table.column("part")
    found = set(parts)
    if unknown := found - {*PARTS, ""}:
        row = _first(parts, unknown)
        known = ", ".join(PARTS)
        raise UserError(f"{table.place(row)}: the part {parts[row]!r} is none of {known}")
    if found == {""}:
        return
    if "" in found:
        place = table.place(_first(parts, {""}))
        raise UserError(f"{place}: no part, though other rows have one. Fill in all, or none")
    if "gallery" not in found:
        raise UserError(f"{table.path} has no row of the part gallery")


def _first(values: Sequence[str], wanted: set[str]) -> int:
    return next(row for row, value in enumerate(values) if value in wanted)
