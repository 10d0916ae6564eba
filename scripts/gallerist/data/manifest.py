"""The manifest: one row an image, the only list of pictures that any stage reads.

It is held by columns, and a picture is made of its row when it is asked for: 10^6 rows are read in
a second, where as many `Picture`s take eight, and hold half of their memory.
"""

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any, get_type_hints, overload

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, naming_table, sha256_of_text, write_csv

DISTRACTOR = "distractor"
"""The class that is nobody's answer: a picture of it is never relevant to any query."""

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

AT_ONCE = 4096
"""Rows that are taken at once."""

LARGE = 1 << 24
"""Bytes of a file from which on Arrow reads it, which takes a quarter of a second to load."""


Block = Sequence[Collection[Any]]
"""Some rows, column by column, in the order of COLUMNS."""


class Manifest(Sequence[Picture]):
    """Pictures in a fixed order. Features and rankings refer to them by id."""

    def __init__(self, pictures: Iterable[Picture] = ()) -> None:
        """Take pictures, one after the other. Raises UserError for two of one id."""
        rows = (tuple(getattr(each, name) for name in COLUMNS) for each in pictures)
        self._hold(_blocks(rows))

    @classmethod
    def of_blocks(cls, blocks: Iterable[Block]) -> "Manifest":
        """Take rows by columns. Raises UserError for two of one id."""
        manifest = cls.__new__(cls)
        manifest._hold(blocks)
        return manifest

    def _hold(self, blocks: Iterable[Block]) -> None:
        """Refuse two rows with one id: a ranking could not tell them apart.

        Of equal texts in labels and parts one object is kept, and of an id that is a source's, too.
        """
        held: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        known: dict[str, str] = {}
        for block in blocks:
            cells = {name: [*column] for name, column in zip(COLUMNS, block, strict=True)}
            for name in ("label", "part", "recipe"):
                cells[name] = [*map(known.setdefault, cells[name], cells[name])]
            pairs = zip(cells["id"], cells["source_id"], strict=True)
            cells["source_id"] = [own if own == source else source for own, source in pairs]
            for name, column in held.items():
                column += cells[name]
        self._columns = held
        if len(set(self.ids)) < len(self):
            seen: dict[str, str] = {}
            for name, path in zip(self.ids, self.paths, strict=True):
                if name in seen:
                    raise UserError(f"id {name} stands for both {seen[name]} and {path}")
                seen[name] = path

    def __len__(self) -> int:
        return len(self._columns["id"])

    def __iter__(self) -> Iterator[Picture]:
        return map(Picture, *self._columns.values())

    @overload
    def __getitem__(self, row: int) -> Picture: ...
    @overload
    def __getitem__(self, row: slice) -> "Manifest": ...
    def __getitem__(self, row: int | slice) -> "Picture | Manifest":
        if isinstance(row, slice):
            return self.of_blocks([[column[row] for column in self._columns.values()]])
        return Picture(*(column[row] for column in self._columns.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifest) and self._columns == other._columns

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Manifest of {len(self)} pictures"

    def of_rows(self, rows: Sequence[int], part: str) -> "Manifest":
        """The pictures of some rows, in that order, as those of a part."""
        columns = {name: [column[row] for row in rows] for name, column in self._columns.items()}
        columns["part"] = [part] * len(rows)
        return self.of_blocks([[*columns.values()]])

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All of them at once, for manifests of a few thousand."""
        return tuple(self)

    @property
    def ids(self) -> list[str]:
        """Ids in manifest order."""
        return self._columns["id"]

    @property
    def paths(self) -> list[str]:
        """Paths in manifest order."""
        return self._columns["path"]

    @property
    def labels(self) -> list[str]:
        """Class of each picture, in manifest order."""
        return self._columns["label"]

    @property
    def sources(self) -> list[str]:
        """The id of each picture's original, in manifest order."""
        return self._columns["source_id"]

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
        columns = COLUMNS if any(self._columns["recipe"]) else COLUMNS[:-1]
        write_csv(path, columns, zip(*(self._columns[name] for name in columns), strict=True))

    @classmethod
    def read(cls, *paths: PathLike) -> "Manifest":
        """Read one manifest, or several as one, in the order given.

        Raises UserError naming the file when its columns are not those of a manifest, and the line
        when a row has other cells.
        """
        return cls.of_blocks(block for path in paths for block in _read(path))


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


def _blocks(rows: Iterable[tuple[Any, ...]]) -> Iterator[Block]:
    rows = iter(rows)
    while block := [*islice(rows, AT_ONCE)]:
        yield [*zip(*block, strict=True)]


def _read(path: PathLike) -> Iterator[Block]:
    """The rows of one file. Of a large one Arrow says first what it can."""
    done = 0
    if Path(path).stat().st_size >= LARGE:
        import pyarrow as pa

        try:
            for block in _read_large(path, _columns_of(path)):
                yield block
                done += len(block[0])
            return
        except pa.ArrowInvalid:
            pass  # row by row it can be said which one is wrong
    yield from _blocks(islice(_read_rows(path), done, None))


def _read_large(path: PathLike, columns: Sequence[str]) -> Iterator[list[list[Any]]]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    types = {name: pa.int64() if _TYPES[name] is int else pa.string() for name in columns}
    types |= dict.fromkeys(("label", "part"), pa.dictionary(pa.int32(), pa.string()))
    reader = arrow_csv.open_csv(
        Path(path),
        read_options=arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=arrow_csv.ConvertOptions(
            column_types=types, null_values=[], strings_can_be_null=False
        ),
    )
    for batch in reader:
        cells = {name: batch.column(name) for name in columns}
        found = {name: cells[name].to_pylist() for name in ("id", "path", "width", "height")}
        for name in ("label", "part"):
            texts = cells[name].dictionary.to_pylist()
            found[name] = [texts[place] for place in cells[name].indices.to_pylist()]
        originals = cells["source_id"].equals(cells["id"])
        found["source_id"] = found["id"] if originals else cells["source_id"].to_pylist()
        found["phash"] = cells["phash"].to_pylist()
        recipe = cells.get("recipe")
        found["recipe"] = recipe.to_pylist() if recipe is not None else [""] * batch.num_rows
        yield [found[name] for name in COLUMNS]


def _columns_of(path: PathLike) -> tuple[str, ...]:
    with naming_table(path), Path(path).open(encoding="utf-8", newline="") as file:
        columns = tuple(next(csv.reader(file), ()))
    if columns not in (COLUMNS, COLUMNS[:-1]):
        raise UserError(f"{path}: the columns of a manifest are {', '.join(COLUMNS[:-1])}")
    return columns


def _read_rows(path: PathLike) -> Iterator[tuple[Any, ...]]:
    columns = _columns_of(path)
    types = [_TYPES[name] for name in columns]
    recipe = () if columns == COLUMNS else ("",)
    with naming_table(path), Path(path).open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        for cells in rows:
            try:
                yield (*(kind(cell) for kind, cell in zip(types, cells, strict=True)), *recipe)
            except ValueError:
                raise UserError(
                    f"{path}, line {rows.line_num}: a manifest's rows are {', '.join(columns)}; "
                    "this one has too few or too many, or a size that is no number"
                ) from None
