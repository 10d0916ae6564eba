"""Which experiments can rank a single picture, and what of the results they need for it.

Rules and the configuration ask this, so it imports nothing that takes long.
"""

from collections.abc import Mapping
from typing import Any

from gallerist.records.record import verify_output
from gallerist.workflow.results import Results

Settings = Mapping[str, Any]
"""An experiment of a complete configuration."""

Experiments = Mapping[str, Settings]
"""Those of a complete configuration, by name."""


class NotSearchable(ValueError):
    """A picture cannot be searched in the way in which the experiment ranks its gallery."""


def refusal(experiment: str, settings: Settings) -> str | None:
    """Why one picture alone cannot be ranked as the experiment ranks; None where it can."""
    if settings.get("fusion") == "ranks":
        members = ", ".join(settings["of"])
        return (
            f"{experiment} joins the rankings of other experiments: "
            f"search with one of them ({members})"
        )
    for step in ("k_reciprocal", "geometric_verification"):
        if settings.get(step):
            return f"{experiment} orders its answers again by {step}, which the workflow does"
    return None


def is_searchable(settings: Settings) -> bool:
    """Whether one picture alone can be ranked as an experiment with these settings ranks."""
    return refusal("", settings) is None


def check_searchable(experiment: str, settings: Settings) -> None:
    """Raise NotSearchable unless one picture alone can be ranked as the experiment ranks."""
    if reason := refusal(experiment, settings):
        raise NotSearchable(reason)


def describing(experiment: str, experiments: Experiments) -> dict[str, Settings]:
    """The experiments with which a picture is described: its members, if it has any, and itself."""
    members = experiments[experiment].get("of", [])
    return {name: experiments[name] for name in dict.fromkeys([*members, experiment])}


def require_own_networks(results: Results, experiment: str, experiments: Experiments) -> None:
    """Refuse, before it is opened, a network that is not the one the workflow trained.

    Raises layout.ResultMissing, and records.RecordError naming the file.
    """
    for name, settings in describing(experiment, experiments).items():
        if "network" in settings:
            model = results.path(f"models/{name}/model.keras")
            verify_output(model, results.path(f"models/{name}/training.record.json"))


def describing_files(experiment: str, experiments: Experiments) -> list[str]:
    """Files of the results that hold what describes a picture, and the gallery's vectors."""
    found = []
    for name, settings in describing(experiment, experiments).items():
        if "network" in settings:
            found += [f"models/{name}/model.keras", f"models/{name}/preprocessing.json"]
        if "encoding" in settings:
            found.append(f"vocabularies/{name}.npz")
        if settings.get("fusion") == "weighted":
            found.append(f"fusions/{name}.json")
        if settings.get("reduction"):
            found.append(f"reductions/{name}.npz")
    folder = "reduced" if experiments[experiment].get("reduction") else "features"
    suffixes = ("npy", "ids.csv", "origin.json")
    return [*found, *(f"{folder}/{experiment}/gallery.{suffix}" for suffix in suffixes)]
