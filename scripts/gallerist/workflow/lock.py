"""Who works on the results of a data set: one workflow at a time, known by a lock of the system.

Snakemake's own lock is not enough. It stays behind after a kill; it goes, with the locks of all
others, as soon as any workflow of the same folder ends; and checkouts that share a folder of
results do not see each other's. The system ends this one with the process that holds it.
"""

import os
from pathlib import Path

from filelock import FileLock, Timeout

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, read_json, write_json
from gallerist.records.history import History
from gallerist.records.provenance import host, may_be_running

_PROBE = 2.0
"""Seconds that a workflow waits for the lock, for whoever only asks whether it is held."""


class AtWork(UserError):
    """Somebody else works on the same results. The message names the process."""


def hold(results: PathLike) -> FileLock | None:
    """Take the results of a data set for the workflow of this process, until it ends.

    results: the folder of the data set. Raises AtWork when another workflow has them, or when a
    job that a killed workflow left on this machine is still at work on them. Returns the lock, or
    None where the disk knows no locks and Snakemake's own is all that there is.
    """
    folder = Path(results)
    folder.mkdir(parents=True, exist_ok=True)
    lock = _lock(folder)
    try:
        lock.acquire(timeout=_PROBE)
    except Timeout:
        raise AtWork(
            f"{folder}: another workflow{_owner(folder)} works on these results. Wait until it has "
            "ended, or end it first"
        ) from None
    except (NotImplementedError, OSError):
        return None
    for record in History(folder).at_work():
        started = record.process_started
        if record.host == host() and started is not None and may_be_running(record.pid, started):
            lock.release()
            raise AtWork(
                f"{folder}: {record.title} of a workflow that was killed is still at work. Wait "
                f"until it has ended, or end it first: kill {record.pid}"
            )
    write_json(_note(folder), {"host": host(), "pid": os.getpid()})
    return lock


def remove_stale_locks(folder: Path, root: str = "results") -> bool:
    """Remove Snakemake's locks of workflows in `folder` that are gone; whether there was one.

    root: the folder of all results, below `folder`. A lock is left alone when it is not known whose
    it is, when its workflow ran on another machine, and when it is at work.
    """
    removed = False
    for lock in (folder / ".snakemake" / "locks").glob("*.lock"):
        datasets = _datasets(lock, root)
        if datasets and all(_is_abandoned(folder / root / name) for name in datasets):
            lock.unlink(missing_ok=True)
            removed = True
    return removed


def _datasets(lock: Path, root: str) -> set[str]:
    """The data sets whose results are among the files that a lock of Snakemake names."""
    paths = (Path(line).parts for line in lock.read_text("utf-8", errors="replace").splitlines())
    return {parts[1] for parts in paths if len(parts) > 2 and parts[0] == root}


def _is_abandoned(results: Path) -> bool:
    """Whether the last workflow on these results ran on this machine, and does not any more."""
    try:
        if read_json(_note(results))["host"] != host():
            return False
        with _lock(results).acquire(timeout=0):
            return True
    except (OSError, ValueError, KeyError, TypeError, Timeout):
        return False


def _lock(results: Path) -> FileLock:
    return FileLock(results / ".workflow.lock")


def _note(results: Path) -> Path:
    return results / ".workflow.json"


def _owner(results: Path) -> str:
    """What is known of the process that holds the lock, for people."""
    try:
        note = read_json(_note(results))
        return f" (process {note['pid']} on {note['host']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
