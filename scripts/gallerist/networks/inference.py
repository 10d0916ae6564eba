"""The fastest exact way through a network: OpenVINO on processors, TensorFlow where it has a GPU.

OpenVINO folds batch normalisation into convolutions and joins operations, and computes in float32
as TensorFlow does: left alone it takes bfloat16 on processors that have it, which is not exact.
What its convolutions multiply needlessly is rewritten before (see `winograd`). A network that it
cannot take, or for which it gives other numbers, is left to TensorFlow.
"""

import logging
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from gallerist.io.arrays import AnyArray, Vectors
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike
from gallerist.io.parallel import ordered
from gallerist.networks.exported import EXACT, Exported, Kind, compared, import_openvino, probe
from gallerist.networks.winograd import rewrite_convolutions

if TYPE_CHECKING:
    import keras

logger = logging.getLogger("gallerist")

Engine = Literal["auto", "openvino", "tensorflow"]

TOLERANCE = 1e-3
"""Length of the difference of two engines' vectors, relative to the vector's. Rounding makes it
1e-6 to 1e-4, depending on the network and for either engine alike; bfloat16 1e-2 and more. Cosines
between vectors that differ so little are above .999999."""

AT_ONCE = 2
"""Pictures in one go of OpenVINO, always: so a vector depends on its picture alone, to the last
bit. Weights are read once for all of them; but what a layer makes of more does not stay in a
processor's cache."""


def uses_tensorflow(engine: Engine) -> bool:
    """Whether networks are run by TensorFlow: where it is asked for, or "auto" and it has a GPU.

    It takes seconds to load, and is not asked before the driver has named a card.
    """
    if engine != "auto":
        return engine == "tensorflow"
    command = shutil.which("nvidia-smi")
    if command is None or subprocess.run([command, "-L"], capture_output=True).returncode:
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def engine_for(network: PathLike, engine: Engine) -> Engine:
    """What runs a network of this file: OpenVINO alone, where it is not stored for Keras."""
    return engine if os.fspath(network).endswith(".keras") else "openvino"


def prepare(*, engine: Engine, threads: int, gpu_precision: str) -> str:
    """Set up this process to run networks, before the first one. Returns what it computes on."""
    if uses_tensorflow(engine):
        from gallerist.networks.runtime import configure

        return configure(threads=threads, gpu_precision=gpu_precision)
    cv2.setNumThreads(1)  # pictures are decoded side by side, each by one thread
    return f"CPU, {format_threads(min(threads, os.cpu_count() or 1))}"


class Forward(ABC):
    """A network ready to run on batches of any size, from one thread, one stream at a time.

    name: what runs it, its version and its processor threads or GPUs.
    """

    name: str

    def __init__(self, given: tuple[int, ...], made: tuple[int, ...], dtype: Any) -> None:
        """given, made: shapes for one picture, in and out. dtype: of what it is given."""
        self._input, self._output, self._dtype = given, made, dtype

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

    def check(self, expected: Any) -> None:
        """Raise UserError when it gives other numbers for `exported.probe` than Keras, `compared`.

        None, for a network that has diverged, is not compared.
        """
        if expected is None:
            return
        found = compared(self(probe(self._input, self._dtype)))
        difference, length = (np.linalg.norm(x, axis=1) for x in (found - expected, expected))
        if not (difference <= TOLERANCE * length).all():
            raise UserError(
                f"for a random input its output is {float(difference.max()):.2g} away from "
                f"TensorFlow's, which has length {float(length[difference.argmax()]):.2g}"
            )

    def _prepare(self, batch: AnyArray) -> AnyArray:
        if batch.shape[1:] != self._input:
            raise ValueError(
                f"the network takes {self._input} for each picture, not {batch.shape[1:]}"
            )
        return np.ascontiguousarray(batch.astype(self._dtype, casting="same_kind", copy=False))

    @abstractmethod
    def _run(self, batches: Iterator[AnyArray]) -> Iterator[Vectors]:
        """The same, of batches as they have to be."""


def compile_exported(
    exported: Exported,
    in_keras: "Callable[[], keras.Model]",
    *,
    kind: Kind = "pixels",
    image_size: int | None = None,
    engine: Engine,
    threads: int,
    xla: bool,
) -> Forward:
    """Make a stored network ready: by OpenVINO from what was exported, else from Keras.

    in_keras: loads the same network in Keras, which is asked for a GPU, for the engine
    "tensorflow", and for what OpenVINO cannot run, or only runs when Keras builds it at that size.
    image_size: where that is not the size it was built for. Other arguments, and errors, as of
    `tensorflow_inference.compile_network`.
    """
    if not uses_tensorflow(engine):
        resized = image_size is not None
        if kind in exported.expected and (not resized or exported.sizes == "any"):
            try:
                forward = OpenVino(exported.network(kind, image_size), threads)
                if not resized:
                    forward.check(exported.expected[kind])
                return forward
            except Exception as error:  # OpenVINO has no class of its own
                logger.warning("%s is loaded in Keras, for OpenVINO: %s", exported.graph, error)
        from gallerist.networks.runtime import configure

        with suppress(RuntimeError):  # where TensorFlow has begun to work
            configure(threads=threads)
    from gallerist.networks.tensorflow_inference import compile_network

    return compile_network(in_keras(), engine=engine, threads=threads, xla=xla)


class OpenVino(Forward):
    """A network compiled by OpenVINO for the processor.

    A batch is divided among independent streams, of one thread each on small machines. Threads that
    share one picture would wait for each other at every layer, for long where other work runs
    beside. No picture's vector depends on the others, so that the division changes nothing.

    The pieces all have the size that the network is compiled for, the last one of a batch filled
    up: of open sizes, OpenVINO would plan no memory, and let every layer write to another place.
    """

    def __init__(self, network: Any, threads: int) -> None:
        """network: an openvino.Model of one input and one output, which is altered."""
        (given,), (made,) = network.inputs, network.outputs
        count, *shape = (
            side.get_length() if side.is_static else -1 for side in given.partial_shape
        )
        self._at_once = AT_ONCE if count < 0 else count  # which others may have fixed
        network.reshape([self._at_once, *shape])
        super().__init__(tuple(shape), tuple(made.shape)[1:], given.element_type.to_dtype())
        rewrite_convolutions(network)
        settings = {
            **EXACT,
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "THROUGHPUT",
        }
        openvino = import_openvino()
        compiled = openvino.Core().compile_model(network, "CPU", settings)
        streams = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        # Twice as many requests as streams: the next one waits when a stream has finished one.
        self._requests = deque(compiled.create_infer_request() for _ in range(2 * streams))
        version = openvino.__version__.split("-")[0]
        used = int(compiled.get_property("INFERENCE_NUM_THREADS"))
        self.name = f"OpenVINO {version}, {format_threads(used)}"

    def _run(self, batches: Iterator[AnyArray]) -> Iterator[Vectors]:
        lengths: deque[int] = deque()

        def pieces() -> Iterator[AnyArray]:
            for batch in batches:
                lengths.append(len(batch))
                for start in range(0, max(1, len(batch)), count):
                    piece = batch[start : start + count]
                    filling = ((0, count - len(piece)), *[(0, 0)] * (batch.ndim - 1))
                    yield np.pad(piece, filling) if len(piece) < count else piece

        at_work, count = len(self._requests), self._at_once
        outputs: list[Vectors] = []
        with closing(ordered(self._infer, pieces(), threads=at_work, ahead=at_work - 1)) as made:
            for rows in made:
                outputs.append(rows)
                if len(outputs) * count >= lengths[0]:
                    yield np.concatenate(outputs)[: lengths.popleft()]
                    outputs = []

    def _infer(self, piece: AnyArray) -> Vectors:
        """What it gives for one piece; called by as many threads as there are requests."""
        request = self._requests.popleft()
        try:
            request.start_async({0: piece}, share_inputs=True)
            request.wait()
            return np.array(request.get_output_tensor(0).data)
        finally:
            self._requests.append(request)


def format_threads(threads: int) -> str:
    """1 thread, 2 threads."""
    return "1 thread" if threads == 1 else f"{threads} threads"
