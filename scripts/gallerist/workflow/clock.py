"""Files of the future: Snakemake compares times, and what was written later must have a later one.

Where a clock was set back, or another machine's is ahead, an edit looks older than what was made
before it, and nothing is repeated; or what a job has just made looks older than what it was made
of, and is thrown away.
"""

import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike

_WAITED_FOR = 60.0
"""Seconds that a file server may be ahead of a machine."""

_NOT_COMPARED = frozenset(
    {"store", "history", "origin", "logs", "benchmarks", "download", "source"}
)
"""Folders of the results that hold no input of a job, and thousands of files."""


def check_clock(results: PathLike, code: PathLike) -> None:
    """Refuse to plan a workflow of whose files one was written at a time that is still to come.

    results: the folder of the data set. code: that of the scripts. One that is ahead by seconds is
    waited for. Raises UserError naming the file and the way out.
    """
    now = time.time()
    latest, path = max(_times(results, code), default=(0.0, ""))
    if latest <= now:
        return
    if latest - now <= _WAITED_FOR:
        time.sleep(latest - now)
        return
    raise UserError(
        f"{path} was written at {datetime.fromtimestamp(latest):%Y-%m-%d %H:%M:%S}, which is still "
        "to come: the clock was set back, or is behind that of another machine. Set it right; or, "
        "where it is, let all count as written now, and what follows from it be made again: "
        f"find {results} {code} -newermt now -exec touch {{}} +"
    )


def _times(results: PathLike, code: PathLike) -> Iterator[tuple[float, str]]:
    """When each file was written, and its path."""
    for top in (results, code):
        for folder, folders, names in os.walk(top):
            if Path(folder) == Path(results):
                folders[:] = [each for each in folders if each not in _NOT_COMPARED]
            for name in names:
                path = f"{folder}/{name}"
                try:
                    yield os.lstat(path).st_mtime, path
                except OSError:  # of a job at work: it was replaced meanwhile
                    continue
