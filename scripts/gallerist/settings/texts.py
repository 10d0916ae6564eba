"""Texts that name something outside the configuration, such as a folder.

Only whoever validates with a context has them looked for: without one, nothing on the disk matters.
"""

import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

PROBLEM = "problem"
"""Type of the errors whose message is already what the user reads."""

_FROM_HERE = "A relative path starts where the workflow runs."


def _checked(find: Callable[[str], str]) -> AfterValidator:
    """Metadata of a text: `find` returns what is wrong with it, or nothing."""

    def check(text: str, info: ValidationInfo) -> str:
        problem = find(text) if info.context and text else ""
        if problem:
            raise PydanticCustomError(PROBLEM, "{problem}", {"problem": problem})
        return text

    return AfterValidator(check)


def _folder(text: str) -> str:
    if _is(Path.is_dir, text):
        return ""
    is_file = _is(Path.is_file, text)
    return "is a file, not a folder." if is_file else f"is no folder. {_FROM_HERE}"


def _file(text: str) -> str:
    return "" if _is(Path.is_file, text) else f"is no file. {_FROM_HERE}"


def _archive(text: str) -> str:
    found = re.match(r"[a-z]+://", text) or _is(Path.is_file, text)
    return "" if found else f"is neither a URL nor a file. {_FROM_HERE}"


def _subfolder(text: str) -> str:
    outside = text.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", text)
    return "leads out of the archive: write a path inside it." if outside else ""


def _layer(text: str) -> str:
    return _misspelled(text, "nothing", "everything")


def _weights(text: str) -> str:
    keywords = ("auto", "imagenet", "random")
    if text.endswith((".h5", ".keras")):
        return "" if _is(Path.is_file, text) else "is no file. Give auto, or the path of one."
    if text in keywords:
        return ""
    expected = f"{', '.join(keywords)} or the path of a weights file (.h5, .keras)"
    misspelled = _misspelled(text, *keywords)
    return misspelled or f"is no Keras weights file. Expected {expected}."


def _misspelled(text: str, *keywords: str) -> str:
    meant = difflib.get_close_matches(text.lower(), keywords, n=1, cutoff=0.75)
    return f"looks misspelled. Did you mean {meant[0]}?" if meant and text not in keywords else ""


def _is(question: Callable[[Path], bool], path: str) -> bool:
    try:
        return question(Path(path))
    except OSError:  # a name that no disk takes
        return False


Text = Annotated[str, Field(min_length=1)]
Folder = Annotated[Text, _checked(_folder)]
File = Annotated[Text, _checked(_file)]
FileOrUrl = Annotated[Text, _checked(_archive)]
Subfolder = Annotated[str, _checked(_subfolder)]
Weights = Annotated[Text, _checked(_weights)]
Layer = Annotated[Text, _checked(_layer)]
