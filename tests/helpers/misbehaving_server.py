"""A real server on loopback that does to each request what it is asked to."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class MisbehavingServer:
    """Each request takes the next of `misdeeds`; after them all goes well, as `behave` says.

    A misdeed is a function of the handler and of what was noted of the request.
    """

    def __init__(self, path):
        self.misdeeds, self.requests = [], []
        self.closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.get(self)

            def do_POST(self):
                outer.post(self)

            def log_message(self, *args):
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.httpd.server_port}{path}"
        self.thread = threading.Thread(target=self.httpd.serve_forever, args=(0.01,))
        self.thread.start()

    def get(self, handler):
        handler.send_error(405)

    def post(self, handler):
        handler.send_error(405)

    def meet(self, handler, request, behave):
        """Note the request, and do the next misdeed, or what is right."""
        handler.close_connection = True
        self.requests.append(request)
        misdeed = self.misdeeds.pop(0) if self.misdeeds else behave
        misdeed(handler, request)

    def stop(self):
        self.closing.set()
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join()

    def begin(self, handler, status, headers):
        """Send the first line and the headers of an answer."""
        handler.send_response(status)
        handler.send_header("Connection", "close")
        for name, value in headers.items():
            handler.send_header(name, str(value))
        handler.end_headers()

    def hang_up(self, handler, request):
        """Close the connection, with or without the request read."""
        handler.connection.shutdown(socket.SHUT_RDWR)
