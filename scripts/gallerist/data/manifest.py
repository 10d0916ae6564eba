"""The manifest: one row an image, the only list of pictures that any stage reads.

It is read and held by columns, in Arrow: 10^6 rows take half a second and 150 MB, where as many
`Picture`s take eight seconds and 700 MB. A picture is made of its row when it is asked for.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any, get_type_hints, overload

import pyarrow as pa

from gallerist.io.files import PathLike, sha256_of_text, write_csv

DISTRACTOR = "distractor"
"""The class that is nobody's answer: a picture of it is never relevant to any query."""

AT_ONCE = 4096
"""Rows that are made into pictures at once."""

BLOCK_BYTES = 1 << 22
"""Of a file, that are read at once; smaller blocks take longer."""


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

_REPEATED = pa.dictionary(pa.int32(), pa.string())
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("path", pa.large_string()),
        ("label", _REPEATED),
        ("part", _REPEATED),
        ("source_id", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("phash", pa.string()),
        ("recipe", pa.large_string()),
    ]
)


class Manifest(Sequence[Picture]):
    """Pictures in a fixed order. Features and rankings refer to them by id."""

    def __init__(self, pictures: Iterable[Picture] = ()) -> None:
        """Take pictures, a block at a time. Raises ValueError for two of one id."""
        blocks, rows = [], iter(pictures)
        while block := [*islice(rows, AT_ONCE)]:
            columns = zip(*map(_cells, block), strict=True)
            arrays = [
                pa.array(cells, field.type) for cells, field in zip(columns, _SCHEMA, strict=True)
            ]
            blocks.append(pa.record_batch(arrays, schema=_SCHEMA))
        self._hold(pa.Table.from_batches(blocks, _SCHEMA))

    @classmethod
    def of_table(cls, table: pa.Table) -> "Manifest":
        """Take the columns of a table. Raises ValueError for two rows of one id."""
        manifest = cls.__new__(cls)
        manifest._hold(table)
        return manifest

    def _hold(self, table: pa.Table) -> None:
        """Refuse two rows with one id: a ranking could not tell them apart."""
        self._table = table.unify_dictionaries()
        ids = self.ids
        if len(set(ids)) < len(ids):
            seen: dict[str, str] = {}
            for name, path in zip(ids, self.paths, strict=True):
                if name in seen:
                    raise ValueError(f"id {name} stands for both {seen[name]} and {path}")
                seen[name] = path

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[Picture]:
        for start in range(0, len(self), AT_ONCE):
            columns = self._table.slice(start, AT_ONCE).columns
            yield from map(Picture, *map(_values, columns))

    @overload
    def __getitem__(self, row: int) -> Picture: ...
    @overload
    def __getitem__(self, row: slice) -> "Manifest": ...
    def __getitem__(self, row: int | slice) -> "Picture | Manifest":
        if isinstance(row, slice):
            return self.of_rows(range(*row.indices(len(self))))
        return Picture(*(column[row].as_py() for column in self._table.columns))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifest) and self._table.equals(other._table)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Manifest of {len(self)} pictures"

    def of_rows(self, rows: Iterable[int], **values: str) -> "Manifest":
        """The pictures of some rows, in that order. values: column -> what all of them get."""
        table = self._table.take(pa.array(rows, pa.int64()))
        for name, value in values.items():
            place = COLUMNS.index(name)
            column = pa.array([value] * len(table), _SCHEMA[place].type)
            table = table.set_column(place, _SCHEMA[place], column)
        return self.of_table(table)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All of them at once, for manifests of a few thousand."""
        return tuple(self)

    def column(self, name: str) -> list[Any]:
        """One column, in manifest order."""
        return _values(self._table[name])

    @property
    def ids(self) -> list[str]:
        """Ids in manifest order."""
        return self.column("id")

    @property
    def paths(self) -> list[str]:
        """Paths in manifest order."""
        return self.column("path")

    @property
    def labels(self) -> list[str]:
        """Class of each picture, in manifest order."""
        return self.column("label")

    @property
    def classes(self) -> list[str]:
        """The distinct classes, sorted: their positions are the network's outputs."""
        return sorted(set(self.labels))

    @property
    def digest(self) -> str:
        """SHA-256 of ids and labels: equal exactly when pictures and classes are, in this order."""
        rows = zip(self.ids, self.labels, strict=True)
        return sha256_of_text("".join(f"{name} {label}\n" for name, label in rows))

    def by_id(self) -> Mapping[str, Picture]:
        """Look pictures up by id."""
        return _ById(self)

    @property
    def label_of(self) -> dict[str, str]:
        """Class of each picture by its id, in manifest order."""
        return dict(zip(self.ids, self.labels, strict=True))

    def write(self, path: PathLike) -> None:
        """Write as CSV with a header, whole or not at all."""
        columns = COLUMNS if any(self.column("recipe")) else COLUMNS[:-1]
        rows = (
            row
            for start in range(0, len(self), AT_ONCE)
            for row in zip(
                *(_values(self._table[name].slice(start, AT_ONCE)) for name in columns),
                strict=True,
            )
        )
        write_csv(path, columns, rows)

    @classmethod
    def read(cls, *paths: PathLike) -> "Manifest":
        """Read one manifest, or several as one, in the order given.

        Raises ValueError naming the file when its columns are not those of a manifest, and the line
        when a row has other cells.
        """
        return cls.of_table(pa.concat_tables([_SCHEMA.empty_table(), *map(_read_table, paths)]))


class _ById(Mapping[str, Picture]):
    """Pictures by id, each made when it is asked for."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._row_of = {name: row for row, name in enumerate(manifest.ids)}

    def __getitem__(self, name: str) -> Picture:
        return self._manifest[self._row_of[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._row_of

    def __iter__(self) -> Iterator[str]:
        return iter(self._row_of)

    def __len__(self) -> int:
        return len(self._row_of)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """What a column holds; a repeated text is one object, however often it is there."""
    if column.type != _REPEATED:
        values: list[Any] = column.to_pylist()
        return values
    return [
        name
        for chunk in column.chunks
        for name in map(chunk.dictionary.to_pylist().__getitem__, chunk.indices.to_pylist())
    ]


def _cells(picture: Picture) -> tuple[Any, ...]:
    return tuple(getattr(picture, name) for name in COLUMNS)


def _read_table(path: PathLike) -> pa.Table:
    """The rows of one file, as a table of the manifest's schema."""
    from pyarrow import csv as arrow_csv

    columns = _columns_of(path)
    try:
        table = arrow_csv.read_csv(
            Path(path),
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=arrow_csv.ConvertOptions(
                column_types=_SCHEMA, null_values=[], strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        return Manifest(_read_rows(path))._table  # which says what is wrong, and where
    if columns == COLUMNS[:-1]:
        recipes = pa.array([""] * table.num_rows, _SCHEMA.field("recipe").type)
        table = table.append_column(_SCHEMA.field("recipe"), recipes)
    return table.cast(_SCHEMA)


def _columns_of(path: PathLike) -> tuple[str, ...]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        columns = tuple(next(csv.reader(file), ()))
    if columns not in (COLUMNS, COLUMNS[:-1]):
        raise ValueError(f"{path}: the columns of a manifest are {', '.join(COLUMNS[:-1])}")
    return columns


def _read_rows(path: PathLike) -> Iterator[Picture]:
    """Row by row: where the quicker way is stopped, it can be said which one is wrong."""
    columns = _columns_of(path)
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        for cells in rows:
            try:
                row = {name: _TYPES[name](cell) for name, cell in zip(columns, cells, strict=True)}
            except ValueError:
                raise ValueError(
                    f"{path}, line {rows.line_num}: a manifest's rows are {', '.join(columns)}; "
                    "this one has too few or too many, or a size that is no number"
                ) from None
            yield Picture(**row)
