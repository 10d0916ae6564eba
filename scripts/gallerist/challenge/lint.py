"""What a server could refuse, or misread, in an answer file: found before anything is sent.

The raw bytes are looked at, since most faults are no longer visible once a lenient parser has been
through them. `MEANING` lists the codes. Work is linear in the size of the file and of the folders.
"""

import codecs
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gallerist.challenge.answer_file import picture_names
from gallerist.io.files import PathLike

MEANING = {
    "unreadable": "the file cannot be read",
    "byte_order_mark": "the file begins with a byte order mark",
    "not_utf8": "the file is not UTF-8",
    "not_json": "the file is not JSON",
    "not_finite": "NaN or Infinity, which JSON does not have",
    "duplicate_key": "a key stands more than once",
    "not_an_object": "the file holds another JSON value than an object",
    "unknown_key": "a key that is neither groupname nor images",
    "group_missing": "there is no groupname",
    "group_not_text": "groupname is not text",
    "group_empty": "groupname is blank",
    "images_missing": "there is no images",
    "images_not_an_object": "images is not an object",
    "images_empty": "images holds no query",
    "query_missing": "a query has no answers",
    "key_from_gallery": "a key of images is a gallery picture, where a query belongs",
    "key_is_path": "a key of images is a path, where a file name belongs",
    "key_misspelt": "a key of images is almost the name of a query",
    "key_unknown": "a key of images is no query",
    "answers_not_a_list": "the answers to a query are not a list",
    "too_few": "a query has too few answers",
    "too_many": "a query has too many answers",
    "answer_not_text": "an answer is not text",
    "answer_repeated": "a query has the same answer more than once",
    "answer_is_path": "an answer is a path, where a file name belongs",
    "answer_is_query": "an answer is a query, where a gallery picture belongs",
    "answer_misspelt": "an answer is almost the name of a gallery picture",
    "answer_unknown": "an answer is not in the gallery",
}
"""Every code, and what it says in general."""

_KEYS = ("groupname", "images")
_FORM = '{"groupname": "...", "images": {query name: [gallery names, best first]}}'


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. code: a key of MEANING. message: what, where, and what to do."""

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

    What cannot be decoded or parsed is not looked at any further.
    """
    if k < 1:
        raise ValueError(f"k is {k}, and must be at least 1")
    return list(_check_bytes(content, _Names(gallery_names), _Names(query_names), k))


def summary(found: Sequence[Problem], shown: int = 5) -> str:
    """The faults as text: for each code its meaning, and the first `shown` messages."""
    lines = []
    for code, count in Counter(problem.code for problem in found).items():
        messages = [problem.message for problem in found if problem.code == code][:shown]
        lines.append(f"{code}: {MEANING[code]} ({count})")
        lines.extend(f"  - {message}" for message in messages)
        if count > shown:
            lines.append(f"  - and {count - shown} more")
    return "\n".join(lines)


def problem_lines(results: PathLike, gallery: PathLike, query: PathLike, k: int) -> list[str]:
    """One line for each problem of an answer file; see `lint`."""
    found = lint(results, picture_names(gallery), picture_names(query), k)
    return [f"{problem.code}: {problem.message}" for problem in found]


class _Object:
    """A JSON object with all its pairs, also those of a key that stands twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs

    def repeated(self, where: str) -> Iterator[Problem]:
        for key, count in Counter(key for key, _ in self.pairs).items():
            if count > 1:
                yield Problem(
                    "duplicate_key",
                    f"{where} the key {key!r} stands {count} times, and a reader would take any "
                    "one of them: leave one.",
                )


class _Names:
    """File names of a folder, and what may have been meant by a name that is not among them."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = dict.fromkeys(names)  # a set that keeps the order
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for name in sorted(self.names):
            self._by_name.setdefault(_loose(name), []).append(name)
            self._by_stem.setdefault(_loose(_stem(name)), []).append(name)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def meant_by(self, name: str) -> list[str]:
        """At most three names that differ from `name` by case, normalisation or extension only."""
        whole, stem = _loose(name), _loose(_stem(name))
        candidates = (
            self._by_name.get(whole),
            self._by_stem.get(stem),
            self._by_stem.get(whole),  # the extension was left out
            self._by_name.get(stem),  # or added
        )
        return next(filter(None, candidates), [])[:3]


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _loose(name: str) -> str:
    """One spelling for all that differ by case or canonical equivalence (Unicode 3.13, D145)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _difference(name: str, meant: str) -> str:
    """In what two names differ that `_Names.meant_by` brought together."""
    if _loose(name) != _loose(meant):
        return "the extension"
    alike = unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", meant)
    return "Unicode normalisation" if alike else "upper and lower case"


def _last_part(name: str) -> str | None:
    """The file name in a path of whatever system; None if `name` is no path."""
    return re.split(r"[/\\]", name)[-1] if re.search(r"[/\\]", name) else None


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
    constants: list[str] = []

    def constant(name: str) -> float:
        constants.append(name)
        return float(name)

    try:
        value = json.loads(
            text,
            object_pairs_hook=_Object,
            parse_int=float,  # as int() refuses numbers of more than 4300 digits
            parse_constant=constant,
        )
    except json.JSONDecodeError as error:
        yield Problem("not_json", _unparsable(text, error))
        return
    except RecursionError:
        message = f"Brackets are nested too deeply to be read. The form is {_FORM}."
        yield Problem("not_json", message)
        return
    if constants:
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
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity', text):
        if not found[0].startswith('"'):
            line = text.count("\n", 0, found.start()) + 1
            column = found.start() - text.rfind("\n", 0, found.start())
            yield Problem(
                "not_finite",
                f"Line {line}, column {column}: {found[0]} is no JSON (RFC 8259, 6): put a file "
                "name, or nothing, in its place.",
            )


def _kind(value: Any) -> str:
    """What a parsed JSON value is, in words."""
    if value is None:
        return "null"
    kinds: dict[type, str] = {str: "text", bool: "true or false", float: "a number", list: "a list"}
    return kinds.get(type(value), "an object")


# -- the object and its groupname -------------------------------------------------------------


def _top_level(value: Any, gallery: _Names, queries: _Names, k: int) -> Iterator[Problem]:
    if not isinstance(value, _Object):
        yield Problem("not_an_object", f"The file holds {_kind(value)}. The form is {_FORM}.")
        return
    yield from value.repeated("At the top level")
    here = {key for key, _ in value.pairs}
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
    for key, inner in value.pairs:
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
    if not isinstance(images, _Object):
        yield Problem("images_not_an_object", f"images is {_kind(images)}. The form is {_FORM}.")
        return
    if not images.pairs and queries.names:
        count = len(queries.names)
        yield Problem("images_empty", f"images is empty: add the answers to all {count} queries.")
        return
    yield from images.repeated("In images")
    meant_queries: set[str] = set()
    for key in dict.fromkeys(key for key, _ in images.pairs):
        problem, meant = _check_key(key, gallery, queries)
        meant_queries.update(meant)
        if problem:
            yield problem
    for query in (query for query in queries.names if query not in meant_queries):
        yield Problem("query_missing", f"images has no key {query!r}: add it with its {k} answers.")
    for key, answers in images.pairs:
        yield from _answers(key, answers, gallery, queries, k)


def _check_key(key: str, gallery: _Names, queries: _Names) -> tuple[Problem | None, list[str]]:
    """The problem of a key, and the queries it stands for, which are then not missing."""
    if key in queries:
        return None, [key]
    where = f"In images the key {key!r}"
    last = _last_part(key)
    if last is not None:
        meant = [last] if last in queries else []
        stranger = "" if meant else ", which is no query either: take one of the query folder"
        message = f"{where} is a path: write the file name alone, {last!r}{stranger}."
        return Problem("key_is_path", message), meant
    if key in gallery:
        message = (
            f"{where} is a gallery picture: keys are file names of the query folder. Were the "
            "names taken from the wrong list?"
        )
        return Problem("key_from_gallery", message), []
    meant = queries.meant_by(key)
    if meant:
        return Problem("key_misspelt", f"{where} is no query. {_did_you_mean(key, meant)}"), meant[
            :1
        ]
    message = f"{where} is no query: take it out, or write the name of a file of the query folder."
    return Problem("key_unknown", message), []


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
                yield _check_answer(where, answer, gallery, queries)


def _check_answer(where: str, answer: str, gallery: _Names, queries: _Names) -> Problem:
    """The problem of an answer that is not in the gallery."""
    last = _last_part(answer)
    if last is not None:
        stranger = "" if last in gallery else ", which is not in the gallery either"
        message = f"{where} {answer!r} is a path: write the file name alone, {last!r}{stranger}."
        return Problem("answer_is_path", message)
    if answer in queries:
        message = f"{where} {answer!r} is a query: answers are file names of the gallery folder."
        return Problem("answer_is_query", message)
    meant = gallery.meant_by(answer)
    if meant:
        message = f"{where} {answer!r} is not in the gallery. {_did_you_mean(answer, meant)}"
        return Problem("answer_misspelt", message)
    message = f"{where} {answer!r} is not in the gallery: write the name of a file of its folder."
    return Problem("answer_unknown", message)


def _did_you_mean(name: str, meant: list[str]) -> str:
    """Ask for the names meant. Escapes show a difference that the eye would not see."""
    difference = _difference(name, meant[0])
    quote = ascii if difference == "Unicode normalisation" else repr
    listed = " or ".join(quote(other) for other in meant)
    return f"Did you mean {listed}? The difference is {difference}."
