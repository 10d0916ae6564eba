"""The fastest exact way through a network: OpenVINO on processors, TensorFlow where it has a GPU.

OpenVINO folds batch normalisation into convolutions and joins operations, and computes in float32
as TensorFlow does: left alone it takes bfloat16 on processors that have it, which is not exact.
What its convolutions multiply needlessly is rewritten before (see `winograd`). A network that it
cannot take, or for which it gives other numbers, is left to TensorFlow.
"""

import logging
import os
import sys
import tempfile
import textwrap
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from gallerist.io.arrays import AnyArray, Vectors
from gallerist.io.errors import UserError
from gallerist.networks.frozen_graph import (
    input_dtype,
    input_spec,
    pack_input,
    quiet_tensorflow,
    trace,
    write_frozen_graph,
)
from gallerist.networks.winograd import rewrite_convolutions

logger = logging.getLogger("gallerist")

Engine = Literal["auto", "openvino", "tensorflow"]

TOLERANCE = 1e-3
"""Length of the difference of two engines' vectors, relative to the vector's. Rounding makes it
1e-6 to 1e-4, depending on the network and for either engine alike; bfloat16 1e-2 and more. Cosines
between vectors that differ so little are above .999999."""

_MOST_AT_ONCE = 2
"""Pictures in one go of OpenVINO. Weights are read once for all of them; but what a layer makes of
more does not stay in a processor's cache."""


class Forward(ABC):
    """A network ready to run on batches of any size, from one thread, one stream at a time.

    name: what runs it, its version and its processor threads or GPUs.
    """

    name: str

    def __init__(self, model: keras.Model) -> None:
        self._input, self._output = (
            tuple(tensors[0].shape[1:]) for tensors in (model.inputs, model.outputs)
        )
        self._dtype = input_dtype(model)

    def __call__(self, batch: AnyArray) -> Vectors:
        """(n, s, s, 3) uint8 pixels, or (n, d) floating-point rows -> (n, ...) float32.

        Raises TypeError for another dtype, ValueError for another shape.
        """
        return next(iter(self.stream([batch])))

    def stream(self, batches: Iterable[AnyArray]) -> Iterator[Vectors]:
        """The same of many batches, in their order; the next may be worked on before it is given.

        Quicker than one batch at a time: no thread waits at the end of each for the others.
        """
        return self._run(map(self._prepare, batches))

    def _prepare(self, batch: AnyArray) -> AnyArray:
        if batch.shape[1:] != self._input:
            raise ValueError(
                f"the network takes {self._input} for each picture, not {batch.shape[1:]}"
            )
        return np.ascontiguousarray(batch.astype(self._dtype, casting="same_kind", copy=False))

    @abstractmethod
    def _run(self, batches: Iterator[AnyArray]) -> Iterator[Vectors]:
        """The same, of batches as they have to be."""


def compile_network(
    model: keras.Model,
    *,
    engine: Engine = "auto",
    threads: int,
    batch_size: int = 32,
    xla: bool = False,
) -> Forward:
    """Make a network of one input and one output ready, in inference mode, with its weights of now.

    engine: "auto" is TensorFlow where TensorFlow sees a GPU; else OpenVINO; and TensorFlow, with a
        warning that says why, where OpenVINO cannot run the network or gives other numbers, which
        is tried on two random inputs.
    threads: processor threads for OpenVINO, which takes no more; of those that there are.
        TensorFlow's number is the process's own (see `runtime.configure`).
    batch_size: how many inputs mostly come at once; OpenVINO is made ready for some of them in one
        go. Other numbers are not refused, but a single input then takes as long as these.
    xla: whether TensorFlow compiles the network with XLA; OpenVINO pays no heed to it.

    An input of the shape of pictures is compiled for uint8 pixels, another for float32 rows.
    Equal inputs give equal outputs, run by run, with equal threads. OpenVINO takes seconds for a
    large network, which one picture is not worth.
    Raises UserError when OpenVINO is asked for and cannot run the network as it should.
    """
    if engine == "tensorflow" or (engine == "auto" and tf.config.list_physical_devices("GPU")):
        return _TensorFlow(model, xla=xla)
    try:
        forward = _OpenVino(model, threads, batch_size)
        _check_equal(forward, model)
    except Exception as error:  # conversion raises everything from OSError to its own
        reason = _reason(error)
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
        return _TensorFlow(model, xla=xla)
    return forward


class _TensorFlow(Forward):
    """A network as a graph of TensorFlow's."""

    def __init__(self, model: keras.Model, *, xla: bool) -> None:
        super().__init__(model)
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
        where = ", ".join(names) if names else _format_threads(threads)
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


@dataclass
class _Piece:
    """Some pictures of a batch on their way through the network.

    pictures: kept, because the request reads them where they are. rows: their place in `batch`, the
    outputs of the whole batch. last: whether none of the batch comes after them.
    """

    request: Any
    pictures: AnyArray
    rows: Vectors
    batch: Vectors
    last: bool

    def finish(self) -> None:
        """Wait for the outputs and put them in their place."""
        self.request.wait()
        self.rows[:] = self.request.get_output_tensor(0).data[: len(self.rows)]


class _OpenVino(Forward):
    """A network compiled by OpenVINO for the processor.

    A batch is divided among independent streams, of one thread each on small machines. Threads that
    share one picture would wait for each other at every layer, for long where other work runs
    beside. No picture's vector depends on the others, so that the division changes nothing.

    The pieces all have the size that the network is compiled for, the last one of a batch filled
    up: of open sizes, OpenVINO would plan no memory, and let every layer write to another place.
    """

    def __init__(self, model: keras.Model, threads: int, batch_size: int) -> None:
        super().__init__(model)
        openvino = import_openvino()
        core = openvino.Core()
        with tempfile.TemporaryDirectory(prefix="gallerist-") as folder:
            graph = Path(folder) / "network.pb"
            write_frozen_graph(model, graph)
            network = core.read_model(graph)
        at_work = min(threads, os.cpu_count() or 1)
        self._size = min(max(batch_size // (2 * at_work), 1), _MOST_AT_ONCE)
        network.reshape([self._size, *self._input])
        rewrite_convolutions(network)
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "THROUGHPUT",
            # Pinned, the first thread of every process would be on the first processor.
            "ENABLE_CPU_PINNING": False,
        }
        compiled = core.compile_model(network, "CPU", settings)
        streams = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        # Twice as many requests as streams: the next one waits when a stream has finished one.
        self._requests = [compiled.create_infer_request() for _ in range(2 * streams)]
        version = openvino.__version__.split("-")[0]
        used = int(compiled.get_property("INFERENCE_NUM_THREADS"))
        self.name = f"OpenVINO {version}, {_format_threads(used)}"

    def _run(self, batches: Iterator[AnyArray]) -> Iterator[Vectors]:
        begun: deque[_Piece] = deque()
        requests = cycle(self._requests)
        try:
            for batch in batches:
                for piece in self._pieces(batch, requests):
                    begun.append(piece)
                    piece.request.start_async({0: piece.pictures}, share_inputs=True)
                    # The oldest has the request that comes next.
                    yield from _finish(begun, len(self._requests) - 1)
            yield from _finish(begun, 0)
        finally:  # of what nobody waits for any longer, too, the pictures are still read
            for piece in begun:
                piece.request.wait()

    def _pieces(self, batch: AnyArray, requests: Iterator[Any]) -> Iterator[_Piece]:
        outputs = np.empty((len(batch), *self._output), np.float32)
        starts = range(0, max(1, len(batch)), self._size)
        for start in starts:
            part = slice(start, start + self._size)
            pictures = batch[part]
            if len(pictures) < self._size:
                filled = np.zeros((self._size, *batch.shape[1:]), batch.dtype)
                filled[: len(pictures)] = pictures
                pictures = filled
            yield _Piece(next(requests), pictures, outputs[part], outputs, start == starts[-1])


def _finish(begun: deque[_Piece], most: int) -> Iterator[Vectors]:
    """Finish pieces until so many are left; the outputs of batches that are complete by then."""
    while len(begun) > most:
        piece = begun[0]
        piece.finish()
        begun.popleft()
        if piece.last:
            yield piece.batch


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


def _check_equal(forward: Forward, model: keras.Model) -> None:
    """Raise UserError when a network gives other numbers than in Keras, for two random inputs.

    A network that has diverged gives undefined numbers in both, and is not compared.
    """
    probe = _probe(model)
    with quiet_tensorflow():
        by_keras = model(pack_input(model, probe), training=False)
    expected, found = (np.asarray(each, np.float64) for each in (by_keras, forward(probe)))
    expected, found = expected.reshape(2, -1), found.reshape(2, -1)
    if not np.isfinite(expected).all():
        return
    difference, length = (np.linalg.norm(rows, axis=1) for rows in (found - expected, expected))
    if not (difference <= TOLERANCE * length).all():
        raise UserError(
            f"for a random input its output is {float(difference.max()):.2g} away from "
            f"TensorFlow's, which has length {float(length[difference.argmax()]):.2g}"
        )


def _probe(model: keras.Model) -> AnyArray:
    """Two random inputs: mosaics of 8x8 colours, to which networks react as to pictures, or rows.

    Noise of single pixels can drive a network so far out that its numbers are mostly rounding.
    """
    random, shape = np.random.default_rng(0), model.inputs[0].shape[1:]
    if input_dtype(model) is not np.uint8:
        return random.random((2, *shape), np.float32)
    tiles = random.integers(0, 256, (2, 8, 8, shape[2]), np.uint8)
    down, across = (np.arange(side) * 8 // side for side in shape[:2])
    return tiles[:, down][:, :, across]


def _format_threads(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def _reason(error: Exception) -> str:
    """What an error says, in one line, without OpenVINO's places in its source and its advice."""
    text = str(error).partition("FrontEnd API failed with ")[2] or str(error)
    text = text.partition("To facilitate")[0]
    return textwrap.shorten(text, 300) or type(error).__name__
