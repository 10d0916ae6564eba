"""The server of the page: where it listens, and what it says when it is ready."""

import secrets
import socket
from pathlib import Path

import uvicorn

from gallerist.browse.app import make_app
from gallerist.browse.guard import LOCAL, hosts_of
from gallerist.browse.site import Site
from gallerist.io.errors import UserError

PORT = 5002

_WAITING = 128
"""Connections that may wait: a browser opens six."""


def serve(root: Path, *, host: str, port: int, first: str | None) -> None:
    """Serve the page until it is interrupted.

    host: anything but this machine itself needs a token, which is made and printed. port: 0 takes
    a free one. first: the data set whose address is printed.
    Raises UserError where there is nothing to show, or the port is taken.
    """
    token = None if host in LOCAL else secrets.token_urlsafe(24)
    app = make_app(root, hosts=hosts_of(host), token=token)
    site: Site = app.state.site
    names = site.data_sets.names()
    if not names:
        raise UserError(f"{root} has no compared experiments yet. Run the workflow first: make run")
    listening = _listen(host, port)
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    number = listening.getsockname()[1]
    address = f"http://{f'[{host}]' if ':' in host else host}:{number}/"
    shown = first if first in names else names[0]
    print(f"{address}{f'?token={token}' if token else ''}#/{shown}", flush=True)
    print("Stop it with Ctrl-C.", flush=True)
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_WAITING)
    except OSError as error:
        listening.close()
        raise UserError(
            f"{host}:{port} cannot be listened on ({error.strerror or error}). "
            f"Name another port: --port {port + 1}"
        ) from error
    return listening
