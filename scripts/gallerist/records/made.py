"""Whether a file of the results is still, byte for byte, the one that its job made.

Snakemake compares times, which an edit can keep, a copy loses and a damaged disk does not change.
The record of a job therefore holds the hash of every file that it made, and whoever reads one
compares it: the stages their inputs, the commands what they read (`workflow.results`).
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from gallerist.io.files import PathLike, sha256_of_file
from gallerist.records.record import MEND, RecordError, read_record

RECORD = ".record.json"
"""The end of a record's name. It holds a hash of itself."""

_TIED = (".npy", ".xml", ".bin")
"""Ends of the files, large ones, whose hash is in a file beside them that their readers compare."""


def is_noted(path: PathLike) -> bool:
    """Whether the record of a job holds the hash of a file of this name that it made."""
    return not str(path).endswith((*_TIED, RECORD))


def verify_output(path: PathLike, record_path: PathLike) -> None:
    """Refuse a file that is not, byte for byte, the one that the job of this record made.

    To be called before a file is opened that could do harm: it is refused, too, when the record
    does not name it. Raises RecordError naming the file, FileNotFoundError when it is gone.
    """
    _compare(path, Path(record_path), _made(Path(record_path)))


def verify_inputs(paths: Iterable[PathLike]) -> None:
    """Refuse the first of these files that is not the one that its job made.

    What no record beside it, or in the folder above, names is taken as it is. Raises RecordError
    naming the file, also for a record that is none any more.
    """
    for path in map(Path, paths):
        if path.name.endswith(RECORD) and path.is_file():
            read_record(path)
        for record in _records_that_may_name(path):
            try:
                made = _made(record)
            except FileNotFoundError:  # its job is being repeated
                continue
            if _noted(path, record, made) is not None:
                _compare(path, record, made)
                break


def _compare(path: PathLike, record: Path, made: Mapping[str, str]) -> None:
    """Refuse a file whose SHA-256 is another than its record says."""
    noted, found = _noted(Path(path), record, made), _sha256(Path(path), *_state(Path(path)))
    if noted == found:
        return
    known = f"{noted[:12]} there" if noted else "it does not name it"
    raise RecordError(
        f"{path} is not the file that its job made, says {record} (SHA-256 {found[:12]}, "
        f"{known}): it was not opened. {MEND}"
    )


def _noted(path: Path, record: Path, made: Mapping[str, str]) -> str | None:
    """What a record says of a file, wherever both were moved together."""
    beside = path.is_relative_to(record.parent)
    end = path.relative_to(record.parent).parts if beside else (path.name,)
    named = (digest for each, digest in made.items() if Path(each).parts[-len(end) :] == end)
    return next(named, None)


def _records_that_may_name(path: Path) -> Iterator[Path]:
    """The record of the same name, here or in the folder above; else all that there are in both."""
    for folder in (path.parent, path.parent.parent):
        own = folder / f"{path.stem}{RECORD}"
        if own.is_file():
            yield own
            return
    for folder in (path.parent, path.parent.parent):
        yield from (each for each in sorted(folder.glob(f"*{RECORD}")) if each != path)


def _made(record: Path) -> Mapping[str, str]:
    return _read(record, *_state(record))


def _state(path: Path) -> tuple[int, ...]:
    """What changes whenever a file does: no process can set the last."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@lru_cache(256)
def _read(record: Path, *_state: int) -> Mapping[str, str]:
    """The files that a record names."""
    return read_record(record).made


@lru_cache(256)
def _sha256(path: Path, *_state: int) -> str:
    """As of a model, of which a stage and what opens it ask one after the other."""
    return sha256_of_file(path)
