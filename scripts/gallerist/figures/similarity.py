"""Which regions made queries and their first answers match, by the network that described them."""

from collections.abc import Mapping, Sequence
from typing import Any

from gallerist.data.manifest import DISTRACTOR, Manifest, Picture
from gallerist.data.preprocessing import Preprocessing
from gallerist.features.network import NetworkExtractor
from gallerist.figures.grad_cam import SimilarityMaps
from gallerist.figures.matched_regions import MatchedRegions, Similarity, draw
from gallerist.figures.picture_grid import MOST_ROWS
from gallerist.io.arrays import Pixels
from gallerist.io.files import PathLike
from gallerist.networks.inference import prepare
from gallerist.search.ranking import Ranking

LONGEST = 512
"""Pixels of the longer side of a picture that is shown whole."""


def open_extractor(
    model: PathLike, preprocessing: PathLike, compute: Mapping[str, Any], threads: int
) -> NetworkExtractor:
    """The network of an experiment, as it describes pictures. compute: as `Plan.computing`."""
    engine = compute["engine"]
    prepare(engine=engine, threads=threads, gpu_precision=compute["gpu_precision"])
    return NetworkExtractor(model, preprocessing, threads=threads, engine=engine)


def explain_pair(
    pictures: Preprocessing, maps_of: SimilarityMaps, pair: Sequence[Picture]
) -> tuple[Pixels, Pixels, Similarity]:
    """Query and answer as they are shown, and where in them they are alike to the network.

    What is squeezed is shown as the network sees it. A picture that is cropped or padded is shown
    whole, in its own shape, with the map in its place.
    """
    squares = [pictures.load(picture.path) for picture in pair]
    alike = maps_of(squares[0], squares[1])
    if pictures.resizing == "squeeze":
        return squares[0], squares[1], alike
    query, answer = (pictures.load_whole(picture.path, LONGEST) for picture in pair)
    maps = [
        pictures.fitting(*whole.shape[:2]).back(heat)
        for whole, heat in ((query, alike.query_map), (answer, alike.answer_map))
    ]
    return query, answer, Similarity(alike.cosine, maps[0], maps[1])


def draw_similarity(
    extractor: NetworkExtractor,
    ranking: Ranking,
    gallery: Manifest,
    queries: Manifest,
    path: PathLike,
    *,
    most: int,
    title: str,
) -> None:
    """Draw one query of each class with its first answer, for the first `most` classes, as PNG."""
    pictures, asked = gallery.by_id(), queries.by_id()
    # One query of each class, so that different things are to be seen.
    first_of = {asked[query].label: row for row, query in reversed([*enumerate(ranking.query_ids)])}
    first_of.pop(DISTRACTOR, None)
    maps_of, rows = SimilarityMaps(*extractor.feature_maps()), []
    for label in sorted(first_of)[: min(most, MOST_ROWS)]:
        row = first_of[label]
        pair = asked[ranking.query_ids[row]], pictures[ranking.answers[row][0]]
        labels = pair[0].label, pair[1].label
        query, answer, alike = explain_pair(extractor.pictures, maps_of, pair)
        rows.append(MatchedRegions(query, answer, labels, alike))
    draw(rows, path, title=title)
