"""Which regions made queries and their first answers match, by the network that described them."""

from collections.abc import Mapping
from typing import Any

from gallerist.data.manifest import DISTRACTOR, Manifest
from gallerist.features.network import NetworkExtractor
from gallerist.figures.grad_cam import SimilarityMaps
from gallerist.figures.matched_regions import MatchedRegions, draw
from gallerist.figures.picture_grid import MOST_ROWS
from gallerist.io.files import PathLike
from gallerist.networks.inference import prepare
from gallerist.search.ranking import Ranking


def open_extractor(
    model: PathLike, preprocessing: PathLike, compute: Mapping[str, Any], threads: int
) -> NetworkExtractor:
    """The network of an experiment, as it describes pictures. compute: as `Plan.computing`."""
    engine = compute["engine"]
    prepare(engine=engine, threads=threads, gpu_precision=compute["gpu_precision"])
    return NetworkExtractor(model, preprocessing, threads=threads, engine=engine)


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
        query, answer = (extractor.pictures.load(picture.path) for picture in pair)
        labels = pair[0].label, pair[1].label
        rows.append(MatchedRegions(query, answer, labels, maps_of(query, answer)))
    draw(rows, path, title=title)
