"""Progress of long work as quiet log lines: done, rate, time left."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
logger = logging.getLogger("gallerist")

_INTERVAL = 10.0
"""Seconds between two lines, at least."""


class Progress:
    """Counts finished items and logs a line now and then, and at the end."""

    def __init__(self, what: str, total: int) -> None:
        """`what` names the items in the plural; `total` is how many there will be."""
        self.what, self.total, self.done = what, total, 0
        self.started = self._last = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Count `count` more items as finished."""
        self.done += count
        now = time.monotonic()
        if now - self._last >= _INTERVAL or self.done >= self.total:
            self._last = now
            rate = self.done / max(now - self.started, 1e-9)
            left = max(self.total - self.done, 0) / max(rate, 1e-9)
            counts = f"{self.done} of {self.total} {self.what}"
            logger.info("%s, %.1f/s, %.0f s left", counts, rate, left)


def tracked(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """Yield `items`, of which there are `total`, logging progress."""
    progress = Progress(what, total)
    for item in items:
        yield item
        progress.advance()
