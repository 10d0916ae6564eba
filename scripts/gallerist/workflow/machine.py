"""What a stage and its machine were doing meanwhile: processor, memory, disk, cards.

MLflow has a monitor of its own, but MLflow is never in a stage's process (see tracking.py), and
what only it has seen would be gone with its database. So a thread of the stage looks, under
MLflow's names where MLflow has one: its page shows whatever begins with `system/` as system
metrics.
"""

import threading
import time
from collections.abc import Callable, Mapping

import psutil

from gallerist.workflow.gpu import GpuUse

Use = dict[str, list[tuple[int, float]]]
"""Name -> [seconds since the start, value], in order."""

POINTS = 200
"""Most points a curve: when there are so many, every second one is dropped, and looks get rarer."""

_INTERVAL = 2
"""Seconds between two looks at first. A stage that is done by then has no curves."""

_MEGABYTE = 1e6


class MachineUse:
    """Looks now and then, on a thread, until it is told to stop.

    A look reads a few small files of /proc in a tenth of a millisecond; where nvidia-smi is, it is
    asked too. No stage leaves its work to other processes, so that this one, with all of
    its threads, is all that is looked at; the one that talks to MLflow is left out.
    """

    def __init__(self, report: Callable[[int, Mapping[str, float]], None] | None = None) -> None:
        """Start looking. report: is told each look, on the thread: second, name -> value."""
        self._report = report
        self._seen: Use = {}
        self._interval = _INTERVAL
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._started = time.monotonic()
        threading.Thread(target=self._run, name="machine use", daemon=True).start()

    def stop(self) -> Use:
        """What was seen. Nothing is reported any more once this has been called."""
        self._stop.set()
        return self.seen()

    def seen(self) -> Use:
        """What was seen so far."""
        with self._lock:
            return {name: list(points) for name, points in self._seen.items()}

    def _run(self) -> None:
        look = _Look()
        while not self._stop.wait(self._interval):
            values = look()
            with self._lock:
                if not self._stop.is_set():
                    self._keep(values)

    def _keep(self, values: Mapping[str, float]) -> None:
        second = round(time.monotonic() - self._started)
        for name, value in values.items():
            points = self._seen.setdefault(name, [])
            points.append((second, value))
        if self._report is not None:
            self._report(second, values)
        if max(map(len, self._seen.values()), default=0) >= POINTS:
            self._seen = {name: points[1::2] for name, points in self._seen.items()}
            self._interval *= 2


class _Look:
    """One look after another, from one thread: psutil compares each with the one before."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._gpus = GpuUse()
        self._moved = self._disk()
        psutil.cpu_percent()
        self._process.cpu_percent()

    def __call__(self) -> dict[str, float]:
        memory = psutil.virtual_memory()
        seen = {
            "system/cpu_utilization_percentage": psutil.cpu_percent(),
            "system/system_memory_usage_megabytes": memory.used / _MEGABYTE,
            "system/system_memory_usage_percentage": 100 * memory.used / memory.total,
            "system/process_cores_used": self._process.cpu_percent() / 100,
            "system/process_memory_megabytes": self._process.memory_info().rss / _MEGABYTE,
        }
        for name, total in self._disk().items():
            seen[name] = total - self._moved.get(name, 0.0)
        return {name: round(value, 2) for name, value in seen.items()} | self._gpus.now()

    def _disk(self) -> dict[str, float]:
        """Megabytes that this process has moved from and to disks; unknown on some systems."""
        if not hasattr(self._process, "io_counters"):
            return {}
        try:
            moved = self._process.io_counters()
        except (psutil.Error, OSError, NotImplementedError):
            return {}
        return {
            "system/process_read_megabytes": moved.read_bytes / _MEGABYTE,
            "system/process_written_megabytes": moved.write_bytes / _MEGABYTE,
        }
