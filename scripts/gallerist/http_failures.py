"""What goes wrong between a client and a server, and how to say it."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
from urllib3.exceptions import ReadTimeoutError

LONGEST_WAIT = 120.0
"""Seconds: no back-off and no Retry-After makes a job wait longer between two attempts."""


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
    """An address as messages may show it: without user and password."""
    return re.sub(r"(?<=://)[^/?#]*@", "", location)
