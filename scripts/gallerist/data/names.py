"""Pictures by the names that files of the user call them by."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from gallerist.data.boxes import split_box
from gallerist.data.manifest import Manifest
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike
from gallerist.io.table_file import read_text_table

_COPY = re.compile(r"same picture as (.+?)(, but under another class \(.*?\))?( \([^()]*\))?")


class Names:
    """Pictures by whatever a file of the user may call them.

    Their id; their path, whole or below the folder; and where only one is called so, the name of
    their file, and that without its ending.
    """

    def __init__(self, pictures: Manifest, folder: str, faults: Sequence[PathLike] = ()) -> None:
        """faults: reports of the import, of files that are in no manifest."""
        self._known: list[Mapping[str, set[str]]] = [{name: {name} for name in pictures.ids}]
        named = [*zip(pictures.paths, pictures.ids, strict=True)]
        path_of = dict(named)
        self._left_out: set[str] = set()
        for path, reason in _skipped(faults):
            copy = _COPY.fullmatch(reason)
            if copy and copy[1] in path_of:
                named.append((path, path_of[copy[1]]))
            else:
                self._left_out |= {path, posixpath.relpath(path, folder), PurePosixPath(path).name}
        for shorten in (
            lambda path: path,
            lambda path: posixpath.relpath(path, folder),
            lambda path: PurePosixPath(split_box(path)[0]).name,
            lambda path: PurePosixPath(split_box(path)[0]).stem,
        ):
            found = defaultdict(set)
            for path, identifier in named:
                found[shorten(path)].add(identifier)
            self._known.append(found)

    def find(self, name: str, where: str, *, required: bool = True) -> str | None:
        """The id of the picture of that name; None where its file was left out as bad.

        Raises UserError, with where the name stands, where several are called so, and where none
        is, unless it is not required.
        """
        for known in self._known:
            if found := known.get(name) or known.get(split_box(name)[0]):
                if len(found) > 1:
                    raise UserError(
                        f"{where}: {len(found)} pictures are called {name!r}: write the path"
                    )
                return next(iter(found))
        if name in self._left_out or not required:
            return None
        raise UserError(f"{where}: no picture is called {name!r}")


def _skipped(faults: Sequence[PathLike]) -> Iterator[tuple[str, str]]:
    for report in faults:
        table = read_text_table(report)
        for path, severity, reason in zip(*table.columns.values(), strict=True):
            if severity == "skipped":
                yield path, reason
