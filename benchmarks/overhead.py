"""What the workflow adds to the computations: every job of a tiny data set, one after the other."""

import csv
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.tables import Cell, Table
from gallerist.records.record import Record, read_record

TESTS = Path(__file__).resolve().parents[1] / "tests" / "helpers"

COMPUTE_WITH_IT = ("export_trunk", "train_network")
"""The rules that have a reason to import TensorFlow."""

COMPUTING = ("training_seconds", "extraction_seconds", "search_seconds")
"""The metrics of the records that time the computations."""

_PROBE = """
import atexit, os, sys

def note():
    script = os.path.basename(sys.argv[0]) if sys.argv else ""
    path = os.path.join(os.environ["GALLERIST_PROBE"], str(os.getpid()))
    with open(path, "w") as file:
        file.write(script + " " + str("tensorflow" in sys.modules))

def note_and_end(code, end=os._exit):
    note()
    end(code)

if "GALLERIST_PROBE" in os.environ:
    atexit.register(note)
    os._exit = note_and_end  # a job that is done ends by it
"""


@dataclass(frozen=True)
class Job:
    """One job: seconds from the start of its process to the end, of processor, and computing."""

    rule: str
    wall: float
    processor: float
    computing: float


def measure(rounds: int, *, quick: bool = False) -> Table:
    """One row a rule. quick: one experiment of one epoch."""
    jobs: list[Job] = []
    between: list[float] = []
    importing: set[str] = set()
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="gallerist-benchmark-") as folder:
            done, wall, found = _run(Path(folder), quick=quick)
        jobs += done
        between.append((wall - sum(job.wall for job in done)) / len(done))
        importing |= found
    return _table(jobs, median(between), importing, rounds)


def _run(folder: Path, *, quick: bool) -> tuple[list[Job], float, set[str]]:
    """Run the tiny workflow of the tests: its jobs, seconds in all, who imported TensorFlow."""
    sys.path.append(str(TESTS))
    from tiny_workflow import TRANSFER, Workflow

    workflow = Workflow(folder / "gallerist")
    if quick:
        workflow.remove_config("experiments.long")
    else:
        workflow.edit_config("experiments.transfer", {**TRANSFER, "epochs": 1})
    probe, seen = folder / "probe", folder / "seen"
    probe.mkdir()
    seen.mkdir()
    (probe / "sitecustomize.py").write_text(_PROBE, encoding="utf-8")
    path = f"{probe}:{workflow.folder / 'scripts'}"
    started = time.monotonic()
    workflow.run_command(
        *("--cores", "1", "--resources", "gpu=1"),
        env={"PYTHONPATH": path, "GALLERIST_PROBE": str(seen)},
    )
    wall = time.monotonic() - started
    return _jobs(workflow.results), wall, _importing(seen)


def _jobs(results: Path) -> list[Job]:
    """Every job of a finished run, from its record and from what Snakemake measured."""
    jobs = []
    for path in sorted(results.rglob("*.record.json")):
        record = read_record(path)
        if record.destination == "stages":
            measured = _measured(results / "benchmarks", record)
            computing = sum(record.metrics.get(name, 0.0) for name in COMPUTING)
            jobs.append(
                Job(record.stage, float(measured["s"]), float(measured["cpu_time"]), computing)
            )
    return jobs


def _measured(folder: Path, record: Record) -> dict[str, Any]:
    """The line that Snakemake wrote about a job, which is named for what the job is about."""
    words = {each for each in (record.experiment, record.part) if each}
    files = [folder / f"{record.stage}.tsv", *sorted((folder / record.stage).glob("*.tsv"))]
    for file in files:
        if file.exists() and (file.stem == record.stage or words <= set(file.stem.split("-"))):
            with file.open(encoding="utf-8", newline="") as lines:
                return next(csv.DictReader(lines, delimiter="\t"))
    raise LookupError(f"{folder}: nothing about {record.title}")


def _importing(seen: Path) -> set[str]:
    """The rules of whose processes one had imported TensorFlow at its end."""
    rules = set()
    for file in seen.iterdir():
        script, _, found = file.read_text(encoding="utf-8").rpartition(" ")
        if found == "True":
            rules.add(script.removesuffix(".py").rpartition(".")[2] or "snakemake")
    return rules


def _table(jobs: list[Job], between: float, importing: set[str], rounds: int) -> Table:
    by_rule: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_rule[job.rule].append(job)
    rows = [_row(rule, some, between, rule in importing) for rule, some in sorted(by_rule.items())]
    rows.append(_row("all jobs", jobs, between, None))
    needless = sorted(importing - {*COMPUTE_WITH_IT})
    return Table(
        "overhead",
        "What the workflow adds to its jobs' computations",
        tuple(rows),
        (
            "medians over the jobs of a rule, in seconds; jobs one after the other",
            "computing: what the record of the job counts as training, extraction or search; "
            "for other jobs, all their time counts as added",
            f"added: the rest of the job's process, and {between:.2f} s a job for Snakemake and "
            "MLflow's writer",
            "TensorFlow imported without need: " + (", ".join(needless) or "nowhere"),
            "the tiny data set of the tests, run " + ("once" if rounds == 1 else f"{rounds} times"),
        ),
        {"jobs": [vars(job) for job in jobs], "between": between, "needless": needless},
    )


def _row(rule: str, jobs: list[Job], between: float, imports: bool | None) -> dict[str, Cell]:
    row: dict[str, Cell] = {
        "rule": rule,
        "jobs": len(jobs),
        "process": median(job.wall for job in jobs),
        "of processor": median(job.processor for job in jobs),
        "computing": median(job.computing for job in jobs),
        "added": median(job.wall - job.computing + between for job in jobs),
    }
    if imports is not None:
        row["imports TensorFlow"] = "yes" if imports else "no"
    return row
