"""What Snakemake needs of a machine before it reads a workflow, and where it is not so.

It is no part of the library: that is another checkout's, perhaps, until a Snakefile has said which.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

NOT_IN_PATHS = '{}?:"$`'
"""Characters that the path of a checkout cannot have: Snakemake takes braces for names of values, a
question mark ends the address of a database, colons part folders in a list, and `make` and the
shell take the rest for theirs."""

_ROOM = 1 << 20
"""Bytes of temporary files that there must be room for: those of Snakemake are small."""


def keep_cache_in(folder: Path) -> None:
    """Have Snakemake keep its copies of sources below `folder` where the home takes none."""
    from platformdirs import user_cache_dir

    if not _takes_files(Path(user_cache_dir("snakemake", "snakemake"))):
        os.environ["XDG_CACHE_HOME"] = str(folder / ".snakemake" / "cache")


def find_obstacles(checkout: Path, folder: Path) -> Iterator[str]:
    """A line for each thing of this machine that would let a workflow fail, and what to do.

    folder: where it works, which has the results.
    """
    for place in dict.fromkeys((checkout, folder)):
        strange = sorted(set(NOT_IN_PATHS) & set(str(place)))
        if strange:
            yield (
                f"{place}: the path of a checkout cannot have {' or '.join(strange)} in it. Rename "
                "that folder, or move the checkout"
            )
    if not _takes_files(folder):
        yield f"{folder}: nothing can be written there: it is full, or belongs to somebody else"
    try:
        temporary = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        yield f"no folder takes temporary files: {error.strerror}. Set TMPDIR to one that does"
    else:
        if shutil.disk_usage(temporary).free < _ROOM:
            yield f"{temporary} is full. Make room there, or set TMPDIR to a folder with some"


def _takes_files(folder: Path) -> bool:
    """Whether files can be written in a folder, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except OSError:
        return False
    return True
