"""How many queries are answered, and how many of the answers are wrong, at every threshold.

A query is answered where the distance of its first answer is below the threshold. Coverage is the
share of the queries that is answered, risk the share of wrong first answers among those that are
(El-Yaniv, Wiener, On the Foundations of Noise-free Selective Classification, 2010). In an open set
every query is asked once more with its class taken out of the gallery: whatever is answered then is
wrong. It is the first answer of another class, so nothing has to be searched again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf

import numpy as np

from gallerist.evaluation.abstaining import FirstAnswers
from gallerist.io.arrays import Floats
from gallerist.io.files import PathLike, write_csv

COLUMNS = ("distance_below", "coverage", "risk", "absent_answered", "open_risk")

MOST = 500
"""Thresholds of a curve: of more queries, as many, evenly by coverage."""


@dataclass(frozen=True)
class RiskCoverage:
    """What comes of some thresholds. Shares are float64 in [0, 1]; NaN where nothing is answered.

    below: (n,) the thresholds, rising. coverage, risk: (n,) of the queries as they are. absent:
    (n,) share of the queries that is answered though their class was taken out. open_risk: (n,)
    risk where `share` of the pictures asked are such. The last two are None where that is unknown.
    """

    below: Floats
    coverage: Floats
    risk: Floats
    absent: Floats | None
    open_risk: Floats | None
    share: float

    def write(self, path: PathLike) -> None:
        """Write as CSV, a row a threshold; what is unknown is empty."""
        write_csv(path, COLUMNS, self.rows())

    def rows(self) -> Iterator[list[str]]:
        """The cells of COLUMNS, a row a threshold."""
        columns = self.below, self.coverage, self.risk, self.absent, self.open_risk
        unknown = np.full(len(self.below), np.nan)
        cells = [unknown if column is None else column for column in columns]
        for row in zip(*cells, strict=True):
            yield ["" if x != x else f"{x:.9g}" for x in row]

    def figures(self) -> dict[str, float]:
        """Those of the first threshold by name, as far as they are known."""
        named = {"coverage": self.coverage, "risk": self.risk}
        if self.absent is not None and self.open_risk is not None:
            named |= {"absent answered": self.absent, "open risk": self.open_risk}
        found = {name: float(column[0]) for name, column in named.items()}
        return {name: value for name, value in found.items() if value == value}


def risk_coverage(first: FirstAnswers, share: float, below: Floats) -> RiskCoverage:
    """Coverage and risk at these thresholds.

    first: of (q,) queries, at least one. share: see RiskCoverage. below: (n,), rising.
    """
    answered = _shares_below(first.distances, below)
    wrong = _shares_below(first.distances[first.wrong], below) * first.wrong.mean()
    with np.errstate(invalid="ignore"):
        risk = wrong / answered
        if first.other is None:
            return RiskCoverage(below, answered, risk, None, None, share)
        absent = _shares_below(first.other, below)
        whole = (1 - share) * answered + share * absent
        mixed = ((1 - share) * wrong + share * absent) / whole
    return RiskCoverage(below, answered, risk, absent, mixed, share)


def curve(first: FirstAnswers, share: float) -> RiskCoverage:
    """Coverage and risk from the smallest threshold that answers a query to one that answers all.

    A threshold stands just above a distance, so that queries at one distance are answered together.
    """
    places = np.unique(first.distances[np.isfinite(first.distances)])
    if len(places) > MOST:
        places = places[np.linspace(0, len(places) - 1, MOST).round().astype(int)]
    return risk_coverage(first, share, np.append(np.nextafter(places, inf), inf))


def write_curves(curves: Mapping[str, RiskCoverage], path: PathLike) -> None:
    """Write those of several experiments as one CSV. curves: by experiment."""
    rows = ((name, *row) for name, each in curves.items() for row in each.rows())
    write_csv(path, ("experiment", *COLUMNS), rows)


def _shares_below(distances: Floats, below: Floats) -> Floats:
    """The share of the distances that is below each threshold: (n,) float64."""
    counts = np.searchsorted(np.sort(distances), below, side="left")
    return np.asarray(counts / max(1, len(distances)), dtype=np.float64)
