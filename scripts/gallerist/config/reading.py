"""A configuration's file as it is written, before anything is known of its keys.

YAML and JSON as Snakemake reads them, but nothing is dropped in silence: a key that stands twice is
a problem, and so is whatever the readers would end in a traceback of, or take all memory for.
"""

import json
import stat
from collections import deque
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike

MOST_BYTES = 2_000_000
MOST_VALUES = 100_000
"""Keys and values, those that aliases repeat included. A thousand experiments have half of it."""

DEEPEST = 50
"""Groups inside each other. Five are the most that a configuration has."""


class ConfigurationError(UserError):
    """The configuration cannot be run. `problems` has one line for each thing to correct."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Unreadable(ConfigurationError):
    """A file that holds no configuration: each problem names it."""

    def __init__(self, *problems: str) -> None:
        super().__init__(problems)


def load(path: PathLike) -> dict[Any, Any]:
    """The keys and values of a YAML or JSON file.

    Raises Unreadable, naming the file, where there is none, where it is no regular file (every job
    reads it again), is not UTF-8, neither YAML nor JSON, larger than any configuration, or has no
    keys; and naming every key that stands twice.
    """
    text = _text(path)
    try:
        value, doubled = _of_json(text) if text.lstrip().startswith("{") else _of_yaml(text, path)
    except yaml.YAMLError as error:
        raise Unreadable(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        # PyYAML's own of a date such as 2026-99-99, of a number too long for Python, and the like.
        raise Unreadable(f"{path} has a value that cannot be read: {error}") from None
    if doubled:
        raise Unreadable(*(f"{each} of {path}: keep one" for each in doubled))
    if not isinstance(value, dict):
        found = "is empty" if value is None else "has no keys at its top level"
        raise Unreadable(f"{path} {found}. A configuration begins with dataset: and experiments:")
    return value


def _text(path: PathLike) -> str:
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise Unreadable(f"{path} is a folder, not a configuration's file")
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(
                f"{path} is a pipe or a device. Every job reads the configuration again: "
                "write it to a file"
            )
        if status.st_size > MOST_BYTES:
            raise Unreadable(f"{path} has {status.st_size} bytes, more than any configuration")
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise Unreadable(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        if isinstance(error, Unreadable):
            raise
        reason = getattr(error, "strerror", None) or error
        raise Unreadable(f"{path} cannot be read: {reason}") from None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8: save the file "
            "as UTF-8"
        ) from None


# -- JSON -----------------------------------------------------------------------------------------


def _of_json(text: str) -> tuple[Any, list[str]]:
    """A JSON value, which Snakemake tries first; braces may as well be YAML's."""
    doubled: list[str] = []

    def group(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = dict.fromkeys(name for name in names if names.count(name) > 1)
            doubled.extend(f"{name!r} is written twice in one group" for name in twice)
        return found

    try:
        value = json.loads(text, object_pairs_hook=group)
    except (ValueError, RecursionError):
        return _of_yaml(text, "the file")
    return value, doubled


# -- YAML -----------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which stops where a file is deeper or longer than a configuration."""

    depth = count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose one key or value with all below it."""
        self.depth += 1
        self.count += 1
        if self.depth > DEEPEST:
            raise yaml.YAMLError(f"groups inside each other, more than {DEEPEST} deep")
        if self.count > MOST_VALUES:
            raise yaml.YAMLError(f"more than {MOST_VALUES} keys and values")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _of_yaml(text: str, path: PathLike) -> tuple[Any, list[str]]:
    loader = _Loader(text)
    loader.name = str(path)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, []
        _check_aliases(node)
        doubled = [] if "__use_yte__" in text else list(_doubled_keys(loader, node))
        return loader.construct_document(node), doubled
    finally:
        loader.dispose()


def _check_aliases(top: yaml.Node) -> None:
    """Refuse what aliases make endless, or longer than a configuration."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            if sizes[id(node)] < 0:
                raise yaml.YAMLError("an alias stands within the value that it names")
            return sizes[id(node)]
        sizes[id(node)] = -1
        sizes[id(node)] = 1 + sum(map(size, _below(node)))
        return sizes[id(node)]

    if size(top) > MOST_VALUES:
        raise yaml.YAMLError(f"aliases repeat more than {MOST_VALUES} keys and values")


def _below(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _doubled_keys(loader: _Loader, top: yaml.Node) -> Iterator[str]:
    """A line for each key that stands twice in one group, by its dotted path."""
    waiting, seen = deque([("", top)]), set[int]()
    while waiting:
        path, node = waiting.popleft()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(f"{path}[{place}]", each) for place, each in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            continue
        first: dict[Hashable, yaml.Node] = {}
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            named = loader.construct_object(key, deep=True)
            here = f"{path}.{named}" if path else str(named)
            if not isinstance(named, Hashable):
                continue  # of which construct_document says that it is no key
            if named in first:
                lines = f"{_line(first[named])} and {_line(key)}"
                yield f"{here} is written twice, in lines {lines}"
            first.setdefault(named, key)
            waiting.append((here, value))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
