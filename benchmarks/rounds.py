"""Several ways to do the same work, measured in turn: A B C A B C ...

What else the machine does slows all of them down alike; within a round they are neighbours. So the
ratio of two ways is the median over the rounds of their ratios, not the ratio of their medians.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from benchmarks.tables import Cell, Table

REST = 0.1
"""Seconds between two ways: idle threads of some libraries keep a processor busy for a while."""


@dataclass(frozen=True)
class Way:
    """One way to do the work.

    run: does it once, for `items` items. against: heading of a column -> the way whose time is
    divided by this one's there. columns: what else to say of it.
    """

    run: Callable[[], object]
    items: int
    against: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Cell] = field(default_factory=dict)


def in_turn(ways: Mapping[str, Way], rounds: int, *, warm: bool = True) -> dict[str, list[float]]:
    """Seconds that each way takes for one item, in each round.

    warm: each way runs once before, unmeasured.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-1 if warm else 0, rounds):
        for name, way in ways.items():
            time.sleep(REST)
            started = time.perf_counter()
            way.run()
            taken = time.perf_counter() - started
            if number >= 0:
                seconds[name].append(taken / way.items)
    return seconds


def ratio(slow: list[float], fast: list[float]) -> float:
    """How many times faster one way is than another, measured in the same rounds."""
    return median(a / b for a, b in zip(slow, fast, strict=True))


def compared(
    name: str,
    title: str,
    ways: Mapping[str, Way],
    rounds: int,
    *,
    item: tuple[str, str],
    notes: tuple[str, ...] = (),
) -> Table:
    """Measure the ways in turn; a row for each. item: what is counted, singular and plural."""
    seconds = in_turn(ways, rounds)
    one, many = item
    rows = []
    for way, each in seconds.items():
        row: dict[str, Cell] = {
            "way": way,
            f"ms a {one}": 1000 * median(each),
            "fastest": 1000 * min(each),
            "slowest": 1000 * max(each),
            f"{many} a second": 1 / median(each),
        }
        for heading, other in ways[way].against.items():
            row[heading] = ratio(seconds[other], each)
        rows.append({**row, **ways[way].columns})
    rounded = f"{rounds} rounds" if rounds > 1 else "1 round"
    counted = f"{rounded}, the ways in turn: median, fastest and slowest; medians of the ratios"
    return Table(name, title, tuple(rows), (*notes, counted), {"seconds an item": seconds})
