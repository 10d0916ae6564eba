"""What a server does with a submission, and what that says: did it arrive, is it tried again?

A next attempt follows by itself only where the last one surely left nothing at the server:

    what happened                                    state of the receipt  next attempt
    -----------------------------------------------  --------------------  ------------------------
    name unknown, connection refused, broken or      not arrived           after a wait
      timed out, before the answers were handed over
    TLS failed, no such address                      not arrived           no: it would not help
    time-out or broken connection after that         unknown               no: it may have arrived
    HTTP 429 (rate limit), 503 (cannot handle it     refused               after a wait, or as
      now): the server says that it did nothing                            Retry-After says
    HTTP 500, 502, 504, other 5xx: it, or the one    unknown               no: it may be counted
      behind it, failed while or after reading
    HTTP 302, 303: "look there", as after a form     unknown               no: it may be counted
    HTTP 307, 308 within the same scheme, host and   -                     at once, there
      port: "send it there instead"
    other 3xx, all other 4xx                         refused               no: it would not help
    HTTP 2xx with JSON                               answered              no: this is the answer
    HTTP 2xx with something else, or cut short       answered              no: it has arrived
"""

import codecs
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError as TransportError

from gallerist.challenge.receipts import Receipt, State
from gallerist.io.http import innermost, retry_after, shown_url, why_broken, without

ANSWER_LIMIT = 1 << 16
"""Bytes kept of an answer. A grade is a few hundred; an error page may be anything."""
PATIENCE = 10
"""The body of an answer may take so many times the time-out, however steadily it trickles."""
_CHUNK = 1 << 12
_HEADERS = ("Content-Type", "Date", "Location", "Retry-After", "Server")
LOOK = (
    "It is not sent again by itself: look whether the server lists it, and if not, send it once "
    "more with again=True."
)


@dataclass(frozen=True)
class Answer:
    """What came back. said: status and reason. broken: why the body is not whole, or empty."""

    status: int
    said: str
    headers: Mapping[str, str]
    body: str
    encoding: str
    broken: str

    @property
    def quoted(self) -> str:
        """Status and text, as a message may show them."""
        text = " ".join(self.body.split())
        return f"{self.said}: {text[:500]}{'...' if text[500:] else ''}" if text else self.said

    def fit_to_keep(self, secrets: Sequence[str]) -> "Answer":
        """The answer without the secrets of the request, some of which servers repeat."""
        headers = {name: without(text, secrets) for name, text in self.headers.items()}
        if "Location" in headers:
            headers["Location"] = shown_url(headers["Location"])
        said, body = (without(text, secrets) for text in (self.said, self.body))
        return replace(self, said=said, headers=headers, body=body)


@dataclass(frozen=True)
class Outcome:
    """What one attempt came to. pause: seconds that the server asks for; None: no next attempt."""

    state: State
    message: str
    pause: float | None = None


def received(response: requests.Response, timeout: float) -> Answer:
    """The answer as far as it comes. From here on, the status tells what the server did."""
    kept, broken = bytearray(), ""
    latest = monotonic() + PATIENCE * timeout
    try:
        while not broken and (chunk := response.raw.read1(_CHUNK, decode_content=False)):
            kept += chunk
            if len(kept) > ANSWER_LIMIT:
                broken = f"it is longer than {ANSWER_LIMIT} bytes"
            elif monotonic() > latest:
                broken = f"it did not end within {PATIENCE * timeout:g} s"
    except (TransportError, OSError) as error:
        broken = why_broken(error, timeout)
    body = bytes(kept[:ANSWER_LIMIT])
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(body, final=not broken)
        encoding = "utf-8"
    except UnicodeDecodeError:
        text, encoding = body.decode("latin-1"), "latin-1"
    said = f"HTTP {response.status_code} {response.reason or ''}".strip()
    headers = {name: response.headers[name] for name in _HEADERS if name in response.headers}
    return Answer(response.status_code, said, headers, text, encoding, broken)


def unanswered(
    error: requests.RequestException, begun: bool, shown: str, timeout: float
) -> Outcome:
    """What an attempt came to that had no answer. begun: the content was being handed over."""
    if begun:
        said = f"It was sent to {shown}, but no answer came: {why_broken(error, timeout)}."
        return Outcome("unknown", f"{said} Whether it arrived is unknown. {LOOK}")
    inner = innermost(error)
    if isinstance(error, requests.exceptions.SSLError):
        said = (
            f"No secure connection to {shown}: {inner}. Nothing was sent. Check whether the server "
            "speaks https, this machine's clock, and the certificates it trusts."
        )
        return Outcome("not arrived", said)
    if isinstance(inner, socket.gaierror):
        said = (
            f"The name of the server in {shown} is unknown ({inner.strerror}). Nothing was sent. "
            "Check the address and the network."
        )
    elif isinstance(error, requests.Timeout):
        said = (
            f"No connection to {shown} within {timeout:g} s. Nothing was sent. Check the network, "
            "or try again later."
        )
    elif isinstance(error, requests.ConnectionError):
        said = (
            f"No connection to {shown}: {why_broken(error, timeout)}. Nothing was sent. Check the "
            "address and its port, or try again later."
        )
    else:
        said = f"Nothing can be sent to {shown}: {shown_url(str(inner))}. Check the address."
        return Outcome("not arrived", said)
    return Outcome("not arrived", said, pause=0.0)


def judged(answer: Answer, shown: str) -> Outcome:
    """What an answer says of the submission: see the table of the module."""
    status, said = answer.status, f"{shown} answered {answer.quoted}"
    if 200 <= status < 300:
        return Outcome("answered", _taken(answer, shown))
    if status in (429, 503):
        asked = answer.headers.get("Retry-After", "")
        later = f" It asks to be tried again after: {asked}." if asked else " Try again later."
        return Outcome("refused", f"{said}\n  It did nothing.{later}", retry_after(asked))
    if 300 <= status < 400:
        there = shown_url(answer.headers.get("Location", "")) or "an address that it does not name"
        said = f"{shown} answered {answer.said}, which points to {there}. It is not followed."
        if status in (302, 303):
            return Outcome("unknown", f"{said} The answer may stand there. {LOOK}")
        way_out = "If you trust that address, give it in place of this one."
        return Outcome("refused", f"{said} {way_out}")
    if 400 <= status < 500:
        way_out = {
            401: "It wants a login: check whether the address needs a user, password or token.",
            403: "It wants a login: check whether the address needs a user, password or token.",
            404: "Nothing takes answers there: check the address.",
            405: "Nothing takes answers there: check the address.",
            413: "The file is too large for it.",
        }.get(status, "It was not graded: change what the server objects to.")
        return Outcome("refused", f"{said}\n  {way_out}")
    return Outcome("unknown", f"{said}\n  It may be counted all the same. {LOOK}")


def _taken(answer: Answer, shown: str) -> str:
    took = f"{shown} took it ({answer.said})"
    if answer.broken:
        return (
            f"{took}, but its answer is not whole: {answer.broken}. What came is in the receipt. "
            "Look at the server for the grade; sending again may count twice."
        )
    if not Receipt("answered", "", "", "", "", body=answer.body, body_is_whole=True).is_good:
        kind = answer.headers.get("Content-Type", "bytes of no stated type")
        return (
            f"{took}, but answered no JSON ({kind}): {answer.quoted}\n  It is verbatim in the "
            "receipt. Check the address, and look at the server for the grade; sending again may "
            "count twice."
        )
    return f"{took}, and answered: {answer.quoted}"


def moved_within(url: str, answer: Answer) -> str | None:
    """Where a POST is to be sent instead, if that is on the same server."""
    if answer.status not in (307, 308) or "Location" not in answer.headers:
        return None
    try:
        target = urljoin(url, answer.headers["Location"])
        same = origin(urlsplit(target)) == origin(urlsplit(url))
    except ValueError:
        return None
    return target if same else None


def origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    """Scheme, host and port (RFC 6454)."""
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
