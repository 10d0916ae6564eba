"""Adam with an update that takes one pass over the weights."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf


class FusedAdam(keras.optimizers.Adam):  # type: ignore[misc]
    """Keras's Adam, its update of a variable computed by TensorFlow's kernel for it.

    Keras writes the update as a dozen operations, each of which reads and writes arrays as large
    as the weights. The kernel does all of it in one pass and in place. Measured for the 16 million
    weights of ResNet152's last block, processor time of an update: Keras's 40.9 ms, the same
    compiled by XLA 18.6 ms after 1.4 s of compiling, the kernel 15.6 ms.

    It is the same formula. Where Keras has 1 - beta_2 = .001, the kernel has 1 less the float32
    nearest to .999, which is 5e-5 more. An update differs by 2.3e-5 of itself at most, and by less
    with every step. (Keras corrects the bias by the rounded number, so the kernel is consistent.)
    """

    def __init__(
        self, learning_rate: float, faster: Mapping[int, float] | None = None, **options: Any
    ) -> None:
        """faster: position among the trainable variables -> factor of the learning rate.

        options: those of Keras's Adam.
        """
        super().__init__(learning_rate, **options)
        self.faster = faster or {}

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        """Update one variable and its moments in place."""
        index = self._get_variable_index(variable)
        if index in self.faster:
            learning_rate = learning_rate * self.faster[index]
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        dtype = variable.dtype
        beta_1, beta_2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
        step = tf.cast(tf.convert_to_tensor(self.iterations) + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.constant(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )
