"""The finished data sets below a folder of results, and what each holds, read when it is asked."""

import csv
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from gallerist.browse.finished import TABLE, compared_in
from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.compared import groups_of
from gallerist.evaluation.threshold import Threshold
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, read_json
from gallerist.records.record import Record, read_record
from gallerist.search.ranking_file import RankingFile
from gallerist.workflow.experiments import Experiment
from gallerist.workflow.results import Results, query_part

if TYPE_CHECKING:
    from gallerist.evaluation.relevance import Relevance
    from gallerist.serving.pictures import KnownPictures

logger = logging.getLogger("gallerist")

Made = TypeVar("Made")

DOUBTS = "comparison/doubtful_labels.csv"
"""The pictures whose label is doubtful."""

SEARCHED = ("gallery", "query")
LEARNED = ("training", "validation")


class NotThere(UserError):
    """Something that was asked for by name, and is not among the results."""


class DataSet:
    """One finished data set. Several threads may ask it at once."""

    def __init__(self, folder: Path) -> None:
        """folder: of its results."""
        self.folder, self.name = folder, folder.name
        self.results = Results(folder)
        self.stamp = _stamp(folder)
        self._lock = RLock()
        self._kept: dict[str, Any] = {}

    def once(self, key: str, make: Callable[[], Made]) -> Made:
        """What `make` gives, which is called once, and by one thread."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
            found: Made = self._kept[key]
            return found

    def there(self, name: str) -> Path | None:
        """A file of the results, as its job made it; None where there is none."""
        return self.results.path(name) if (self.folder / name).is_file() else None

    @cached_property
    def lines(self) -> dict[str, list[str]]:
        """Line of the comparison -> its experiments: several, where it is a mean over seeds."""
        groups = groups_of(self.comparison)
        with self.results.path(TABLE).open(encoding="utf-8", newline="") as file:
            names = [row["experiment"] for row in csv.DictReader(file)]
        return {name: list(groups.get(name, [name])) for name in names}

    @cached_property
    def experiments(self) -> list[str]:
        """The experiments that were compared, each seed one, in the order of the comparison."""
        return [name for members in self.lines.values() for name in members]

    def require(self, experiment: str) -> str:
        """The name of an experiment; raises NotThere for that of none."""
        if experiment not in self.experiments:
            raise NotThere(f"{self.name} has no experiment {experiment}")
        return experiment

    @cached_property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Experiment -> what its evaluation wrote as metrics.json."""
        path = self.results.path
        return {
            name: read_json(path(f"evaluation/{name}/metrics.json")) for name in self.experiments
        }

    def threshold(self, experiment: str) -> Threshold | None:
        """Below which distance an experiment answers; None where nothing was fitted."""
        held = self.metrics[self.require(experiment)].get("abstaining")
        return None if held is None else Threshold.of(held)

    def nothing(self, experiment: str, distances: Sequence[float]) -> str | None:
        """Why a picture with such answers, best first, is not answered; None where it may be."""
        threshold = self.threshold(experiment)
        return None if threshold is None else threshold.refuses((*distances, inf)[0])

    @cached_property
    def records(self) -> dict[str, Record]:
        """Experiment -> the record of its row in the comparison."""
        path = self.results.path
        return {
            name: read_record(path(f"evaluation/{name}/experiment.record.json"))
            for name in self.experiments
        }

    @cached_property
    def comparison(self) -> Record:
        """The record of the comparison: what decided, and at which confidence."""
        return read_record(self.results.path("comparison/comparison.record.json"))

    @cached_property
    def config(self) -> Mapping[str, Any] | None:
        """The configuration that the results were made by; None where it was not kept."""
        for record in reversed(self.records.values()):
            for artifact in record.artifacts:
                kept = Path(artifact.path)
                path = self.folder / "origin" / kept.parent.name / kept.name
                if kept.name == "config.yaml" and path.is_file():
                    found: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
                    return found
        return None

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the experiments, by name; none where the configuration was not kept."""
        return self.config["experiments"] if self.config else {}

    def experiment(self, name: str) -> Experiment | None:
        """An experiment by the settings that made it; None where these were not kept."""
        settings = self.settings.get(self.require(name))
        return None if settings is None else Experiment(name, settings)

    @property
    def queries(self) -> Mapping[str, Picture]:
        """The queries by id, in manifest order."""
        return self.once("queries", lambda: self._pictures("query"))

    @property
    def gallery(self) -> Mapping[str, Picture]:
        """The pictures of the gallery by id, in manifest order."""
        return self.once("gallery", lambda: self._pictures("gallery"))

    def _pictures(self, part: str) -> Mapping[str, Picture]:
        results = Results(self.folder, query_part(self.config or {}))
        return Manifest.read(results.path(results.searched[part])).by_id()

    @property
    def domains(self) -> Mapping[str, str]:
        """The domain of each query by its id; nothing where none were evaluated."""
        from gallerist.data.domains import read_domains

        known = "domains" in next(iter(self.metrics.values()), {})
        return self.once(
            "domains", lambda: read_domains(self.results.path("domains.csv") if known else None)
        )

    @property
    def known(self) -> "KnownPictures":
        """The pictures of gallery and queries, as a search needs them."""
        from gallerist.serving.pictures import KnownPictures

        return KnownPictures(self.gallery, self.queries, self.relevance if self.stated else None)

    @property
    def learned(self) -> Mapping[str, Picture]:
        """The pictures that were trained and validated on, by id."""

        def read() -> dict[str, Picture]:
            files = (self.there(f"manifests/{part}.csv") for part in LEARNED)
            found = [Manifest.read(file) for file in files if file is not None]
            return {picture.id: picture for each in found for picture in each}

        return self.once("learned", read)

    def picture(self, identifier: str) -> Picture:
        """A picture of any part by its id. Raises NotThere."""
        found = self.queries.get(identifier) or self.gallery.get(identifier)
        found = found or self.learned.get(identifier)
        if found is None:
            raise NotThere(f"{self.name} has no picture {identifier}")
        return found

    def query(self, identifier: str) -> Picture:
        """A query by its id. Raises NotThere."""
        found = self.queries.get(identifier)
        if found is None:
            raise NotThere(f"{self.name} has no query {identifier}")
        return found

    @property
    def stated(self) -> bool:
        """Whether it was stated what is right; else classes say it."""
        return "truth" in next(iter(self.metrics.values()), {})

    @property
    def relevance(self) -> "Relevance":
        """Which gallery pictures are relevant to each query."""
        # Here, because what states and divides loads settings, which the first page does without.
        from gallerist.data.groups import answer_groups
        from gallerist.evaluation.stated_truth import relevance_of
        from gallerist.settings.evaluation import asking_of

        def read() -> "Relevance":
            queries, gallery = (
                {name: picture.label for name, picture in part.items()}
                for part in (self.queries, self.gallery)
            )
            truth = self.results.path("truth.csv") if self.stated else None
            asked = (self.config or {}).get("evaluation", {})
            asking = asking_of(asked.get("protocol", ""), asked.get("folds", {}))
            pictures = Manifest(self.gallery.values()) if asking else Manifest()
            groups = answer_groups(pictures, asking)
            return relevance_of(queries, gallery, truth).admitting(groups)

        return self.once("relevance", read)

    def ranking(self, experiment: str) -> RankingFile:
        """The ranking that an experiment was evaluated by."""

        def read() -> RankingFile:
            made = self.experiment(experiment)
            name = made.ranking if made else f"rankings/{experiment}"
            places = {query: place for place, query in enumerate(self.queries)}
            return RankingFile(self.results.path(f"{name}.csv"), places)

        return self.once(f"ranking {experiment}", read)


@dataclass
class DataSets:
    """All finished data sets below a folder of results, as they are now."""

    root: Path

    def __post_init__(self) -> None:
        """Nothing is read yet."""
        self._lock = RLock()
        self._open: dict[str, DataSet] = {}

    def names(self) -> list[str]:
        """Those that were compared, by name."""
        return compared_in(self.root)

    def get(self, name: str) -> DataSet:
        """One by its name, read anew where a run has changed it. Raises NotThere."""
        if name not in self.names():
            raise NotThere(f"there are no compared experiments of a data set {name}")
        folder = self.root / name
        with self._lock:
            held = self._open.get(name)
            if held is None or held.stamp != _stamp(folder):
                held = self._open[name] = DataSet(folder)
            return held


def _stamp(folder: Path) -> tuple[int, ...]:
    """Differs when the comparison, an evaluation or a manifest was written anew."""
    files = [folder / TABLE, *(folder / f"manifests/{part}.csv" for part in SEARCHED)]
    files += sorted(folder.glob("evaluation/*/queries.csv"))
    return tuple(_time(path) for path in files)


def _time(path: PathLike) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - plain and quick
    except OSError:
        return 0


def read_ahead(data: DataSet) -> None:
    """Read what the next pages need, while a person looks at the first."""
    try:
        _ = data.gallery, data.relevance, data.ranking(data.experiments[0])
    except (OSError, ValueError) as error:  # whoever asks for it is told
        logger.debug("%s could not be read ahead: %s", data.name, error)
