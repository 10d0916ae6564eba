"""Every execution, kept among the results: MLflow can be rebuilt from it as a whole.

A rerun replaces the outputs, and with them the record and the pictures beside them; a failed job
has neither. In the folder `history` of a data set's results they stay:

    <execution>.json           the record of an execution that ended, and the files that it shows
    running/<execution>.jsonl  that of one at work or of one that was killed: its opening record,
                               then a line for everything that it has reported since
    files/<sha256>/<name>      those files, each content once however many records show it
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gallerist.io.files import PathLike, read_json, replacing, sha256_of_file, write_json
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
    """The executions of one data set. What cannot be kept is a warning, never an error."""

    def __init__(self, results: PathLike) -> None:
        """`results`: the folder of the data set's results."""
        self.folder = Path(results) / "history"

    def begin(self, record: Record) -> None:
        """Write the opening record of a stage, for whoever follows it or finds it killed."""
        with _without_failing(record):
            path = self._running(record.execution)
            path.parent.mkdir(parents=True, exist_ok=True)
            _append(path, record.to_json(), os.O_CREAT | os.O_TRUNC)

    def add(self, record: Record, **reported: Any) -> None:
        """Append what a stage has reported since: fields of a record. From any thread.

        record: its opening record. A stage that has ended, or was not begun, is left as it is.
        """
        with _without_failing(record), suppress(FileNotFoundError):
            value = replace(record, **reported).to_json()
            _append(self._running(record.execution), {name: value[name] for name in reported})

    def at_work(self) -> list[Record]:
        """The stages that have begun and not ended, killed ones included, as far as they came."""
        found = map(_read_running, sorted((self.folder / "running").glob("*.jsonl")))
        return [*filter(None, found)]

    def keep(self, record: Record) -> Entry:
        """Keep a record that has ended, and the files that it shows, as they are now."""
        entry = Entry(record)
        with _without_failing(record):
            stored = {each.path: self._store(Path(each.path)) for each in record.artifacts}
            entry = Entry(record, {path: name for path, name in stored.items() if name})
            value = {"schema": SCHEMA, "record": record.to_json(), "files": entry.files}
            write_json(self._ended(record.execution), value)
            self._running(record.execution).unlink(missing_ok=True)
        return entry

    def executions(self) -> list[str]:
        """The identities of all that ended, in order: cheaper than the entries."""
        return sorted(path.stem for path in self.folder.glob("*.json"))

    def entry(self, execution: str) -> Entry | None:
        """One that ended, or None. One that cannot be read is named in a warning."""
        path = self._ended(execution)
        try:
            value = read_json(path)
            if value["schema"] != SCHEMA:
                raise RecordError(f"written in layout {value['schema']}, known is layout {SCHEMA}")
            return Entry(Record.from_json(value["record"]), dict(value["files"]))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, OSError) as error:
            logger.warning("%s: left out: %s", path, error)
            return None

    def entries(self) -> list[Entry]:
        """All that ended, in order of execution."""
        return [*filter(None, map(self.entry, self.executions()))]

    def complete(self, beside: Iterable[Record], *, none_at_work: bool = False) -> list[Entry]:
        """All that ended, after adding what is missing.

        beside: the records beside the outputs. Those of a Gallerist that kept no history are added,
        and stages that were killed, which failed: of this machine those whose process is gone, of
        all machines when `none_at_work` says that whatever has begun has ended.
        """
        # Before anything else is read: what they wrote last is there to be found.
        killed = [record for record in self.at_work() if none_at_work or has_no_process(record)]
        entries = {entry.record.execution: entry for entry in self.entries()}
        for record in (*beside, *map(_as_killed, killed)):
            if record.execution not in entries:
                entries[record.execution] = self.keep(record)
        for record in killed:
            self._running(record.execution).unlink(missing_ok=True)
        return list(entries.values())

    def shown(self, entry: Entry) -> dict[str, Path]:
        """Where the artifacts of an entry are now, by the path that its record names.

        A file that was too large to be kept is shown from its path while its content is the same.
        One that is nowhere any more has a path where nothing is.
        """
        found = {path: self._file(name) for path, name in entry.files.items()}
        for path, kept in found.items():
            large = not kept.is_file() and Path(path).is_file()
            if large and sha256_of_file(path) == kept.parent.name:
                found[path] = Path(path)
        return found

    def remove(self, executions: Iterable[str]) -> int:
        """Forget these executions, and the files that no other shows. Returns the bytes freed."""
        entries = {entry.record.execution: entry for entry in self.entries()}
        gone = [entries.pop(execution) for execution in {*executions} & entries.keys()]
        needed = {name for entry in entries.values() for name in entry.files.values()}
        shown = {name for entry in gone for name in entry.files.values()}
        ended = [self._ended(entry.record.execution) for entry in gone]
        return sum(map(_unlink, [*ended, *map(self._file, shown - needed)]))

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
        return self.folder / "running" / f"{execution}.jsonl"

    def _file(self, name: str) -> Path:
        return self.folder / "files" / name


def merge(fields: dict[str, Any], reported: Mapping[str, Any]) -> None:
    """Add to fields of a record what was reported since: a later value replaces an earlier."""
    for name, value in reported.items():
        if name in ("curves", "machine_use"):
            curves = fields.setdefault(name, {})
            for curve, points in value.items():
                curves[curve] = sorted({**dict(curves.get(curve, ())), **dict(points)}.items())
        elif isinstance(value, Mapping):
            fields[name] = {**fields.get(name, {}), **value}
        elif isinstance(value, list | tuple):
            fields[name] = (*fields.get(name, ()), *value)
        else:
            fields[name] = value


def _read_running(path: Path) -> Record | None:
    """A stage at work; None where not even its beginning can be read.

    The end of a line may be still to come, and a full disk may have cut others.
    """
    fields: dict[str, Any] = {}
    with suppress(FileNotFoundError):
        for line in path.read_bytes().split(b"\n")[:-1]:
            with suppress(ValueError):
                merge(fields, json.loads(line))
    try:
        return Record.from_json(fields)
    except RecordError:
        return None


def _as_killed(record: Record) -> Record:
    """The record of a stage that ended without writing one."""
    ended = now()
    return replace(
        record,
        status="failed",
        finished=ended,
        seconds=(milliseconds(ended) - milliseconds(record.started)) / 1000,
        error="the process was killed or crashed (out of memory?); see the stage's log",
        artifacts=tuple(each for each in record.artifacts if Path(each.path).exists()),
    )


def has_no_process(record: Record) -> bool:
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


def _append(path: Path, value: Mapping[str, Any], flags: int = 0) -> None:
    """One whole line, by one call, seen from other machines as soon as the file is closed."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | flags, 0o666)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


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
