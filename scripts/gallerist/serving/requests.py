"""Pictures as a client gives them: the path of a file, its bytes, or its bytes as base64."""

import base64
import binascii
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gallerist.data.decoding import BadImage, format_of, image_format
from gallerist.io.errors import UserError
from gallerist.io.files import sha256_of_file

FORMS = ("path", "bytes", "base64")
"""The columns of a request; each of its rows has one of them."""

FOLDER = "GALLERIST_PICTURES"
"""The variable that names the folder in which paths are read; else it is the working directory."""


@dataclass(frozen=True)
class RequestedPictures:
    """Pictures as files. names: what to call each. ids: as in a manifest, by their content."""

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    ids: tuple[str, ...]


@contextmanager
def as_files(rows: Sequence[Mapping[str, Any]]) -> Iterator[RequestedPictures]:
    """Pictures as files that exist while the block runs; BadImage within it names the row.

    rows: a mapping a picture, with a value under one of FORMS. A path is read only below the folder
    that $GALLERIST_PICTURES names, or the working directory: whoever may ask a server may not
    therefore look through its disk.
    Raises UserError, within the block too, saying which picture it is and what is wrong.
    """
    with TemporaryDirectory(prefix="gallerist-") as folder:
        paths, names, ids = [], [], []
        for number, row in enumerate(rows, start=1):
            form, value = _form(number, row)
            names.append(f"picture {number} ({form})")
            try:
                path = _allowed_path(value) if form == "path" else Path(folder) / f"{number:08d}"
                if form == "path":
                    image_format(path)
                    ids.append(sha256_of_file(path)[:16])
                else:
                    data = _content(form, value)
                    format_of(data)
                    path.write_bytes(data)
                    ids.append(hashlib.sha256(data).hexdigest()[:16])
            except BadImage as error:
                raise UserError(f"{names[-1]}: {error}") from error
            paths.append(path)
        try:
            yield RequestedPictures(tuple(paths), tuple(names), tuple(ids))
        except BadImage as error:
            message = str(error)
            for path, name in zip(paths, names, strict=True):
                message = message.replace(os.fspath(path), name)
            raise UserError(message) from error


def _form(number: int, row: Mapping[str, Any]) -> tuple[str, Any]:
    found = [form for form in FORMS if _is_there(row.get(form))]
    if len(found) != 1:
        forms = " and ".join(found) or "nothing"
        raise UserError(f"picture {number} is given by {forms}; it takes one of {', '.join(FORMS)}")
    return found[0], row[found[0]]


def _is_there(value: Any) -> bool:
    return not (value is None or (isinstance(value, float) and value != value))  # NaN of a table


def _content(form: str, value: Any) -> bytes:
    if form == "bytes":
        return bytes(value)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadImage(f"not base64: {error}") from error


def _allowed_path(value: str) -> Path:
    folder = Path(os.environ.get(FOLDER, ".")).resolve()
    path = (folder / value).resolve()
    if not path.is_relative_to(folder):
        raise BadImage(
            f"{value} is outside the folder in which pictures are read. "
            f"Set {FOLDER} to another folder, or send the picture itself."
        )
    return path
