"""What became of each sending of an answer file: a receipt, and a record as other stages have one.

A receipt is `<16 digits of the content's SHA-256>-<number>.json`, and its record, which MLflow is
shown, lies beside it: `<receipt>.record.json`.
"""

import json
import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from gallerist import LIBRARY
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, read_json, write_json, write_text
from gallerist.records.provenance import code_state, host, versions
from gallerist.records.record import Artifact, Record, RecordError, read_record, write_record

MOST_NUMBERS, DEEPEST = 100, 8
"""So many numbers of an answer become metrics, at most so many levels down."""

State = Literal["not sent", "refused", "sending", "unknown", "unreadable", "answered"]


@dataclass(frozen=True)
class Receipt:
    """What became of one sending.

    state: not sent (nothing left this machine), refused (the server did nothing), sending, unknown
        (it may have arrived), unreadable (taken, without an answer in JSON) or answered.
    message: the same in words, with what to do. url: without user, password and query.
    key: SHA-256 of the content. sent_at: UTC. seconds: until the end of the answer.
    status, body: of the answer; None and empty where there is none.
    """

    state: State
    message: str
    file: str
    url: str
    key: str
    sent_at: str = ""
    seconds: float = 0.0
    status: int | None = None
    body: str = ""

    @property
    def answer(self) -> Any:
        """The JSON that was answered; None where none was."""
        return json.loads(self.body) if self.state == "answered" else None

    def write(self, path: PathLike) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: PathLike) -> "Receipt":
        """Read what `write` wrote. Raises UserError naming the file when it is something else."""
        try:
            receipt = cls(**read_json(path))
            if receipt.state not in get_args(State):
                raise ValueError(f"there is no state {receipt.state!r}")
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{path} is not the receipt of a submission: {error}.\n"
                "  If you know what became of that submission, move the file away."
            ) from error
        return receipt


def receipts_of(key: str, folder: Path) -> list[Path]:
    """The receipts of one content, oldest first."""
    name = re.compile(rf"{key[:16]}-(\d+)\.json")
    found = [(name.fullmatch(file.name), file) for file in folder.glob("*.json")]
    return [file for _, file in sorted((int(match[1]), file) for match, file in found if match)]


def find_arrived(key: str, folder: Path) -> Receipt | None:
    """The last receipt that says most surely that this content was at the server; else None."""
    receipts = [Receipt.read(path) for path in reversed(receipts_of(key, folder))]
    weight = {"sending": 1, "unknown": 1, "unreadable": 2, "answered": 3}
    found = [receipt for receipt in receipts if receipt.state in weight]
    return max(found, key=lambda receipt: weight[receipt.state], default=None)


def record_sending(path: Path, receipt: Receipt, content: bytes) -> None:
    """Write the record of a sending beside its receipt, and a copy of what was sent.

    Where no job of the workflow wrote the answer file there is none: no experiment is known then.
    """
    file = Path(receipt.file)
    try:
        writer = read_record(file.with_name(f"{file.stem}.record.json"))
    except (OSError, RecordError):
        return
    if writer.stage != "write_submission":
        return
    sent = path.with_name(f"{receipt.key[:16]}.sent.json")
    write_text(sent, content.decode())  # the answer file is another after the next run
    commit, dirty = code_state(LIBRARY)
    finished = datetime.fromisoformat(receipt.sent_at) + timedelta(seconds=receipt.seconds)
    group = json.loads(content)["groupname"]
    status = {} if receipt.status is None else {"http_status": float(receipt.status)}
    numbers = {f"server/{name}": number for name, number in numbers_in(receipt.answer).items()}
    record = Record(
        stage="submit",
        dataset=writer.dataset,
        experiment=writer.experiment,
        execution=uuid.uuid4().hex,
        title=f"submit {writer.experiment}",
        status="finished" if receipt.state == "answered" else "failed",
        started=receipt.sent_at,
        finished=finished.isoformat(timespec="milliseconds"),
        seconds=receipt.seconds,
        parameters={
            "url": receipt.url,
            "file": receipt.file,
            "sha256": receipt.key,
            "group": group,
        },
        metrics={**numbers, **status, "seconds": receipt.seconds},
        artifacts=tuple(Artifact(str(each), "submission") for each in (sent, path)),
        inputs={receipt.file: receipt.key},
        versions=versions(),
        git_commit=commit,
        git_dirty=dirty,
        host=host(),
        tags={"state": receipt.state, "answer": receipt.body},
        error=None if receipt.state == "answered" else receipt.message,
    )
    write_record(path.with_name(f"{path.stem}.record.json"), record)


def numbers_in(value: Any, name: str = "", levels: int = DEEPEST) -> dict[str, float]:
    """The numbers of a JSON value by their path: {"top": [0.5]} -> {"top/0": 0.5}.

    The first MOST_NUMBERS, at most `levels` levels down. True and false are no numbers.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            return {name or "answer": float(value)}
        return {}
    if isinstance(value, list):
        value = dict(enumerate(value))
    found: dict[str, float] = {}
    for key, inner in value.items() if isinstance(value, Mapping) and levels else ():
        path = f"{name}/{printable(str(key))}".removeprefix("/")
        if len(path) <= 200 and len(found) < MOST_NUMBERS:
            found |= numbers_in(inner, path, levels - 1)
    return dict(islice(found.items(), MOST_NUMBERS))


def printable(text: str) -> str:
    """A text that every file and database takes, whatever a server sent."""
    kept = (c if c.isprintable() or c in "\r\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return "".join(kept)
