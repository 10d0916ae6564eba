"""A ranking: the answers to every query, best first, as a file that any tool can read or write."""

import csv
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from gallerist.files import PathLike, replacing


@dataclass(frozen=True)
class Ranking:
    """The answers to every query, best first.

    query_ids: in query order. answers: for each query its gallery ids. distances: likewise, the
    Euclidean distance between unit vectors, in [0, 2].
    """

    query_ids: tuple[str, ...]
    answers: tuple[tuple[str, ...], ...]
    distances: tuple[tuple[float, ...], ...]

    def write(self, path: PathLike) -> None:
        """Write as CSV: query_id, rank (from 1), gallery_id, distance."""
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("query_id", "rank", "gallery_id", "distance"))
            for query, answers, distances in zip(
                self.query_ids, self.answers, self.distances, strict=True
            ):
                for rank, (answer, distance) in enumerate(
                    zip(answers, distances, strict=True), start=1
                ):
                    writer.writerow((query, rank, answer, f"{distance:.9f}"))

    @classmethod
    def read(cls, path: PathLike) -> "Ranking":
        """Read what `write` wrote."""
        with Path(path).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        queries, answers, distances = [], [], []
        for query, group in groupby(rows, key=itemgetter("query_id")):
            members = list(group)
            queries.append(query)
            answers.append(tuple(row["gallery_id"] for row in members))
            distances.append(tuple(float(row["distance"]) for row in members))
        return cls(tuple(queries), tuple(answers), tuple(distances))
