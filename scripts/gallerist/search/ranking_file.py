"""The answers to one query out of a ranking that is too large to be read for it."""

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike
from gallerist.search.ranking import COLUMNS

_GUESSES = 6
"""Places that are guessed from the length of the file; after them the middle is tried."""


class UnorderedRanking(UserError):
    """A ranking whose rows are not in the order of its queries, or no rows at all."""


@dataclass(frozen=True)
class Answers:
    """Some answers to one query, best first. first_rank: of the first one here, from 1."""

    ids: tuple[str, ...]
    distances: tuple[float, ...]
    first_rank: int


class RankingFile:
    """A file as `Ranking.write` leaves it: query after query in a known order, ranks from 1.

    A query is found by looking at some twenty rows: of a file of a gigabyte nothing is kept.
    """

    def __init__(self, path: PathLike, place_of: Mapping[str, int]) -> None:
        """place_of: query id -> its place in the order of the file; some may have no rows."""
        self._path, self._place_of = Path(path), place_of

    def answers(self, query: str, count: int, *, skipped: int = 0) -> Answers:
        """`count` answers to a query behind the first `skipped`; fewer where there are fewer.

        None for a query that has no rows. Raises UnorderedRanking for a file of another order.
        """
        with self._path.open("rb") as file:
            if not file.read(1):
                raise UnorderedRanking(f"{self._path} is empty: run the workflow again")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                try:
                    start = self._start_of(data, query)
                    rows = [] if start is None else _rows(data, start, query, skipped, count)
                except UnorderedRanking:
                    raise
                except ValueError:  # of a row that lacks a cell, a number or UTF-8
                    raise UnorderedRanking(
                        f"{self._path} is cut short or damaged: run the workflow again"
                    ) from None
        ids = tuple(identifier for _, identifier, _ in rows)
        for number, (rank, _, _) in enumerate(rows, start=skipped + 1):
            if rank != number:
                raise self._unordered()
        return Answers(ids, tuple(distance for *_, distance in rows), skipped + 1)

    def _start_of(self, data: mmap.mmap, query: str) -> int | None:
        """Where the first row of a query begins; None where it has none."""
        header = data.find(b"\n") + 1
        if tuple(data[:header].decode().strip().split(",")) != COLUMNS:
            raise self._unordered()
        wanted = self._place_of[query]
        low, high = header, len(data)
        before, after = -1, len(self._place_of)
        guesses = 0
        while low < high:
            share = (wanted - before) / max(1, after - before) if guesses < _GUESSES else 0.5
            guesses += 1
            start = _row_start(data, min(high - 1, low + int(share * (high - low))), header)
            name, rank = _row(data, start)[:2]
            place = self._place_of.get(name)
            if place is None or not before <= place <= after:
                raise self._unordered()
            if place == wanted:
                return _back(data, start, rank - 1, header)
            if place < wanted:
                low, before = data.find(b"\n", start) + 1 or len(data), place
            else:
                high, after = start, place
        if data.find(f"\n{query},".encode()) >= 0:  # all of the file, which is hardly ever needed
            raise self._unordered()
        return None

    def _unordered(self) -> UnorderedRanking:
        return UnorderedRanking(
            f"{self._path} is not in the order of the queries: run the workflow again"
        )


def _row_start(data: mmap.mmap, place: int, first: int) -> int:
    """Where the row begins that a place lies in."""
    return max(first, data.rfind(b"\n", 0, place) + 1)


def _row(data: mmap.mmap, start: int) -> tuple[str, int, str, float]:
    end = data.find(b"\n", start)
    cells = data[start : len(data) if end < 0 else end].decode().rstrip("\r").split(",")
    query, rank, answer, distance = cells
    return query, int(rank), answer, float(distance)


def _back(data: mmap.mmap, start: int, rows: int, first: int) -> int:
    """Where the row begins that lies so many rows before. Raises ValueError where it is none."""
    for _ in range(rows):
        if start <= first:
            raise ValueError(f"there are no {rows} rows before")
        start = _row_start(data, max(first, start - 1), first)
    return start


def _rows(
    data: mmap.mmap, start: int, query: str, skipped: int, count: int
) -> list[tuple[int, str, float]]:
    """Rank, id and distance of some answers of the query whose rows begin at `start`."""
    for _ in range(skipped):
        start = data.find(b"\n", start) + 1
        if not start or start >= len(data):
            return []
    found: list[tuple[int, str, float]] = []
    while len(found) < count and start < len(data):
        name, rank, answer, distance = _row(data, start)
        if name != query:
            break
        found.append((rank, answer, distance))
        start = data.find(b"\n", start) + 1 or len(data)
    return found
