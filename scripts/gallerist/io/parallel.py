"""Work in threads whose results come in the order of the items, a bounded number ahead."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import TypeVar

import numpy as np

from gallerist.io.arrays import AnyArray

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
