"""Corrections of a data set: pictures that are bad, of another class, or in two parts at once.

A file of the user's own, which the import reads. The pictures and their folders stay as they are.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from gallerist.data.manifest import Manifest, Picture
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, naming_table, write_csv

if TYPE_CHECKING:
    from gallerist.data.examining import Problem
    from gallerist.data.importing import Import

Action = Literal["label", "bad", "leak"]
ACTIONS: tuple[Action, ...] = get_args(Action)

NO_LEAK = "no"
"""Stands for the part in the value of a pair that was looked at and is no leak."""

PARTS = ("training", "validation", "gallery", "query")


@dataclass(frozen=True, slots=True, order=True)
class Correction:
    """One line of the file.

    picture: id of the picture, by its content.
    action, value:
    - label, the right class; or nothing, where the class is in doubt and stays as it is.
    - bad, nothing: the picture is left out.
    - leak, part:id: the picture is also in that part, under that id, which is the same for equal
      files. It is left out of all other parts. no:id says that the two were looked at and are no
      leak.
    note: of whoever looked.
    """

    picture: str
    action: Action
    value: str = ""
    note: str = ""

    @property
    def kept_part(self) -> str | None:
        """The part in which a leaked picture stays; None where nothing leaks."""
        part = self.value.partition(":")[0]
        return part if self.action == "leak" and part != NO_LEAK else None

    @property
    def subject(self) -> tuple[str, ...]:
        """What it is about: a later correction of the same takes the place of an earlier one."""
        other = self.value.partition(":")[2] if self.action == "leak" else ""
        return self.picture, self.action, other


COLUMNS = tuple(field.name for field in fields(Correction))


def read_corrections(path: PathLike) -> tuple[Correction, ...]:
    """Read a file of corrections; of two about the same thing the last one counts.

    Raises UserError naming the file and the line that does not fit.
    """
    found: dict[tuple[str, ...], Correction] = {}
    with naming_table(path), Path(path).open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        if tuple(next(rows, ())) != COLUMNS:
            raise UserError(f"{path}: the columns of corrections are {', '.join(COLUMNS)}")
        for cells in filter(None, rows):
            try:
                one = check_correction(*cells)
            except (TypeError, UserError) as error:
                reason = error if isinstance(error, UserError) else f"a row is {','.join(COLUMNS)}"
                raise UserError(f"{path}, line {rows.line_num}: {reason}") from None
            found[one.subject] = one
    return tuple(found.values())


def check_correction(picture: str, action: str, value: str, note: str) -> Correction:
    """The correction of these cells. Raises UserError with what is wrong."""
    if not picture:
        raise UserError("it names no picture")
    if action not in ACTIONS:
        raise UserError(f"{action!r} is no action; there are {', '.join(ACTIONS)}")
    one = Correction(picture, action, value, note)
    if action == "bad" and value:
        raise UserError("a bad picture has no value")
    if action == "leak":
        part, _, other = value.partition(":")
        if part not in (*PARTS, NO_LEAK) or not other:
            known = ", ".join((*PARTS, NO_LEAK))
            raise UserError(f"the value of a leak is part:id, of the parts {known}; not {value!r}")
    return one


def write_corrections(path: PathLike, corrections: Iterable[Correction]) -> None:
    """Write what `read_corrections` reads, whole or not at all."""
    write_csv(path, COLUMNS, map(astuple, corrections))


def correct(imported: "Import", corrections: Iterable[Correction], part: str) -> "Import":
    """Apply corrections to the pictures of a part, and name what was done among its problems.

    Pictures of another class move to where that class stands. Corrections of pictures that the part
    does not have are of other parts. Raises UserError when no picture is left.
    """
    by_picture: dict[str, list[Correction]] = {}
    for one in corrections:
        by_picture.setdefault(one.picture, []).append(one)
    classes = set(imported.manifest.labels)
    kept: list[Picture] = []
    problems = list(imported.problems)
    for picture in imported.manifest:
        left, found = _corrected(picture, by_picture.get(picture.id, []), part, classes)
        problems += found
        if left is not None:
            kept.append(left)
    if not kept and len(imported.manifest):
        raise UserError(f"the corrections leave no picture of {part}")
    kept.sort(key=lambda picture: picture.label)  # stable: within a class they stay in order
    return type(imported)(Manifest(tuple(kept)), tuple(sorted(problems)))


def _corrected(
    picture: Picture, corrections: Iterable[Correction], part: str, classes: set[str]
) -> "tuple[Picture | None, list[Problem]]":
    """The picture as it is corrected, None where it is left out; and what was done."""
    left: Picture | None = picture
    problems = []
    for severity, reason in _reasons(picture, corrections, part, classes):
        from gallerist.data.examining import Problem  # which loads what decodes pictures

        problems.append(Problem(picture.path, severity, reason))
        if severity == "skipped":
            left = None
    label = next((one.value for one in corrections if one.action == "label" and one.value), "")
    return (replace(left, label=label) if left and label else left), problems


def _reasons(
    picture: Picture, corrections: Iterable[Correction], part: str, classes: set[str]
) -> Iterator[tuple[Literal["skipped", "warning"], str]]:
    for one in corrections:
        note = f" ({one.note})" if one.note else ""
        if one.action == "bad":
            yield "skipped", f"bad, by the corrections{note}"
        elif one.kept_part and not _stays(one.kept_part, part):
            yield "skipped", f"also in {one.kept_part}, by the corrections{note}"
        elif one.action == "label" and not one.value:
            yield "warning", f"its class is in doubt, by the corrections{note}"
        elif one.action == "label" and one.value != picture.label:
            new = "" if one.value in classes else ", a class without other pictures here"
            moved = f"of class {one.value}, not {picture.label}, by the corrections{new}{note}"
            yield "warning", moved


def _stays(kept: str, part: str) -> bool:
    """Whether a leaked picture stays in a part as it is imported: training is part of originals."""
    part = part.removesuffix("_originals")  # of a tree whose classes are divided after its import
    return part == kept or (part == "originals" and kept == "training")
