"""Where the server listens, and by which names it may be asked."""

import socket

from gallerist.io.errors import UserError

LOCAL = ("127.0.0.1", "localhost", "::1")
"""The names of this machine itself."""

_WAITING = 128
"""Connections that may wait: a browser opens six."""


def hosts_of(host: str) -> list[str]:
    """The names by which a server on that address may be asked."""
    return [*LOCAL, host.lower(), *({socket.gethostname().lower()} if host not in LOCAL else [])]


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises UserError where it cannot."""
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
