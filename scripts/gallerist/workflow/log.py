"""What a stage prints goes to its log file; signals that stop it become an exception."""

import faulthandler
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any

from gallerist.io.files import PathLike

FORMAT = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")


class Stopped(BaseException):
    """A signal asked the stage to stop. No handler of ordinary errors swallows it."""


@contextmanager
def logging_to(path: PathLike | None) -> Iterator[int]:
    """Send standard output, standard error and logging to a fresh file at `path`, line by line.

    The streams are switched below Python, so that what C++ libraries print lands there too.
    Yields the file descriptor of the standard error as it was, for a word to whoever started this.
    Without a path only logging is set up, on standard error.
    """
    if path is None:
        with _logger_on(sys.stderr):
            yield 2
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    output, terminal = os.dup(1), os.dup(2)
    try:
        with (
            Path(path).open("w", 1, encoding="utf-8", errors="backslashreplace") as file,
            redirect_stdout(file),
            redirect_stderr(file),
            _logger_on(file),
            _crashes_logged_to(file),
        ):
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield terminal
    finally:
        for kept, stream in ((output, 1), (terminal, 2)):
            os.dup2(kept, stream)
            os.close(kept)


@contextmanager
def _logger_on(stream: Any) -> Iterator[None]:
    """Log there: our own lines from INFO, everybody else's from WARNING, Python's warnings too."""
    root, ours = logging.getLogger(), logging.getLogger("gallerist")
    levels = root.level, ours.level
    handler = logging.StreamHandler(stream)
    handler.setFormatter(FORMAT)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    ours.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(levels[0])
        ours.setLevel(levels[1])


@contextmanager
def _crashes_logged_to(file: Any) -> Iterator[None]:
    """A crash inside a C++ library leaves the Python lines that led to it in the file."""
    before = faulthandler.is_enabled()
    faulthandler.enable(file)
    try:
        yield
    finally:
        faulthandler.disable()
        if before:
            faulthandler.enable()


@contextmanager
def stoppable() -> Iterator[None]:
    """Within, SIGTERM, SIGINT and SIGHUP raise Stopped once; later ones are not heard.

    Outside the main thread, where Python allows no handlers, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()
    heard = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        if os.getpid() != owner:
            # A worker forked from here ends as it would have without us.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not heard:
            heard = True
            raise Stopped(f"stopped by {signal.Signals(number).name}")

    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def explain(error: BaseException) -> str:
    """What to tell people: the message of an error of ours, else its class and message."""
    if isinstance(error, Stopped) or _is_ours(error):
        return str(error)
    if isinstance(error, SystemExit):
        return f"the script called exit({error.code!r})"
    return "".join(traceback.format_exception_only(error)).strip()


def _is_ours(error: BaseException) -> bool:
    """Whether its class is Gallerist's, or Gallerist raised it itself with words of its own."""
    if type(error).__module__.partition(".")[0] == "gallerist":
        return True
    if type(error) not in (ValueError, RuntimeError, TypeError) or error.__traceback__ is None:
        return False
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == "gallerist"
