"""Addresses as they may be shown and kept: without what lets somebody in."""

import re

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)

# Up to the last @ of the word: a password with a slash is not shown in part. A port is none.
_PASSWORD = re.compile(r"(?<=://)[^:/@]*:(?!\d+(?:/|$))\S*@")
_USER = re.compile(r"(?<=://)[^/?#]*@")
_QUERY = re.compile(r"\?.+|;[^/]*=.*|#(?:[^=]*=.*|[^/]{20,})", re.DOTALL)
"""Also parameters behind a semicolon, and a fragment that is a key and no heading's name."""

_SIGNED = re.compile(r"(?<=/)[^/]{65,}")
"""A part of a path that is longer than a SHA-256: a token, not a name."""


def shown_url(text: str) -> str:
    """An address, or a text with some in it, without users, passwords, queries and long tokens."""
    if re.fullmatch(r"[a-z][a-z0-9+.-]*://\S*", text, re.IGNORECASE):
        return _shown(text)  # whatever is in it: quotes too
    return _ADDRESS.sub(lambda found: _shown(found[0]), text)


def _shown(address: str) -> str:
    open_to_all = _USER.sub("", _PASSWORD.sub("", address))
    path = _QUERY.sub(lambda found: f"{found[0][0]}...", open_to_all)
    return _SIGNED.sub(lambda found: f"{found[0][:8]}...", path)
