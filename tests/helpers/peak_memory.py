"""The greatest memory a program had in use, in a process of its own."""

import os
import subprocess
import sys
import textwrap

import pytest

needs_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="memory is read from /proc"
)

_TELLS = """
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")))
"""


def peak_megabytes(program, *arguments):
    """MB of 1024 kB that `program`, which says nothing else, had in memory at most."""
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program) + _TELLS, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    return int(said.stdout) / 1024
