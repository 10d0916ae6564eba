"""What goes wrong between a client and a server, and how to say it."""

import re
from base64 import b64decode
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, unquote_plus, urlsplit

import requests
from urllib3.exceptions import ReadTimeoutError

LONGEST_WAIT = 120.0
"""Seconds: no back-off and no Retry-After makes a job wait longer between two attempts."""


_SHORTEST_SECRET = 6
_NUMBER = re.compile(r"[\d.eE+-]+").fullmatch


def retry_after(value: str) -> float:
    """Seconds of a Retry-After header: a number, or a date (RFC 9110, 10.2.3). 0 if neither."""
    if value.strip().isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max((date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)


def innermost(error: BaseException) -> BaseException:
    """The error that the others wrap. Not by __context__, where a caller's own error may stand."""
    while True:
        wrapped = [error.__cause__, getattr(error, "reason", None), *reversed(error.args)]
        inner = next((item for item in wrapped if isinstance(item, BaseException)), None)
        if inner is None:
            return error
        error = inner


def why_broken(error: Exception, timeout: float) -> str:
    """Why a transfer broke off, in words. timeout: seconds that it waited for a byte."""
    if isinstance(error, requests.Timeout | ReadTimeoutError):
        return f"no byte came for {timeout:g} s"
    inner = innermost(error)
    return (isinstance(inner, OSError) and inner.strerror) or str(inner)


def shown_url(location: str) -> str:
    """An address as messages may show it: without user and password, or what follows the `?`.

    The values of a query may be tokens. `location` may also be a text with an address in it.
    """
    return re.sub(r"\?[^\s#'\"]+", "?...", re.sub(r"(?<=://)[^/?#]*@", "", location))


def secrets_of(url: str, authorization: str) -> list[str]:
    """The texts that a request proves its sender with, longest first, also as a server may quote.

    authorization: the header of the request, or an empty text.
    Texts of less than six characters, and numbers, are left out: answers have them by chance.
    """
    credentials = authorization.rpartition(" ")[2]
    found = {credentials, unquote(urlsplit(url).password or "")}
    with suppress(ValueError):  # a token, not user and password
        found.add(b64decode(credentials, validate=True).decode("latin-1").partition(":")[2])
    for pair in urlsplit(url).query.split("&"):
        value = pair.partition("=")[2]
        found |= {value, unquote_plus(value)}
    secrets = {each for each in found if len(each) >= _SHORTEST_SECRET and not _NUMBER(each)}
    return sorted(secrets, key=len, reverse=True)


def without(text: str, secrets: Iterable[str]) -> str:
    """A text with `***` in the place of each secret."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
