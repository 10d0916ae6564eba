"""Packages that another one would import for what is not used here."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """Let the import of these fail meanwhile, as where they are not installed.

    For a package that takes them where they are there, and does without them where they are not.
    Afterwards they can be imported; what was imported before stays what it was.
    """
    loaded = {name: sys.modules.pop(name) for name in packages if name in sys.modules}
    # Not None in sys.modules, which what Cython compiled takes for the module.
    absent = _Absent(packages)
    sys.meta_path.insert(0, absent)
    try:
        yield
    finally:
        sys.meta_path.remove(absent)
        sys.modules.update(loaded)


class _Absent:
    """Says of some packages that they are not there."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = packages

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """None, for another finder to look, unless it is one of the packages."""
        if name in self.packages:
            raise ModuleNotFoundError(f"{name} is left out here", name=name)
