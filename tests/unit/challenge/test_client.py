"""Sending answers against a real server on loopback that misbehaves as it is asked to."""

import hashlib
import json
import logging
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import urllib3.util.connection
from grading_server import GRADE, Server

import gallerist.io.http
from gallerist.challenge.answer_file import Submission
from gallerist.challenge.client import ANSWER_LIMIT
from gallerist.challenge.receipts import Receipt
from gallerist.challenge.submit import Delivery
from gallerist.challenge.submit import send as send_delivery
from gallerist.io.errors import UserError
from gallerist.io.http import LONGEST_WAIT

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
    monkeypatch.setattr(gallerist.io.http, "sleep", waits.append)
    return waits


@pytest.fixture
def file(tmp_path):
    for name in [*(f"query/{each}" for each in QUERIES), *(f"gallery/{each}" for each in GALLERY)]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    path = tmp_path / "results.json"
    Submission("Primati", {"q1.jpg": ("a.jpg", "ä.jpg"), "q2.jpg": ("b.jpg", "a.jpg")}).write(path)
    return path


@pytest.fixture
def send(file, server):
    """Submit the file to the server without waiting."""

    def send(**options):
        options = {"url": server.url, "timeout": 5.0, "wait": 0.0, **options}
        folders = (file.parent / "gallery", file.parent / "query")
        delivery = Delivery(options.pop("file", file), options.pop("url"), *folders, K)
        return send_delivery(delivery, **options)

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
    assert receipt.answer == GRADE
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
    Submission("Primati", {"q1.jpg": ("a.jpg", "b.jpg"), "q2.jpg": ("b.jpg", "a.jpg")}).write(file)
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
    assert [receipt.answer for receipt in receipts] == [GRADE] * 3


def test_a_byte_order_mark_before_the_grade_is_no_fault(server, send):
    server.misdeeds = [server.answer(201, body=b"\xef\xbb\xbf" + json.dumps(GRADE).encode())]
    assert send().answer == GRADE


def test_a_grade_in_chunks_is_whole(server, send):
    body = b"b\r\n" + b'{"top1": 1}' + b"\r\n0\r\n\r\n"

    def chunked(handler, request):
        server.read(handler, request)
        server.send(handler, 200, {"Transfer-Encoding": "chunked"}, body)

    server.misdeeds = [chunked]
    assert send().answer == {"top1": 1}


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
    failure = failure_of(send, file=tmp_path / "none.json")
    assert re.search(r"none\.json cannot be read: No such file", str(failure))
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


def test_a_dry_run_finds_faults(send, file):
    file.write_text("{", encoding="utf-8")
    assert "not_json" in str(failure_of(send, dry_run=True))


@pytest.mark.parametrize("url", ["ftp://x/y", "server/submit", "http://", "http://[", "http://a:b"])
def test_an_address_that_is_none_is_refused(send, url):
    assert re.search(f"{re.escape(url)}' is no address", str(failure_of(send, url=url)))


@pytest.mark.parametrize("options", [{"attempts": 0}, {"timeout": 0.0}])
def test_senseless_numbers_are_refused(server, send, options):
    with pytest.raises(ValueError, match="must be positive"):
        send(**options)
    assert server.requests == []


def test_without_a_place_for_the_receipt_nothing_is_sent(server, send, file):
    (file.parent / "receipts").write_bytes(b"a file")
    assert "another folder for the receipts" in str(failure_of(send))
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
    assert waits == [0.5, 1.0, 2.0]
    assert states(file) == ["not sent"]


def test_after_a_refused_connection_the_next_call_sends(server, send, file, waits):
    failure_of(send, url=f"http://127.0.0.1:{closed_port()}/submit", attempts=2)
    assert send().answer == GRADE
    assert states(file) == ["not sent", "answered"]


def test_a_server_that_comes_up_meanwhile_is_reached(server, send, monkeypatch):
    right, connect = server.httpd.server_address, urllib3.util.connection.create_connection
    targets = [("127.0.0.1", closed_port()), right]
    monkeypatch.setattr(
        urllib3.util.connection,
        "create_connection",
        lambda _, *rest, **options: connect(targets.pop(0), *rest, **options),
    )
    assert send().answer == GRADE
    assert targets == []
    assert len(server.graded) == 1


def test_an_unknown_name_is_said_so(send, file, waits, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    failure = failure_of(send, url="http://nowhere.invalid/submit", attempts=2)
    said = "No connection to http://nowhere.invalid/submit: Name or service not known"
    assert said in str(failure)
    assert len(waits) == 1
    assert states(file) == ["not sent"]


def test_a_connection_that_does_not_come_about_is_said_so(send, file, waits, monkeypatch):
    def silent(*_, **__):
        raise TimeoutError("timed out")

    monkeypatch.setattr(urllib3.util.connection, "create_connection", silent)
    failure = failure_of(send, attempts=3, timeout=TIMEOUT)
    assert "nothing came in time. Nothing was sent" in str(failure)
    assert len(waits) == 2
    assert states(file) == ["not sent"]


def test_a_server_without_tls_is_said_so_and_not_tried_again(server, send, file, waits):
    failure = failure_of(send, url=server.url.replace("http:", "https:"))
    assert re.search(r"No connection to https://.*: \[SSL", str(failure))
    assert "Nothing was sent" in str(failure)
    assert waits == server.requests == []
    assert states(file) == ["not sent"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_did_nothing_is_tried_again_when_it_says(server, send, waits, status):
    server.misdeeds = [server.answer(status, {"Retry-After": "17"}), server.answer(status)]
    receipt = send(wait=1.0)
    assert receipt.answer == GRADE
    assert len(server.requests) == 3
    assert len(server.graded) == 1
    assert waits == [17.0, 2.0]


def test_retry_after_as_a_date_is_honoured(server, send, waits):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    server.misdeeds = [server.answer(429, {"Retry-After": date})]
    send()
    assert 30.0 < waits[0] <= 60.0


def test_a_server_that_asks_for_a_day_is_not_asked_before(server, send, file, waits):
    server.misdeeds = [server.answer(429, {"Retry-After": "86400"}, b"one a day")]
    failure = failure_of(send)
    assert "one a day" in str(failure)
    assert "tried again after: 86400" in str(failure)
    assert waits == []
    assert len(server.requests) == 1
    assert states(file) == ["refused"]


def test_waits_are_capped(server, send, waits):
    server.misdeeds = [server.answer(503)] * 2
    send(wait=1000.0)
    assert waits == [LONGEST_WAIT, LONGEST_WAIT]


def test_503_without_end_is_said_and_may_be_sent_later(server, send, file, waits):
    server.misdeeds = [server.answer(503, body=b"overloaded")] * 3
    failure = failure_of(send, attempts=3)
    assert "HTTP 503 Service Unavailable: overloaded" in str(failure)
    assert len(server.requests) == 3
    assert send().answer == GRADE
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
    "hangs before reading": "nothing came in time",
    "hangs before answering": "nothing came in time",
    "drops before reading": "",
    "drops after reading": "Remote end closed connection without response",
    "answers no HTTP": "SSH-2.0",
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_after_a_doubtful_failure_nothing_is_sent_twice(server, send, file, waits, name):
    server.misdeeds = [misdeed_named(server, name)]
    failure = failure_of(send, timeout=TIMEOUT)
    assert DOUBTFUL[name] in str(failure)
    assert "Whether it arrived is unknown" in str(failure)
    assert "Look whether the server lists it. If it does, there is nothing to do" in str(failure)
    assert "If not, send it once more with --again" in str(failure)
    assert waits == []
    assert states(file) == ["unknown"]

    second = failure_of(send)
    assert "Not sent: the same content went to" in str(second)
    assert "Whether it arrived is unknown" in str(second)
    assert len(server.requests) == 1

    assert send(again=True).answer == GRADE
    assert len(server.requests) == 2
    assert send().answer == GRADE
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
    assert send(again=True).answer == GRADE
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
    script = (
        "import sys; from gallerist.challenge.submit import Delivery, send; "
        "send(Delivery(*sys.argv[1:], k=2))"
    )
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
    [(400, "Change what"), (401, "login"), (403, "login"), (404, "address"), (413, "too large")],
)
def test_a_refusal_is_told_with_its_text_and_not_tried_again(
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
    assert send().answer == GRADE  # since the cause may have been put right at the server


def test_a_long_refusal_is_cut_in_the_message_and_kept_in_the_receipt(server, send, file):
    body = b"x" * 5000
    server.misdeeds = [server.answer(422, body=body)]
    failure = failure_of(send)
    assert len(str(failure)) < 1500
    assert kept(file)[0].body == body.decode()


def test_a_refusal_that_breaks_off_is_a_refusal(server, send, file):
    server.misdeeds = [server.answer(400, body=b"no such group", cut=7)]
    failure = failure_of(send)
    assert "HTTP 400 Bad Request: no such" in str(failure)
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
        "trickles for ever": server.trickle,
        "answers a page": server.answer(200, {"Content-Type": "text/html"}, b"<p>Log in</p>"),
        "answers nothing": server.answer(204),
        "answers bytes": server.answer(200, body=bytes(range(256))),
        "answers brackets": server.answer(200, body=b"[" * 50_000),
    }[name]


TROUBLED = {
    "hangs half way": "not whole (nothing came in time)",
    "drops half way": "not whole (IncompleteRead",
    "drops a chunk half way": "not whole",
    "trickles for ever": "did not end within 1 s",
    "answers a page": "is no JSON",
    "answers nothing": "is no JSON",
    "answers bytes": "is no JSON",
    "answers brackets": "is no JSON",
}


@pytest.mark.parametrize("name", TROUBLED)
def test_what_arrived_is_not_sent_again_whatever_the_answer(server, send, file, waits, name):
    server.misdeeds = [trouble_named(server, name)]
    failure = failure_of(send, timeout=0.1 if name == "trickles for ever" else TIMEOUT)
    assert TROUBLED[name] in str(failure)
    assert "took it, but its answer" in str(failure)
    assert "answered HTTP 20" in str(failure)
    assert "may count twice" in " ".join(str(failure).split())
    assert states(file) == ["unreadable"]
    assert TROUBLED[name] in str(failure_of(send))
    assert waits == []
    assert len(server.requests) == 1
    assert send(again=True).answer == GRADE
    assert send().answer == GRADE  # the good answer is the one that counts
    assert len(server.requests) == 2


def test_rubbish_is_kept_as_far_as_it_can_be_printed(server, send, file):
    server.misdeeds = [server.answer(200, body=b"\0\x1b[31m\xff oh")]
    failure_of(send)
    assert kept(file)[0].body == "\N{REPLACEMENT CHARACTER}" * 2 + "[31m\\xff oh"
    server.misdeeds = [server.answer(200, body="größer\r\n".encode())]
    failure_of(send, again=True)
    assert kept(file)[1].body == "größer\r\n"


def test_half_an_answer_is_kept_as_far_as_it_came(server, send, file):
    server.misdeeds = [server.answer(200, body="aä".encode(), cut=2)]
    failure_of(send)
    assert kept(file)[0].body == "a\\xc3"


def test_a_number_that_is_cut_short_is_no_grade(server, send, file):
    server.misdeeds = [server.answer(200, body=b"0.75", cut=3)]
    assert "is not whole" in str(failure_of(send))
    assert states(file) == ["unreadable"]


def test_an_endless_answer_is_cut(server, send, file):
    server.misdeeds = [server.answer(200, body=b" " * (ANSWER_LIMIT + 10_000_000))]
    assert f"longer than {ANSWER_LIMIT} bytes" in str(failure_of(send))
    assert len(kept(file)[0].body) == ANSWER_LIMIT


def test_an_answer_that_cannot_be_written_down_is_told_and_not_sent_twice(server, send, file):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    server.misdeeds = [server.answer(200, body=json.dumps({"top1": "5" * 30_000}).encode())]
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        failure = failure_of(send)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large" in str(failure)
    assert "5" * 30_000 in str(failure)
    assert states(file) == ["sending"]
    failure_of(send)
    assert len(server.requests) == 1


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
        assert send(url=other.url).answer == GRADE
    finally:
        other.stop()


@pytest.mark.parametrize("status", [302, 303])
def test_a_redirection_as_after_a_form_is_a_doubt(server, send, file, status):
    server.misdeeds = [server.answer(status, {"Location": "/thanks"})]
    failure = failure_of(send)
    assert "points to /thanks" in str(failure)
    assert "The answer may stand there" in str(failure)
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
    assert [len(receipt.body) for receipt in kept(file)] == [3, ANSWER_LIMIT]


# -- secrets and receipts ---------------------------------------------------------------------


def test_no_secret_of_the_address_is_shown(server, send, file, caplog):
    """Nor by the libraries that do the work, at any level that a log of a job has."""
    caplog.set_level(logging.INFO)
    server.misdeeds = [server.answer(503), server.answer(400, body=b"no ?key=t0ken-7 of s3cret")]
    url = server.url.replace("http://", "http://ann:s3cret@") + "?key=t0ken-7"
    nowhere = url.replace(str(server.httpd.server_port), str(closed_port()))
    failures = [failure_of(send, url=url), failure_of(send, url=nowhere, attempts=2)]
    server.misdeeds = [server.raw(b"t0ken-7 s3cret\r\n")]
    failures.append(failure_of(send, url=url))
    assert "Authorization" in server.requests[0].headers
    assert server.requests[0].path == "/submit?key=t0ken-7"
    receipts = "".join(path.read_text() for path in (file.parent / "receipts").glob("*.json"))
    shown = "".join("".join(traceback.format_exception(each)) for each in failures)
    assert f"{server.url}?... answered HTTP 400 Bad Request: no ?key=*** of ***" in shown
    assert kept(file)[0].url == f"{server.url}?..."
    for secret in ("s3cret", "t0ken-7"):
        assert secret not in shown + caplog.text + receipts


def test_no_time_is_spent_waiting_after_the_last_attempt(send, waits):
    start = time.monotonic()
    failure_of(send, url=f"http://127.0.0.1:{closed_port()}/", attempts=1, wait=60.0)
    assert waits == []
    assert time.monotonic() - start < 30
