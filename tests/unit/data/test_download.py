"""gallerist.data.download against a real server on loopback that misbehaves as it is asked to."""

import gzip
import hashlib
import logging
import re
import resource
import socket
import threading
import time
import traceback
import zlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import urllib3.util.retry
from misbehaving_server import MisbehavingServer

from gallerist.data.download import fetch
from gallerist.io.errors import UserError
from gallerist.io.http import LONGEST_WAIT

MANY = 10_000_000
BODY = hashlib.shake_256(b"a file of some length").digest(300_000)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class Request:
    """One request as the server saw it."""

    def __init__(self, path, headers):
        self.path, self.headers = path, headers


class Server(MisbehavingServer):
    """Serves `content`."""

    def __init__(self):
        self.content = BODY
        super().__init__("/animals.tar")

    def get(self, handler):
        self.meet(handler, Request(handler.path, dict(handler.headers)), self.serve)

    def send(self, handler, request, status, headers, body):
        self.begin(handler, status, headers)
        handler.wfile.write(body)
        handler.wfile.flush()

    def serve(self, handler, request, cut=None):
        headers = {"Content-Length": len(self.content)}
        self.send(handler, request, 200, headers, self.content[:cut])

    # -- misdeeds -----------------------------------------------------------------------------

    def drop_after(self, count):
        """Announce the whole body, and close the connection after `count` bytes of it."""
        return lambda handler, request: self.serve(handler, request, cut=count)

    def hang_after(self, count):
        """Announce the whole body, and fall silent after `count` bytes of it."""

        def misdeed(handler, request):
            self.serve(handler, request, cut=count)
            self.closing.wait(30)

        return misdeed

    def say_nothing(self, handler, request):
        self.closing.wait(30)

    def answer(self, status, headers=None, body=b""):
        headers = {"Content-Length": len(body), **(headers or {})}
        return lambda handler, request: self.send(handler, request, status, headers, body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def waits(monkeypatch):
    """The seconds that fetch would have slept."""
    waits = []
    clock = SimpleNamespace(sleep=waits.append, time=time.time)
    monkeypatch.setattr(urllib3.util.retry, "time", clock)
    return waits


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "animals.tar"


def get(server, target, **options):
    """Fetch what the server should have, without waiting."""
    options = {"sha256": sha256(BODY), "max_bytes": MANY, "backoff": 0.0, "timeout": 5.0} | options
    return fetch(server.url, target, **options)


def left_in(folder):
    """The files in a folder that are not locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


# -- what goes well ---------------------------------------------------------------------------


def test_a_file_is_fetched_by_one_request_for_the_whole(server, target):
    assert get(server, target) == target
    assert target.read_bytes() == BODY
    assert len(server.requests) == 1
    assert server.requests[0].headers["Accept-Encoding"] == "identity"
    assert left_in(target.parent) == ["animals.tar"]


def test_a_file_that_is_there_is_not_asked_for(server, target):
    target.parent.mkdir()
    target.write_bytes(BODY)
    assert get(server, target) == target
    assert server.requests == []


def test_a_file_with_another_sum_is_replaced(server, target):
    target.parent.mkdir()
    target.write_bytes(b"an older one")
    get(server, target)
    assert target.read_bytes() == BODY


def test_an_empty_file_is_fetched(server, target):
    server.content = b""
    get(server, target, sha256=sha256(b""))
    assert target.read_bytes() == b""


def test_a_redirection_is_followed(server, target):
    server.misdeeds = [server.answer(302, {"Location": "/elsewhere/animals.tar"})]
    get(server, target)
    assert [request.path for request in server.requests] == [
        "/animals.tar",
        "/elsewhere/animals.tar",
    ]
    assert target.read_bytes() == BODY


def test_a_gzip_file_that_is_labelled_as_an_encoding_arrives_as_it_lies_there(server, target):
    packed = gzip.compress(BODY)
    server.misdeeds = [
        server.answer(200, {"Content-Encoding": "gzip", "Content-Length": len(packed)}, packed)
    ]
    get(server, target, sha256=sha256(packed))
    assert target.read_bytes() == packed


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY[:1000]) + gzip.compress(BODY[1000:])),
        ("deflate", zlib.compress(BODY)),
    ],
)
def test_a_file_that_is_compressed_for_the_way_is_unpacked(server, target, encoding, packed):
    headers = {"Content-Encoding": encoding, "Content-Length": len(packed)}
    server.misdeeds = [server.answer(200, headers, packed)]
    get(server, target)
    assert target.read_bytes() == BODY
    assert left_in(target.parent) == ["animals.tar"]
    assert len(server.requests) == 1


def test_an_encoding_that_is_not_known_here_is_named(server, target):
    server.misdeeds = [server.answer(200, {"Content-Encoding": "br"}, b"packed")]
    with pytest.raises(UserError, match="came compressed by br, though it was asked for as it is"):
        get(server, target)
    assert left_in(target.parent) == []


def test_what_unpacks_to_more_than_is_allowed_is_refused(server, target):
    bomb = gzip.compress(bytes(50_000_000))
    server.misdeeds = [server.answer(200, {"Content-Encoding": "gzip"}, bomb)]
    with pytest.raises(UserError, match="is longer than the 10000000 bytes allowed"):
        get(server, target)
    assert left_in(target.parent) == []


def test_a_body_in_chunks_is_fetched(server, target):
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:1000], BODY[1000:]))
    server.misdeeds = [chunked(server, chunks + b"0\r\n\r\n")]
    get(server, target)
    assert target.read_bytes() == BODY
    assert len(server.requests) == 1


def chunked(server, body):
    def misdeed(handler, request):
        server.send(handler, request, 200, {"Transfer-Encoding": "chunked"}, body)

    return misdeed


def test_progress_is_logged_in_bytes(server, target, caplog):
    caplog.set_level(logging.INFO, "gallerist")
    get(server, target)
    assert re.search(r"300000 of 300000 bytes of animals\.tar, [\d.]+/s, 0 s left", caplog.text)


# -- attempts ---------------------------------------------------------------------------------


def test_after_a_broken_connection_it_is_fetched_from_the_start(server, target):
    server.misdeeds = [
        server.drop_after(123_457),
        chunked(server, b"3e8\r\n" + BODY[:1000] + b"\r\n"),
    ]
    get(server, target)
    assert target.read_bytes() == BODY
    assert len(server.requests) == 3


def test_what_a_killed_process_left_is_removed(server, target):
    target.parent.mkdir()
    target.with_name(f".animals.{2**22 + 1}@{socket.gethostname()}.tar").write_bytes(b"some of it")
    get(server, target)
    assert left_in(target.parent) == ["animals.tar"]


def test_503_is_asked_again_after_growing_waits(server, target, waits):
    server.misdeeds = [server.answer(503)] * 4
    get(server, target, backoff=0.5)
    assert target.read_bytes() == BODY
    assert len(server.requests) == 5
    assert waits == [1.0, 2.0, 4.0]


def test_503_without_end_says_what_was_tried_and_what_to_do(server, target, waits):
    server.misdeeds = [server.answer(503)] * 9
    with pytest.raises(UserError) as failure:
        get(server, target, attempts=3, backoff=1.0)
    message = str(failure.value)
    assert server.url in message
    assert "the server answered HTTP 503 Service Unavailable." in message
    assert "try again later, or download the file by hand, and give its path" in message
    assert len(server.requests) == 3
    assert waits == [2.0]
    assert left_in(target.parent) == []


@pytest.mark.parametrize("status", [500, 502, 504])
def test_other_faults_of_the_server_are_asked_again(server, target, waits, status):
    server.misdeeds = [server.answer(status)]
    get(server, target)
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(server, target, waits, status):
    server.misdeeds = [server.answer(status, {"Retry-After": "17"})]
    get(server, target, backoff=1.0)
    assert waits == [17.0]


def test_retry_after_as_a_date_is_honoured(server, target, waits):
    date = datetime.now(UTC) + timedelta(seconds=60)
    server.misdeeds = [server.answer(429, {"Retry-After": format_datetime(date, usegmt=True)})]
    get(server, target)
    assert 30.0 < waits[0] <= 60.0


def test_waits_are_capped(server, target, waits):
    server.misdeeds = [server.answer(429), server.answer(503)]
    get(server, target, backoff=1000.0)
    assert waits == [LONGEST_WAIT]


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (404, "Check the address"),
        (403, "wants a login"),
        (400, "Check the address"),
        (204, "Check the address"),
    ],
)
def test_an_answer_that_will_not_change_is_not_asked_again(server, target, waits, status, meaning):
    server.misdeeds = [server.answer(status)] * 5
    with pytest.raises(UserError, match=meaning) as failure:
        get(server, target)
    assert f"HTTP {status}" in str(failure.value)
    assert len(server.requests) == 1
    assert waits == []
    assert left_in(target.parent) == []


def test_a_server_that_says_nothing_is_asked_again(server, target):
    server.misdeeds = [server.say_nothing]
    get(server, target, timeout=0.3)
    assert target.read_bytes() == BODY
    assert len(server.requests) == 2


def test_a_server_that_falls_silent_half_way_is_asked_again(server, target):
    server.misdeeds = [server.hang_after(131_072)]
    get(server, target, timeout=0.3)
    assert target.read_bytes() == BODY
    assert len(server.requests) == 2


def test_silence_without_end_is_named(server, target):
    server.misdeeds = [server.say_nothing] * 2
    with pytest.raises(UserError, match=r"2 attempts.*timed out"):
        get(server, target, timeout=0.2, attempts=2)
    assert len(server.requests) == 2


def test_a_connection_that_always_breaks_off_is_named(server, target):
    server.misdeeds = [server.drop_after(10)] * 2
    with pytest.raises(UserError, match="10 bytes read, 299990 more expected"):
        get(server, target, attempts=2)


def test_a_connection_closed_without_an_answer_is_asked_again(server, target):
    server.misdeeds = [server.hang_up] * 2
    get(server, target, attempts=3)
    assert len(server.requests) == 3
    assert target.read_bytes() == BODY


def test_no_server_is_a_plain_message(target, waits, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/x.tar"
        try:
            raise FileNotFoundError(2, "an error of the caller")
        except FileNotFoundError:
            with pytest.raises(UserError) as failure:
                fetch(address, target, sha256=sha256(BODY), max_bytes=MANY, attempts=2)
    assert "in 2 attempts. The last failed: Connection refused." in str(failure.value)
    assert waits == []


# -- wrong files ------------------------------------------------------------------------------


def test_a_wrong_file_is_refused_at_once_with_both_sums(server, target, waits):
    server.content = b"<html>Please log in</html>"
    with pytest.raises(UserError) as failure:
        get(server, target)
    message = str(failure.value)
    assert f"expected: {sha256(BODY)}" in message
    assert f"found:    {sha256(server.content)}" in message
    assert "It has 26 bytes, and begins with b'<html>Please log in</html>'" in message
    assert len(server.requests) == 1
    assert left_in(target.parent) == []


def test_a_wrong_file_does_not_replace_the_one_that_was_there(server, target):
    target.parent.mkdir()
    target.write_bytes(b"an older one")
    server.content = b"wrong"
    with pytest.raises(UserError, match="not the expected file"):
        get(server, target)
    assert target.read_bytes() == b"an older one"


def test_no_secret_of_the_address_is_shown(server, target, caplog):
    """Nor by the libraries that do the work, at any level that a log of a job has."""
    caplog.set_level(logging.INFO)
    server.misdeeds = [server.answer(503), server.hang_up, server.drop_after(9), server.answer(404)]
    address = server.url.replace("http://", "http://ann:s3cret@") + "?key=t0ken-7"
    with pytest.raises(UserError) as failure:
        fetch(address, target, sha256=sha256(BODY), max_bytes=MANY, backoff=0.0)
    assert "Authorization" in server.requests[0].headers
    assert server.requests[0].path == "/animals.tar?key=t0ken-7"
    shown = "".join(traceback.format_exception(failure.value)) + caplog.text
    assert server.url in shown
    for secret in ("s3cret", "t0ken-7"):
        assert secret not in shown


def test_no_secret_is_shown_where_no_attempt_is_answered(server, target, caplog):
    server.misdeeds = [server.hang_up] * 2
    address = server.url.replace("http://", "http://ann:s3cret@") + "?key=t0ken-7"
    with pytest.raises(UserError) as failure:
        fetch(address, target, sha256=sha256(BODY), max_bytes=MANY, backoff=0.0, attempts=2)
    shown = "".join(traceback.format_exception(failure.value)) + caplog.text
    assert f"{server.url}?... could not be fetched in 2 attempts" in shown
    for secret in ("s3cret", "t0ken-7"):
        assert secret not in shown


# -- bounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("announced", [True, False])
def test_a_file_that_is_too_long_is_refused_and_not_kept(server, target, announced):
    if not announced:
        server.misdeeds = [lambda *args: server.send(*args, 200, {}, BODY)]
    with pytest.raises(UserError, match="is longer than the 100000 bytes allowed"):
        get(server, target, max_bytes=100_000)
    assert left_in(target.parent) == []
    assert len(server.requests) == 1


@pytest.mark.parametrize("length", ["many", "-1"])
def test_a_length_that_is_none_is_ignored(server, target, length):
    server.misdeeds = [server.answer(200, {"Content-Length": length}, BODY)]
    get(server, target, attempts=1)
    assert target.read_bytes() == BODY


def test_two_lengths_end_in_a_plain_message(server, target):
    server.misdeeds = [server.answer(200, {"Content-Length": "1, 2"}, BODY)]
    with pytest.raises(UserError, match=re.escape(server.url)):
        get(server, target, attempts=1)


def test_a_file_of_just_the_allowed_length_is_taken(server, target):
    server.misdeeds = [server.drop_after(1000)]
    get(server, target, max_bytes=len(BODY))
    assert target.read_bytes() == BODY


def test_a_server_that_trickles_is_left_after_a_while(server, target):
    def trickle(handler, request):
        server.serve(handler, request, cut=1000)
        for byte in BODY[1000:]:
            if server.closing.wait(0.02):
                return
            try:
                handler.wfile.write(bytes([byte]))
            except OSError:
                return

    server.misdeeds = [trickle]
    start = time.monotonic()
    with pytest.raises(UserError, match=r"bytes in 0\.5 s, and no end"):
        get(server, target, longest=0.5)
    assert time.monotonic() - start < 20
    assert left_in(target.parent) == []


def trickled(server, start):
    """Some bytes at once, and then one now and then, for ever."""

    def misdeed(handler, request):
        handler.wfile.write(start)
        while not server.closing.wait(0.05):
            try:
                handler.wfile.write(b"x")
            except OSError:
                return

    return misdeed


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\n\r\n" + BODY[:5000],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: ",
        b"HTTP/1.1 ",
    ],
    ids=["body", "length of a chunk", "header", "status"],
)
def test_a_byte_now_and_then_does_not_count_as_an_answer(server, target, start):
    server.misdeeds = [trickled(server, start)]
    began = time.monotonic()
    get(server, target, timeout=0.4)
    assert time.monotonic() - began < 10
    assert target.read_bytes() == BODY
    assert len(server.requests) == 2


def endless(server, head):
    """A head, and then as much as the connection takes."""

    def misdeed(handler, request):
        handler.wfile.write(head)
        with suppress(OSError):
            while not server.closing.is_set():
                handler.wfile.write(bytes(1 << 20))
                server.sent += 1 << 20

    server.sent = 0
    return misdeed


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n",
        b"HTTP/1.1 503 Not now\r\n\r\n",
    ],
    ids=["redirection", "error"],
)
def test_no_endless_body_that_nobody_asked_for_is_read(server, target, head):
    server.misdeeds = [endless(server, head)]
    get(server, target)
    assert target.read_bytes() == BODY
    assert server.sent < 64 << 20


def test_a_body_without_length_or_end_is_left_at_the_bound(server, target):
    server.misdeeds = [endless(server, b"HTTP/1.1 200 OK\r\n\r\n")]
    with pytest.raises(UserError, match="is longer than the 10000000 bytes allowed"):
        get(server, target)
    assert server.sent < 64 << 20
    assert left_in(target.parent) == []


@pytest.mark.parametrize("address", ["ftp://x/y.tar", "s3://bucket/y.tar", "file://host/y.tar"])
def test_other_schemes_are_refused_with_a_way_out(target, address):
    with pytest.raises(UserError, match="give its path"):
        fetch(address, target, sha256=sha256(BODY), max_bytes=MANY)


@pytest.mark.parametrize("address", ["http://", "http://[/x.tar", "http://a b/x.tar"])
def test_an_address_that_is_none_is_refused(target, waits, address):
    with pytest.raises(UserError, match=re.escape(address)):
        fetch(address, target, sha256=sha256(BODY), max_bytes=MANY)


# -- paths ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", [str, Path.as_uri])
def test_a_path_or_a_file_address_is_copied(tmp_path, target, spelling):
    source = tmp_path / "Tiere, größer & 100%.tar"
    source.write_bytes(BODY)
    assert fetch(spelling(source), target, sha256=sha256(BODY), max_bytes=MANY) == target
    assert target.read_bytes() == BODY
    assert source.read_bytes() == BODY
    assert left_in(target.parent) == ["animals.tar"]


def test_a_copy_with_another_sum_is_refused(tmp_path, target):
    source = tmp_path / "animals.tar"
    source.write_bytes(b"other")
    with pytest.raises(UserError, match=f"(?s){sha256(BODY)}.*{sha256(b'other')}"):
        fetch(str(source), target, sha256=sha256(BODY), max_bytes=MANY)
    assert left_in(target.parent) == []


def test_a_path_of_a_longer_file_is_refused(tmp_path, target):
    source = tmp_path / "animals.tar"
    source.write_bytes(BODY)
    with pytest.raises(UserError, match=r"animals\.tar is longer than the 100 bytes allowed"):
        fetch(str(source), target, sha256=sha256(BODY), max_bytes=100)
    assert left_in(target.parent) == []


def test_a_missing_path_and_a_folder_are_named(tmp_path, target):
    with pytest.raises(UserError, match=r"gone\.tar does not exist"):
        fetch(str(tmp_path / "gone.tar"), target, sha256=sha256(BODY), max_bytes=MANY)
    with pytest.raises(UserError, match="is a folder, not a file"):
        fetch(str(tmp_path), target, sha256=sha256(BODY), max_bytes=MANY)


def test_a_destination_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=r"could not be brought to .*animals\.tar"):
        get(server, tmp_path / "file" / "animals.tar")
    assert server.requests == []


def test_a_full_disk_is_not_asked_again(server, target, waits):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(UserError, match="File too large"):
            get(server, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(server.requests) == 1


# -- two at once ------------------------------------------------------------------------------


def test_two_jobs_that_want_one_file_fetch_it_once(server, target):
    gate = threading.Event()

    def slow(handler, request):
        gate.wait(30)
        server.serve(handler, request)

    server.misdeeds = [slow]
    found = []
    jobs = [threading.Thread(target=lambda: found.append(get(server, target))) for _ in range(3)]
    for job in jobs:
        job.start()
    gate.set()
    for job in jobs:
        job.join(30)
    assert found == [target] * 3
    assert target.read_bytes() == BODY
    assert len(server.requests) == 1
