"""A comparison's result: one table, as text, as Markdown and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import Machine
from gallerist.io.files import write_json, write_text

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Rows with the same columns, in their order.

    raw: every single measurement, for the JSON file only.
    """

    name: str
    title: str
    rows: tuple[Mapping[str, Cell], ...]
    notes: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The names of the columns: of all rows, in the order in which they first come."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def column(self, name: str) -> list[Cell]:
        """The cells below one name."""
        return [row.get(name) for row in self.rows]

    def markdown(self, machine: Machine) -> str:
        """The table, its notes, and the machine."""
        cells = [
            self.columns,
            *([format_cell(row.get(name)) for name in self.columns] for row in self.rows),
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [_line(row, widths) for row in cells]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        notes = "".join(f"\n- {note}" for note in (*self.notes, *machine.lines))
        return f"# {self.title}\n\n" + "\n".join(lines) + f"\n{notes}\n"

    def write(self, folder: Path, machine: Machine) -> Path:
        """Write <folder>/<name>.md and .json; returns the former."""
        value = {
            "name": self.name,
            "title": self.title,
            "rows": [dict(row) for row in self.rows],
            "notes": list(self.notes),
            "raw": dict(self.raw),
            "machine": asdict(machine),
        }
        write_json(folder / f"{self.name}.json", value)
        path = folder / f"{self.name}.md"
        write_text(path, self.markdown(machine))
        return path


def format_cell(cell: Cell) -> str:
    """A cell for people: numbers with three significant digits, whole ones as they are."""
    if cell is None:
        return ""
    if isinstance(cell, bool) or not isinstance(cell, float):
        return str(cell)
    if abs(cell) >= 1000:
        return f"{cell:.0f}"
    return f"{cell:.3g}" if abs(cell) < 100 else f"{cell:.1f}".removesuffix(".0")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "| " + " | ".join(padded) + " |"
