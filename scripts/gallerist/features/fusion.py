"""Several experiments as one: their vectors side by side, weighted by what validation tells."""

import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from gallerist.data.manifest import DISTRACTOR
from gallerist.features.extractors import Extractor, features_of
from gallerist.features.store import Features
from gallerist.io.arrays import AnyArray, Booleans, Floats, Indices, Vectors
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, canonical_json, read_json, sha256_of_text

logger = logging.getLogger("gallerist")

PICTURES = 2000
PAIRS = 10_000
"""Weights are learned from at most so many validation pictures, and so many pairs of either kind:
enough for a handful of weights, and never more than 2 million pairs to draw from."""

GATHERED_CELLS = 4_000_000
"""Elements of pairs of vectors held at once: 32 MB of float64 for each side."""


class Fusion:
    """The vectors of several experiments side by side: see `extractors.Extractor`.

    weights: of each member, by name.
    """

    def __init__(self, members: Mapping[str, Extractor | Features], weights: Mapping[str, float]):
        """weights: see `concatenate`; a member that has none counts as much as 1."""
        self.weights = {name: float(weights.get(name, 1.0)) for name in members}
        self._members = [*members.values()]
        origins = [(each.model, each.preprocessing) for each in self._members]
        weighed = [*self.weights.values()]
        self.model = sha256_of_text(canonical_json([origins, weighed]))
        self.preprocessing = sha256_of_text(canonical_json([each for _, each in origins]))
        used = zip(self._members, weighed, strict=True)
        self.length = sum(each.length for each, weight in used if weight)

    @classmethod
    def of(
        cls, members: Mapping[str, Extractor | Features], weights_file: PathLike | None
    ) -> "Fusion":
        """With the weights that rule fuse_features wrote, or equal ones."""
        return cls(members, read_json(weights_file) if weights_file else {})

    def batches(self, pictures: Sequence[PathLike]) -> Iterator[AnyArray]:
        """See `concatenate`. pictures: ids where the members are vectors, else files."""
        members = [features_of(member, pictures) for member in self._members]
        ids = [os.fspath(each) for each in pictures]
        if len(members) == 1:  # keeps its norms, so that it can be searched by Euclidean distance
            return members[0].unscaled_batches(ids)
        return concatenate([each.batches(ids) for each in members], [*self.weights.values()])


def concatenate(blocks: Sequence[Iterable[Vectors]], weights: Sequence[float]) -> Iterator[Vectors]:
    """Put the members' vectors side by side, each scaled by the square root of its weight.

    blocks: for each member its batches, (any number, d_i) float32, rows of length 1 (or 0: a
    picture without content); batches of all members cut at the same rows. weights: not negative,
    one a member; only their ratio counts, they are scaled to sum 1 here. A member of weight 0 is
    left out and not read. Yields (as many, sum of d_i) float32.

    The inner product of two fused rows a = (√w_1 a_1, √w_2 a_2, ...) and b likewise is
    Σ √w_i √w_i a_i·b_i = Σ w_i cos(a_i, b_i), the weighted sum of the members' cosines; and
    |a|² = Σ w_i |a_i|² = 1, so searching the fused rows by distance ranks by that sum.

    A member that found no content in a picture adds zeros: its cosines count as 0, and the row is
    shorter than 1. `store.write_features` scales it to length 1, after which the other members
    stand for the whole. A picture without content for every member is a row of zeros.

    Raises UserError for members of different numbers of pictures.
    """
    factors = np.sqrt(np.asarray(weights, np.float64) / math.fsum(weights))
    used = [row for row, factor in enumerate(factors) if factor > 0]
    nothing = np.empty((0, 0), np.float32)
    for batches in zip_longest(*(blocks[row] for row in used), fillvalue=nothing):
        if len({len(batch) for batch in batches}) > 1:
            raise UserError(
                f"batches of {', '.join(str(len(batch)) for batch in batches)} pictures cannot be "
                "put side by side: the members must be of the same pictures, in equal batches"
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


def learn_weights(
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

    Raises UserError when the members have different numbers of pictures, there are no pairs of one
    kind, or no member is nearer within a class than between classes.
    """
    from sklearn.metrics import roc_auc_score

    for name, vectors in members.items():
        if len(vectors) != len(labels):
            raise UserError(
                f"{name} has vectors of {len(vectors)} validation pictures; there are {len(labels)}"
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


def _pairs(labels: Sequence[str], seed: int) -> tuple[Indices, Indices, Booleans]:
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
            raise UserError(
                f"no two of the {len(labels)} validation pictures are {sort}: weights cannot be "
                "learned from them. Give the weights, or add validation pictures."
            )
        drawn.append(random.choice(there, min(PAIRS, len(there)), replace=False))
    number = min(map(len, drawn))
    kept = np.sort(np.concatenate([some[:number] for some in drawn]))
    return chosen[first[kept]], chosen[second[kept]], same[kept]


def _cosines(vectors: Vectors, first: Indices, second: Indices) -> Floats:
    cosines = np.empty(len(first))
    rows = np.asarray(vectors)  # indexing a np.memmap costs more than reading it
    step = max(1, GATHERED_CELLS // max(1, rows.shape[1]))
    for start in range(0, len(first), step):
        pairs = slice(start, start + step)
        left, right = (rows[side[pairs]].astype(np.float64) for side in (first, second))
        cosines[pairs] = np.einsum("ij,ij->i", left, right)
    return cosines


def _non_negative(cosines: Mapping[str, Floats], same: Booleans) -> dict[str, float]:
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
    raise UserError(
        f"none of {', '.join(cosines)} finds validation pictures of one class nearer than those of "
        "different classes: there is nothing to weigh. Look at their accuracies, or train longer."
    )


def _regression(scores: Sequence[Floats], same: Booleans) -> Floats:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    # Scaled first, so that the penalty, which is there for classes that separate perfectly, does
    # not favour members whose cosines happen to spread more.
    scaler = StandardScaler()
    scaled = scaler.fit_transform(np.stack(scores, axis=1))
    fitted: Any = LogisticRegression(tol=1e-8, max_iter=1000).fit(scaled, same)
    return np.asarray(fitted.coef_[0] / scaler.scale_)
