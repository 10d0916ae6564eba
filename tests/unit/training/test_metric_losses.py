"""training.metric_losses against sums written out pair by pair, finite differences, and by hand."""

import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gallerist.settings.losses import Loss, ProxyLoss
from gallerist.training.metric_losses import Proxies, loss_function

NAMES = (
    *("triplet", "semi_hard_triplet", "contrastive", "supcon", "nt_xent"),
    *("multi_similarity", "arcface", "cosface", "proxy_anchor"),
)
LOSS = TypeAdapter(Loss)
LENGTH, PROXIES = 3, 4


def of(name, **keys):
    return LOSS.validate_python({"name": name, **keys})


# --- the same, pair by pair, from the papers' equations ---------------------------------------


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def log_1_and_sum(exponents):
    return math.log1p(sum(map(math.exp, exponents)))


class PairByPair:
    """Python numbers: classes, cosines and distances of a batch of vectors of length 1."""

    def __init__(self, classes, vectors):
        self.n = range(len(classes))
        self.s = [[float(a @ b) for b in vectors] for a in vectors]
        self.d = [[float(np.linalg.norm(a - b)) for b in vectors] for a in vectors]
        self.positives = [
            [j for j in self.n if j != i and classes[j] == classes[i]] for i in self.n
        ]
        self.negatives = [[j for j in self.n if classes[j] != classes[i]] for i in self.n]

    def triplet(self, margin):
        terms = [
            max(self.d[i][p] for p in self.positives[i])
            - min(self.d[i][q] for q in self.negatives[i])
            for i in self.n
            if self.positives[i] and self.negatives[i]
        ]
        if margin is None:
            return mean(math.log1p(math.exp(x)) for x in terms)
        return mean(max(0, margin + x) for x in terms)

    def semi_hard_triplet(self, margin):
        terms = []
        for i in self.n:
            for p in self.positives[i]:
                pair = self.d[i][p] ** 2
                squares = [self.d[i][q] ** 2 for q in self.negatives[i]]
                found = [x for x in squares if pair < x < pair + margin]
                if found:
                    terms.append(margin + pair - min(found))
        return mean(terms)

    def contrastive(self, margin):
        return mean(
            self.d[i][j] ** 2 / 2
            if j in self.positives[i]
            else max(0, margin - self.d[i][j]) ** 2 / 2
            for i in self.n
            for j in self.n
            if i < j
        )

    def supcon(self, temperature):
        def e(i, j):
            return math.exp(self.s[i][j] / temperature)

        return mean(
            mean(
                -math.log(e(i, p) / sum(e(i, a) for a in self.n if a != i))
                for p in self.positives[i]
            )
            for i in self.n
            if self.positives[i]
        )

    def nt_xent(self, temperature):
        def e(i, j):
            return math.exp(self.s[i][j] / temperature)

        return mean(
            -math.log(e(i, p) / (e(i, p) + sum(e(i, q) for q in self.negatives[i])))
            for i in self.n
            for p in self.positives[i]
        )

    def multi_similarity(self, alpha, beta, base, epsilon):
        terms = []
        for i in self.n:
            positives, negatives = self.positives[i], self.negatives[i]
            greatest = max([self.s[i][q] for q in negatives], default=-math.inf)
            least = min([self.s[i][p] for p in positives], default=math.inf)
            kept_p = [p for p in positives if self.s[i][p] < greatest + epsilon]
            kept_q = [q for q in negatives if self.s[i][q] > least - epsilon]
            right = log_1_and_sum(-alpha * (self.s[i][p] - base) for p in kept_p)
            wrong = log_1_and_sum(beta * (self.s[i][q] - base) for q in kept_q)
            terms.append(right / alpha + wrong / beta)
        return mean(terms)


def arcface(classes, cosines, margin, scale):
    angles = np.arccos(cosines)
    return cross_entropy(classes, scale * cosines, scale * np.cos(angles + margin))


def cosface(classes, cosines, margin, scale):
    return cross_entropy(classes, scale * cosines, scale * (cosines - margin))


def cross_entropy(classes, logits, harder):
    terms = []
    for c, row, hard in zip(classes, logits, harder, strict=True):
        changed = [hard[k] if k == c else row[k] for k in range(len(row))]
        largest = max(changed)
        log_sum = largest + math.log(sum(math.exp(x - largest) for x in changed))
        terms.append(log_sum - changed[c])
    return mean(terms)


def proxy_anchor(classes, cosines, margin, alpha):
    right, wrong = [], []
    for k, column in enumerate(cosines.T):
        own = [s for s, c in zip(column, classes, strict=True) if c == k]
        rest = [s for s, c in zip(column, classes, strict=True) if c != k]
        if own:
            right.append(log_1_and_sum(-alpha * (s - margin) for s in own))
        wrong.append(log_1_and_sum(alpha * (s + margin) for s in rest))
    return mean(right) + mean(wrong)


OVER_PROXIES = {"arcface": arcface, "cosface": cosface, "proxy_anchor": proxy_anchor}
OWN_KEYS = ("margin", "temperature", "alpha", "beta", "base", "epsilon", "scale")


def expected(loss, classes, inputs):
    keys = {key: value for key, value in loss.model_dump().items() if key in OWN_KEYS}
    if loss.name in OVER_PROXIES:
        return OVER_PROXIES[loss.name](classes, inputs, **keys)
    return getattr(PairByPair(classes, inputs), loss.name)(**keys)


def batch(loss, classes, seed):
    """What the loss is given: unit vectors, or cosines, some of them near 1."""
    random = np.random.default_rng(seed)
    if isinstance(loss, ProxyLoss):
        return random.uniform(-0.8, 0.999, (len(classes), PROXIES))
    vectors = random.normal(size=(len(classes), LENGTH)) + 0.7
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def value(loss, classes, inputs):
    return float(loss_function(loss)(tf.constant(classes), tf.constant(inputs)))


LOSSES = st.one_of(
    st.builds(of, st.sampled_from(NAMES)),
    st.builds(of, st.just("triplet"), margin=st.floats(0.01, 1)),
    st.builds(of, st.sampled_from(["semi_hard_triplet", "contrastive"]), margin=st.floats(0.1, 2)),
    st.builds(of, st.sampled_from(["supcon", "nt_xent"]), temperature=st.floats(0.05, 2)),
    st.builds(
        of,
        st.just("multi_similarity"),
        alpha=st.floats(0.5, 5),
        beta=st.floats(5, 60),
        base=st.floats(0, 1),
        epsilon=st.floats(0, 0.5),
    ),
    st.builds(of, st.sampled_from(["arcface", "cosface"]), scale=st.floats(1, 64)),
    st.builds(of, st.just("proxy_anchor"), margin=st.floats(0, 0.4), alpha=st.floats(1, 32)),
)
CLASSES = st.lists(st.integers(0, PROXIES - 1), min_size=1, max_size=9)


@settings(max_examples=60, deadline=None)
@given(LOSSES, CLASSES, st.integers(0, 2**32))
def test_each_loss_is_its_papers_sum_pair_by_pair(loss, classes, seed):
    inputs = batch(loss, classes, seed)
    assert value(loss, classes, inputs) == pytest.approx(
        expected(loss, classes, inputs), rel=1e-9, abs=1e-9
    )


@settings(max_examples=25, deadline=None)
@given(LOSSES, CLASSES, st.integers(0, 2**32))
def test_gradients_are_those_of_finite_differences(loss, classes, seed):
    inputs = batch(loss, classes, seed)
    variable = tf.Variable(inputs)
    with tf.GradientTape() as tape:
        found = loss_function(loss)(tf.constant(classes), tf.convert_to_tensor(variable))
    gradient = tape.gradient(found, variable).numpy()
    assert gradient.dtype == np.float64
    random = np.random.default_rng(seed)
    for _ in range(3):
        # Along the sphere, on which |a - b|^2 is 2 - 2 ab.
        direction = random.normal(size=inputs.shape)
        if not isinstance(loss, ProxyLoss):
            direction -= (direction * inputs).sum(axis=1, keepdims=True) * inputs
        ahead, behind = (
            expected(loss, classes, moved(loss, inputs, step * direction)) for step in (1e-6, -1e-6)
        )
        slope = (ahead - behind) / 2e-6
        assert slope == pytest.approx((gradient * direction).sum(), rel=1e-4, abs=1e-5)


def moved(loss, inputs, step):
    if isinstance(loss, ProxyLoss):
        return inputs + step
    return (inputs + step) / np.linalg.norm(inputs + step, axis=1, keepdims=True)


# --- by hand ----------------------------------------------------------------------------------

ON_A_CIRCLE = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], float)
"""Cosines: .6 0 -1 / .8 -.6 / 0; squared distances 2 less twice that."""
TWO_AND_TWO = [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("loss", "by_hand"),
    [
        # a, b: .8 apart squared; nearest negatives sqrt(2), sqrt(.4); c: sqrt(2) - sqrt(.4), d:
        # sqrt(2) - sqrt(3.2)
        (
            of("triplet", margin=0.5),
            (
                max(0, 0.5 + math.sqrt(0.8) - math.sqrt(2))
                + (0.5 + math.sqrt(0.8) - math.sqrt(0.4))
                + (0.5 + math.sqrt(2) - math.sqrt(0.4))
                + (0.5 + math.sqrt(2) - math.sqrt(3.2))
            )
            / 4,
        ),
        # (a, b): 2 is not below .8 + 1.2. (b, a): 3.2 neither. (c, d): c has 2 and .4, not above 2.
        # (d, c): 3.2 of 4 and 3.2 is no more within.
        (of("semi_hard_triplet", margin=1.2), 0.0),
        # Now (a, b) has 2, and (d, c) 3.2, the nearer of two.
        (of("semi_hard_triplet", margin=1.3), ((1.3 + 0.8 - 2) + (1.3 + 2 - 3.2)) / 2),
        # Positives .8 and 2; of the negatives only b c is nearer than 1.
        (of("contrastive"), (0.4 + 1 + (1 - math.sqrt(0.4)) ** 2 / 2) / 6),
        (
            of("supcon", temperature=1.0),
            (
                math.log(math.exp(0.6) + 1 + math.exp(-1)) - 0.6
                + math.log(math.exp(0.6) + math.exp(0.8) + math.exp(-0.6)) - 0.6
                + math.log(1 + math.exp(0.8) + 1)
                + math.log(math.exp(-1) + math.exp(-0.6) + 1)
            )
            / 4,
        ),
    ],
)  # fmt: skip
def test_four_vectors_on_a_circle(loss, by_hand):
    assert value(loss, TWO_AND_TWO, ON_A_CIRCLE) == pytest.approx(by_hand, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("loss", "by_hand"),
    [
        (of("cosface", margin=0.5, scale=2.0), math.log(1 + math.exp(2 * (0.6 - 0.3)))),
        # cos(arccos .8 + arccos .6) is 0
        (
            of("arcface", margin=math.acos(0.6), scale=2.0),
            math.log(1 + math.exp(2 * (0.6 - (0.8 * 0.6 - 0.6 * 0.8)))),
        ),
        (
            of("proxy_anchor", alpha=1.0, margin=0.1),
            math.log(1 + math.exp(-0.7)) + math.log(1 + math.exp(0.7)) / 2,
        ),
    ],
)
def test_one_picture_and_two_proxies(loss, by_hand):
    assert value(loss, [0], np.array([[0.8, 0.6]])) == pytest.approx(by_hand, rel=1e-9)


def test_arcface_falls_with_the_cosine_everywhere():
    """cos(angle + margin) would rise again beyond pi - margin."""
    cosines = np.linspace(1, -1, 400)
    values = [value(of("arcface"), [0], np.array([[c, 0.0]])) for c in cosines]
    assert (np.diff(values) >= 0).all()


# --- what a batch may hold --------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [[0], [0, 0, 0], [0, 1, 2], [0, 0, 1]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_vectors_and_missing_pairs_give_finite_numbers(name, classes, dtype):
    """Three times the same picture; and classes without another picture, or without another one."""
    inputs = np.ones((len(classes), PROXIES), dtype)
    if name not in OVER_PROXIES:
        inputs /= 2
    variable = tf.Variable(inputs)
    with tf.GradientTape() as tape:
        found = loss_function(of(name))(tf.constant(classes), tf.convert_to_tensor(variable))
    gradient = tape.gradient(found, variable)
    assert np.isfinite(found.numpy())
    assert found.dtype == dtype
    assert gradient is None or np.isfinite(gradient.numpy()).all()


def test_the_cosines_to_proxies_do_not_depend_on_the_proxies_lengths():
    layer = Proxies(3, seed=1)
    vectors = batch(of("triplet"), [0] * 5, 1).astype(np.float32)
    found = layer(vectors).numpy()
    kernel = layer.kernel.numpy()
    np.testing.assert_allclose(
        found, vectors @ (kernel / np.linalg.norm(kernel, axis=0)), atol=1e-6
    )
    layer.kernel.assign(7 * kernel)
    np.testing.assert_allclose(layer(vectors).numpy(), found, atol=1e-6)
    other = Proxies(3, seed=1)
    other(vectors)
    np.testing.assert_array_equal(other.kernel.numpy(), kernel)
