"""What comes before the first job: `snakemake -n` of the default run, and of 1,000 seeds.

    python -m benchmarks.planning --rounds 3 [--against CHECKOUT ...]

Of this checkout and of others in turn, each with the packages of this environment.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import yaml

from benchmarks.machine import Machine
from benchmarks.tables import Cell, Table

CHECKOUT = Path(__file__).resolve().parents[1]

SEEDS = {
    "dataset": {"name": "seeds", "embedded": {}},
    "experiments": {"scratch": {"network": "scratch", "epochs": 20, "seed": [*range(1000)]}},
}


def plan(checkout: Path, config: str) -> tuple[float, float, int]:
    """Processor seconds, megabytes and jobs of a dry run in an empty folder."""
    with tempfile.TemporaryDirectory(prefix="gallerist-benchmark-") as folder:
        file, said = Path(folder, "config.yaml"), Path(folder, "said.txt")
        file.write_text(config, encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--dry-run"]
        command += ["--snakefile", str(checkout / "Snakefile"), "--configfile", str(file)]
        command += ["--workflow-profile", str(checkout / "profiles/default")]
        variables = {**os.environ, "PYTHONPATH": str(checkout / "scripts")}
        with said.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                command, cwd=folder, env=variables, stdout=output, stderr=subprocess.STDOUT
            )
            _, status, used = os.wait4(process.pid, 0)
        text = said.read_text(encoding="utf-8")
        if status:
            raise RuntimeError(f"{' '.join(command)}:\n{text[-3000:]}")
    jobs = int(re.findall(r"^total +(\d+)", text, flags=re.MULTILINE)[-1])
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6, jobs


def measure(checkouts: list[Path], configs: dict[str, str], rounds: int) -> Table:
    """A row for each configuration and checkout, which take turns."""
    rows: list[dict[str, Cell]] = []
    for name, config in configs.items():
        found = [[plan(each, config) for each in checkouts] for _ in range(rounds)]
        for checkout, measured in zip(checkouts, zip(*found, strict=True), strict=True):
            seconds, megabytes, jobs = zip(*measured, strict=True)
            rows.append(
                {
                    "configuration": name,
                    "checkout": "this one" if checkout == CHECKOUT else str(checkout),
                    "jobs": jobs[0],
                    "processor s": median(seconds),
                    "least": min(seconds),
                    "MB": median(megabytes),
                }
            )
    notes = (f"`snakemake -n` in an empty folder, {rounds} times in turn; medians",)
    return Table("planning", "What comes before the first job", tuple(rows), notes)


def main() -> None:
    """Measure, print the table, and write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, nargs="+", default=[], metavar="CHECKOUT")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks"))
    asked = parser.parse_args()
    machine = Machine.here()
    configs = {
        "the default": (CHECKOUT / "config/config.yaml").read_text(encoding="utf-8"),
        "1,000 seeds": yaml.safe_dump(SEEDS),
    }
    checkouts = [CHECKOUT, *(each.resolve() for each in asked.against)]
    table = measure(checkouts, configs, asked.rounds)
    print(table.markdown(machine), f"\n{table.write(asked.output, machine)}")


if __name__ == "__main__":
    main()
