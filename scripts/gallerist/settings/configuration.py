"""The whole configuration, section by section."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, Field, Tag, TypeAdapter

from gallerist.settings.augmentation import Augmentation
from gallerist.settings.base import LONGEST_NAME, Settings, key
from gallerist.settings.challenge import Challenge
from gallerist.settings.cluster import Cluster
from gallerist.settings.compute import Compute
from gallerist.settings.dataset import Dataset
from gallerist.settings.descriptors import Descriptor
from gallerist.settings.encoders import AnyNetwork
from gallerist.settings.evaluation import Evaluation, SearchDepth
from gallerist.settings.fusions import Fusion
from gallerist.settings.registry import Registry
from gallerist.settings.tracking import Tracking

KINDS = ("network", "descriptor", "fusion")
"""Keys of which an experiment has one; its value says which other keys there are."""


def kind_of(experiment: Any) -> str | None:
    """Which of `KINDS` an experiment has; None where it has not exactly one."""
    keys = experiment if isinstance(experiment, Mapping) else dir(experiment)
    given = [kind for kind in KINDS if kind in keys]
    return given[0] if len(given) == 1 else None


Experiment = Annotated[
    Annotated[AnyNetwork, Tag("network")]
    | Annotated[Descriptor, Tag("descriptor")]
    | Annotated[Fusion, Tag("fusion")],
    Discriminator(kind_of),
]

_EXPERIMENT: TypeAdapter[Settings] = TypeAdapter(Experiment, config=ConfigDict(defer_build=True))


def read_experiment(settings: Settings | Mapping[str, Any]) -> Settings:
    """The settings of an experiment of whatever kind; a model comes back as it is.

    Raises pydantic's ValidationError.
    """
    if isinstance(settings, Settings):
        return settings
    return _EXPERIMENT.validate_python(settings)


NAME_IN_WORDS = (
    "a name of letters, digits, hyphens, underscores and dots before a digit that begins with a "
    f"letter or digit, {LONGEST_NAME} characters at most"
)
Name = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(\.[0-9][A-Za-z0-9_-]*)*$", max_length=LONGEST_NAME),
]


class Configuration(Settings):
    """What a configuration may say."""

    dataset: Dataset = key(...)
    augmentation: Augmentation = key(Augmentation)
    experiments: dict[Name, Experiment] = key(
        ..., expects="at least one experiment, each a name with its settings below it", min_length=1
    )
    """What is compared: any number of named networks, descriptors and fusions of others, each with
    its settings. The names are free and appear in file names, tables and figures. A list of values,
    such as `epochs: [10, 50]`, stands for one experiment each; several lists for all combinations.
    Those that differ in nothing but `seed` are one experiment in the comparison."""
    search: SearchDepth = key(SearchDepth)
    evaluation: Evaluation = key(Evaluation)
    challenge: Challenge | None = key(None)
    compute: Compute = key(Compute)
    cluster: Cluster = key(Cluster)
    tracking: Tracking = key(Tracking)
    registry: Registry = key(Registry)
