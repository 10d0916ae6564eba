"""gallerist.training.fused_adam against Keras's Adam, and against the formula in float64."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf

from gallerist.training.fused_adam import FusedAdam

SHAPES = [(), (7,), (3, 3, 5, 8), (1000, 70)]
STEPS = 40


def gradients(step):
    """Of very different sizes; some are zero throughout, some now and then."""
    random = np.random.default_rng([3, step])
    for number, shape in enumerate(SHAPES):
        gradient = np.asarray(random.normal(size=shape) * 10.0 ** (2 * number - 5), np.float32)
        if gradient.ndim:
            gradient[..., 0] = 0
            gradient[..., 1] *= step % 3 == 0
        yield gradient


def started(optimizer, compiled=True):
    """Variables, all zero, and a function that takes their gradients."""
    variables = [keras.Variable(np.zeros(shape, np.float32)) for shape in SHAPES]
    optimizer.build(variables)

    def apply(*given):
        optimizer.apply(given, variables)

    return variables, tf.function(apply, autograph=False) if compiled else apply


def trained(optimizer, steps=STEPS, compiled=True):
    """Variables after so many steps."""
    variables, apply = started(optimizer, compiled)
    for step in range(steps):
        apply(*map(tf.constant, gradients(step)))
    return variables


def values(variables):
    return [np.array(variable.numpy()) for variable in variables]


def formula(rate, steps=STEPS):
    """Algorithm 1 of Kingma and Ba (2015), with the epsilon of the remark in its section 2."""
    weights = [np.zeros(shape) for shape in SHAPES]
    m, v = [np.zeros(shape) for shape in SHAPES], [np.zeros(shape) for shape in SHAPES]
    for step in range(steps):
        alpha = rate * np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        for index, gradient in enumerate(gradients(step)):
            gradient = gradient.astype(float)
            m[index] = 0.9 * m[index] + 0.1 * gradient
            v[index] = 0.999 * v[index] + 0.001 * gradient**2
            weights[index] = weights[index] - alpha * m[index] / (np.sqrt(v[index]) + 1e-7)
    return weights


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("rate", [1e-5, 1e-2])
def test_weights_are_those_of_keras_and_of_the_formula(rate, compiled):
    ours = values(trained(FusedAdam(rate), compiled=compiled))
    keras_own = values(trained(keras.optimizers.Adam(rate), compiled=compiled))
    for one, other, exact in zip(ours, keras_own, formula(rate), strict=True):
        moved = rate * STEPS  # at most
        np.testing.assert_allclose(one, other, rtol=0, atol=3e-5 * moved)
        np.testing.assert_allclose(one, exact, rtol=0, atol=3e-5 * moved)
        assert np.abs(exact).max() > 1e-3 * moved  # the tolerance is far below what happens


def test_the_weights_follow_a_learning_rate_that_is_lowered():
    found = []
    for optimizer in (FusedAdam(0.01), keras.optimizers.Adam(0.01)):
        variables, apply = started(optimizer)
        for step in range(10):
            if step == 5:
                optimizer.learning_rate = 1e-4
            apply(*map(tf.constant, gradients(step)))
        found.append(values(variables))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-7)


def test_its_variables_are_those_of_keras_so_that_either_can_go_on_from_the_other():
    ours, keras_own = FusedAdam(0.01), keras.optimizers.Adam(0.01)
    trained(ours, steps=9)
    trained(keras_own, steps=9)
    assert int(ours.iterations) == 9
    for one, other in zip(ours.variables, keras_own.variables, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=6e-5, atol=2e-6)


def test_what_the_kernel_does_not_know_is_left_to_keras():
    ours, keras_own = (
        values(trained(kind(0.01, amsgrad=True))) for kind in (FusedAdam, keras.optimizers.Adam)
    )
    for one, other in zip(ours, keras_own, strict=True):
        np.testing.assert_array_equal(one, other)


def test_gradients_of_a_few_rows_are_applied():
    found = []
    for kind in (FusedAdam, keras.optimizers.Adam):
        table = keras.Variable(np.ones((6, 2), np.float32))
        optimizer = kind(0.1)
        optimizer.build([table])
        slices = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([1, 4]), tf.constant([6, 2]))
        optimizer.apply([slices], [table])
        found.append(table.numpy())
    np.testing.assert_array_equal(*found)
    assert (found[0][[1, 4]] < 0.95).all()
    np.testing.assert_array_equal(found[0][[0, 2, 3, 5]], 1)


def test_a_gradient_that_is_not_finite_lowers_the_loss_scale_and_changes_nothing():
    optimizer = keras.optimizers.LossScaleOptimizer(FusedAdam(0.01), initial_scale=8.0)
    weight = keras.Variable(np.ones(3, np.float32))
    optimizer.build([weight])
    apply = tf.function(lambda g: optimizer.apply([g], [weight]), autograph=False)
    apply(tf.constant([1.0, np.inf, 1.0]))
    np.testing.assert_array_equal(weight.numpy(), 1)
    assert (float(optimizer.dynamic_scale), int(optimizer.iterations)) == (4.0, 0)
    apply(tf.constant([4.0, 8.0, 0.0]))
    np.testing.assert_allclose(weight.numpy(), [0.99, 0.99, 1], rtol=1e-5)
