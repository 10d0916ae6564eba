"""A Keras network run as it is by TensorFlow, or converted for OpenVINO on the spot."""

import logging
import os
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from gallerist.io.arrays import AnyArray, Vectors
from gallerist.io.errors import UserError
from gallerist.networks.export import convert, probe_keras, reason_of
from gallerist.networks.exported import compared
from gallerist.networks.frozen_graph import input_dtype, input_spec, pack_input, trace
from gallerist.networks.inference import Engine, Forward, OpenVino, format_threads, uses_tensorflow

logger = logging.getLogger("gallerist")


def compile_network(
    model: keras.Model,
    *,
    engine: Engine = "auto",
    threads: int,
    xla: bool = False,
) -> Forward:
    """Make a network of one input and one output ready, in inference mode, with its weights of now.

    engine: "auto" is TensorFlow where TensorFlow sees a GPU; else OpenVINO; and TensorFlow, with a
        warning that says why, where OpenVINO cannot run the network or gives other numbers, which
        is tried on two random inputs.
    threads: processor threads for OpenVINO, which takes no more; of those that there are.
        TensorFlow's number is the process's own (see `runtime.configure`).
    xla: whether TensorFlow compiles the network with XLA; OpenVINO pays no heed to it.

    An input of the shape of pictures is compiled for uint8 pixels, another for float32 rows.
    Equal inputs give equal outputs, run by run, with equal threads. OpenVINO takes seconds for a
    large network, which one picture is not worth.
    Raises UserError when OpenVINO is asked for and cannot run the network as it should.
    """
    if uses_tensorflow(engine):
        return TensorFlow(model, xla=xla)
    try:
        forward = OpenVino(convert(model), threads)
        (outputs,) = map(compared, probe_keras(model))
        forward.check(outputs if np.isfinite(outputs).all() else None)
    except Exception as error:  # conversion raises everything from OSError to its own
        reason = reason_of(error)
        if engine == "openvino":
            raise UserError(
                f"OpenVINO cannot run the network {model.name} ({reason}). "
                "Set the engine to auto or tensorflow."
            ) from error
        logger.warning(
            "TensorFlow runs the network %s, more slowly than OpenVINO, which cannot (%s)",
            model.name,
            reason,
        )
        return TensorFlow(model, xla=xla)
    return forward


class TensorFlow(Forward):
    """A network as a graph of TensorFlow's."""

    def __init__(self, model: keras.Model, *, xla: bool) -> None:
        given, made = (tuple(each[0].shape[1:]) for each in (model.inputs, model.outputs))
        super().__init__(given, made, input_dtype(model))
        self._function = trace(
            lambda batch: model(pack_input(model, batch), training=False),
            input_spec(model),
            xla=xla,
        )
        self._model = model  # whose variables the graph reads, and does not keep alive
        # XLA compiles anew for every size: smaller batches are filled up to the largest so far.
        self._fills_up, self._largest = xla, 0
        gpus = tf.config.list_physical_devices("GPU")
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        names = [each.get("device_name", "GPU") for each in details]
        threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count() or 1
        where = ", ".join(names) if names else format_threads(threads)
        self.name = f"TensorFlow {tf.__version__}, {where}{', XLA' if xla else ''}"

    def _run(self, batches: Iterator[AnyArray]) -> Iterator[Vectors]:
        return map(self._rows_of, batches)

    def _rows_of(self, batch: AnyArray) -> Vectors:
        count = len(batch)
        if not count:  # which TensorFlow's convolutions refuse
            return np.empty((0, *self._output), np.float32)
        if self._fills_up:
            self._largest = max(self._largest, count)
            filling = ((0, self._largest - count), *[(0, 0)] * (batch.ndim - 1))
            batch = np.pad(batch, filling)
        return np.asarray(self._function(tf.constant(batch)).numpy()[:count], dtype=np.float32)
