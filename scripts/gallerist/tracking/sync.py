"""Bringing MLflow up to date with the records, by a process of its own: nothing here can hang.

A workflow has a `WorkflowWriter` beside it from its start to its end; `refresh` does once what that
does last. What could not be logged is logged by the next of them.
"""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from gallerist import LIBRARY
from gallerist.io.environment import REMOVED
from gallerist.io.files import PathLike
from gallerist.records.history import History
from gallerist.records.record import find_records, mlflow_experiments
from gallerist.tracking.store import Store, configured_store, shows_exactly

logger = logging.getLogger("gallerist")

_SETUP_LIMIT = 120.0
_ADVICE = (
    "The results do not depend on it: their records are among them, and the next start of the "
    "workflow logs it, or `gallerist sync`."
)


def refresh(
    store: Store, dataset: str, results: PathLike, limit: float | None = None
) -> int | None:
    """Bring MLflow up to date with the files of a data set. Never raises.

    The store is created if need be, stages of this machine that were killed end FAILED, and every
    record below the folder `results` that MLflow lacks is logged, those in its history included.
    limit: seconds for all of it; what was logged by then is not logged again.
    Returns how many records were logged; None, after a warning, when MLflow cannot be reached or
    has not got all within the limit.
    """
    if _is_up_to_date(store, dataset, results):
        return 0
    return _Process(store, dataset, results).finish(limit)


def refresh_configured(
    config: Mapping[str, Any], results: PathLike, limit: float | None = None
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


class _Process:
    """A `tracking.writer` at work, whose warnings become ours."""

    def __init__(self, store: Store, dataset: str, results: PathLike) -> None:
        kept = {name: text for name, text in os.environ.items() if name not in REMOVED}
        path = filter(None, [str(LIBRARY.parent), kept.get("PYTHONPATH")])
        self._logged: int | None = None
        self._has_failed = False
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gallerist.tracking.writer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            stderr=subprocess.DEVNULL,  # not ours, which it may outlive
            # Away from the terminal's Ctrl-C: it is to see the workflow end, not to end with it.
            start_new_session=True,
            env={
                **kept,
                "PYTHONPATH": os.pathsep.join(path),
                "PYTHONWARNINGS": "ignore",
                # NumPy comes with MLflow; its threads would take memory for nothing.
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
            },
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._stdin, reports = self.process.stdin, self.process.stdout
        self._listener = threading.Thread(target=self._listen, args=(reports,), daemon=True)
        self._listener.start()
        order = {
            "store": [store.uri, store.artifact_root, store.patience],
            "dataset": dataset,
            "results": os.fspath(Path(results).absolute()),
        }
        self._send(json.dumps(order).encode() + b"\n")

    def finish(self, limit: float | None) -> int | None:
        """Let it compare everything once more, and wait for that: `limit` seconds at most.

        Returns how many records it logged; None, after a warning, when MLflow has not got all.
        """
        self._stdin.close()
        try:
            if self.process.wait(limit) != 0:
                self._warn("could not be reached: the process that talks to it has died")
        except subprocess.TimeoutExpired:
            self._warn(f"did not get everything within {limit:.0f} s")
        finally:
            self.process.kill()
            self.process.wait()
        self._listener.join()
        return self._logged

    def _send(self, message: bytes) -> None:
        """Write what fits into the pipe: this never waits."""
        with suppress(OSError):  # it has died, as its end will say
            self._stdin.write(message)

    def _listen(self, reports: IO[bytes]) -> None:
        with reports:
            for report in map(json.loads, reports):
                if "warning" in report:
                    logger.warning("%s", report["warning"])
                elif "failed" in report:
                    self._warn(report["failed"])
                else:
                    self._logged = report["logged"]

    def _warn(self, reason: str) -> None:
        """Of a server that does not answer, say, a warning comes once."""
        if not self._has_failed:
            logger.warning("MLflow %s. %s", reason, _ADVICE)
        self._has_failed = True


class WorkflowWriter(_Process):
    """The writer of a workflow that begins: it shows what the jobs do until `close`.

    It ends by itself when this process is gone, after a last comparison with the files.
    """

    def __init__(self, config: Mapping[str, Any], results: PathLike) -> None:
        """Start it, without waiting. results: the folder that holds those of all data sets.

        Raises TrackingError when the configured store is none that MLflow can write to.
        """
        store, dataset = configured_store(config, results), config["dataset"]["name"]
        super().__init__(store, dataset, Path(results) / dataset)
        # A database of one's own does not hang, but is slow to set up.
        self._patience = max(store.patience, _SETUP_LIMIT if store.artifact_root else 0.0)

    def close(self) -> bool:
        """Let it show the rest, now that no job is at work. Waits for the store's patience at most.

        Returns whether MLflow has it all; if not, a warning has said why.
        """
        self._send(b"!")
        return self.finish(self._patience) is not None


def _is_up_to_date(store: Store, dataset: str, results: PathLike) -> bool:
    """Whether there is nothing to do, as far as can be told without MLflow."""
    history = History(results)
    if history.at_work():
        return False
    records = [entry.record for entry in history.entries()]
    kept = {record.execution for record in records}
    if not {record.execution for record in find_records(results)} <= kept:
        return False
    known = [(record.execution, record.status) for record in records]
    return shows_exactly(store, mlflow_experiments(dataset), known)
