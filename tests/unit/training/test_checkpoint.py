"""A training that is killed goes on, and ends as if it had not been.

The processes are real and die by SIGKILL, at moments that they choose themselves by waiting for it.
"""

import io
import itertools
import json
import logging
import math
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from checkout import HELPERS, SCRIPTS

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
from coloured import drawn, image_batches, network

import gallerist.training.checkpoint
from gallerist.networks.architectures import Head, InferenceMode, Scratch
from gallerist.settings.networks import Trained
from gallerist.training.checkpoint import Checkpoint, Saved, identity_of
from gallerist.training.loop import train
from gallerist.training.state import BestWeights, changing_variables
from gallerist.workflow.log import Stopped

SAVED = Saved(
    {"history": [{"loss": 0.1, "val_loss": math.inf}], "best": None, "umlaut": "ä\n"},
    [
        np.random.default_rng(1).normal(size=(3, 40)).astype(np.float32),
        np.array(7, dtype=np.int64),
        np.array([1, 2**32 - 1], dtype=np.uint32),
        np.zeros((0, 4), dtype=np.float16),
    ],
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "models" / "checkpoint.npz"


# --- the file ---------------------------------------------------------------------------------


def same(one, other):
    assert one.facts == other.facts
    assert len(one.arrays) == len(other.arrays)
    for a, b in zip(one.arrays, other.arrays, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    return True


def test_what_is_written_is_read_by_another_process_of_the_same_training(path):
    Checkpoint(path, "a").write(SAVED)
    assert same(Checkpoint(path, "a").read(), SAVED)
    newer = Saved({"best": 1.5}, [np.arange(3)])
    Checkpoint(path, "a").write(newer)
    assert same(Checkpoint(path, "a").read(), newer)
    assert list(path.parent.iterdir()) == [path]


def test_a_number_that_is_none_comes_back_as_such(path):
    Checkpoint(path, "a").write(Saved({"val_loss": math.nan}, []))
    assert math.isnan(Checkpoint(path, "a").read().facts["val_loss"])


def test_where_nothing_is_stored_nothing_is_read(path, caplog):
    assert Checkpoint(path, "a").read() is None
    Checkpoint(path, "a").remove()
    assert not caplog.records


def test_a_checkpoint_of_another_training_is_removed_and_said_to_be(path, caplog):
    Checkpoint(path, "a").write(SAVED)
    assert Checkpoint(path, "b").read() is None
    assert not path.exists()
    assert caplog.messages == [
        f"{path} belongs to another training: it is removed, and training begins anew"
    ]


class Bomb:
    def __reduce__(self):
        return (os._exit, (1,))


def whole():
    return Path(os.environ["CHECKPOINT"]).read_bytes()


def flipped(content):
    """With one bit changed in the middle of the largest array."""
    place = content.index(SAVED.arrays[0].tobytes()) + 100
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def pickled():
    file = io.BytesIO()
    np.savez(file, head=np.array([Bomb()], dtype=object), array0=np.zeros(1))
    return file.getvalue()


def an_array():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def without_arrays():
    file = io.BytesIO()
    head = {"identity": "a", "arrays": 2, "facts": {}}
    np.savez(file, head=np.array(json.dumps(head)), array0=np.zeros(1))
    return file.getvalue()


DAMAGE = {
    "empty": lambda content: b"",
    "cut early": lambda content: content[:50],
    "cut in the middle": lambda content: content[: len(content) // 2],
    "cut at the end": lambda content: content[:-1],
    "a flipped bit": flipped,
    "text": lambda content: b"no archive",
    "pickle inside": lambda content: pickled(),
    "another kind of file": lambda content: an_array(),
    "an array less": lambda content: without_arrays(),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_removed_and_said_to_be(kind, path, caplog):
    Checkpoint(path, "a").write(SAVED)
    path.write_bytes(DAMAGE[kind](path.read_bytes()))
    assert Checkpoint(path, "a").read() is None
    assert not path.exists()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{path} is damaged")


def dead_process():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_what_a_killed_writer_left_is_removed_and_nothing_else(path):
    path.parent.mkdir()
    here = socket.gethostname()
    left = path.with_name(f".checkpoint.{dead_process()}@{here}.npz")
    lost = path.with_name(f".checkpoint.{os.getpid()}@lost-node.example.npz")
    others = [
        path.with_name(f".checkpoint.{os.getpid()}@{here}.npz"),  # of a process that lives
        path.with_name(f".other.{dead_process()}@{here}.npz"),
        path.with_name("model.keras"),
    ]
    for file in (left, lost, *others):
        file.write_bytes(b"half")
    Checkpoint(path, "a").read()
    assert sorted(path.parent.iterdir()) == sorted(others)
    left.write_bytes(b"half")
    Checkpoint(path, "a").remove()
    assert sorted(path.parent.iterdir()) == sorted(others)


def test_a_full_disk_leaves_the_checkpoint_before_and_does_not_stop(path, caplog, monkeypatch):
    checkpoint = Checkpoint(path, "a")
    checkpoint.write(SAVED)

    def full(file, **arrays):
        file.write(b"some")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        checkpoint.write(Saved({}, []))
    assert caplog.messages == [
        f"{path}: not stored, [Errno 28] No space left on device; training goes on"
    ]
    assert same(Checkpoint(path, "a").read(), SAVED)
    assert list(path.parent.iterdir()) == [path]


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


def writings(monkeypatch, path, epoch_seconds, writing_seconds, epochs=200, every=30.0):
    """Epochs after which something is written, and the seconds that took, of how many."""
    clock = Clock()
    monkeypatch.setattr(gallerist.training.checkpoint, "time", clock)
    checkpoint = Checkpoint(path, "a", every=every)

    def write(saved):
        clock.now += writing_seconds

    checkpoint._write = write
    written = []
    for epoch in range(1, epochs + 1):
        clock.now += epoch_seconds
        if checkpoint.is_due(SAVED.size):
            checkpoint.write(SAVED)
            written.append(epoch)
    return written, len(written) * writing_seconds / clock.now


def test_cheap_checkpoints_are_written_after_every_epoch(monkeypatch, path):
    written, share = writings(monkeypatch, path, epoch_seconds=0.5, writing_seconds=0.02)
    assert written == list(range(1, 201))
    assert share < 0.05


def test_dear_checkpoints_are_written_as_often_as_a_twentieth_of_the_time_allows(monkeypatch, path):
    written, share = writings(monkeypatch, path, epoch_seconds=5, writing_seconds=0.6)
    assert set(np.diff(written)) == {3}  # 15 s, of which .6 s is a twenty-fifth
    assert share < 0.05


def test_half_a_minute_is_the_most_that_is_lost(monkeypatch, path):
    written, _ = writings(monkeypatch, path, epoch_seconds=5, writing_seconds=4)
    assert set(np.diff(written)) == {6}
    written, _ = writings(monkeypatch, path, epoch_seconds=50, writing_seconds=9)
    assert set(np.diff(written)) == {1}


def test_every_epoch_is_written_where_that_is_asked_for(monkeypatch, path):
    written, _ = writings(monkeypatch, path, epoch_seconds=0.1, writing_seconds=9, every=0)
    assert written == list(range(1, 201))


def test_the_identity_names_everything_a_training_depends_on(monkeypatch, tmp_path):
    settings = {"epochs": 3, "network": "scratch"}
    found = identity_of(settings, "CPU, 2 threads", "digest")
    assert len(found) == 64
    assert found == identity_of(dict(reversed(settings.items())), "CPU, 2 threads", "digest")
    others = [
        identity_of({**settings, "epochs": 4}, "CPU, 2 threads", "digest"),
        identity_of(settings, "CPU, 1 thread", "digest"),
        identity_of(settings, "CPU, 2 threads", "digest of another list"),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(gallerist.training.checkpoint, "version", lambda name: "1" + name)
        others.append(identity_of(settings, "CPU, 2 threads", "digest"))
    module = tmp_path / "networks" / "architectures.py"
    module.parent.mkdir()
    module.write_text("epochs = 3")
    monkeypatch.setattr(gallerist.training.checkpoint, "LIBRARY", tmp_path)
    others.append(identity_of(settings, "CPU, 2 threads", "digest"))
    module.write_text("epochs = 4")
    others.append(identity_of(settings, "CPU, 2 threads", "digest"))
    assert len({found, *others}) == 7


# --- what is stored ---------------------------------------------------------------------------


def test_what_may_change_is_everything_but_the_frozen_layers():
    pixels = keras.Input((8, 8, 3))
    x = pixels
    for name in ("frozen", "trained"):
        x = keras.layers.Conv2D(2, 3, name=name)(x)
        x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
    x = keras.layers.Dropout(0.5, seed=3, name="dropout")(x)
    inner = keras.Model(pixels, x)
    for name in ("frozen", "frozen_bn", "dropout"):
        inner.get_layer(name).trainable = False
    outer = keras.Model(pixels, keras.layers.Flatten()(InferenceMode(inner)(pixels)))
    found = {
        re.sub(r".*seed_generator_?\d*/", "", "/".join(variable.path.split("/")[-2:]))
        for variable in changing_variables(outer)
    }
    assert found == {
        "trained/kernel",
        "trained/bias",
        *(f"trained_bn/{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")),
        "seed_generator_state",  # a frozen dropout layer draws as any other
    }


def test_frozen_layers_are_not_stored_and_training_does_not_change_them(pictures):
    model = Scratch(16, "same", Head("standard", 0.2, 1, 1e-4, 1e-4)).build(3)
    for name in ("conv1", "conv1_bn", "conv2", "conv2_bn"):
        model.get_layer(name).trainable = False
    changing = {id(variable) for variable in changing_variables(model)}
    before = [(variable, variable.numpy().copy()) for variable in model.variables]
    train(model, *batches(pictures), settings=schedule(epochs=2))
    changed = {id(v) for v, value in before if not np.array_equal(v.numpy(), value)}
    assert changed == changing


def test_the_best_weights_are_the_first_with_the_least_loss_and_nan_is_worse():
    weight = keras.Variable(np.zeros(2, np.float32))
    best = BestWeights([weight])
    best.restore()
    for number, loss in enumerate([math.nan, math.nan, 3.0, math.nan, 2.0, 2.0, 2.5]):
        weight.assign([number, number])
        best.update(loss)
    best.restore()
    assert (weight.numpy().tolist(), best.loss) == ([4, 4], 2.0)


# --- going on, in one process -----------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    return drawn(folder, "training", 6, contrast=40), drawn(folder, "validation", 3, contrast=40)


def batches(pictures):
    training, validation = pictures
    return image_batches(training, 4, 5), image_batches(validation, 4, None)


def schedule(epochs=6, stopping=None):
    slower = {"factor": 0.5, "patience": 1}
    return Trained(
        epochs=epochs,
        batch_size=4,
        learning_rate=0.02,
        early_stopping=stopping,
        reduce_learning_rate=slower,
        seed=5,
    )


class Interrupted(Exception):
    pass


def digest_of(model):
    return [variable.numpy().tobytes() for variable in model.variables]


def without_seconds(rows):
    return [{k: v for k, v in row.items() if k != "epoch_seconds"} for row in rows]


@pytest.mark.parametrize("stopped_after", [1, 3, 6])
def test_training_goes_on_where_it_stopped(stopped_after, pictures, path, caplog):
    head = Head("standard", 0.5, 1, 1e-4, 1e-4)
    whole, reported = network(head=head), []
    expected = train(whole, *batches(pictures), settings=schedule())
    assert min(row["learning_rate"] for row in expected.history) < 0.02

    def interrupt(epoch, row):
        reported.append(epoch)
        if epoch == stopped_after:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(
            network(head=head),
            *batches(pictures),
            settings=schedule(),
            checkpoint=Checkpoint(path, "a", every=0),
            report=interrupt,
        )
    resumed = network(head=head)
    caplog.set_level(logging.INFO)
    found = train(
        resumed,
        *batches(pictures),
        settings=schedule(),
        checkpoint=Checkpoint(path, "a", every=0),
        report=lambda epoch, row: reported.append(epoch),
    )
    assert f"training goes on after epoch {stopped_after} of 6, from {path}" in caplog.messages
    assert reported == [1, 2, 3, 4, 5, 6]
    assert found.resumed_epochs == stopped_after
    assert expected.resumed_epochs == 0
    assert without_seconds(found.history) == without_seconds(expected.history)
    assert digest_of(resumed) == digest_of(whole)
    assert found.seconds >= sum(row["epoch_seconds"] for row in found.history)


def stopping(batches, epoch, after):
    """The batches, of which a signal stops one epoch, after some of them."""
    read = batches.epoch

    def stopped(number, start=0):
        reading = read(number, start)
        for place in itertools.count(start):
            if (number, place) == (epoch, after):
                raise Stopped("stopped by SIGTERM")
            batch = next(reading, None)
            if batch is None:
                return
            yield batch

    batches.epoch = stopped
    return batches


@pytest.mark.parametrize(
    ("part", "epoch", "moments"),
    [(0, 1, [1]), (0, 3, [0, 2, 3]), (0, 4, [2, "all"]), (1, 2, [0]), (1, 6, [1])],
)
def test_a_stopped_training_goes_on_at_the_batch_where_it_stopped(
    part, epoch, moments, pictures, path
):
    """With the same bits. part: 0 stops within the training pass of an epoch, 1 its validation."""
    head = Head("standard", 0.5, 1, 1e-4, 1e-4)
    whole = network(head=head)
    expected = train(whole, *batches(pictures), settings=schedule())
    trained_batches = []

    def trained_on():
        given = batches(pictures)
        read = given[0].epoch

        def counted(number, start=0):
            for batch in read(number, start):
                trained_batches.append(number)
                yield batch

        given[0].epoch = counted
        return given

    def go_on(given):
        resumed = network(head=head)
        checkpoint = Checkpoint(path, "a", every=1e9)
        return resumed, train(resumed, *given, settings=schedule(), checkpoint=checkpoint)

    for moment in moments:
        given = trained_on()
        stopping(given[part], epoch, len(given[part]) if moment == "all" else moment)
        with pytest.raises(Stopped):
            go_on(given)
        assert path.exists()
    resumed, found = go_on(trained_on())
    assert without_seconds(found.history) == without_seconds(expected.history)
    assert digest_of(resumed) == digest_of(whole)
    assert found.resumed_epochs == epoch - 1
    per_epoch = len(batches(pictures)[0])
    assert len(trained_batches) == 6 * per_epoch  # none twice


def test_a_training_that_had_stopped_early_stays_stopped(pictures, path):
    """Killed between its last epoch and the storing of the network."""
    stopping = schedule(epochs=30, stopping={"min_delta": 10.0, "patience": 2})
    checkpoint = Checkpoint(path, "a", every=0)
    first = network()
    expected = train(first, *batches(pictures), settings=stopping, checkpoint=checkpoint)
    assert len(expected.history) == 3
    resumed = network()
    found = train(
        resumed, *batches(pictures), settings=stopping, checkpoint=Checkpoint(path, "a", every=0)
    )
    assert (found.history, found.resumed_epochs) == (expected.history, 3)
    assert digest_of(resumed) == digest_of(first)


def test_no_epochs_touch_no_checkpoint(pictures, path):
    Checkpoint(path, "a").write(SAVED)
    train(
        network(), *batches(pictures), settings=schedule(epochs=0), checkpoint=Checkpoint(path, "a")
    )
    assert same(Checkpoint(path, "a").read(), SAVED)


# --- going on after a kill --------------------------------------------------------------------

CHILD = """
import hashlib, io, json, sys, time
from pathlib import Path
import numpy as np
import tensorflow as tf
from gallerist.networks.runtime import configure
configure(threads=2)
from coloured import image_batches
from gallerist.training.checkpoint import Checkpoint
from gallerist.data.manifest import Manifest
from gallerist.networks.architectures import Head, Scratch
from gallerist.data.preprocessing import Preprocessing
from gallerist.settings.networks import Trained
from gallerist.training.loop import train

folder, file, moment, losses = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
kind, _, when = moment.partition(" ")

def wait_for_the_kill():
    print(kind, flush=True)
    time.sleep(600)

training, validation = (
    image_batches(Manifest.read(folder / f"{part}.csv"), 4, seed, preprocessing=Preprocessing(32))
    for part, seed in (("training", 11), ("validation", None))
)

def report(epoch, row):
    digest = hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.variables)).hexdigest()
    with file.with_suffix(".lines").open("a") as lines:
        lines.write(f"{epoch} {digest}\\n")
    if kind == "between" and epoch == int(when):
        wait_for_the_kill()

def stopping_within(epoch, start=0):
    for number, batch in enumerate(read(epoch, start)):
        if epoch == int(when) and number == 3:
            wait_for_the_kill()
        yield batch

def writing_half(target, **arrays):
    half = io.BytesIO()
    savez(half, **arrays)
    if len(json.loads(str(arrays["head"]))["facts"]["history"]) == int(when):
        target.write(half.getvalue()[: len(half.getvalue()) // 2])
        target.flush()
        wait_for_the_kill()
    target.write(half.getvalue())

if kind == "within":
    read, training.epoch = training.epoch, stopping_within
if kind == "writing":
    savez, np.savez = np.savez, writing_half

model = Scratch(32, "same", Head("published", 0.3, 999, 1e-3, 1e-3)).build(3, seed=4)
schedule = Trained(epochs=40, batch_size=4, learning_rate=0.005, seed=11,
                   early_stopping={"min_delta": 0.0, "patience": 4},
                   reduce_learning_rate={"factor": 0.5, "patience": 2})

def planned(epoch):
    plan.append(json.loads(losses)[epoch - 1])
    return watched(epoch)

def test_step(data):
    loss = tf.numpy_function(lambda: np.float64(plan[-1]), [], tf.float64)
    return {**looked(data), "loss": loss}

plan = []
watched, validation.epoch = validation.epoch, planned
looked, model.test_step = model.test_step, test_step
checkpoint = Checkpoint(file, "this training", every=0)
trained = train(model, training, validation, settings=schedule, checkpoint=checkpoint,
                report=report)
digest = hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.variables)).hexdigest()
print(json.dumps({"weights": digest, "resumed": trained.resumed_epochs,
                  "history": trained.history, "seconds": trained.seconds}))
checkpoint.remove()
"""


# Early stopping waits for 4 epochs, the learning rate for 2.
LOSSES = [3, 2, 1, 1.5, 1.4, 0.9, 1.2, 1.1, 0.8, 1, 1, 1, 1, 0.1]
RATES = [1] * 5 + [1 / 2] * 3 + [1 / 4] * 3 + [1 / 8] * 2


def child(folder, file, moment):
    paths = os.pathsep.join(map(str, (SCRIPTS, HELPERS)))
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(file), moment, json.dumps(LOSSES)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def killed(folder, file, moment):
    process = child(folder, file, moment)
    line = process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    assert line.split() == moment.split()[:1], line + errors
    assert process.returncode == -signal.SIGKILL


def finished(process):
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


@pytest.mark.slow
def test_a_training_killed_three_times_ends_as_one_that_was_not(tmp_path):
    """Within an epoch, between two, and while the checkpoint is written.

    The losses are such that each kill comes when something is remembered: one epoch that did not
    improve, of two that lower the learning rate; the best weights, from the epoch before; three
    epochs that did not improve, of four that stop it.
    """
    for part, per_class in (("training", 6), ("validation", 4)):
        drawn(tmp_path, part, per_class).write(tmp_path / f"{part}.csv")
    file, undisturbed = tmp_path / "checkpoint.npz", tmp_path / "undisturbed.npz"
    once = child(tmp_path, undisturbed, "never")
    killed(tmp_path, file, "within 5")
    killed(tmp_path, file, "between 10")
    killed(tmp_path, file, "writing 12")
    (left,) = tmp_path.glob(".checkpoint.*.npz")
    last = child(tmp_path, file, "never")
    found, expected = finished(last), finished(once)

    assert [row["val_loss"] for row in expected["history"]] == LOSSES[:13]
    rates = [row["learning_rate"] / 0.005 for row in expected["history"]]
    assert rates == pytest.approx(RATES)
    assert without_seconds(found["history"]) == without_seconds(expected["history"])
    assert (found["resumed"], expected["resumed"]) == (11, 0)
    assert found["seconds"] >= sum(row["epoch_seconds"] for row in found["history"])

    # The state after every epoch, that of the last two processes among them, and the best one.
    states, expected_states = (
        each.with_suffix(".lines").read_text().splitlines() for each in (file, undisturbed)
    )
    assert states == expected_states
    assert len({state.split()[1] for state in states}) == len(states) == 13
    assert found["weights"] == expected["weights"]
    assert not left.exists()
    assert not file.exists()
