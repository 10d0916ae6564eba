"""Where the workflow leaves its results: what the command line needs to find them again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gallerist.io.files import PathLike


class ResultMissing(ValueError):
    """A result that the workflow has not produced yet."""


def ranking_name(experiment: str, settings: Mapping[str, Any]) -> str:
    """The ranking an experiment is judged by: the last of search, k-reciprocal, verification.

    settings: the experiment's, of a complete configuration. Without the suffix `.csv`.
    """
    if settings.get("geometric_verification"):
        return f"rankings/{experiment}.verified"
    if settings.get("k_reciprocal"):
        return f"rankings/{experiment}.reciprocal"
    return f"rankings/{experiment}"


@dataclass(frozen=True)
class Results:
    """The results of one data set: paths, checked to exist."""

    folder: Path

    @classmethod
    def of(cls, config: dict[str, Any], root: PathLike = "results") -> "Results":
        """The results of a completed configuration."""
        return cls(Path(root) / config["dataset"]["name"])

    def path(self, name: str) -> Path:
        """A file or folder of the results; raises ResultMissing when it is not there."""
        path = self.folder / name
        if not path.exists():
            raise ResultMissing(f"{path} is not there yet. Run the workflow first: make run")
        return path

    def features(
        self, experiment: str, part: str, *, reduced: bool = False
    ) -> tuple[Path, Path, Path]:
        """Vectors, ids and origin of a part's features; reduced: as a reduction left them."""
        stem = f"{'reduced' if reduced else 'features'}/{experiment}/{part}"
        return (
            self.path(f"{stem}.npy"),
            self.path(f"{stem}.ids.csv"),
            self.path(f"{stem}.origin.json"),
        )
