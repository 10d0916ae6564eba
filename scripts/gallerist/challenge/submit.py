"""The command `gallerist submit`: an answer file goes to its server, once, and is recorded.

A server may count submissions. So what is tried again by itself is only what surely left nothing
there: no connection, and HTTP 429 and 503. A receipt, `<start of the content's SHA-256>-N.json`,
says "sending" before, and what came of it after. A process that is killed between the two leaves
"sending": only the user can find out whether it arrived. The record beside it is shown in MLflow.
"""

import hashlib
import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any

import requests
from filelock import FileLock
from urllib3.exceptions import HTTPError

from gallerist.challenge.answer_file import picture_names
from gallerist.challenge.lint import format_problems, lint_bytes
from gallerist.io.addresses import shown_url
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, read_json, write_json, write_text
from gallerist.io.http import reason_of, session
from gallerist.records.provenance import open_record
from gallerist.records.record import Artifact, flatten, now, read_record, write_record
from gallerist.settings.challenge import Challenge
from gallerist.tracking.store import TrackingError
from gallerist.tracking.sync import refresh_configured
from gallerist.workflow.experiments import require_experiment
from gallerist.workflow.results import Results
from gallerist.workflow.stage import RESULTS

ANSWER_LIMIT = 1 << 16
"""Bytes kept of an answer. A grade is a few hundred; an error page may be anything."""
_ASK = (
    "Look whether the server lists it. If it does, there is nothing to do: it is not sent again by "
    "itself. If not, send it once more with --again."
)

logger = logging.getLogger("gallerist")


@dataclass(frozen=True)
class Receipt:
    """What became of one sending.

    state: not sent (nothing left this machine), refused (the server did nothing), sending, unknown
        (it may have arrived) or answered (in JSON).
    message: the same in words, with what to do. url: without user, password and query.
    key: SHA-256 of the content. sent_at: UTC. seconds: until the end of the answer.
    status, body: of the answer; None and empty where there is none.
    """

    state: str
    message: str
    file: str
    url: str
    key: str
    sent_at: str = ""
    seconds: float = 0.0
    status: int | None = None
    body: str = ""

    @classmethod
    def read(cls, path: PathLike) -> "Receipt":
        """Read one from JSON. Raises UserError naming the file when it is something else."""
        try:
            return cls(**read_json(path))
        except (ValueError, TypeError) as error:
            raise UserError(f"{path} is not the receipt of a submission: {error}.") from error


def configured(config: dict[str, Any], experiment: str) -> dict[str, Any]:
    """Arguments of `send` for the answers of one experiment, by a complete configuration."""
    challenge = config["challenge"] and Challenge(**config["challenge"])
    require_experiment(experiment, config["experiments"])
    if challenge is None or challenge.submit_to is None:
        raise UserError("challenge.submit_to is null, or there is no challenge: docs/challenge.md")
    results = Results.of(config, RESULTS)
    folder = Path(challenge.folder or results.path("challenge/source"))
    file = results.path(f"challenge/submissions/{experiment}/results.json")
    folders = {"gallery": folder / "gallery", "query": folder / "query"}
    address = {"url": challenge.submit_to, "k": challenge.k, "config": config}
    return {"results": file, **folders, **address}


def send(
    results: PathLike, url: str, gallery: PathLike, query: PathLike, k: int, *,
    config: dict[str, Any] | None = None, receipts: PathLike | None = None, timeout: float = 30.0,
    attempts: int = 5, wait: float = 1.0, again: bool = False, dry_run: bool = False,
) -> Receipt:  # fmt: skip
    """Send an answer file without problems, record what became of it, and show that in MLflow.

    gallery, query: the folders of the challenge. k: answers a query. config: complete, whose MLflow
    shows it at once. receipts: folder; None for `receipts` beside the answer file.
    timeout: seconds to connect, and then without a byte. attempts, wait: of
    `gallerist.io.http.session`. again: send even what arrived, or may have.
    dry_run: say what would be done; write nothing.

    Two processes with the same content take turns; the second finds the receipt of the first.
    Returns the receipt of an answer in JSON: of this call, or of an earlier one with this content.
    Raises UserError in all other cases. MLflow's failures are warnings.
    """
    if attempts < 1 or not timeout > 0:
        raise ValueError(f"attempts is {attempts} and timeout {timeout}: both must be positive")
    content = Path(results).read_bytes()
    if found := lint_bytes(content, picture_names(gallery), picture_names(query), k):
        raise UserError(f"{results} is not sent: it has problems.\n{format_problems(found, 20)}")
    key = hashlib.sha256(content).hexdigest()
    folder = Path(results).parent / "receipts" if receipts is None else Path(receipts)
    message = f"It was being sent when the process ended, and may have arrived. {_ASK}"
    receipt = Receipt("sending", message, str(results), shown_url(url), key, now())
    if dry_run:
        would = f"{len(content)} bytes would be posted to {receipt.url} with Idempotency-Key {key}."
        if not again and (earlier := _find_arrived(_receipts_of(key, folder))):
            would = f"nothing would be sent. {earlier.message}"
        return replace(receipt, state="not sent", message=f"Dry run: {would}")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{key[:16]}.lock"):
        past = _receipts_of(key, folder)
        if not again and (earlier := _find_arrived(past)):
            if earlier.state == "answered":
                logger.info("%s was answered already, and is not sent again", earlier.file)
                return earlier
            what = f"the same content went to {earlier.url} at {earlier.sent_at}"
            raise UserError(f"Not sent: {what}, and of that is known: {earlier.message}")
        path = folder / f"{key[:16]}-{1 + max(past, default=0)}.json"
        write_json(path, asdict(receipt))
        receipt = _post(receipt, url, content, timeout, attempts, wait)
        write_json(path, asdict(receipt))
    try:
        _record(path, receipt, content)
        if config is not None:
            refresh_configured(config, RESULTS, limit=60.0)  # what it lacks then comes later
    except (OSError, ValueError, ArithmeticError, RecursionError, TrackingError) as error:
        logger.warning("What became of %s is in its receipt only: %s", receipt.file, error)
    if receipt.state != "answered":
        raise UserError(f"{receipt.message}\n  Receipt: {path}")
    return receipt


def _receipts_of(key: str, folder: Path) -> dict[int, Receipt]:
    """The receipts of one content by their numbers, the latest first."""
    paths = {int(each.stem[17:]): each for each in folder.glob(f"{key[:16]}-*[0-9].json")}
    return {number: Receipt.read(paths[number]) for number in sorted(paths, reverse=True)}


def _find_arrived(receipts: dict[int, Receipt]) -> Receipt | None:
    """The last one that has an answer, or else that may have arrived."""
    found = [each for each in receipts.values() if each.state not in ("not sent", "refused")]
    return max(found, key=lambda each: each.state == "answered", default=None)


def _record(path: Path, receipt: Receipt, content: bytes) -> None:
    """Write the record of a sending beside its receipt, and a copy of what was sent.

    Where no job of the workflow wrote the answer file there is none: no experiment is known then.
    """
    file, answered = Path(receipt.file), receipt.state == "answered"
    try:
        writer = read_record(file.parent.parent / f"{file.stem}.record.json")
    except (OSError, ValueError):
        return
    sent = path.with_name(f"{receipt.key[:16]}.sent.json")
    write_text(sent, content.decode())  # the answer file is another after the next run
    numbers = {
        f"server/{_printable(name) or 'answer'}": float(value)
        for name, value in flatten(json.loads(receipt.body) if answered else None).items()
        if isinstance(value, int | float) and not isinstance(value, bool) and len(name) <= 200
    }
    status = {} if receipt.status is None else {"http_status": receipt.status}
    group = json.loads(content)["groupname"]
    record = open_record(
        stage="submit",
        dataset=writer.dataset,
        experiment=file.parent.name,
        title=f"submit {file.parent.name}",
        status="finished" if answered else "failed",
        started=receipt.sent_at,
        finished=now(),
        seconds=receipt.seconds,
        parameters={"url": receipt.url, "file": str(file), "sha256": receipt.key, "group": group},
        metrics={**numbers, **status, "seconds": receipt.seconds},
        artifacts=tuple(Artifact(str(each), "submission") for each in (sent, path)),
        inputs={receipt.file: receipt.key},
        tags={"state": receipt.state, "answer": receipt.body},
        error=None if answered else receipt.message,
    )
    write_record(path.with_name(f"{path.stem}.record.json"), record)


def _post(
    receipt: Receipt, url: str, content: bytes, timeout: float, attempts: int, wait: float
) -> Receipt:
    """Post JSON, once where it may have arrived, and complete the receipt."""
    start, body, response, text, broken = monotonic(), BytesIO(content), None, "", ""
    headers = {"Content-Type": "application/json", "Idempotency-Key": receipt.key}
    try:
        with session(attempts, wait, {429, 503}, reread=False) as http:
            # Or requests would read all of a redirection's body, and fail at a bad address.
            http.get_redirect_target = lambda _: None  # type: ignore[assignment, method-assign]
            response = http.post(
                url, body, headers=headers, timeout=timeout, stream=True, allow_redirects=False
            )
            answer = response.raw.read(ANSWER_LIMIT, decode_content=True)
            text = _printable(answer.decode("utf-8-sig", "backslashreplace"))
    except (requests.RequestException, HTTPError) as error:
        broken = " ".join(_printable(reason_of(error)).split())
    if response is not None:
        state, message = _interpret(response, receipt.url, text, broken)
    elif body.tell():  # it is set back to 0 before each attempt
        message = f"It was sent to {receipt.url}, but no answer came: {broken}. {_ASK}"
        state = "unknown"
    else:
        message = f"No connection to {receipt.url}: {broken}. Nothing was sent."
        state = "not sent"
    status, seconds = getattr(response, "status_code", None), round(monotonic() - start, 3)
    return replace(receipt, state=state, message=message, seconds=seconds, status=status, body=text)


def _interpret(
    response: requests.Response, address: str, text: str, broken: str
) -> tuple[str, str]:
    """State and message of an answer. broken: why the text is not whole."""
    status, words = response.status_code, broken or " ".join(text.split())[:500]
    message = f"{address} answered HTTP {status} {response.reason or ''}: {words or 'nothing'}."
    if "Location" in response.headers:
        there = shown_url(response.headers["Location"])
        message += f" It points to {there}. It is not followed: give it in place of this one."
    if 200 <= status < 300:
        with suppress(ValueError, RecursionError):
            json.loads("" if broken else text)
            return "answered", message
    if 400 <= status < 500 or status in (301, 307, 308, 503):
        advice = "Change what it objects to: the file, the address, the login; or try again later."
        return "refused", f"{message} {advice}"
    return "unknown", f"{message} That is no grade, but it may be counted all the same. {_ASK}"


def _printable(text: str) -> str:
    """A text that every file and database takes, whatever a server sent."""
    kept = (c if c.isprintable() or c in "\r\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return "".join(kept)
