"""What a served model answers to one picture: every field is a column of its table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Answers:
    """The answers to one picture, best first; one item an answer in each.

    names: of the gallery's files, within their common folder. labels: their classes.
    ids: of their content. distances: from the picture, by the experiment's own measure.
    sure: "yes", "no" where the first answer is too far for what was promised, so that nothing in
    the gallery is to be said, and "unknown" where nothing was; see `evaluation.threshold`.
    """

    names: list[str]
    labels: list[str]
    ids: list[str]
    distances: list[float]
    sure: str
