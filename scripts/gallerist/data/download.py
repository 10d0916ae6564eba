"""Fetching of one file from an http(s) or file address, or a path; it must have a given SHA-256."""

import logging
import re
import shutil
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import monotonic
from typing import BinaryIO
from urllib.parse import unquote

import requests
from filelock import FileLock
from urllib3.exceptions import HTTPError

from gallerist.io.addresses import shown_url
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, remove_leftovers, replacing, sha256_of_file
from gallerist.io.http import reason_of, session
from gallerist.workflow.progress import Progress

_BY_HAND = "download the file by hand, and give its path in place of the address."
_AGAIN_LATER = {429, *range(500, 600)}
_CHUNK = 1 << 16

logger = logging.getLogger("gallerist")


def fetch(
    location: str, destination: PathLike, *, sha256: str, max_bytes: int,
    attempts: int = 5, timeout: float = 30.0, longest: float = 43200.0, backoff: float = 1.0,
) -> Path:  # fmt: skip
    """Bring a file to `destination`, whole and verified, and return that path.

    location: an http(s) address, a file:// address or a path.
    sha256: of the file, 64 digits in lower case. A destination that has it is left as it is.
    max_bytes: a longer file is refused. What a server compresses for the way, though it is asked
        not to, is unpacked where `sha256` is that of the file itself.
    attempts, backoff: see `gallerist.io.http.session`. What the next attempt may get past is tried
        again from the start: no connection, silence, a body cut short, HTTP 429 and 5xx.
    timeout: seconds in which an answer, and then each kilobyte, has to come. longest: seconds for
        all of a body.

    Raises UserError when the file cannot be had, or its SHA-256 is another.
    """
    target, shown = Path(destination), shown_url(location)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):  # jobs of one file take turns
            remove_leftovers(target)
            if target.is_file() and sha256_of_file(target) == sha256:
                logger.info("%s is there already", target)
            elif re.match("https?://", location, re.IGNORECASE):
                with session(attempts, backoff, _AGAIN_LATER, reread=True) as http:
                    _download(http, location, target, sha256, timeout, max_bytes, longest)
            else:
                source = _local_path(location)
                if source.stat().st_size > max_bytes:
                    raise UserError(f"{shown} is longer than the {max_bytes} bytes allowed.")
                with replacing(target) as temporary:
                    shutil.copyfile(source, temporary)
                    _verify(temporary, sha256, location)
    # Their own texts may hold secrets; an address that a server points to need not be text.
    except (requests.RequestException, HTTPError, UnicodeError) as error:
        raise UserError(
            f"{shown} could not be fetched in {attempts} attempts. The last failed: "
            f"{reason_of(error)}.\n  Try again later, or {_BY_HAND}"
        ) from None
    except OSError as error:
        raise UserError(f"{shown} could not be brought to {target}: {error}") from error
    return target


def _local_path(location: str) -> Path:
    """The path that a path or a file:/// address means."""
    path = Path(unquote(location[7:]) if location.startswith("file:///") else location)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise UserError(
            f"{shown_url(location)} {what}. Files are fetched from http://, https:// and file:/// "
            f"addresses, and from paths. Or {_BY_HAND}"
        )
    return path


def _verify(file: Path, expected: str, shown: str) -> None:
    found = sha256_of_file(file)
    if found != expected:
        with file.open("rb") as opened:
            start = opened.read(30)
        raise UserError(
            f"{shown} is not the expected file.\n"
            f"  SHA-256 expected: {expected}\n  SHA-256 found:    {found}\n"
            f"  It has {file.stat().st_size} bytes, and begins with {start!r}.\n"
            "  It has changed or is damaged, or the sum was not taken from it. If you trust this "
            "file, write the sum found into the configuration."
        )


def _download(
    http: requests.Session, location: str, target: Path, expected: str, timeout: float,
    max_bytes: int, longest: float,
) -> None:  # fmt: skip
    """Receive the whole file; again, as often as the session tries, when its body breaks off."""
    retry = http.get_adapter("http://").max_retries  # type: ignore[attr-defined]
    ask = partial(http.get, location, stream=True, timeout=timeout)
    while True:
        try:
            with replacing(target) as file, ask(headers={"Accept-Encoding": "identity"}) as answer:
                _receive(answer, file, shown_url(location), target.name, max_bytes, longest)
                encoding = answer.headers.get("Content-Encoding", "").strip().lower()
                if encoding and sha256_of_file(file) != expected:
                    _decode(file, encoding, max_bytes, shown_url(location))
                _verify(file, expected, shown_url(location))
                return
        except HTTPError as error:  # within the body
            retry = retry.increment("GET", error=error)
            retry.sleep()


def _decode(file: Path, encoding: str, max_bytes: int, shown: str) -> None:
    """Unpack a file that a server has compressed for the way, in its place, where that is known.

    Of what was not so compressed, the file is left as it came.
    """
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise UserError(
            f"{shown} came compressed by {encoding}, though it was asked for as it is.\n"
            f"  Ask whose server it is, or {_BY_HAND}"
        )
    unpacked, length = file.with_name(f"{file.stem}.unpacked{file.suffix}"), 0
    try:
        with file.open("rb") as packed, unpacked.open("wb") as target:
            for piece in _unpacked(packed):
                length += len(piece)
                if length > max_bytes:
                    raise UserError(f"{shown} is longer than the {max_bytes} bytes allowed.")
                target.write(piece)
        unpacked.replace(file)
    except zlib.error:
        logger.info("%s is said to be compressed by %s, and is not", shown, encoding)
    finally:
        unpacked.unlink(missing_ok=True)


def _unpacked(packed: BinaryIO) -> Iterator[bytes]:
    """The content of gzip, of several parts too, or of zlib. Raises zlib.error."""
    unpacking, waiting = zlib.decompressobj(wbits=47), b""
    while waiting or (waiting := packed.read(_CHUNK)):
        if unpacking.eof:
            unpacking = zlib.decompressobj(wbits=47)
        yield unpacking.decompress(waiting, _CHUNK)
        waiting = unpacking.unused_data or unpacking.unconsumed_tail
    if not unpacking.eof:
        raise zlib.error("it ends early")


def _receive(
    response: requests.Response, target: Path, shown: str, name: str, max_bytes: int, longest: float
) -> None:
    """Write the body of an answer into a file."""
    if response.status_code != 200:
        advice = "Check the address, and whether it wants a login, or try again later"
        answer = f"HTTP {response.status_code} {response.reason or ''}".strip()
        raise UserError(f"{shown}: the server answered {answer}.\n  {advice}, or {_BY_HAND}")
    deadline, length = monotonic() + longest, response.raw.length_remaining or 0
    progress = Progress(f"bytes of {name}", length or max_bytes)
    with target.open("wb") as file:
        while chunk := response.raw.read1(_CHUNK, decode_content=False):
            file.write(chunk)
            progress.advance(len(chunk))
            if max(progress.done, length) > max_bytes:
                raise UserError(f"{shown} is longer than the {max_bytes} bytes allowed.")
            if monotonic() > deadline:
                raise UserError(f"{shown} sent {progress.done} bytes in {longest:g} s, and no end.")
