"""One execution of a stage while it is at work: it gathers what the record will say."""

import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from gallerist.io.files import PathLike, sha256_of_file
from gallerist.records.history import History, merge
from gallerist.records.made import RECORD, is_noted
from gallerist.records.provenance import InputHashes
from gallerist.records.record import (
    Artifact,
    ImageSet,
    Record,
    Status,
    flatten,
    milliseconds,
    now,
    write_record,
)
from gallerist.workflow.log import Stopped
from gallerist.workflow.machine import MachineUse

logger = logging.getLogger("gallerist")

Curves = Mapping[str, Sequence[tuple[int, float]]]

T = TypeVar("T")


@dataclass(slots=True)
class Timer:
    """How long a block took, once it has ended."""

    seconds: float = 0.0


class Run:
    """What a stage reports about itself. Everything can be called often, and in any order."""

    def __init__(
        self,
        opening: Record,
        inputs: InputHashes,
        machine: MachineUse,
        log: PathLike | None,
        row_artifacts: Sequence[Artifact],
        history: History,
        params: Mapping[str, Any],
        outputs: Sequence[str] = (),
    ) -> None:
        """`opening`: the record as far as it is known.

        row_artifacts: what each row of the comparison shows besides what it is given.
        history: where what is reported stands at once, and the record is kept when a rerun has
        replaced the one beside the output.
        params: of the rule; those that are no plain value are JSON text.
        outputs: paths of the rule's, whose content its record will hold the hashes of.
        """
        self._opening = opening
        self._inputs = inputs
        self._machine = machine
        self._log = () if log is None else (Artifact(str(log), "log"),)
        self._row_artifacts = (*opening.artifacts, *row_artifacts)
        self._history = history
        self._params = params
        self._outputs = outputs
        self._started = time.monotonic()
        self._prefix = ""
        self._fields: dict[str, Any] = {}
        kept = {name: getattr(opening, name) for name in ("parameters", "tags", "artifacts")}
        merge(self._fields, kept)
        self._comparisons: list[tuple[PathLike, Record]] = []
        history.begin(replace(opening, artifacts=(*opening.artifacts, *self._log)))

    @property
    def title(self) -> str:
        """What figures are headed by: the data set, and the experiment of the job if it has one."""
        return ", ".join(filter(None, (self._opening.dataset, self._opening.experiment)))

    @property
    def settings(self) -> dict[str, Any]:
        """The rule's parameter `settings`."""
        return dict(self.param("settings"))

    def settings_as(self, kind: Callable[..., T]) -> T:
        """The same, as a class whose fields have the names of the settings."""
        return kind(**self.settings)

    def param(self, name: str) -> Any:
        """A parameter of the rule that is JSON text."""
        return json.loads(self._params[name])

    @contextmanager
    def timed(self, name: str) -> Iterator[Timer]:
        """Record how many seconds a block takes, as a metric of this name."""
        timer, started = Timer(), time.monotonic()
        yield timer
        timer.seconds = time.monotonic() - started
        self.metrics({name: timer.seconds})

    def each_search(
        self, rankings: Sequence[PathLike], *things: Sequence[Any]
    ) -> Iterator[tuple[Any, ...]]:
        """What belongs to each search of `Plan.searches`: of every sequence, one after the other.

        rankings: the files that are written. What is recorded meanwhile of another search than the
        data set's has the name of its folder before its own.
        """
        for file, *found in zip(rankings, *things, strict=True):
            folder = Path(file).parent.name
            self._prefix = "" if folder == "rankings" else f"{folder}/"
            yield file, *found
        self._prefix = ""

    def parameters(self, nested: Mapping[str, Any] | None = None, /, **scalars: Any) -> None:
        """Record parameters; nested ones get dotted names. A later value replaces an earlier."""
        self._add(parameters=flatten(nested or {}) | flatten(scalars))

    def metrics(self, named: Mapping[str, float] | None = None, /, **floats: float) -> None:
        """Record measured numbers. NaN and infinity are kept as what they are."""
        found = _floats(named, floats)
        self._add(metrics={f"{self._prefix}{name}": each for name, each in found.items()})

    def curve_point(
        self, step: int, named: Mapping[str, float] | None = None, /, **floats: float
    ) -> None:
        """Record one step of some curves, an epoch for example; it is in its file at once."""
        moment = self._fields.get("moments", {}).get(int(step)) or milliseconds(now())
        points = {name: [(int(step), value)] for name, value in _floats(named, floats).items()}
        self._add(curves=points, moments={int(step): moment})

    def artifact(self, path: PathLike, folder: str | None = None) -> None:
        """Show a file in MLflow: in `folder`, where one is given."""
        self._add(artifacts=(Artifact(str(path), f"{self._prefix}{folder or ''}" or None),))

    def made(self, path: PathLike) -> None:
        """Note the content of a file as it is now: no reader takes another in its place."""
        self._add(made={str(path): sha256_of_file(path)})

    def dataset(self, name: str, manifest_path: PathLike, digest: str, images: int) -> None:
        """Say which pictures were worked on. Equal digests mean equal pictures."""
        self._add(datasets=(ImageSet(name, digest, int(images), str(manifest_path)),))

    def tag(self, **tags: object) -> None:
        """Note a fact that is neither set nor measured, such as the weights that could be had."""
        self._add(tags={name: str(value) for name, value in tags.items()})

    def compare(
        self,
        path: PathLike,
        title: str,
        *,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        curves: Curves | None = None,
        artifacts: Sequence[tuple[PathLike, str | None]] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Add a row to the page that compares experiments: a record of its own, written to `path`.

        It is written, and shown, when the stage has succeeded. title: the experiment, or what
        several are together. Its datasets, tags, versions and times are the stage's; everything
        else is what is given here, and further tags.
        """
        record = replace(
            self._opening,
            stage="experiment",
            destination="comparison",
            experiment=title,
            part=None,
            title=title,
            execution=uuid.uuid4().hex,
            parameters=flatten(parameters),
            metrics=_floats(metrics, {}),
            curves={
                name: [(int(step), float(value)) for step, value in points]
                for name, points in (curves or {}).items()
            },
            artifacts=(
                *self._row_artifacts,
                *(Artifact(str(file), folder) for file, folder in artifacts),
            ),
            tags=dict(tags or {}),
        )
        self._comparisons.append((path, record))

    def finish(self, path: PathLike | None) -> None:
        """Write the record to `path`, where one is given, and keep it in the history.

        From the moment the record is written the result stands, whatever signal comes.
        """
        if path is not None:
            self._note_outputs(path)
        record = self._ended("finished")
        rows = [(place, self._row(row, record)) for place, row in self._comparisons]
        for place, row in rows:
            write_record(place, row)
        if path is not None:
            write_record(path, record)
        logger.info("finished in %.1f s", record.seconds)
        with suppress(Stopped):
            for each in (record, *(row for _, row in rows)):
                self._history.keep(each)

    def fail(self, message: str) -> None:
        """Keep in the history that the stage failed and why. No result has a record beside it."""
        record = self._ended("failed", patience=0.0)
        with suppress(Stopped):
            self._history.keep(replace(record, error=message))

    def _note_outputs(self, path: PathLike) -> None:
        """Hold the hashes of all files that were made; a record has one of its own.

        A record of a file's own name is one of when another job made it, which would be asked.
        """
        known = self._fields.get("made", {})
        files = [each for each in self._outputs if is_noted(each) and each not in known]
        for record in {Path(each).with_suffix(RECORD) for each in files} - {Path(path)}:
            record.unlink(missing_ok=True)
        made = {each: sha256_of_file(each) for each in files if Path(each).is_file()}
        if made:
            self._add(made=made)

    def _add(self, **reported: Any) -> None:
        """Report fields of the record, also to whoever follows the stage or finds it killed."""
        merge(self._fields, reported)
        self._history.add(self._opening, **reported)

    def _ended(self, status: Status, patience: float | None = None) -> Record:
        use = self._machine.stop()  # no sample lies behind the end
        seconds = round(time.monotonic() - self._started, 3)
        merge(self._fields, {"metrics": {"seconds": seconds}})
        shown = (each for each in self._fields["artifacts"] if Path(each.path).exists())
        ended = {
            "status": status,
            "finished": now(),
            "seconds": seconds,
            "inputs": self._inputs.result(patience),
            "machine_use": use,
            "artifacts": (*shown, *self._log),
        }
        return replace(self._opening, **self._fields | ended)

    def _row(self, row: Record, record: Record) -> Record:
        """A row of the comparison, with what it shares with the record of its stage."""
        shared = ("status", "finished", "seconds", "inputs", "datasets")
        tags = {**record.tags, **row.tags, "gallerist.evaluated_by": record.execution}
        return replace(row, tags=tags, **{name: getattr(record, name) for name in shared})


def _floats(named: Mapping[str, float] | None, further: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in {**(named or {}), **further}.items()}
