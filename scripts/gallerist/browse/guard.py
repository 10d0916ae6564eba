"""Who may ask the server what: the browser of whoever started it, and nobody through it.

Other pages in that browser can send requests to 127.0.0.1, and a name that they own can be made to
lead there (DNS rebinding). So the name that was asked for and the page that asks are checked.
"""

import ipaddress
import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gallerist.browse.listening import LOCAL

COOKIE = "gallerist"
ASKING = "x-gallerist"
"""The header that the page sends with what changes something: other pages cannot without asking."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_READING = ("GET", "HEAD")


class Guard:
    """Lets through what this server's own page asks, and adds the headers that bind the page."""

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str] = LOCAL, token: str | None) -> None:
        """hosts: names by which it may be asked. token: that one must know; None on 127.0.0.1."""
        self._app, self._hosts, self._token = app, frozenset(hosts), token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with one line."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_bound(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refusal(scope) or self._entry(scope) or self._app
        await answer(scope, receive, send_bound)

    def _refusal(self, scope: Scope) -> Response | None:
        headers, reading = Headers(scope=scope), scope["method"] in _READING
        if not self._is_mine(headers.get("host", "")):
            return _refused("this server is not known by that name")
        origin = headers.get("origin")
        if origin is not None and origin != f"{scope['scheme']}://{headers['host']}":
            return _refused("another page asks")
        visits = headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
        strange = headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        if strange and not (reading and visits):
            return _refused("another page asks")
        if not reading and ASKING not in headers:
            return _refused("only the page itself changes something")
        return None

    def _is_mine(self, host: str) -> bool:
        name = host.rpartition(":")[0] if _has_port(host) else host
        name = name.removeprefix("[").removesuffix("]").lower()
        if name in self._hosts:
            return True
        # Without a token there is but this machine. With one, an address cannot be made to lead
        # elsewhere, as a name can.
        return self._token is not None and _is_address(name)

    def _entry(self, scope: Scope) -> Response | None:
        """Where a token is needed: its cookie in exchange for it, or a refusal."""
        if self._token is None or self._equal(_cookie(Headers(scope=scope).get("cookie", ""))):
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and self._equal(given):
            response = RedirectResponse("/", 303)
            response.set_cookie(COOKIE, self._token, httponly=True, samesite="strict")
            return response
        return _refused("open the address with the token that was printed at the start", 401)

    def _equal(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), (self._token or "").encode())


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdecimal() and not host.endswith("]")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _refused(reason: str, status: int = 403) -> Response:
    return PlainTextResponse(f"Refused: {reason}.\n", status)
