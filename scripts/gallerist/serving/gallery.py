"""A gallery that answers for any picture by itself, without the workflow and its configuration.

It is a folder of the results' own layout, with what its extractor needs, the gallery's vectors and
the names of its pictures: see `package`, which makes it.
"""

import io
import os
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from gallerist.data.manifest import Manifest
from gallerist.evaluation.threshold import Threshold
from gallerist.features.extractors import extract
from gallerist.features.store import Features, check_comparable
from gallerist.io.files import PathLike, read_json
from gallerist.search.gallery import PreparedGallery
from gallerist.serving.answers import Answers
from gallerist.serving.extractor import extractor_of
from gallerist.serving.requests import as_files, in_rows
from gallerist.settings.ranking import Search
from gallerist.workflow.results import Results

SURE = {True: "yes", False: "no", None: "unknown"}

SETTINGS = "searchable.json"
"""The file of an artifact that says what it holds."""


class SearchableGallery:
    """One experiment's gallery, loaded and ready. Several threads may ask it at once."""

    def __init__(self, folder: PathLike) -> None:
        """Load a folder that `package.pack` made, and answer for an example.

        So what takes seconds is done here, and what does not fit together is found here.
        Raises UserError when it does not, and as `extractor_of`.
        """
        results = Results(Path(folder))
        held = read_json(results.path(SETTINGS))
        name, experiments = held["experiment"], held["experiments"]
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        settings = Search(**experiments[name]["search"])
        gallery = Features.read(
            *results.features(name, "gallery", reduced=bool(experiments[name].get("reduction")))
        )
        # An index finds other answers when it is asked for fewer.
        self._least_depth = 0 if settings.index is None else held["depth"] or len(gallery.ids)
        self._threshold = Threshold.of(held["threshold"]) if held.get("threshold") else None
        self._pictures = Manifest.read(results.path("manifests/gallery.csv")).by_id()
        self._extractor = extractor_of(
            results,
            name,
            experiments,
            threads=threads,
            engine=held["engine"],
            **held["reading"],
        )
        self._gallery = PreparedGallery(gallery, settings, threads=threads)
        self._features = gallery
        self._lock = Lock()
        self.rank([{"bytes": example_picture()}], 1)

    def rank(self, pictures: Sequence[Mapping[str, Any]], answers: int) -> list[Answers]:
        """The first `answers` pictures of the gallery for each picture, as the workflow ranks them.

        pictures: a mapping each, see `requests.as_files`; a gallery picture is no answer to
        itself. Raises UserError naming the one that is none, and ValueError for
        fewer than one answer.
        """
        if answers < 1:
            raise ValueError(f"answers is {answers}; it is at least 1")
        if not pictures:
            return []
        with as_files(in_rows(pictures)) as given, self._lock:
            paths = dict(given)  # a picture that is given twice is one query
            queries = extract(self._extractor, list(paths.values()), list(paths))
            check_comparable(queries, self._features)
            found = self._gallery.rank(queries, max(answers, self._least_depth))
        best = {
            query: self._answers(ids[:answers], distances[:answers])
            for query, ids, distances in zip(
                found.query_ids, found.answers, found.distances, strict=True
            )
        }
        return [best[identifier] for identifier, _ in given]

    def _answers(self, ids: Sequence[str], distances: Sequence[float]) -> Answers:
        pictures = [self._pictures[identifier] for identifier in ids]
        nearest = distances[0] if distances else inf
        sure = self._threshold.answers(nearest) if self._threshold else None
        return Answers(
            names=[picture.path for picture in pictures],
            labels=[picture.label for picture in pictures],
            ids=list(ids),
            distances=list(distances),
            sure=SURE[sure],
        )


def example_picture() -> bytes:
    """A small PNG for examples: a disc and a bar on white. Nobody's picture."""
    y, x = np.mgrid[:64, :64]
    pixels = np.full((64, 64, 3), 255, np.uint8)
    pixels[(y - 26) ** 2 + (x - 26) ** 2 < 240] = (200, 60, 40)
    pixels[46:54, 8:56] = (40, 60, 160)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
