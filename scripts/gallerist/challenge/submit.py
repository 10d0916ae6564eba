"""The command `gallerist submit`: an answer file goes to its server, once, and is recorded.

A server may count submissions, so nothing is sent twice unless the user asks for it. Before a
sending the receipt says "sending", after it what came of it. A process that is killed between the
two leaves "sending"; then only the user can find out whether it arrived.
"""

import hashlib
import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from gallerist.challenge.answer_file import picture_names
from gallerist.challenge.client import ASK, post
from gallerist.challenge.lint import lint_bytes, summary
from gallerist.challenge.receipts import Receipt, find_arrived, receipts_of, record_sending
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike
from gallerist.io.http import shown_url
from gallerist.records.record import now
from gallerist.tracking.store import TrackingError
from gallerist.tracking.sync import refresh_configured
from gallerist.workflow.results import Results

RESULTS = "results"
"""The folder, below the working directory, that everything produced goes to."""

_MLFLOW_LIMIT = 60.0
"""Seconds that MLflow is waited for; what it lacks then comes with the next start of a workflow."""

logger = logging.getLogger("gallerist")


@dataclass(frozen=True)
class Delivery:
    """An answer file, and the server that it goes to.

    gallery, query: the folders of the challenge. k: answers a query.
    config: complete; its MLflow shows what became of it at once. None where there is none.
    """

    results: PathLike
    url: str
    gallery: PathLike
    query: PathLike
    k: int
    config: dict[str, Any] | None = None


def configured(config: dict[str, Any], experiment: str) -> Delivery:
    """The answers of one experiment, and where a complete configuration sends them.

    Raises UserError when that is not configured, and when there are no answers yet.
    """
    if experiment not in config["experiments"]:
        known = ", ".join(config["experiments"])
        raise UserError(f"no experiment is called {experiment}; there are: {known}")
    challenge = config["challenge"]
    if challenge is None:
        raise UserError("there is no challenge in the configuration: docs/challenge.md")
    if challenge["submit_to"] is None:
        raise UserError("challenge.submit_to is null: set it to the address of the server")
    results = Results.of(config, RESULTS)
    folder = Path(challenge["folder"] or results.path("challenge/source"))
    file = results.path(f"challenge/submissions/{experiment}/results.json")
    parts = (folder / "gallery", folder / "query")
    return Delivery(file, challenge["submit_to"], *parts, challenge["k"], config)


def send(
    delivery: Delivery, *, receipts: PathLike | None = None, timeout: float = 30.0,
    attempts: int = 5, wait: float = 1.0, again: bool = False, dry_run: bool = False,
) -> Receipt:  # fmt: skip
    """Send an answer file without faults, record what became of it, and show that in MLflow.

    receipts: folder; None for `receipts` beside the answer file, where a later call finds them
    wherever it is typed. timeout, attempts, wait: see `gallerist.challenge.client.post`.
    again: send even what arrived, or may have. dry_run: tell what would be done; write nothing.

    Two processes with the same content take turns; the second finds the receipt of the first.
    Returns the receipt of an answer in JSON: of this call, or of an earlier one with this content.
    Raises UserError in all other cases. MLflow's failures are warnings.
    """
    _check(delivery.url, timeout, attempts)
    content = _read_checked(delivery)
    key, file = hashlib.sha256(content).hexdigest(), delivery.results
    folder = Path(file).parent / "receipts" if receipts is None else Path(receipts)
    receipt = Receipt("not sent", "", str(file), shown_url(delivery.url), key)
    if dry_run:
        earlier = None if again else find_arrived(key, folder)
        would = f"nothing would be sent. {earlier.message}" if earlier else (
            f"{len(content)} bytes would be posted to {receipt.url} with Idempotency-Key {key}."
        )  # fmt: skip
        return replace(receipt, message=f"Dry run: {would}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{key[:16]}.lock"):
            earlier = None if again else find_arrived(key, folder)
            if earlier is not None:
                return _answer_of(earlier)
            past = receipts_of(key, folder)
            number = 1 + (int(past[-1].stem.rpartition("-")[2]) if past else 0)
            path = folder / f"{key[:16]}-{number}.json"
            receipt = replace(
                receipt,
                state="sending",
                message=f"It was being sent when the process ended, and may have arrived. {ASK}",
                sent_at=now(),
            )
            receipt.write(path)
            return _deliver(delivery, content, receipt, path, timeout, attempts, wait)
    except OSError as error:
        raise UserError(
            f"The receipt of {file} cannot be written: {error}. Without one nothing is sent: name "
            "another folder for the receipts, or make room in this one."
        ) from error


def _check(url: str, timeout: float, attempts: int) -> None:
    if attempts < 1 or not timeout > 0:
        raise ValueError(f"attempts is {attempts} and timeout {timeout}: both must be positive")
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return
    raise UserError(
        f"{shown_url(url)!r} is no address to send answers to: it begins with http:// or https:// "
        "and the name of a server."
    )


def _read_checked(delivery: Delivery) -> bytes:
    """The bytes of a file without faults: what is sent is what was checked."""
    gallery, query = (picture_names(each) for each in (delivery.gallery, delivery.query))
    try:
        content = Path(delivery.results).read_bytes()
    except OSError as error:
        raise UserError(f"{delivery.results} cannot be read: {error.strerror}.") from error
    found = lint_bytes(content, gallery, query, delivery.k)
    if found:
        raise UserError(f"{delivery.results} is not sent, since it has faults.\n{summary(found)}")
    return content


def _answer_of(earlier: Receipt) -> Receipt:
    """The answer that an earlier sending had; an error if that is not a good one."""
    if earlier.state == "answered":
        logger.info("%s was answered at %s, and is not sent again", earlier.file, earlier.sent_at)
        return earlier
    raise UserError(
        f"Not sent: the same content went to {earlier.url} at {earlier.sent_at}, and of that is "
        f"known: {earlier.message}"
    )


def _deliver(
    delivery: Delivery, content: bytes, receipt: Receipt, path: Path, timeout: float,
    attempts: int, wait: float,
) -> Receipt:  # fmt: skip
    """Send, complete the receipt, and record it."""
    start = monotonic()
    reply = post(delivery.url, content, receipt.key, timeout, attempts, wait)
    receipt = replace(receipt, seconds=round(monotonic() - start, 3), **vars(reply))
    try:
        receipt.write(path)
    except OSError as error:
        raise UserError(
            f"{receipt.message} That could not be written to {path}: {error}. The answer: "
            f"{receipt.body!r}"
        ) from error
    try:
        record_sending(path, receipt, content)
        if delivery.config is not None:
            refresh_configured(delivery.config, RESULTS, limit=_MLFLOW_LIMIT)
    except (OSError, ValueError, TrackingError) as error:
        logger.warning("What became of %s is in its receipt only: %s", receipt.file, error)
    if receipt.state != "answered":
        raise UserError(f"{receipt.message}\n  Receipt: {path}")
    return receipt
