"""A ranking: the answers to every query, best first, as a file that any tool can read or write."""

import csv
from dataclasses import dataclass
from pathlib import Path

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, naming_table, write_csv

COLUMNS = ("query_id", "rank", "gallery_id", "distance")


@dataclass(frozen=True)
class Ranking:
    """The answers to every query, best first.

    query_ids: in query order. answers: for each query its gallery ids. distances: likewise, by
    whatever ranked them, never falling; those of two rankings compare where one measure made both.
    """

    query_ids: tuple[str, ...]
    answers: tuple[tuple[str, ...], ...]
    distances: tuple[tuple[float, ...], ...]

    def write(self, path: PathLike) -> None:
        """Write as CSV: query_id, rank (from 1), gallery_id, distance.

        A query without answers leaves no row, and is not there when the file is read again.
        """
        whole = zip(self.query_ids, self.answers, self.distances, strict=True)
        rows = (
            (query, rank, answer, f"{distance:.9f}")
            for query, answers, distances in whole
            for rank, (answer, distance) in enumerate(zip(answers, distances, strict=True), start=1)
        )
        write_csv(path, COLUMNS, rows)

    @classmethod
    def read(cls, path: PathLike) -> "Ranking":
        """Read what `write` wrote, or another tool with the same columns; rows in any order.

        Queries come in the order in which the file first names them. Raises UserError naming the
        file when it lacks a column, and the line of a row that lacks a cell or a number.
        """
        answers_of: dict[str, list[tuple[int, str, float]]] = {}
        with naming_table(path), Path(path).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise UserError(f"{path}: the columns of a ranking are {', '.join(COLUMNS)}")
            for row in reader:
                try:
                    answer = (int(row["rank"]), row["gallery_id"], float(row["distance"]))
                except (TypeError, ValueError):
                    raise UserError(
                        f"{path}, line {reader.line_num}: a row has {', '.join(COLUMNS)}; this one "
                        "lacks one, or a rank or distance that is a number"
                    ) from None
                answers_of.setdefault(row["query_id"], []).append(answer)
        ordered = [sorted(answers) for answers in answers_of.values()]
        return cls(
            tuple(answers_of),
            tuple(tuple(answer for _, answer, _ in answers) for answers in ordered),
            tuple(tuple(distance for _, _, distance in answers) for answers in ordered),
        )
