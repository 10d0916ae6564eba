"""Where the workflow leaves its results: what the command line needs to find them again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gallerist.files import PathLike


class ResultMissing(ValueError):
    """A result that the workflow has not produced yet."""


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

    def features(self, experiment: str, part: str) -> tuple[Path, Path, Path]:
        """Vectors, ids and origin of a part's features."""
        stem = f"features/{experiment}/{part}"
        return (
            self.path(f"{stem}.npy"),
            self.path(f"{stem}.ids.csv"),
            self.path(f"{stem}.origin.json"),
        )
