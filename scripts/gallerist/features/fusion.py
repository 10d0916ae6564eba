"""Several experiments as one: their features side by side, or their rankings merged."""

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from gallerist.data.manifest import DISTRACTOR
from gallerist.search.ranking import Ranking

logger = logging.getLogger("gallerist")

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Booleans = npt.NDArray[np.bool_]

PICTURES = 2000
PAIRS = 10_000
"""Weights are learned from at most so many validation pictures, and so many pairs of either kind:
enough for a handful of weights, and never more than 2 million pairs to draw from."""

GATHERED_CELLS = 4_000_000
"""Elements of pairs of vectors held at once: 32 MB of float64 for each side."""


class BadFusion(ValueError):
    """Members that do not fit together, or weights that mean nothing."""


def concatenated(
    blocks: Sequence[Iterable[Vectors]], weights: Sequence[float]
) -> Iterator[Vectors]:
    """Put the members' vectors side by side, each scaled by the square root of its weight.

    blocks: for each member its batches, (any number, d_i) float32, rows of length 1 (or 0: a
    picture without content); batches of all members cut at the same rows. weights: not negative,
    one a member; only their ratio counts, they are scaled to sum 1 here. A member of weight 0 is
    left out and not read. Yields (as many, sum of d_i) float32.

    The inner product of two fused rows a = (√w_1 a_1, √w_2 a_2, ...) and b likewise is
    Σ √w_i √w_i a_i·b_i = Σ w_i cos(a_i, b_i), the weighted sum of the members' cosines; and
    |a|² = Σ w_i |a_i|² = 1, so searching the fused rows by distance ranks by that sum.

    A member that found no content in a picture adds zeros: its cosines count as 0, and the row is
    shorter than 1. `features.write_features` scales it to length 1, after which the other members
    stand for the whole. A picture without content for every member is a row of zeros.

    Raises BadFusion for weights that are none, or members of different numbers of pictures.
    """
    if len(blocks) != len(weights):
        raise BadFusion(f"{len(blocks)} members have {len(weights)} weights; each needs one")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise BadFusion(
            f"weights {', '.join(map(str, weights))}: they are 0 or positive, and not all 0"
        )
    return _side_by_side(blocks, np.sqrt(np.asarray(weights, np.float64) / math.fsum(weights)))


def _side_by_side(blocks: Sequence[Iterable[Vectors]], factors: Numbers) -> Iterator[Vectors]:
    used = [row for row, factor in enumerate(factors) if factor > 0]
    nothing = np.empty((0, 0), np.float32)
    for batches in zip_longest(*(blocks[row] for row in used), fillvalue=nothing):
        if len({len(batch) for batch in batches}) > 1:
            raise BadFusion(
                f"batches of {', '.join(str(len(batch)) for batch in batches)} pictures cannot be "
                "put side by side: the members must describe the same pictures, in equal batches"
            )
        scaled = [factors[row] * batch for row, batch in zip(used, batches, strict=True)]
        yield np.concatenate(scaled, axis=1, dtype=np.float32)


@dataclass(frozen=True)
class LearnedWeights:
    """How much each member counts, and how well each tells classes apart.

    weights: a member, not negative, six decimals, sum 1; 0 for a member that was dropped.
    auc: a member, area under the ROC curve of its cosines as a sign of the same class, in [0, 1],
    .5 being chance; fused_auc: of the weighted sum. Both over the pairs the weights were learned
    from, so fused_auc is slightly too good. dropped: members that would have counted backwards.
    pairs: how many there were, half of them of one class.
    """

    weights: Mapping[str, float]
    auc: Mapping[str, float]
    fused_auc: float
    dropped: tuple[str, ...]
    pairs: int


def learned_weights(
    members: Mapping[str, Vectors], labels: Sequence[str], seed: int
) -> LearnedWeights:
    """Weigh members by a logistic regression of "same class" on their cosines.

    members: of each its (n, d_i) float32 vectors of the validation pictures, rows of length 1 or 0,
    all in one order. labels: (n,) the classes. Two distractors are of no common class, and not
    known to be of different ones: their pairs are not used.

    Pairs of pictures, as many of one class as of two, are drawn with `seed`. A member whose weight
    would not be positive is dropped, the worst first, and the rest fitted again; this is logged.
    A calibrated sum of scores, as in Brummer et al., Fusion of heterogeneous speaker recognition
    systems, 2007.

    Raises BadFusion when the members have different numbers of pictures, there are no pairs of one
    kind, or no member is nearer within a class than between classes.
    """
    from sklearn.metrics import roc_auc_score

    for name, vectors in members.items():
        if len(vectors) != len(labels):
            raise BadFusion(
                f"{name} describes {len(vectors)} validation pictures; there are {len(labels)}"
            )
    first, second, same = _pairs(labels, seed)
    cosines = {name: _cosines(vectors, first, second) for name, vectors in members.items()}
    raw = _non_negative(cosines, same)
    total = math.fsum(raw.values())
    weights = {name: round(raw.get(name, 0.0) / total, 6) for name in members}
    fused = sum(weights[name] * cosines[name] for name in raw)
    return LearnedWeights(
        weights,
        {name: float(roc_auc_score(same, found)) for name, found in cosines.items()},
        float(roc_auc_score(same, fused)),
        tuple(name for name in members if name not in raw),
        len(same),
    )


def _pairs(labels: Sequence[str], seed: int) -> tuple[Rows, Rows, Booleans]:
    """Rows of the two pictures of each pair, ascending, and whether they are of one class."""
    random = np.random.default_rng(seed)
    chosen = np.arange(len(labels))
    if len(labels) > PICTURES:
        chosen = np.sort(random.choice(len(labels), PICTURES, replace=False))
    names, codes = np.unique(np.asarray(labels)[chosen], return_inverse=True)
    first, second = np.triu_indices(len(chosen), 1)
    same = codes[first] == codes[second]
    alike = same & (names != DISTRACTOR)[codes[first]]
    drawn = []
    for kind, sort in ((alike, "of one class"), (~same, "of different classes")):
        there = np.flatnonzero(kind)
        if not len(there):
            raise BadFusion(
                f"no two of the {len(labels)} validation pictures are {sort}: weights cannot be "
                "learned from them. Give the weights, or add validation pictures."
            )
        drawn.append(random.choice(there, min(PAIRS, len(there)), replace=False))
    number = min(map(len, drawn))
    kept = np.sort(np.concatenate([some[:number] for some in drawn]))
    return chosen[first[kept]], chosen[second[kept]], same[kept]


def _cosines(vectors: Vectors, first: Rows, second: Rows) -> Numbers:
    cosines = np.empty(len(first))
    rows = np.asarray(vectors)  # indexing a np.memmap costs more than reading it
    step = max(1, GATHERED_CELLS // max(1, rows.shape[1]))
    for start in range(0, len(first), step):
        pairs = slice(start, start + step)
        left, right = (rows[side[pairs]].astype(np.float64) for side in (first, second))
        cosines[pairs] = np.einsum("ij,ij->i", left, right)
    return cosines


def _non_negative(cosines: Mapping[str, Numbers], same: Booleans) -> dict[str, float]:
    """Weights of the members that keep a positive one, not yet of sum 1."""
    names = list(cosines)
    while names:
        weights = _regression([cosines[name] for name in names], same)
        worst = int(np.argmin(weights))
        if weights[worst] > 0:
            return dict(zip(names, weights.tolist(), strict=True))
        logger.warning(
            "%s is left out of the fusion: its weight would be %.3g beside %s",
            names[worst],
            weights[worst],
            ", ".join(name for name in names if name != names[worst]) or "no other",
        )
        del names[worst]
    raise BadFusion(
        f"none of {', '.join(cosines)} finds validation pictures of one class nearer than those of "
        "different classes: there is nothing to weigh. Look at their accuracies, or train longer."
    )


def _regression(scores: Sequence[Numbers], same: Booleans) -> Numbers:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    # Scaled first, so that the penalty, which is there for classes that separate perfectly, does
    # not favour members whose cosines happen to spread more.
    scaler = StandardScaler()
    scaled = scaler.fit_transform(np.stack(scores, axis=1))
    fitted: Any = LogisticRegression(tol=1e-8, max_iter=1000).fit(scaled, same)
    return np.asarray(fitted.coef_[0] / scaler.scale_)


def fused_ranks(rankings: Sequence[Ranking], depth: int, constant: float = 60) -> Ranking:
    """Merge rankings of the same queries by reciprocal rank; keep `depth` answers a query.

    A gallery picture scores the sum, over the rankings that list it, of 1 / (constant + rank), rank
    from 1 (Cormack, Clarke and Buettcher, Reciprocal rank fusion outperforms Condorcet and
    individual rank learning methods, 2009, where constant is 60). Rankings deeper than `depth` give
    better sums. Equal scores are ordered by gallery id.

    The distances of the result are 1 - score / greatest possible score, in [0, 1): 0 for a picture
    that is first in every ranking. They compare across queries, but not with Euclidean distances.
    Queries come in the order of the first ranking.

    Raises BadFusion when the rankings do not answer the same queries, there is none, depth is
    below 1, or constant negative.
    """
    if not rankings:
        raise BadFusion("there is no ranking to fuse")
    if depth < 1 or not (math.isfinite(constant) and constant >= 0):
        raise BadFusion(
            f"depth is {depth} and constant {constant}; they are at least 1 and at least 0"
        )
    _check_queries(rankings)
    answers_of = [dict(zip(each.query_ids, each.answers, strict=True)) for each in rankings]
    best = math.fsum([1 / (constant + 1)] * len(rankings))
    answers, distances = [], []
    for query in rankings[0].query_ids:
        terms: defaultdict[str, list[float]] = defaultdict(list)
        for answers_to in answers_of:
            for rank, gallery_id in enumerate(answers_to[query], start=1):
                terms[gallery_id].append(1 / (constant + rank))
        # fsum, because equal ranks in another order of the rankings must give an equal sum.
        scores = {gallery_id: math.fsum(found) for gallery_id, found in terms.items()}
        order = sorted(scores, key=lambda gallery_id: (-scores[gallery_id], gallery_id))[:depth]
        answers.append(tuple(order))
        distances.append(tuple(1 - scores[gallery_id] / best for gallery_id in order))
    return Ranking(rankings[0].query_ids, tuple(answers), tuple(distances))


def _check_queries(rankings: Sequence[Ranking]) -> None:
    expected = Counter(rankings[0].query_ids)
    for number, ranking in enumerate(rankings[1:], start=2):
        asked = Counter(ranking.query_ids)
        if asked != expected:
            odd = min((asked - expected) | (expected - asked))
            raise BadFusion(
                f"ranking {number} answers {len(ranking.query_ids)} queries, the first "
                f"{len(rankings[0].query_ids)}, and they are not the same ({odd} is in one only): "
                "rank the same queries with every member"
            )
