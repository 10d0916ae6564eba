"""Text files of other tools: which form one has, and its rows, with errors that name the line.

The form is seen from a file's first line, never from its name. Files are UTF-8. Lines end in LF, CR
LF or CR. A file is opened once and read from its beginning to its end, so that it may be a pipe; of
its text no more than a line, and what is read ahead, is in memory.
"""

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from sys import intern
from typing import Literal

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, write_text

Kind = Literal["ranking", "run", "labels", "pairs", "qrels"]

RANKINGS: tuple[Kind, ...] = ("ranking", "run")
TRUTHS: tuple[Kind, ...] = ("labels", "pairs", "qrels")

FORMS: Mapping[Kind, str] = {
    "ranking": "a ranking: CSV with the columns query_id, rank, gallery_id and perhaps distance",
    "run": "a TREC run: lines `qid Q0 docid rank score tag`",
    "labels": "classes: CSV with the columns id, label and perhaps part, source_id, path",
    "pairs": "relevant pairs: CSV with the columns query_id, gallery_id and perhaps relevant",
    "qrels": "TREC qrels: lines `qid 0 docid relevance`",
}
"""Every form that is read."""

_FIELDS = re.compile(r"[^ \t\n\r\f\v]+")
"""What trec_eval's blanks divide. Others, such as U+00A0, may stand in a file name."""


LONGEST_LINE = 100_000
"""Bytes. A file that is no text, or no list, may have no ends of lines at all."""

_BLOCK = 1 << 16
"""Bytes read at once."""

_SHOWN = 80
"""Characters of a file's own text in a message."""


class Source:
    """A text file that is looked at first, and then read to its end, without being opened again."""

    def __init__(self, path: PathLike) -> None:
        """Open nothing yet."""
        self.path = path
        self._rest = _lines(path)
        self._seen: list[tuple[int, str]] = []

    @cached_property
    def kind(self) -> Kind:
        """Which of FORMS it has, by its first line. Raises UserError when it has none."""
        for each in self._rest:
            self._seen.append(each)
            if each[1].strip():
                break
        return _kind_of(self.path, self._seen[-1][1].strip() if self._seen else "")

    def lines(self) -> Iterator[tuple[int, str]]:
        """Lines with their numbers and their ends; once."""
        while self._seen:
            yield self._seen.pop(0)
        yield from self._rest


def source(file: PathLike | Source) -> Source:
    """A file as a source; a source comes back as it is."""
    return file if isinstance(file, Source) else Source(file)


def _kind_of(path: PathLike, first: str) -> Kind:
    try:
        columns = set(next(csv.reader([first]), ()))
    except csv.Error:
        columns = set()
    if {"query_id", "rank", "gallery_id"} <= columns:
        return "ranking"
    if {"query_id", "gallery_id"} <= columns:
        return "pairs"
    if {"id", "label"} <= columns:
        return "labels"
    fields = _FIELDS.findall(first)
    if len(fields) == 6:
        return "run"
    if len(fields) == 4 and re.fullmatch(r"[+-]?\d+", fields[3]):
        return "qrels"
    begins = f"begins with {first[:_SHOWN]!r}" if first else "is empty"
    forms = "".join(f"\n  - {form}" for form in FORMS.values())
    raise UserError(f"{path} {begins}, which is none of the forms that are read:{forms}")


def table(
    file: PathLike | Source, required: Sequence[str], optional: Sequence[str]
) -> Iterator[tuple[str, list[str], list[str | None]]]:
    """Rows of a CSV: where each stands, its required cells, its optional ones.

    A column that the file lacks gives None; further columns are ignored. Raises
    UserError when it lacks a required one, and when a row has another number of cells than the
    header, or nothing in a required one.
    """
    read = source(file)
    place = path = str(read.path)
    rows = csv.reader(line for _, line in read.lines())
    try:
        header = next((row for row in rows if row), [])
        if lacking := [name for name in required if name not in header]:
            raise UserError(f"{path}: its first line names no column {', '.join(lacking)}")
        needed = [header.index(name) for name in required]
        further = [header.index(name) if name in header else None for name in optional]
        for row in rows:
            place = f"{path}, line {rows.line_num}"
            if not row:
                continue
            if len(row) != len(header):
                raise UserError(f"{place}: {len(row)} cells under {len(header)} columns")
            cells = [intern(row[column]) for column in needed]
            if not all(cells):
                raise UserError(f"{place}: there is no {required[cells.index('')]}")
            yield place, cells, [None if column is None else row[column] for column in further]
    except csv.Error as error:
        raise UserError(f"{path}, line {rows.line_num}: no CSV: {error}") from error


def trec_lines(file: PathLike | Source, kind: Kind) -> Iterator[tuple[str, list[str]]]:
    """Lines of a TREC run or of qrels: where each stands, its fields. Blank lines are ignored.

    Raises UserError when a line has another number of fields.
    """
    read, count = source(file), 6 if kind == "run" else 4
    path = read.path
    for number, line in read.lines():
        fields = _FIELDS.findall(line)
        if fields and len(fields) != count:
            raise UserError(
                f"{path}, line {number}: {len(fields)} fields. This is taken for {FORMS[kind]}; "
                "ids cannot have blanks in them"
            )
        if fields:
            yield f"{path}, line {number}", [intern(field) for field in fields]


def number(text: str, name: str, place: str, of: type[float] = float) -> float:
    """A number, or a whole one where `of` is int. Raises UserError, also for NaN."""
    try:
        value = of(text)
    except ValueError:
        value = math.nan
    if value != value:  # also of whole numbers that are too large to be others
        kind = "whole number" if of is int else "number"
        raise UserError(f"{place}: {name} is {text[:_SHOWN]!r}, which is not a {kind}")
    return value


def write_lines(path: PathLike, lines: Iterable[Sequence[object]]) -> None:
    """Write lines of fields as TREC has them, whole or not at all.

    Raises UserError for a field that is empty or has a blank in it: TREC's forms lack both.
    """
    texts = [[str(field) for field in line] for line in lines]
    for field in chain.from_iterable(texts):
        if _FIELDS.fullmatch(field) is None:
            raise UserError(
                f"{path} is not written: {field!r} is empty or has a blank in it, which TREC's "
                "files cannot hold"
            )
    write_text(path, "".join(f"{' '.join(line)}\n" for line in texts))


def _lines(path: PathLike) -> Iterator[tuple[int, str]]:
    """Lines with their numbers and their ends."""
    for count, line in enumerate(_split(path), start=1):
        if len(line) > LONGEST_LINE:
            raise UserError(
                f"{path}, line {count}: more than {LONGEST_LINE} bytes without an end, which is no "
                "line of a ranking or of a truth"
            )
        try:
            yield count, line.decode("utf-8-sig" if count == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}, line {count}: byte 0x{line[error.start]:02x} is not UTF-8: save the "
                "file as UTF-8"
            ) from None


def _split(path: PathLike) -> Iterator[bytes]:
    """Lines with their ends: of bytes, `splitlines` knows LF, CR LF and CR only."""
    rest = b""
    with Path(path).open("rb") as file:
        while block := file.read1(_BLOCK):
            # The last line may go on, and its CR may be half of a CR LF.
            *lines, rest = (rest + block).splitlines(keepends=True)
            yield from lines
            if len(rest) > LONGEST_LINE:
                break
        if rest:
            yield rest
