"""Which library modules a script runs through: a stage is repeated when one of them changes."""

import ast
import os
from collections.abc import Set
from functools import cache
from pathlib import Path

RECORD_KEEPING = frozenset({"__init__", "stage", "records", "progress"})
"""Modules that log, record and count, with all that only they use: they do not touch a result."""


def use_library_in(scripts: Path) -> None:
    """Let the processes started from here import the library from the folder `scripts`.

    They would otherwise take an installed one first, which can be that of another checkout.
    """
    paths = [str(scripts), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))


def library_files(script: Path, library: Path, *, without: Set[str] = RECORD_KEEPING) -> list[Path]:
    """Modules of `library` that `script` imports, directly or through each other, sorted.

    Read from the source text, so that a new import needs no entry anywhere.
    without: modules that are left out, with all that only they use. That is record keeping, unless
    given: editing it must not cost an hour of training.
    """
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        for name in _imported(waiting.pop(), library.name):
            module = library / f"{name}.py"
            if name not in without and module not in found and module.is_file():
                found.add(module)
                waiting.append(module)
    return sorted(found)


@cache
def _imported(source: Path, package: str) -> frozenset[str]:
    """Names of the package's modules that one file imports anywhere in its text."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}."):
            names.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            parts = [alias.name.split(".") for alias in node.names]
            names.update(part[1] for part in parts if part[0] == package and len(part) > 1)
    return frozenset(names)
