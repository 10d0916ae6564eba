"""Progress of long work as quiet log lines: done, rate, time left."""

import logging
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")
logger = logging.getLogger("gallerist")


class Progress:
    """Counts finished items and logs a line at most every `interval` seconds."""

    def __init__(self, what: str, total: int, interval: float = 10.0) -> None:
        """`what` names the items in the plural; `total` is how many there will be."""
        self.what, self.total, self.interval = what, total, interval
        self.done = 0
        self.started = self._last = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def rate(self) -> float:
        """Items a second since the start."""
        return self.done / max(self.seconds, 1e-9)

    def advance(self, count: int = 1) -> None:
        """Count `count` more items as finished."""
        self.done += count
        now = time.monotonic()
        if now - self._last >= self.interval or self.done >= self.total:
            self._last = now
            left = max(self.total - self.done, 0) / max(self.rate, 1e-9)
            counts = f"{self.done} of {self.total} {self.what}"
            logger.info("%s, %.1f/s, %.0f s left", counts, self.rate, left)


def tracked(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items`, logging progress. `total` is needed when they have no length."""
    if total is None:
        if not isinstance(items, Sized):
            raise TypeError("items without a length need a total")
        total = len(items)
    progress = Progress(what, total)
    for item in items:
        yield item
        progress.advance()
