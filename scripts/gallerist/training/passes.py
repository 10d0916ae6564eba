"""Passes of a compiled network over batches."""

from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Any

import keras
import tensorflow as tf

from gallerist.training.batches import Batch
from gallerist.workflow.progress import Progress


class Passes:
    """Passes of a compiled model over batches, by Keras's own steps in TensorFlow functions.

    `fit` is the same loop, but hands the batches through a TensorFlow generator, and waits a tenth
    of a second at the end of each pass where threads read them.
    """

    def __init__(self, model: keras.Model, xla: bool) -> None:
        self.model, self.xla = model, xla
        self._functions: dict[str, Any] = {}

    def over(
        self, batches: Generator[Batch], step: str, progress: Progress | None = None
    ) -> dict[str, float]:
        """Loss and metrics since they were reset. step: the name of the model's method."""
        logs: Mapping[str, Any] = {}
        with closing(batches):
            for inputs, targets in batches:
                logs = self._function(step, inputs)((tf.constant(inputs), tf.constant(targets)))
                if progress:
                    progress.advance(len(targets))
        found = logs or self.model.get_metrics_result()  # a stop came after the last batch
        return {name: float(value) for name, value in found.items()}

    def _function(self, step: str, inputs: Any) -> Any:
        if step not in self._functions:
            # One function for all sizes of batches: with one for each, the last bits of a result
            # would depend on which sizes came first, and a resumed training begins elsewhere.
            shape = tf.TensorSpec((None, *inputs.shape[1:]), inputs.dtype)
            self._functions[step] = tf.function(
                getattr(self.model, step),
                input_signature=((shape, tf.TensorSpec((None,), tf.int32)),),
                autograph=False,
                jit_compile=self.xla,
            )
        return self._functions[step]
