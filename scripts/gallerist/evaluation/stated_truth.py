"""A truth that is not a class: what a configuration states, as pairs of a query and a picture.

Whatever is stated, by pairs, lists, labels or places, becomes one list of pairs by id. What reads
it makes a `Relevance` of it, and knows nothing of where it came from.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from gallerist.data.manifest import DISTRACTOR, Manifest
from gallerist.data.names import Names
from gallerist.data.table_rows import rows_of
from gallerist.evaluation.judged_truth import read_revisited
from gallerist.evaluation.relevance import Relevance
from gallerist.io.arrays import Floats
from gallerist.io.errors import UserError, first_of
from gallerist.io.files import PathLike, write_csv
from gallerist.io.table_file import TextTable, read_text_table
from gallerist.settings.truth import Truth
from gallerist.workflow.table_layout import layout_of, read_table

logger = logging.getLogger("gallerist")

SEPARATOR = ";"
"""Between several labels of a picture, and several answers to a query, in one cell of a table."""

COLUMNS = ("query_id", "gallery_id", "relevance")

EARTH = 6_371_008.8
"""Mean radius in metres (IUGG)."""

Pair = tuple[str, str, float]


def relevance_of(
    queries: Mapping[str, str], gallery: Mapping[str, str], truth: PathLike | None = None
) -> Relevance:
    """Which gallery pictures are relevant: by a file of `write_truth`, or by their classes.

    queries, gallery: id -> class. Raises UserError for a truth of other pictures.
    """
    if not truth:
        return Relevance.of_classes(queries, gallery)
    table = read_text_table(truth)
    columns = [table.column(name) for name in COLUMNS]
    pairs = [(query, answer, float(number)) for query, answer, number in zip(*columns, strict=True)]
    if not all(query in queries and answer in gallery for query, answer, _ in pairs):
        raise UserError(f"{truth} is of other pictures: run the workflow again")
    return Relevance.of_pairs(queries, gallery, pairs)


def write_truth(path: PathLike, pairs: Iterable[Pair]) -> None:
    """Write pairs as CSV, by id, as `gallerist evaluate` reads them too."""
    write_csv(path, COLUMNS, ((query, answer, f"{value:g}") for query, answer, value in pairs))


def state_truth(
    truth: Truth, queries: tuple[Manifest, Names], gallery: tuple[Manifest, Names],
    table: PathLike | None, folder: str,
) -> list[Pair]:  # fmt: skip
    """The pairs of a stated truth, in the order of the queries and then of the gallery.

    table: that the pictures came from, for what is stated in its columns; folder: that its paths
    start from. Raises UserError naming file and line, and where no query has a right answer.
    """
    stated: Iterable[Stated] = ()
    if truth.pairs:
        stated = _of_pairs(read_text_table(truth.pairs))
    elif truth.annotations:
        stated = _of_annotations(truth.annotations, truth.setup)
    elif truth.column:
        assert table
        stated = _of_columns(read_table(table), folder, truth.column)
    pairs: dict[tuple[str, str], float] = {}
    lost = 0
    for where, query, answer, value in stated:
        found = queries[1].find(query, where), gallery[1].find(answer, where)
        if found[0] is None or found[1] is None:
            lost += 1
        elif pairs.setdefault((found[0], found[1]), value) != value:
            raise UserError(f"{where}: {query} and {answer} stand there with another relevance too")
    if lost:
        logger.warning("%d pairs of the truth are of files that were left out", lost)
    found_pairs: Iterable[Pair] = ((*pair, value) for pair, value in pairs.items())
    if truth.labels:
        found_pairs = _of_labels(queries[0], gallery[0], every=truth.labels == "all")
    elif truth.within:
        assert table
        found_pairs = _of_places(queries[0], gallery[0], table, folder, truth.within)
    row_of = {name: row for row, name in enumerate(queries[0].ids)}
    place_of = {name: row for row, name in enumerate(gallery[0].ids)}
    ordered = sorted(found_pairs, key=lambda pair: (row_of[pair[0]], place_of[pair[1]]))
    if not any(value > 0 and query != answer for query, answer, value in ordered):
        raise UserError("the truth gives no query a right answer: see dataset.truth")
    return ordered


Stated = tuple[str, str, str, float]
"""Where it stands; names of the query and of the gallery picture; relevance."""


def _of_pairs(table: TextTable) -> Iterator[Stated]:
    def column(*names: str) -> str:
        found = next((name for name in names if name in table.columns), None)
        if found is None:
            raise UserError(
                f"{table.path} has no column {names[0]}. Pairs have query, gallery and perhaps "
                "relevance"
            )
        return found

    query, answer = column("query", "query_id"), column("gallery", "gallery_id", "answer")
    graded = next((name for name in ("relevance", "relevant") if name in table.columns), None)
    values = table.column(graded) if graded else ["1"] * len(table)
    rows = zip(table.column(query), table.column(answer), values, strict=True)
    for row, (asked, answered, text) in enumerate(rows):
        try:
            value = float({"true": "1", "false": "0"}.get(text.lower(), text))
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise UserError(f"{table.place(row)}: the relevance {text!r} is no number")
        yield table.place(row), asked, answered, value


def _of_annotations(path: PathLike, setup: str) -> Iterator[Stated]:
    right, junk = read_revisited(path).setups[setup]
    for answers_of, value in ((right, 1.0), (junk, -1.0)):
        for query, answers in answers_of.items():
            yield from ((str(path), query, answer, value) for answer in sorted(answers))


def _of_columns(table: TextTable, folder: str, column: str) -> Iterator[Stated]:
    junk = table.column("junk")
    for row in rows_of(table, folder, "query"):
        for cell, value in ((table.column(column)[row.number], 1.0), (junk[row.number], -1.0)):
            for answer in filter(None, map(str.strip, cell.split(SEPARATOR))):
                yield table.place(row.number), row.picture, answer, value


def _of_labels(queries: Manifest, gallery: Manifest, *, every: bool) -> Iterator[Pair]:
    """Pairs with any label in common, or whose gallery picture has every label of the query."""
    having: dict[str, set[str]] = defaultdict(set)
    for name, label in gallery.label_of.items():
        for one in _labels(label):
            having[one].add(name)
    for name, label in queries.label_of.items():
        found = [having.get(one, set()) for one in _labels(label)]
        common = set.intersection(*found) if every and found else set().union(*found)
        yield from ((name, answer, 1.0) for answer in common)


def _labels(label: str) -> set[str]:
    return {one.strip() for one in label.split(SEPARATOR)} - {"", DISTRACTOR}


def _of_places(
    queries: Manifest, gallery: Manifest, table: PathLike, folder: str, metres: float
) -> Iterator[Pair]:
    """Pairs of pictures that were taken at most so many metres from each other."""
    from scipy.spatial import cKDTree

    pair = layout_of(table).position
    if pair is None:
        raise UserError(f"{table} has no columns latitude and longitude, nor east and north")
    whole = read_table(table)
    place_of: dict[str, Floats] = {}
    for part in ("query", "gallery", "originals"):
        for row in rows_of(whole, folder, part):
            texts = [whole.column(name)[row.number] for name in pair]
            if any(texts):
                place = _place(texts, pair, whole.place(row.number))
                place_of[row.picture] = place_of[row.path] = place
    reach = metres
    if pair[0] == "latitude":  # a chord through the earth, which is as long for all of one distance
        reach = 2 * EARTH * float(np.sin(min(metres / (2 * EARTH), np.pi / 2)))
    asked, shown = (
        [(name, place_of[path]) for name, path in zip(each.ids, each.paths, strict=True)
         if path in place_of]
        for each in (queries, gallery)
    )  # fmt: skip
    if not asked or not shown:
        raise UserError(f"{table}: no query, or no gallery picture, has its place")
    tree = cKDTree(np.stack([place for _, place in shown]))
    near = tree.query_ball_point(np.stack([place for _, place in asked]), reach)
    for (query, _), rows in zip(asked, near, strict=True):
        yield from ((query, shown[row][0], 1.0) for row in rows)


def _place(texts: Sequence[str], names: tuple[str, str], where: str) -> Floats:
    """A place in metres: in the plane, or in space for degrees of latitude and longitude."""
    try:
        first, second = map(float, texts)
    except ValueError:
        raise UserError(f"{where}: {first_of(texts)} is no place: {' and '.join(names)}") from None
    if not np.isfinite([first, second]).all():
        raise UserError(f"{where}: {first_of(texts)} is no place: {' and '.join(names)}")
    if names[0] != "latitude":
        return np.array([first, second])
    if abs(first) > 90 or abs(second) > 180:
        raise UserError(f"{where}: latitude and longitude are degrees, to 90 and to 180")
    north, east = np.radians([first, second])
    level = np.cos(north)
    return EARTH * np.array([level * np.cos(east), level * np.sin(east), np.sin(north)])
