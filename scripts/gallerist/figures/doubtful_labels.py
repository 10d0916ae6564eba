"""Pictures whose label is doubtful: listed, and drawn with the neighbours that contradict it."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from gallerist.data.decoding import Reading
from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.doubtful_labels import Doubt, doubt_labels, write_doubts
from gallerist.features.store import length_of, read_sets
from gallerist.figures.answer_strips import QUERY, TILE, thumbnail
from gallerist.figures.picture_grid import Tile, draw_grid
from gallerist.figures.style import RELEVANT, WRONG
from gallerist.io.files import PathLike
from gallerist.search.distances import Metric
from gallerist.search.nearest_others import Searched

_OTHER = "#666666"
_LEGEND = (
    (QUERY, "", "doubtful"),
    (RELEVANT, "o", "neighbour of the class suggested"),
    (WRONG, "x", "neighbour of the class that it has"),
    (_OTHER, "", "neighbour of another class"),
)


def report_doubts(
    given: Mapping[str, Any],
    output: Mapping[str, PathLike],
    *,
    metrics: Sequence[tuple[str, Metric]],
    distance: int,
    seed: int,
    most_drawn: int,
    title: str,
    reading: Reading,
) -> dict[str, float]:
    """Find doubtful labels, write them, draw the surest; returns what a record says of them.

    given: files of the manifests `query` and `gallery`, and as `vectors` those of each experiment,
    of the queries and then of the gallery. output: `doubts`, a CSV, and `doubts_drawn`, a PNG.
    metrics: each experiment, in the order of its vectors, and how it measures. distance, seed: see
    `judged_pictures`.
    """
    queries, gallery = Manifest.read(given["query"]), Manifest.read(given["gallery"])
    files = given["vectors"]
    of_each = [files[start : start + 6] for start in range(0, len(files), 6)]
    names = [name for name, _ in metrics]
    vectors = {name: partial(_read_pair, those) for name, those in zip(names, of_each, strict=True)}
    longest = max((length_of(origin) for origin in files[2::3]), default=1)
    how = {"longest": longest, "distance": distance, "seed": seed}
    doubts = doubt_labels(queries, gallery, vectors, dict(metrics), **how)
    write_doubts(output["doubts"], doubts.found)
    target = output["doubts_drawn"]
    draw_doubts(doubts.found, queries, gallery, target, most=most_drawn, title=title, **reading)
    agreement = {f"labels agreed with/{name}": share for name, share in doubts.agreement.items()}
    return {"doubtful_labels": len(doubts.found), **agreement}


def _read_pair(files: Sequence[PathLike]) -> Searched:
    queries, gallery = read_sets(files)
    return queries, gallery


def draw_doubts(
    doubts: Sequence[Doubt],
    queries: Manifest,
    gallery: Manifest,
    path: PathLike,
    *,
    most: int,
    title: str,
    **reading: Unpack[Reading],
) -> None:
    """Draw the first `most` doubtful pictures with their neighbours, a row each, as PNG."""
    by_id = queries.by_id(), gallery.by_id()
    rows = [_row(doubt, by_id, reading) for doubt in doubts[:most]]
    drawn = f"the {len(rows)} surest of {len(doubts)}" if len(rows) < len(doubts) else ""
    title = f"{title}: doubtful labels"
    draw_grid(
        rows, path, title=title, side=TILE, nothing="none", legend=_LEGEND, remark=drawn
    )  # fmt: skip


def _row(doubt: Doubt, by_id: Iterable[Mapping[str, Picture]], reading: Reading) -> list[Tile]:
    own, *nearest = (
        next(each[name] for each in by_id if name in each)
        for name in (doubt.picture, *doubt.neighbours)
    )
    text = f"{doubt.label}\n{doubt.suggested}?\n{Path(own.path).name}"
    tiles = [Tile(thumbnail(own.path, reading), doubt.part, text, QUERY, apart=True)]
    marks = {doubt.suggested: (RELEVANT, "o"), doubt.label: (WRONG, "x")}
    for rank, near in enumerate(nearest, start=1):
        colour, mark = marks.get(near.label, (_OTHER, ""))
        tiles.append(Tile(thumbnail(near.path, reading), str(rank), near.label, colour, mark))
    return tiles
