"""A folder of files as one digest: what is in it, not when it was touched.

Cheap enough to ask at every start: with its memory of sizes and times, a folder of 20,000 files
takes a fraction of a second, because no content is read again.
"""

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, sha256_of_file, write_json

IGNORED = frozenset({"thumbs.db", "desktop.ini"})
"""What file managers leave behind, in lower case. Names with a leading dot are ignored too."""

_RACY_NS = 2_000_000_000
"""Nanoseconds within which a second edit may leave a file with the same times.

A file changed so recently is not remembered, as git does with its index."""

_CACHE = TypeAdapter(dict[str, tuple[int, int, int, str]])
"""Path -> size, times of content and of status, SHA-256 of the content."""


Status = tuple[int, int, int]


@dataclass(frozen=True)
class Tree:
    """What lies below a folder, hidden names left out. All paths are relative to it.

    files: path -> size and times (of content and of status, in ns) of the file that it leads to, or
        None where there is none to be read (dangling link, pipe). Sorted by path, code point by
        code point.
    folders: every folder below, sorted.
    troubles: folder -> why its content could not be listed.
    """

    files: dict[str, Status | None]
    folders: tuple[str, ...]
    troubles: dict[str, str]


def folder_fingerprint(folder: PathLike, cache: PathLike | None = None) -> str:
    """SHA-256 (64 hexadecimal digits) over the paths and contents of all files below `folder`.

    Renaming, adding, removing or editing a file changes it; touching or copying the folder does
    not. Names with a leading dot, Thumbs.db and desktop.ini are left out; links are followed.
    A file that cannot be read counts with its path alone.

    cache: a JSON file outside the folder, which remembers the hash of each file with its size and
    times (of content and of status). It is rewritten only when something changed; a missing,
    damaged or unwritable one only costs time.
    Raises UserError when the folder cannot be listed.
    """
    digest = hashlib.sha256()
    for relative, content in contents(folder, walk(folder).files, cache).items():
        name = os.fsencode(relative)
        digest.update(b"%d:%b:%b\n" % (len(name), name, content.encode()))
    return digest.hexdigest()


def contents(
    folder: PathLike, files: Mapping[str, "Status | None"], cache: PathLike | None = None
) -> dict[str, str]:
    """The SHA-256 of files below a folder, or that they are unreadable, in their order.

    files: path -> status, as in `Tree`. cache: see `folder_fingerprint`.
    """
    known = {} if cache is None else _read(cache)
    noted: dict[str, tuple[int, int, int, str]] = {}
    found: dict[str, str] = {}
    now = time.time_ns()
    for relative, identity in files.items():
        content = "unreadable"
        if identity is not None:
            entry = known.get(relative)
            if entry is not None and entry[:3] == identity:
                content = entry[3]
            else:
                with contextlib.suppress(OSError):
                    content = sha256_of_file(os.path.join(folder, relative))  # noqa: PTH118
            settled = now - identity[2] > _RACY_NS
            if settled and content != "unreadable" and is_utf8(relative):
                noted[relative] = (*identity, content)
        found[relative] = content
    if cache is not None and noted != known:
        with contextlib.suppress(OSError):
            write_json(cache, noted)
    return found


def remembered(files: Mapping[str, "Status | None"], cache: PathLike) -> dict[str, str]:
    """The SHA-256 of those files that are as they were when `contents` wrote the cache."""
    known = _read(cache)
    return {
        relative: known[relative][3]
        for relative, identity in files.items()
        if relative in known and known[relative][:3] == identity
    }


def _read(cache: PathLike) -> dict[str, tuple[int, int, int, str]]:
    with contextlib.suppress(OSError, ValueError):
        return _CACHE.validate_json(Path(cache).read_bytes())
    return {}


def status_of(path: PathLike) -> Status | None:
    """Size and times of a file, as `Tree` has them; None where there is none to be read."""
    with contextlib.suppress(OSError):
        return _status(os.stat(path))  # noqa: PTH116 - plain strings keep this fast
    return None


def walk(folder: PathLike) -> Tree:
    """List a folder with everything below, following links, but never round in a circle.

    Raises UserError when `folder` itself is missing, is a file, or cannot be listed.
    """
    if not Path(folder).exists():
        raise UserError(f"{folder}: no such folder")
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: a file, not a folder")
    files: dict[str, Status | None] = {}
    folders: list[str] = []
    troubles: dict[str, str] = {}
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while waiting:
        relative, above = waiting.pop()
        path = os.path.join(folder, relative) if relative else os.fspath(folder)  # noqa: PTH118
        try:
            status = os.stat(path)  # noqa: PTH116 - plain strings keep this fast
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                troubles[relative] = "a link to a folder that it lies in"
                continue
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name.lower() in IGNORED:
                        continue
                    below = f"{relative}/{entry.name}" if relative else entry.name
                    found = None
                    with contextlib.suppress(OSError):
                        found = entry.stat()
                    if found is not None and stat.S_ISDIR(found.st_mode):
                        folders.append(below)
                        waiting.append((below, above | {identity}))
                    else:
                        files[below] = _status(found)
        except OSError as error:
            troubles[relative] = f"this folder cannot be listed: {error.strerror or error}"
    if "" in troubles:
        raise UserError(f"{folder}: {troubles['']}")
    return Tree(dict(sorted(files.items())), tuple(sorted(folders)), troubles)


def _status(found: os.stat_result | None) -> Status | None:
    if found is None or not stat.S_ISREG(found.st_mode):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_utf8(name: str) -> bool:
    """Whether a name from the file system can stand in a UTF-8 file."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
