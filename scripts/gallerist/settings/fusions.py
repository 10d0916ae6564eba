"""Experiments of kind `fusion`: other experiments, combined by their vectors or their rankings."""

from typing import Annotated, Literal

from pydantic import Field

from gallerist.settings.base import ALL_DIFFER, Count, Seed, Settings, item, key
from gallerist.settings.ranking import KIND, RankedByVectors


class Combined(Settings):
    """An experiment made of others."""

    fusion: str = KIND
    of: Annotated[
        list[Annotated[str, item("the name of an experiment", min_length=1)]], ALL_DIFFER
    ] = key(
        ...,
        expects="a list of names of experiments, such as [resnet152, sift]",
        example=["resnet152", "sift"],
        min_length=1,
    )
    """The experiments that are combined, by name. None of them is a fusion itself."""


class _WeightedKeys(Combined):
    seed: Seed = key(99, doc="Draws the pairs of validation pictures.")


class Concatenation(RankedByVectors, Combined):
    """The vectors of other experiments joined, each scaled to length 1 first. Of one experiment,
    its vectors as they are, to search them in another way without training anything again.
    """

    fusion: Literal["concatenation"] = KIND


class Weighted(RankedByVectors, _WeightedKeys):
    """The vectors of other experiments joined, each with the weight that tells pictures of one
    class from pictures of two best on the validation pictures (logistic regression on the cosines).
    """

    fusion: Literal["weighted"] = KIND


class Ranks(Combined):
    """The rankings of other experiments joined by rank alone, whatever their distances mean
    (reciprocal rank fusion; Cormack et al., 2009).
    """

    fusion: Literal["ranks"] = KIND
    constant: Count = key(60, doc="A rank r adds 1 / (constant + r) to a picture's score.")


Fusion = Annotated[Concatenation | Weighted | Ranks, Field(discriminator="fusion")]
