"""Engines: the same network on the same decoded pictures, by what there is to run it."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.machine import threads
from benchmarks.networks import SMALL, Measured, configured
from benchmarks.photos import photos
from benchmarks.rounds import Way, compared
from benchmarks.tables import Table
from gallerist.data.preprocessing import Preprocessing
from gallerist.io.arrays import Pixels

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 32

OPENVINO = "OpenVINO itself, for throughput"

Run = Callable[[Pixels], npt.NDArray[np.float32]]


def measure(rounds: int, *, quick: bool = False) -> Table:
    """Keras, TensorFlow, ONNX Runtime, OpenVINO and ours."""
    where = configured()
    from gallerist.networks.architectures import without_head

    measured = SMALL if quick else Measured()
    network = without_head(measured.build())
    with ExitStack() as stack, photos(8 if quick else 64) as pictures:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        preprocessing = Preprocessing(measured.image_size)
        pixels = np.stack([preprocessing.load(path) for path in pictures.paths])
        runs = _runs(network, folder)
        expected = runs["Keras predict"](pixels)
        ways = {
            name: Way(
                lambda run=run: _in_batches(run, pixels),
                len(pixels),
                {
                    "times Keras": "Keras predict",
                    "of OpenVINO's rate": OPENVINO,
                },
                {"least cosine": _least_cosine(_in_batches(run, pixels), expected)},
            )
            for name, run in runs.items()
        }
        return compared(
            "engines",
            f"Engines: {measured.backbone} at {measured.image_size} pixels, {where}",
            ways,
            rounds,
            item=("picture", "pictures"),
            notes=(
                f"{len(pixels)} decoded pictures ({pictures.source}) in batches of {BATCH_SIZE}; "
                "nothing is read or normalised; random weights",
                "least cosine: to the vectors of Keras predict, over all pictures",
                "OpenVINO itself: with 32-bit floats, without its telemetry and our checks",
            ),
        )


def _runs(network: "keras.Model", folder: Path) -> dict[str, Run]:
    """Every way through the network, with all threads."""
    import tensorflow as tf

    from gallerist.networks.tensorflow_inference import compile_network

    size = network.input_shape[1]
    spec = tf.TensorSpec((None, size, size, 3), tf.uint8)
    graph = tf.function(lambda x: network(x, training=False), input_signature=[spec])
    ours = compile_network(network, engine="auto", threads=threads())
    return {
        "Keras predict": lambda x: network.predict(x, batch_size=BATCH_SIZE, verbose=0),
        "tf.function": lambda x: graph(x).numpy(),
        "ONNX Runtime": _onnx_runtime(network, folder),
        **_openvino(network, folder),
        f"Gallerist ({ours.name})": ours,
    }


def _onnx_runtime(network: "keras.Model", folder: Path) -> Run:
    import onnxruntime

    path = folder / "network.onnx"
    _write_onnx(network, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda pixels: session.run(None, {given.name: pixels})[0]


def _write_onnx(network: "keras.Model", path: Path) -> None:
    import tensorflow as tf
    import tf2onnx

    size = network.input_shape[1]
    spec = tf.TensorSpec((None, size, size, 3), tf.uint8, name="pixels")
    graph = tf.function(lambda x: network(x, training=False), input_signature=[spec])
    tf2onnx.convert.from_function(graph, [spec], opset=17, output_path=str(path))


def _openvino(network: "keras.Model", folder: Path) -> dict[str, Run]:
    """As its manual begins, and for throughput: from the ONNX file, which has nothing of ours."""
    from gallerist.networks.exported import import_openvino

    openvino = import_openvino()
    path = str(folder / "network.onnx")
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads()}
    core = openvino.Core()
    request = core.compile_model(path, "CPU", settings).create_infer_request()
    queue = openvino.AsyncInferQueue(
        core.compile_model(path, "CPU", {**settings, "PERFORMANCE_HINT": "THROUGHPUT"})
    )

    def for_throughput(pixels: Pixels) -> npt.NDArray[np.float32]:
        rows: dict[int, npt.NDArray[np.float32]] = {}

        def keep(done: Any, row: int) -> None:
            rows[row] = done.get_output_tensor(0).data.copy()

        queue.set_callback(keep)
        for row in range(len(pixels)):
            queue.start_async({0: pixels[row : row + 1]}, row)
        queue.wait_all()
        return np.concatenate([rows[row] for row in range(len(pixels))])

    return {
        "OpenVINO itself, a batch at once": lambda pixels: request.infer({0: pixels})[0],
        OPENVINO: for_throughput,
    }


def _in_batches(run: Run, pixels: Pixels) -> npt.NDArray[np.float32]:
    starts = range(0, len(pixels), BATCH_SIZE)
    return np.concatenate([run(pixels[start : start + BATCH_SIZE]) for start in starts])


def _least_cosine(vectors: npt.NDArray[Any], expected: npt.NDArray[Any]) -> str:
    a, b = (each.astype(np.float64) for each in (vectors, expected))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return f"{float(((a * b).sum(axis=1) / lengths).min()):.8f}"
