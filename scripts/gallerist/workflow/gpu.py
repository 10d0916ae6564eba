"""What the NVIDIA cards of this machine are doing, as `nvidia-smi` tells it."""

import csv
import shutil
import subprocess

_QUESTION = "index,utilization.gpu,memory.used,memory.total"
_PATIENCE = 5.0
"""Seconds that nvidia-smi may take: without a driver that stays loaded it needs one or two."""

_MEBIBYTE = 1.048576
"""Megabytes: nvidia-smi counts in MiB, MLflow in MB."""


class GpuUse:
    """Asks nvidia-smi, until it cannot be had or does not answer; then never again.

    It comes with the driver, so that nothing needs to be installed. All cards that it lists are
    told, with its numbers for them, whichever of them this process works on.
    """

    def __init__(self) -> None:
        """Look for nvidia-smi."""
        self._command = shutil.which("nvidia-smi")

    def now(self) -> dict[str, float]:
        """MLflow's names of GPU metrics -> percent and megabytes; empty without a card."""
        if self._command is None:
            return {}
        try:
            answer = subprocess.run(
                [self._command, f"--query-gpu={_QUESTION}", "--format=csv,noheader,nounits"],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_PATIENCE,
                check=True,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError):
            self._command = None
            return {}
        return parsed(answer.stdout)


def parsed(answer: str) -> dict[str, float]:
    """The answer of nvidia-smi, a line a card. What a card does not tell ("[N/A]") is left out."""
    found: dict[str, float] = {}
    for row in csv.reader(answer.splitlines(), skipinitialspace=True):
        if len(row) != len(_QUESTION.split(",")) or not row[0].isdecimal():
            continue  # "No devices were found", a warning of the driver
        card = f"system/gpu_{row[0]}"
        busy, used, total = map(_number, row[1:])
        if busy is not None:
            found[f"{card}_utilization_percentage"] = busy
        if used is not None:
            found[f"{card}_memory_usage_megabytes"] = round(used * _MEBIBYTE, 1)
            if total:
                found[f"{card}_memory_usage_percentage"] = round(100 * used / total, 1)
    return found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
