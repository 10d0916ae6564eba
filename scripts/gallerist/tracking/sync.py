"""Bringing MLflow up to date with the records, by a process of its own: nothing here can hang.

A workflow has a `WorkflowWriter` beside it from its start to its end; `refresh` does once what that
does last. What could not be logged is logged by the next of them.
"""

import json
import logging
import math
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gallerist import LIBRARY
from gallerist.io.files import PathLike
from gallerist.records.history import History
from gallerist.records.record import find_records, mlflow_experiments
from gallerist.tracking.client import FOREIGN_RUN_VARIABLES
from gallerist.tracking.store import Store, TrackingError, configured_store, shows_exactly

logger = logging.getLogger("gallerist")

_SETUP_LIMIT = 120.0
_ADVICE = (
    "The results do not depend on it: their records are among them, and the next start of the "
    "workflow logs it, or `snakemake sync_tracking`."
)


def refresh(store: Store, dataset: str, results: PathLike, limit: float = math.inf) -> int | None:
    """Bring MLflow up to date with the files of a data set. Never raises.

    The store is created if need be, runs of killed processes of this machine end FAILED, and every
    record below the folder `results` that MLflow lacks is logged, those in its history included.
    limit: seconds for all of it; no single step may take longer than the store's patience. What
    was logged by then is not logged again.
    Returns how many records were logged; None, after a warning, when MLflow cannot be reached or
    has not got all within the limit.
    """
    if _is_up_to_date(store, dataset, results):
        return 0
    process = _Process(store, dataset, results)
    try:
        return process.finish(limit)
    except TrackingError as error:
        logger.warning("MLflow %s. %s", error, _ADVICE)
        return None
    finally:
        process.end()


def refresh_configured(
    config: Mapping[str, Any], results: PathLike, limit: float = math.inf
) -> int | None:
    """Bring MLflow up to date, as `refresh` does, for a completed configuration.

    results: the folder that holds the results of all data sets. limit: seconds for all of it.
    Raises TrackingError when the configured store is none that MLflow can write to.
    """
    dataset = config["dataset"]["name"]
    return refresh(configured_store(config, results), dataset, Path(results) / dataset, limit)


def format_logged(logged: int, dataset: str) -> str:
    """What `refresh` did, for people."""
    if not logged:
        return f"MLflow has every run of {dataset}."
    if logged == 1:
        return f"MLflow lacked 1 run of {dataset}: it is logged now."
    return f"MLflow lacked {logged} runs of {dataset}: they are logged now."


class WorkflowWriter:
    """The writer of a workflow that begins: it shows what the jobs do until `close`.

    It ends by itself when this process is gone, after a last comparison with the files.
    """

    def __init__(self, config: Mapping[str, Any], results: PathLike) -> None:
        """Start it, without waiting. results: the folder that holds those of all data sets.

        Raises TrackingError when the configured store is none that MLflow can write to.
        """
        dataset = config["dataset"]["name"]
        self._store = configured_store(config, results)
        self._process = _Process(self._store, dataset, Path(results) / dataset)

    def close(self) -> bool:
        """Let it show the rest, now that no job is at work. Waits for the store's patience at most.

        Returns whether MLflow has it all; if not, a warning has said why.
        """
        patience = self._process.step_limit
        try:
            self._process.finish(patience, none_at_work=True)
            if self._process.refused:
                raise TrackingError(f"does not have all: {self._process.refused} runs were refused")
        except TrackingError as error:
            if not self._process.has_failed:
                logger.warning("MLflow %s. %s", error, _ADVICE)
            return False
        finally:
            self._process.end()
        return True


class _Process:
    """A `tracking.writer` at work: its warnings become ours, its other reports wait to be read."""

    def __init__(self, store: Store, dataset: str, results: PathLike) -> None:
        library = str(LIBRARY.parent)
        kept = {
            name: text for name, text in os.environ.items() if name not in FOREIGN_RUN_VARIABLES
        }
        self._reports: queue.Queue[dict[str, Any]] = queue.Queue()
        self.has_failed = False
        self.refused = 0
        # A database of one's own does not hang, but is slow to set up.
        self.step_limit = max(store.patience, _SETUP_LIMIT if store.artifact_root else 0.0)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gallerist.tracking.writer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # not ours, which it may outlive
            # Away from the terminal's Ctrl-C: it is to see the workflow end, not to end with it.
            start_new_session=True,
            env={
                **kept,
                "PYTHONPATH": os.pathsep.join(filter(None, [library, kept.get("PYTHONPATH")])),
                "PYTHONWARNINGS": "ignore",
                # NumPy comes with MLflow; its threads would take memory for nothing.
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
            },
        )
        threading.Thread(target=self._listen, name="MLflow", daemon=True).start()
        self._send(
            store=[store.uri, store.artifact_root, store.patience],
            dataset=dataset,
            results=os.fspath(Path(results).absolute()),
            advice=_ADVICE,
        )

    def finish(self, limit: float, *, none_at_work: bool = False) -> int:
        """Ask for the last comparison and wait: `limit` seconds for all, its own for each step.

        Returns how many records it logged. Raises TrackingError when it cannot, or not in time.
        """
        self._send(none_at_work=none_at_work)
        assert self._process.stdin is not None
        self._process.stdin.close()
        deadline = time.monotonic() + limit
        while True:
            left = deadline - time.monotonic()
            try:
                report = self._reports.get(timeout=max(min(self.step_limit, left), 0.0))
            except queue.Empty:
                if left < self.step_limit and limit != self.step_limit:
                    raise TrackingError(f"did not get everything within {limit:.0f} s") from None
                raise TrackingError(f"did not answer within {self.step_limit:.0f} s") from None
            if "failed" in report:
                raise TrackingError(report["failed"])
            if "done" in report:
                self.refused = report["refused"]
                return int(report["done"])

    def end(self) -> None:
        """End it, wherever it is."""
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, **message: Any) -> None:
        """Write a line, which fits into the pipe: this never waits."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            return  # it has died, as its reports will say

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as reports:
            for line in reports:
                report = json.loads(line)
                if "warning" in report:
                    self.has_failed |= report["warning"].endswith(_ADVICE)
                    logger.warning("%s", report["warning"])
                else:
                    self._reports.put(report)
        self._reports.put({"failed": "could not be reached: the process that talks to it has died"})


def _is_up_to_date(store: Store, dataset: str, results: PathLike) -> bool:
    """Whether there is nothing to do, as far as can be told without MLflow."""
    history = History.of(results)
    if history.at_work():
        return False
    records = [entry.record for entry in history.entries()]
    kept = {record.execution for record in records}
    if not {record.execution for record in find_records(results)} <= kept:
        return False
    known = [(record.execution, record.status) for record in records]
    return shows_exactly(store, mlflow_experiments(dataset), known)
