"""Retrieval metrics with exact definitions: one value a query first, means later.

So that classes, intervals and paired tests all rest on the same numbers. Every metric is computed
for all queries at once from the ranks of their relevant answers (`relevance.RelevantRanks`), is
float64, lies in [0, 1] and is never NaN: queries without any relevant picture are refused there.

None guesses what it cannot know. Where a metric looks further down than the ranking was kept, and
relevant pictures are still to come, it raises TruncatedRanking.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gallerist.evaluation.relevant_ranks import RelevantRanks
from gallerist.io.arrays import Booleans, Floats, Integers
from gallerist.io.errors import UserError

Labels = Sequence[str] | npt.NDArray[np.str_]


class MetricError(UserError):
    """A metric that does not exist, or values that have no mean."""


def hit_rate_at_k(ranks: RelevantRanks, k: int) -> Floats:
    """Share of the queries with a relevant picture among the first k answers; of one query 1 or 0.

    The published top-k accuracy; "success" in trec_eval, and "Recall@k" in the metric-learning
    papers since Jégou et al., Product Quantization for Nearest Neighbor Search (2011).
    """
    return (_hits(ranks, k, "hit rate@{k}") > 0).astype(np.float64)


def precision_at_k(ranks: RelevantRanks, k: int) -> Floats:
    """Relevant answers among the first k, divided by k.

    By k also where the gallery has fewer pictures or R is smaller, as in trec_eval (P_k): a query
    with R < k cannot reach 1. Manning, Raghavan, Schütze, Introduction to Information Retrieval
    (2008), 8.4.
    """
    return _hits(ranks, k, "precision@{k}") / k


def precision_at_k_over_last(ranks: RelevantRanks, k: int) -> Floats:
    """Relevant answers among the first min(k, rank of the last relevant answer), divided by that.

    Of the revisited Oxford and Paris (Radenović et al., 2018, compute_map), where a query with
    fewer than k relevant pictures can reach 1. 0 where the ranking has no relevant answer.
    """
    _require_k(ranks, k, "precision@{k}/last")
    more = (ranks.found < ranks.total) & (ranks.depth < _everything(ranks))  # further down
    last = np.full(len(ranks), k, dtype=np.int64)
    ended = (ranks.found > 0) & ~more
    last[ended] = ranks.ranks[ranks.offsets[1:][ended] - 1]
    first = np.minimum(k, last)
    return _hits_within(ranks, first) / first


def recall_at_k(ranks: RelevantRanks, k: int) -> Floats:
    """Relevant answers among the first k, divided by R.

    A query with R > k cannot reach 1. Manning, Raghavan, Schütze (2008), 8.3; recall_k in
    trec_eval. Not what metric-learning papers call Recall@k: that is the hit rate.
    """
    return _hits(ranks, k, "recall@{k}") / ranks.total


def r_precision(ranks: RelevantRanks) -> Floats:
    """Relevant answers among the first R, divided by R.

    Precision and recall are equal there. Manning, Raghavan, Schütze (2008), 8.4; Rprec in
    trec_eval.
    """
    ranks.require_known(ranks.total, "R-precision", "precision@{depth}")
    return _hits_within(ranks, ranks.total) / ranks.total


def average_precision(ranks: RelevantRanks) -> Floats:
    """Average precision over the whole ranking: precision at each relevant picture, mean over R.

    Without interpolation. Manning, Raghavan, Schütze (2008), 8.4; map in trec_eval;
    average_precision_score in scikit-learn where no two scores are equal.

    Raises TruncatedRanking when the rank of any relevant picture is unknown. trec_eval takes 0 for
    the precision at those, which makes the figure depend on how many answers were kept.
    """
    everything = _everything(ranks)
    ranks.require_known(everything, "mAP", "mAP@{depth}")
    return _precision_sums(ranks, everything) / ranks.total


def trapezoidal_average_precision(ranks: RelevantRanks) -> Floats:
    """Area under the straight lines between the points of the precision-recall curve.

    At each relevant picture the mean of the precision there and just before it, mean over R; just
    before rank 1 the precision is 1. Philbin et al., Object Retrieval with Large Vocabularies and
    Fast Spatial Matching (2007), compute_ap; so do the revisited Oxford and Paris (Radenović et
    al., 2018, compute_ap).

    Raises TruncatedRanking as `average_precision`.
    """
    everything = _everything(ranks)
    ranks.require_known(everything, "mAP/trapezoids", "mAP@{depth}")
    before = np.where(ranks.ranks == 1, 1.0, (ranks.numbers - 1) / np.maximum(ranks.ranks - 1, 1))
    sums = _sums(ranks, _within(ranks, everything), (ranks.numbers / ranks.ranks + before) / 2)
    return sums / ranks.total


def average_precision_at_k(ranks: RelevantRanks, k: int) -> Floats:
    """Average precision over the first k answers: precision at each relevant one, over min(k, R).

    A ranking that begins with all the relevant pictures it has room for reaches 1. Used for mAP@100
    by Google Landmarks (Weyand et al., Google Landmarks Dataset v2, 2020) and by Kaggle; equal to
    `average_precision` at k = size of the gallery.

    Other divisors are in use under the same name. By R, no query with R > k can reach 1: trec_eval
    (map_cut_k), ranx, TensorFlow Similarity. By the hits: `average_precision_at_k_over_hits`.
    """
    _require_k(ranks, k, "mAP@{k}")
    return _precision_sums(ranks, k) / np.minimum(k, ranks.total)


def average_precision_at_k_over_hits(ranks: RelevantRanks, k: int) -> Floats:
    """Average precision over the first k answers: mean precision at the relevant ones among them.

    The divisor is the number of hits, and the value 0 without any. Used by TorchMetrics
    (RetrievalMAP with top_k), open-metric-learning (calc_map) and the usual code of hashing and of
    sketch-based retrieval. To compare with those figures, not to judge by: one relevant answer at
    rank 1 and none after it scores 1, and a further hit can lower it.
    """
    hits = _hits(ranks, k, "mAP@{k}/hits")
    return _precision_sums(ranks, k) / np.maximum(hits, 1)


def average_precision_at_r(ranks: RelevantRanks) -> Floats:
    """Average precision over the first R answers: precision at each relevant one, divided by R.

    MAP@R of Musgrave, Belongie, Lim, A Metric Learning Reality Check (2020);
    `average_precision_at_k` with each query's own R for k.
    """
    ranks.require_known(ranks.total, "mAP@R", "mAP@{depth}")
    return _precision_sums(ranks, ranks.total) / ranks.total


def reciprocal_rank(ranks: RelevantRanks) -> Floats:
    """1 / rank of the first relevant answer.

    Voorhees, The TREC-8 Question Answering Track Report (1999); recip_rank in trec_eval. Raises
    TruncatedRanking when a query has no relevant answer within the ranking that was kept.
    """
    ranks.require_known(np.where(ranks.found > 0, 0, _everything(ranks)), "MRR", "MRR@{depth}")
    return _reciprocal_ranks(ranks, ranks.depth)


def reciprocal_rank_at_k(ranks: RelevantRanks, k: int) -> Floats:
    """1 / rank of the first relevant answer, or 0 when it is not among the first k.

    MRR@10 of MS MARCO (Bajaj et al., 2016).
    """
    _require_k(ranks, k, "MRR@{k}")
    return _reciprocal_ranks(ranks, np.full(len(ranks), k))


def ndcg_at_k(ranks: RelevantRanks, k: int) -> Floats:
    """Sum of 1 / log2(1 + rank) of relevant answers among the first k, over a perfect ranking's.

    The gain of an answer is its relevance as the truth has it: 0 and 1, or more where it is
    graded. The perfect one has the R relevant pictures first, the most relevant at the top.
    Järvelin, Kekäläinen, Cumulated Gain-based Evaluation of IR Techniques (2002), with the discount
    of Burges et al., Learning to Rank using Gradient Descent (2005), but not its gains of powers of
    2; ndcg_cut_k in trec_eval, ndcg_score in scikit-learn.
    """
    _require_k(ranks, k, "nDCG@{k}")
    counted = ranks.ranks <= k
    gains = 1 if ranks.gains is None else ranks.gains[counted]
    gained = _sums(ranks, counted, gains / np.log2(1 + ranks.ranks[counted]))
    if ranks.ideal is not None:
        rows = np.repeat(np.arange(len(ranks)), ranks.total)
        places = np.arange(1, len(rows) + 1) - (np.cumsum(ranks.total) - ranks.total)[rows]
        terms = np.where(places <= k, ranks.ideal / np.log2(1 + places), 0.0)
        return np.asarray(gained / np.bincount(rows, weights=terms, minlength=len(ranks)))
    best = np.minimum(k, ranks.total)
    ideal = np.cumsum(1 / np.log2(1 + np.arange(1, best.max(initial=0) + 1)))
    return np.asarray(gained / ideal[best - 1])


_WITHOUT_K: Mapping[str, Callable[[RelevantRanks], Floats]] = {
    "mAP": average_precision,
    "mAP/trapezoids": trapezoidal_average_precision,
    "mAP@R": average_precision_at_r,
    "R-precision": r_precision,
    "MRR": reciprocal_rank,
}
_WITH_K: Mapping[str, Callable[[RelevantRanks, int], Floats]] = {
    "hit rate@k": hit_rate_at_k,
    "precision@k": precision_at_k,
    "precision@k/last": precision_at_k_over_last,
    "recall@k": recall_at_k,
    "mAP@k": average_precision_at_k,
    "mAP@k/hits": average_precision_at_k_over_hits,
    "MRR@k": reciprocal_rank_at_k,
    "nDCG@k": ndcg_at_k,
}

NAMES = (*_WITH_K, *_WITHOUT_K)
"""Every metric; in those with "@k", k stands for a whole number from 1."""


def metric(name: str) -> Callable[[RelevantRanks], Floats]:
    """Find a metric by name, such as "mAP", "mAP@10", "mAP@10/hits", "nDCG@10", "hit rate@5".

    It gives (queries,) float64, or raises TruncatedRanking when the ranking does not reach so far.
    Raises MetricError, which lists what exists and says what may have been meant.
    """
    if name in _WITHOUT_K:
        return _WITHOUT_K[name]
    parts = re.fullmatch(r"([^@]+@)([1-9][0-9]{0,8})(/.*)?", name)
    pattern = f"{parts[1]}k{parts[3] or ''}" if parts else ""
    if parts and pattern in _WITH_K:
        at_k, k = _WITH_K[pattern], int(parts[2])
        return lambda ranks: at_k(ranks, k)
    raise MetricError(
        f"{name!r} is not a metric.{_suggestion(name)}\n  Known: {', '.join(NAMES)}; "
        "k is a whole number from 1, as in mAP@10"
    )


def overall_mean(values: Floats) -> float:
    """Mean over the queries. Raises MetricError when there are none, or one is no number."""
    return float(_checked(values).mean())


def class_means(values: Floats, labels: Labels) -> dict[str, float]:
    """Mean over the queries of each class, by class name in order. labels: class of each query."""
    names, codes = np.unique(np.asarray(labels, dtype=np.str_), return_inverse=True)
    if len(codes) != len(values):
        raise MetricError(f"{len(values)} values and {len(codes)} labels do not belong together")
    sums = np.bincount(codes, weights=_checked(values), minlength=len(names))
    return dict(zip(names.tolist(), (sums / np.bincount(codes)).tolist(), strict=True))


def macro_mean(values: Floats, labels: Labels) -> float:
    """Mean over the classes of each class's mean, so that every class weighs the same."""
    return float(np.mean(list(class_means(values, labels).values())))


def _checked(values: Floats) -> Floats:
    if len(values) == 0:
        raise MetricError("no query was evaluated: nothing has a mean")
    if not np.isfinite(values).all():
        raise MetricError(f"{int((~np.isfinite(values)).sum())} values are not numbers")
    return values


def _require_k(ranks: RelevantRanks, k: int, name: str) -> None:
    """Check k, and that the first k answers are known. name: of the metric, with "{k}" in it."""
    if k < 1:
        raise MetricError(f"k is {k}; it is at least 1")
    ranks.require_known(k, name.format(k=k), name.format(k="{depth}"))


def _hits(ranks: RelevantRanks, k: int, name: str) -> Integers:
    """(queries,) relevant answers among the first k, known for sure."""
    _require_k(ranks, k, name)
    return _hits_within(ranks, k)


def _hits_within(ranks: RelevantRanks, k: int | Integers) -> Integers:
    return np.bincount(ranks.query_of[_within(ranks, k)], minlength=len(ranks))


def _precision_sums(ranks: RelevantRanks, k: int | Integers) -> Floats:
    """(queries,) precision at each relevant answer among the first k, added up."""
    counted = _within(ranks, k)
    return _sums(ranks, counted, ranks.numbers[counted] / ranks.ranks[counted])


def _reciprocal_ranks(ranks: RelevantRanks, k: Integers) -> Floats:
    first = (ranks.numbers == 1) & _within(ranks, k)
    return _sums(ranks, first, 1 / ranks.ranks[first])


def _sums(ranks: RelevantRanks, counted: Booleans, terms: Floats) -> Floats:
    # Added up in the order of the ranks: a perfect ranking's sum is the ideal one to the last bit.
    sums = np.bincount(ranks.query_of[counted], weights=terms, minlength=len(ranks))
    return np.asarray(sums, dtype=np.float64)


def _within(ranks: RelevantRanks, k: int | Integers) -> Booleans:
    """(n,) whether each rank is among the first k. k: one for all, or (queries,)."""
    return ranks.ranks <= np.broadcast_to(k, len(ranks))[ranks.query_of]


def _everything(ranks: RelevantRanks) -> Integers:
    return np.full(len(ranks), np.iinfo(np.int64).max)


def _suggestion(name: str) -> str:
    """Say what may have been meant, with the k that was given."""
    number = re.search(r"@([1-9][0-9]{0,8})", name)
    by_folded = {known.casefold(): known for known in NAMES}
    asked = re.sub(r"@[0-9]+", "@k", name).casefold().replace("_", " ")
    near = difflib.get_close_matches(asked, by_folded, n=1, cutoff=0.6)
    if not near:
        return ""
    known = by_folded[near[0]]
    return f" Did you mean {known.replace('@k', f'@{number[1]}') if number else known}?"
