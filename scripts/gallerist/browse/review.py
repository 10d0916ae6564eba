"""What somebody says of pictures: kept as corrections, which the import reads."""

import csv
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from gallerist.browse.data_sets import DataSet, NotThere
from gallerist.browse.searching import shown_picture
from gallerist.data.corrections import (
    Correction,
    check_correction,
    read_corrections,
    write_corrections,
)
from gallerist.data.manifest import Picture
from gallerist.io.errors import UserError

if TYPE_CHECKING:
    from gallerist.browse.sent import Said

FOLDER = "corrections"
"""Of the corrections, beside results/, where the configuration names no file."""

LISTED = 500
"""Pairs of the leak report that a page lists at most."""


class Review:
    """The corrections of one data set."""

    def __init__(self, data: DataSet) -> None:
        self._data = data
        self._lock = Lock()

    @property
    def configured(self) -> str | None:
        """The file that the import of these results has read, if any."""
        config = self._data.config
        return config["dataset"].get("corrections") if config else None

    @property
    def file(self) -> Path:
        """The file that is read and written."""
        beside = self._data.folder.parent.parent / FOLDER / f"{self._data.name}.csv"
        return Path(self.configured) if self.configured else beside

    def corrections(self) -> tuple[Correction, ...]:
        """Those that were made. Raises UserError where the file is damaged."""
        return read_corrections(self.file) if self.file.is_file() else ()

    def shown(self) -> dict[str, Any]:
        """All corrections, where they are kept, and what has to be configured."""
        return {
            "file": str(self.file),
            "configured": self.configured is not None,
            "corrections": [
                {
                    "picture": one.picture,
                    "action": one.action,
                    "value": one.value,
                    "note": one.note,
                    "shown": self._shown(one.picture),
                }
                for one in self.corrections()
            ],
        }

    def _shown(self, picture: str) -> dict[str, Any] | None:
        try:
            return shown_picture(self._data.picture(picture))
        except NotThere:  # it may have been left out since
            return None

    def say(self, said: "Said") -> None:
        """Keep a correction in place of what was said of the same. Raises UserError, NotThere."""
        one = check_correction(said.picture, said.action, said.value, _line(said.note))
        if any(character in one.value for character in "\r\n"):
            raise UserError("a class has one line")
        self._data.picture(one.picture)
        with self._lock:
            others = [each for each in self.corrections() if each.subject != one.subject]
            write_corrections(self.file, [*others, one])

    def take_back(self, said: "Said") -> None:
        """Forget what was said of the same."""
        one = Correction(said.picture, said.action, said.value)  # type: ignore[arg-type]
        with self._lock:
            others = [each for each in self.corrections() if each.subject != one.subject]
            write_corrections(self.file, others)

    def leaks(self) -> dict[str, Any]:
        """The pairs of the leak report, those that may flatter the figures most first."""
        path = self._data.there("reports/leaks.csv")
        if path is None:
            return {"total": 0, "pairs": []}
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        data = self._data
        every = (*data.learned.values(), *data.gallery.values(), *data.queries.values())
        by_path = {(picture.part, picture.path): picture for picture in every}
        rows.sort(key=lambda row: ("query" not in (row["part_a"], row["part_b"]), int(row["bits"])))
        pairs = [
            {
                "kind": row["kind"],
                "bits": int(row["bits"]),
                "left": _side(row, "a", by_path),
                "kept": _side(row, "b", by_path),
            }
            for row in rows[:LISTED]
        ]
        return {"total": len(rows), "pairs": pairs}


def _side(
    row: dict[str, str], side: str, by_path: dict[tuple[str, str], Picture]
) -> dict[str, Any]:
    """One picture of a pair; without an id where the manifests do not have it any more."""
    part, path = row[f"part_{side}"], row[f"path_{side}"]
    picture = by_path.get((part, path))
    if picture is not None:
        return {**shown_picture(picture), "part": part}
    return {"id": None, "name": Path(path).name, "label": row[f"label_{side}"], "part": part}


def _line(text: str) -> str:
    return " ".join(text.split())
