"""What an experiment is made of: its kind, its steps, and the names that follow from them.

Rules, configuration and serving ask this, so it imports nothing that takes long.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union

from gallerist.io.errors import UserError
from gallerist.io.files import sha256_of_text
from gallerist.records.made import is_noted, verify_output
from gallerist.workflow.results import (
    Results,
    extraction_record,
    feature_files,
    fusion_weights,
)

if TYPE_CHECKING:
    from gallerist.settings.base import Settings

Given = Union["Settings", Mapping[str, Any]]
"""The settings of an experiment: a model, or what one was written out as."""

Experiments = Mapping[str, Any]
"""Those of a configuration, by name, each `Given`."""

Kind = Literal[
    "network", "encoder", "descriptor", "vocabulary", "given", "fused_vectors", "fused_rankings"
]
"""How an experiment's vectors are made: by a network that the workflow trains, by an encoder that
others trained ...; fused rankings have none."""


class NotSearchable(UserError):
    """A picture cannot be searched in the way in which the experiment ranks its gallery."""


@dataclass(frozen=True)
class Step:
    """What is done after an experiment's vectors are extracted, with settings of the same name."""

    name: str
    suffix: str | None = None
    """Of the ranking that it makes; None where it ends before there is a ranking."""
    starts_from_vectors: bool = False
    """Whether it ranks the vectors itself, in place of the search; else it reorders a ranking."""
    ranks_by_distance: bool = True
    """Whether an answer's place depends on nothing but its own distance to the query."""
    single_query: bool = True
    """Whether it can be done for one picture alone, outside the workflow."""
    picture: str | None = None
    """Ending of a picture that explains its ranking."""


STEPS = (
    Step("views"),
    Step("reduction"),
    Step("search"),
    Step(
        "k_reciprocal",
        suffix=".reciprocal",
        starts_from_vectors=True,
        ranks_by_distance=False,
        single_query=False,
    ),
    Step(
        "geometric_verification",
        suffix=".verified",
        ranks_by_distance=False,
        single_query=False,
        picture=".matches.png",
    ),
)
"""In the order in which they are done. A new re-ranking is one more row, and its rule."""

MIXING = ("index", "database_augmentation", "query_expansion")
"""Settings of a search by which an answer's place depends on more than its own distance."""

TRUNK_KEYS = (
    *("backbone", "weights", "image_size", "look", "resizing", "crop_ratio"),
    *("freeze_until", "trunk_cache"),
)
"""Settings that decide what the frozen layers of a network put out."""


ENCODERS = ("onnx", "keras")
"""Networks that others trained."""

NETWORK_FILES = ("model.keras", "model.xml", "model.bin", "model.json")
"""What a training leaves of a network: for Keras, and in three files for OpenVINO."""


@dataclass(frozen=True)
class Experiment:
    """One experiment of a configuration, by its name."""

    name: str
    settings: Given
    """A model; or as they were written out, for what asks of kind, steps and rankings alone."""

    @classmethod
    def of(cls, name: str, settings: Given) -> "Experiment":
        """The same from settings that may have been written out."""
        from gallerist.settings.configuration import read_experiment  # it loads all models

        return cls(name, read_experiment(settings))

    def get(self, key: str) -> Any:
        """One of its settings; None where its kind has no such key."""
        if isinstance(self.settings, Mapping):
            return self.settings.get(key)
        return getattr(self.settings, key, None)

    @cached_property
    def plain(self) -> dict[str, Any]:
        """Its settings in plain values, which every job's parameters are taken from."""
        return (
            {**self.settings} if isinstance(self.settings, Mapping) else self.settings.model_dump()
        )

    @property
    def kind(self) -> Kind:
        """How its vectors are made."""
        if self.get("network"):
            return "encoder" if self.get("network") in ENCODERS else "network"
        if self.get("descriptor") == "given":
            return "given"
        if self.get("descriptor"):
            return "vocabulary" if self.get("encoding") else "descriptor"
        return "fused_rankings" if self.get("fusion") == "ranks" else "fused_vectors"

    @property
    def is_seen_in_maps(self) -> bool:
        """Whether its vectors are sums over the positions of a network's last feature map."""
        if self.kind != "network":
            return False
        loss = self.get("loss")
        return loss is None or not loss.projects or self.get("pooling") == "avg"

    @property
    def members(self) -> list[str]:
        """The experiments that it is combined from."""
        return self.get("of") or []

    @property
    def extraction(self) -> dict[str, Any]:
        """The settings that decide its vectors; not those of the steps after them."""
        later = {step.name for step in STEPS}
        return {key: value for key, value in self.plain.items() if key not in later}

    @property
    def steps(self) -> list[Step]:
        """The steps that it takes, in order."""
        return [step for step in STEPS if self.get(step.name)]

    def rankings(self, before: str | None = None) -> list[str]:
        """The rankings that lead to its last one, which it is evaluated by.

        before: a step; its own ranking and later ones are left out.
        Names below the results, without the suffix `.csv`.
        """
        names = [f"rankings/{self.name}"]
        for step in self.steps:
            if step.name == before:
                break
            if step.suffix is not None:
                made = f"rankings/{self.name}{step.suffix}"
                names = [made] if step.starts_from_vectors else [*names, made]
        return names

    @property
    def ranking(self) -> str:
        """The ranking that it is evaluated by, without the suffix `.csv`."""
        return self.rankings()[-1]

    @property
    def ranked_by_distance(self) -> bool:
        """Whether an answer's place depends on nothing but its own distance to the query."""
        search = self.get("search")
        return (
            search is not None
            and all(step.ranks_by_distance for step in self.steps)
            and not any(getattr(search, key) for key in MIXING)
        )

    @property
    def weights_file(self) -> str | None:
        """The weights file that the user names, if any."""
        weights = self.get("weights")
        return None if weights in ("auto", "imagenet", "random") else weights

    @property
    def pretrained(self) -> str | None:
        """One name for equal backbones with equal weights, which are fetched once; else None."""
        if self.get("network") != "transfer":
            return None
        weights = self.get("weights")
        if self.weights_file is not None:
            weights = f"file-{sha256_of_text(weights)[:8]}"
        return f"{self.get('backbone')}-{weights}"

    @property
    def network_record(self) -> str | None:
        """The record of what made its network; None without one."""
        records = {"network": f"models/{self.name}/training"}
        records["encoder"] = f"encoders/{self.name}/encoder"
        return records.get(self.kind)

    @property
    def network_files(self) -> list[str]:
        """Its network: first the file that it is opened by, last its description."""
        if not self.network_record:
            return []
        files = NETWORK_FILES[1:] if self.get("network") == "onnx" else NETWORK_FILES
        return [f"{Path(self.network_record).parent}/{file}" for file in files]

    @property
    def learned(self) -> dict[str, list[str]]:
        """What its features are extracted with: the name of its record -> files."""
        name, found = self.name, dict[str, list[str]]()
        if self.network_record:
            beside = f"{Path(self.network_record).parent}/preprocessing.json"
            found[self.network_record] = [*self.network_files, beside]
        if self.kind == "vocabulary":
            found[f"vocabularies/{name}"] = [f"vocabularies/{name}.npz"]
        if self.get("fusion") == "weighted":
            found[extraction_record(name)] = [fusion_weights(name)]
        if self.get("reduction"):
            found[f"reductions/{name}"] = [f"reductions/{name}.npz"]
        return found

    @property
    def trunk_settings(self) -> dict[str, Any]:
        """What decides its frozen layers' output, where that is kept; else nothing."""
        if not self.get("trunk_cache") or self.get("freeze_until") == "nothing":
            return {}
        return {key: self.plain[key] for key in TRUNK_KEYS}

    @property
    def trunk(self) -> str | None:
        """One name for equal trunks, so that experiments share what is kept; None without one."""
        settings = self.trunk_settings
        if not settings:
            return None
        kept = [settings[key] for key in ("image_size", "freeze_until", "trunk_cache")]
        usual = {"look": "colour", "resizing": "squeeze", "crop_ratio": None}
        others = [settings[key] for key, value in usual.items() if settings[key] != value]
        return "-".join(map(str, [self.pretrained, *kept, *others]))

    @property
    def refusal(self) -> str | None:
        """Why one picture alone cannot be ranked as the experiment ranks; None where it can."""
        if self.kind == "fused_rankings":
            return (
                f"{self.name} joins the rankings of other experiments: "
                f"search with one of them ({', '.join(self.members)})"
            )
        if self.kind == "given":
            return f"{self.name} has vectors from a file, and none of a new picture"
        step = next((step.name for step in self.steps if not step.single_query), None)
        if step is None:
            return None
        return f"{self.name} orders its answers again by {step}, which the workflow does"


def refusal(experiment: str, settings: Given) -> str | None:
    """Why one picture alone cannot be ranked as the experiment ranks; None where it can."""
    return Experiment.of(experiment, settings).refusal


def check_searchable(experiment: str, settings: Given) -> None:
    """Raise NotSearchable unless one picture alone can be ranked as the experiment ranks."""
    if reason := refusal(experiment, settings):
        raise NotSearchable(reason)


def with_members(experiment: str, experiments: Experiments) -> dict[str, Any]:
    """The experiments by which features are extracted: the members, if it has any, and itself."""
    members = Experiment.of(experiment, experiments[experiment]).members
    return {name: experiments[name] for name in [*members, experiment]}


def verify_networks(results: Results, experiment: str, experiments: Experiments) -> None:
    """Refuse, before it is opened, a network that is not the one the workflow trained.

    Raises UserError where one is missing, and RecordError naming the file.
    """
    for name, settings in with_members(experiment, experiments).items():
        used = Experiment.of(name, settings)
        for file in filter(is_noted, used.network_files):
            record = results.path(f"{used.network_record}.record.json")
            verify_output(results.path(file), record)


def extractor_files(experiment: str, experiments: Experiments) -> list[str]:
    """Files of the results that features are extracted with, and the gallery's features."""
    used = starmap(Experiment.of, with_members(experiment, experiments).items())
    found = [file for each in used for files in each.learned.values() for file in files]
    reduced = bool(Experiment.of(experiment, experiments[experiment]).get("reduction"))
    return [*found, *feature_files(experiment, "gallery", reduced=reduced)]


def require_experiment(name: str, experiments: Experiments) -> None:
    """Raise UserError, with the names that there are, unless an experiment has this one."""
    if name not in experiments:
        raise UserError(f"no experiment is called {name}; there are: {', '.join(experiments)}")
