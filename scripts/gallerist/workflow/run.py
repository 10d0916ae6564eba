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
from gallerist.records.history import History
from gallerist.records.provenance import InputHashes
from gallerist.records.record import (
    Artifact,
    ImageSet,
    Record,
    Scalar,
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


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A row of the page that compares experiments, to be written when the stage has succeeded."""

    path: PathLike
    record: Record


class Run:
    """What a stage reports about itself. Everything can be called often, and in any order."""

    def __init__(
        self,
        opening: Record,
        inputs: InputHashes | None = None,
        machine: MachineUse | None = None,
        log: PathLike | None = None,
        row_artifacts: Sequence[Artifact] = (),
        history: History | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        """`opening`: the record as far as it is known.

        row_artifacts: what each row of the comparison shows besides what it is given.
        history: where what is reported stands at once, and the record is kept when a rerun has
        replaced the one beside the output.
        params: of the rule; those that are no plain value are JSON text.
        """
        self._opening = opening
        self._params = params or {}
        self._inputs = inputs
        self._machine = machine
        self._log = log
        self._history = history
        self._started = time.monotonic()
        self._parameters: dict[str, Scalar] = dict(opening.parameters)
        self._metrics: dict[str, float] = {}
        self._curves: dict[str, dict[int, float]] = {}
        self._moments: dict[int, int] = {}
        self._artifacts: list[Artifact] = list(opening.artifacts)
        self._row_artifacts = (*opening.artifacts, *row_artifacts)
        self._datasets: list[ImageSet] = []
        self._made: dict[str, str] = {}
        self._tags: dict[str, str] = dict(opening.tags)
        self._comparisons: list[_Comparison] = []
        if history is not None:
            history.begin(replace(opening, artifacts=(*opening.artifacts, *self._log_artifact())))

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

    def parameters(self, nested: Mapping[str, Any] | None = None, /, **scalars: Any) -> None:
        """Record parameters; nested ones get dotted names. A later value replaces an earlier."""
        named = flatten(nested or {}) | flatten(scalars)
        self._parameters |= named
        self._add(parameters=named)

    def metrics(self, named: Mapping[str, float] | None = None, /, **floats: float) -> None:
        """Record measured numbers. NaN and infinity are kept as what they are."""
        values = {name: float(value) for name, value in {**(named or {}), **floats}.items()}
        self._metrics |= values
        self._add(metrics=values)

    def curve_point(
        self, step: int, named: Mapping[str, float] | None = None, /, **floats: float
    ) -> None:
        """Record one step of some curves, an epoch for example; it is in its file at once."""
        values = {name: float(value) for name, value in {**(named or {}), **floats}.items()}
        for name, value in values.items():
            self._curves.setdefault(name, {})[int(step)] = value
        at = self._moments.setdefault(int(step), milliseconds(now()))
        points = {name: [(int(step), value)] for name, value in values.items()}
        self._add(curves=points, moments={int(step): at})

    def artifact(self, path: PathLike, folder: str | None = None) -> None:
        """Show a file in MLflow: in `folder`, where one is given."""
        artifact = Artifact(str(path), folder)
        self._artifacts.append(artifact)
        self._add(artifacts=(artifact,))

    def made(self, path: PathLike) -> None:
        """Note the content of a file as it is now: `verify_output` takes no other in its place."""
        self._made[str(path)] = sha256_of_file(path)
        self._add(made=self._made)

    def dataset(self, name: str, manifest_path: PathLike, digest: str, images: int) -> None:
        """Say which pictures were worked on. Equal digests mean equal pictures."""
        images_of = ImageSet(name, digest, int(images), str(manifest_path))
        self._datasets.append(images_of)
        self._add(datasets=(images_of,))

    def tag(self, **tags: object) -> None:
        """Note a fact that is neither set nor measured, such as the weights that could be had."""
        self._tags |= {name: str(value) for name, value in tags.items()}
        self._add(tags=self._tags)

    def compare(
        self,
        path: PathLike,
        title: str,
        *,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        curves: Curves | None = None,
        artifacts: Sequence[tuple[PathLike, str | None]] = (),
    ) -> None:
        """Add a row to the page that compares experiments: a record of its own, written to `path`.

        It is written, and shown, when the stage has succeeded. Its datasets, tags, versions and
        times are the stage's; everything else is what is given here.
        """
        drawn = {
            name: [(int(step), float(value)) for step, value in points]
            for name, points in (curves or {}).items()
        }
        record = replace(
            self._opening,
            stage="experiment",
            destination="comparison",
            part=None,
            title=title,
            execution=uuid.uuid4().hex,
            parameters=flatten(parameters),
            metrics={name: float(value) for name, value in metrics.items()},
            curves=drawn,
            artifacts=(
                *self._row_artifacts,
                *(Artifact(str(file), folder) for file, folder in artifacts),
            ),
        )
        self._comparisons.append(_Comparison(path, record))

    def finish(self, path: PathLike | None) -> Record:
        """Write the record to `path`, where one is given, and keep it in the history.

        From the moment the record is written the result stands, whatever signal comes.
        """
        ending = self._ending(status="finished")
        record = replace(self._opening, **ending, **self._gathered(seconds=ending["seconds"]))
        rows = [self._row(comparison, ending) for comparison in self._comparisons]
        for comparison, row in zip(self._comparisons, rows, strict=True):
            write_record(comparison.path, row)
        if path is not None:
            write_record(path, record)
        logger.info("finished in %.1f s", record.seconds)
        with suppress(Stopped):
            self._keep([record, *rows])
        return record

    def fail(self, message: str) -> Record:
        """Keep in the history that the stage failed and why. No result has a record beside it."""
        ending = self._ending(status="failed")
        gathered = self._gathered(seconds=ending["seconds"])
        record = replace(self._opening, **ending, **gathered, error=message)
        with suppress(Stopped):
            self._keep([record])
        return record

    def _add(self, **reported: Any) -> None:
        """Let whoever follows the stage, or finds it killed, know what it has reported."""
        if self._history is not None:
            self._history.add(self._opening, **reported)

    def _log_artifact(self) -> list[Artifact]:
        return [] if self._log is None else [Artifact(str(self._log), "log")]

    def _keep(self, records: Sequence[Record]) -> None:
        if self._history is not None:
            for record in records:
                self._history.keep(record)

    def _ending(self, status: str) -> dict[str, Any]:
        if self._machine is not None:
            self._machine.stop()  # no sample lies behind the end
        patience = None if status == "finished" else 0.0
        return {
            "status": status,
            "finished": now(),
            "seconds": round(time.monotonic() - self._started, 3),
            "inputs": self._inputs.result(patience) if self._inputs is not None else {},
        }

    def _gathered(self, **further: float) -> dict[str, Any]:
        """What was reported. further: metrics that the run itself measures."""
        return {
            "parameters": dict(self._parameters),
            "metrics": {**self._metrics, **further},
            "curves": {name: sorted(points.items()) for name, points in self._curves.items()},
            "moments": dict(self._moments),
            "artifacts": (
                *(each for each in self._artifacts if Path(each.path).exists()),
                *self._log_artifact(),
            ),
            "datasets": tuple(self._datasets),
            "tags": dict(self._tags),
            "made": dict(self._made),
            "machine_use": self._machine.seen() if self._machine is not None else {},
        }

    def _row(self, comparison: _Comparison, ending: Mapping[str, Any]) -> Record:
        tags = {**self._tags, "gallerist.evaluated_by": self._opening.execution}
        return replace(comparison.record, **ending, tags=tags, datasets=tuple(self._datasets))
