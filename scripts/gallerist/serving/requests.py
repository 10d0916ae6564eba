"""Pictures as a client gives them: the path of a file, its bytes, or its bytes as base64.

Base64 may stand in lines, have the letters of its URL form, lack its padding, or be a data: address
(RFC 2397, RFC 4648): whoever sends a picture has it from a browser, a mail or a database.
"""

import base64
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote_to_bytes

from gallerist.data.decoding import BadImage, image_format
from gallerist.io.errors import UserError
from gallerist.io.files import sha256_of_file

FORMS = ("path", "bytes", "base64")
"""The columns of a request; each of its rows has one of them."""

FOLDER = "GALLERIST_PICTURES"
"""The variable that names the folder in which paths are read; else it is the working directory."""


def in_rows(rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Rows with one picture each. MLflow's form `inputs` has a list in each column of one row."""
    if len(rows) != 1:
        return rows
    listed = {form: rows[0][form] for form in FORMS if isinstance(rows[0].get(form), list)}
    longest = max(map(len, listed.values()), default=0)
    return [
        {form: values[place] for form, values in listed.items() if place < len(values)}
        for place in range(longest)
    ] or rows


@contextmanager
def as_files(rows: Sequence[Mapping[str, Any]]) -> Iterator[list[tuple[str, Path]]]:
    """Pictures as files that exist while the block runs: the id of each by its content, its path.

    rows: a mapping a picture, with a value under one of FORMS. A path is read only below the folder
    that $GALLERIST_PICTURES names, or the working directory: whoever may ask a server may not
    therefore look through its disk.
    Raises UserError, also for a BadImage within the block, with the picture and what is wrong.
    """
    with TemporaryDirectory(prefix="gallerist-") as folder:
        given, names = [], {}
        for number, row in enumerate(rows, start=1):
            form, value = _form(number, row)
            name = f"picture {number} ({form})"
            try:
                path = _file(form, value, Path(folder, f"{number:08d}"))
                image_format(path)
            except BadImage as error:
                raise UserError(f"{name}: {error}") from error
            given.append((sha256_of_file(path)[:16], path))
            names[os.fspath(path)] = name
        try:
            yield given
        except BadImage as error:
            message = str(error)
            for file, name in names.items():
                message = message.replace(file, name)
            raise UserError(message) from error


def _form(number: int, row: Mapping[str, Any]) -> tuple[str, Any]:
    found = [form for form in FORMS if _is_there(row.get(form))]
    if len(found) != 1:
        forms = " and ".join(found) or "nothing"
        raise UserError(f"picture {number} is given by {forms}; it takes one of {', '.join(FORMS)}")
    return found[0], row[found[0]]


def _is_there(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and value != value)  # NaN of a table


def _file(form: str, value: Any, temporary: Path) -> Path:
    """Where the picture is: what is no path is written to a temporary file."""
    if form == "bytes" and isinstance(value, bytes | bytearray | memoryview):
        temporary.write_bytes(value)
        return temporary
    if not isinstance(value, str):
        text = "" if form == "bytes" else ", which is text"
        raise BadImage(f"{_shown(value)} is no {form} of a picture{text}")
    if form == "path" and not _DATA_ADDRESS.match(value):
        return _allowed_path(value)
    temporary.write_bytes(_bytes_of(value))
    return temporary


_DATA_ADDRESS = re.compile(r"\s*data:([^,]*),", re.IGNORECASE)


def _bytes_of(text: str) -> bytes:
    """The bytes that base64 stands for, or a data: address."""
    if address := _DATA_ADDRESS.match(text):
        content = unquote_to_bytes(text[address.end() :])
        if not address[1].strip().lower().endswith(";base64"):
            return content
        text = content.decode("ascii", errors="replace")
    plain = re.sub(r"[ \t\r\n\f\v]+", "", text).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError as error:
        raise BadImage(f"not base64: {error}") from error


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _allowed_path(value: str) -> Path:
    folder = Path(os.environ.get(FOLDER, ".")).resolve()
    try:
        path = (folder / value).resolve()
    except (ValueError, OSError) as error:  # a zero byte, or a name that no disk takes
        raise BadImage(f"{_shown(value)} is no path: {error}") from error
    if not path.is_relative_to(folder):
        raise BadImage(
            f"{value} is outside the folder in which pictures are read. "
            f"Set {FOLDER} to another folder, or send the picture itself."
        )
    return path
