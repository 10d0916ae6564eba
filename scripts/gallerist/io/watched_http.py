"""HTTP connections that do not let a server hold a job: neither by a trickle nor by a flood.

The time limit of a socket begins anew with every byte, so that one now and then would do for ever,
in the headers as well as in the body. And what libraries read without being asked, the body of a
redirection or of an error, may have no end.
"""

import http.client
import io
from time import monotonic
from typing import Any, cast

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

LEAST = 1 << 10
"""Bytes that have to come within the time that a read may take, or else the end."""

REFUSAL = 1 << 20
"""Bytes that are read of an answer that is no success."""


class WatchedAdapter(HTTPAdapter):
    """Answers come at LEAST bytes in the seconds of the request's timeout, or it is a timeout."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As of the base class, with watched connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:
        """The same, through a proxy."""
        manager = cast("PoolManager", super().proxy_manager_for(*args, **kwargs))
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _Watched(io.RawIOBase):
    """What comes through a socket."""

    def __init__(self, raw: io.RawIOBase, seconds: float | None) -> None:
        self._raw, self._seconds = raw, seconds
        self._waited, self._came = 0.0, 0
        self.left: int | None = None
        """Bytes after which it ends; None for no limit."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read some bytes. Raises TimeoutError where too few come."""
        if self.left is not None:
            buffer = memoryview(buffer)[: max(0, self.left)]
        began = monotonic()
        count = self._raw.readinto(buffer) if len(buffer) else 0
        self._waited += monotonic() - began
        self._came += count or 0
        if self.left is not None:
            self.left -= count or 0
        if self._came >= LEAST:
            self._waited, self._came = 0.0, 0
        elif count and self._seconds is not None and self._waited > self._seconds:
            raise TimeoutError(f"only {self._came} bytes in {self._seconds:g} s")
        return count

    def close(self) -> None:
        """Close the socket's file too."""
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._watched = _Watched(cast("Any", self.fp).detach(), sock.gettimeout())
        self.fp = io.BufferedReader(self._watched)

    def begin(self) -> None:
        """Read the headers."""
        super().begin()
        if not 200 <= self.status < 300:
            self._watched.left = REFUSAL


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _SecurePool}
