"""The command `gallerist lint`: an answer file of whatever tool, and the folders it is about."""

from pathlib import Path

from gallerist.challenge.lint import faults
from gallerist.data.decoding import FORMAT_OF_SUFFIX
from gallerist.data.folders import walk
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike


def picture_names(folder: PathLike) -> list[str]:
    """File names of the pictures in a flat folder, sorted; hidden files and others are left out.

    A picture is what has the suffix of one. Raises UserError when there is none, or when pictures
    lie in folders below, where the names alone do not tell them apart; UserError when the folder
    cannot be listed.
    """
    pictures = [path for path in walk(folder).files if _is_picture(path)]
    deeper = next((path for path in pictures if "/" in path), None)
    if deeper is not None:
        raise UserError(
            f"{folder} has folders of pictures, such as {deeper}: the server knows file names "
            "only, so name the flat folder of the challenge"
        )
    if not pictures:
        raise UserError(f"{folder} holds no picture: name the folder of the challenge's pictures")
    return pictures


def fault_lines(results: PathLike, gallery: PathLike, query: PathLike, k: int) -> list[str]:
    """One line for each fault of an answer file; see `submission_faults.faults`."""
    found = faults(results, picture_names(gallery), picture_names(query), k)
    return [f"{fault.code}: {fault.message}" for fault in found]


def _is_picture(path: str) -> bool:
    return Path(path).suffix.lower() in FORMAT_OF_SUFFIX
