"""A table of texts, from CSV or Parquet, whole and by columns: 10^6 rows take two seconds."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike

LARGE = 1 << 22
"""Bytes of a CSV from which on Arrow reads it, which takes a quarter of a second to load."""

PARQUET = (".parquet", ".pq")
"""Endings of a file that is Parquet; any other is CSV."""


@dataclass(frozen=True)
class TextTable:
    """The columns of a table, each a text a row; empty where a row has nothing there.

    lines: of the rows in the file, for messages; of Parquet, numbers of rows from 1.
    """

    path: str
    columns: Mapping[str, Sequence[str]]
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str) -> Sequence[str]:
        """One column; empty texts where the table has none of the name."""
        return self.columns.get(name) or [""] * len(self)

    def place(self, row: int) -> str:
        """Where a row stands: the file, and its line."""
        return f"{self.path}, {'row' if is_parquet(self.path) else 'line'} {self.lines[row]}"


def is_parquet(path: PathLike) -> bool:
    """Whether a file is taken for Parquet, by its name."""
    return Path(path).suffix.lower() in PARQUET


def read_text_table(path: PathLike) -> TextTable:
    """Read a table whole. Blanks around names of columns and around cells are taken away.

    Raises UserError naming the file, and the line: where it is no UTF-8, has no header, two columns
    of one name, or a row with more or fewer cells than the header.
    """
    try:
        if is_parquet(path):
            return _read_parquet(path)
        large = Path(path).stat().st_size >= LARGE
        return (large and _read_large_csv(path)) or _read_csv(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def _read_large_csv(path: PathLike) -> TextTable | None:
    """The same by Arrow; None where it is not as plain as most: then a line can be named."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file), [])
        types = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[],
            strings_can_be_null=False,
        )
        plain = arrow_csv.ParseOptions(ignore_empty_lines=False)
        table = arrow_csv.read_csv(Path(path), parse_options=plain, convert_options=types)
    except (pa.ArrowInvalid, UnicodeDecodeError, csv.Error):
        return None
    header = _header(path, table.column_names)
    columns = {
        name: [*map(str.strip, column.to_pylist())]
        for name, column in zip(header, table.columns, strict=True)
    }
    return TextTable(str(path), columns, range(2, table.num_rows + 2))


def _read_csv(path: PathLike) -> TextTable:
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = _header(path, next(reader, []))
            rows = [(reader.line_num, cells) for cells in reader if cells]
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8: save it as UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}") from None
    for line, cells in rows:
        if len(cells) != len(header):
            given = f"{len(cells)} cells, and the header {len(header)}"
            raise UserError(f"{path}, line {line}: the row has {given}. Quote commas in cells")
    lines = [line for line, _ in rows]
    columns = zip(*(cells for _, cells in rows), strict=True) if rows else [()] * len(header)
    named = zip(header, columns, strict=True)
    return TextTable(str(path), {name: [*map(str.strip, cells)] for name, cells in named}, lines)


def _read_parquet(path: PathLike) -> TextTable:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        header = _header(path, table.column_names)
        # Texts are decoded here: a damaged file may be found no earlier.
        columns = {
            name: [*_texts(column.to_pylist())]
            for name, column in zip(header, table.columns, strict=True)
        }
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no Parquet that can be read: {error}") from None
    return TextTable(str(path), columns, range(1, table.num_rows + 1))


def _texts(values: Sequence[object]) -> Iterator[str]:
    return ("" if value is None else str(value).strip() for value in values)


def _header(path: PathLike, names: Sequence[str]) -> list[str]:
    found = [name.strip() for name in names]
    if not any(found):
        raise UserError(f"{path} is empty: its first line names the columns")
    if len(set(found)) < len(found):
        raise UserError(f"{path} has the column {max(found, key=found.count)} twice")
    return found
