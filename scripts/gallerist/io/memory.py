"""Memory that arrays were in is kept for the next ones.

NumPy asks the C library for each array. By itself glibc gives an array of 128 kB or more back to
the system as soon as it is freed, and the next one is made of pages that the system has to clear
again: .4 ms of the 2.2 ms of a processor that a colour histogram took. Once an array of
32 MB has been freed, glibc keeps twice as much; this lets it begin so.
"""

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Options of glibc's mallopt (malloc.h)."""

_MAPPED = 32 * 2**20
"""Bytes from which on an array has pages of its own: the most that glibc goes up to by itself."""


def keep_freed_memory() -> None:
    """Have this process keep up to twice `_MAPPED` bytes of freed memory; elsewhere do nothing."""
    with suppress(AttributeError, OSError, TypeError):  # no glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _MAPPED)
        mallopt(_TRIM_THRESHOLD, 2 * _MAPPED)
