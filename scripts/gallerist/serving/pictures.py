"""The pictures that a data set answers with, and an answer: light, for whoever only shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.relevance import MARKS, Relevance
from gallerist.workflow.results import Results


@dataclass(frozen=True)
class Answer:
    """One answer. relevant: None for junk, and where it is not known: see `KnownPictures.judge`."""

    rank: int
    picture: Picture
    distance: float
    relevant: bool | None

    @property
    def mark(self) -> str:
        """O for relevant, x for not, a blank for neither."""
        return MARKS[self.relevant] or " "


@dataclass(frozen=True)
class KnownPictures:
    """The pictures of a data set's gallery and its queries, by id, in manifest order.

    stated: what is right, where the data set states it; None where classes say it.
    """

    gallery: Mapping[str, Picture]
    queries: Mapping[str, Picture]
    stated: Relevance | None = None

    @classmethod
    def read(cls, results: Results, *, stated: bool = False) -> "KnownPictures":
        """Those of the manifests, and what is stated to be right, where something is.

        Raises UserError where a file is missing.
        """
        gallery, queries = (
            Manifest.read(results.path(manifest)) for manifest in results.searched.values()
        )
        relevance = None
        if stated:
            from gallerist.evaluation.stated_truth import relevance_of

            truth = results.path("truth.csv")
            relevance = relevance_of(queries.label_of, gallery.label_of, truth)
        return cls(gallery.by_id(), queries.by_id(), relevance)

    def judge(self, identifier: str, answers: Sequence[str]) -> list[bool | None]:
        """Whether each answer to a picture is right, all by id.

        None for junk; and where a class decides that is not known, or what was stated says nothing
        of the picture, which is no query of the data set.
        """
        if self.stated is not None:
            asked = identifier in self.stated.relevant
            return [self.stated.judge(identifier, each) if asked else None for each in answers]
        if not (label := self.label(identifier)):
            return [None] * len(answers)
        labels = {answer: self.gallery[answer].label for answer in answers}
        by_class = Relevance.of_classes({"": label}, labels)
        return [by_class.is_relevant("", answer) for answer in answers]

    def label(self, identifier: str) -> str | None:
        """The class of a picture by its id; None where the data set does not have it."""
        found = self.queries.get(identifier) or self.gallery.get(identifier)
        return None if found is None else found.label
