"""Where the workflow leaves its results: for its rules, the commands and served models alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike
from gallerist.records.made import verify_inputs


def vector_files(stem: str) -> list[str]:
    """Vectors of one part, the ids of their pictures, and what they were made by."""
    return [f"{stem}.{suffix}" for suffix in ("npy", "ids.csv", "origin.json")]


def feature_files(experiment: str, part: str, *, reduced: bool = False) -> list[str]:
    """The features of a part, below the results; reduced: as a reduction left them."""
    return vector_files(f"{'reduced' if reduced else 'features'}/{experiment}/{part}")


def extraction_record(experiment: str, *, reduced: bool = False) -> str:
    """The record of the job that made the vectors of all parts; reduced: that reduced them.

    Below the results, without `.record.json`.
    """
    return f"reduced/{experiment}/reduction" if reduced else f"features/{experiment}/extraction"


def fusion_weights(experiment: str) -> str:
    """How much each member of a fusion of vectors counts."""
    return f"features/{experiment}/weights.json"


def query_part(config: Mapping[str, Any]) -> str:
    """The part whose pictures are the queries, by a completed configuration.

    It is the gallery where its pictures search each other.
    """
    protocol = config.get("evaluation", {}).get("protocol", "gallery_and_query")
    return "query" if protocol == "gallery_and_query" else "gallery"


@dataclass(frozen=True)
class Results:
    """The results of one data set: every path below `results/`.

    queries: the part whose pictures are the queries.
    """

    folder: Path
    queries: str = "query"

    @classmethod
    def of(cls, config: Mapping[str, Any], root: PathLike = "results") -> "Results":
        """The results of a completed configuration."""
        return cls(Path(root) / config["dataset"]["name"], query_part(config))

    @property
    def searched(self) -> dict[str, str]:
        """The gallery and the queries -> the manifest of their pictures, below the results."""
        return {
            part: f"manifests/{held}.csv"
            for part, held in (("gallery", "gallery"), ("query", self.queries))
        }

    def file(self, name: str) -> str:
        """A file or folder of the results, there or not; `name` may hold wildcards."""
        return f"{self.folder.as_posix()}/{name}"

    def path(self, name: str) -> Path:
        """A file or folder of the results, and a file is what its job made.

        Raises UserError when it is not there, RecordError when it is another file.
        """
        path = self.folder / name
        if not path.exists():
            raise UserError(f"{path} is not there yet. Run the workflow first: make run")
        if path.is_file():
            verify_inputs([path])
        return path

    def features(
        self, experiment: str, part: str, *, reduced: bool = False
    ) -> tuple[Path, Path, Path]:
        """Vectors, ids and origin of a part's features; reduced: as a reduction left them."""
        vectors, ids, origin = map(self.path, feature_files(experiment, part, reduced=reduced))
        return vectors, ids, origin
