"""Files from the web or from a path: retried, resumed, taken only when their SHA-256 is right."""

import logging
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic
from urllib.parse import unquote

import requests
from filelock import FileLock
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, replacing, sha256_of_file
from gallerist.io.http import reason_of, session, shown_url
from gallerist.workflow.progress import Progress

_BY_HAND = "download the file by hand, and give its path in place of the address."
_ADVICE = {
    404: "There is no such file on the server: check the address.",
    410: "The file has been taken away: find another address, or give the path of a copy.",
    **dict.fromkeys((401, 403), f"It wants a login: {_BY_HAND}"),
    **dict.fromkeys((429, *range(500, 600)), f"Try again later, or {_BY_HAND}"),
}

_CHUNK = 1 << 16

logger = logging.getLogger("gallerist")


def fetch(
    location: str, destination: PathLike, *, sha256: str, max_bytes: int = 1 << 40,
    attempts: int = 5, timeout: float = 30.0, longest: float = 43200.0, backoff: float = 1.0,
) -> Path:  # fmt: skip
    """Bring a file to `destination`, whole and verified, and return that path.

    location: an http(s) address, a file:// address or a path.
    sha256: of the file, 64 hexadecimal digits. A destination that already has it is left as it is.
    max_bytes: a longer file is refused.
    attempts, backoff: see `gallerist.io.http.session`. What the next attempt may mend is tried
        again: no connection, silence, a body cut short, HTTP 429 and 5xx.
    timeout: seconds without a byte from the server. longest: seconds for all of a body.

    What has come is kept in `<destination>.part`, and the next attempt, or the next call, asks for
    the rest only. If the sum is wrong then, the file is fetched once more from the start.
    Raises UserError when the file cannot be had, or its SHA-256 is another.
    """
    expected, target, shown = sha256.strip().lower(), Path(destination), shown_url(location)
    if not re.fullmatch("[0-9a-f]{64}", expected):
        raise UserError(
            f"{shown}: {sha256!r} is not a SHA-256, which is 64 hexadecimal digits.\n"
            "  `sha256sum FILE` prints the one of a file."
        )
    if target.is_dir():
        raise UserError(f"{target} is a folder: a file cannot take its place.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):  # jobs of one file take turns
            if target.is_file() and sha256_of_file(target) == expected:
                logger.info("%s is there already", target)
            elif (source := _local_path(location)) is not None:
                with replacing(target) as temporary:
                    shutil.copyfile(source, temporary)
                    _verify(temporary, expected, str(source))
            else:
                with session(attempts, backoff, {429, *range(500, 600)}, reread=True) as http:
                    ask = partial(http.get, location, stream=True, timeout=timeout)
                    retry = http.get_adapter("http://").max_retries  # type: ignore[attr-defined]
                    _download(ask, retry, target, expected, shown, max_bytes, longest)
    except (requests.RequestException, HTTPError) as error:  # whose own texts may hold secrets
        raise UserError(
            f"{shown} could not be fetched in {attempts} attempts. The last failed: "
            f"{reason_of(error)}.\n  Try again later, or {_BY_HAND}"
        ) from None
    except OSError as error:
        raise UserError(f"{shown} could not be brought to {target}: {error}") from error
    return target


def _local_path(location: str) -> Path | None:
    """The path that `location` means, or None if it is an address of the web."""
    scheme, separator, rest = location.partition("://")
    if scheme.lower() in ("http", "https"):
        return None
    path = Path(location)
    if separator:
        host, slash, below = rest.partition("/")
        if scheme.lower() != "file" or host not in ("", "localhost"):
            raise UserError(
                f"{shown_url(location)}: files are fetched from http://, https:// and file:/// "
                f"addresses, and from paths. Or {_BY_HAND}"
            )
        path = Path(unquote(slash + below))
    if not path.is_file():
        raise UserError(
            f"{path} {'is a folder, not a file' if path.is_dir() else 'does not exist'}."
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
    ask: Callable[..., requests.Response], retry: Retry, target: Path, expected: str, shown: str,
    max_bytes: int, longest: float,
) -> None:  # fmt: skip
    """Fill `<target>.part` until its sum is right, and rename it."""
    part = target.with_name(f"{target.name}.part")
    part.touch()
    restarted = False
    whole: bool | None = None  # is the part all of one answer? None: an attempt broke off
    try:
        while sha256_of_file(part) != expected:
            if whole is not None:
                if whole or restarted:
                    _verify(part, expected, shown)
                logger.warning("the pieces of %s do not fit together; again, in one", target)
                restarted, whole = True, None
                part.write_bytes(b"")
            try:
                whole = _receive(ask, part, shown, max_bytes, longest)
            except HTTPError as error:  # within the body
                retry = retry.increment("GET", error=error)
                retry.sleep()
        part.replace(target)
    finally:
        if part.exists() and (whole is not None or not part.stat().st_size):
            part.unlink()


def _receive(
    ask: Callable[..., requests.Response], part: Path, shown: str, max_bytes: int, longest: float
) -> bool:
    """Fetch what the part lacks, or everything. Returns whether it is all of one answer."""
    start, deadline = part.stat().st_size, monotonic() + longest
    missing = {"Range": f"bytes={start}-"} if start else {}
    with ask(headers={"Accept-Encoding": "identity", **missing}) as response:
        status, headers = response.status_code, response.headers
        resumed = status == 206 and headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if start and status in (206, 416) and not resumed:
            return False  # there is no such piece: the part is too long, or of another file
        if not resumed and status != 200:
            later = headers.get("Retry-After")
            wish = f"It asks to be tried again after: {later}. " if later else ""
            advice = _ADVICE.get(status, f"Check the address, or {_BY_HAND}")
            answer = f"HTTP {status} {response.reason or ''}".strip()
            raise UserError(f"{shown}: the server answered {answer}.\n  {wish}{advice}")
        room = max_bytes - (start if resumed else 0)
        length = response.raw.length_remaining
        progress = Progress(f"bytes of {part.stem}", length or room)
        with part.open("ab" if resumed else "wb") as file:
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                file.write(chunk)
                progress.advance(len(chunk))
                if max(progress.done, length or 0) > room:
                    file.truncate(0)
                    raise UserError(f"{shown} is longer than the {max_bytes} bytes allowed.")
                if monotonic() > deadline:
                    raise UserError(
                        f"{shown} sent {progress.done} bytes in {longest:g} s, and they are not "
                        "all. The next run goes on after them."
                    )
    return not resumed and (length is not None or "Transfer-Encoding" in headers)
