"""Import of a folder of class folders: a manifest of what can be used, and what cannot and why."""

import csv
import logging
import os
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import Any

from gallerist.data.decoding import Profiles
from gallerist.data.examining import Examined, Examiner, Problem
from gallerist.data.folders import Tree, is_utf8, remembered, walk
from gallerist.data.formats import FORMAT_OF_SUFFIX
from gallerist.data.layouts import no_classes
from gallerist.data.manifest import Manifest, Picture
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, write_csv
from gallerist.io.parallel import in_useful_threads
from gallerist.io.row_store import RowStore
from gallerist.workflow.progress import tracked

logger = logging.getLogger("gallerist")

_COPY = "same picture as "
_STRAY = "not inside a class folder"
_NESTED = "inside a folder, where the pictures have to lie side by side"


@dataclass(frozen=True)
class Import:
    """The usable pictures, and the problems sorted by path."""

    manifest: Manifest
    problems: tuple[Problem, ...]


def import_folder(
    folder: PathLike,
    *,
    part: str,
    min_side: int,
    max_pixels: int,
    threads: int = 1,
    flat: bool = False,
    profiles: Profiles = "apply",
    kept: RowStore | None = None,
    fingerprints: PathLike | None = None,
) -> Import:
    """List the pictures of a folder that holds one folder a class, or none (flat).

    flat: the files lie in the folder itself, and nothing says of which class they are: their label
    is empty. Files in folders below it are skipped.

    Every file at any depth below a class folder is tried; its label is the name of the class folder
    (NFC-normalised unicode). Names with a leading dot, Thumbs.db and desktop.ini are ignored; links
    are followed. Pictures come by label, then by path, compared code point by code point. Paths are
    `folder`, as given, joined with what lies below it.

    A file is skipped, with its reason, when it is no usable picture (see `decoding.decode_image`,
    for `profiles` too; `min_side` and `max_pixels` are in pixels), when it lies in no class folder,
    and when an earlier file has the same content. It is used, with a warning, when its name
    promises another format.
    `threads` pictures are decoded at a time, and only as many are in memory. kept: what was found
    in pictures before, see `Examiner`. fingerprints: the cache of `folder_fingerprint`; what it
    knows need not be read.

    Raises UserError when the folder is missing, holds no class folder, parts of a data set in place
    of classes, or no usable picture.
    """
    tree = walk(folder)
    base, folders = os.fspath(folder), tree.folders
    classes = [] if flat else [name for name in folders if "/" not in name]
    if wrong := no_classes(folder, classes):
        raise UserError(wrong)
    candidates, problems = _candidates(base, tree, flat)
    known = {} if kept is None or fingerprints is None else remembered(tree.files, fingerprints)
    del tree  # of which a million files need half a gigabyte
    examiner = Examiner(
        part=part, min_side=min_side, max_pixels=max_pixels, profiles=profiles, kept=kept
    )

    def one(relative: str) -> Examined:
        label = "" if flat else _label(relative)
        return examiner.examine(_join(base, relative), label, content=known.get(relative, ""))

    with examiner.keeping():
        manifest = manifest_of(one, candidates, problems, threads)
    if not len(manifest):
        raise UserError(_nothing_usable(folder, problems))
    if not flat:
        problems += _empty_classes(base, folders, {*manifest.labels})
    skipped = sum(problem.severity == "skipped" for problem in problems)
    logger.info("%s: %d pictures, %d files skipped", folder, len(manifest), skipped)
    return Import(manifest, tuple(sorted(problems)))


def manifest_of(
    one: Callable[[Any], Examined], given: Sequence[Any], problems: list[Problem], threads: int
) -> Manifest:
    """The pictures that `one` makes of what is given, `threads` at a time, each content once.

    What is wrong with some is added to the problems.
    """
    copies: list[Picture] = []
    with closing(in_useful_threads(one, given, threads=threads, ahead=16)) as examined:
        found = tracked(examined, "pictures examined", len(given))
        manifest = Manifest(_first_of_each(found, problems, copies))
    if copies:
        first = manifest.by_id()
        problems += [_same_picture(copy, first[copy.id]) for copy in copies]
    return manifest


def _first_of_each(
    examined: Iterable[Examined],
    problems: list[Problem],
    copies: list[Picture],
) -> Iterator[Picture]:
    """The pictures, each content once; what is wrong goes to `problems`, other copies to theirs."""
    seen: set[int] = set()
    for found, problem in examined:
        content = int(found.id, 16) if found else None
        if found and content in seen:
            copies.append(found)
            continue
        if problem:
            problems.append(problem)
        if found and content is not None:
            seen.add(content)
            yield found


def stop_on_bad_images(problems: Iterable[Problem]) -> None:
    """Raise UserError with the list of all files that are no usable picture, if there are any.

    Copies of another picture, files outside the class folders and warnings are not among them.
    """
    bad = [
        f"\n  {problem.path}: {problem.reason}"
        for problem in problems
        if problem.severity == "skipped"
        and problem.reason != _STRAY
        and not problem.reason.startswith(_COPY)
    ]
    if bad:
        raise UserError(
            f"{len(bad)} files are no usable pictures. Repair or remove them, "
            f"or set dataset.images.on_bad: skip to go on without them:{''.join(bad)}"
        )


def write_problems(path: PathLike, problems: Iterable[Problem]) -> None:
    """Write problems as CSV (path, severity, reason), whole or not at all.

    Every value is quoted, so that any file name survives; bytes that are not UTF-8 are written
    as escapes.
    """
    header, rows = ("path", "severity", "reason"), map(astuple, problems)
    write_csv(path, header, rows, quoting=csv.QUOTE_ALL, errors="backslashreplace")


def _candidates(folder: str, tree: Tree, flat: bool) -> tuple[list[str], list[Problem]]:
    """Paths below the folder of files to be tried, by label, and the problems that names show."""
    candidates: list[str] = []
    problems = [
        Problem(_join(folder, relative), "skipped", reason)
        for relative, reason in tree.troubles.items()
    ]
    for relative in tree.folders:
        if PurePath(relative).suffix.lower() in FORMAT_OF_SUFFIX:
            reason = "a folder, though its name is a picture's; the files in it are tried"
            problems.append(Problem(_join(folder, relative), "warning", reason))
    for relative in tree.files:
        if problem := _unusable_name(relative, flat):
            problems.append(Problem(_join(folder, relative), "skipped", problem))
        else:
            candidates.append(relative)
    candidates.sort(key=lambda relative: ("" if flat else _label(relative), relative))
    return candidates, problems


def _unusable_name(relative: str, flat: bool) -> str | None:
    if not is_utf8(relative):
        return "its name is not UTF-8: rename it"
    if "\r" in relative:
        return "its name has a carriage return, which a manifest cannot hold: rename it"
    if flat:
        return _NESTED if "/" in relative else None
    return None if "/" in relative else _STRAY


def _label(relative: str) -> str:
    return _normalised(relative.split("/", 1)[0])


@lru_cache
def _normalised(name: str) -> str:
    """One object a class, however many pictures it has."""
    return unicodedata.normalize("NFC", name)


def _join(folder: str, relative: str) -> str:
    return os.path.join(folder, relative)  # noqa: PTH118 - the folder stays as it was given


def _same_picture(copy: Picture, first: Picture) -> Problem:
    other_class = "" if copy.label == first.label else f", but under another class ({first.label})"
    return Problem(copy.path, "skipped", f"{_COPY}{first.path}{other_class}")


def _empty_classes(
    folder: str, folders: Iterable[str], filled: Collection[str]
) -> Iterator[Problem]:
    for relative in folders:
        if "/" not in relative and _label(relative) not in filled:
            yield Problem(_join(folder, relative), "warning", "no usable picture in this class")


def _nothing_usable(folder: PathLike, problems: list[Problem]) -> str:
    skipped = sorted(problem for problem in problems if problem.severity == "skipped")
    if not skipped:
        return f"{folder}: no files. It must hold one folder a class, with the pictures in them"
    if all(problem.reason == _STRAY for problem in skipped):
        return (
            f"{folder}: {len(skipped)} files, but none of them in a class folder. "
            "It must hold one folder a class, with the pictures in them"
        )
    examples = "".join(f"\n  {problem.path}: {problem.reason}" for problem in skipped[:5])
    return f"{folder}: none of its {len(skipped)} files is a usable picture:{examples}"
