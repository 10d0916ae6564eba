"""The published picture: a query and its answers in a row, which of them are relevant."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from gallerist.data.decoding import BadImage, Reading
from gallerist.data.manifest import Manifest
from gallerist.data.reading import read_pixels
from gallerist.evaluation.metrics import average_precision_at_k
from gallerist.evaluation.relevance import MARKS, Evaluation, QueryResult
from gallerist.evaluation.relevant_ranks import RelevantRanks
from gallerist.figures.picture_grid import Tile, bounded, draw_grid
from gallerist.figures.style import RELEVANT, WRONG
from gallerist.io.arrays import Pixels
from gallerist.io.files import PathLike

logger = logging.getLogger("gallerist")

KINDS = ("best", "median", "worst", "chosen")
"""The pictures of one evaluation, by which queries they show."""

UNKNOWN, QUERY = "#666666", "#2166ac"
_COLOURS = {True: RELEVANT, False: WRONG, None: UNKNOWN}

_LEGEND: dict[bool | None, tuple[str, str, str]] = {
    True: (RELEVANT, MARKS[True], "relevant"),
    False: (WRONG, MARKS[False], "not relevant"),
}

TILE = 128
"""Pixels of a thumbnail's longer side."""

Strip = tuple[str, str, list[tuple[str, str, bool | None]]]
"""Path of the query, its caption, and path, caption and relevance of each answer."""


@dataclass(frozen=True)
class StripSettings:
    """What is drawn: answers beside a query, queries in each picture, file names of chosen ones."""

    answers: int
    queries: int
    chosen: Sequence[str]


def best_median_worst(
    ids: Sequence[str], scores: npt.ArrayLike, count: int
) -> tuple[list[str], list[str], list[str]]:
    """Ids of `count` queries each: the highest scores, those in the middle, the lowest scores.

    scores: (queries,) the higher the better, such as the average precision. The best and the median
    come with the highest score first, the worst with the lowest; of equal ones by id. Where as many
    cannot stand on either side of the middle, one more of the better side is taken.
    """
    pairs = list(zip(np.asarray(scores, dtype=np.float64).tolist(), ids, strict=True))
    best = [query for _, query in sorted((-score, query) for score, query in pairs)]
    start = max(0, (len(best) - count) // 2)
    return best[:count], best[start : start + count], [query for _, query in sorted(pairs)][:count]


def strips(
    results: Sequence[QueryResult], paths: Mapping[str, str], query_paths: Mapping[str, str],
    answers: int,
) -> list[Strip]:  # fmt: skip
    """The strips of queries, `answers` answers each. paths, query_paths: id -> file."""
    rows: list[Strip] = []
    for result in results:
        tiles: list[tuple[str, str, bool | None]] = [
            (paths[answer], f"{label or Path(paths[answer]).name}\n{distance:.3f}", relevant)
            for answer, label, distance, relevant in result.listed(answers)
        ]
        name = Path(query_paths[result.query_id]).name
        rows.append((query_paths[result.query_id], f"{result.label}\n{name}".strip(), tiles))
    return rows


def draw(
    rows: Sequence[Strip],
    path: PathLike,
    *,
    title: str,
    unmarked: str = "unknown whether relevant",
    below: str = "its class",
    **reading: Unpack[Reading],
) -> None:
    """Draw strips below each other into a PNG, the query apart: relevant answers o, others x.

    Below an answer stand its class, or what else `below` says, and its distance to the query.
    unmarked: what an answer is that is neither. Without rows, says that there
    are none. Of very many answers, and of very many rows, the first are drawn, and how many more
    there are is said.
    """
    wanted = [[(query, caption, None), *tiles] for query, caption, tiles in rows]
    drawn, more = bounded(wanted)
    grid = [[_tile(rank, *each, reading=reading) for rank, each in enumerate(row)] for row in drawn]
    met = {relevant for _, _, tiles in rows for *_, relevant in tiles}
    named = {**_LEGEND, None: (UNKNOWN, MARKS[None], unmarked)}
    legend = [(QUERY, "", "query"), *(named[each] for each in named if each in met)]
    remark = f"below an answer: {below}, and its distance to the query"
    remark = "; ".join(filter(None, [remark, more]))
    texts = {"title": title, "nothing": "no such query", "remark": remark}
    draw_grid(grid, path, side=TILE, legend=legend, **texts)


def draw_strips(
    evaluation: Evaluation,
    ranks: RelevantRanks,
    queries: Manifest,
    gallery: Manifest,
    paths: Mapping[str, PathLike],
    settings: StripSettings,
    *,
    title: str,
    **reading: Unpack[Reading],
) -> None:
    """Draw the best, the median, the worst and the chosen queries with their answers, as PNG.

    They are ordered by their average precision as far as the ranking was kept. paths: a file for
    each of KINDS. Chosen names that no query has are named in the log.
    """
    unknown = {*settings.chosen} - {Path(path).name for path in queries.paths}
    if unknown:
        logger.warning("no query is called %s", ", ".join(sorted(unknown)))
    ids = evaluation.queries
    depth = min(int(ranks.depth.min()), len(gallery))
    scores = average_precision_at_k(ranks, depth)
    chosen = [picture.id for picture in queries if Path(picture.path).name in settings.chosen]
    wanted = (*best_median_worst(ids, scores, settings.queries), chosen)
    files = dict(zip(gallery.ids, gallery.paths, strict=True))
    query_files = dict(zip(queries.ids, queries.paths, strict=True))
    results = dict(zip(ids, evaluation.results, strict=True))
    for kind, names in zip(KINDS, wanted, strict=True):
        drawn = [results[name] for name in names if name in results]
        rows = strips(drawn, files, query_files, settings.answers)
        words = {"title": f"{title}: {kind} queries", "unmarked": "neither right nor wrong"}
        below = "its class" if any(gallery.labels) else "its file"
        draw(rows, paths[kind], **words, below=below, **reading)


def _tile(rank: int, path: str, text: str, relevant: bool | None, *, reading: Reading) -> Tile:
    """A query, which is first in its row, or an answer."""
    picture = thumbnail(path, reading)
    if rank == 0:
        return Tile(picture, "query", text, QUERY, apart=True)
    return Tile(picture, str(rank), text, _COLOURS[relevant], MARKS[relevant])


def thumbnail(path: str, reading: Reading) -> Image.Image:
    """The picture, no larger than it is shown; a grey field where it cannot be read any more."""
    try:
        [picture] = read_pixels([path], _shrunk, **reading)
        return picture
    except BadImage:
        return Image.new("RGB", (TILE, TILE), (200, 200, 200))


def _shrunk(pixels: Pixels) -> Image.Image:
    return ImageOps.contain(Image.fromarray(pixels), (TILE, TILE))
