"""Every execution that ended, kept among the results: MLflow can be rebuilt from it as a whole.

A rerun replaces the outputs, and with them the record and the pictures beside them; a failed job
has neither. In the folder `history` of a data set's results they stay:

    <execution>.json          the record of an execution that ended, and the files that it shows
    running/<execution>.json  that of one at work, as far as it is known, or of one that was killed
    files/<sha256>/<name>     those files, each content once however many records show it
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gallerist.io.files import (
    PathLike,
    read_json,
    replacing,
    sha256_of_file,
    write_json,
)
from gallerist.records.provenance import host, may_be_running
from gallerist.records.record import Record, RecordError, milliseconds, now

logger = logging.getLogger("gallerist")

SCHEMA = 1
"""Version of the layout of an entry."""

LARGEST = 32 << 20
"""Bytes of the largest file that is kept. Larger ones are shown from where they are."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One execution that ended.

    files: path of an artifact, as the record names it -> "<sha256>/<name>", its content then.
    """

    record: Record
    files: Mapping[str, str] = field(default_factory=dict)


class History:
    """The executions of one data set. What cannot be kept is told in a warning, never an error."""

    def __init__(self, folder: PathLike) -> None:
        """`folder`: made when something is kept in it."""
        self.folder = Path(folder)

    @classmethod
    def of(cls, results: PathLike) -> "History":
        """That of the data set whose results are in this folder."""
        return cls(Path(results) / "history")

    def begin(self, record: Record) -> None:
        """Note a stage at work, again whenever more is known: it may be killed."""
        with _without_failing(record):
            write_json(self._running(record.execution), _to_json(Entry(record)))

    def at_work(self, execution: str) -> Record | None:
        """What was noted of a stage at work, or None."""
        entry = _read(self._running(execution))
        return entry.record if entry is not None else None

    def keep(self, record: Record) -> Entry:
        """Keep a record that has ended, and the files that it shows, as they are now."""
        entry = Entry(record)
        with _without_failing(record):
            stored = {each.path: self._store(Path(each.path)) for each in record.artifacts}
            entry = Entry(record, {path: name for path, name in stored.items() if name})
            write_json(self._ended(record.execution), _to_json(entry))
            self._running(record.execution).unlink(missing_ok=True)
        return entry

    def entries(self) -> list[Entry]:
        """All that ended, in order of execution."""
        found = (_read(path) for path in sorted(self.folder.glob("*.json")))
        return [entry for entry in found if entry is not None]

    def complete(
        self, beside: Iterable[Record], progress: Callable[[], None] = lambda: None
    ) -> list[Entry]:
        """All that ended, after adding what is missing.

        beside: the records beside the outputs. Those of a Gallerist that kept no history are added,
        and stages of this machine that were killed, which failed.
        progress: called after each addition.
        """
        entries = {entry.record.execution: entry for entry in self.entries()}
        for record in beside:
            if record.execution not in entries:
                entries[record.execution] = self.keep(record)
                progress()
        for record in self._killed():
            if record.execution not in entries:
                entries[record.execution] = self.keep(record)
                progress()
            self._running(record.execution).unlink(missing_ok=True)
        return list(entries.values())

    def shown(self, entry: Entry) -> dict[str, Path]:
        """Where the artifacts of an entry are now, by the path that its record names.

        A file that was too large to be kept is shown from its path while its content is the same.
        One that is nowhere any more has a path where nothing is.
        """
        found = {}
        for path, name in entry.files.items():
            kept = self._file(name)
            same = not kept.is_file() and _sha256(Path(path)) == kept.parent.name
            found[path] = Path(path) if same else kept
        return found

    def remove(self, executions: Iterable[str]) -> int:
        """Forget these executions, and the files that no other shows. Returns the bytes freed."""
        gone = set(executions)
        entries = self.entries()
        needed = {
            name
            for entry in entries
            if entry.record.execution not in gone
            for name in entry.files.values()
        }
        freed = 0
        for entry in entries:
            if entry.record.execution in gone:
                freed += _unlink(self._ended(entry.record.execution))
                freed += sum(_unlink(self._file(name)) for name in {*entry.files.values()} - needed)
        return freed

    def _killed(self) -> Iterator[Record]:
        for path in sorted((self.folder / "running").glob("*.json")):
            entry = _read(path)
            if entry is not None and _is_dead(entry.record):
                yield as_killed(entry.record)

    def _store(self, path: Path) -> str | None:
        """Keep a file. Returns its "<sha256>/<name>"; None for what is no file."""
        if not path.is_file():
            return None
        if path.stat().st_size > LARGEST:
            return f"{sha256_of_file(path)}/{path.name}"
        content = path.read_bytes()  # once: a log may grow between two readings
        digest = hashlib.sha256(content).hexdigest()
        name = f"{digest}/{path.name}"
        if not self._file(name).exists():
            with replacing(self._file(name)) as temporary:
                temporary.write_bytes(content)
        return name

    def _ended(self, execution: str) -> Path:
        return self.folder / f"{execution}.json"

    def _running(self, execution: str) -> Path:
        return self.folder / "running" / f"{execution}.json"

    def _file(self, name: str) -> Path:
        return self.folder / "files" / name


def as_killed(record: Record) -> Record:
    """The record of a stage that ended, just now or unseen, without a word."""
    ended = now()
    return replace(
        record,
        status="failed",
        finished=ended,
        seconds=(milliseconds(ended) - milliseconds(record.started)) / 1000,
        error="the process was killed or crashed (out of memory?); see the stage's log",
    )


def _is_dead(record: Record) -> bool:
    """Whether its process is known to be gone. Nothing is known of other machines."""
    if record.host != host() or record.process_started is None:
        return False
    return not may_be_running(record.pid, record.process_started)


@contextmanager
def _without_failing(record: Record) -> Iterator[None]:
    """A full disk costs the history of a stage, not its result."""
    try:
        yield
    except OSError as error:
        logger.warning("%s is not kept in the history: %s", record.title, error)


def _to_json(entry: Entry) -> dict[str, Any]:
    return {"schema": SCHEMA, "record": entry.record.to_json(), "files": dict(entry.files)}


def _read(path: Path) -> Entry | None:
    """An entry, or None: one that cannot be read is named in a warning and hides no other."""
    try:
        value = read_json(path)
        if value["schema"] != SCHEMA:
            raise RecordError(f"written in layout {value['schema']}, known is layout {SCHEMA}")
        return Entry(Record.from_json(value["record"]), dict(value["files"]))
    except FileNotFoundError:
        return None
    except (RecordError, ValueError, TypeError, KeyError, OSError) as error:
        logger.warning("%s: left out: %s", path, error)
        return None


def _sha256(path: Path) -> str | None:
    return sha256_of_file(path) if path.is_file() else None


def _unlink(path: Path) -> int:
    """Remove a file, and its folder where that is left empty. Returns the bytes freed."""
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    with suppress(OSError):
        path.parent.rmdir()
    return size
