"""Everything that a training changes as it goes, to be taken out and put back."""

import math
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import keras
import numpy as np

from gallerist.io.arrays import AnyArray
from gallerist.training.checkpoint import Saved

_DECISIONS = ("best", "best_epoch", "wait", "stopped_epoch", "cooldown_counter")
"""What Keras's EarlyStopping and ReduceLROnPlateau remember from epoch to epoch."""


def changing_variables(model: keras.Model) -> list[Any]:
    """The variables that training may change: all but those of frozen layers.

    Moving averages of layers that are not frozen are among them, and the states of random seeds,
    which frozen layers use up too.
    """
    frozen = {
        id(variable)
        for layer in model._flatten_layers()
        if not layer.trainable
        for variable in layer.weights
    }
    return [variable for variable in model.variables if id(variable) not in frozen]


class BestWeights:
    """A copy of the weights of the epoch with the least validation loss; the first one of equals.

    Where a rise is wanted, such as of an accuracy, the loss is the number below zero.

    A loss that is not a number is worse than any other.
    """

    def __init__(self, weights: Sequence[Any]) -> None:
        self.weights = weights
        self.loss = math.nan
        self.values: list[AnyArray] = []

    def update(self, loss: float) -> None:
        """Copy the weights if this epoch's loss is the least yet."""
        if not self.values or loss < self.loss or (math.isnan(self.loss) and not math.isnan(loss)):
            self.loss = loss
            self.values = [np.array(weight.numpy()) for weight in self.weights]

    def restore(self) -> None:
        """Put the best weights back, if there was an epoch."""
        for weight, value in zip(self.weights, self.values, strict=False):
            weight.assign(value)


class TrainingState:
    """The network's variables, the optimiser's, what the callbacks remember, and the history.

    history: one row an epoch. seconds: that the epochs took, of those who ran in other processes
    too. Of an epoch that a stop interrupted: pictures, that it was trained on; trained, what that
    gave once it was through; under_way, whether this process has gone on with it.
    """

    def __init__(
        self,
        model: keras.Model,
        callbacks: Sequence[keras.callbacks.Callback],
        keep_best: bool,
        loss_of: Callable[[Mapping[str, float]], float] = itemgetter("val_loss"),
    ) -> None:
        """model: compiled. callbacks: Keras's, of which only the ends of epochs are called.

        loss_of: what the best weights have the least of, by the row of an epoch.
        """
        self.model, self.callbacks, self.loss_of = model, callbacks, loss_of
        self.history: list[dict[str, float]] = []
        self.seconds = 0.0
        self.pictures, self.under_way = 0, False
        self.trained: dict[str, float] | None = None
        self._measured: list[AnyArray] = []
        model.optimizer.build(model.trainable_variables)
        changing = changing_variables(model)
        weights = {id(weight) for weight in model.weights}
        self._variables = [*changing, *model.optimizer.variables]
        self._weights = [variable for variable in changing if id(variable) in weights]
        self.best = BestWeights(self._weights) if keep_best else None
        for callback in callbacks:
            callback.set_model(model)
            callback.on_train_begin()

    @property
    def stopped(self) -> bool:
        """Whether a callback has ended the training."""
        return bool(self.model.stop_training)

    @property
    def size(self) -> int:
        """Bytes of what `saved` would hold."""
        best = self._weights if self.best else []
        return sum(
            math.prod(each.shape) * np.dtype(each.dtype).itemsize
            for each in (*self._variables, *best)
        )

    def begin_training(self) -> None:
        """Measure loss and accuracy from the beginning of the epoch, or from where it stopped.

        Of an epoch that stopped, the model has measured something before: it then has the metrics.
        """
        self.model.reset_metrics()
        for variable, array in zip(self.model.metrics_variables, self._measured, strict=False):
            variable.assign(array)
        self.under_way = True

    def end_epoch(self, row: Mapping[str, float]) -> None:
        """Add an epoch, and let the callbacks see its validation loss."""
        self.pictures, self.under_way, self.trained, self._measured = 0, False, None, []
        self.history.append(dict(row))
        if self.best:
            self.best.update(self.loss_of(row))
        for callback in self.callbacks:
            callback.on_epoch_end(len(self.history) - 1, dict(row))

    def saved(self) -> Saved:
        """Everything, to be stored. The arrays may share memory with the variables."""
        facts = {
            "history": self.history,
            "seconds": self.seconds,
            "stopped": self.stopped,
            "callbacks": [
                {name: vars(callback)[name] for name in _DECISIONS if name in vars(callback)}
                for callback in self.callbacks
            ],
            "best": self.best.loss if self.best else None,
            "trained": self.trained,
            "pictures": 0,
            "measured": 0,
        }
        kept = list(self._variables)
        if self.under_way and self.trained is None:
            # Keras counts in the step itself, so that the count and the weights agree whenever the
            # stop comes.
            facts["pictures"] = int(self.model.metrics[0].count)
            facts["measured"] = len(self.model.metrics_variables)
            kept += self.model.metrics_variables
        arrays = [variable.numpy() for variable in kept]
        return Saved(facts, arrays + (self.best.values if self.best else []))

    def restore(self, saved: Saved) -> None:
        """Go on from what `saved` held, of a training with the same identity."""
        facts, arrays = saved.facts, saved.arrays
        self.history, self.seconds = facts["history"], facts["seconds"]
        self.model.stop_training = facts["stopped"]
        for callback, decisions in zip(self.callbacks, facts["callbacks"], strict=True):
            vars(callback).update(decisions)
        for variable, array in zip(self._variables, arrays, strict=False):
            variable.assign(array)
        self.pictures, self.trained = facts["pictures"], facts["trained"]
        rest = arrays[len(self._variables) :]
        self._measured = rest[: facts["measured"]]
        if self.best:
            self.best.loss = facts["best"]
            self.best.values = rest[facts["measured"] :]
