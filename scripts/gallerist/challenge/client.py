"""Send an answer file to the server of the challenge, once, and keep what it answered.

A server may count submissions, so nothing is sent twice unless the caller asks for it: what happens
to a request decides whether the next attempt follows by itself (the table in submission_outcomes).

Before each attempt the receipt says "sending", after it what came of it; a process killed between
the two leaves "sending", which counts as unknown. A later call for the same content sends nothing
when one receipt says "answered", and fails when one says "unknown" or "sending", unless `again`.
Every request carries the SHA-256 of the content as its Idempotency-Key.
"""

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

import requests
from filelock import FileLock

from gallerist.challenge.lint import faults_in, summary
from gallerist.challenge.outcomes import (
    LOOK,
    Answer,
    Outcome,
    judged,
    moved_within,
    origin,
    received,
    unanswered,
)
from gallerist.challenge.receipts import Receipt, Receipts
from gallerist.io.files import PathLike
from gallerist.io.http import LONGEST_WAIT, secrets_of, shown_url

_HOPS = 3
"""So often a server may name another of its addresses for the same request."""

logger = logging.getLogger("gallerist")


class SubmitError(ValueError):
    """A submission not sent, or not answered well. receipt: what became of it, where it is known.

    The message is complete.
    """

    def __init__(self, message: str, receipt: Receipt | None = None) -> None:
        super().__init__(message)
        self.receipt = receipt


def submit(
    file: PathLike,
    url: str,
    *,
    gallery_names: Iterable[str],
    query_names: Iterable[str],
    k: int,
    receipts: PathLike,
    timeout: float = 30.0,
    attempts: int = 5,
    wait: float = 1.0,
    again: bool = False,
    dry_run: bool = False,
) -> Receipt:
    """Post an answer file, and return the server's answer. See the module for what is sent when.

    file: in the form of results.json; nothing is sent if submission_faults finds a fault in it, for
        which gallery_names, query_names and k are needed.
    receipts: folder of the receipts, see submission_receipts.
    timeout: seconds to connect, and then without a byte from the server.
    attempts: how often it is tried where a failure surely left nothing at the server.
    wait: seconds; attempt n + 1 comes wait * 2**(n - 1) after attempt n, later if Retry-After says
        so, at most LONGEST_WAIT after it. A server that asks for more is not asked again.
    again: send even what has been answered, or may have arrived.
    dry_run: check everything, tell what would be done, send and write nothing.

    Two processes with the same content take turns; the second finds the receipt of the first.
    Returns the receipt of an answer in JSON: of this call, or of an earlier one with this content.
    Raises SubmitError in all other cases, with the receipt where there is one, and NoReceipt when a
    file in the place of a receipt is none.
    """
    _check(url, timeout, attempts)
    content = _content(file, gallery_names, query_names, k)
    key = hashlib.sha256(content).hexdigest()
    receipt = Receipt("not sent", "", str(file), shown_url(url), key)
    kept = Receipts(Path(receipts), key)
    if dry_run:
        return _dry(receipt, None if again else kept.settled(), len(content))
    try:
        kept.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(kept.lock):
            earlier = None if again else kept.settled()
            if earlier is not None:
                return _known(earlier)
            delivery = _Delivery(url, content, receipt, kept.next_path(), timeout)
            return delivery.run(attempts, wait)
    except OSError as error:
        raise SubmitError(
            f"The receipt of {file} cannot be written: {error}. Without one nothing is sent: name "
            "another folder for the receipts, or make room in this one."
        ) from error


def _check(url: str, timeout: float, attempts: int) -> None:
    if attempts < 1 or not timeout > 0:
        raise ValueError(f"attempts is {attempts} and timeout {timeout}: both must be positive")
    try:
        scheme, host, _ = origin(urlsplit(url))
        complete = scheme in ("http", "https") and bool(host)
    except ValueError:
        complete = False
    if not complete:
        raise SubmitError(
            f"{shown_url(url)!r} is no address to send answers to: it begins with http:// or "
            "https:// and the name of a server."
        )


def _content(
    file: PathLike, gallery_names: Iterable[str], query_names: Iterable[str], k: int
) -> bytes:
    """The bytes of a file without faults: what is sent is what was checked."""
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        raise SubmitError(f"{file} cannot be read: {error.strerror}. Nothing is sent.") from error
    found = faults_in(content, gallery_names, query_names, k)
    if found:
        raise SubmitError(f"{file} is not sent, since it has faults.\n{summary(found)}")
    return content


def _dry(receipt: Receipt, earlier: Receipt | None, size: int) -> Receipt:
    would = (
        f"{size} bytes would be posted to {receipt.url} with Idempotency-Key {receipt.key}."
        if earlier is None
        else f"nothing would be sent, as of an earlier sending is known: {earlier.message}"
    )
    return replace(receipt, message=f"Dry run: {would}")


def _known(earlier: Receipt) -> Receipt:
    """The answer that an earlier sending had; an error if that is not a good one."""
    if earlier.is_good:
        logger.info("%s was answered at %s, and is not sent again", earlier.file, earlier.sent_at)
        return earlier
    raise SubmitError(
        f"Not sent: the same content went to {earlier.url} at {earlier.sent_at}, and of that is "
        f"known: {earlier.message}",
        earlier,
    )


# -- one sending ------------------------------------------------------------------------------


class _Body(BytesIO):
    """The content, and whether any of it was handed to a connection.

    Only this tells a failure before from one after: the exceptions are the same.
    """

    begun = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.begun = True
        return super().read(size)


class _Delivery:
    """One content on its way to one server, and its receipt."""

    def __init__(
        self, url: str, content: bytes, receipt: Receipt, path: Path, timeout: float
    ) -> None:
        self.url, self.content, self.path, self.timeout = url, content, path, timeout
        self.receipt = receipt

    def run(self, attempts: int, wait: float) -> Receipt:
        """Try until something is known that no further attempt would change."""
        for attempt in range(1, attempts + 1):
            outcome = self._attempt(attempt)
            if outcome.pause is None or attempt == attempts or outcome.pause > LONGEST_WAIT:
                break
            pause = max(min(wait * 2 ** (attempt - 1), LONGEST_WAIT), outcome.pause)
            said = "attempt %d of %d to send %s failed: %s The next in %.0f s"
            logger.warning(said, attempt, attempts, self.receipt.file, outcome.message, pause)
            sleep(pause)
        if not self.receipt.is_good:
            times = "once" if attempt == 1 else f"{attempt} times"
            raise SubmitError(
                f"{self.receipt.message}\n  Tried {times}. Receipt: {self.path}", self.receipt
            )
        logger.info("%s was answered by %s", self.receipt.file, self.receipt.url)
        return self.receipt

    def _attempt(self, attempt: int) -> Outcome:
        begun = replace(
            self.receipt,
            state="sending",
            message=f"It was being sent when the process ended, and may have arrived. {LOOK}",
            attempts=attempt,
            sent_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        begun.write(self.path)
        start = monotonic()
        outcome, answer = self._posted()
        self.receipt = replace(
            begun,
            state=outcome.state,
            message=outcome.message,
            seconds=round(monotonic() - start, 3),
            status=answer.status if answer else None,
            headers=answer.headers if answer else {},
            body=answer.body if answer else "",
            body_encoding=answer.encoding if answer else "utf-8",
            body_is_whole=answer is not None and not answer.broken,
        )
        try:
            self.receipt.write(self.path)
        except OSError as error:
            said = f"{outcome.message}\n  That could not be written to {self.path}: {error}."
            raise SubmitError(f"{said} The answer: {self.receipt.body!r}", self.receipt) from error
        return outcome

    def _posted(self) -> tuple[Outcome, Answer | None]:
        """Post to the address, or to the one on the same server that it names in its stead."""
        url = self.url
        for _ in range(1 + _HOPS):
            body = _Body(self.content)
            try:
                answer, secrets = self._exchanged(url, body)
            except requests.RequestException as error:
                return unanswered(error, body.begun, shown_url(url), self.timeout), None
            target = moved_within(url, answer)
            if target is None:
                answer = answer.fit_to_keep(secrets)
                return judged(answer, shown_url(url)), answer
            logger.info("%s sends on to %s", shown_url(url), shown_url(target))
            url = target
        said = f"The server sends on from one address to the next, at last to {shown_url(url)}"
        return Outcome("refused", f"{said}, and takes it nowhere. Check the address."), (
            answer.fit_to_keep(secrets)
        )

    def _exchanged(self, url: str, body: _Body) -> tuple[Answer, list[str]]:
        """The answer to one request, and the secrets of the request.

        On a connection of its own: a kept one may be closed without our knowing.
        """
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # the receipt keeps the bytes as they come
            "Connection": "close",
            "Idempotency-Key": self.receipt.key,
        }
        with requests.Session() as session:
            request = session.prepare_request(
                requests.Request("POST", url, data=body, headers=headers)
            )
            address = request.url or url
            settings: Any = session.merge_environment_settings(address, {}, True, None, None)
            # Not session.send: of a redirection that reads the whole body, however long it is.
            with session.get_adapter(address).send(
                request, timeout=(self.timeout, self.timeout), **settings
            ) as response:
                answer = received(response, self.timeout)
        return answer, secrets_of(address, str(request.headers.get("Authorization", "")))
