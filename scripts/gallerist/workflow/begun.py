"""Jobs that began and left nothing: they are done again, whatever became of what they had made.

A job that fails, is killed, or whose outputs Snakemake does not accept loses them. What was made of
the outputs before is there still, and newer than all that is left; so the next workflow would find
nothing to be done, and show it as the result of settings that it was never made by. Each job leaves
a mark when it begins. Marks of jobs whose record is there when a workflow ends are removed: what is
deleted later, to save room, is not missed.
"""

from pathlib import Path

from gallerist.io.files import PathLike, sha256_of_text, write_text


def mark(results: PathLike, record: PathLike) -> None:
    """Note that the job which is to write this record has begun. results: of its data set."""
    write_text(_folder(results) / sha256_of_text(str(record))[:16], f"{record}\n")


def without_record(results: PathLike) -> list[str]:
    """The records of all jobs that have begun and left none, sorted."""
    return sorted(record for record in _marks(results).values() if not Path(record).exists())


def forget_done(results: PathLike) -> None:
    """Remove the marks of jobs that left a record. Call it when none is at work."""
    for path, record in _marks(results).items():
        if Path(record).exists():
            path.unlink(missing_ok=True)


def _marks(results: PathLike) -> dict[Path, str]:
    found = {}
    for path in _folder(results).glob("*"):
        try:
            found[path] = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):  # another workflow removed it, or a disk damaged it
            continue
    return {path: record for path, record in found.items() if record}


def _folder(results: PathLike) -> Path:
    return Path(results) / ".begun"
