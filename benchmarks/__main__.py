"""Command line: measure comparisons one after the other, each in a process of its own."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.comparisons import COMPARISONS
from benchmarks.machine import Machine


def main() -> int:
    """Measure what is asked for, print the tables and write them. Returns the exit status."""
    asked = _arguments()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow loads
    if asked.within:
        machine = Machine.here()
        table = COMPARISONS[asked.within].measure(asked.rounds, quick=asked.quick)
        path = table.write(asked.output, machine)
        print(table.markdown(machine), f"\n{path}\n", sep="", flush=True)
        return 0
    failed = [name for name in asked.only or COMPARISONS if not _measured(name, asked)]
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _measured(name: str, asked: argparse.Namespace) -> bool:
    """One comparison in a process of its own, so that none inherits threads or memory."""
    command = [sys.executable, "-m", "benchmarks", "--within", name, "--output", asked.output]
    command += ["--quick"] if asked.quick else []
    command += ["--rounds", str(asked.rounds)] if asked.rounds else []
    # TensorFlow prints much to standard error when it loads; it is repeated when something failed.
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
    return done.returncode == 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=COMPARISONS, metavar="NAME",
                        help=f"some of: {', '.join(COMPARISONS)}")  # fmt: skip
    parser.add_argument("--rounds", type=_positive, help="how often each way is measured")
    parser.add_argument("--quick", action="store_true",
                        help="tiny sizes, to see that it works; figures mean nothing")  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks"),
                        help="folder of the tables (default: %(default)s)")  # fmt: skip
    parser.add_argument("--within", choices=COMPARISONS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
