"""What a network is trained towards, and what it is judged by: classification, or retrieval."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from gallerist.networks.graph_cut import Graph
from gallerist.networks.heads import EMBEDDING
from gallerist.settings.losses import MetricLoss, ProxyAnchor, ProxyLoss
from gallerist.settings.networks import Trained
from gallerist.training.adam import FusedAdam
from gallerist.training.batches import Batches
from gallerist.training.history import CURVES, RETRIEVAL_CURVES
from gallerist.training.leave_one_out import leave_one_out
from gallerist.training.metric_losses import LossFunction, Proxies, loss_function
from gallerist.training.passes import Passes


class Objective(ABC):
    """A compiled network and its way to be judged after an epoch.

    model: the network, with what only training has. judged_by: the column of the history by which
    epochs are compared. mode: min where less of it is better, max where more is. curves: columns.
    """

    model: keras.Model
    judged_by = "val_loss"
    mode: Literal["min", "max"] = "min"
    curves: tuple[str, ...] = CURVES
    classifies = True

    def loss_of(self, row: Mapping[str, float]) -> float:
        """What the best epoch has the least of, by its row of the history."""
        return row[self.judged_by] if self.mode == "min" else -row[self.judged_by]

    @abstractmethod
    def validate(self, passes: Passes, validation: Batches, epoch: int) -> dict[str, float]:
        """What the validation pictures say of the network as it is, by column of the history."""


def objective(model: keras.Model, training: Batches, settings: Trained) -> Objective:
    """Compile a network, or the half of it that is trained, for the loss of its experiment."""
    if settings.loss is None:
        return Classification(model, settings)
    return Retrieval(model, settings.loss, int(training.targets.max()) + 1, settings)


class Classification(Objective):
    """Cross-entropy of probabilities of classes."""

    def __init__(self, model: keras.Model, settings: Trained) -> None:
        """model: inputs -> (n, classes) probabilities."""
        self.model = model
        model.compile(
            FusedAdam(settings.learning_rate),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=False,  # of Keras's own functions, which are not used
        )

    def validate(self, passes: Passes, validation: Batches, epoch: int) -> dict[str, float]:
        """Loss and accuracy."""
        passes.model.reset_metrics()
        evaluated = passes.over(validation.epoch(epoch), "test_step")
        return {f"val_{name}": value for name, value in evaluated.items()}


class Retrieval(Objective):
    """A loss that compares vectors, judged by how well the vectors of validation pictures find
    each other. Vectors of classes, where the loss has them, are trained beside the network.
    """

    mode: Literal["min", "max"] = "max"
    curves = RETRIEVAL_CURVES
    classifies = False

    def __init__(
        self, model: keras.Model, loss: MetricLoss, classes: int, settings: Trained
    ) -> None:
        """model: inputs -> (n, d) vectors of length 1, with a layer named "embedding"."""
        headless = Graph.of(model).up_to(EMBEDDING)
        self._describing = keras.Model(headless.inputs[0], headless.outputs[0], name="describing")
        self._describe: Any = None
        self.judged_by = "val_map_at_r" if loss.judged_by == "mAP@R" else "val_top1"
        self.model = model
        faster: dict[int, float] = {}
        if isinstance(loss, ProxyLoss):
            proxies = Proxies(classes, settings.seed, name="proxies")
            self.model = keras.Model(model.inputs[0], proxies(model.outputs[0]), name=model.name)
            if isinstance(loss, ProxyAnchor):
                variables = self.model.trainable_variables
                (place,) = (i for i, each in enumerate(variables) if each is proxies.kernel)
                faster = {place: loss.proxies_rate}
        self.model.compile(
            FusedAdam(settings.learning_rate, faster),
            _OfABatch(loss_function(loss)),
            jit_compile=False,
        )

    def validate(self, passes: Passes, validation: Batches, epoch: int) -> dict[str, float]:
        """mAP@R and top-1 of each picture among the others."""
        vectors = []
        with closing(validation.epoch(epoch)) as batches:
            for inputs, _ in batches:
                if self._describe is None:  # one function for all sizes of batches: see `Passes`
                    shape = tf.TensorSpec((None, *inputs.shape[1:]), inputs.dtype)
                    self._describe = tf.function(
                        lambda batch: self._describing(batch, training=False), (shape,)
                    )
                vectors.append(self._describe(tf.constant(inputs)).numpy())
        found = leave_one_out(np.concatenate(vectors), validation.targets)
        return {"val_map_at_r": found.map_at_r, "val_top1": found.top1}


class _OfABatch(keras.losses.Loss):  # type: ignore[misc]
    """A loss of a whole batch as Keras's own."""

    def __init__(self, function: LossFunction) -> None:
        super().__init__(name="loss")
        self.function = function

    def call(self, targets: Any, outputs: Any) -> Any:
        """(n,) classes and (n, d) -> one number."""
        return self.function(targets, outputs)
