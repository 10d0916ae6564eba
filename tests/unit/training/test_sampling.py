"""training.sampling: what is in a batch, and in an epoch."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallerist.training.sampling import ClassSampler


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=60),
    st.integers(1, 24),
    st.integers(1, 6),
    st.integers(0, 9),
)
def test_each_batch_has_as_many_pictures_of_each_of_its_classes(targets, size, per_class, seed):
    targets = np.array(targets)
    sampler = ClassSampler(targets, size, per_class)
    order = sampler.order(np.random.default_rng(seed))
    classes = min(max(1, size // per_class), len(set(targets)))
    assert sampler.batch_size == classes * per_class
    assert len(order) == sampler.images
    assert sampler.images == max(1, len(targets) // sampler.batch_size) * sampler.batch_size
    for batch in order.reshape(-1, sampler.batch_size):
        assert list(Counter(targets[batch]).values()) == [per_class] * classes
        for each in set(targets[batch]):
            rows = batch[targets[batch] == each]
            available = (targets == each).sum()
            assert len(set(rows)) >= min(available, per_class) or available % per_class
    again = sampler.order(np.random.default_rng(seed))
    np.testing.assert_array_equal(order, again)


def test_a_class_shows_all_its_pictures_before_one_comes_again():
    targets = np.repeat([0, 1, 2], 12)
    order = ClassSampler(targets, 12, 4).order(np.random.default_rng(1))
    assert Counter(order.tolist()) == dict.fromkeys(range(36), 1)


def test_classes_come_alike_whatever_their_sizes():
    targets = np.array([0] * 400 + [1] * 8 + [2] * 8)
    order = ClassSampler(targets, 8, 4).order(np.random.default_rng(1))
    shares = np.bincount(targets[order]) / len(order)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.08)
