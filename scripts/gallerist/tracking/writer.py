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
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gallerist.io.files import PathLike
from gallerist.records.history import History, has_no_process
from gallerist.records.record import find_records, milliseconds, mlflow_experiments
from gallerist.tracking.client import Client, connect, explain
from gallerist.tracking.runs import (
    PointKey,
    log_points,
    log_record,
    missing_points,
    show_at_work,
    sync,
)
from gallerist.tracking.store import Busy, Store, TrackingError, exclusive, follow_move, prepare

logger = logging.getLogger("gallerist")

_INTERVAL = 1.0
"""Seconds between two readings of the files."""

_YOUNG = 5.0
"""Seconds that a stage is at work before it is shown: most end earlier, and are logged once."""

_TOGETHER = 5
"""Samples of what the machine does that are shown at once: to log them costs more than they do."""

_LONGEST_PAUSE = 30.0
"""Seconds until MLflow is tried again, at most."""

_LAST_PASS_LIMIT = 60.0
"""Seconds that are left when the workflow is gone."""


class Writer:
    """Brings MLflow up to date with the files, again and again."""

    def __init__(self, store: Store, dataset: str, results: PathLike) -> None:
        """`results`: of the data set."""
        self._store, self._dataset, self._results = store, dataset, Path(results)
        self._history = History(results)
        self._owner = uuid.uuid4().hex
        self._client: Client | None = None
        self._logged: set[str] = set()
        self._runs: dict[str, tuple[str, set[PointKey]]] = {}

    def update(
        self, timeout: float = 0.0, *, thorough: bool = False, none_at_work: bool = False
    ) -> int:
        """Show what is not in MLflow yet. Returns how many records were logged.

        thorough: compare everything, as is done at first, after a failure, and when another process
        has written meanwhile. none_at_work: whatever has begun has ended, on all machines.
        Raises Busy after `timeout` seconds, TrackingError when MLflow refused some of the records
        in a thorough comparison, and what MLflow raises.
        """
        with exclusive(self._results, timeout, self._owner) as undisturbed:
            try:
                logged = refused = 0
                if thorough or not undisturbed or self._client is None:
                    self._runs = {}
                    logged, refused = self._compare(none_at_work)
                logged += self._show_ended() + self._show_at_work()
            except BaseException:
                self._client = None  # what is known of MLflow may be wrong
                raise
        if thorough and refused:
            raise TrackingError(f"does not have all: {refused} runs were refused")
        return logged

    def _compare(self, none_at_work: bool) -> tuple[int, int]:
        """Set the store up, end what was killed, and log every record that MLflow lacks.

        Returns how many records were logged and how many refused.
        """
        uri, root = self._store.uri, self._store.artifact_root
        experiments = mlflow_experiments(self._dataset)
        prepare(uri, root, experiments)
        follow_move(uri, root, experiments)
        self._client = connect(uri)
        entries = self._history.complete(find_records(self._results), none_at_work=none_at_work)
        kept = {entry.record.execution: entry for entry in entries}
        self._logged = set(kept)
        return sync(
            self._client,
            [entry.record for entry in entries],
            lambda record: self._history.shown(kept[record.execution]),
        )

    def _show_ended(self) -> int:
        new = [name for name in self._history.executions() if name not in self._logged]
        entries = [entry for entry in map(self._history.entry, new) if entry is not None]
        for entry in sorted(entries, key=lambda entry: entry.record.ended):
            log_record(self._client, entry.record, self._history.shown(entry))
        self._logged.update(new)
        return len(entries)

    def _show_at_work(self) -> int:
        killed = False
        for record in self._history.at_work():
            if record.execution in self._logged:
                continue
            if has_no_process(record):
                killed = True
                continue
            if time.time() - milliseconds(record.started) / 1000 < _YOUNG:
                continue
            # Metrics are outcomes, which get their time and step when the stage has ended.
            whole = {
                name: points[: len(points) // _TOGETHER * _TOGETHER]
                for name, points in record.machine_use.items()
            }
            record = replace(record, metrics={}, machine_use=whole)
            if record.execution not in self._runs:
                self._runs[record.execution] = show_at_work(self._client, record)
            run_id, known = self._runs[record.execution]
            log_points(self._client, run_id, missing_points(record, known))
        if not killed:
            return 0
        self._history.complete(find_records(self._results))
        return self._show_ended()


class _Reports(logging.Handler):
    """Lines of JSON to the process that started this one: warnings, each once, and the outcome."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._file = os.dup(1)
        self._warned: set[str] = set()
        os.dup2(2, 1)

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._warned:
            self._warned.add(text)
            self.send(warning=text)

    def send(self, **report: Any) -> None:
        with suppress(OSError):  # nobody may be listening any more
            os.write(self._file, json.dumps(report).encode() + b"\n")


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    time.sleep(_LAST_PASS_LIMIT)
    os._exit(1)


def main() -> None:
    """Show the records of one data set until the process that started this one has ended.

    Standard input is a line of JSON, the order, then a byte if a workflow has ended; then it is
    closed.
    """
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, signal.SIG_IGN)
    parent, reports = os.getppid(), _Reports()
    logger.addHandler(reports)
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    with open(0, "rb", buffering=0, closefd=False) as orders:
        order = json.loads(orders.readline())
    store = Store(*order["store"])
    if store.uri.startswith(("sqlite:", "http:", "https:")):
        # A quarter of MLflow's import is pandas. It can do without, as mlflow-skinny does, and
        # never needs it to log a run; only a store that is a plug-in might.
        sys.modules["pandas"] = None  # type: ignore[assignment]
    gc.disable()  # a tenth of MLflow's import is the search for garbage that is not there
    writer = Writer(store, order["dataset"], order["results"])
    logged, pause = 0, 0.0
    # A process that the workflow forked keeps the pipe open: the end of it is not enough.
    while os.getppid() == parent and not select.select([0], [], [], pause)[0]:
        try:
            logged += writer.update()
            pause = _INTERVAL
        except Busy:
            pause = _INTERVAL
        except Exception as error:
            reports.send(failed=explain(error))
            pause = min(2 * max(pause, _INTERVAL), _LONGEST_PAUSE)
        gc.freeze()
        gc.enable()
    try:
        none_at_work = os.getppid() == parent and bool(os.read(0, 1))
        logged += writer.update(store.patience, thorough=True, none_at_work=none_at_work)
        reports.send(logged=logged)
    except Exception as error:
        reports.send(failed=explain(error))
    os._exit(0)  # all is written; taking MLflow down tidily takes longer than a short stage


if __name__ == "__main__":
    main()
