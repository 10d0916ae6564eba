"""The server before and after what it works with is loaded."""

import asyncio
from contextlib import asynccontextmanager
from threading import Event

from looking import printed_alone
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gallerist.browse.server import Starting

ASKED = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}


def an_app(happened):
    @asynccontextmanager
    async def lifespan(app):
        happened.append("begins")
        yield
        happened.append("ends")

    routes = [Route("/", lambda request: PlainTextResponse("here"))]
    return Starlette(routes=routes, lifespan=lifespan)


def test_it_has_begun_before_the_application_is_there_and_requests_wait_for_it():
    happened, may_load = [], Event()

    def make():
        may_load.wait(10)
        return an_app(happened)

    async def visit():
        starting, heard, said, answer = Starting(make), asyncio.Queue(), asyncio.Queue(), []

        async def answered(message):
            answer.append(message)

        async def nothing():
            return {"type": "http.request"}

        living = asyncio.create_task(starting({"type": "lifespan"}, heard.get, said.put))
        heard.put_nowait({"type": "lifespan.startup"})
        assert (await said.get())["type"] == "lifespan.startup.complete"
        asking = asyncio.create_task(starting(ASKED, nothing, answered))
        await asyncio.sleep(0.05)
        assert happened == answer == []
        may_load.set()
        await asking
        heard.put_nowait({"type": "lifespan.shutdown"})
        assert (await said.get())["type"] == "lifespan.shutdown.complete"
        await living
        return answer

    answer = asyncio.run(visit())
    assert [answer[0]["status"], answer[1]["body"]] == [200, b"here"]
    assert happened == ["begins", "ends"]


def test_what_takes_long_to_load_is_not_loaded_before_it_listens():
    slow = {"numpy", "pydantic", "starlette", "PIL", "gallerist.browse.app"}
    program = f"import sys, gallerist.browse.server\nprint(sorted({slow!r} & sys.modules.keys()))"
    assert printed_alone(program) == "[]"
