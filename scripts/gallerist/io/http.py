"""HTTP: sessions that try again where that is safe, and what failed, without secrets."""

import logging
from collections.abc import Collection

import requests
from urllib3 import Retry

from gallerist.io.addresses import shown_url
from gallerist.io.watched_http import WatchedAdapter

LONGEST_WAIT = 120
"""Seconds: no attempt waits longer for the next, whatever the server asks for."""

# Its warnings name whole addresses, with what may be a token in them.
logging.getLogger("urllib3").setLevel(logging.ERROR)


def session(
    attempts: int, backoff: float, statuses: Collection[int], *, reread: bool
) -> requests.Session:
    """Open a session that tries again without a connection, and after answers with `statuses`.

    attempts: how often in all; the second follows at once, the third after twice `backoff` seconds,
    and so on. reread: also when the server may have worked on the request, but did not answer.
    Who sends less than `watched_http.LEAST` bytes in the timeout of a request counts as silent.
    """
    retry = Retry(
        attempts - 1,
        read=None if reread else False,
        other=None if reread else 0,
        allowed_methods=None,
        status_forcelist=statuses,
        backoff_factor=backoff,
        backoff_max=LONGEST_WAIT,
        retry_after_max=LONGEST_WAIT,
        raise_on_status=False,
    )
    opened = requests.Session()
    for scheme in ("http://", "https://"):
        opened.mount(scheme, WatchedAdapter(max_retries=retry))
    return opened


def reason_of(error: BaseException) -> str:
    """Why a request failed, in a few words: what the innermost of the wrapped errors says."""
    while True:
        wrapped = [error.__cause__, getattr(error, "reason", None), *reversed(error.args)]
        inner = next((each for each in wrapped if isinstance(each, BaseException)), None)
        if inner is None:
            return getattr(error, "strerror", None) or shown_url(str(error))
        error = inner
