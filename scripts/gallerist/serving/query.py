"""One query at a time: a picture of the data set by name or number, or any picture file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from gallerist.data.boxes import picture_id, split_box
from gallerist.data.decoding import BadImage, Reading, read_image
from gallerist.data.manifest import Manifest, Picture
from gallerist.features.extractors import extract
from gallerist.features.store import Features, check_comparable
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, sha256_of_file
from gallerist.search.gallery import PreparedGallery
from gallerist.search.ranking import Ranking
from gallerist.serving.extractor import extractor_of
from gallerist.serving.pictures import Answer, KnownPictures
from gallerist.settings.ranking import Search
from gallerist.workflow.experiments import (
    Experiments,
    NotSearchable,
    refusal,
    verify_networks,
)
from gallerist.workflow.results import Results


class GallerySearch:
    """One experiment's gallery, loaded and ready for any picture. Not for several threads at once.

    Its answers to one picture are the workflow's to the same picture as a query.
    """

    def __init__(
        self,
        results: Results,
        experiment: str,
        experiments: Experiments,
        *,
        threads: int,
        known: KnownPictures | None = None,
        **reading: Unpack[Reading],
    ) -> None:
        """experiments: of a complete configuration, by name. known: where they were read already.

        Raises NotSearchable, and UserError as `extractor_of` and `Features.read`.
        """
        settings = experiments[experiment]
        _check_single(experiment, experiments)
        verify_networks(results, experiment, experiments)
        self._extractor = extractor_of(results, experiment, experiments, threads=threads, **reading)
        reduced = bool(settings.get("reduction"))
        self._gallery = Features.read(*results.features(experiment, "gallery", reduced=reduced))
        self._prepared = PreparedGallery(
            self._gallery,
            Search(**settings["search"]),
            threads=threads,
            kept_in=results.folder / f"store/indexes/{experiment}",
        )
        self._known = KnownPictures.read(results) if known is None else known

    def search(self, picture: PathLike, count: int) -> tuple[str | None, list[Answer]]:
        """The class of a picture file, where the data set has it, and its first `count` answers.

        Raises decoding.BadImage when the file is no picture, and UserError when the gallery's
        vectors are of another model, or other preprocessing, than is there now.
        """
        file, box = split_box(picture)
        identifier = picture_id(sha256_of_file(file), box)
        query = extract(self._extractor, [picture], [identifier])
        check_comparable(query, self._gallery)
        ranking = self._prepared.rank(query, count)
        label = self._known.label(identifier)
        best = ranking.answers[0], ranking.distances[0]
        return label, _answers(self._known, identifier, *best)


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


def search_query(
    results: Results, ranking: str, query: Picture, count: int, known: KnownPictures
) -> list[Answer]:
    """The first `count` answers to a query of the data set, as the workflow ranked them.

    ranking: its file among the results. known: the pictures of the data set. Raises UserError when
    that file is missing, when the query was added since, and when the gallery has changed since.
    """
    found = Ranking.read(results.path(ranking))
    if query.id not in found.query_ids:
        raise UserError(f"{query.path} has not been searched for: run the workflow again")
    row = found.query_ids.index(query.id)
    best = found.answers[row][:count], found.distances[row][:count]
    return _answers(known, query.id, *best)


def search_file(
    results: Results,
    experiment: str,
    experiments: Experiments,
    picture: PathLike,
    count: int,
    *,
    threads: int,
    known: KnownPictures | None = None,
    **reading: Unpack[Reading],
) -> tuple[str | None, list[Answer]]:
    """The class of a picture file, where the data set has it, and its first `count` answers.

    experiments: of a complete configuration, by name. known: where they were read already.
    reading: see `decoding.Reading`.
    Raises decoding.BadImage when the file is no picture, NotSearchable, and UserError
    when the gallery's vectors are of another model, or other preprocessing, than is there now.
    """
    _check_single(experiment, experiments)
    try:  # a bad picture is named before a network is loaded
        read_image(picture, **reading)
    except BadImage as error:
        raise BadImage(f"{picture}: {error}") from error
    loaded = GallerySearch(
        results, experiment, experiments, threads=threads, known=known, **reading
    )
    return loaded.search(picture, count)


def _check_single(experiment: str, experiments: Experiments) -> None:
    """Raise NotSearchable unless one picture alone can be ranked as the experiment ranks."""
    if reason := refusal(experiment, experiments[experiment]):
        raise NotSearchable(f"{reason}; a query of the data set can be asked for with --query")


def _answers(
    known: KnownPictures, identifier: str, ids: Sequence[str], distances: Sequence[float]
) -> list[Answer]:
    if not known.gallery.keys() >= set(ids):
        raise UserError("the gallery has changed since it was ranked: run the workflow again")
    rows = zip(ids, distances, known.judge(identifier, ids), strict=True)
    return [
        Answer(rank, known.gallery[answer], distance, relevant)
        for rank, (answer, distance, relevant) in enumerate(rows, start=1)
    ]
