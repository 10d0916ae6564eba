"""The server of the page: it listens first, and loads what it works with then."""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from gallerist.browse.finished import data_set_names
from gallerist.browse.listening import LOCAL, hosts_of, listen

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import Message, Receive, Scope, Send

PORT = 5002


class Starting:
    """An application that is made when the server has begun. Until then requests wait for it."""

    def __init__(self, make: "Callable[[], Starlette]") -> None:
        """make: gives it, in a thread of its own."""
        self._make = make
        self._made: Future[Starlette] = Future()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer a request; or begin and end with the server."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            app = await asyncio.wrap_future(self._made)
            await app(scope, receive, send)

    async def _live(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Say at once that it has begun; the application hears of that when it is there."""
        heard = [await receive()]
        await send({"type": "lifespan.startup.complete"})

        async def hear() -> "Message":
            return heard.pop() if heard else await receive()

        async def say(message: "Message") -> None:
            if message["type"] != "lifespan.startup.complete":
                await send(message)

        with ThreadPoolExecutor(1) as pool:
            self._made = pool.submit(self._make)
            app = await asyncio.wrap_future(self._made)
        await app(scope, hear, say)


def serve(root: Path, *, host: str, port: int, first: str | None) -> None:
    """Serve the page until it is interrupted.

    host: anything but this machine itself needs a token, which is made and printed. port: 0 takes
    a free one. first: the data set whose address is printed.
    Raises UserError where there is nothing to show, or the port is taken.
    """
    names = data_set_names(root)
    token = None if host in LOCAL else secrets.token_urlsafe(24)

    def make() -> "Starlette":
        from gallerist.browse.app import make_app  # most of what there is to load

        return make_app(root, hosts=hosts_of(host), token=token)

    listening = listen(host, port)
    app = Starting(make)
    config = uvicorn.Config(
        app, ws="none", log_level="warning", access_log=False, server_header=False
    )
    number = listening.getsockname()[1]
    address = f"http://{f'[{host}]' if ':' in host else host}:{number}/"
    shown = first if first in names else names[0]
    print(f"{address}{f'?token={token}' if token else ''}#/{shown}", flush=True)
    print("Stop it with Ctrl-C.", flush=True)
    uvicorn.Server(config).run(sockets=[listening])
