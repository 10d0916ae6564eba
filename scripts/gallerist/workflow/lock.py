"""Snakemake's lock after a kill: removed when its owner is known to be gone, never otherwise.

A workflow that is killed leaves its lock behind, and Snakemake cannot tell that from another one
at work. Each start notes who it is, so that the next one can tell.
"""

import os
import shutil
from pathlib import Path

from gallerist.io.files import read_json, write_json
from gallerist.records.provenance import host, may_be_running, process_started


def claim(folder: Path) -> None:
    """Note that this process runs the workflow in `folder`."""
    pid = os.getpid()
    write_json(_owner(folder), {"host": host(), "pid": pid, "started": process_started(pid)})


def remove_stale_lock(folder: Path) -> bool:
    """Remove the lock of a workflow in `folder` whose process has ended; whether there was one.

    A lock is left alone when its owner is not known, runs on another host, or is alive.
    """
    locks = folder / ".snakemake" / "locks"
    if not locks.is_dir() or not any(locks.iterdir()) or not _owner(folder).is_file():
        return False
    owner = read_json(_owner(folder))
    if owner["host"] != host() or may_be_running(owner["pid"], owner["started"]):
        return False
    shutil.rmtree(locks)
    return True


def _owner(folder: Path) -> Path:
    return folder / ".snakemake" / "gallerist-owner.json"
