"""Files from the web or from a path: retried, resumed, taken only when their SHA-256 is right."""

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path
from time import sleep
from urllib.parse import unquote

import requests
from filelock import FileLock, Timeout
from urllib3.exceptions import HTTPError as TransportError

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, replacing, sha256_of_file
from gallerist.io.http import (
    LONGEST_WAIT,
    innermost,
    retry_after,
    shown_url,
    why_broken,
)
from gallerist.workflow.progress import Progress

_CHUNK = 1 << 16
"""Bytes read at once; a broken connection loses at most so many."""

logger = logging.getLogger("gallerist")


class _PassingFailure(Exception):
    """An attempt failed as the next may not. `wait`: seconds for which the server asks."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def fetch(
    location: str,
    destination: PathLike,
    *,
    sha256: str,
    attempts: int = 5,
    timeout: float = 30.0,
    backoff: float = 1.0,
) -> Path:
    """Bring a file to `destination`, whole and verified, and return that path.

    location: an http(s) address, a file:// address or a path.
    sha256: of the file, 64 hexadecimal digits. A destination that already has it is left as it is.
    attempts: how often the server is asked before a passing failure (no connection, silence, a body
        cut short, HTTP 429 and 5xx) is final. Other answers of HTTP 4xx are final at once.
    timeout: seconds without a byte from the server.
    backoff: seconds; attempt n + 1 comes backoff * 2**(n - 1) after the failure of attempt n, later
        if the server says so (Retry-After), and never more than LONGEST_WAIT after it.

    What has come is kept in `<destination>.part`, and the next attempt, or the next call, asks the
    server for the rest only. Bytes of different answers may not fit together, where the file on the
    server has changed: if their sum is wrong, the file is fetched once more from the start.
    Two jobs that fetch to one destination take turns; the second finds the file there.

    Raises UserError when the file cannot be had, or its SHA-256 is another.
    """
    expected = sha256.strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", expected):
        raise UserError(
            f"{shown_url(location)}: {sha256!r} is not a SHA-256, which is 64 hexadecimal digits.\n"
            "  `sha256sum FILE` prints the one of a file."
        )
    if attempts < 1:
        raise ValueError(f"attempts is {attempts}, and must be at least 1")
    target = Path(destination)
    if target.is_dir():
        raise UserError(f"{target} is a folder: a file cannot take its place.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if _is_there(target, expected):
            return target
        source = _local_path(location)
        if source is not None:
            _copy(source, target, expected)
            return target
        with _turn(target):
            if not _is_there(target, expected):  # as another job may have brought it meanwhile
                _Download(location, target, expected, attempts, timeout, backoff).run()
    except OSError as error:
        raise UserError(
            f"{shown_url(location)} could not be brought to {target}: {error}"
        ) from error
    return target


def _is_there(target: Path, expected: str) -> bool:
    there = target.is_file() and sha256_of_file(target) == expected
    if there:
        logger.info("%s is there already", target)
    return there


@contextmanager
def _turn(target: Path) -> Iterator[None]:
    """Hold the right to write the part of `target`, which two jobs would spoil."""
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("another job is fetching %s: waiting for it", target)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _local_path(location: str) -> Path | None:
    """The path that `location` means, or None if it is an address of the web."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", location)
    if scheme is None:
        return Path(location)
    if scheme[1].lower() in ("http", "https"):
        return None
    host, slash, path = location[scheme.end() :].partition("/")
    if scheme[1].lower() == "file" and host in ("", "localhost"):
        return Path(unquote(slash + path))
    raise UserError(
        f"{shown_url(location)}: files are fetched from http://, https:// and file:/// addresses, "
        "and from paths.\n  Download it by hand, and give its path in place of the address."
    )


def _copy(source: Path, target: Path, expected: str) -> None:
    if not source.is_file():
        what = "is a folder, not a file" if source.is_dir() else "does not exist"
        raise UserError(f"{source} {what}.")
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
        found = sha256_of_file(temporary)
        if found != expected:
            raise UserError(_wrong_sum(str(source), expected, found, temporary.stat().st_size))


class _Download:
    """One file on its way: what has come, whether it belongs together, and the attempts made."""

    def __init__(
        self,
        location: str,
        target: Path,
        expected: str,
        attempts: int,
        timeout: float,
        backoff: float,
    ) -> None:
        self.location, self.target, self.expected = location, target, expected
        self.attempts, self.timeout, self.backoff = attempts, timeout, backoff
        self.part = target.with_name(f"{target.name}.part")
        self.etag = ""  # of the bytes in the part, where the server gave one in this call
        self.pieced = False  # the part may hold bytes that do not belong together
        self.answer = ""  # what the last body was said to be, for the message

    def run(self) -> None:
        """Fill the part, verify it, and rename it to the target."""
        try:
            with self.part.open("a+b") as file, requests.Session() as session:
                self._fill(file, session)
            self.part.replace(self.target)
        finally:
            if self.part.exists() and not self.part.stat().st_size:
                self.part.unlink()

    def _fill(self, file: BufferedRandom, session: requests.Session) -> None:
        if _size(file) and _sha256(file) == self.expected:  # an earlier call was killed at the end
            return
        restarted = False
        while True:
            self._answered(file, session)
            found, size = _sha256(file), _size(file)
            if found == self.expected:
                return
            file.truncate(0)
            if restarted or not self.pieced:
                message = _wrong_sum(shown_url(self.location), self.expected, found, size)
                raise UserError(f"{message}\n  The server sent {self.answer}.")
            restarted = True
            logger.warning(
                "%s: the pieces do not make the right file; again from the start", self.target
            )

    def _answered(self, file: BufferedRandom, session: requests.Session) -> None:
        """Ask until the server has sent a whole body, or the attempts are used up."""
        for attempt in range(1, self.attempts + 1):
            try:
                return self._attempt(file, session)
            except _PassingFailure as failure:
                if attempt == self.attempts:
                    raise UserError(self._final(str(failure), _size(file))) from failure
                wait = min(max(self.backoff * 2 ** (attempt - 1), failure.wait), LONGEST_WAIT)
                logger.warning(
                    "%s: attempt %d of %d failed: %s; the next in %.0f s",
                    shown_url(self.location),
                    attempt,
                    self.attempts,
                    failure,
                    wait,
                )
                sleep(wait)
        raise AssertionError("an attempt neither succeeded nor failed")

    def _attempt(self, file: BufferedRandom, session: requests.Session) -> None:
        """One request for what is missing. Returns when the body has ended as announced."""
        offset = _size(file)
        # A body must come as it lies on the server: its bytes are counted, and hashed.
        headers = {"Accept-Encoding": "identity"}
        if offset:
            self.pieced = True
            headers["Range"] = f"bytes={offset}-"
            if self.etag:
                headers["If-Range"] = self.etag
        try:
            with session.get(
                self.location, headers=headers, stream=True, timeout=self.timeout
            ) as response:
                if self._accepted(response, file, offset):
                    self._receive(response, file)
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
            TransportError,
        ) as error:
            raise _PassingFailure(why_broken(error, self.timeout)) from error
        except requests.RequestException as error:
            raise UserError(
                f"{shown_url(self.location)} cannot be fetched: {innermost(error)}"
            ) from error

    def _accepted(self, response: requests.Response, file: BufferedRandom, offset: int) -> bool:
        """Whether a body follows. The file is made ready for it to be appended."""
        status = response.status_code
        said = f"HTTP {status} {response.reason or ''}".strip()
        if status == 429 or status >= 500:
            raise _PassingFailure(said, retry_after(response.headers.get("Retry-After", "")))
        if status == 416 and offset:
            # Nothing lies behind the offset: the part is whole, or too long. Its sum will tell.
            self.answer = said
            return False
        if status == 206 and offset:
            if _range_start(response) != offset:
                file.truncate(0)
                raise _PassingFailure("the server sent another piece than the one asked for")
            logger.info("%s: going on after %d bytes", self.target, offset)
        elif status == 200:
            if offset:
                logger.info("%s: the server sends the file from the start again", self.target)
            file.truncate(0)
            # An end that was not announced cannot be told from a broken connection.
            self.pieced = _length(response) is None and not _chunked(response)
        else:
            raise UserError(_refusal(shown_url(self.location), status, said))
        etag = response.headers.get("ETag", "")
        self.etag = "" if etag.startswith("W/") else etag  # If-Range wants a strong one
        self.answer = response.headers.get("Content-Type", "bytes of no stated type")
        return True

    def _receive(self, response: requests.Response, file: BufferedRandom) -> None:
        response.raw.enforce_content_length = False  # done below, with a plainer message
        length = _length(response)
        progress = Progress(f"bytes of {self.target.name}", length or 0)
        for chunk in response.raw.stream(_CHUNK, decode_content=False):
            file.write(chunk)
            if length is None:
                progress.done += len(chunk)
            else:
                progress.advance(len(chunk))
        file.flush()
        if length is None:
            logger.info("%d bytes of %s, %.1f/s", progress.done, self.target.name, progress.rate)
        elif progress.done < length:
            raise _PassingFailure(
                f"the connection ended after {progress.done} of {length} announced bytes"
            )

    def _final(self, reason: str, size: int) -> str:
        tried = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        kept = f"  {size} bytes have come; the next run goes on after them.\n" if size else ""
        return (
            f"{shown_url(self.location)} could not be fetched in {tried}. "
            f"The last failed: {reason}.\n"
            f"{kept}  Try again later, or download it by hand, and give its path in place of the "
            "address."
        )


def _size(file: BufferedRandom) -> int:
    return file.seek(0, os.SEEK_END)


def _sha256(file: BufferedRandom) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _length(response: requests.Response) -> int | None:
    """Bytes announced for the body; None if the server did not say."""
    announced = response.headers.get("Content-Length", "")
    return int(announced) if announced.isdecimal() and not _chunked(response) else None


def _chunked(response: requests.Response) -> bool:
    return "chunked" in response.headers.get("Transfer-Encoding", "").lower()


def _range_start(response: requests.Response) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _refusal(shown: str, status: int, said: str) -> str:
    login = (
        "It wants a login: download the file by hand, and give its path in place of the address."
    )
    meaning = {
        401: login,
        403: login,
        404: "There is no such file on the server: check the address.",
        410: "The file has been taken away: find another address, or give the path of a copy.",
    }
    way_out = meaning.get(
        status, "Check the address, or download the file by hand and give its path in its place."
    )
    return (
        f"{shown}: the server answered {said}, which no second attempt would change.\n  {way_out}"
    )


def _wrong_sum(shown: str, expected: str, found: str, size: int) -> str:
    return (
        f"{shown} is not the expected file.\n"
        f"  SHA-256 expected: {expected}\n  SHA-256 found:    {found} ({size} bytes)\n"
        "  It has changed or is damaged, or the sum was not taken from it. If you trust this file, "
        "write the sum found into the configuration."
    )
