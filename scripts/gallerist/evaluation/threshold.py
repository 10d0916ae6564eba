"""The distance of a first answer from which on a search says "nothing in the gallery"."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from gallerist.io.files import read_json
from gallerist.workflow.results import Results

NOTHING = "nothing in the gallery"
DIGITS = 9
"""Of a distance in a ranking's file, behind the point."""


@dataclass(frozen=True)
class Promise:
    """What is promised of the answers: see `abstaining`.

    risk: share of the answers that may be wrong. confidence: that the promise is kept.
    absent: share of the pictures asked of which the gallery has nothing.
    """

    risk: float
    confidence: float
    absent: float

    def __str__(self) -> str:
        asked = f", even if the gallery has nothing of {_percent(self.absent)} of the pictures"
        return (
            f"with {_percent(self.confidence)} certainty at most {_percent(self.risk)} of the "
            f"answers are wrong{asked if self.absent else ''}"
        )


@dataclass(frozen=True)
class Threshold:
    """Below which distance of the first answer a picture is answered.

    below: infinite where every picture is; None where there is no threshold. promise: that it
    keeps. originals: that it was fitted on. refusal: why there is none.
    """

    below: float | None
    promise: Promise
    originals: int
    refusal: str | None = None

    def answers(self, distance: float) -> bool | None:
        """Whether a picture is answered whose first answer is so far; None where unknown."""
        if self.below is None:
            return None
        # It was fitted on distances as a ranking's file has them.
        return round(distance, DIGITS) < self.below

    def refuses(self, distance: float) -> str | None:
        """Why a picture is not answered whose first answer is so far; None where it may be."""
        if self.answers(distance) is not False:
            return None
        return (
            f"{NOTHING}: its first answer is at a distance of {distance:.4g}, and answers are "
            f"given below {self.below:.4g} alone ({self.promise})"
        )

    def __str__(self) -> str:
        if self.below is None:
            return f"no threshold can promise that {self.promise}: {self.refusal}"
        where = (
            "at every distance" if self.below == inf else f"below a distance of {self.below:.4g}"
        )
        return f"answers {where}: {self.promise}"

    def as_json(self) -> dict[str, Any]:
        """It in plain values: `distance_below` is null where every picture is answered, or none."""
        return {
            "says": str(self),
            "promised": self.below is not None,
            "distance_below": None if self.below == inf else self.below,
            "risk": self.promise.risk,
            "confidence": self.promise.confidence,
            "absent": self.promise.absent,
            "fitted_on": self.originals,
            "refusal": self.refusal,
        }

    @classmethod
    def of(cls, held: Mapping[str, Any]) -> "Threshold":
        """What `as_json` gave."""
        below = held["distance_below"]
        if held["promised"] and below is None:
            below = inf
        promise = Promise(held["risk"], held["confidence"], held["absent"])
        return cls(below, promise, held["fitted_on"], held["refusal"])


def threshold_of(results: Results, experiment: str) -> Threshold | None:
    """What was fitted when an experiment was evaluated; None where nothing was."""
    file = f"evaluation/{experiment}/metrics.json"
    if not (results.folder / file).is_file():
        return None
    held = read_json(results.path(file)).get("abstaining")
    return None if held is None else Threshold.of(held)


def _percent(share: float) -> str:
    return f"{100 * share:.6g} %"
