"""What became of each sending of an answer file: kept, so that nothing is sent twice by mistake."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from gallerist.io.files import PathLike, read_json, write_json

State = Literal["not sent", "sending", "not arrived", "refused", "answered", "unknown"]


class NoReceipt(ValueError):
    """A file among the receipts that is none. The message is complete."""


@dataclass(frozen=True)
class Receipt:
    """What became of one sending.

    state: not sent (dry run), sending, not arrived, refused (not graded, as the server says),
        answered, or unknown (whether it arrived).
    message: the same in words, with what to do. url: without user and password, and its query.
    key: SHA-256 of the content. attempts: how often it was tried in this sending.
    sent_at: UTC, when the last attempt began. seconds: from then to the end of the answer.
    status, headers, body: of the answer; status is None where none came. The body is verbatim, in
        `body_encoding` (latin-1, one character a byte, where it is not UTF-8), but for the secrets
        of the request, which some servers repeat. It is not whole when the server stopped half
        way, or sent more than is kept.
    """

    state: State
    message: str
    file: str
    url: str
    key: str
    attempts: int = 0
    sent_at: str = ""
    seconds: float = 0.0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    body_encoding: str = "utf-8"
    body_is_whole: bool = False

    @property
    def answer(self) -> Any:
        """The body as JSON. Raises ValueError when it is none, or not whole."""
        if not self.body_is_whole:
            raise ValueError("the body of the answer is not whole")
        try:
            return json.loads(self.body.removeprefix("\ufeff"))
        except RecursionError:
            raise ValueError("the body of the answer is nested too deeply") from None

    @property
    def is_good(self) -> bool:
        """Whether the server took the submission, and answered in JSON."""
        try:
            _ = self.answer
        except ValueError:
            return False
        return self.state == "answered"

    def write(self, path: PathLike) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: PathLike) -> "Receipt":
        """Read what `write` wrote. Raises NoReceipt naming the file when it is something else."""
        try:
            value = read_json(path)
            if not isinstance(value, dict) or set(value) != {entry.name for entry in fields(cls)}:
                raise ValueError("its keys are others")
            if value["state"] not in get_args(State):
                raise ValueError(f"there is no state {value['state']!r}")
        except ValueError as error:
            raise NoReceipt(
                f"{path} is not the receipt of a submission: {error}.\n"
                "  If you know what became of that submission, move the file away."
            ) from error
        return cls(**value)


@dataclass(frozen=True)
class Receipts:
    """The receipts of one content in a folder: `<16 digits of the key>-<number>.json`.

    Each sending has a file of its own, so that no answer is ever written over.
    """

    folder: Path
    key: str

    @property
    def lock(self) -> Path:
        """The file to lock while this content is sent."""
        return self.folder / f".{self.key[:16]}.lock"

    def next_path(self) -> Path:
        """Where the receipt of the next sending belongs."""
        last = max(self.numbered(), default=0)
        return self.folder / f"{self.key[:16]}-{last + 1}.json"

    def settled(self) -> Receipt | None:
        """The receipt that says that this content was, or may have been, at the server.

        An answer comes before a doubt, an answer in JSON before another, a later before an earlier.
        None if no sending arrived, or the server said each time that it did nothing.
        Raises NoReceipt when one of the files is none.
        """
        numbered = self.numbered()
        receipts = [Receipt.read(numbered[number]) for number in sorted(numbered)]
        weight = {"sending": 1, "unknown": 1, "answered": 2}
        weighed = [
            (weight[receipt.state], receipt.is_good, number, receipt)
            for number, receipt in enumerate(receipts)
            if receipt.state in weight
        ]
        return max(weighed)[-1] if weighed else None

    def numbered(self) -> dict[int, Path]:
        """Each receipt's file by its number."""
        name = re.compile(rf"{self.key[:16]}-(\d+)\.json")
        found = [(name.fullmatch(file.name), file) for file in self.folder.glob("*.json")]
        return {int(match[1]): file for match, file in found if match}
