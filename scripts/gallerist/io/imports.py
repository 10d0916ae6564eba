"""Packages that another one would import for what is not used here."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """Let the import of these fail meanwhile, as where they are not installed.

    For a package that takes them where they are there, and does without them where they are not.
    Afterwards they can be imported; what was imported before stays what it was.
    """
    loaded = {name: sys.modules.pop(name) for name in packages if name in sys.modules}
    absent: dict[str, Any] = dict.fromkeys(packages)  # importing what is None raises ImportError
    sys.modules.update(absent)
    try:
        yield
    finally:
        for name in packages:
            del sys.modules[name]
        sys.modules.update(loaded)
