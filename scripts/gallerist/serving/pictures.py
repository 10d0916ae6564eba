"""The pictures that a data set answers with, and an answer: light, for whoever only shows them."""

from collections.abc import Mapping
from dataclasses import dataclass

from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.relevance import MARKS
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


@dataclass(frozen=True)
class KnownPictures:
    """The pictures of a data set's gallery and its queries, by id, in manifest order."""

    gallery: Mapping[str, Picture]
    queries: Mapping[str, Picture]

    @classmethod
    def read(cls, results: Results) -> "KnownPictures":
        """Those of the manifests. Raises UserError where one is missing."""
        return cls(
            *(
                Manifest.read(results.path(manifest)).by_id()
                for manifest in results.searched.values()
            )
        )

    def label(self, identifier: str) -> str | None:
        """The class of a picture by its id; None where the data set does not have it."""
        found = self.queries.get(identifier) or self.gallery.get(identifier)
        return None if found is None else found.label
