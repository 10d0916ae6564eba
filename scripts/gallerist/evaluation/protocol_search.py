"""Which protocols give a published figure, and how far each single choice moves it.

What is tried is what the data let vary: no ties, no choice about ties. Protocols that depart from
the default in more than `DEPARTURES` choices are not tried, since with every further one more
figures are met by chance.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any

import numpy as np

from gallerist.evaluation.judged_ranking import JudgedRanking
from gallerist.evaluation.protocol_scores import Figure, FoundRanks, figure_of, find_ranks
from gallerist.evaluation.protocols import (
    CHOICES,
    FAMILIES,
    OF_ORDER,
    Family,
    Measure,
    Protocol,
    is_defensible,
)
from gallerist.io.errors import UserError

DEPARTURES = 3
KS = (1, 5, 10)
"""Where a claim names no k."""

DEPTHS = (10, 100, 1000)
BATCHES = (16, 32, 64, 128, 256)
_EXACT = 1e-9
"""Sums in another order differ by less."""

Value = str | int | None


@dataclass(frozen=True)
class Claim:
    """A figure as it was published.

    text: with all its digits, "0.677" or "67.7". k: None where it is not known. family: what it
    is of; None where that is not known.
    """

    text: str
    k: int | None = None
    family: Family | None = None

    def __post_init__(self) -> None:
        """Refuse what is no figure, or says nothing."""
        if not re.fullmatch(r"\d{1,3}(\.\d+)?\s*%?|\.\d+\s*%?", self.text) or self.value > 1:
            raise UserError(
                f"the claim {self.text!r} is no figure of a metric: give it as it was published, "
                "such as 0.677 or 67.7"
            )
        if self.rounding > 0.01:
            raise UserError(
                f"the claim {self.text!r} has too few digits: any figure would match it"
            )
        if self.k is not None and self.k < 1:
            raise UserError(f"k is {self.k}; it is at least 1")

    @property
    def _scale(self) -> int:
        text = self.text.rstrip("% ")
        return 100 if "%" in self.text or float(text) > 1 else 1

    @property
    def value(self) -> float:
        """Between 0 and 1."""
        return float(self.text.rstrip("% ")) / self._scale

    @property
    def rounding(self) -> float:
        """Half a unit of the last digit, at least what sums in another order differ by."""
        decimals = len(self.text.rstrip("% ").partition(".")[2])
        return float(max(0.5 * 10.0**-decimals / self._scale, _EXACT))

    def distance(self, figure: float) -> float:
        """How far a figure is away from the claim; 0 within its rounding."""
        away = abs(figure - self.value)
        return 0.0 if away <= self.rounding + _EXACT else away

    def measures(self) -> tuple[Measure, ...]:
        """What it may be of."""
        ks, whole = (KS, True) if self.k is None else ((self.k,), False)
        if self.family is not None:
            return tuple(_measures(self.family, ks, whole=whole))
        return tuple(
            measure
            for family in FAMILIES
            for measure in _measures(family, ks, whole=whole)
            if measure.k != 1 or family in ("hit rate", "recall")  # the others equal the hit rate
        )


@dataclass(frozen=True)
class Scored:
    """What one protocol makes of the ranking. departures: the choices that are not the default."""

    measure: Measure
    protocol: Protocol
    figure: Figure
    departures: Mapping[str, Value]
    defensible: bool

    @property
    def common(self) -> frozenset[tuple[str, Value]]:
        """The departures that do not depend on the metric, which several claims can share."""
        kept = ((name, value) for name, value in self.departures.items() if name not in OF_MEASURE)
        return frozenset(kept)


OF_MEASURE = ("divisor", "integration")
"""Choices that only some metrics have."""


@dataclass(frozen=True)
class Explanation:
    """A claim, and what was tried for it, nearest first, then by the number of departures.

    giving: those whose figure is within the claim's rounding. possible: those with chance in them
    of which it is within two standard deviations.
    """

    claim: Claim
    tried: tuple[Scored, ...]

    @property
    def giving(self) -> list[Scored]:
        """Protocols that give the claimed figure, the fewest departures first."""
        return [
            each
            for each in self.tried
            if not each.figure.deviation and not self.claim.distance(each.figure.value)
        ]

    @property
    def possible(self) -> list[Scored]:
        """Protocols with chance in them whose figure may be the claimed one."""
        return [
            each
            for each in self.tried
            if each.figure.deviation
            and abs(each.figure.value - self.claim.value) <= 2 * each.figure.deviation
        ]

    @property
    def by_chance(self) -> float:
        """How many different figures any number near the claim would be given by.

        The figures within .05 of the claim, spread evenly, and the width of its rounding.
        """
        near = {
            round(each.figure.value, 12)
            for each in self.tried
            if not each.figure.deviation and abs(each.figure.value - self.claim.value) <= 0.05
        }
        return len(near) * min(1.0, 2 * self.claim.rounding / 0.1)


def _measures(family: Family, ks: Sequence[int], *, whole: bool) -> Iterator[Measure]:
    """Of one family: with `whole` those that need no k, and those at k."""
    if whole and family in ("mAP", "MRR", "nDCG"):
        yield Measure(family)
    if whole and family in ("mAP", "precision"):
        yield Measure(family, "R")
    for k in ks:
        yield Measure(family, k)


def default(judged: JudgedRanking, measure: Measure) -> Protocol:
    """The protocol of `gallerist evaluate`, by the truth's first setup; see `Protocol`."""
    divisor = ""
    if measure.family == "mAP":
        divisor = "min(k, R)" if isinstance(measure.k, int) else "R"
    elif measure.family == "precision":
        divisor = "k"
    return Protocol(
        setup=next(iter(judged.setups), ""),
        own="out" if judged.own_is_file else "in",
        divisor=divisor,
    )


def alternatives(judged: JudgedRanking, measure: Measure) -> dict[str, tuple[Value, ...]]:
    """Choice -> the values besides the default that the data and the metric let it have."""
    of_query, of_picture = judged.originals
    listed = int(judged.lengths.max(initial=0))
    lowest = measure.k if isinstance(measure.k, int) else 1
    classes = judged.classes
    fewer_originals = len(np.unique(of_picture)) < len(of_picture)
    has_distractors = classes is not None and bool((classes.gallery == classes.distractor).any())
    wanted: dict[str, tuple[Value, ...]] = {
        "keys": ("gallery, by name", "gallery, any order")
        if classes is not None and len(judged.queries) <= len(judged.gallery)
        else (),
        "own": _own_values(judged, fewer_originals),
        "junk": ("wrong",) if any(len(pairs.junk) for pairs in judged.setups.values()) else (),
        "copies": ("one",) if fewer_originals else (),
        "distractors": ("match each other",) if has_distractors else (),
        "ties": ("right first", "right last", "by id", "by id, falling") if _ties(judged) else (),
        "depth": tuple(depth for depth in DEPTHS if lowest <= depth < listed),
        "divisor": _divisors(measure),
        "integration": ("trapezoids",) if measure.family == "mAP" else (),
        "average": (("classes",) if classes is not None else ())
        + (("originals",) if len(np.unique(of_query)) < len(of_query) else ()),
        "unanswerable": ("count as 0",),
        "batch": tuple(
            size for size in BATCHES if len(judged.queries) % size and size < len(judged.queries)
        ),
    }
    return {name: values for name, values in wanted.items() if values}


def _own_values(judged: JudgedRanking, fewer_originals: bool) -> tuple[Value, ...]:
    if not (judged.own >= 0).any() and not (judged.own_is_file and fewer_originals):
        return ()
    other = "in" if judged.own_is_file else "out"
    return (other, "out, with its copies") if judged.own_is_file and fewer_originals else (other,)


def _divisors(measure: Measure) -> tuple[Value, ...]:
    whole = not isinstance(measure.k, int)
    if measure.family == "mAP":
        return ("hits",) if whole else ("R", "hits")
    if measure.family == "precision" and not whole:
        return ("min(k, R)", "min(k, last right rank)")
    return ()


def _ties(judged: JudgedRanking) -> bool:
    same = (np.diff(judged.query_of) == 0) & (np.diff(judged.distances) == 0)
    return bool(same.any())


class Search:
    """Scores one ranking under many protocols, and computes nothing twice."""

    def __init__(self, judged: JudgedRanking) -> None:
        """Compute nothing yet."""
        self.judged = judged
        self._found: dict[tuple[Value, ...], tuple[FoundRanks, ...]] = {}
        self._scored: dict[Measure, tuple[Scored, ...]] = {}

    def explain(self, claim: Claim) -> Explanation:
        """Try every protocol for a claim."""
        deepest = int(self.judged.lengths.max())
        tried = [
            each
            for measure in claim.measures()
            if claim.k is not None or not isinstance(measure.k, int) or measure.k < deepest
            for each in self.score_all(measure)
        ]
        tried.sort(key=lambda each: (claim.distance(each.figure.value), len(each.departures)))
        return Explanation(claim, tuple(tried))

    def score_all(self, measure: Measure) -> tuple[Scored, ...]:
        """Every protocol of one metric that makes a difference; in the order they are tried.

        One that gives the figure of another with fewer of the same departures is left out.
        """
        if measure not in self._scored:
            base = default(self.judged, measure)
            setups = tuple(self.judged.setups) or ("",)
            kept: list[Scored] = []
            for setup in setups:
                kept += self._of_setup(measure, replace(base, setup=setup))
            self._scored[measure] = tuple(kept)
        return self._scored[measure]

    def single_choices(self, measure: Measure, setup: str) -> list[Scored]:
        """The default of one metric, and each departure from it alone; with the key fault last."""
        base = replace(default(self.judged, measure), setup=setup)
        values = alternatives(self.judged, measure)
        wanted = [self._score(measure, each, base) for each in _variants(base, values, 1)]
        if {"keys", "distractors"} <= set(values):  # the published fault is both
            both = replace(base, keys="gallery, by name", distractors="match each other")
            wanted.append(self._score(measure, both, base))
        return wanted

    def _of_setup(self, measure: Measure, base: Protocol) -> list[Scored]:
        kept: dict[tuple[float, float], list[Scored]] = {}
        for protocol in _variants(base, alternatives(self.judged, measure), DEPARTURES):
            scored = self._score(measure, protocol, base)
            alike = kept.setdefault((round(scored.figure.value, 12), scored.figure.deviation), [])
            if not any(one.departures.items() <= scored.departures.items() for one in alike):
                alike.append(scored)
        return [each for alike in kept.values() for each in alike]

    def _score(self, measure: Measure, protocol: Protocol, base: Protocol) -> Scored:
        key = tuple(getattr(protocol, name) for name in OF_ORDER)
        if key not in self._found:
            self._found[key] = find_ranks(self.judged, protocol)
        figure = figure_of(self.judged, self._found[key], protocol, measure)
        departures = protocol.departures(base)
        return Scored(measure, protocol, figure, departures, is_defensible(protocol, base))


def _variants(
    base: Protocol, values: Mapping[str, Sequence[Value]], most: int
) -> Iterator[Protocol]:
    """The default, then what departs from it in one choice, in two, up to `most`."""
    names = [name for name in CHOICES if name in values]
    for count in range(most + 1):
        for chosen in combinations(names, count):
            for taken in product(*(values[name] for name in chosen)):
                changes: dict[str, Any] = dict(zip(chosen, taken, strict=True))
                protocol = replace(base, **changes)
                if _makes_sense(protocol, base, distractors="distractors" in values):
                    yield protocol


def _makes_sense(protocol: Protocol, base: Protocol, *, distractors: bool) -> bool:
    """Keys in any order are tried with distractors that match, and with nothing else beside.

    Such keys cost a ranking a class, and a key that is a distractor must match something.
    """
    if protocol.keys != "gallery, any order":
        return True
    wanted = {"keys", "distractors"} if distractors else {"keys"}
    return set(protocol.departures(base)) == wanted


def common_choices(explanations: Sequence[Explanation]) -> list[frozenset[tuple[str, Value]]]:
    """The choices that give every claim, each as one set, the fewest first.

    Of those that do not depend on the metric; a set of which another is a part is left out.
    """
    sets = [{each.common for each in one.giving} for one in explanations]
    shared = set[frozenset[tuple[str, Value]]].intersection(*sets) if sets else set()
    ordered = sorted(shared, key=lambda each: (len(each), sorted(map(str, each))))
    return [each for each in ordered if not any(other < each for other in ordered)]
