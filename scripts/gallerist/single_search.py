"""One query at a time: a picture of the data set by name or number, or any picture file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gallerist.features import FeatureMismatch, Features, check_comparable
from gallerist.files import PathLike, sha256_of_file
from gallerist.images import BadImage, read_image
from gallerist.layout import Results
from gallerist.manifest import DISTRACTOR, Manifest, Picture
from gallerist.search import search


class QueryUnknown(ValueError):
    """No query of the data set has that name or number."""


@dataclass(frozen=True)
class Answer:
    """One answer. right: None when the query's class is not known."""

    rank: int
    picture: Picture
    distance: float
    right: bool | None

    @property
    def mark(self) -> str:
        """O for right, x for wrong, a blank for unknown."""
        return {True: "o", False: "x", None: " "}[self.right]


def find_query(queries: Manifest, name: str) -> Picture:
    """A query by its number (from 1, in manifest order), its file name, or the end of its path.

    Raises QueryUnknown when there is none, or when several fit, naming them.
    """
    if name.isdecimal():
        number = int(name)
        if not 1 <= number <= len(queries):
            raise QueryUnknown(f"query {number}: the data set has queries 1 to {len(queries)}")
        return queries.pictures[number - 1]
    wanted = Path(name).parts
    fitting = [query for query in queries if Path(query.path).parts[-len(wanted) :] == wanted]
    if not fitting:
        example = f"; {queries.paths[0]} is one" if len(queries) else ""
        raise QueryUnknown(f"no query is called {name}{example}")
    if len(fitting) > 1:
        paths = ", ".join(query.path for query in fitting[:5])
        raise QueryUnknown(f"{len(fitting)} queries are called {name}: name one of {paths} ...")
    return fitting[0]


def search_query(results: Results, experiment: str, query: Picture, count: int) -> list[Answer]:
    """The first `count` answers to a query of the data set, from its stored features.

    Raises FeatureMismatch when query and gallery were described differently, or are not those of
    the manifests.
    """
    stored = Features.read(*results.features(experiment, "query"))
    gallery = Features.read(*results.features(experiment, "gallery"))
    check_comparable(stored, gallery)
    if query.id not in stored.ids:
        raise FeatureMismatch(f"{query.path} has not been described: run the workflow again")
    row = stored.ids.index(query.id)
    return _answers(results, gallery, stored.vectors[row : row + 1], query.id, query.label, count)


def search_file(
    results: Results, experiment: str, picture: PathLike, count: int, threads: int
) -> tuple[str | None, list[Answer]]:
    """The class of a picture file, where the data set has it, and its first `count` answers.

    Raises images.BadImage when the file is no picture, and FeatureMismatch when the gallery was
    described by another model, or other preprocessing, than the one that is there now.
    """
    try:  # a bad picture is named before TensorFlow takes its seconds to load
        read_image(picture)
    except BadImage as error:
        raise BadImage(f"{picture}: {error}") from error
    from gallerist.describer import Describer

    describer = Describer(
        results.path(f"models/{experiment}/model.keras"),
        results.path(f"models/{experiment}/preprocessing.json"),
        threads=threads,
        engine="tensorflow",  # for one picture it is ready soonest
    )
    gallery = Features.read(*results.features(experiment, "gallery"))
    made_by = (describer.model_sha256, describer.preprocessing.sha256)
    if made_by != (gallery.model, gallery.preprocessing):
        raise FeatureMismatch("the gallery was described by another model: run the workflow again")
    identifier = sha256_of_file(picture)[:16]
    label = _known_label(results, identifier)
    vectors = describer.describe([picture])
    return label, _answers(results, gallery, vectors, identifier, label, count)


def _known_label(results: Results, identifier: str) -> str | None:
    for part in ("query", "gallery"):
        found = Manifest.read(results.path(f"manifests/{part}.csv")).by_id().get(identifier)
        if found is not None:
            return found.label
    return None


def _answers(
    results: Results,
    gallery: Features,
    vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    identifier: str,
    label: str | None,
    count: int,
) -> list[Answer]:
    pictures = Manifest.read(results.path("manifests/gallery.csv")).by_id()
    if not pictures.keys() >= set(gallery.ids):
        raise FeatureMismatch(
            "the gallery has changed since it was described: run the workflow again"
        )
    ranking = search(vectors, [identifier], gallery.vectors, gallery.ids, count)
    found = zip(ranking.answers[0], ranking.distances[0], strict=True)
    return [
        Answer(
            rank,
            pictures[answer],
            distance,
            None if label is None else label == pictures[answer].label != DISTRACTOR,
        )
        for rank, (answer, distance) in enumerate(found, start=1)
    ]
