"""The default run's computing in one process, to measure what the workflow around it costs.

    python -m benchmarks.plain --folder FOLDER              computes it once
    python -m benchmarks.plain --rounds 3 --against CHECKOUT...   in turn with whole workflows

The workflow's own scripts are run one after the other: the same networks, epochs, descriptors,
searches, evaluations and figures, to the same files. Left out are Snakemake, which has said before
what each script is given (`plain_jobs`), a process for each job, MLflow, and what records hold
besides the numbers of the comparison: hashes of inputs, the machine's use, history and logs.
"""

import argparse
import json
import os
import resource
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

from benchmarks.machine import Machine
from gallerist.io.memory import keep_freed_memory
from gallerist.records.record import Record, now
from gallerist.workflow import stage as stages
from gallerist.workflow.run import Run

CHECKOUT = Path(__file__).resolve().parents[1]
JOBS = "jobs.json"
"""What the scripts are given, in the folder that they work in; written where it is missing."""

IN_TENSORFLOW = ("export_trunk", "train_network")
CONFIG = CHECKOUT / "config/config.yaml"


class Named(dict[str, Any]):
    """Values by name, as scripts read Snakemake's: `input.gallery` or `input["gallery"]`."""

    __getattr__ = dict.__getitem__


@contextmanager
def plain_stage(job: Any) -> Iterator[Run]:
    """In place of `workflow.stage.stage`: a run that keeps what it reports, and nothing else."""
    where = {**job.wildcards}
    item = where.pop("pretrained", None) or where.pop("trunk", None)
    known = {"stage": job.rule, "dataset": job.config["dataset"]["name"], "item": item, **where}
    run = Run(
        Record(title=job.rule, execution=job.rule, started=now(), **known),
        inputs=Mock(**{"result.return_value": {}}),
        machine=Mock(**{"stop.return_value": {}}),
        log=None,
        row_artifacts=(),
        history=Mock(),
        params=job.params,
    )
    yield run
    run.finish(job.output.get("record"))


def compute(jobs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Run the scripts of jobs in the current folder; processor seconds of each script."""
    stages.stage = plain_stage
    keep_freed_memory()
    used = defaultdict[str, float](float)
    if trained := [job["threads"] for job in jobs if Path(job["script"]).stem in IN_TENSORFLOW]:
        from gallerist.networks import runtime

        # A process is set up once, before anything is computed in it: for the smallest network.
        threads, precision = min(trained), jobs[0]["config"]["compute"]["gpu_precision"]
        device = runtime.configure(threads=threads, gpu_precision=precision)
        runtime.configure = lambda **_: device
    for job in jobs:
        given = {name: Named(job[name]) for name in ("input", "output", "params", "wildcards")}
        for files in given["output"].values():
            for file in [files] if isinstance(files, str) else files:
                Path(file).parent.mkdir(parents=True, exist_ok=True)
        rule, before = Path(job["script"]).stem, time.process_time()
        snakemake = SimpleNamespace(
            **given, rule=rule, threads=job["threads"], config=job["config"]
        )
        runpy.run_path(job["script"], {"snakemake": snakemake})
        if "keras" in sys.modules:
            sys.modules["keras"].backend.clear_session()  # as in a process of its own
        used[rule] += time.process_time() - before
    return used


def list_jobs(folder: Path, config: Path) -> None:
    """Write the jobs of a configuration to a folder, where they will be done."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.plain_jobs", str(config.resolve())]
    path = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "scripts")])
    environment = {**os.environ, "PYTHONPATH": path}
    with Path(folder, JOBS).open("w", encoding="utf-8") as file:
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=file)


def measured(command: Sequence[str], folder: Path) -> dict[str, float]:
    """Processor seconds of a command and all its children, and wall seconds.

    Raises CalledProcessError, with what it said, when it fails.
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"processor": processor, "wall": wall}


def copy_of(checkout: Path, copy: Path) -> Path:
    """Copy what git has of a checkout, and nothing that it has computed; returns the copy."""
    listing = ["git", "-C", checkout, "ls-files", "-z"]
    listed = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
    for name in listed.rstrip("\0").split("\0"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(checkout / name, copy / name)
    return copy


def run_workflow(checkout: Path, copy: Path) -> dict[str, float]:
    """The run of a copy of a checkout, with the checkout's own environment; what it took."""
    programs = checkout / ".venv/bin"
    run = f"PYTHONPATH={copy}/scripts PATH={programs}:$PATH {programs}/snakemake --cores all"
    return measured(["bash", "-c", f"{run} 2>/dev/null"], copy)


def run_default(checkout: Path) -> dict[str, float]:
    """The default run of a clean copy of a checkout."""
    with tempfile.TemporaryDirectory() as folder:
        return run_workflow(checkout, copy_of(checkout, Path(folder, "gallerist")))


def run_plain() -> dict[str, float]:
    """The same computing in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        list_jobs(Path(folder), CONFIG)
        return measured([sys.executable, "-m", "benchmarks.plain", "--folder", folder], CHECKOUT)


def compare_sides(rounds: int, checkouts: list[Path]) -> None:
    """Measure all sides in turn; print medians, and ratios as medians over the rounds."""
    sides: dict[str, Any] = {"plain": run_plain}
    sides |= {str(each): lambda each=each: run_default(each) for each in checkouts}
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, run in sides.items():
            seen[name].append(run())
            print(number + 1, name, json.dumps(seen[name][-1]), file=sys.stderr, flush=True)
    print(*Machine.here().lines, sep="\n")
    print("| side | processor s | wall s | processor, times plain | wall, times plain |")
    print("|---|---|---|---|---|")
    for name, each in seen.items():
        figures = [f"{median(one[kind] for one in each):.0f}" for kind in ("processor", "wall")]
        pairs = [*zip(each, seen["plain"], strict=True)]
        figures += [
            f"{median(one[kind] / plain[kind] for one, plain in pairs):.2f}"
            for kind in ("processor", "wall")
        ]
        print(f"| {name} | {' | '.join(figures)} |")


def main() -> None:
    """Compute once, or measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plain", description=__doc__)
    parser.add_argument("--folder", type=Path, help="compute once, to results/ in this new folder")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is measured")
    parser.add_argument("--against", type=Path, nargs="+", default=[CHECKOUT], metavar="CHECKOUT")
    asked = parser.parse_args()
    if not asked.folder:
        compare_sides(asked.rounds, [each.resolve() for each in asked.against])
        return
    if not Path(asked.folder, JOBS).exists():
        list_jobs(asked.folder, asked.config)
    os.chdir(asked.folder)
    used = compute(json.loads(Path(JOBS).read_text(encoding="utf-8")))
    for name, seconds in sorted(used.items(), key=lambda each: -each[1]):
        print(f"{seconds:8.2f} s {name}")
    print(f"{time.process_time():8.2f} s of a processor in all")


if __name__ == "__main__":
    main()
