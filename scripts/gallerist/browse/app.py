"""The web application: its page, and what the page asks for."""

import json
import logging
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gallerist.browse import overview
from gallerist.browse.data_sets import DataSet, NotThere, read_ahead
from gallerist.browse.doubts import shown_doubts
from gallerist.browse.guard import Guard
from gallerist.browse.listening import LOCAL
from gallerist.browse.query_table import query_table
from gallerist.browse.review import Review
from gallerist.browse.searching import MOST, ranked_answers, shown_picture
from gallerist.browse.site import Site
from gallerist.browse.thumbnails import MEDIA, whole_picture
from gallerist.browse.uploads import MAX_BYTES, Upload
from gallerist.data.decoding import MAX_PIXELS, BadImage, read_bytes
from gallerist.io.errors import UserError

if TYPE_CHECKING:
    from gallerist.browse.sent import Said

logger = logging.getLogger("gallerist")

PAGE = Path(__file__).parent / "page"
"""The files of the page, which no build makes."""

_SMALL = 10_000
"""Bytes of what a page sends that is no picture."""

_FOR_GOOD = "private, max-age=31536000, immutable"
"""Of what is addressed by its content."""

_DEEPEST = 1_000_000
_MOST_EXPERIMENTS = 12

Handler = Callable[[Request], Response] | Callable[[Request], Awaitable[Response]]


def make_app(root: Path, *, hosts: Iterable[str] = LOCAL, token: str | None = None) -> Starlette:
    """The application on a folder of results. hosts, token: see `Guard`."""
    site = Site(root)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        site.uploads.close()

    reading = {**_page(), **_pictures(site), **_results(site)}
    changing = {**_given(site), **_corrections(site)}
    app = Starlette(
        routes=[
            *(Route(path, handler) for path, handler in reading.items()),
            *(Route(path, handler, methods=["POST"]) for path, handler in changing.items()),
        ],
        middleware=[Middleware(Guard, hosts=hosts, token=token)],
        exception_handlers={
            NotThere: _answering(404),
            BadImage: _answering(415),
            UserError: _answering(400),
            FileNotFoundError: _answering(404),
            HTTPException: _of_http,
            Exception: _unforeseen,
        },
        lifespan=lifespan,
    )
    app.state.site = site
    return app


def _page() -> dict[str, Handler]:
    """The files of the page, by their names and no others."""
    files = {path.name: path for path in PAGE.iterdir() if path.is_file()}

    def index(request: Request) -> Response:
        return Response(files["index.html"].read_bytes(), media_type="text/html; charset=utf-8")

    def asset(request: Request) -> Response:
        file = request.path_params["file"]
        if file not in files:
            raise NotThere(f"the page has no file {file}")
        media = mimetypes.guess_type(file)[0] or "application/octet-stream"
        return Response(
            files[file].read_bytes(), media_type=media, headers={"Cache-Control": "no-cache"}
        )

    return {"/": index, "/page/{file}": asset}


def _pictures(site: Site) -> dict[str, Handler]:
    def thumbnail(request: Request) -> Response:
        data = site.data_set(request)
        found = site.thumbnails(data).get(data.picture(request.path_params["picture"]))
        return _for_good(found, MEDIA)

    def whole(request: Request) -> Response:
        picture = site.data_set(request).picture(request.path_params["picture"])
        return _for_good(*whole_picture(picture))

    def uploaded(request: Request) -> Response:
        return _for_good(site.uploads.get(request.path_params["upload"]).shown, MEDIA)

    def figure(request: Request) -> Response:
        asked = request.path_params
        path = overview.figure(site.data_set(request), asked["experiment"], asked["file"])
        return Response(path.read_bytes(), media_type="image/png")

    return {
        "/thumbnails/{data_set}/{picture}.jpg": thumbnail,
        "/pictures/{data_set}/{picture}": whole,
        "/uploads/{upload}.jpg": uploaded,
        "/figures/{data_set}/{experiment}/{file}": figure,
    }


def _results(site: Site) -> dict[str, Handler]:
    def index(request: Request) -> Response:
        return JSONResponse(site.index())

    def of_all(request: Request) -> Response:
        data = site.data_set(request)
        return _kept(data, "overview", lambda: overview.overview(data))

    def queries(request: Request) -> Response:
        data = site.data_set(request)
        answer = _kept(data, "queries", lambda: query_table(data))
        answer.background = BackgroundTask(read_ahead, data)
        return answer

    def experiment(request: Request) -> Response:
        data = site.data_set(request)
        return JSONResponse(overview.experiment_page(data, request.path_params["experiment"]))

    def answers(request: Request) -> Response:
        experiments = request.query_params.getlist("experiment")[:_MOST_EXPERIMENTS]
        count = _number(request, "count", 10, least=1, most=MOST)
        skipped = _number(request, "skipped", 0, least=0, most=_DEEPEST)
        data, query = site.data_set(request), request.path_params["query"]
        return JSONResponse(ranked_answers(data, query, experiments, count, skipped))

    def picture(request: Request) -> Response:
        return JSONResponse(
            shown_picture(site.data_set(request).picture(request.path_params["picture"]))
        )

    def explanation(request: Request) -> Response:
        data, asked = site.data_set(request), request.path_params
        explaining = site.explaining(data)
        ways = {"heat": explaining.heat, "matches": explaining.matches}
        if asked["way"] not in ways:
            raise NotThere(f"nothing is explained by {asked['way']}")
        pair = data.query(asked["query"]), data.picture(asked["answer"])
        return JSONResponse(ways[asked["way"]](data.require(asked["experiment"]), *pair))

    return {
        "/api/index": index,
        "/api/{data_set}/overview": of_all,
        "/api/{data_set}/queries": queries,
        "/api/{data_set}/experiment/{experiment}": experiment,
        "/api/{data_set}/query/{query}": answers,
        "/api/{data_set}/picture/{picture}": picture,
        "/api/{data_set}/search/{experiment}": _search(site),
        "/api/{data_set}/corrections": lambda request: JSONResponse(
            site.review(site.data_set(request)).shown()
        ),
        "/api/{data_set}/leaks": lambda request: JSONResponse(
            site.review(site.data_set(request)).leaks()
        ),
        "/api/{data_set}/doubts": lambda request: JSONResponse(
            shown_doubts(site.data_set(request))
        ),
        "/api/{data_set}/{way}/{experiment}/{query}/{answer}": explanation,
    }


def _search(site: Site) -> Handler:
    def search(request: Request) -> Response:
        data, given = site.data_set(request), request.query_params
        count = _number(request, "count", 10, least=1, most=MOST)
        if len({"upload", "picture"} & given.keys()) != 1:
            raise UserError("a search is for an upload or for a picture of the data set")
        if "upload" in given:
            path = site.uploads.get(given["upload"]).path
        else:
            path = Path(data.picture(given["picture"]).path)
        experiment = request.path_params["experiment"]
        return JSONResponse(site.searching(data).search(experiment, path, count))

    return search


def _given(site: Site) -> dict[str, Handler]:
    """Pictures that somebody sends."""

    async def upload(request: Request) -> Response:
        data = await _body(request, MAX_BYTES)
        return _uploaded(await run_in_threadpool(site.uploads.add, data))

    async def region(request: Request) -> Response:
        from gallerist.browse.sent import Region, read  # what few visits need

        asked = read(Region, await _body(request, _SMALL))

        def crop() -> Upload:
            if asked.data_set:
                picture = site.data_sets.get(asked.data_set).picture(asked.picture)
                limit = max(MAX_PIXELS, picture.width * picture.height)  # as it was imported
                data, _ = whole_picture(picture, limit)
            else:
                data = read_bytes(site.uploads.get(asked.picture).path, max_pixels=MAX_PIXELS)
            return site.uploads.crop(data, asked.box)

        return _uploaded(await run_in_threadpool(crop))

    return {"/api/uploads": upload, "/api/regions": region}


def _corrections(site: Site) -> dict[str, Handler]:
    def changing(change: "Callable[[Review, Said], None]") -> Handler:
        async def changed(request: Request) -> Response:
            from gallerist.browse.sent import Said, read

            said = read(Said, await _body(request, _SMALL))

            def make() -> dict[str, Any]:
                review = site.review(site.data_set(request))
                change(review, said)
                return review.shown()

            return JSONResponse(await run_in_threadpool(make))

        return changed

    return {
        "/api/{data_set}/corrections": changing(Review.say),
        "/api/{data_set}/corrections/remove": changing(Review.take_back),
    }


def _number(request: Request, name: str, default: int, *, least: int, most: int) -> int:
    """A whole number that was asked with. Raises UserError for anything else."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and least <= int(text) <= most):
        raise UserError(f"{name} is a whole number from {least} to {most}")
    return int(text)


async def _body(request: Request, most: int) -> bytes:
    """What was sent; it is not read beyond `most` bytes."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise HTTPException(413, f"larger than {most // 1000:,} kB, which is the most")
        parts.append(part)
    return b"".join(parts)


def _kept(data: DataSet, name: str, make: Callable[[], Any]) -> Response:
    """What is large and stays the same, made into JSON once."""

    def encode() -> bytes:
        return json.dumps(make(), separators=(",", ":"), ensure_ascii=False).encode()

    return Response(data.once(f"json {name}", encode), media_type="application/json")


def _for_good(content: bytes, media: str) -> Response:
    return Response(content, media_type=media, headers={"Cache-Control": _FOR_GOOD})


def _uploaded(upload: Upload) -> Response:
    return JSONResponse({"id": upload.id, "width": upload.width, "height": upload.height})


def _error(status: int, text: object) -> Response:
    return JSONResponse({"error": str(text)}, status)


def _answering(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Say what is wrong in one line, as the page shows it."""

    async def answer(request: Request, error: Exception) -> Response:
        return _error(status, error)

    return answer


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail)


async def _unforeseen(request: Request, error: Exception) -> Response:
    logger.error("%s failed", request.url.path, exc_info=error)
    return _error(500, "this failed; the terminal of the server says why")
