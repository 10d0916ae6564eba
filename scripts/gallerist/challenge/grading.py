"""Grades of the unlabelled challenge by its ground truth."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gallerist.challenge.answer_file import Answers
from gallerist.challenge.truth import Truth
from gallerist.data.manifest import DISTRACTOR
from gallerist.evaluation.bootstrap import Estimate, IntervalSettings
from gallerist.evaluation.curves import Curve, curve, hits_among_distractors
from gallerist.evaluation.scores import Scores, compute_metrics
from gallerist.io.errors import UserError

KS = (1, 5, 10)


ALL = "all"
"""The name of the queries of every domain together."""


class Grade(NamedTuple):
    """What answers reach by the ground truth for the queries of one domain.

    scores: the value of every metric for every answerable query, in the order of names; and in
        `unknown` the metrics for which the answers do not reach deep enough.
    estimates: metric -> its mean over these queries, with its interval.
    """

    scores: Scores
    estimates: Mapping[str, Estimate]


Grades = Mapping[str, Mapping[str, Grade]]
"""Experiment -> domain -> grade, as `grade` gives them."""


def grade(
    answers: Answers, truth: Truth, settings: IntervalSettings, *, ks: Sequence[int] = KS
) -> dict[str, Grade]:
    """Grade answers, of whatever depth, by the ground truth: `ALL`, and where there are several
    domains each of them by name.

    Hit rates at ks, MRR at the last of them, the share of distractors among the first k answers,
    and mAP, mAP@R and MRR where the ranking is deep enough. settings: of the bootstrap over
    queries. Queries that the truth lacks, or no ranking could answer, count nowhere.

    Raises UserError as `Relevance.ranks`, and when no query has a relevant picture.
    """
    queries = truth.answerable
    if not queries:
        raise UserError(
            f"none of the {len(truth.query)} queries has a picture of its class in the gallery: "
            "are the classes of both parts called the same?"
        )
    ranks = truth.relevance.ranks(answers, queries)
    metrics = (*map(hit_rate, ks), f"MRR@{max(ks)}", "MRR", "mAP", "mAP@R")
    values, unknown = compute_metrics(ranks, metrics)
    distractor, depth = _distractors(answers, truth), int(ranks.depth.min())
    for k in ks:
        name = f"distractors@{k}"
        if depth >= k:
            values[name] = np.array([np.mean(row[:k]) for row in distractor])
        else:
            unknown[name] = f"{name} cannot be known: a query has only {depth} answers."
    labels, domains = map(truth.query.__getitem__, queries), map(truth.domain, queries)
    scores = Scores(queries, (*labels,), queries, values, unknown, domains=(*domains,))
    of_domain = {ALL: scores}
    if len({*scores.domains}) > 1:
        of_domain |= dict(scores.of_domains())
    return {name: Grade(each, each.overall(settings)) for name, each in of_domain.items()}


def hit_rate_among_distractors(
    answers: Answers, truth: Truth, settings: IntervalSettings, *, k: int = 1, step: int = 500
) -> Curve:
    """Hit rate at k with 0, step, 2 step, ... and at last all distractors in the gallery.

    Exact expectations over which distractors stay: `curves.hits_among_distractors` says for
    which rankings they hold. Raises CurveError when the ranking is not deep enough.
    """
    queries = truth.answerable
    counts = sorted({*range(0, truth.distractors, step), truth.distractors})
    chances = hits_among_distractors(
        [truth.relevance.mark(query, answers[query]) for query in queries],
        _distractors(answers, truth),
        counts,
        k=k,
        distractors=truth.distractors,
    )
    return curve(counts, chances, queries, settings)


def hit_rate(k: int) -> str:
    """The name of the metric."""
    return f"hit rate@{k}"


def _distractors(answers: Answers, truth: Truth) -> list[list[bool]]:
    """Which answers to each answerable query are distractors."""
    return [[truth.gallery[name] == DISTRACTOR for name in answers[q]] for q in truth.answerable]
