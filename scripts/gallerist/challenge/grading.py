"""Grades of the unlabelled challenge by its ground truth, as they should be."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gallerist.challenge.truth import Truth
from gallerist.data.manifest import DISTRACTOR
from gallerist.evaluation.bootstrap import ROUNDS, Estimate, IntervalSettings
from gallerist.evaluation.curves import Curve, curve, hits_among_distractors
from gallerist.evaluation.metrics import metric
from gallerist.evaluation.relevance import RelevantRanks, TruncatedRanking
from gallerist.evaluation.scores import Scores
from gallerist.io.arrays import Floats
from gallerist.io.errors import UserError

Answers = Mapping[str, Sequence[str]]
"""Query file name -> gallery file names, best first: `Submission.answers`, or a whole ranking."""

KS = (1, 5, 10)
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Grade:
    """What answers reach by the ground truth, over all answerable queries and those of each domain.

    scores: the value of every metric for every answerable query, in the order of names; and in
        `unknown` the metrics for which the answers do not reach deep enough.
    overall: metric -> mean with its interval. by_domain: the same, for each domain there is.
    domains: of each answerable query. excluded: queries without a relevant picture in the gallery.
    unlabelled: queries that were answered, but that the ground truth lacks. Both count nowhere.
    """

    scores: Scores
    domains: tuple[str, ...]
    overall: Mapping[str, Estimate]
    by_domain: Mapping[str, Mapping[str, Estimate]]
    excluded: tuple[str, ...]
    unlabelled: tuple[str, ...]

    def figures(self) -> dict[str, Any]:
        """The same as JSON can hold it, without the values of single queries."""
        counts = Counter(self.domains)
        return {
            "queries": len(self.domains),
            "excluded": list(self.excluded),
            "unlabelled": list(self.unlabelled),
            "metrics": {name: asdict(each) for name, each in self.overall.items()},
            "domains": {
                domain: {
                    "queries": counts[domain],
                    "metrics": {name: asdict(each) for name, each in measures.items()},
                }
                for domain, measures in self.by_domain.items()
            },
            "unknown": dict(self.scores.unknown),
        }


def grade(
    answers: Answers, truth: Truth, *, ks: Sequence[int] = KS, seed: int, rounds: int = ROUNDS,
    confidence: float = CONFIDENCE,
) -> Grade:  # fmt: skip
    """Grade answers, of whatever depth, by the ground truth.

    Hit rates at ks, MRR at the last of them, the share of distractors among the first k answers,
    and mAP, mAP@R and MRR where the ranking is deep enough. seed, rounds, confidence: of the
    bootstrap over queries (`bootstrap.mean_intervals`).

    Raises UserError when a answerable query has no answers, an answer is not in the truth's gallery
    or stands twice, and when no query can be answerable.
    """
    answerable = truth.answerable
    if not answerable:
        raise UserError(
            f"none of the {len(truth.query)} queries has a picture of its class in the gallery: "
            "are the classes of both parts called the same?"
        )
    _require_answered(answers, truth, answerable)
    labels = labels_of(answers, truth, answerable)
    values, unknown = _values(truth.relevance.ranks(answers, answerable), labels, ks)
    scores = Scores(
        answerable, tuple(truth.query[q] for q in answerable), answerable, values, unknown
    )
    domains = tuple(truth.domain(query) for query in answerable)
    settings = IntervalSettings(seed, rounds, confidence)
    return Grade(
        scores,
        domains,
        scores.overall(settings),
        {
            domain: scores.of(np.flatnonzero(np.asarray(domains) == domain)).overall(settings)
            for domain in sorted(set(domains))
        },
        truth.excluded,
        tuple(sorted(set(answers) - set(truth.query))),
    )


def hit_rate_among_distractors(
    answers: Answers, truth: Truth, *, k: int = 1, step: int = 500, seed: int,
    rounds: int = ROUNDS, confidence: float = CONFIDENCE,
) -> Curve:  # fmt: skip
    """Hit rate at k with 0, step, 2 step, ... and at last all distractors in the gallery.

    Exact expectations over which distractors stay: `curves.hits_among_distractors`, which
    says for which rankings that holds. Raises CurveError when the ranking is not deep enough, and
    UserError as `grade`.
    """
    answerable = truth.answerable
    _require_answered(answers, truth, answerable)
    labels = labels_of(answers, truth, answerable)
    counts = sorted({*range(0, truth.distractors, step), truth.distractors})
    chances = hits_among_distractors(
        [truth.relevance.mark(query, answers[query]) for query in answerable],
        labels == DISTRACTOR,
        counts,
        k=k,
        distractors=truth.distractors,
    )
    return curve(counts, chances, answerable, IntervalSettings(seed, rounds, confidence))


def hit_rate(k: int) -> str:
    """The name of the metric."""
    return f"hit rate@{k}"


def _values(
    ranks: RelevantRanks, labels: npt.NDArray[np.str_], ks: Sequence[int]
) -> tuple[dict[str, Floats], dict[str, str]]:
    """Metric -> (queries,), and for those that cannot be known, why."""
    values: dict[str, Floats] = {}
    unknown: dict[str, str] = {}
    for name in (*map(hit_rate, ks), f"MRR@{max(ks)}", "MRR", "mAP", "mAP@R"):
        try:
            values[name] = metric(name)(ranks)
        except TruncatedRanking as error:
            unknown[name] = str(error)
    for k in ks:
        name = f"distractors@{k}"
        if int(ranks.depth.min()) >= k:
            values[name] = (labels[:, :k] == DISTRACTOR).mean(axis=1)
        else:
            unknown[name] = f"{name} cannot be known: a query has only {ranks.depth.min()} answers."
    return values, unknown


def labels_of(answers: Answers, truth: Truth, queries: Sequence[str]) -> npt.NDArray[np.str_]:
    """(queries, depth) class of each answer; empty, which no class is, where there are no more.

    Raises UserError for an answer that the truth's gallery lacks, or that is there twice.
    """
    depth = max((len(answers[query]) for query in queries), default=0)
    rows = []
    for query in queries:
        named = answers[query]
        stranger = next((name for name in named if name not in truth.gallery), None)
        if stranger is not None:
            raise UserError(
                f"{stranger}, an answer to {query}, is not in the gallery of the ground truth: it "
                "is of another gallery, or misspelt."
            )
        if len(set(named)) < len(named):
            twice = Counter(named).most_common(1)[0][0]
            raise UserError(f"{twice} is an answer to {query} more than once.")
        rows.append([truth.gallery[name] for name in named] + [""] * (depth - len(named)))
    return np.array(rows, dtype=np.str_).reshape(len(queries), depth)


def _require_answered(answers: Answers, truth: Truth, queries: Sequence[str]) -> None:
    lacking = [query for query in queries if not answers.get(query)]
    if lacking:
        strangers = set(answers) - set(truth.query)
        hint = (
            " The answers are filed under names of gallery pictures: the keys were taken from the "
            "wrong list."
            if strangers and strangers <= set(truth.gallery)
            else ""
        )
        raise UserError(f"{len(lacking)} queries, {lacking[0]} the first, lack answers.{hint}")
