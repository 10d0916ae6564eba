"""Work in a process of its own, which inherits neither memory nor threads nor habits."""

import json
import os
import subprocess
import sys
from typing import Any


class WorkFailed(RuntimeError):
    """The process ended with an error; the message is its standard error."""


def apart(module: str, *arguments: object) -> dict[str, Any]:
    """Run a module of this package as a program; returns the JSON object of its last line."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise WorkFailed(f"{module} {' '.join(map(str, arguments))}:\n{done.stderr}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures
