"""Why a query and an answer match: the regions that a network saw alike, and common key points."""

import base64
import os
from typing import Any

import numpy as np

from gallerist.browse.data_sets import DataSet
from gallerist.browse.searching import COMPUTING
from gallerist.browse.thumbnails import MEDIA, encoded
from gallerist.data.manifest import Picture
from gallerist.features.key_points import Detector
from gallerist.figures.matched_key_points import LINES_DRAWN
from gallerist.figures.matched_regions import heated
from gallerist.io.arrays import Pixels
from gallerist.io.errors import UserError
from gallerist.search.geometric_verification import match_key_points
from gallerist.settings.ranking import GeometricVerification
from gallerist.workflow.experiments import verify_networks

_SIDE = 512
"""Pixels of the longer side of what is shown."""


class Explaining:
    """What explains the answers of one data set; networks are loaded when they are first asked."""

    def __init__(self, data: DataSet) -> None:
        self._data = data
        self._networks: dict[str, tuple[Any, Any]] = {}

    def heat(self, experiment: str, query: Picture, answer: Picture) -> dict[str, Any]:
        """Both pictures under the heat of what made them match.

        Raises UserError where the experiment has no network of its own.
        """
        with COMPUTING:
            extractor, maps_of = self._network(experiment)
            # Here, and below, because it is not loaded where nobody asks.
            from gallerist.figures.similarity import explain_pair

            pair = query, answer
            *pixels, alike = explain_pair(extractor.pictures, maps_of, pair)
        maps = alike.query_map, alike.answer_map
        shown = [_address(heated(*each)) for each in zip(pixels, maps, strict=True)]
        return {"cosine": round(alike.cosine, 4), "query": shown[0], "answer": shown[1]}

    def _network(self, experiment: str) -> tuple[Any, Any]:
        if experiment not in self._networks:
            data = self._data
            made = data.experiment(experiment)
            if made is None or made.kind != "network" or data.config is None:
                raise UserError(
                    f"{experiment} has no network of its own whose regions could be seen"
                )
            from gallerist.figures.grad_cam import SimilarityMaps
            from gallerist.figures.similarity import open_extractor

            verify_networks(data.results, experiment, data.settings)
            stem = f"models/{experiment}"
            extractor = open_extractor(
                data.results.path(f"{stem}/model.keras"),
                data.results.path(f"{stem}/preprocessing.json"),
                data.config["compute"],
                os.cpu_count() or 1,
            )
            self._networks[experiment] = extractor, SimilarityMaps(*extractor.feature_maps())
        return self._networks[experiment]

    def matches(self, experiment: str, query: Picture, answer: Picture) -> dict[str, Any]:
        """Key points of both pictures that look alike, and which agree in their places.

        lines: x and y in the query, x and y in the answer, as shares of their sides, and whether
        the pair agrees; LINES_DRAWN at most. The settings are the experiment's where it verifies
        geometry, else the usual ones.
        """
        made = self._data.experiment(experiment)
        settings = GeometricVerification(**(made and made.get("geometric_verification")) or {})
        detector = Detector(settings.key_points, settings.max_side, settings.max_points)
        one, other = (detector.prepare(picture.path) for picture in (query, answer))
        points = detector.detect(one), detector.detect(other)
        found = match_key_points(*points, settings)
        count = len(found.pairs)
        drawn = np.unique(np.linspace(0, count - 1, min(count, LINES_DRAWN)).round().astype(int))
        starts = _shares(points[0].positions[found.pairs[drawn, 0]], one)
        ends = _shares(points[1].positions[found.pairs[drawn, 1]], other)
        return {
            "key_points": [len(each) for each in points],
            "matched": count,
            "agreeing": found.agreeing,
            "lines": [
                [*start, *end, bool(agrees)]
                for start, end, agrees in zip(
                    starts.tolist(), ends.tolist(), found.inliers[drawn], strict=True
                )
            ],
        }


def _shares(positions: Any, pixels: Pixels) -> Any:
    """(n, 2) places in pixels as shares of the width and of the height."""
    return ((positions + 0.5) / [pixels.shape[1], pixels.shape[0]]).round(4)


def _address(pixels: Pixels) -> str:
    """Pixels as an address that holds the picture itself."""
    return f"data:{MEDIA};base64," + base64.b64encode(encoded(pixels, _SIDE)).decode()
