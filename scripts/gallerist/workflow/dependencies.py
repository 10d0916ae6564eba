"""Which library modules a script runs through: a stage is repeated when one of them changes."""

import ast
import hashlib
from collections.abc import Iterator, Set
from functools import cache
from itertools import accumulate
from pathlib import Path

RECORD_KEEPING = frozenset({"records", "settings", "tracking", "workflow"})
"""Packages that configure, log, record and count: what of them touches a result is in the rules'
parameters, which are compared themselves. All that only they use is left out with them."""

COPYING = frozenset({"data.warping"})
"""What makes the pixels of augmented copies: whatever reads pictures imports it, but runs through
it only where a manifest lists copies."""

DRAWN_BY_SOME = frozenset(
    f"figures.{name}" for name in ("feature_map", "risk_coverage", "training_curves")
) | {"challenge.embedded", "challenge.risk_coverage"}
"""What a script draws in some of its jobs only: a rule names what its jobs draw."""


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
        for name, module in _imported(waiting.pop(), library).items():
            prefixes = accumulate(name.split("."), "{}.{}".format)  # a, a.b, a.b.c
            if module not in found and without.isdisjoint(prefixes):
                found.add(module)
                waiting.append(module)
    return sorted(found)


@cache
def code_digest(script: Path, library: Path, *, without: frozenset[str] = RECORD_KEEPING) -> str:
    """The script's name, and a digest of it and of its `library_files`: another when one changes.

    One parameter of a job in place of some fifty inputs, of each of which Snakemake asks, before
    the first job, who makes it, whether it is there, and how old it is.
    """
    files = [script, *library_files(script, library, without=without)]
    lines = (f"{file.relative_to(library.parent).as_posix()} {_digest(file)}\n" for file in files)
    return f"{script.stem} {hashlib.sha256(''.join(lines).encode()).hexdigest()[:16]}"


@cache
def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@cache
def _imported(source: Path, library: Path) -> dict[str, Path]:
    """The modules of the library that one file imports anywhere, by dotted name below it."""
    start = f"{library.name}."
    below = (name.removeprefix(start) for name in imported_names(source) if name.startswith(start))
    modules = {name: library.joinpath(*name.split(".")).with_suffix(".py") for name in below}
    return {name: module for name, module in modules.items() if module.is_file()}


def imported_names(source: Path) -> set[str]:
    """Dotted names that one file imports anywhere.

    What is imported from a module may be a module itself, so both are named.
    """
    names: set[str] = set()
    for node in _statements(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
            names.add(str(node.module))
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Those below a node: most of a tree are expressions, in which nothing is imported."""
    for each in ast.iter_child_nodes(node):
        if not isinstance(each, ast.expr):
            yield each
            yield from _statements(each)
