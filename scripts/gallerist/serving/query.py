"""One query at a time: a picture of the data set by name or number, or any picture file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from gallerist.data.decoding import BadImage, Reading, read_image
from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.relevance import MARKS, Relevance
from gallerist.features.extractors import extract
from gallerist.features.store import Features, check_comparable
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, sha256_of_file
from gallerist.search.gallery import search_gallery
from gallerist.search.ranking import Ranking
from gallerist.serving.extractor import extractor_of
from gallerist.settings.ranking import Search
from gallerist.workflow.experiments import (
    Experiments,
    NotSearchable,
    refusal,
    verify_networks,
)
from gallerist.workflow.results import Results


@dataclass(frozen=True)
class Answer:
    """One answer. relevant: None when the query's class is not known."""

    rank: int
    picture: Picture
    distance: float
    relevant: bool | None

    @property
    def mark(self) -> str:
        """O for relevant, x for not, a blank for unknown."""
        return MARKS[self.relevant] or " "


def find_query(queries: Manifest, name: str) -> Picture:
    """A query by its number (from 1, in manifest order), its file name, or the end of its path.

    Raises UserError when there is none, or when several fit, naming them.
    """
    if name.isdecimal():
        number = int(name)
        if not 1 <= number <= len(queries):
            raise UserError(f"query {number}: the data set has queries 1 to {len(queries)}")
        return queries.pictures[number - 1]
    wanted = Path(name).parts
    fitting = [query for query in queries if Path(query.path).parts[-len(wanted) :] == wanted]
    if not fitting:
        example = f"; {queries.paths[0]} is one" if len(queries) else ""
        raise UserError(f"no query is called {name}{example}")
    if len(fitting) > 1:
        paths = ", ".join(query.path for query in fitting[:5])
        raise UserError(f"{len(fitting)} queries are called {name}: name one of {paths} ...")
    return fitting[0]


def search_query(results: Results, ranking: str, query: Picture, count: int) -> list[Answer]:
    """The first `count` answers to a query of the data set, as the workflow ranked them.

    ranking: its file among the results. Raises UserError when that is missing, when the query was
    added since, and when the gallery has changed since.
    """
    found = Ranking.read(results.path(ranking))
    if query.id not in found.query_ids:
        raise UserError(f"{query.path} has not been searched for: run the workflow again")
    row = found.query_ids.index(query.id)
    best = found.answers[row][:count], found.distances[row][:count]
    return _answers(results, *best, query.label)


def search_file(
    results: Results,
    experiment: str,
    experiments: Experiments,
    picture: PathLike,
    count: int,
    *,
    threads: int,
    **reading: Unpack[Reading],
) -> tuple[str | None, list[Answer]]:
    """The class of a picture file, where the data set has it, and its first `count` answers.

    experiments: of a complete configuration, by name. reading: see `decoding.Reading`.
    Raises decoding.BadImage when the file is no picture, NotSearchable, and UserError
    when the gallery's vectors are of another model, or other preprocessing, than is there now.
    """
    settings = experiments[experiment]
    if reason := refusal(experiment, settings):
        raise NotSearchable(f"{reason}; a query of the data set can be asked for with --query")
    try:  # a bad picture is named before a network is loaded
        read_image(picture, **reading)
    except BadImage as error:
        raise BadImage(f"{picture}: {error}") from error
    identifier = sha256_of_file(picture)[:16]
    verify_networks(results, experiment, experiments)
    extractor = extractor_of(results, experiment, experiments, threads=threads, **reading)
    query = extract(extractor, [picture], [identifier])
    reduced = bool(settings.get("reduction"))
    gallery = Features.read(*results.features(experiment, "gallery", reduced=reduced))
    check_comparable(query, gallery)
    ranking, _ = search_gallery(
        query, gallery, count, Search(**settings["search"]), threads=threads
    )
    label = _known_label(results, identifier)
    return label, _answers(results, ranking.answers[0], ranking.distances[0], label)


def _known_label(results: Results, identifier: str) -> str | None:
    for part in ("query", "gallery"):
        found = Manifest.read(results.path(f"manifests/{part}.csv")).by_id().get(identifier)
        if found is not None:
            return found.label
    return None


def _answers(
    results: Results, ids: Sequence[str], distances: Sequence[float], label: str | None
) -> list[Answer]:
    pictures = Manifest.read(results.path("manifests/gallery.csv")).by_id()
    if not pictures.keys() >= set(ids):
        raise UserError("the gallery has changed since it was ranked: run the workflow again")
    labels = {answer: pictures[answer].label for answer in ids}
    relevance = None if label is None else Relevance.of_classes({"": label}, labels)
    return [
        Answer(
            rank,
            pictures[answer],
            distance,
            None if relevance is None else relevance.is_relevant("", answer),
        )
        for rank, (answer, distance) in enumerate(zip(ids, distances, strict=True), start=1)
    ]
