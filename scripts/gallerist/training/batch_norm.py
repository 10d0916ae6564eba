"""Averages of batch normalisation, estimated anew before a network is judged ("precise BN").

Keras moves them by a hundredth of every batch's mean and variance. They lag behind the weights by
some hundred batches, which is several epochs of a small data set: what the network then gives in
inference can be far from what it was trained to give, on one processor more than on another.
Here, with the weights as they are, they become the mean and the variance over training pictures.
Y. Wu, J. Johnson, Rethinking "Batch" in BatchNorm (2021), section 3.
"""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gallerist.io.arrays import AnyArray
from gallerist.networks.architectures import InferenceMode
from gallerist.training.batches import Batch, Batches

logger = logging.getLogger("gallerist")

PICTURES = 2000
"""Of the training pictures, that averages are estimated on. Wu and Johnson find a thousand to be
enough."""

APART = 0.1
"""Difference of accuracies that is warned of."""


class BatchNorms:
    """The batch normalisations of a network whose averages training moves."""

    def __init__(self, model: keras.Model, *, precise: bool = True) -> None:
        """model: a classifier. Layers in `InferenceMode` keep their averages, and do not count.

        precise: False leaves all averages as Keras moves them.
        """
        self.precise = precise
        every = model._flatten_layers()
        kept = {
            id(each)
            for wrapper in every
            if isinstance(wrapper, InferenceMode)
            for each in wrapper._flatten_layers()
        }
        self.model = model
        self.layers = [
            each
            for each in every
            if isinstance(each, keras.layers.BatchNormalization)
            and each.trainable
            and id(each) not in kept
        ]
        self._dropouts = [each for each in every if isinstance(each, keras.layers.Dropout)]
        self._functions: dict[bool, Any] = {}

    def estimate(self, training: Batches, epoch: int) -> None:
        """Make each layer's averages those of up to PICTURES pictures of an epoch.

        A layer's input is what the layers before it make of the same batch, normalised by the
        batch, without dropout. The mean is that of the batches' means; the variance is the mean of
        their variances and the variance of their means, each batch counted by its pictures.
        """
        if not self.layers or not self.precise:
            return
        sums = [np.zeros((2, *layer.moving_mean.shape)) for layer in self.layers]
        seen = 0
        for inputs, targets in self._some(training, epoch):
            self._outputs(inputs, by_batch=True)
            for total, layer in zip(sums, self.layers, strict=True):
                mean = np.asarray(layer.moving_mean.numpy(), np.float64)
                variance = np.asarray(layer.moving_variance.numpy(), np.float64)
                total += len(targets) * np.stack([mean, variance + mean**2])
            seen += len(targets)
        for (mean, square), layer in zip(
            (total / seen for total in sums), self.layers, strict=True
        ):
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(square - mean**2)

    def compare_modes(self, training: Batches) -> tuple[float, float] | None:
        """Accuracy on training pictures, normalised by their batch, and as in inference.

        Both without dropout, on up to PICTURES pictures. Warns where they are APART, which says
        that the averages have not settled. None without such layers. The averages are left as they
        are.
        """
        if not self.layers:
            return None
        kept = [(w, w.numpy()) for layer in self.layers for w in layer.non_trainable_weights]
        right, seen = np.zeros(2), 0
        for inputs, targets in self._some(training, epoch=1):
            inference = self._outputs(inputs, by_batch=False)
            trained = self._outputs(inputs, by_batch=True)
            for weight, value in kept:
                weight.assign(value)
            right += [(each.argmax(axis=1) == targets).sum() for each in (trained, inference)]
            seen += len(targets)
        by_batch, inferred = (float(each) for each in right / seen)
        if abs(by_batch - inferred) > APART:
            logger.warning(
                "%.0f %% of training pictures are classified rightly when they are normalised by "
                "their batch, as in training, and %.0f %% as in inference: the averages of batch "
                "normalisation have not settled, and features may be far from what was learned. "
                "Set batch_normalisation to precise, or train longer or with larger batches.",
                *(100 * by_batch, 100 * inferred),
            )
        return by_batch, inferred

    def _some(self, training: Batches, epoch: int) -> Iterator[Batch]:
        with closing(training.epoch(epoch)) as batches:
            yield from islice(batches, -(-PICTURES // training.batch_size))

    def _outputs(self, inputs: AnyArray, *, by_batch: bool) -> AnyArray:
        if by_batch not in self._functions:
            shape = tf.TensorSpec((None, *inputs.shape[1:]), inputs.dtype)
            with self._only_this_batch():
                self._functions[by_batch] = tf.function(
                    lambda batch: self.model(batch, training=by_batch), (shape,), autograph=False
                ).get_concrete_function()
        outputs: AnyArray = self._functions[by_batch](tf.constant(inputs)).numpy()
        return outputs

    @contextmanager
    def _only_this_batch(self) -> Iterator[None]:
        """What is traced meanwhile drops nothing, and leaves the batch's own mean and variance."""
        momenta = [layer.momentum for layer in self.layers]
        rates = [layer.rate for layer in self._dropouts]
        try:
            for layer in self.layers:
                layer.momentum = 0.0
            for dropout in self._dropouts:
                dropout.rate = 0.0
            yield
        finally:
            for layer, momentum in zip(self.layers, momenta, strict=True):
                layer.momentum = momentum
            for dropout, rate in zip(self._dropouts, rates, strict=True):
                dropout.rate = rate
