"""Which library modules a script runs through: a stage is repeated when one of them changes."""

import ast
import os
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path

RECORD_KEEPING = frozenset({"records", "settings", "tracking", "workflow"})
"""Packages that configure, log, record and count: what of them touches a result is in the rules'
parameters, which are compared themselves. All that only they use is left out with them."""


def use_library_in(scripts: Path) -> None:
    """Let the processes started from here import the library from the folder `scripts`.

    They would otherwise take an installed one first, which can be that of another checkout.
    """
    paths = [str(scripts), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))


def library_files(script: Path, library: Path, *, without: Set[str] = RECORD_KEEPING) -> list[Path]:
    """Modules of `library` that `script` imports, directly or through each other, sorted.

    Read from the source text, so that a new import needs no entry anywhere. The `__init__.py` of a
    package is none of them: it holds a docstring.
    without: packages and modules, "features.views", that are left out with all that only they
    use. That is record keeping, unless given: editing it must not cost an hour of training.
    """
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        for imported in imported_names(waiting.pop()):
            package, _, name = imported.partition(".")
            if package != library.name or not name:
                continue
            module = library.joinpath(*name.split(".")).with_suffix(".py")
            if module not in found and module.is_file() and not without & set(_prefixes(name)):
                found.add(module)
                waiting.append(module)
    return sorted(found)


def _prefixes(name: str) -> Iterator[str]:
    """a.b.c -> a, a.b, a.b.c."""
    parts = name.split(".")
    return (".".join(parts[: end + 1]) for end in range(len(parts)))


@cache
def imported_names(source: Path) -> frozenset[str]:
    """Dotted names that one file imports anywhere in its text.

    What is imported from a module may be a module itself, so both are named.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
            names.add(str(node.module))
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return frozenset(names)
