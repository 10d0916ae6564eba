"""HTTP: sessions that try again where that is safe, and what failed, without secrets."""

import logging
import re
from collections.abc import Collection
from contextlib import suppress
from time import sleep
from typing import Any, Self

import requests
from urllib3 import Retry
from urllib3.exceptions import InvalidHeader, MaxRetryError, ResponseError

LONGEST_WAIT = 120.0
"""Seconds: no back-off waits longer, and a server that asks for more is not asked again."""

logger = logging.getLogger("gallerist")
# Its warnings name whole addresses, with what may be a token in them.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class _LoggedRetry(Retry):
    """urllib3's `Retry`, whose attempts are logged, and which waits from the first failure on."""

    def increment(self, *args: Any, **kwargs: Any) -> Self:
        """Count a failure. Raises MaxRetryError when no attempt is left, or far too early."""
        response: Any = kwargs.get("response")
        following = super().increment(*args, **kwargs)
        wait = following.wait(response)
        if wait > LONGEST_WAIT:
            raise MaxRetryError(None, "", ResponseError())  # type: ignore[arg-type]
        if response is not None:
            response.close()  # or all of its body would be read, however long that takes
        reason = reason_of(kwargs["error"]) if response is None else f"HTTP {response.status}"
        left = int(following.total or 0) + 1
        host = getattr(kwargs.get("_pool"), "host", "the server")
        logger.warning("%s: %s; %d more attempts, the next in %.0f s", host, reason, left, wait)
        return following

    def wait(self, response: Any = None) -> float:
        """Seconds before the next attempt: they double, unless the server asks for more."""
        asked = None if response is None else self.get_retry_after(response)
        backoff = self.backoff_factor * 2 ** (len(self.history) - 1)
        return float(max(min(backoff, LONGEST_WAIT), asked or 0.0))

    def sleep(self, response: Any = None) -> None:
        """Wait for the next attempt."""
        sleep(self.wait(response))

    def parse_retry_after(self, retry_after: str) -> float:
        """Seconds of a Retry-After header (RFC 9110, 10.2.3); 0 for what is none."""
        with suppress(InvalidHeader, ValueError, OverflowError):
            return super().parse_retry_after(retry_after)
        return 0.0


def session(
    attempts: int, backoff: float, statuses: Collection[int], *, reread: bool
) -> requests.Session:
    """Open a session that tries again without a connection, and after answers with `statuses`.

    attempts: how often in all. backoff: seconds before the second; then twice as long each time.
    reread: try again also when the server may have worked on the request, but did not answer.
    """
    retry = _LoggedRetry(
        attempts - 1,
        read=None if reread else False,
        other=None if reread else 0,
        allowed_methods=None,
        status_forcelist=statuses,
        backoff_factor=backoff,
        raise_on_status=False,
    )
    opened = requests.Session()
    for scheme in ("http://", "https://"):
        opened.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retry))
    return opened


def innermost(error: BaseException) -> BaseException:
    """The error that the others wrap. Not by __context__, where a caller's own error may stand."""
    while True:
        wrapped = [error.__cause__, getattr(error, "reason", None), *reversed(error.args)]
        inner = next((item for item in wrapped if isinstance(item, BaseException)), None)
        if inner is None:
            return error
        error = inner


def reason_of(error: BaseException) -> str:
    """Why a request failed, in a few words."""
    inner = innermost(error)
    if isinstance(inner, TimeoutError):
        return "nothing came in time"
    return (isinstance(inner, OSError) and inner.strerror) or shown_url(str(inner))


def shown_url(text: str) -> str:
    """An address, or a text with some in it, without users, passwords and what follows a `?`."""
    return re.sub(r"\?[^\s#'\"]+", "?...", re.sub(r"(?<=://)[^/?#]*@", "", text))
