"""Sending answers against a real server on loopback that misbehaves as it is asked to."""

import hashlib
import json
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import urllib3.util.connection
import urllib3.util.retry
from grading_server import GRADE, Server

from gallerist.challenge.answer_file import write_answers
from gallerist.challenge.submit import ANSWER_LIMIT, Receipt
from gallerist.challenge.submit import send as send_file
from gallerist.io.errors import UserError

QUERIES, GALLERY, K = ["q1.jpg", "q2.jpg"], ["a.jpg", "b.jpg", "ä.jpg"], 2
TIMEOUT = 0.3


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def waits(monkeypatch):
    """The seconds that a session would have slept."""
    waits = []
    clock = SimpleNamespace(sleep=waits.append, time=time.time)
    monkeypatch.setattr(urllib3.util.retry, "time", clock)
    return waits


@pytest.fixture
def file(tmp_path):
    for name in [*(f"query/{each}" for each in QUERIES), *(f"gallery/{each}" for each in GALLERY)]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    path = tmp_path / "results.json"
    write_answers(path, "Primati", {"q1.jpg": ("a.jpg", "ä.jpg"), "q2.jpg": ("b.jpg", "a.jpg")})
    return path


@pytest.fixture
def send(file, server):
    """Submit the file to the server without waiting."""

    def send(**options):
        options = {"url": server.url, "timeout": 5.0, "wait": 0.0, **options}
        folders = (file.parent / "gallery", file.parent / "query")
        return send_file(options.pop("file", file), options.pop("url"), *folders, K, **options)

    return send


def failure_of(send, **options):
    with pytest.raises(UserError) as failure:
        send(**options)
    return failure.value


def kept(file):
    """The receipts that lie there, by number."""
    return [Receipt.read(path) for path in sorted((file.parent / "receipts").glob("*.json"))]


def states(file):
    return [receipt.state for receipt in kept(file)]


# -- what goes well ---------------------------------------------------------------------------


def test_a_submission_is_posted_once_and_its_grade_comes_back(server, send, file):
    receipt = send()
    (request,) = server.requests
    assert request.body == file.read_bytes()
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Idempotency-Key"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert json.loads(receipt.body) == GRADE
    assert (receipt.state, receipt.status) == ("answered", 200)
    assert receipt.body == json.dumps(GRADE)
    assert receipt.seconds >= 0
    assert abs(datetime.fromisoformat(receipt.sent_at) - datetime.now(UTC)) < timedelta(minutes=5)
    assert kept(file) == [receipt]


def test_while_it_is_sent_the_receipt_says_so(server, send, file):
    seen = []

    def look(handler, request):
        seen.extend(kept(file))
        server.grade(handler, request)

    server.misdeeds = [look]
    send()
    assert [receipt.state for receipt in seen] == ["sending"]
    assert "may have arrived" in seen[0].message
    assert states(file) == ["answered"]


def test_what_was_answered_is_not_sent_again(server, send, caplog):
    caplog.set_level(logging.INFO, "gallerist")
    first = send()
    assert send() == first
    assert send(url="http://127.0.0.1:9/another") == first
    assert len(server.requests) == 1
    assert "is not sent again" in caplog.text


def test_what_was_answered_is_sent_again_on_demand_and_both_answers_are_kept(server, send, file):
    first = send()
    second = send(again=True)
    assert len(server.graded) == 2
    assert kept(file) == [first, second]
    keys = {request.headers["Idempotency-Key"] for request in server.requests}
    assert len(keys) == 1


def test_another_content_is_another_submission(server, send, file):
    send()
    write_answers(file, "Primati", {"q1.jpg": ("a.jpg", "b.jpg"), "q2.jpg": ("b.jpg", "a.jpg")})
    send()
    assert len(server.graded) == 2
    assert len({receipt.key for receipt in kept(file)}) == 2


def test_two_processes_at_once_send_one_submission(server, send):
    gate = threading.Event()

    def slow(handler, request):
        gate.wait(30)
        server.grade(handler, request)

    server.misdeeds = [slow]
    receipts = []
    jobs = [threading.Thread(target=lambda: receipts.append(send())) for _ in range(3)]
    for job in jobs:
        job.start()
    gate.set()
    for job in jobs:
        job.join(30)
    assert len(server.requests) == 1
    assert [json.loads(receipt.body) for receipt in receipts] == [GRADE] * 3


def test_a_byte_order_mark_before_the_grade_is_no_fault(server, send):
    server.misdeeds = [server.answer(201, body=b"\xef\xbb\xbf" + json.dumps(GRADE).encode())]
    assert json.loads(send().body) == GRADE


def test_a_grade_in_chunks_is_whole(server, send):
    body = b"b\r\n" + b'{"top1": 1}' + b"\r\n0\r\n\r\n"

    def chunked(handler, request):
        server.read(handler, request)
        server.send(handler, 200, {"Transfer-Encoding": "chunked"}, body)

    server.misdeeds = [chunked]
    assert json.loads(send().body) == {"top1": 1}


# -- nothing is sent --------------------------------------------------------------------------


def test_a_faulty_submission_is_not_sent(server, send, file):
    file.write_text('{"groupname": "g", "images": {"a.jpg": []}}', encoding="utf-8")
    failure = failure_of(send)
    assert "is not sent" in str(failure)
    assert "key_from_gallery" in str(failure)
    assert "too_few" in str(failure)
    assert server.requests == []
    assert not (file.parent / "receipts").exists()


def test_a_file_that_is_not_there_is_not_sent(server, send, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        send(file=tmp_path / "none.json")
    assert server.requests == []


def test_a_dry_run_sends_and_writes_nothing_and_says_what_it_would(server, send, file):
    receipt = send(dry_run=True)
    assert receipt.state == "not sent"
    assert f"{file.stat().st_size} bytes would be posted to {server.url}" in receipt.message
    assert server.requests == []
    assert not (file.parent / "receipts").exists()


def test_a_dry_run_of_what_was_answered_says_that_nothing_would_be_sent(server, send, file):
    send()
    assert "nothing would be sent" in send(dry_run=True).message
    assert "would be posted" in send(dry_run=True, again=True).message
    assert len(server.requests) == len(kept(file)) == 1


def test_a_dry_run_finds_problems(send, file):
    file.write_text("{", encoding="utf-8")
    assert "not_json" in str(failure_of(send, dry_run=True))


@pytest.mark.parametrize("url", ["ftp://x/y", "server/submit", "http://", "http://[", "http://a:b"])
def test_an_address_that_is_none_is_refused(send, url, file):
    assert f"No connection to {url}: " in str(failure_of(send, url=url))
    assert states(file) == ["not sent"]


@pytest.mark.parametrize("options", [{"attempts": 0}, {"timeout": 0.0}])
def test_senseless_numbers_are_refused(server, send, options):
    with pytest.raises(ValueError, match="must be positive"):
        send(**options)
    assert server.requests == []


def test_without_a_place_for_the_receipt_nothing_is_sent(server, send, file):
    (file.parent / "receipts").write_bytes(b"a file")
    with pytest.raises(FileExistsError, match="receipts"):
        send()
    assert server.requests == []


def test_a_receipt_that_is_none_stops_the_sending(server, send, file):
    send()
    (path,) = (file.parent / "receipts").glob("*.json")
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="is not the receipt of a submission"):
        send()
    assert len(server.requests) == 1


# -- it surely did not arrive: tried again ----------------------------------------------------


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_refused_connection_is_tried_again_after_growing_waits(send, file, waits):
    url = f"http://127.0.0.1:{closed_port()}/submit"
    failure = failure_of(send, url=url, attempts=4, wait=0.5)
    assert f"No connection to {url}: Connection refused. Nothing was sent." in str(failure)
    assert waits == [1.0, 2.0]
    assert states(file) == ["not sent"]


def test_after_a_refused_connection_the_next_call_sends(server, send, file, waits):
    failure_of(send, url=f"http://127.0.0.1:{closed_port()}/submit", attempts=2)
    assert json.loads(send().body) == GRADE
    assert states(file) == ["not sent", "answered"]


def test_a_server_that_comes_up_meanwhile_is_reached(server, send, monkeypatch):
    right, connect = server.httpd.server_address, urllib3.util.connection.create_connection
    targets = [("127.0.0.1", closed_port()), right]
    monkeypatch.setattr(
        urllib3.util.connection,
        "create_connection",
        lambda _, *rest, **options: connect(targets.pop(0), *rest, **options),
    )
    assert json.loads(send().body) == GRADE
    assert targets == []
    assert len(server.graded) == 1


def test_an_unknown_name_is_named(send, file, waits, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    failure = failure_of(send, url="http://nowhere.invalid/submit", attempts=3, wait=1.0)
    expected = "No connection to http://nowhere.invalid/submit: Name or service not known"
    assert expected in str(failure)
    assert len(waits) == 1
    assert states(file) == ["not sent"]


def test_a_connection_that_times_out_is_reported(send, file, waits, monkeypatch):
    def silent(*_, **__):
        raise TimeoutError("timed out")

    monkeypatch.setattr(urllib3.util.connection, "create_connection", silent)
    failure = failure_of(send, attempts=3, timeout=TIMEOUT)
    assert "timed out. Nothing was sent" in str(failure)
    assert states(file) == ["not sent"]


def test_a_server_without_tls_is_reported_and_not_tried_again(server, send, file, waits):
    failure = failure_of(send, url=server.url.replace("http:", "https:"))
    assert re.search(r"No connection to https://.*: \[SSL", str(failure))
    assert "Nothing was sent" in str(failure)
    assert waits == server.requests == []
    assert states(file) == ["not sent"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_did_nothing_is_tried_again_when_it_says(server, send, waits, status):
    server.misdeeds = [server.answer(status, {"Retry-After": "17"}), server.answer(status)]
    receipt = send(wait=1.0)
    assert json.loads(receipt.body) == GRADE
    assert len(server.requests) == 3
    assert len(server.graded) == 1
    assert waits == [17.0, 2.0]


def test_503_without_end_is_reported_and_may_be_sent_later(server, send, file, waits):
    server.misdeeds = [server.answer(503, body=b"overloaded")] * 3
    failure = failure_of(send, attempts=3)
    assert "HTTP 503 Service Unavailable: overloaded" in str(failure)
    assert len(server.requests) == 3
    assert json.loads(send().body) == GRADE
    assert states(file) == ["refused", "answered"]


# -- it may have arrived: not tried again -----------------------------------------------------


def misdeed_named(server, name):
    return {
        "hangs before reading": server.hang_after(lambda *_: None),
        "hangs before answering": server.hang_after(server.read),
        "drops before reading": server.hang_up,
        "drops after reading": lambda *args: (server.read(*args), server.hang_up(*args)),
        "answers no HTTP": server.raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    }[name]


DOUBTFUL = {
    "hangs before reading": "timed out",
    "hangs before answering": "timed out",
    "drops before reading": "",
    "drops after reading": "Remote end closed connection without response",
    "answers no HTTP": "SSH-2.0",
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_after_a_doubtful_failure_nothing_is_sent_twice(server, send, file, waits, name):
    server.misdeeds = [misdeed_named(server, name)]
    failure = failure_of(send, timeout=TIMEOUT)
    assert DOUBTFUL[name] in str(failure)
    assert "but no answer came" in str(failure)
    assert "Look whether the server lists it. If it does, there is nothing to do" in str(failure)
    assert "If not, send it once more with --again" in str(failure)
    assert waits == []
    assert states(file) == ["unknown"]

    second = failure_of(send)
    assert "Not sent: the same content went to" in str(second)
    assert "but no answer came" in str(second)
    assert len(server.requests) == 1

    assert json.loads(send(again=True).body) == GRADE
    assert len(server.requests) == 2
    assert json.loads(send().body) == GRADE
    assert len(server.requests) == 2
    assert states(file) == ["unknown", "answered"]


@pytest.mark.parametrize("status", [500, 502, 504, 599])
def test_a_fault_of_the_server_is_not_sent_twice_but_on_demand(server, send, file, waits, status):
    server.misdeeds = [server.answer(status, body=b"<h1>Traceback</h1>")]
    failure = failure_of(send)
    assert f"HTTP {status}" in str(failure)
    assert "<h1>Traceback</h1>" in str(failure)
    assert "may be counted all the same" in str(failure)
    assert kept(file)[0].body == "<h1>Traceback</h1>"
    assert waits == []
    failure_of(send)
    assert len(server.requests) == 1
    assert json.loads(send(again=True).body) == GRADE
    assert states(file) == ["unknown", "answered"]


def test_a_doubt_stays_after_a_later_call_that_did_not_arrive(server, send, file, waits):
    server.misdeeds = [server.answer(500)]
    failure_of(send)
    failure_of(send, url=f"http://127.0.0.1:{closed_port()}/", attempts=1, again=True)
    assert states(file) == ["unknown", "not sent"]
    assert "Not sent" in str(failure_of(send))
    assert len(server.requests) == 1


def test_a_process_killed_while_sending_leaves_a_doubt(server, file, send):
    server.misdeeds = [server.hang_after(server.read)]
    script = "import sys; from gallerist.challenge.submit import send; send(*sys.argv[1:], k=2)"
    arguments = [file, server.url, file.parent / "gallery", file.parent / "query"]
    process = subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)])
    assert server.came.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert states(file) == ["sending"]
    failure = failure_of(send)
    assert f"the same content went to {server.url} at {kept(file)[0].sent_at}" in str(failure)
    assert "was being sent when the process ended" in str(failure)
    assert "Look whether the server lists it" in str(failure)
    assert "with --again" in str(failure)
    assert len(server.requests) == 1


# -- refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(400, "Change what"), (401, "login"), (403, "login"), (404, "address"), (413, "the file")],
)
def test_a_refusal_is_reported_with_its_text_and_not_tried_again(
    server, send, file, waits, status, meaning
):
    server.misdeeds = [server.answer(status, body="Gruppe »Primati« unbekannt".encode())]
    failure = failure_of(send)
    assert f"HTTP {status}" in str(failure)
    assert "Gruppe »Primati« unbekannt" in str(failure)
    assert meaning in str(failure)
    assert waits == []
    assert len(server.requests) == 1
    assert states(file) == ["refused"]
    assert json.loads(send().body) == GRADE  # since the cause may have been put right at the server


def test_a_refusal_that_breaks_off_is_a_refusal(server, send, file):
    server.misdeeds = [server.answer(400, body=b"no such group", cut=7)]
    failure = failure_of(send)
    assert "HTTP 400 Bad Request: IncompleteRead" in str(failure)
    assert states(file) == ["refused"]


# -- it arrived, but the answer is not good ---------------------------------------------------


def trouble_named(server, name):
    grade = json.dumps(GRADE).encode()
    half = server.answer(200, body=grade, cut=5)
    chunks = {"Transfer-Encoding": "chunked", "Content-Length": ""}
    return {
        "hangs half way": server.hang_after(half),
        "drops half way": half,
        "drops a chunk half way": server.answer(200, chunks, b"ff\r\nhalf"),
        "answers a page": server.answer(200, {"Content-Type": "text/html"}, b"<p>Log in</p>"),
        "answers nothing": server.answer(204),
        "answers bytes": server.answer(200, body=bytes(range(256))),
        "answers brackets": server.answer(200, body=b"[" * 50_000),
    }[name]


TROUBLED = {
    "hangs half way": "timed out",
    "drops half way": "IncompleteRead",
    "drops a chunk half way": "",
    "answers a page": "",
    "answers nothing": "",
    "answers bytes": "",
    "answers brackets": "",
}


@pytest.mark.parametrize("name", TROUBLED)
def test_what_arrived_is_not_sent_again_whatever_the_answer(server, send, file, waits, name):
    server.misdeeds = [trouble_named(server, name)]
    failure = failure_of(send, timeout=TIMEOUT)
    assert TROUBLED[name] in str(failure)
    assert "answered HTTP 20" in str(failure)
    assert "That is no grade, but it may be counted all the same" in str(failure)
    assert states(file) == ["unknown"]
    assert TROUBLED[name] in str(failure_of(send))
    assert waits == []
    assert len(server.requests) == 1
    assert json.loads(send(again=True).body) == GRADE
    assert json.loads(send().body) == GRADE  # the good answer is the one that counts
    assert len(server.requests) == 2


def test_rubbish_is_kept_as_far_as_it_can_be_printed(server, send, file):
    server.misdeeds = [server.answer(200, body=b"\0\x1b[31m\xff oh")]
    failure_of(send)
    assert kept(file)[0].body == "\N{REPLACEMENT CHARACTER}" * 2 + "[31m\\xff oh"
    server.misdeeds = [server.answer(200, body="größer\r\n".encode())]
    failure_of(send, again=True)
    assert kept(file)[1].body == "größer\r\n"


def test_a_number_that_is_cut_short_is_no_grade(server, send, file):
    server.misdeeds = [server.answer(200, body=b"0.75", cut=3)]
    assert "IncompleteRead" in str(failure_of(send))
    assert states(file) == ["unknown"]


def test_an_endless_answer_is_cut(server, send, file):
    server.misdeeds = [server.answer(200, body=b" " * (ANSWER_LIMIT + 10_000_000))]
    failure_of(send)
    assert len(kept(file)[0].body) == ANSWER_LIMIT


# -- redirections -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [307, 308])
def test_another_address_of_the_same_server_is_named_and_does_not_get_the_post(
    server, send, file, status
):
    server.misdeeds = [server.answer(status, {"Location": "/v2/submit"})]
    assert "points to /v2/submit. It is not followed" in str(failure_of(send))
    assert [request.path for request in server.requests] == ["/submit"]
    assert states(file) == ["refused"]


@pytest.mark.parametrize("status", [301, 307, 308])
def test_another_server_does_not_get_the_post(server, send, file, status):
    other = Server()
    try:
        server.misdeeds = [server.answer(status, {"Location": other.url})]
        failure = failure_of(send)
        assert f"points to {other.url}. It is not followed" in str(failure)
        assert "give it in place of this one" in str(failure)
        assert other.requests == []
        assert states(file) == ["refused"]
        assert json.loads(send(url=other.url).body) == GRADE
    finally:
        other.stop()


@pytest.mark.parametrize("status", [302, 303])
def test_a_redirection_as_after_a_form_is_a_doubt(server, send, file, status):
    server.misdeeds = [server.answer(status, {"Location": "/thanks"})]
    failure = failure_of(send)
    assert "points to /thanks" in str(failure)
    assert "Look whether the server lists it" in str(failure)
    assert len(server.requests) == 1
    assert states(file) == ["unknown"]


@pytest.mark.parametrize("headers", [{}, {"Location": "http://["}])
def test_a_redirection_to_nowhere_is_refused(server, send, file, headers):
    server.misdeeds = [server.answer(307, headers)]
    assert "HTTP 307" in str(failure_of(send))
    assert states(file) == ["refused"]


def test_a_redirection_that_falls_silent_or_never_ends_is_still_one(server, send, file):
    elsewhere = {"Location": "http://127.0.0.1:9/"}
    server.misdeeds = [
        server.hang_after(server.answer(308, elsewhere, b"moved", cut=3)),
        server.answer(308, elsewhere, b" " * 10_000_000),
    ]
    for _ in range(2):
        assert "points to http://127.0.0.1:9/" in str(failure_of(send, timeout=TIMEOUT))
    assert states(file) == ["refused", "refused"]
    assert [len(receipt.body) for receipt in kept(file)] == [0, ANSWER_LIMIT]


# -- secrets and receipts ---------------------------------------------------------------------


def test_no_secret_of_the_address_is_shown(server, send, file, caplog):
    """Nor by the libraries that do the work, at any level that a log of a job has."""
    caplog.set_level(logging.INFO)
    server.misdeeds = [server.answer(503), server.answer(400, body=b"no")]
    url = server.url.replace("http://", "http://ann:s3cret@") + "?key=t0ken-7"
    nowhere = url.replace(str(server.httpd.server_port), str(closed_port()))
    failures = [failure_of(send, url=url), failure_of(send, url=nowhere, attempts=2)]
    assert "Authorization" in server.requests[0].headers
    assert server.requests[0].path == "/submit?key=t0ken-7"
    receipts = "".join(path.read_text() for path in (file.parent / "receipts").glob("*.json"))
    shown = "".join("".join(traceback.format_exception(each)) for each in failures)
    assert f"{server.url}?... answered HTTP 400 Bad Request: no." in shown
    assert kept(file)[0].url == f"{server.url}?..."
    for secret in ("s3cret", "t0ken-7"):
        assert secret not in shown + caplog.text + receipts
