"""Files that are either whole or absent, and the hashes that identify them."""

import csv
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from gallerist.io.errors import UserError

PathLike = str | os.PathLike[str]


class NotJson(UserError):
    """A file that is not JSON from its beginning to its end. The message names it."""


def _writer() -> str:
    """Names this process among all that share a folder: machines have processes of one number."""
    return f"{os.getpid()}@{socket.gethostname()}"


@contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without error.

    A reader, or a rerun after a kill, therefore finds the old file, the whole new file, or none.
    The temporary name keeps the suffix, because writers choose the format by it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{_writer()}{target.suffix}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(path: PathLike) -> Iterator[Path]:
    """Yield an empty folder beside `path`; it takes its place when the block ends without error.

    A folder that is there already is replaced then, and left as it is after an error.
    """
    target = Path(path)
    new, old = (target.with_name(f".{target.name}.{_writer()}.{end}") for end in ("new", "old"))
    for left in (new, old):  # by a killed process of the same number, as in a container
        shutil.rmtree(left, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        yield new
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    finally:
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)


def remove_leftovers(path: PathLike) -> None:
    """Remove what killed writers of `path` left beside it, which may be gigabytes.

    These are the temporary files of `replacing` whose process is gone, and those of other machines:
    a job starts again on another one when its own was lost, or seemed to be, and what that one may
    still write is not to replace the new file.
    """
    import psutil

    path = Path(path)
    temporary = re.compile(rf"\.{re.escape(path.stem)}\.(\d+)@(.+){re.escape(path.suffix)}")
    here = socket.gethostname()
    for file in path.parent.iterdir() if path.parent.is_dir() else ():
        found = temporary.fullmatch(file.name)
        if found and (found[2] != here or not psutil.pid_exists(int(found[1]))):
            file.unlink(missing_ok=True)


def write_text(path: PathLike, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(
    path: PathLike,
    header: Iterable[object],
    rows: Iterable[Iterable[object]],
    *,
    quoting: Literal[0, 1] = csv.QUOTE_MINIMAL,
    errors: str = "strict",
) -> None:
    """Write a header and rows as CSV in UTF-8 with line feeds, whole or not at all.

    quoting: QUOTE_MINIMAL or QUOTE_ALL of `csv`. errors: what becomes of text that UTF-8 does not
    have, see `open`.
    """
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors=errors, newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n", quoting=quoting)
        writer.writerow(header)
        writer.writerows(rows)


def write_json(path: PathLike, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all. NaN is refused: JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: PathLike, *, unique_keys: bool = False) -> Any:
    """Read a JSON file written as UTF-8.

    unique_keys: raise ValueError for a key that stands twice in one object, of which Python would
    silently take the last value. Raises NotJson, as for a file that is cut short.
    """
    hook = _unique if unique_keys else None
    try:
        text = Path(path).read_text(encoding="utf-8")
        value = json.loads(text, object_pairs_hook=hook)
        if _HALF.search(text):
            canonical_json(value).encode("utf-8")
        return value
    except _Twice:
        raise
    except (ValueError, RecursionError):  # also of a number too long for Python, half a character
        raise NotJson(
            f"{path} is cut short or damaged: it is not JSON. If it is one of the results, remove "
            "it, and run the workflow to have it made again."
        ) from None


_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""What stands for half a character, which UTF-8 cannot hold; two halves are one."""


class _Twice(ValueError):
    """A key stands twice in one object."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(f"{next(n for n in names if names.count(n) > 1)} stands in it twice")
    return value


@contextmanager
def naming_table(path: PathLike) -> Iterator[None]:
    """While the block reads a CSV, raise UserError naming it where it is no CSV in UTF-8."""
    try:
        yield
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UserError(f"{path}: byte 0x{byte:02x} is not UTF-8: save the file as UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path} is no CSV: {error}") from None


def canonical_json(value: Any) -> str:
    """One spelling of a JSON value: keys sorted, no blanks. Equal values give equal strings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256_of_file(path: PathLike) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_text(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
