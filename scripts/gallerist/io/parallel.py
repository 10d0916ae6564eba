"""Work in threads whose results come in the order of the items, a bounded number ahead."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import TypeVar

import numpy as np

from gallerist.io.arrays import AnyArray

TRIED = 128
"""Items by which it is found out whether more threads than one are of use."""

LONGEST_TRIAL = 0.25
"""Seconds in which one thread does so many, or else fewer are tried."""

WORTH = 1.2
"""How many times the items of one thread all threads do, where they are of use."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    ahead: int,
    name: str = "worker",
) -> Generator[Result]:
    """`function` of each item, in their order, computed by `threads` threads called `name`.

    When a result is given, work on the next `ahead` items has begun and on no other, so that
    memory is bounded. The threads start with the first result that is asked for, and end with the
    last one, with an error, or when the iterator is closed or dropped. An error of the function
    comes in the place of its result.
    """
    left = iter(items)
    begun: deque[Future[Result]] = deque()
    workers = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        begun.extend(workers.submit(function, item) for item in islice(left, 1 + ahead))
        while begun:
            yield begun.popleft().result()
            begun.extend(workers.submit(function, item) for item in islice(left, 1))
    finally:
        workers.shutdown(wait=True, cancel_futures=True)


def in_useful_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    ahead: int,
    name: str = "worker",
) -> Generator[Result]:
    """The same by all threads, or by one where all are hardly quicker: see `WORTH`.

    Of small pictures all that is done is so short that threads mostly wait for each other, since
    Python runs one at a time: two then take two fifths more of a processor and gain nothing.
    Results do not depend on the number. ahead: for each thread. After a first item, with which
    libraries may load, up to TRIED are done alone; then as many by all threads, at least two by
    each, before the first of these is given.
    """
    left, alone, done = iter(items), 0.0, -1
    for item in islice(left, 1 + TRIED if threads > 1 else 0):
        began = time.perf_counter()
        result = function(item)
        alone += time.perf_counter() - began if done >= 0 else 0.0
        done += 1
        yield result
        if alone > LONGEST_TRIAL:
            break
    if done > 0:
        some, error = [*islice(left, max(done, 2 * threads))], None
        began, results = time.perf_counter(), []
        try:
            for result in ordered(
                function, some, threads=threads, ahead=ahead * threads, name=name
            ):
                results.append(result)  # noqa: PERF402  # those before an error too
        except Exception as caught:
            error = caught
        together = time.perf_counter() - began
        yield from results
        if error:
            raise error
        if together * done * WORTH > alone * len(some):
            threads = 1
    yield from ordered(function, left, threads=threads, ahead=ahead * threads, name=name)


def flattened(groups: Generator[list[Result]]) -> Generator[Result]:
    """The members of each group, in order. Ends `groups` when it is closed or dropped."""
    with closing(groups):
        for group in groups:
            yield from group


def stack_batches(arrays: Generator[AnyArray], size: int) -> Generator[AnyArray]:
    """Arrays of one shape as batches of `size`, the last one perhaps smaller.

    Ends `arrays` when it is closed or dropped. An error comes after the batches before it.
    """
    with closing(arrays):
        while batch := list(islice(arrays, size)):
            yield np.stack(batch)
