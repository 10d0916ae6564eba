"""Members put side by side, and weighed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from gallerist.features import fusion
from gallerist.features.fusion import concatenate, learn_weights
from gallerist.features.store import normalise
from gallerist.io.errors import UserError


def unit_rows(count, length, seed):
    return normalise(np.random.default_rng(seed).normal(size=(count, length)))


def fused(blocks, weights):
    return np.concatenate(list(concatenate([[block] for block in blocks], weights)))


members_and_weights = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 1000), st.floats(0.01, 100)),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(members_and_weights)
def test_inner_products_are_the_weighted_sum_of_the_cosines(drawn):
    blocks = [unit_rows(5, length, seed) for length, seed, _ in drawn]
    weights = np.array([weight for _, _, weight in drawn])
    rows = fused(blocks, weights).astype(np.float64)
    exact = [block.astype(np.float64) for block in blocks]
    expected = sum(
        weight * block @ block.T
        for weight, block in zip(weights / weights.sum(), exact, strict=True)
    )
    np.testing.assert_allclose(rows @ rows.T, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_two_members_worked_by_hand():
    found = fused([np.array([[1, 0]], "f"), np.array([[0.6, 0.8]], "f")], [3, 1])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[np.sqrt(0.75), 0, 0.3, 0.4]], atol=1e-7)


def test_a_member_without_content_leaves_the_whole_to_the_others():
    colour, shape = np.array([[0.6, 0.8], [1, 0]], "f"), np.array([[0, 0], [1, 0]], "f")
    rows = fused([colour, shape], [1, 1])
    assert rows[0] @ rows[1] == pytest.approx(0.5 * 0.6)
    np.testing.assert_allclose(normalise(rows)[0], [0.6, 0.8, 0, 0], atol=1e-7)
    assert not fused([colour * 0, shape * 0], [1, 1]).any()


def test_a_member_of_weight_zero_is_left_out_and_not_read():
    def unreadable():
        raise AssertionError("read")
        yield

    block = unit_rows(3, 4, 1)
    (rows,) = concatenate([[block], unreadable()], [2, 0])
    np.testing.assert_allclose(rows, block, atol=1e-7)


def test_batches_are_fused_one_by_one():
    a, b = unit_rows(5, 3, 1), unit_rows(5, 2, 2)
    batches = list(concatenate([iter([a[:2], a[2:]]), iter([b[:2], b[2:]])], [1, 1]))
    assert [len(batch) for batch in batches] == [2, 3]
    np.testing.assert_array_equal(np.concatenate(batches), fused([a, b], [1, 1]))


@pytest.mark.parametrize("lengths", [[(3,), (4,)], [(3, 3), (3,)], [(3,), (3, 1)]])
def test_members_of_different_pictures_are_refused(lengths):
    blocks = [[unit_rows(count, 2, 1) for count in counts] for counts in lengths]
    with pytest.raises(UserError, match="the members must be of the same pictures"):
        list(concatenate(blocks, [1, 1]))


LABELS = [f"class {row % 5}" for row in range(60)]


def clustered(noise, seed):
    """Vectors about five centres, which are the classes of LABELS."""
    random = np.random.default_rng(seed)
    return normalise(np.tile(np.eye(5, 20), (12, 1)) + noise * random.normal(size=(60, 20)))


def misleading(seed):
    """Two pictures of a class are as far from each other as they can be, others are not."""
    sign = np.where(np.arange(60) // 5 % 2, 1.0, -1.0)[:, None]
    return normalise(clustered(0.05, seed) * sign)


def test_the_member_that_distinguishes_classes_weighs_more():
    members = {"noise": clustered(20, 1), "good": clustered(0.4, 2), "fair": clustered(0.8, 3)}
    learned = learn_weights(members, LABELS, seed=1)
    weights = learned.weights
    assert weights["good"] > weights["fair"] > weights["noise"] >= 0
    assert sum(weights.values()) == pytest.approx(1, abs=2e-6)
    assert learned.auc["good"] > learned.auc["fair"] > 0.6
    assert learned.auc["noise"] == pytest.approx(0.5, abs=0.1)
    assert learned.fused_auc > learned.auc["good"]


def test_one_member_weighs_one_and_as_many_pairs_of_either_kind_are_drawn():
    # 2 classes of 2: 2 pairs of one class, 4 of different ones, of which 2 are drawn.
    vectors = normalise(np.array([[1, 0.1], [1, 0], [0, 1], [0.1, 1]]))
    learned = learn_weights({"one": vectors}, ["a", "a", "b", "b"], seed=1)
    assert (learned.pairs, learned.auc, learned.weights) == (4, {"one": 1.0}, {"one": 1.0})


def test_the_fused_area_is_that_of_the_weighted_sum():
    members = {"good": clustered(0.4, 2), "fair": clustered(0.8, 3)}
    learned = learn_weights(members, LABELS, seed=1)
    first, second, same = fusion._pairs(LABELS, 1)
    rows = fused(list(members.values()), list(learned.weights.values()))
    scores = np.einsum("ij,ij->i", rows[first], rows[second])
    assert learned.fused_auc == pytest.approx(roc_auc_score(same, scores), abs=1e-4)


def test_a_misleading_member_is_dropped_and_the_rest_fitted_again(caplog):
    good, fair = clustered(0.4, 2), clustered(0.8, 3)
    alone = learn_weights({"good": good, "fair": fair}, LABELS, seed=1)
    learned = learn_weights({"good": good, "bad": misleading(4), "fair": fair}, LABELS, seed=1)
    assert learned.dropped == ("bad",)
    assert learned.weights == {"bad": 0.0, **alone.weights}
    assert "bad is left out of the fusion" in caplog.text


def test_perfectly_separated_classes_give_finite_weights():
    learned = learn_weights({"a": clustered(0, 1), "b": clustered(0.01, 2)}, LABELS, seed=1)
    assert sum(learned.weights.values()) == pytest.approx(1, abs=2e-6)
    assert learned.fused_auc == 1


def test_the_seed_decides_and_nothing_else(monkeypatch):
    members = {"good": clustered(0.4, 2), "fair": clustered(0.8, 3)}
    monkeypatch.setattr(fusion, "PICTURES", 40)
    monkeypatch.setattr(fusion, "PAIRS", 50)
    first, again, other = (learn_weights(members, LABELS, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.weights != other.weights
    assert first.pairs == 100


def test_pairs_are_balanced_distinct_and_truly_of_one_class_or_two():
    labels = [*LABELS, *["distractor"] * 9]
    first, second, same = fusion._pairs(labels, 3)
    assert same.mean() == 0.5
    assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == len(first)
    names = np.array(labels)
    np.testing.assert_array_equal(names[first] == names[second], same)
    assert not (same & (names[first] == "distractor")).any()
    assert (first != second).all()


def test_a_picture_without_content_is_no_trouble():
    vectors = clustered(0.4, 2)
    vectors[:7] = 0
    learned = learn_weights({"good": vectors, "empty": vectors * 0}, LABELS, seed=1)
    assert learned.weights == {"good": 1.0, "empty": 0.0}
    assert learned.auc["empty"] == 0.5


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (["a"] * 60, "of different classes"),
        ([str(row) for row in range(60)], "of one class"),
        (["distractor"] * 30 + [str(row) for row in range(30)], "of one class"),
        (LABELS[:59], "good has vectors of 60 validation pictures; there are 59"),
    ],
)
def test_labels_that_teach_nothing_are_refused(labels, named):
    with pytest.raises(UserError, match=named):
        learn_weights({"good": clustered(0.4, 2)}, labels, seed=1)


def test_members_that_are_all_misleading_are_refused():
    with pytest.raises(UserError, match="none of bad, worse finds validation pictures"):
        learn_weights({"bad": misleading(1), "worse": misleading(2)}, LABELS, seed=1)
