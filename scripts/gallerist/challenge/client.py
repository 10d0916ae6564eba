"""Post an answer file to the server of a challenge, and say in one line what became of it.

A server may count submissions. So what is tried again by itself is only what surely left nothing
there: no connection, and HTTP 429 and 503, by which a server says that it did nothing.
"""

import json
import re
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from time import monotonic
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

import requests
from urllib3.exceptions import HTTPError

from gallerist.challenge.receipts import State, printable
from gallerist.io.http import reason_of, session, shown_url

ANSWER_LIMIT = 1 << 16
"""Bytes kept of an answer. A grade is a few hundred; an error page may be anything."""
PATIENCE = 10
"""All of an answer may take so many times the time-out, however steadily it trickles."""
ASK = (
    "Look whether the server lists it. If it does, there is nothing to do: it is not sent again by "
    "itself. If not, send it once more with --again."
)
_LOGIN = "It wants a login: check whether the address needs a user, password or token."
_NOWHERE = "Nothing takes answers there: check the address."
_ADVICE = {401: _LOGIN, 403: _LOGIN, 404: _NOWHERE, 405: _NOWHERE, 413: "The file is too large."}


@dataclass(frozen=True)
class Reply:
    """What became of a post; see `Receipt` for state, message, status and body."""

    state: State
    message: str
    status: int | None = None
    body: str = ""


class _Body(BytesIO):
    """The content, and whether the last attempt began to hand it over: the errors are the same."""

    begun = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.begun = True
        return super().read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self.begun = False  # urllib3 goes back before each attempt
        return super().seek(offset, whence)


def post(url: str, content: bytes, key: str, timeout: float, attempts: int, wait: float) -> Reply:
    """Post JSON, once where it may have arrived, and return whatever comes of it.

    key: sent as Idempotency-Key. timeout: seconds to connect, and then without a byte. attempts,
    wait: of `gallerist.io.http.session`.
    """
    body, shown = _Body(content), shown_url(url)
    headers = dict.fromkeys(("Content-Type", "Accept"), "application/json")
    headers |= {"Accept-Encoding": "identity", "Idempotency-Key": key}
    try:
        with session(attempts, wait, {429, 503}, reread=False) as http:
            # Or requests would read all of a redirection's body, however long it is.
            http.get_redirect_target = lambda _: None  # type: ignore[assignment, method-assign]
            with http.post(
                url, body, headers=headers, timeout=timeout, stream=True, allow_redirects=False
            ) as response:
                text, broken = _received(response, timeout)
    except requests.RequestException as error:
        reason = _without_secrets(reason_of(error), error.request)
        if body.begun:
            sent = f"It was sent to {shown}, but no answer came: {reason}."
            return Reply("unknown", f"{sent} Whether it arrived is unknown. {ASK}")
        advice = "Nothing was sent. Check the address and the network, or try again later."
        return Reply("not sent", f"No connection to {shown}: {reason}. {advice}")
    text = _without_secrets(text, response.request)
    state, message = _judged(response, shown, text, broken)
    return Reply(state, _without_secrets(message, response.request), response.status_code, text)


def _received(response: requests.Response, timeout: float) -> tuple[str, str]:
    """The text of the answer as far as it comes, and why that is not all."""
    kept, broken, latest = bytearray(), "", monotonic() + PATIENCE * timeout
    try:
        while not broken and (chunk := response.raw.read1(1 << 12, decode_content=False)):
            kept += chunk
            if len(kept) > ANSWER_LIMIT:
                broken = f"it is longer than {ANSWER_LIMIT} bytes"
            elif monotonic() > latest:
                broken = f"it did not end within {PATIENCE * timeout:g} s"
    except (HTTPError, OSError) as error:
        broken = reason_of(error)
    text = bytes(kept[:ANSWER_LIMIT]).decode("utf-8", "backslashreplace")
    return printable(text.removeprefix("\ufeff")), broken


def _judged(response: requests.Response, shown: str, text: str, broken: str) -> tuple[State, str]:
    """What an answer says of the submission, and what to do. broken: why the text is not whole."""
    status = response.status_code
    answer = f"HTTP {status} {response.reason or ''}".strip()
    words = " ".join(text.split())
    said = f"{shown} answered {answer}: {words[:500]}{'...' if words[500:] else ''}".rstrip(": ")
    if 200 <= status < 300:
        try:
            problem = f"is not whole ({broken})" if broken else "is no JSON"
            if not broken:
                json.loads(text)
                return "answered", f"{shown} took it. {said}"
        except (ValueError, RecursionError):
            pass
        advice = "Look at the server for the grade: sending again may count twice."
        return "unreadable", f"{shown} took it, but its answer {problem}. {said}. {advice}"
    if 300 <= status < 400:
        there = shown_url(response.headers.get("Location", "")) or "no address"
        said = f"{shown} answered {answer}, which points to {there}. It is not followed."
        if status in (302, 303):  # as after a form that was taken
            return "unknown", f"{said} The answer may stand there. {ASK}"
        return "refused", f"{said} If you trust that address, give it in place of this one."
    if status in (429, 503):
        asked = response.headers.get("Retry-After", "")
        later = f"It asks to be tried again after: {asked}." if asked else "Try again later."
        return "refused", f"{said}. It did nothing. {later}"
    if 400 <= status < 500:
        return "refused", f"{said}. {_ADVICE.get(status, 'Change what the server objects to.')}"
    return "unknown", f"{said}. It may be counted all the same. {ASK}"


def _without_secrets(text: str, request: Any) -> str:
    """A text with `***` in the place of all that a request proves its sender with.

    Servers repeat that in their answers. Texts of less than six characters, and numbers, stay:
    answers have them by chance. request: as `requests` prepared it.
    """
    credentials = str(request.headers.get("Authorization", "")).rpartition(" ")[2]
    found = {credentials, unquote(urlsplit(request.url).password or "")}
    with suppress(ValueError):  # a token, not user and password
        found.add(b64decode(credentials, validate=True).decode("latin-1").partition(":")[2])
    for pair in urlsplit(request.url).query.split("&"):
        value = pair.partition("=")[2]
        found |= {value, unquote_plus(value)}
    for secret in sorted(found, key=len, reverse=True):
        if len(secret) >= 6 and not re.fullmatch(r"[\d.eE+-]+", secret):
            text = text.replace(secret, "***")
    return text
