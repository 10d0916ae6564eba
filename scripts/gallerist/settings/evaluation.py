"""Sections `search` and `evaluation`: how far a ranking reaches, what is measured and drawn."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from gallerist.settings.base import (
    ALL_DIFFER,
    Count,
    Float,
    Int,
    Natural,
    Seed,
    Settings,
    item,
    key,
)

Explanation = Annotated[
    Literal["map", "similarity"], Field(json_schema_extra={"x-noun": "an explanation"})
]
Metric = Annotated[str, item("a metric such as mAP, mAP@10, nDCG@10")]


class SearchDepth(Settings):
    """Exact nearest neighbours of every query in the gallery."""

    depth: Count | None = key(1000, "answers")
    """Answers kept for each query, at least the largest of `evaluation.k`. `null`: the whole
    gallery. A metric that looks further, such as mAP, is left out, and said so."""


class Abstaining(Settings):
    """A threshold on the distance of the first answer, fitted on the held-out training pictures,
    from which on a search says "nothing in the gallery"; and curves of risk against coverage.
    `null`: none.
    """

    risk: Float = key(0.05, "fraction", gt=0, lt=1)
    """At most this share of the answers is wrong, at the level `confidence`."""
    absent: Float = key(0.5, "fraction", ge=0, lt=1)
    """Share of the pictures asked of which the gallery has nothing, at most. 0: the gallery has
    something of each."""


class Folds(Settings):
    """Into how many folds, and how, the gallery is divided. For `protocol: cross` only, and not
    needed there.
    """

    number: Int = key(5, "folds", ge=2, doc="How many folds there are.")
    by: Literal["original", "class"] = key("original", noun="a way to divide")
    """`original`: each fold has its share of each class, and copies of one original are in one
    fold; its pictures search those of all other folds. `class`: each fold has classes of its own,
    and its pictures search each other."""
    seed: Seed = key(99, doc="Draws the folds.")


def asking_of(protocol: str, folds: Mapping[str, Any]) -> dict[str, Any] | None:
    """Which pictures of the gallery do not answer each other, by a protocol and its folds.

    What is not said of the folds is as it is by default. None where all pictures do.
    """
    if protocol == "cross":
        return {"folds": {**Folds().model_dump(), **folds}}
    return {"leave_out": "original"} if protocol == "leave_original_out" else None


class Evaluation(Settings):
    """What is measured and drawn."""

    protocol: Literal["gallery_and_query", "leave_one_out", "leave_original_out", "cross"] = key(
        "gallery_and_query", noun="a protocol"
    )
    """Who searches what. `gallery_and_query`: each picture of the part query the gallery. Without
    such a part: `leave_one_out`, each picture of the gallery all others of it, as metric learning
    is judged; `leave_original_out`, those that are not made from its original; `cross`, as `folds`
    says."""
    folds: Folds | None = key(None, absent=True)
    k: Annotated[list[Count], ALL_DIFFER] = key(
        [1, 3, 5, 10],
        "answers",
        expects="a list of different whole numbers of at least 1, such as [1, 3, 5, 10]",
        min_length=1,
    )
    """The hit rate is reported at each: the share of queries with a right picture among the first
    k."""
    metrics: Annotated[list[Metric], ALL_DIFFER] = key(
        ["mAP", "mAP@10", "R-precision", "MRR", "nDCG@10"],
        expects='a list of different metrics, such as [mAP, "nDCG@10"]',
    )
    """Further metrics, each defined in docs/evaluation.md."""
    decided_by: str = key(
        "top-1", expects="top-1, another of evaluation.k, or one of evaluation.metrics"
    )
    """The one metric by which two experiments are called different: `top-1`, another of `k`, or one
    of `metrics`."""
    confidence: Float = key(0.95, "fraction", gt=0.5, lt=1)
    """Level of the intervals. Differences count as real at 1 minus it."""
    bootstrap_rounds: Int = key(10_000, "rounds", ge=100)
    """Times the original pictures among the queries are drawn anew for an interval."""
    seed: Seed = key(99, doc="Draws the originals of the intervals, and the flips of the tests.")
    abstaining: Abstaining | None = key(None)
    answers_drawn: Count = key(10, "answers")
    """Answers beside each drawn query. At most `search.depth`."""
    queries_drawn: Annotated[
        list[Annotated[str, item("a file name", min_length=1)]], ALL_DIFFER
    ] = key([], expects="a list of different file names", example=["dog_7.png", "cat_3.png"])
    """File names of queries to draw, beside the best, the median and the worst."""
    explanations: Annotated[list[Explanation], ALL_DIFFER] = key(
        ["map", "similarity"], expects="a list of map and similarity, or []"
    )
    """Pictures that take a while: `map`, gallery and queries in one plane; `similarity`, which
    regions made two pictures match, for networks. Of several seeds of
    an experiment the first is drawn. `[]`: none."""
    strips_drawn: Natural = key(6, "queries")
    """Queries in each of the pictures of the best, the median and the worst ones."""

    @property
    def asking(self) -> dict[str, Any] | None:
        """Which pictures of the gallery do not answer each other; None where all do."""
        return asking_of(self.protocol, self.folds.model_dump() if self.folds else {})
