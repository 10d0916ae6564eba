"""Pictures as a client gives them: the path of a file, its bytes, or its bytes as base64."""

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gallerist.data.decoding import BadImage, image_format
from gallerist.io.errors import UserError
from gallerist.io.files import sha256_of_file

FORMS = ("path", "bytes", "base64")
"""The columns of a request; each of its rows has one of them."""

FOLDER = "GALLERIST_PICTURES"
"""The variable that names the folder in which paths are read; else it is the working directory."""


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
    if form == "path":
        return _allowed_path(value)
    try:
        temporary.write_bytes(
            base64.b64decode(value, validate=True) if form == "base64" else bytes(value)
        )
    except ValueError as error:
        raise BadImage(f"not base64: {error}") from error
    return temporary


def _allowed_path(value: str) -> Path:
    folder = Path(os.environ.get(FOLDER, ".")).resolve()
    path = (folder / value).resolve()
    if not path.is_relative_to(folder):
        raise BadImage(
            f"{value} is outside the folder in which pictures are read. "
            f"Set {FOLDER} to another folder, or send the picture itself."
        )
    return path
