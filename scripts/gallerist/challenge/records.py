"""The record of a sending: a receipt, as the other stages record what they did.

It lies beside its receipt, `<receipt>.record.json`, among the results, where the next start of the
workflow finds it. A receipt that has a record never gets another; one that lacks it, because its
process was killed or MLflow's part did not exist yet, gets it when the same content is sent again.
"""

import hashlib
import json
import logging
import os
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gallerist import LIBRARY
from gallerist.challenge.receipts import Receipt, Receipts
from gallerist.io.files import PathLike, replacing
from gallerist.records.provenance import code_state, host, process_started, versions
from gallerist.records.record import Artifact, Record, RecordError, read_record, write_record

STAGE = "submit"
MOST_NUMBERS = 100
"""So many numbers of an answer become metrics: a grade has a few, a table of all queries is none.

All are in the receipt.
"""
DEEPEST = 8
_LONGEST_NAME = 200
_LOCK_WAIT = 10.0

logger = logging.getLogger("gallerist")


def written_by(file: PathLike) -> Record | None:
    """The record of the job that wrote an answer file; None when no job of the workflow did."""
    file = Path(file)
    try:
        record = read_record(file.with_name(f"{file.stem}.record.json"))
    except (OSError, RecordError):
        return None
    return record if record.stage == "write_submission" and record.experiment else None


def record_sendings(file: PathLike, receipts: PathLike) -> list[Record]:
    """Write the records that receipts of this content lack; they are returned, oldest first.

    file: the answer file. Where no job of the workflow wrote it, nothing is recorded, since no
    experiment is known. receipts: the folder of the receipts. What cannot be written is named in a
    warning: the receipt says the same.
    """
    writer = written_by(file)
    if writer is None:
        return []
    try:
        content = Path(file).read_bytes()
        kept = Receipts(Path(receipts), hashlib.sha256(content).hexdigest())
        if not kept.numbered():
            return []
        # While another process sends this content, what its receipt says is not the end of it.
        with FileLock(kept.lock, timeout=_LOCK_WAIT):
            return _missing(writer, Path(file), content, kept)
    except (OSError, ValueError, Timeout) as error:
        logger.warning("What became of %s is in the receipt only: %s", file, error)
        return []


def numbers_in(answer: Any) -> dict[str, float]:
    """The numbers of a JSON value by their path: {"top": [0.5]} -> {"top/0": 0.5}.

    The first MOST_NUMBERS, at most DEEPEST levels down. True and false are no numbers.
    """
    return dict(islice(_numbers(answer, "", DEEPEST), MOST_NUMBERS))


def _missing(writer: Record, file: Path, content: bytes, kept: Receipts) -> list[Record]:
    sent = kept.folder / f"{kept.key[:16]}.sent.json"
    records = []
    for path in (path for _, path in sorted(kept.numbered().items())):
        target = path.with_name(f"{path.stem}.record.json")
        if not target.exists():
            if not sent.exists():  # the answer file itself is another after the next run
                with replacing(sent) as temporary:
                    temporary.write_bytes(content)
            artifacts = tuple(Artifact(str(each), "submission") for each in (sent, path))
            group = json.loads(content)["groupname"]
            record = _record(writer, file, group, path, artifacts)
            write_record(target, record)
            records.append(record)
    return records


def _record(
    writer: Record, file: Path, group: str, path: Path, artifacts: tuple[Artifact, ...]
) -> Record:
    receipt = Receipt.read(path)
    answer = receipt.answer if receipt.is_good else None
    numbers = {f"server/{name}": number for name, number in numbers_in(answer).items()}
    status = {} if receipt.status is None else {"http_status": float(receipt.status)}
    code = code_state(LIBRARY)
    started = datetime.fromisoformat(receipt.sent_at)
    return Record(
        stage=STAGE,
        dataset=writer.dataset,
        experiment=writer.experiment,
        # Of the receipt: however often it is recorded, it stays one run.
        execution=uuid.uuid5(
            uuid.NAMESPACE_OID, f"{receipt.key} {path.name} {receipt.sent_at}"
        ).hex,
        title=f"{STAGE} {writer.experiment}",
        status="finished" if receipt.is_good else "failed",
        started=receipt.sent_at,
        finished=(started + timedelta(seconds=receipt.seconds)).isoformat(timespec="milliseconds"),
        seconds=receipt.seconds,
        parameters={
            "url": receipt.url,
            "file": str(file),
            "sha256": receipt.key,
            "group": group,
            "attempts": receipt.attempts,
        },
        metrics={**numbers, **status, "seconds": receipt.seconds},
        artifacts=artifacts,
        inputs={str(file): receipt.key},
        versions=versions(),
        git_commit=code.commit,
        git_dirty=code.dirty,
        host=host(),
        pid=os.getpid(),
        process_started=process_started(os.getpid()),
        tags={"state": receipt.state, "answer": _printable(receipt.body)},
        error=None if receipt.is_good else _printable(receipt.message),
    )


def _numbers(value: Any, name: str, levels: int) -> Iterator[tuple[str, float]]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            yield name or "answer", float(value)
        except OverflowError:
            return
    elif isinstance(value, dict | list) and levels:
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in members:
            path = f"{name}/{key}" if name else str(key)
            if len(path) <= _LONGEST_NAME:
                yield from _numbers(inner, _printable(path), levels - 1)


def _printable(text: str) -> str:
    """A text that every file and database takes, whatever a server sent."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
