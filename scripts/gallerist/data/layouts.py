"""Folders that are taken for classes, though their names say that they are parts of a data set."""

from collections.abc import Iterable
from pathlib import Path

from gallerist.data.folders import IGNORED
from gallerist.io.files import PathLike

_NAMES = {
    "training": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
    "gallery": ("gallery",),
    "query": ("query", "queries", "probe"),
}
_PART_OF = {name: part for part, names in _NAMES.items() for name in names}
"""What data sets call their parts -> the part."""


def parts_among(names: Iterable[str]) -> list[str]:
    """Those names of class folders that are parts, where there are two: one may be a class.

    So `train` alone is a vehicle, but `train` and `test` are two parts.
    """
    found = sorted(name for name in names if name.lower() in _PART_OF)
    return found if len({_PART_OF[name.lower()] for name in found}) > 1 else []


def no_classes(folder: PathLike, names: Iterable[str]) -> str:
    """What is wrong with a folder of class folders of these names, and the way out; or nothing."""
    parts = parts_among(names)
    if not parts:
        return ""
    listed = " and ".join(f"{name}/" for name in parts)
    return (
        f"{folder} holds {listed}, which would be taken for classes of these names. Name one of "
        "them as the folder; or call the parts training/, validation/gallery/ and "
        "validation/query/, for layout: tree"
    )


def class_folders(folder: PathLike) -> list[Path]:
    """The folders directly in a folder, those with hidden names left out, sorted."""
    return sorted(
        each
        for each in Path(folder).iterdir()
        if each.is_dir() and not each.name.startswith(".") and each.name.lower() not in IGNORED
    )


def only_folder_of_folders(folder: PathLike) -> Path | None:
    """The single class folder, where it holds nothing but folders: these may be the classes."""
    classes = class_folders(folder)
    if len(classes) != 1 or len(class_folders(classes[0])) < 2:
        return None
    visible = [each for each in classes[0].iterdir() if not each.name.startswith(".")]
    return classes[0] if all(each.is_dir() for each in visible) else None
