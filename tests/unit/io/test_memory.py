"""Freed memory is kept: arrays are not made of new pages again and again."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from gallerist.io.memory import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()


def work():
    for _ in range(100):
        arrays = [np.ones(2**17) for _ in range(10)]  # 1 MB each
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


with ThreadPoolExecutor(1) as thread:
    before = thread.submit(work).result()
    print(thread.submit(work).result() - before)
"""


def faults(how):
    command = [sys.executable, "-c", FAULTS, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_arrays_as_large_as_those_before_need_no_new_pages():
    assert faults("kept") < 1000 < faults("given back") / 10


def test_elsewhere_nothing_is_done(monkeypatch):
    from gallerist.io import memory

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    memory.keep_freed_memory()
