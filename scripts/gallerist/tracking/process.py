"""The process that talks to MLflow for a stage (`python -m gallerist.tracking.process`).

It reads orders as lines of JSON and answers on the stream that was its standard output. When the
stage is gone without a word, it ends the stage's run as failed.
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
from collections.abc import Iterator
from typing import Any

from gallerist.records.history import History, as_killed
from gallerist.records.record import Record, find_records, mlflow_experiments
from gallerist.tracking.access import in_short, what_it_said
from gallerist.tracking.contents import Point
from gallerist.tracking.runs import log_points, log_record, open_run, sync
from gallerist.tracking.store import Client, connect, database_path, follow_move, prepare, reap

logger = logging.getLogger("gallerist")

_LOOK_AFTER_STAGE = 2.0
_LAST_WORDS = 60.0


class Scribe:
    """Carries out the orders of one stage, or of one start of the workflow."""

    def __init__(self, answers: int) -> None:
        """`answers` is the file descriptor to answer on."""
        self._answers = answers
        self._uri = ""
        self._artifact_root: str | None = None
        self._client: Client = None
        self._opened: Record | None = None
        self._history: History | None = None
        self._run_id: str | None = None

    def obey(self, orders: list[dict[str, Any]]) -> None:
        """Carry out some orders, in turn; neighbouring points in one go."""
        points: list[Point] = []
        for order in orders:
            if order["do"] == "points":
                points += [(name, step, value, at) for name, step, value, at in order["points"]]
                continue
            self._points(points)
            points = []
            getattr(self, f"_{order['do']}")(order)
        self._points(points)

    def stage_died(self) -> None:
        """Log that the stage ended without closing its run."""
        if self._opened is None:
            return
        record = as_killed(self._last_words(self._opened))
        shown = {}
        if self._history is not None:
            shown = self._history.shown(self._history.keep(record))
        log_record(self._connected(record.dataset), record, shown)

    def _last_words(self, opened: Record) -> Record:
        """The record of a stage as far as it came."""
        noted = self._history.at_work(opened.execution) if self._history is not None else None
        return noted or opened

    def _connected(self, dataset: str) -> Client:
        prepare(self._uri, self._artifact_root, mlflow_experiments(dataset))
        if self._client is None:
            self._client = connect(self._uri)
        return self._client

    def _begin(self, order: dict[str, Any]) -> None:
        self._uri, self._artifact_root = order["uri"], order["artifact_root"]
        if self._uri.startswith(("sqlite:", "http:", "https:")):
            # A quarter of MLflow's import is pandas. It can do without, as mlflow-skinny does, and
            # never needs it to log a run; only a store that is a plug-in might.
            sys.modules["pandas"] = None  # type: ignore[assignment]

    def _open(self, order: dict[str, Any]) -> None:
        self._opened = Record.from_json(order["record"])
        self._history = History(order["history"]) if order["history"] else None
        try:
            client = self._connected(self._opened.dataset)
            self._run_id = open_run(client, self._opened)
        except Exception:
            # Tried again at the end, where somebody waits for the answer.
            return

    def _points(self, points: list[Point]) -> None:
        if points and self._run_id is not None:
            try:
                log_points(self._client, self._run_id, points)
            except Exception:
                return  # the record brings them again

    def _close(self, order: dict[str, Any]) -> None:
        try:
            records = [Record.from_json(value) for value in order["records"]]
            for record in records:
                log_record(self._connected(record.dataset), record)
        except Exception as error:
            self._answer(failed=what_it_said(error))
        else:
            self._answer(done=len(records))
        self._opened = None

    def _refresh(self, order: dict[str, Any]) -> None:
        try:
            self._begin(order)
            experiments = mlflow_experiments(order["dataset"])
            prepare(self._uri, self._artifact_root, experiments)
            follow_move(self._uri, self._artifact_root, experiments)
            self._answer(step="prepared")
            # A store of one's own is cleared of all data sets; on a shared one others are at work.
            reap(self._uri, None if database_path(self._uri) else experiments)
            self._answer(step="reaped")
            history = History.of(order["results"])
            entries = history.complete(
                find_records(order["results"]), progress=lambda: self._answer(step="kept")
            )
            kept = {entry.record.execution: entry for entry in entries}
            logged = sync(
                self._uri,
                self._artifact_root,
                [entry.record for entry in entries],
                progress=lambda: self._answer(step="record"),
                shown=lambda record: history.shown(kept[record.execution]),
            )
        except Exception as error:
            self._answer(failed=what_it_said(error))
        else:
            self._answer(done=logged)

    def _answer(self, **answer: Any) -> None:
        try:
            os.write(self._answers, json.dumps(answer).encode() + b"\n")
        except OSError:
            return  # nobody is waiting any more


def orders(source: int) -> Iterator[list[dict[str, Any]]]:
    """What has been ordered, in handfuls, until the stage closes the pipe or is gone.

    A worker that the stage has forked keeps the pipe open, so the end of it is not enough.
    """
    stage = os.getppid()
    received = b""
    while True:
        readable, _, _ = select.select([source], [], [], _LOOK_AFTER_STAGE)
        if readable:
            chunk = os.read(source, 1 << 20)
            if not chunk:
                return
            *lines, received = (received + chunk).split(b"\n")
            yield [json.loads(line) for line in lines]
        elif os.getppid() != stage:
            return


def main() -> None:
    """Obey orders from standard input until there are no more."""
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, signal.SIG_IGN)
    answers = os.dup(1)
    os.dup2(2, 1)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    gc.disable()  # a tenth of MLflow's import is the search for garbage that is not there
    scribe = Scribe(answers)
    for handful in orders(0):
        scribe.obey(handful)
        gc.freeze()
        gc.enable()
    threading.Thread(target=_exit_after, args=[_LAST_WORDS], daemon=True).start()
    try:
        scribe.stage_died()
    except Exception as error:
        logger.warning("The end of this stage is not in MLflow yet: %s", in_short(error))
    os._exit(0)  # all is written; taking MLflow down tidily takes longer than a short stage


def _exit_after(seconds: float) -> None:
    time.sleep(seconds)
    os._exit(1)


if __name__ == "__main__":
    main()
