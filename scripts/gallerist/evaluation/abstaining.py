"""When to answer: a threshold on the distance of the first answer, with a promise.

The promise: with confidence 1 - delta, at most a share `risk` of the answers is wrong, among
the pictures that are answered at all. This is selective prediction with guaranteed risk (Geifman,
El-Yaniv, Selective Classification for Deep Neural Networks, 2017), as a test of several thresholds
(Angelopoulos, Bates, Candès, Jordan, Lei, Learn then Test, 2021). Split conformal prediction says
something weaker: it holds on average over calibrations, not for the one at hand.

Of n calibration queries in the order of their distances d(1) <= ... <= d(n), a candidate answers
those below d(k + 1), for some k chosen by n alone. Given d(k + 1), the m queries below it are
independent draws of the queries that are answered, and so the number of wrong ones among them is
binomial: P(Bin(m, risk) <= wrong) is an exact p-value of "more than `risk` is wrong", whatever the
distances and ties are. The candidates share delta (Bonferroni), so that none that breaks the
promise passes, but with chance delta. The one that answers most of those that pass is taken. It is
not assumed that answers get worse with distance. (To test them in a fixed order at delta each, they
have to be fixed beforehand, but distances have no common scale.)

What is assumed: the originals that it is fitted on, and the pictures that will be asked, are
independent draws from one population, and the gallery and the vectors are fixed. Copies of one
original are right or wrong together: one of them is drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, log, log2

import numpy as np

from gallerist.evaluation.relevance import Relevance
from gallerist.evaluation.threshold import Promise, Threshold
from gallerist.io.arrays import Booleans, Floats
from gallerist.io.files import sha256_of_text
from gallerist.search.ranking import Ranking

_CANDIDATES_A_DOUBLING = 3
"""So many while the queries that they answer double."""


@dataclass(frozen=True, eq=False)
class FirstAnswers:
    """The first answers to some queries.

    originals: of each query. distances: (n,) float64 of the first answers, infinite without one.
    wrong: (n,) bool. other: (n,) float64, the distance of the first answer that is not relevant:
    what the first one would be if the gallery had nothing of the query; None where an answer's
    place depends on the other pictures of the gallery.
    """

    originals: tuple[str, ...]
    distances: Floats
    wrong: Booleans
    other: Floats | None

    @classmethod
    def of(
        cls,
        ranking: Ranking,
        relevance: Relevance,
        originals: Mapping[str, str],
        *,
        by_distance: bool,
    ) -> "FirstAnswers":
        """Those of a ranking. originals: query -> original. by_distance: see `other`.

        A query of which the gallery has nothing counts: whatever is answered to it is wrong. Where
        all answers that were kept are relevant, `other` is the last one's distance, which is at
        most what it should be.
        """
        found = [
            _first(relevance, query, answers, distances)
            for query, answers, distances in zip(
                ranking.query_ids, ranking.answers, ranking.distances, strict=True
            )
        ]
        distances, wrong, other = np.array(found, dtype=np.float64).reshape(-1, 3).T
        names = tuple(originals[query] for query in ranking.query_ids)
        return cls(names, distances, wrong > 0, other if by_distance else None)

    def calibration(self, absent: float, seed: int) -> tuple[Floats, Booleans]:
        """Distances, and which are wrong, of one query of each original: independent ones.

        absent: the chance of each that the gallery has nothing of it. It is drawn by original and
        seed alone, so that another picture changes no draw. Raises ValueError where that cannot
        be known: see `other`.
        """
        if absent and self.other is None:
            raise ValueError("what an answer would be without others cannot be known")
        members: dict[str, list[int]] = {}
        for row, original in enumerate(self.originals):
            members.setdefault(original, []).append(row)
        rows, gone = [], []
        for original, copies in members.items():
            rows.append(copies[int(_uniform(seed, "copy", original) * len(copies))])
            gone.append(_uniform(seed, "absent", original) < absent)
        drawn, without = np.array(rows, dtype=np.int64), np.array(gone, dtype=np.bool_)
        distances, wrong = self.distances[drawn], self.wrong[drawn] | without
        if self.other is not None:
            distances = np.where(without, self.other[drawn], distances)
        return distances, wrong


def _first(
    relevance: Relevance, query: str, answers: Sequence[str], distances: Sequence[float]
) -> tuple[float, bool, float]:
    """Distance of the first answer, whether it is wrong, and that of the first wrong one."""
    if not answers:
        return inf, True, inf
    right = relevance.relevant[query]
    other = next((place for place, answer in enumerate(answers) if answer not in right), None)
    if other is None:
        known = relevance.gallery is not None and len(answers) >= len(relevance.gallery)
        return distances[0], False, inf if known else distances[-1]
    return distances[0], other == 0, distances[other]


def fit(first: FirstAnswers, promise: Promise, seed: int) -> Threshold:
    """The threshold that answers most and keeps the promise, or why there is none.

    seed: see `FirstAnswers.calibration`.
    """
    if promise.absent and first.other is None:
        reason = (
            "an answer's place depends on more than its own distance, so that nobody knows what "
            "would be answered without the query's class; evaluation.abstaining.absent: 0 needs no "
            "such knowledge"
        )
        return Threshold(None, promise, len(set(first.originals)), reason)
    distances, wrong = first.calibration(promise.absent, seed)
    delta = 1 - promise.confidence
    below = highest_threshold(distances, wrong, promise.risk, delta)
    needed = ceil(fewest(promise.risk, delta) / (1 - promise.absent))
    reason = "too many of their first answers are wrong, at any distance"
    if len(distances) < needed:
        reason = f"that takes at least {needed} held-out training pictures, copies counted once"
    there = f"{reason}; there are {len(distances)}"
    return Threshold(below, promise, len(distances), there if below is None else None)


def highest_threshold(
    distances: Floats, wrong: Booleans, risk: float, delta: float
) -> float | None:
    """The largest of the candidates below which at most a share `risk` of the answers is wrong.

    distances: (n,) of the first answers to independent queries. wrong: (n,) bool. It is right with
    chance 1 - delta at least; None where no candidate is. Infinite: every query is answered.
    """
    from scipy.special import bdtr  # P(Bin(n, p) <= k)

    ends = np.append(np.sort(distances), inf)
    for count, level in reversed(candidates(len(distances), risk, delta)):
        answered = distances < ends[count]
        total, mistakes = int(answered.sum()), int((answered & wrong).sum())
        if total and bdtr(mistakes, total, risk) <= level:
            return float(ends[count])
    return None


def candidates(queries: int, risk: float, delta: float) -> list[tuple[int, float]]:
    """How many queries each candidate answers, rising, and the level that it is tested at.

    The levels add up to delta at most. The first, which answers as few as can pass without a wrong
    answer, has half of it, so that few queries are enough to promise something; the others share
    the rest, and the last answers all. None where the queries are too few for any.
    """
    least = fewest(risk, delta / 2)
    if queries < least:
        least = fewest(risk, delta)
        return [(least, delta)] if queries >= least else []
    more = ceil(_CANDIDATES_A_DOUBLING * log2(queries / least))
    while more and fewest(risk, delta / 2 / more) >= queries:
        more -= 1
    if not more:
        return [(least, delta / 2)]
    spread = np.geomspace(queries, fewest(risk, delta / 2 / more), more).round().astype(int)
    counts = sorted(set(spread.tolist()))
    return [(least, delta / 2), *((count, delta / 2 / len(counts)) for count in counts)]


def fewest(risk: float, delta: float) -> int:
    """Right answers without a wrong one that show a risk of at most `risk`: 59 at .05 and .05."""
    return ceil(log(delta) / log(1 - risk) - 1e-9)


def _uniform(seed: int, what: str, name: str) -> float:
    """A number in [0, 1) of its own for every name."""
    digits = 13
    return float(int(sha256_of_text(f"{seed} {what} {name}")[:digits], 16) / 16**digits)
