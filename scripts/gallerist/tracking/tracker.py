"""Tracking without waiting: MLflow is written by a process of its own beside the stage.

A thread would share the stage's interpreter: MLflow's imports would race with TensorFlow's, and
nothing would be left to end the run when the stage is killed. The process beside it costs the
stage one start of Python, sees the stage die, and can itself be ended when it does not answer.
What it could not log is logged from the records when the workflow starts the next time.
"""

import json
import logging
import math
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gallerist import LIBRARY
from gallerist.io.files import PathLike
from gallerist.records.record import Record
from gallerist.tracking.store import (
    HIJACKERS,
    TrackingError,
    artifact_root_of,
    resolve_uri,
)

logger = logging.getLogger("gallerist")

_OPENING_LIMIT = 5.0
_SETUP_LIMIT = 120.0


@dataclass(frozen=True, slots=True)
class Store:
    """Where MLflow keeps its runs, and how long a finished stage waits for it.

    uri: as `resolve_uri` gives it. artifact_root: as `artifact_root_of` gives it.
    patience: seconds.
    """

    uri: str
    artifact_root: str | None
    patience: float = 30.0


class Tracker:
    """The MLflow run of one stage, from its beginning to its end. Never raises, never delays.

    Only `close` waits, for at most the store's patience.
    """

    def __init__(self, store: Store) -> None:
        """Start the process that writes to MLflow, without waiting until it is ready."""
        self._store = store
        self._process: _Process | None = None
        try:
            self._process = _Process()
            self._process.send(
                {"do": "begin", "uri": store.uri, "artifact_root": store.artifact_root},
                _OPENING_LIMIT,
            )
        except (OSError, TrackingError) as error:
            self._give_up(f"cannot be started: {error}")

    def open(self, record: Record, history: PathLike | None = None) -> None:
        """Show a stage that has begun: a run with the status RUNNING.

        history: the folder of the `History` that is to be told, too, if the stage is killed.
        """
        kept = None if history is None else os.fspath(history)
        self._send({"do": "open", "record": record.to_json(), "history": kept})

    def points(self, step: int, values: Mapping[str, float], at: int | None = None) -> None:
        """Show one step of some curves. A point that cannot be sent comes with the record.

        at: when it was reported, in milliseconds since the epoch; None for now. May be called from
        any thread.
        """
        process = self._process
        if process is not None:
            at = at or round(time.time() * 1000)
            process.offer(
                {
                    "do": "points",
                    "points": [[name, step, value, at] for name, value in values.items()],
                }
            )

    def close(self, records: Sequence[Record], patience: float | None = None) -> bool:
        """Log what has ended and wait for it, at most `patience` seconds (the store's).

        records: the stage's own, and those of the comparison it gives rise to.
        Returns whether MLflow has it all; if not, a warning has said why.
        """
        if self._process is None:
            return False
        patience = min(self._store.patience, patience or self._store.patience)
        deadline = time.monotonic() + patience
        message = {"do": "close", "records": [record.to_json() for record in records]}
        try:
            self._process.send(message, patience)
            answer = self._process.answer(max(deadline - time.monotonic(), 0.0))
            if "failed" in answer:
                raise TrackingError(answer["failed"])
        except TrackingError as error:
            self._give_up(str(error))
            return False
        self._process.end(grace=1.0)
        self._process = None
        return True

    def abandon(self, reason: str) -> None:
        """Stop showing anything in MLflow, at once."""
        self._give_up(f"was cut short: {reason}")

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._process is not None:
            try:
                self._process.send(message, _OPENING_LIMIT)
            except TrackingError as error:
                self._give_up(str(error))

    def _give_up(self, reason: str) -> None:
        if self._process is not None:
            self._process.end(grace=0.0)
            self._process = None
        logger.warning(
            "MLflow %s. The result does not depend on it: its record is among the results, and "
            "the next start of the workflow logs it, or `snakemake sync_tracking`.",
            reason,
        )


def refresh(store: Store, dataset: str, results: PathLike, limit: float = math.inf) -> int | None:
    """Bring MLflow up to date with the files, at the start of a workflow. Never raises.

    The store is created if need be, runs of killed processes of this machine end FAILED, and every
    record below the folder `results` that MLflow lacks is logged, those in its history included.
    limit: seconds for all of it; no single step may take longer than the store's patience. What
    was logged by then is not logged again.
    Returns how many records were logged; None, after a warning, when MLflow cannot be reached or
    has not got all within the limit.
    """
    deadline = time.monotonic() + limit
    message = {
        "do": "refresh",
        "uri": store.uri,
        "artifact_root": store.artifact_root,
        "dataset": dataset,
        "results": os.fspath(results),
    }
    process = None
    try:
        process = _Process()
        process.send(message, _OPENING_LIMIT)
        while True:
            # A database here does not hang, but is slow to set up.
            step = _SETUP_LIMIT if store.artifact_root else store.patience
            answer = process.answer(min(step, deadline - time.monotonic()))
            if "failed" in answer:
                raise TrackingError(answer["failed"])
            if "done" in answer:
                return int(answer["done"])
    except (OSError, TrackingError) as error:
        late = time.monotonic() >= deadline
        logger.warning(
            "MLflow %s. The work goes on without it; the next start of the workflow logs it.",
            f"did not get everything within {limit:.0f} s" if late else error,
        )
        return None
    finally:
        if process is not None:
            process.end(grace=2.0)


def refresh_configured(
    config: Mapping[str, Any], results: PathLike, limit: float = math.inf
) -> int | None:
    """Bring MLflow up to date, as `refresh` does, for a completed configuration.

    results: the folder that holds the results of all data sets. limit: seconds for all of it.
    Raises TrackingError when the configured store is none that MLflow can write to.
    """
    dataset = config["dataset"]["name"]
    return refresh(configured_store(config, results), dataset, Path(results) / dataset, limit)


def configured_store(config: Mapping[str, Any], results: PathLike) -> Store:
    """The store of a completed configuration. Raises TrackingError as `refresh_configured` does."""
    uri = resolve_uri(config["tracking"]["uri"], results)
    return Store(uri, artifact_root_of(uri, results), config["tracking"]["patience"])


def in_words(logged: int, dataset: str) -> str:
    """What `refresh` did, for people."""
    if not logged:
        return f"MLflow has every run of {dataset}."
    if logged == 1:
        return f"MLflow lacked 1 run of {dataset}: it is logged now."
    return f"MLflow lacked {logged} runs of {dataset}: they are logged now."


class _Process:
    """A Python process that talks to MLflow, spoken to in lines of JSON."""

    def __init__(self) -> None:
        library = str(LIBRARY.parent)
        inherited = {name: text for name, text in os.environ.items() if name not in HIJACKERS}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gallerist.tracking.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            # Away from the terminal's Ctrl-C: it is to see the stage end, not to end with it.
            start_new_session=True,
            env={
                **inherited,
                "PYTHONPATH": os.pathsep.join(
                    filter(None, [library, os.environ.get("PYTHONPATH")])
                ),
                "PYTHONWARNINGS": "ignore",
                # NumPy comes with MLflow; its threads would take memory for nothing.
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
            },
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._input, False)
        self._received = b""
        # Held by whoever writes a line, so that no point of another thread ends up inside it. The
        # main thread, which a signal may catch with it, is never kept out.
        self._writing = threading.RLock()
        self._ended = False

    def send(self, message: Mapping[str, Any], timeout: float) -> None:
        """Write a line. Raises TrackingError when it cannot be written within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._writing:
            self._write(_line(message), deadline, timeout)

    def _write(self, line: bytes, deadline: float, timeout: float) -> None:
        while line:
            left = deadline - time.monotonic()
            _, writable, _ = select.select([], [self._input], [], max(left, 0.0))
            if not writable:
                raise TrackingError(f"did not answer within {timeout:.0f} s")
            try:
                line = line[os.write(self._input, line) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise TrackingError(f"is not listening any more ({error.strerror})") from error

    def offer(self, message: Mapping[str, Any]) -> None:
        """Write a line if that is possible at once and as a whole, else drop it."""
        line = _line(message)
        # Longer ones could be written in part.
        if len(line) <= select.PIPE_BUF and self._writing.acquire(blocking=False):
            try:
                if not self._ended:
                    os.write(self._input, line)
            except OSError:
                return
            finally:
                self._writing.release()

    def answer(self, timeout: float) -> dict[str, Any]:
        """The next line from there. Raises TrackingError when none comes within `timeout` s."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._received:
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self._output], [], [], max(left, 0.0))
            if not readable:
                raise TrackingError(f"did not answer within {timeout:.0f} s")
            chunk = os.read(self._output, 65536)
            if not chunk:
                raise TrackingError("could not be reached: the process that talks to it has died")
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return dict(json.loads(line))

    def end(self, grace: float) -> None:
        """Let the process end within `grace` seconds, then end it."""
        with self._writing:  # or a point could go to whatever file gets the descriptor next
            self._ended = True
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=True).encode() + b"\n"
