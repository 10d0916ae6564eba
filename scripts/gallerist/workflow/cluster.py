"""What a Slurm says of itself: its nodes, what it keeps of ended jobs, what still runs in a folder.

Only Slurm's own commands are asked. Jobs are sent by Snakemake's executor; nothing here schedules.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

LONGEST_CHECK = 180
"""Seconds that the executor may let pass between two looks at its jobs."""


@dataclass(frozen=True)
class Node:
    """The largest node of a partition: its processors, and its memory in MB."""

    processors: int
    megabytes: int


def largest_node(partition: str | None = None) -> Node | None:
    """The largest node of a partition, or of the default one; None where no Slurm answers."""
    told = _ask("sinfo", "--noheader", "--format", "%P|%c|%m")
    return _largest_node(told, partition)


def _largest_node(told: str, partition: str | None) -> Node | None:
    found = []
    for line in told.splitlines():
        name, processors, megabytes = line.split("|")
        if name.rstrip("*") == partition or (partition is None and name.endswith("*")):
            # "8+": the least of several kinds of nodes.
            found.append(Node(int(processors.rstrip("+")), int(megabytes.rstrip("+"))))
    return max(found, key=lambda node: node.processors, default=None)


def processors_given() -> int | None:
    """The processors that Slurm gave to the job that this process belongs to; None in no job."""
    given = os.environ.get("SLURM_CPUS_PER_TASK")
    return int(given) if given else None


def command_for_states() -> tuple[str, str | None]:
    """The command that tells how jobs ended, and a warning where neither is sure to.

    `squeue` forgets a job MinJobAge seconds after its end, which must be longer than the executor
    looks away; `sacct` forgets none, but fails where the accounting is switched off, as it is at
    many sites: the executor would then wait for ever.
    """
    return _command_for_states(_ask("scontrol", "show", "config"))


def _command_for_states(told: str) -> tuple[str, str | None]:
    facts = dict(re.findall(r"^(\w+)\s*= (.*)$", told, flags=re.MULTILINE))
    kept = int(facts.get("MinJobAge", "300").split()[0])
    if kept >= LONGEST_CHECK:
        return "squeue", None
    if "slurmdbd" in facts.get("AccountingStorageType", ""):
        return "sacct", None
    return "squeue", (
        f"This Slurm forgets a job {kept} s after its end and keeps no accounts (sacct is off): "
        f"a job that ends unseen would be waited for without end. MinJobAge of {LONGEST_CHECK} or "
        "more in slurm.conf mends it."
    )


def jobs_of(folder: Path) -> list[str]:
    """Numbers of the jobs that a workflow in `folder` has sent and that wait or run."""
    told = _ask("squeue", "--me", "--noheader", "--format", "%i|%k|%Z")
    return _jobs_of(told, folder)


def _jobs_of(told: str, folder: Path) -> list[str]:
    rows = (line.split("|", 2) for line in told.splitlines())
    return [
        number for number, rule, where in rows if rule.startswith("rule_") and Path(where) == folder
    ]


def wait_for_jobs(
    folder: Path, say: Callable[[str], object], *, pause: float = 5.0, patience: float = 60.0
) -> None:
    """Return when no job of an earlier workflow in `folder` waits or runs any more.

    A workflow that was killed leaves its jobs to Slurm. They are waited for: what they make is then
    found and used, and no two nodes write one file.
    patience: seconds without a change after which it is said again what is waited for.
    """
    said: tuple[list[str], float] = ([], 0.0)
    while running := jobs_of(folder):
        if running != said[0] or time.monotonic() - said[1] > patience:
            said = (running, time.monotonic())
            say(
                f"Waiting for {len(running)} jobs that an earlier workflow here has left in "
                f"Slurm: {_some(running)}. To end them instead: scancel {' '.join(running)}"
            )
        time.sleep(pause)


def _some(numbers: Iterable[str], most: int = 5) -> str:
    numbers = list(numbers)
    return ", ".join(numbers[:most]) + (", ..." if len(numbers) > most else "")


def _ask(*command: str) -> str:
    """What one of Slurm's commands prints; nothing where it is not installed, or fails."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout
