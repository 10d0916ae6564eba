"""The server of a challenge, on loopback: it grades what is posted, or fails as it is asked to."""

import json
import threading

from misbehaving_server import MisbehavingServer

GRADE = {"top1": 0.5, "top10": 1.0}


class Request:
    """One request as the server saw it. body: None where it was not read."""

    def __init__(self, path, headers):
        self.path, self.headers, self.body = path, headers, None


class Server(MisbehavingServer):
    """Grades what comes, unless a misdeed stands in `misdeeds`."""

    def __init__(self):
        self.graded, self.came = [], threading.Event()
        super().__init__("/submit")

    def post(self, handler):
        self.came.set()
        self.meet(handler, Request(handler.path, dict(handler.headers)), self.grade)

    def get(self, handler):
        self.requests.append(Request(f"GET {handler.path}", dict(handler.headers)))

    def read(self, handler, request):
        request.body = handler.rfile.read(int(handler.headers["Content-Length"]))

    def send(self, handler, status, headers, body):
        self.begin(handler, status, headers)
        handler.wfile.write(body)
        handler.wfile.flush()

    def grade(self, handler, request):
        self.read(handler, request)
        self.graded.append(json.loads(request.body))
        body = json.dumps(GRADE).encode()
        headers = {"Content-Type": "application/json", "Content-Length": len(body)}
        self.send(handler, 200, headers, body)

    # -- misdeeds -----------------------------------------------------------------------------

    def answer(self, status, headers=None, body=b"", cut=None):
        """Read the submission, and answer so; the body only up to `cut`."""
        headers = {"Content-Length": len(body), **(headers or {})}

        def misdeed(handler, request):
            self.read(handler, request)
            self.send(handler, status, headers, body[:cut])

        return misdeed

    def hang_after(self, misdeed):
        """Do `misdeed`, and keep the connection open."""

        def both(handler, request):
            misdeed(handler, request)
            self.closing.wait(30)

        return both

    def trickle(self, handler, request):
        """A body that never falls silent, and never ends."""
        self.answer(200, {"Content-Length": 10**9})(handler, request)
        while not self.closing.wait(0.02):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    def raw(self, data):
        """Send bytes that are no HTTP."""

        def misdeed(handler, request):
            self.read(handler, request)
            handler.wfile.write(data)

        return misdeed
