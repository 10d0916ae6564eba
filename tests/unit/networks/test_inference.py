"""networks.inference: OpenVINO against Keras's own `predict`, on photographs where any are."""

import contextlib
import functools
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

from checkout import SCRIPTS, SHARED

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf

from gallerist.data.preprocessing import Preprocessing
from gallerist.io.errors import UserError
from gallerist.networks import inference
from gallerist.networks import tensorflow_inference as engine
from gallerist.networks.architectures import Head, Scratch, Transfer, without_head
from gallerist.networks.efficientnet_lite2 import load_imagenet_weights
from gallerist.networks.frozen_graph import write_frozen_graph
from gallerist.networks.lite2_weights import weights_file
from gallerist.networks.tensorflow_inference import compile_network
from gallerist.networks.trunk import Halves

HEAD = Head("standard", 0.1, 1, 0.0, 0.0)
SIDE = 64


def network_of(backbone, pooling="avg", freeze="everything", side=SIDE):
    """A network without its head."""
    keras.utils.set_random_seed(3)
    network = without_head(Transfer(backbone, side, freeze, pooling, HEAD).build(3, None))
    scaled = network.get_layer("pixel_scaling")(pixels(side=side))
    live_in(network.get_layer("backbone").layer, scaled)
    return network


def live_in(model, batch):
    """Set moving averages as training would have: at rest, all pictures would look the same."""
    layers = [each for each in model.layers if isinstance(each, keras.layers.BatchNormalization)]
    trainable = [layer.trainable for layer in layers]
    for layer in layers:
        layer.momentum, layer.trainable = 0.0, True  # frozen, it would keep its averages
    model(batch, training=True)
    for layer, before in zip(layers, trainable, strict=True):
        layer.trainable = before


def pixels(count=16, side=SIDE):
    """Clouds and mosaics by turns: more like pictures than noise is, and no two alike."""
    small = np.random.default_rng(5).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    clouds, mosaics = (
        np.asarray(tf.image.resize(part, (side, side), method)).astype(np.uint8)
        for part, method in ((small[::2], "bilinear"), (small[1::2], "nearest"))
    )
    both = np.empty((count, side, side, 3), np.uint8)
    both[::2], both[1::2] = clouds, mosaics
    return both


def rows(count=7, length=6):
    return np.random.default_rng(6).normal(size=(count, length)).astype(np.float32)


def dense(length=6, units=4):
    keras.utils.set_random_seed(7)
    given = keras.Input((length,))
    return keras.Model(given, keras.layers.Dense(units, activation="gelu")(given))


def outside_openvino():
    """A network with an operation that OpenVINO does not have."""
    given = keras.Input((6,))
    return keras.Model(given, keras.ops.erfinv(given / 10), name="odd")


def cosines(one, other):
    one, other = (each.reshape(len(each), -1).astype(np.float64) for each in (one, other))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / lengths


def distances(found, expected):
    """From each row to the expected one, relative to its length."""
    return np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)


def assert_equal_to_keras(network, batch, forward):
    expected = network.predict(batch, verbose=0)
    found = forward(batch)
    assert (found.shape, found.dtype) == (expected.shape, np.float32)
    assert cosines(found, expected).min() >= 0.99999
    assert distances(found, expected).max() < 1e-3
    assert cosines(expected[:-1], expected[1:]).max() < 0.99999  # so that a wrong order is seen


@pytest.fixture(scope="module")
def mobilenet():
    return network_of("MobileNetV2", "gem")


@pytest.fixture(scope="module")
def compiled(mobilenet):
    """Engine -> MobileNetV2 compiled for it, once."""
    return functools.cache(lambda name: compile_network(mobilenet, engine=name, threads=2))


def test_openvino_gives_what_keras_predicts_of_mobilenet(mobilenet, compiled):
    assert_equal_to_keras(mobilenet, pixels(), compiled("openvino"))


@pytest.mark.parametrize(
    ("backbone", "pooling"),
    [
        # The first is tested exported too (test_export), quick tests included: it has convolutions
        # in groups, which Keras puts into functions.
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (
                ("ConvNeXtTiny", "gem"),
                ("ResNet50", "flatten"),
                ("DenseNet121", "avg"),
                ("EfficientNetB0", "avg"),
                ("EfficientNetLite2", "max"),
            )
        ),
    ],
)
def test_openvino_gives_what_keras_predicts(backbone, pooling):
    network = network_of(backbone, pooling)
    assert_equal_to_keras(network, pixels(), compile_network(network, engine="openvino", threads=2))


def test_the_network_from_scratch_gives_what_keras_predicts():
    network = without_head(Scratch(96, "valid", HEAD).build(3))
    live_in(network, pixels(side=96))
    forward = compile_network(network, engine="openvino", threads=2)
    assert_equal_to_keras(network, pixels(side=96), forward)


@pytest.mark.parametrize(
    ("backbone", "freeze"),
    [
        ("MobileNetV2", "block_14_project"),  # two tensors in a row
        pytest.param("ResNet50", "conv5", marks=pytest.mark.slow),  # every other position
    ],
)
def test_a_trunk_and_what_comes_after_it_give_what_the_whole_predicts(backbone, freeze):
    network = network_of(backbone, "avg", freeze)
    trunk, after = (
        compile_network(half, engine="openvino", threads=2)
        for half in (Halves(network).trunk(), Halves(network).after_trunk())
    )
    assert_equal_to_keras(network, pixels(), lambda batch: after(trunk(batch)))


def test_pretrained_weights_and_photographs_give_what_keras_predicts():
    folder = SHARED / "data/monkeys10/validation/query"
    if not folder.is_dir():
        pytest.skip(f"no photographs in {folder}")
    network = network_of("EfficientNetLite2", "avg", side=128)
    load_imagenet_weights(network.get_layer("backbone").layer, weights_file())
    files = sorted(folder.glob("*/*"))[::12]
    assert len(files) > 15
    batch = np.stack([Preprocessing(128).load(file) for file in files])
    assert_equal_to_keras(network, batch, compile_network(network, engine="openvino", threads=2))


@pytest.mark.slow
def test_openvino_is_as_near_to_the_exact_numbers_as_tensorflow():
    """Exact are those of the same network in double precision."""
    keras.config.set_dtype_policy("float64")
    try:
        double = without_head(Transfer("MobileNetV2", SIDE, "nothing", "avg", HEAD).build(3, None))
    finally:
        keras.config.set_dtype_policy("float32")
    network = network_of("MobileNetV2")
    double.set_weights(network.get_weights())
    exact = np.asarray(double(pixels(), training=False))
    assert exact.dtype == np.float64
    by_openvino, by_tensorflow = (
        distances(compile_network(network, engine=name, threads=2)(pixels()), exact).max()
        for name in ("openvino", "tensorflow")
    )
    assert 0 < by_openvino < 3 * by_tensorflow


@pytest.mark.parametrize("xla", [False, True])
def test_tensorflow_gives_what_keras_predicts(xla, mobilenet):
    forward = compile_network(mobilenet, engine="tensorflow", threads=2, xla=xla)
    assert_equal_to_keras(mobilenet, pixels(), forward)
    # A batch of another size goes through other kernels. What rounding leaves is measured against
    # the vector: the roots that GeM takes magnify it in numbers that are nearly 0.
    assert distances(forward(pixels()[:2]), forward(pixels())[:2]).max() < 1e-5
    assert forward.name.startswith(f"TensorFlow {tf.__version__}, ")
    assert forward.name.endswith("XLA") == xla


# --- batches ----------------------------------------------------------------------------------


def test_equal_batches_give_equal_bits_however_often_a_network_is_compiled(mobilenet, compiled):
    batch = pixels(20)
    one, other = compiled("openvino"), compile_network(mobilenet, engine="openvino", threads=2)
    first = one(batch)
    for again in (one(batch), other(batch)):
        np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("kind", ["pixels", "rows"])
def test_a_vector_does_not_depend_on_the_rest_of_the_batch(kind, compiled):
    if kind == "pixels":
        forward, batch = compiled("openvino"), pixels(41)
    else:
        forward, batch = compile_network(dense(), engine="openvino", threads=2), rows(41)
    together = forward(batch)
    for start, stop in [(0, 1), (40, 41), (3, 20), (7, 8)]:
        np.testing.assert_array_equal(forward(batch[start:stop]), together[start:stop])


@pytest.mark.parametrize("name", ["openvino", "tensorflow"])
def test_no_pictures_give_no_vectors(name, compiled):
    found = compiled(name)(pixels()[:0])
    assert (found.shape, found.dtype) == ((0, 1280), np.float32)


@pytest.mark.parametrize("name", ["openvino", "tensorflow"])
def test_rows_of_half_precision_are_taken_as_they_are(name):
    forward = compile_network(dense(), engine=name, threads=1)
    halves = rows().astype(np.float16)
    np.testing.assert_array_equal(forward(halves), forward(halves.astype(np.float32)))


@pytest.mark.parametrize("name", ["openvino", "tensorflow"])
def test_pixels_between_0_and_1_are_refused_and_not_rounded(name, compiled):
    with pytest.raises(TypeError, match="uint8"):
        compiled(name)(pixels() / 255)


@pytest.mark.parametrize("name", ["openvino", "tensorflow"])
def test_batches_of_another_shape_are_refused(name, compiled):
    forward = compiled(name)
    for batch in (pixels(side=32), pixels()[0], pixels()[..., :1]):
        with pytest.raises(ValueError, match=r"takes \(64, 64, 3\) for each picture, not \("):
            forward(batch)


@pytest.mark.parametrize("name", ["openvino", "tensorflow"])
def test_a_stream_gives_what_its_batches_give_one_by_one(name):
    forward = compile_network(dense(), engine=name, threads=2)
    lengths = [5, 1, 0, 32, 7, 2, 64]
    batches = [rows(length) * (place + 1) for place, length in enumerate(lengths)]
    found = list(forward.stream(iter(batches)))
    assert [len(each) for each in found] == lengths
    for batch, each in zip(batches, found, strict=True):
        np.testing.assert_array_equal(each, forward(batch))


def test_a_stream_that_is_left_early_waits_for_nothing_and_harms_nothing(compiled):
    forward = compiled("openvino")
    expected = forward(pixels())
    for _ in range(3):
        stream = forward.stream(pixels() for _ in range(1000))
        np.testing.assert_array_equal(next(stream), expected)
        stream.close()
    np.testing.assert_array_equal(forward(pixels()), expected)


def test_a_stream_asks_for_few_batches_ahead(compiled):
    forward, given = compiled("openvino"), []

    def batches():
        for number in range(50):
            given.append(number)
            yield pixels(16)

    for taken, _ in enumerate(forward.stream(batches()), start=1):
        assert len(given) <= taken + 2


def test_a_batch_that_cannot_be_had_ends_a_stream_after_those_before_it(compiled):
    forward = compiled("openvino")

    def batches():
        yield pixels()
        raise ValueError("the second is broken")

    with pytest.raises(ValueError, match="the second is broken"):
        list(forward.stream(batches()))
    assert len(forward(pixels())) == 16


def test_with_convolutions_in_tiles_a_network_gives_what_keras_predicts(monkeypatch):
    keras.utils.set_random_seed(8)
    given = keras.Input((SIDE, SIDE, 3))
    wide = keras.layers.Conv2D(96, 3, 4, "same", activation="relu")(given)
    for side in (96, 128):
        wide = keras.layers.Conv2D(side, 3, padding="same", activation="relu")(wide)
    network = keras.Model(given, keras.layers.GlobalAveragePooling2D()(wide))
    counts = []
    rewrite = inference.rewrite_convolutions
    monkeypatch.setattr(
        inference, "rewrite_convolutions", lambda each: counts.append(rewrite(each))
    )
    forward = compile_network(network, engine="openvino", threads=2)
    assert counts == [2]
    assert_equal_to_keras(network, pixels(), forward)


# --- which engine -----------------------------------------------------------------------------


def test_openvino_is_taken_where_it_can_be(caplog):
    forward = compile_network(dense(), threads=1)
    assert forward.name.startswith("OpenVINO 20")
    assert forward.name.endswith(", 1 thread")
    assert not caplog.messages


def test_tensorflow_takes_over_what_openvino_cannot_run_and_the_log_says_why(caplog):
    forward = compile_network(outside_openvino(), threads=1)
    assert forward.name.startswith("TensorFlow")
    (message,) = caplog.messages
    assert message.startswith("TensorFlow runs the network odd, more slowly than OpenVINO, which ")
    assert "No conversion rule found for operations: Erfinv" in message
    assert "\n" not in message
    from scipy.special import erfinv

    np.testing.assert_allclose(forward(rows()), erfinv(rows() / 10), rtol=1e-5)


def test_openvino_asked_for_by_name_is_not_replaced():
    with pytest.raises(UserError) as refusal:
        compile_network(outside_openvino(), engine="openvino", threads=1)
    message = str(refusal.value)
    assert message.startswith("OpenVINO cannot run the network odd (")
    assert message.endswith("Set the engine to auto or tensorflow.")


class Wrong(inference.OpenVino):
    """An engine whose numbers are off by two thousandths."""

    def _run(self, batches):
        return (rows * np.float32(1.002) for rows in super()._run(batches))


def test_an_engine_that_gives_other_numbers_is_not_taken(monkeypatch, caplog):
    monkeypatch.setattr(engine, "OpenVino", Wrong)
    assert compile_network(dense(), threads=1).name.startswith("TensorFlow")
    assert "away from TensorFlow's" in caplog.text


def test_without_openvino_tensorflow_is_taken(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert compile_network(dense(), threads=1).name.startswith("TensorFlow")
    assert "openvino" in caplog.text


def test_a_gpu_that_tensorflow_sees_is_taken(monkeypatch, tmp_path):
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a card"])
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda card: {"device_name": "NVIDIA H100"}
    )
    forward = compile_network(dense(), threads=1)
    assert forward.name == f"TensorFlow {tf.__version__}, NVIDIA H100"
    assert compile_network(dense(), engine="openvino", threads=1).name.startswith("OpenVINO")


def test_a_network_that_has_diverged_is_run_all_the_same(caplog):
    network = dense()
    network.weights[0].assign(np.full((6, 4), np.nan))
    forward = compile_network(network, threads=1)
    assert forward.name.startswith("OpenVINO")
    assert np.isnan(forward(rows())).all()
    assert not caplog.messages


# --- what it takes of the machine -------------------------------------------------------------


def task_times():
    """Processor time, in ticks, of each thread of this process."""
    times = {}
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            times[task.name] = int(fields[11]) + int(fields[12])
    return times


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")
def test_no_more_threads_work_than_are_given(mobilenet):
    forward = compile_network(mobilenet, engine="openvino", threads=1)
    batch = pixels(64)
    before, spent = task_times(), [0]
    while sum(spent) < 50:  # half a second
        forward(batch)
        spent = [time - before.get(task, 0) for task, time in task_times().items()]
    assert max(spent) >= 0.8 * sum(spent)


def test_threads_are_not_tied_to_processors():
    """Or the threads of two jobs of one thread each would share the first processor."""
    everywhere = os.sched_getaffinity(0)
    for _ in range(2):
        compile_network(dense(), engine="openvino", threads=1)(rows())
    tasks = [int(task.name) for task in Path("/proc/self/task").iterdir()]
    assert [os.sched_getaffinity(task) for task in tasks] == [everywhere] * len(tasks)


def test_more_threads_than_processors_are_not_asked_for():
    name = compile_network(dense(), engine="openvino", threads=10_000).name
    assert 1 <= int(name.split(", ")[1].split()[0]) <= os.cpu_count()


def test_converting_is_silent(capfd, caplog, mobilenet):
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compile_network(mobilenet, engine="openvino", threads=1)(pixels())
    assert capfd.readouterr() == ("", "")
    assert not [each for each in caplog.records if each.levelno > logging.DEBUG]


def test_only_what_the_output_needs_is_converted(tmp_path):
    """EfficientNetB0's activations have a second output, for gradients that nobody asks for."""
    network = network_of("EfficientNetB0", side=32)
    write_frozen_graph(network, tmp_path / "network.pb")
    graph = tf.compat.v1.GraphDef.FromString((tmp_path / "network.pb").read_bytes())
    read = {name.split(":")[0] for node in graph.node for name in node.input}
    (unread,) = [node for node in graph.node if node.name not in read]
    assert unread.op == "Identity"
    assert [node.op for node in graph.node].count("Placeholder") == 1
    assert not [node for node in graph.node if "Variable" in node.op]


WATCHED = """
import os, socket, sys

log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def watch(event, arguments):
    # A fork is how the telemetry of OpenVINO sends what it sends.
    if event.startswith("socket.") or event in ("os.fork", "os.forkpty", "subprocess.Popen"):
        os.write(log, f"{event} {arguments}\\n".encode())

import keras
import numpy as np
from gallerist.networks.tensorflow_inference import compile_network

given = keras.Input((4,))
network = keras.Model(given, keras.layers.Dense(2)(given))
sys.addaudithook(watch)
forward = compile_network(network, engine="openvino", threads=1)
assert forward(np.ones((3, 4), np.float32)).shape == (3, 2)
import openvino
openvino.convert_model(network)  # the conversion that would report itself
os.write(log, b"done\\n")
socket.getaddrinfo("localhost", 80)
"""


def test_nothing_is_sent_and_no_number_is_given_to_the_user(tmp_path):
    """The user has a home without a refusal of telemetry, and the process does not say it is CI."""
    home, log = tmp_path / "home", tmp_path / "log"
    home.mkdir()
    ours = {k: v for k, v in os.environ.items() if k not in ("CI", "TF_BUILD", "JENKINS_URL")}
    environment = {
        **ours,
        "HOME": str(home),
        "KERAS_HOME": str(tmp_path / "keras"),
        "PYTHONPATH": str(SCRIPTS),
    }
    command = [sys.executable, "-c", WATCHED, str(log)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    events = log.read_text().splitlines()
    assert events[0] == "done"
    assert events[1].startswith("socket.getaddrinfo")  # the watch works
    assert not (home / "intel").exists()
