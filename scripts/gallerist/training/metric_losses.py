"""Losses for retrieval, from a batch's classes and its vectors to one number.

Vectors have length 1. Those over pairs take (n,) classes and (n, d) vectors; those over proxies
(n,) classes and (n, c) cosines to the vector of each class. A batch without a pair that counts has
a loss of 0. All are in the floating-point type of what they are given.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import ops

from gallerist.settings.losses import (
    ArcFace,
    Contrastive,
    CosFace,
    MetricLoss,
    MultiSimilarity,
    NTXent,
    ProxyAnchor,
    SemiHardTriplet,
    SupCon,
    Triplet,
)

Tensor = Any
LossFunction = Callable[[Tensor, Tensor], Tensor]

_NOTHING = -1e30
"""Stands for minus infinity, of which gradients would be no numbers."""
_LEAST_SQUARE = 1e-12
"""Of a distance of which the root is taken: that of 0 has no gradient."""


def loss_function(settings: MetricLoss) -> LossFunction:
    """What a loss computes. Raises ValueError for one that is not known."""
    match settings:
        case Triplet(margin=margin):
            return partial(batch_hard, margin=margin)
        case SemiHardTriplet(margin=margin):
            return partial(semi_hard, margin=margin)
        case Contrastive(margin=margin):
            return partial(contrastive, margin=margin)
        case SupCon(temperature=temperature):
            return partial(supcon, temperature=temperature)
        case NTXent(temperature=temperature):
            return partial(nt_xent, temperature=temperature)
        case MultiSimilarity(alpha=alpha, beta=beta, base=base, epsilon=epsilon):
            return partial(multi_similarity, alpha=alpha, beta=beta, base=base, epsilon=epsilon)
        case ArcFace(margin=margin, scale=scale):
            return partial(arcface, margin=margin, scale=scale)
        case CosFace(margin=margin, scale=scale):
            return partial(cosface, margin=margin, scale=scale)
        case ProxyAnchor(margin=margin, alpha=alpha):
            return partial(proxy_anchor, margin=margin, alpha=alpha)
    raise ValueError(f"no loss is called {settings.name}")


# --- over pairs -------------------------------------------------------------------------------


def batch_hard(classes: Tensor, vectors: Tensor, *, margin: float | None) -> Tensor:
    """The mean over anchors of [margin + farthest positive - nearest negative]+, in distances.

    An anchor without a positive or a negative in the batch does not count. margin: None is the soft
    margin, ln(1 + exp(farthest - nearest)).
    Hermans, Beyer, Leibe, In Defense of the Triplet Loss (2017), equation 5.
    """
    positive, negative = _pairs(classes)
    distances = ops.sqrt(ops.maximum(_squares(vectors), _LEAST_SQUARE))
    farthest = ops.max(ops.where(positive, distances, 0.0), axis=1)
    nearest = ops.min(ops.where(negative, distances, 2.0), axis=1)
    counts = ops.any(positive, axis=1) & ops.any(negative, axis=1)
    further = farthest - nearest
    terms = ops.softplus(further) if margin is None else ops.relu(margin + further)
    return _mean(terms, counts)


def semi_hard(classes: Tensor, vectors: Tensor, *, margin: float) -> Tensor:
    """The mean over pairs of one class of margin + |a - p|^2 - |a - n|^2.

    n is the nearest picture of another class with |a - p|^2 < |a - n|^2 < |a - p|^2 + margin; a
    pair that has none does not count. Takes memory for n^3 numbers.
    Schroff, Kalenichenko, Philbin, FaceNet (2015), section 3.2.
    """
    positive, negative = _pairs(classes)
    squares = _squares(vectors)
    pairs, others = squares[:, :, None], squares[:, None, :]
    found = negative[:, None, :] & (others > pairs) & (others < pairs + margin)
    nearest = ops.min(ops.where(found, others, -_NOTHING), axis=2)
    counts = positive & ops.any(found, axis=2)
    return _mean(ops.where(counts, margin + squares - nearest, 0.0), counts)


def contrastive(classes: Tensor, vectors: Tensor, *, margin: float) -> Tensor:
    """The mean over pairs: d^2 / 2 of one class, [margin - d]+^2 / 2 of two, d the distance.

    Hadsell, Chopra, LeCun, Dimensionality Reduction by Learning an Invariant Mapping (2006),
    equation 4.
    """
    positive, negative = _pairs(classes)
    squares = _squares(vectors)
    distances = ops.sqrt(ops.maximum(squares, _LEAST_SQUARE))
    apart = ops.square(ops.relu(margin - distances))
    return _mean(ops.where(positive, squares, apart) / 2, positive | negative)


def supcon(classes: Tensor, vectors: Tensor, *, temperature: float) -> Tensor:
    """The mean over anchors of the mean over their positives p of -ln(e(p) / sum of e(a) over all a
    but the anchor), e(a) = exp(cosine / temperature). An anchor without positives does not count.

    Khosla et al., Supervised Contrastive Learning (2020), equation 2, the loss L_out.
    """
    positive, negative = _pairs(classes)
    cosines = ops.matmul(vectors, ops.transpose(vectors)) / temperature
    every = ops.where(positive | negative, cosines, _NOTHING)
    terms = ops.logsumexp(every, axis=1, keepdims=True) - cosines
    return _mean(_means(terms, positive), ops.any(positive, axis=1))


def nt_xent(classes: Tensor, vectors: Tensor, *, temperature: float) -> Tensor:
    """The mean over pairs of one class of -ln(e(p) / (e(p) + sum of e(n) over the negatives)).

    Chen et al., A Simple Framework for Contrastive Learning (2020), equation 1, where a picture has
    one positive; e as in `supcon`.
    """
    positive, negative = _pairs(classes)
    cosines = ops.matmul(vectors, ops.transpose(vectors)) / temperature
    others = ops.logsumexp(ops.where(negative, cosines, _NOTHING), axis=1, keepdims=True)
    return _mean(ops.softplus(others - cosines), positive)


def multi_similarity(
    classes: Tensor, vectors: Tensor, *, alpha: float, beta: float, base: float, epsilon: float
) -> Tensor:
    """The mean over all anchors of ln(1 + sum over positives of exp(-alpha (s - base))) / alpha
    + ln(1 + sum over negatives of exp(beta (s - base))) / beta, s the cosine.

    A negative counts where s + epsilon is above the least s of a positive, a positive where
    s - epsilon is below the greatest s of a negative.
    Wang et al., Multi-Similarity Loss with General Pair Weighting (2019), equations 11, 12 and 15.
    """
    positive, negative = _pairs(classes)
    cosines = ops.matmul(vectors, ops.transpose(vectors))
    least = ops.min(ops.where(positive, cosines, -_NOTHING), axis=1, keepdims=True)
    greatest = ops.max(ops.where(negative, cosines, _NOTHING), axis=1, keepdims=True)
    positive = positive & (cosines - epsilon < greatest)
    negative = negative & (cosines + epsilon > least)
    right = _log_one_and(-alpha * (cosines - base), positive, axis=1) / alpha
    wrong = _log_one_and(beta * (cosines - base), negative, axis=1) / beta
    return ops.mean(right + wrong)


# --- over proxies -----------------------------------------------------------------------------


def arcface(classes: Tensor, cosines: Tensor, *, margin: float, scale: float) -> Tensor:
    """Cross-entropy over scale * cosine, that of the right class cos(angle + margin).

    Beyond angles of pi - margin, where that would rise again, it is cosine - margin sin(margin), as
    in the authors' code.
    Deng et al., ArcFace (2019), equation 3.
    """
    sines = ops.sqrt(ops.maximum(1 - ops.square(cosines), _LEAST_SQUARE))
    turned = cosines * math.cos(margin) - sines * math.sin(margin)
    beyond = cosines - margin * math.sin(margin)
    harder = ops.where(cosines > math.cos(math.pi - margin), turned, beyond)
    return _cross_entropy(classes, cosines, harder, scale)


def cosface(classes: Tensor, cosines: Tensor, *, margin: float, scale: float) -> Tensor:
    """Cross-entropy over scale * cosine, that of the right class less the margin.

    Wang et al., CosFace (2018), equation 4.
    """
    return _cross_entropy(classes, cosines, cosines - margin, scale)


def proxy_anchor(classes: Tensor, cosines: Tensor, *, margin: float, alpha: float) -> Tensor:
    """The mean over proxies with positives in the batch of ln(1 + sum of exp(-alpha (s - margin)))
    over these, and the mean over all proxies of ln(1 + sum of exp(alpha (s + margin))) over the
    pictures of other classes, s the cosine.

    Kim et al., Proxy Anchor Loss for Deep Metric Learning (2020), equation 4.
    """
    own = ops.one_hot(ops.cast(classes, "int32"), cosines.shape[1], dtype="bool")
    right = _log_one_and(-alpha * (cosines - margin), own, axis=0)
    wrong = _log_one_and(alpha * (cosines + margin), ~own, axis=0)
    return _mean(right, ops.any(own, axis=0)) + ops.mean(wrong)


class Proxies(keras.layers.Layer):  # type: ignore[misc]
    """A learned vector of each class: (n, d) vectors of length 1 -> (n, classes) cosines."""

    def __init__(self, classes: int, seed: int, **kwargs: object) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.classes, self.seed = classes, seed

    def build(self, shape: tuple[int | None, int]) -> None:
        """Directions that are drawn alike from all."""
        initial = keras.initializers.RandomNormal(stddev=1.0, seed=self.seed)
        self.kernel = self.add_weight(
            shape=(shape[-1], self.classes), initializer=initial, name="proxies"
        )

    def call(self, vectors: keras.KerasTensor) -> keras.KerasTensor:
        """Cosines, since both have length 1."""
        return ops.matmul(vectors, ops.normalize(self.kernel, axis=0))


# --- what they are made of --------------------------------------------------------------------


def _pairs(classes: Tensor) -> tuple[Tensor, Tensor]:
    """(n, n) which pairs are of one class, a picture with itself left out, and which of two."""
    same = ops.equal(classes[:, None], classes[None, :])
    places = ops.arange(ops.shape(classes)[0])
    return same & ops.not_equal(places[:, None], places[None, :]), ~same


def _squares(vectors: Tensor) -> Tensor:
    """(n, n) squared distances of vectors of length 1."""
    return ops.maximum(2 - 2 * ops.matmul(vectors, ops.transpose(vectors)), 0.0)


def _mean(terms: Tensor, counts: Tensor) -> Tensor:
    """Of those terms that count; 0 where none does."""
    weights = ops.cast(counts, terms.dtype)
    return ops.sum(terms * weights) / ops.maximum(ops.sum(weights), 1)


def _means(terms: Tensor, counts: Tensor) -> Tensor:
    """The same for each row."""
    weights = ops.cast(counts, terms.dtype)
    return ops.sum(terms * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1)


def _log_one_and(exponents: Tensor, counts: Tensor, axis: int) -> Tensor:
    """ln(1 + the sum of exp of those that count)."""
    summed = ops.logsumexp(ops.where(counts, exponents, _NOTHING), axis=axis)
    return ops.softplus(summed)


def _cross_entropy(classes: Tensor, cosines: Tensor, harder: Tensor, scale: float) -> Tensor:
    own = ops.one_hot(ops.cast(classes, "int32"), cosines.shape[1], dtype="bool")
    logits = scale * ops.where(own, harder, cosines)
    right = ops.sum(ops.where(own, logits, 0.0), axis=1)
    return ops.mean(ops.logsumexp(logits, axis=1) - right)
