"""A proxy that can misbehave, in front of a real server: python faulty_proxy.py SERVER_PORT FOLDER

The file `conduct` in the folder says what happens to each request that comes:
passing  it is passed on;
holding PART  as passing, but those with this part in their address wait until the conduct changes;
         the file `held` in the folder says that one does;
failing  the answer is 500, the server hears nothing;
losing   the server does what it is asked, but the answer to a request that changes something never
         arrives: the connection is closed instead;
slow     it is passed on after some time.

The port it listens on is written to the file `port` in the folder.
"""

import contextlib
import http.client
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SERVER_PORT, FOLDER = int(sys.argv[1]), Path(sys.argv[2])
SLOWNESS = 1.5
QUESTIONS = ("/search", "/get")
NOT_FORWARDED = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


def conduct():
    return (FOLDER / "conduct").read_text(encoding="utf-8")


class Handler(BaseHTTPRequestHandler):
    def relay(self):
        self.close_connection = True
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        while self.is_held(now := conduct()):
            (FOLDER / "held").touch()
            time.sleep(0.02)
        if now == "failing":
            self.send_error(500, "asked to fail")
            return
        if now == "slow":
            time.sleep(SLOWNESS)
        try:
            answer, content = self.ask_the_server(body)
        except OSError:
            return  # no answer from there, none from here
        if now == "losing" and self.command != "GET" and not any(q in self.path for q in QUESTIONS):
            return
        with contextlib.suppress(OSError):  # whoever asked may be gone
            self.hand_back(answer, content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = relay  # noqa: N815

    def is_held(self, now):
        return now.startswith("holding ") and now.partition(" ")[2] in self.path

    def ask_the_server(self, body):
        connection = http.client.HTTPConnection("127.0.0.1", SERVER_PORT, timeout=600)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in NOT_FORWARDED}
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        return answer, answer.read()

    def hand_back(self, answer, content):
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in NOT_FORWARDED:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    (FOLDER / "new_port").write_text(str(server.server_port), encoding="utf-8")
    (FOLDER / "new_port").replace(FOLDER / "port")
    server.serve_forever()
