"""The fastest exact way through a network: OpenVINO on processors, TensorFlow where it has a GPU.

OpenVINO folds batch normalisation into convolutions and joins operations, and computes in float32
as TensorFlow does: left alone it takes bfloat16 on processors that have it, which is not exact.
A network that it cannot take, or for which it gives other numbers, is left to TensorFlow.
"""

import logging
import os
import sys
import tempfile
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

logger = logging.getLogger("gallerist")

Engine = Literal["auto", "openvino", "tensorflow"]
Batch = npt.NDArray[Any]
Rows = npt.NDArray[np.float32]

TOLERANCE = 1e-3
"""Length of the difference of two engines' vectors, relative to the vector's. Rounding makes it
1e-6 to 1e-4, depending on the network and for either engine alike; bfloat16 1e-2 and more. Cosines
between vectors that differ so little are above .999999."""

_MOST_AT_ONCE = 8


class EngineRefused(RuntimeError):
    """The engine that was asked for cannot run a network. The message is complete."""


class Forward(ABC):
    """A network ready to run on batches of any size, from one thread at a time.

    name: what runs it, its version and its processor threads or GPUs.
    """

    name: str

    def __init__(self, model: keras.Model) -> None:
        self._input, self._output = (
            tuple(tensors[0].shape[1:]) for tensors in (model.inputs, model.outputs)
        )
        self._dtype = _input_dtype(model)

    def __call__(self, batch: Batch) -> Rows:
        """(n, s, s, 3) uint8 pixels, or (n, d) floating-point rows -> (n, ...) float32.

        Raises TypeError for another dtype, ValueError for another shape.
        """
        if batch.shape[1:] != self._input:
            raise ValueError(
                f"the network takes {self._input} for each picture, not {batch.shape[1:]}"
            )
        batch = batch.astype(self._dtype, casting="same_kind", copy=False)
        if not len(batch):  # which TensorFlow's convolutions refuse
            return np.empty((0, *self._output), np.float32)
        return self._run(np.ascontiguousarray(batch))

    @abstractmethod
    def _run(self, batch: Batch) -> Rows:
        """The same, of a batch as it has to be, of one or more."""


def compile_network(
    model: keras.Model, *, engine: Engine = "auto", threads: int, xla: bool = False
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
    Raises EngineRefused when OpenVINO is asked for and cannot run the network as it should.
    """
    if engine == "tensorflow" or (engine == "auto" and tf.config.list_physical_devices("GPU")):
        return _TensorFlow(model, xla=xla)
    try:
        forward = _OpenVino(model, threads)
        _check_equal(forward, model)
    except Exception as error:  # conversion raises everything from OSError to its own
        reason = _reason(error)
        if engine == "openvino":
            raise EngineRefused(
                f"OpenVINO cannot run the network {model.name} ({reason}). "
                "Set the engine to auto or tensorflow."
            ) from error
        logger.warning(
            "TensorFlow runs the network %s, more slowly than OpenVINO, which cannot (%s)",
            model.name,
            reason,
        )
        return _TensorFlow(model, xla=xla)
    return forward


class _TensorFlow(Forward):
    """A network as a graph of TensorFlow's."""

    def __init__(self, model: keras.Model, *, xla: bool) -> None:
        super().__init__(model)
        self._function = _traced(
            lambda batch: model(_structured(model, batch), training=False),
            _input_spec(model),
            xla=xla,
        )
        self._model = model  # whose variables the graph reads, and does not keep alive
        # XLA compiles anew for every size: smaller batches are filled up to the largest so far.
        self._fills_up, self._largest = xla, 0
        gpus = tf.config.list_physical_devices("GPU")
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        names = [each.get("device_name", "GPU") for each in details]
        threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count() or 1
        where = ", ".join(names) if names else _counted(threads)
        self.name = f"TensorFlow {tf.__version__}, {where}{', XLA' if xla else ''}"

    def _run(self, batch: Batch) -> Rows:
        count = len(batch)
        if self._fills_up:
            self._largest = max(self._largest, count)
            filling = ((0, self._largest - count), *[(0, 0)] * (batch.ndim - 1))
            batch = np.pad(batch, filling)
        return np.asarray(self._function(tf.constant(batch)).numpy()[:count], dtype=np.float32)


class _OpenVino(Forward):
    """A network compiled by OpenVINO for the processor.

    A batch is divided among independent streams, of one thread each on small machines. Threads that
    share one picture would wait for each other at every layer, for long where other work runs
    beside. No picture's vector depends on the others, so that the division changes nothing.
    """

    def __init__(self, model: keras.Model, threads: int) -> None:
        super().__init__(model)
        openvino = import_openvino()
        core = openvino.Core()
        with tempfile.TemporaryDirectory(prefix="gallerist-") as folder:
            graph = Path(folder) / "network.pb"
            _write_frozen_graph(model, graph)
            network = core.read_model(graph)
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "THROUGHPUT",
            # Pinned, the first thread of every process would be on the first processor.
            "ENABLE_CPU_PINNING": False,
        }
        compiled = core.compile_model(network, "CPU", settings)
        self._streams = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        # Twice as many requests as streams: the next one waits when a stream has finished one.
        self._queue = openvino.AsyncInferQueue(compiled, 2 * self._streams)
        self._queue.set_callback(_keep)
        version = openvino.__version__.split("-")[0]
        used = int(compiled.get_property("INFERENCE_NUM_THREADS"))
        self.name = f"OpenVINO {version}, {_counted(used)}"

    def _run(self, batch: Batch) -> Rows:
        outputs = np.empty((len(batch), *self._output), np.float32)
        # Small networks gain by several at once; several rounds keep the last one short.
        size = min(max(len(batch) // (8 * self._streams), 1), _MOST_AT_ONCE)
        for start in range(0, len(batch), size):
            piece = slice(start, start + size)
            self._queue.start_async({0: batch[piece]}, outputs[piece], share_inputs=True)
        self._queue.wait_all()
        return outputs


def _keep(request: Any, rows: Rows) -> None:
    rows[:] = request.get_output_tensor(0).data


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry.

    To import it otherwise reports that, and a number of the user's, to Google Analytics, from a
    fork of this process. Where the package openvino_telemetry is not found, OpenVINO takes a
    stand-in of its own, which does nothing, for the rest of the process.
    """
    telemetry = "openvino_telemetry"
    loaded = sys.modules.pop(telemetry, None)
    sys.modules[telemetry] = None  # type: ignore[assignment]  # importing it raises ImportError
    try:
        import openvino  # type: ignore[import-untyped]
    finally:
        del sys.modules[telemetry]
        if loaded is not None:
            sys.modules[telemetry] = loaded
    return openvino


def _input_dtype(model: keras.Model) -> type[np.generic]:
    return np.uint8 if len(model.inputs[0].shape) == 4 else np.float32


def _input_spec(model: keras.Model) -> Any:
    return tf.TensorSpec((None, *model.inputs[0].shape[1:]), _input_dtype(model))


def _traced(function: Callable[..., Any], *specs: Any, xla: bool = False) -> Any:
    """A function of tensors as a graph, a tf.ConcreteFunction."""
    traced = tf.function(function, specs, autograph=False, jit_compile=xla or None)
    with _quiet_tensorflow():
        return traced.get_concrete_function()


def _structured(model: keras.Model, batch: Any) -> Any:
    """A batch as the model wants it: alone, or as the only one of a list where it was loaded."""
    return keras.tree.pack_sequence_as(model.input, [batch])


def _write_frozen_graph(model: keras.Model, path: Path) -> None:
    """Write the network as a GraphDef with its weights as constants.

    It is traced as a function of its weights, so that they are placeholders, which are replaced
    while the nodes are written one by one: a file of GraphDefs one after the other is one GraphDef
    of all their nodes (so protobuf merges messages). Hence only one layer's weights are in memory
    twice. TensorFlow's own way to freeze variables takes 9 s for ResNet152, this one 3 s.
    """
    weights = [*model.trainable_variables, *model.non_trainable_variables]
    trained = len(model.trainable_variables)

    def forward(batch: Any, values: Any) -> Any:
        given = _structured(model, batch)
        outputs, _ = model.stateless_call(values[:trained], values[trained:], given, training=False)
        return outputs

    specs = [tf.TensorSpec(weight.shape, weight.dtype) for weight in weights]
    function = _traced(forward, _input_spec(model), specs)
    given = [*weights, *function.captured_inputs]
    values = {tensor.op.name: each for tensor, each in zip(function.inputs[1:], given, strict=True)}
    graph = function.graph.as_graph_def()
    with path.open("wb") as file:
        header = tf.compat.v1.GraphDef(versions=graph.versions, library=graph.library)
        file.write(header.SerializeToString())
        for node in _needed(graph, function.outputs[0].op.name):
            known = values.get(node.name)
            written = node if known is None else _constant(node.name, known.numpy())
            file.write(tf.compat.v1.GraphDef(node=[written]).SerializeToString())


def _needed(graph: Any, output: str) -> Iterator[Any]:
    """The nodes that an output is computed from, in their order, without control inputs.

    Those order assignments, and in inference nothing is assigned.
    """
    nodes = {node.name: node for node in graph.node}
    needed, waiting = set(), [output]
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        node = nodes[name]
        data = [each for each in node.input if not each.startswith("^")]
        del node.input[:]
        node.input.extend(data)
        waiting += [each.split(":")[0] for each in data]
    return (node for node in graph.node if node.name in needed)


def _constant(name: str, array: Batch) -> Any:
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.as_dtype(array.dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array))
    return node


def _check_equal(forward: Forward, model: keras.Model) -> None:
    """Raise EngineRefused when a network gives other numbers than in Keras, for two random inputs.

    A network that has diverged gives undefined numbers in both, and is not compared.
    """
    probe = _probe(model)
    with _quiet_tensorflow():
        by_keras = model(_structured(model, probe), training=False)
    expected, found = (np.asarray(each, np.float64) for each in (by_keras, forward(probe)))
    expected, found = expected.reshape(2, -1), found.reshape(2, -1)
    if not np.isfinite(expected).all():
        return
    difference, length = (np.linalg.norm(rows, axis=1) for rows in (found - expected, expected))
    if not (difference <= TOLERANCE * length).all():
        raise EngineRefused(
            f"for a random input its output is {float(difference.max()):.2g} away from "
            f"TensorFlow's, which has length {float(length[difference.argmax()]):.2g}"
        )


def _probe(model: keras.Model) -> Batch:
    """Two random inputs: mosaics of 8x8 colours, to which networks react as to pictures, or rows.

    Noise of single pixels can drive a network so far out that its numbers are mostly rounding.
    """
    random, shape = np.random.default_rng(0), model.inputs[0].shape[1:]
    if _input_dtype(model) is not np.uint8:
        return random.random((2, *shape), np.float32)
    tiles = random.integers(0, 256, (2, 8, 8, shape[2]), np.uint8)
    down, across = (np.arange(side) * 8 // side for side in shape[:2])
    return tiles[:, down][:, :, across]


@contextmanager
def _quiet_tensorflow() -> Iterator[None]:
    """Keep TensorFlow from warning of what is done only once, such as tracing a convolution."""
    notices = tf.get_logger()
    level = notices.level
    notices.setLevel(logging.ERROR)
    try:
        yield
    finally:
        notices.setLevel(level)


def _counted(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def _reason(error: Exception) -> str:
    """What an error says, in one line, without OpenVINO's places in its source and its advice."""
    text = str(error).partition("FrontEnd API failed with ")[2] or str(error)
    text = text.partition("To facilitate")[0]
    return textwrap.shorten(text, 300) or type(error).__name__
