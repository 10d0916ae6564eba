"""What one experiment reaches where it may abstain: its threshold, and what comes of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gallerist.data.manifest import Manifest
from gallerist.evaluation.abstaining import FirstAnswers, fit
from gallerist.evaluation.relevance import Relevance
from gallerist.evaluation.risk_coverage import RiskCoverage, curve, risk_coverage
from gallerist.evaluation.threshold import Promise, Threshold
from gallerist.search.ranking import Ranking


@dataclass(frozen=True)
class Abstaining:
    """The threshold, fitted on one set of queries, and what comes of it for another.

    curve: of all thresholds. reached: of this one; None where there is none.
    """

    threshold: Threshold
    curve: RiskCoverage
    reached: RiskCoverage | None

    def as_json(self) -> dict[str, Any]:
        """The threshold, as `Threshold.as_json`, and under `queries` what it reaches."""
        return self.threshold.as_json() | {"queries": self.figures}

    @property
    def figures(self) -> dict[str, float]:
        """What is reached, by name; nothing without a threshold."""
        return self.reached.figures() if self.reached else {}


Asked = tuple[Ranking, Manifest]
"""The answers to queries, and the queries."""


def abstain(
    asked: Asked,
    validation: Asked,
    gallery: Manifest,
    promise: Promise,
    *,
    seed: int,
    by_distance: bool,
) -> Abstaining:
    """Fit the threshold on the pictures of the validation, and see what it does for others.

    seed: see `abstaining.fit`. by_distance: whether an answer's place depends on its own distance
    alone.
    """
    fitted, first = (_first_answers(*each, gallery, by_distance) for each in (validation, asked))
    threshold, reached = fit(fitted, promise, seed), None
    if threshold.below is not None:
        reached = risk_coverage(first, promise.absent, np.array([threshold.below]))
    return Abstaining(threshold, curve(first, promise.absent), reached)


def _first_answers(
    ranking: Ranking, queries: Manifest, gallery: Manifest, by_distance: bool
) -> FirstAnswers:
    originals = dict(zip(queries.ids, queries.sources, strict=True))
    relevance = Relevance.of_classes(queries.label_of, gallery.label_of)
    return FirstAnswers.of(ranking, relevance, originals, by_distance=by_distance)
