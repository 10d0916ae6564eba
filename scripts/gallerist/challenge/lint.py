"""What a server could refuse, or misread, in an answer file: found before anything is sent.

The raw bytes are checked, since a lenient parser hides most problems. Work is linear
in the size of the file and of the folders.
"""

import codecs
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gallerist.io.files import PathLike

_KEYS = ("groupname", "images")
_Object = tuple[tuple[str, Any], ...]
"""A JSON object with all its pairs, also those of a key that stands twice."""

_FORM = '{"groupname": "...", "images": {query name: [gallery names, best first]}}'


class Problem(NamedTuple):
    """One thing that is wrong. code: its kind in words. message: what, where, and what to do."""

    code: str
    message: str


def lint(
    file: PathLike, gallery_names: Iterable[str], query_names: Iterable[str], k: int
) -> list[Problem]:
    """Every problem of an answer file; none if the server can take it.

    gallery_names, query_names: the file names in the two folders of the challenge. Take them from
    the folders: a manifest leaves out pictures that occur twice.
    k: answers that each query must have.
    """
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}. Give the path of a results.json."
        return [Problem("unreadable", message)]
    return lint_bytes(content, gallery_names, query_names, k)


def lint_bytes(
    content: bytes, gallery_names: Iterable[str], query_names: Iterable[str], k: int
) -> list[Problem]:
    """Every problem of the bytes of an answer file: see `lint`.

    What cannot be decoded or parsed is not checked any further.
    """
    if k < 1:
        raise ValueError(f"k is {k}, and must be at least 1")
    return list(_check_bytes(content, _Names(gallery_names), _Names(query_names), k))


def format_problems(found: Sequence[Problem], most: int | None = None) -> str:
    """One line for each problem, of which `most` are listed, and how many more there are."""
    lines = [f"{problem.code}: {problem.message}" for problem in found[:most]]
    return "\n".join(lines + [f"and {len(found) - len(lines)} more"] * (len(lines) < len(found)))


def _find_repeated(pairs: _Object, where: str) -> Iterator[Problem]:
    for key, count in Counter(key for key, _ in pairs).items():
        if count > 1:
            yield Problem(
                "duplicate_key",
                f"{where} the key {key!r} stands {count} times, and a reader would take any "
                "one of them: leave one.",
            )


class _Names:
    """File names of a folder, and those like a name that is not among them."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = dict.fromkeys(names)  # a set that keeps the order
        self._alike: dict[str, list[str]] = {}
        for name in sorted(self.names):
            for key in {_loose(name), _loose(_stem(name))}:
                self._alike.setdefault(key, []).append(name)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def meant_by(self, name: str) -> list[str]:
        """At most three names that differ from `name` by case, normalisation or extension only."""
        alike = self._alike.get(_loose(name)) or self._alike.get(_loose(_stem(name)), [])
        return alike[:3]


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _loose(name: str) -> str:
    """One form of all that differ by case or canonical equivalence (Unicode 3.13, D145)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


# -- bytes, text, JSON ------------------------------------------------------------------------


def _check_bytes(content: bytes, gallery: _Names, queries: _Names, k: int) -> Iterator[Problem]:
    if content.startswith(codecs.BOM_UTF8):
        yield Problem(
            "byte_order_mark",
            "The first three bytes are a byte order mark, which JSON must not have (RFC 8259, "
            "8.1): save the file as UTF-8 without BOM.",
        )
        content = content[len(codecs.BOM_UTF8) :]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        yield Problem("not_utf8", _undecodable(content, error.start))
        return
    try:
        # Numbers are read as float: int() refuses those of more than 4300 digits.
        value = json.loads(text, object_pairs_hook=tuple, parse_int=float)
    except json.JSONDecodeError as error:
        yield Problem("not_json", _unparsable(text, error))
        return
    except RecursionError:
        message = f"Brackets are nested too deeply to be read. The form is {_FORM}."
        yield Problem("not_json", message)
        return
    yield from _constants(text)
    yield from _top_level(value, gallery, queries, k)


def _undecodable(content: bytes, start: int) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "The file begins like UTF-16: save it as UTF-8."
    line = content.count(b"\n", 0, start) + 1
    column = start - content.rfind(b"\n", 0, start)
    return (
        f"Line {line}, byte {column}: 0x{content[start]:02x} is not UTF-8. If the file was saved "
        "in an older encoding such as Latin-1, save it as UTF-8."
    )


def _unparsable(text: str, error: json.JSONDecodeError) -> str:
    if not text.strip():
        return f"The file is empty. The form is {_FORM}."
    near = text[max(error.pos - 20, 0) : error.pos + 20]
    return (
        f"Line {error.lineno}, column {error.colno}: {error.msg}, near {near!r}. Names stand in "
        "double quotes, with a comma between two values and none after the last."
    )


def _constants(text: str) -> Iterator[Problem]:
    """What Python reads as a number, though JSON does not have it."""
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity', text):
        if not found[0].startswith('"'):
            at = json.JSONDecodeError("", text, found.start())
            yield Problem(
                "not_finite",
                f"Line {at.lineno}, column {at.colno}: {found[0]} is no JSON (RFC 8259, 6): put a "
                "file name, or nothing, in its place.",
            )


def _kind(value: Any) -> str:
    """What a parsed JSON value is, in words."""
    if value is None:
        return "null"
    kinds: dict[type, str] = {str: "text", bool: "true or false", float: "a number", list: "a list"}
    return kinds.get(type(value), "an object")


# -- the object and its groupname -------------------------------------------------------------


def _top_level(value: Any, gallery: _Names, queries: _Names, k: int) -> Iterator[Problem]:
    if not isinstance(value, tuple):
        yield Problem("not_an_object", f"The file holds {_kind(value)}. The form is {_FORM}.")
        return
    yield from _find_repeated(value, "At the top level")
    here = {key for key, _ in value}
    for key in sorted(here.difference(_KEYS)):
        meant = key.strip().lower()
        advice = f"did you mean {meant!r}?" if meant in _KEYS else "take it out."
        where = f"At the top level stands the key {key!r}"
        message = f"{where}, where only groupname and images belong: {advice}"
        yield Problem("unknown_key", message)
    if "groupname" not in here:
        message = 'Add "groupname": "..." beside images, with your group\'s name.'
        yield Problem("group_missing", message)
    if "images" not in here:
        yield Problem("images_missing", f'Add "images" with the answers. The form is {_FORM}.')
    for key, inner in value:
        if key == "groupname":
            yield from _group(inner)
        elif key == "images":
            yield from _images(inner, gallery, queries, k)


def _group(group: Any) -> Iterator[Problem]:
    if not isinstance(group, str):
        message = f"groupname is {_kind(group)}: write your group's name in double quotes."
        yield Problem("group_not_text", message)
    elif not group.strip():
        yield Problem("group_empty", "groupname is blank: write your group's name there.")
    elif re.search("[\ud800-\udfff]", group):
        yield Problem(
            "group_not_text",
            f"groupname is {group!r}, which holds half of a character: write it without escapes.",
        )


# -- keys and answers -------------------------------------------------------------------------


def _images(images: Any, gallery: _Names, queries: _Names, k: int) -> Iterator[Problem]:
    if not isinstance(images, tuple):
        yield Problem("images_not_an_object", f"images is {_kind(images)}. The form is {_FORM}.")
        return
    if not images and queries.names:
        count = len(queries.names)
        yield Problem("images_empty", f"images is empty: add the answers to all {count} queries.")
        return
    yield from _find_repeated(images, "In images")
    meant_queries: set[str] = set()
    for key in dict.fromkeys(key for key, _ in images):
        if key in queries:
            meant_queries.add(key)
            continue
        problem, meant = _check_name("key", f"In images the key {key!r}", key, queries, gallery)
        meant_queries.update(meant)
        yield problem
    for query in (query for query in queries.names if query not in meant_queries):
        yield Problem("query_missing", f"images has no key {query!r}: add it with its {k} answers.")
    for key, answers in images:
        yield from _answers(key, answers, gallery, queries, k)


def _answers(key: str, answers: Any, gallery: _Names, queries: _Names, k: int) -> Iterator[Problem]:
    if not isinstance(answers, list):
        message = f"{key!r} has {_kind(answers)} for answers"
        wanted = f"write a list of {k} gallery names, best first."
        yield Problem("answers_not_a_list", f"{message}: {wanted}")
        return
    has = f"{key!r} has {len(answers)} answers of {k}:"
    if len(answers) < k:
        yield Problem("too_few", f"{has} add {k - len(answers)} more gallery names.")
    if len(answers) > k:
        yield Problem("too_many", f"{has} leave out the last {len(answers) - k}.")
    first: dict[str, int] = {}
    for position, answer in enumerate(answers, start=1):
        where = f"{key!r}, answer {position}:"
        if not isinstance(answer, str):
            message = f"{where} {_kind(answer)}, where the name of a gallery picture belongs."
            yield Problem("answer_not_text", message)
        elif answer in first:
            yield Problem(
                "answer_repeated",
                f"{where} {answer!r} is answer {first[answer]} already: put another picture there.",
            )
        else:
            first[answer] = position
            if answer not in gallery:
                where = f"{where} {answer!r}"
                yield _check_name("answer", where, answer, gallery, queries)[0]


_ABSENT = {"key": "is no query", "answer": "is not in the gallery"}
_WITHIN = {
    "key": "take it out, or write the name of a file of the query folder.",
    "answer": "write the name of a file of its folder.",
}
_OF_OTHER_FOLDER = {
    "key": (
        "key_from_gallery",
        "is a gallery picture: keys are file names of the query folder. Were the names taken from "
        "the wrong list?",
    ),
    "answer": ("answer_is_query", "is a query: answers are file names of the gallery folder."),
}


def _check_name(
    role: str, where: str, name: str, folder: _Names, other: _Names
) -> tuple[Problem, list[str]]:
    """The problem of a name that its folder does not have, and the file of it that was meant.

    role: "key" or "answer". where: how the message begins. other: the other of the two folders.
    """
    absent, last = _ABSENT[role], re.split(r"[/\\]", name)[-1]
    if last != name:
        meant = [last] if last in folder else []
        which = "" if meant else f", which {absent} either"
        message = f"{where} is a path: write the file name alone, {last!r}{which}."
        return Problem(f"{role}_is_path", message), meant
    if name in other:
        code, message = _OF_OTHER_FOLDER[role]
        return Problem(code, f"{where} {message}"), []
    if meant := folder.meant_by(name):
        message = f"{where} {absent}. {_did_you_mean(name, meant)}"
        return Problem(f"{role}_misspelt", message), meant[:1]
    return Problem(f"{role}_unknown", f"{where} {absent}: {_WITHIN[role]}"), []


def _did_you_mean(name: str, meant: list[str]) -> str:
    """Ask for the names meant. Escapes show a difference that the eye would not see."""
    quote: Callable[[str], str] = repr
    if _loose(name) != _loose(meant[0]):
        difference = "the extension"
    elif unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", meant[0]):
        difference, quote = "Unicode normalisation", ascii
    else:
        difference = "upper and lower case"
    listed = " or ".join(map(quote, meant))
    return f"Did you mean {listed}? The difference is {difference}."
