"""The greatest memory a program had in use, in a process of its own or in this one."""

import gc
import os
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

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


@contextmanager
def growth_below(megabytes):
    """This process has at no time in the block so much more in memory than before it."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _of_this_process("VmRSS")
    yield
    assert _of_this_process("VmHWM") - before < megabytes


def _of_this_process(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
