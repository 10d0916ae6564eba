"""The process that shows a data set's records in MLflow (`python -m gallerist.tracking.writer`).

It reads what the stages write among the results: while a workflow runs, every second, and once more
when that has ended or is gone. It may be late, killed at any moment or started twice: whatever is
missing is shown by the next one, and nothing is shown twice.
"""

import gc
import json
import logging
import os
import select
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gallerist.io.files import PathLike
from gallerist.records.history import History, RunningStage, is_dead
from gallerist.records.record import Record, find_records, milliseconds, mlflow_experiments
from gallerist.tracking.client import Client, connect, end_orphaned_runs, explain
from gallerist.tracking.contents import points_of
from gallerist.tracking.runs import log_points, log_record, show_at_work, sync
from gallerist.tracking.store import (
    Busy,
    Store,
    database_path,
    exclusive,
    follow_move,
    prepare,
)

logger = logging.getLogger("gallerist")

_INTERVAL = 1.0
"""Seconds between two readings of the files."""

_LONGEST_PAUSE = 30.0
"""Seconds until MLflow is tried again, at most."""

_LAST_PASS_LIMIT = 60.0
"""Seconds that are left when the workflow is gone."""


class Writer:
    """Brings MLflow up to date with the files, again and again."""

    def __init__(
        self,
        store: Store,
        dataset: str,
        results: PathLike,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """results: of the data set. progress: called after each step, to tell slow from stuck."""
        self._store, self._dataset, self._results = store, dataset, Path(results)
        self._progress = progress
        self._history = History.of(results)
        self._owner = uuid.uuid4().hex
        self.refused: list[Record] = []
        self._forget()

    def _forget(self) -> None:
        """What is known of MLflow may be wrong: find it out anew."""
        self._client: Client | None = None
        self._logged: set[str] = set()
        self._stages: dict[str, RunningStage] = {}
        self._runs: dict[str, str] = {}

    def update(
        self, timeout: float = 0.0, *, thorough: bool = False, none_at_work: bool = False
    ) -> int:
        """Show what is not in MLflow yet. Returns how many records were logged.

        thorough: compare everything, as is done at first, after a failure, and when another process
        has written meanwhile. none_at_work: whatever has begun has ended, on all machines.
        Raises Busy after `timeout` seconds, and what MLflow raises.
        """
        with exclusive(self._results, timeout, self._owner) as undisturbed:
            try:
                logged = 0
                if thorough or not undisturbed or self._client is None:
                    self._forget()
                    logged = self._compare(none_at_work)
                logged += self._show_ended()
                return logged + self._show_at_work()
            except BaseException:
                self._forget()
                raise

    def _compare(self, none_at_work: bool) -> int:
        """Set the store up, end what was killed, and log every record that MLflow lacks."""
        uri, root = self._store.uri, self._store.artifact_root
        experiments = mlflow_experiments(self._dataset)
        prepare(uri, root, experiments)
        follow_move(uri, root, experiments)
        self._progress()
        client = connect(uri)
        # A store of one's own is cleared of all data sets; on a shared one others are at work.
        end_orphaned_runs(client, None if database_path(uri) else experiments)
        self._progress()
        entries = self._history.complete(
            find_records(self._results), self._progress, none_at_work=none_at_work
        )
        kept = {entry.record.execution: entry for entry in entries}
        self.refused = []
        logged = sync(
            uri,
            root,
            [entry.record for entry in entries],
            self._progress,
            lambda record: self._history.shown(kept[record.execution]),
            self.refused.append,
        )
        self._client, self._logged = client, set(kept)
        return logged

    def _show_ended(self) -> int:
        new = [name for name in self._history.executions() if name not in self._logged]
        entries = [entry for entry in map(self._history.entry, new) if entry is not None]
        for entry in sorted(entries, key=lambda entry: _ended(entry.record)):
            log_record(self._client, entry.record, self._history.shown(entry))
            self._progress()
        self._logged.update(new)
        return len(entries)

    def _show_at_work(self) -> int:
        killed = False
        for found in self._history.at_work():
            stage = self._stages.setdefault(found.execution, found)
            added, record = stage.read(), stage.record()
            if record is None or stage.execution in self._logged:
                continue
            if is_dead(record):
                killed = True
            elif stage.execution not in self._runs:
                self._runs[stage.execution] = show_at_work(self._client, _without_metrics(record))
            elif added is not None:
                points = points_of(_without_metrics(added))
                log_points(self._client, self._runs[stage.execution], points)
        if not killed:
            return 0
        self._history.complete(find_records(self._results))
        return self._show_ended()


def _ended(record: Record) -> int:
    return milliseconds(record.finished or record.started)


def _without_metrics(record: Record) -> Record:
    """They are outcomes, which get their time and their step when the stage has ended."""
    return replace(record, metrics={})


class _Parent:
    """The process that started this one: what it asks for, and what is reported to it.

    The first line of standard input is the order, a further one says how the work has ended; then
    that is closed. Reports are lines of JSON on what was standard output.
    """

    def __init__(self) -> None:
        self._pid = os.getppid()
        self._received = b""
        self._reports = os.dup(1)
        self._warned: set[str] = set()
        os.dup2(2, 1)
        self.order: dict[str, Any] = {}
        while not self.order:
            self.order = self._next(None) or {}
        threading.Thread(target=self._outlive_for_a_while, daemon=True).start()

    def _next(self, seconds: float | None) -> dict[str, Any] | None:
        """The next line; None when there is none in time. Raises EOFError when it is the end."""
        if b"\n" not in self._received:
            readable, _, _ = select.select([0], [], [], seconds)
            chunk = os.read(0, 65536) if readable else b""
            # A process that it has forked keeps the pipe open, so the end of it is not enough.
            if os.getppid() != self._pid or (readable and not chunk):
                raise EOFError
            self._received += chunk
        line, newline, rest = self._received.partition(b"\n")
        if not newline:
            return None
        self._received = rest
        return dict(json.loads(line))

    def has_ended(self, seconds: float) -> bool:
        """Whether it has no more to do, or is gone, after so many seconds at most."""
        try:
            self.order.update(self._next(seconds) or {})
        except EOFError:
            return True
        return "none_at_work" in self.order

    def report(self, **report: Any) -> None:
        try:
            os.write(self._reports, json.dumps(report).encode() + b"\n")
        except OSError:
            return  # nobody is listening any more

    def warn(self, text: str) -> None:
        """Report a warning, each once."""
        if text not in self._warned:
            self._warned.add(text)
            self.report(warning=text)

    def _outlive_for_a_while(self) -> None:
        while os.getppid() == self._pid:
            time.sleep(1.0)
        time.sleep(_LAST_PASS_LIMIT)
        os._exit(1)


class _Warnings(logging.Handler):
    def __init__(self, parent: _Parent) -> None:
        super().__init__(logging.WARNING)
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        self._parent.warn(record.getMessage())


def main() -> None:
    """Show the records of one data set until the process that started this one has ended."""
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, signal.SIG_IGN)
    parent = _Parent()
    logger.addHandler(_Warnings(parent))
    store = Store(*parent.order["store"])
    if store.uri.startswith(("sqlite:", "http:", "https:")):
        # A quarter of MLflow's import is pandas. It can do without, as mlflow-skinny does, and
        # never needs it to log a run; only a store that is a plug-in might.
        sys.modules["pandas"] = None  # type: ignore[assignment]
    gc.disable()  # a tenth of MLflow's import is the search for garbage that is not there
    writer = Writer(
        store,
        parent.order["dataset"],
        parent.order["results"],
        lambda: parent.report(step=True),
    )
    logged, pause = 0, 0.0
    while not parent.has_ended(pause):
        try:
            logged += writer.update()
            pause = _INTERVAL
        except Busy:
            pause = _INTERVAL
        except Exception as error:
            parent.warn(f"MLflow {explain(error)}. {parent.order['advice']}")
            pause = min(2 * max(pause, _INTERVAL), _LONGEST_PAUSE)
        gc.freeze()
        gc.enable()
    try:
        none_at_work = bool(parent.order.get("none_at_work"))
        logged += writer.update(store.patience, thorough=True, none_at_work=none_at_work)
        parent.report(done=logged, refused=len(writer.refused))
    except Exception as error:
        parent.report(failed=str(error) if isinstance(error, Busy) else explain(error))
    os._exit(0)  # all is written; taking MLflow down tidily takes longer than a short stage


if __name__ == "__main__":
    main()
