"""What a stage and its machine were doing meanwhile: processor, memory, disk, cards.

MLflow has a monitor of its own, but MLflow is never in a stage's process, and what only it has seen
would be gone with its database. So a thread of the stage takes samples, under MLflow's names where
MLflow has one: its page shows whatever begins with `system/` as system metrics.
"""

import csv
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import psutil

Use = dict[str, list[tuple[int, float]]]
"""Name -> [seconds since the start, value], in order."""

POINTS = 200
"""Most points a curve: at that many every second one is dropped, and samples get rarer."""

_INTERVAL = 2
"""Seconds between two samples at first. A stage that is done by then has no curves."""

_MEGABYTE = 1e6

_GPU_QUERY = "index,utilization.gpu,memory.used,memory.total"
_GPU_TIMEOUT = 5.0
"""Seconds that nvidia-smi may take: without a driver that stays loaded it needs one or two."""

_MEBIBYTE = 1.048576
"""Megabytes: nvidia-smi counts in MiB, MLflow in MB."""


class MachineUse:
    """Takes samples on a thread until it is told to stop.

    A sample reads a few small files of /proc in a tenth of a millisecond; where nvidia-smi is, it
    is asked too. No stage leaves its work to other processes, so that this one, with all of its
    threads, is all that is sampled.
    """

    def __init__(self, report: Callable[[int, Mapping[str, float]], None] = lambda *_: None):
        """Begin. report: is given each sample, on the thread: second, name -> value."""
        self._report = report
        self._seen: Use = {}
        self._interval = _INTERVAL
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._started = time.monotonic()
        threading.Thread(target=self._run, name="machine use", daemon=True).start()

    def stop(self) -> Use:
        """All samples. Nothing is reported any more once this has been called."""
        self._stop.set()
        with self._lock:
            return self._seen

    def _run(self) -> None:
        sample = _Sampler()
        while not self._stop.wait(self._interval):
            values = sample()
            with self._lock:
                if not self._stop.is_set():
                    self._keep(values)

    def _keep(self, values: Mapping[str, float]) -> None:
        second = round(time.monotonic() - self._started)
        for name, value in values.items():
            self._seen.setdefault(name, []).append((second, value))
        self._report(second, values)
        if max(map(len, self._seen.values()), default=0) >= POINTS:
            self._seen = {name: points[1::2] for name, points in self._seen.items()}
            self._interval *= 2


class _Sampler:
    """One sample after another, from one thread: psutil compares each with the one before."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._nvidia_smi = shutil.which("nvidia-smi")
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
        return {name: round(value, 2) for name, value in seen.items()} | self._gpus()

    def _disk(self) -> dict[str, float]:
        """Megabytes that this process has moved from and to disks; unknown on some systems."""
        try:
            moved = self._process.io_counters()
        except (AttributeError, psutil.Error, OSError, NotImplementedError):
            return {}
        return {
            "system/process_read_megabytes": moved.read_bytes / _MEGABYTE,
            "system/process_written_megabytes": moved.write_bytes / _MEGABYTE,
        }

    def _gpus(self) -> dict[str, float]:
        """The use of all cards that nvidia-smi lists, whichever of them this process works on.

        It comes with the driver, so that nothing needs to be installed. Where it is not, or does
        not answer, it is never asked again.
        """
        if self._nvidia_smi is None:
            return {}
        try:
            answer = subprocess.run(
                [self._nvidia_smi, f"--query-gpu={_GPU_QUERY}", "--format=csv,noheader,nounits"],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_GPU_TIMEOUT,
                check=True,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError):
            self._nvidia_smi = None
            return {}
        return parse_gpu_use(answer.stdout)


def parse_gpu_use(answer: str) -> dict[str, float]:
    """MLflow's names of GPU metrics -> percent and megabytes, of nvidia-smi's lines, a card each.

    What a card does not report ("[N/A]") is left out.
    """
    found: dict[str, float] = {}
    for row in csv.reader(answer.splitlines(), skipinitialspace=True):
        if len(row) != len(_GPU_QUERY.split(",")) or not row[0].isdecimal():
            continue  # "No devices were found", a warning of the driver
        card = f"system/gpu_{row[0]}"
        with suppress(ValueError):
            found[f"{card}_utilization_percentage"] = float(row[1])
        with suppress(ValueError, ZeroDivisionError):
            used = float(row[2])
            found[f"{card}_memory_usage_megabytes"] = round(used * _MEBIBYTE, 1)
            found[f"{card}_memory_usage_percentage"] = round(100 * used / float(row[3]), 1)
    return found
