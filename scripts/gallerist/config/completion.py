"""The configuration: checked as a whole before any job runs, and completed with every default.

Lists of values to try become experiments of their own before anything else looks at them (sweeps).
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from gallerist.config.checks import CHECKS
from gallerist.config.messages import format_path, format_problems
from gallerist.config.reading import ConfigurationError as ConfigurationError
from gallerist.config.reading import load
from gallerist.config.schema import KeyPath, Model, group_of, kinds, validate_key
from gallerist.config.sweeps import expand
from gallerist.io.files import PathLike
from gallerist.networks.backbones import BACKBONES
from gallerist.settings.base import Settings
from gallerist.settings.configuration import Configuration, kind_of

Config = dict[str, Any]

ON_DISK = {"look": True}
"""Context by which models look for the files and folders that texts name."""


def check(config: Mapping[str, Any], model: type[Configuration] = Configuration) -> Configuration:
    """Write its sweeps out, check a configuration, and fill in every default.

    config: as read from YAML; not changed. Paths in it are looked up from the working directory.
    model: of the configuration.

    The result has exactly one of the sources `embedded`, `folder` and `archive`, and no list of
    values to try. Raises ConfigurationError with every problem found, each on one line that begins
    with the key as it was written.
    """
    expansion = expand(config, model)
    problems = dict(expansion.problems)
    try:
        whole = model.model_validate(expansion.config, context=ON_DISK)
    except ValidationError as error:
        for path, problem in format_problems(error, model).items():
            problems.setdefault(expansion.written(path), problem)
        whole = _usable(model, expansion.config)
    whole = whole.model_copy(
        update={"experiments": {name: _sized(each) for name, each in whole.experiments.items()}}
    )
    broken = list(problems)
    for parts, find in CHECKS:
        if not any(_overlap(part, each) for part in parts for each in broken):
            for path, problem in find(whole):
                problems.setdefault(expansion.written(path), problem)
    if problems:
        lines = (f"{format_path(path)}: {problem}" for path, problem in problems.items())
        raise ConfigurationError(tuple(lines))
    return whole


def _sized(settings: Any) -> Any:
    """A backbone with the size of pictures that it was made for, unless another is given."""
    backbone = BACKBONES.get(getattr(settings, "backbone", ""))  # where it is right
    if backbone is None or settings.image_size is not None:
        return settings
    return settings.model_copy(update={"image_size": backbone.image_size})


def complete(config: Mapping[str, Any], model: type[Configuration] = Configuration) -> Config:
    """The same as plain dicts, lists and scalars, for Snakemake. It is its own completion."""
    return check(config, model).model_dump()


def _usable(model: Model, given: Any) -> Any:
    """What is right of broken settings. The rest has its default, or is absent."""
    right: dict[str, Any] = {}
    given = given if isinstance(given, Mapping) else {}
    for name, field in model.model_fields.items():
        if issubclass(model, Configuration) and name == "experiments":
            right[name] = _usable_experiments(model, given.get(name))
        elif name in given:
            try:
                right[name] = validate_key(model, name, given[name], ON_DISK)
            except ValidationError:
                if (group := group_of(field, given[name])) and isinstance(given[name], Mapping):
                    right[name] = _usable(group, given[name])
    return model.model_construct(**right)


def _usable_experiments(model: Model, given: Any) -> dict[str, Settings]:
    usable = {}
    for name, settings in given.items() if isinstance(given, Mapping) else ():
        key = kind_of(settings) if isinstance(settings, Mapping) else None
        if key and isinstance(settings[key], str) and settings[key] in kinds(model)[key]:
            usable[name] = _usable(kinds(model)[key][settings[key]], settings)
    return usable


def read(*paths: PathLike) -> Config:
    """Read YAML files, later ones laid over earlier ones as Snakemake does, and complete them.

    Raises ConfigurationError, and for a file that cannot be read Unreadable: see `reading.load`.
    """
    merged: Config = {}
    for path in paths:
        _lay_over(merged, load(path))
    return complete(merged)


def _lay_over(lower: Config, upper: Mapping[str, Any]) -> None:
    for key, value in upper.items():
        if isinstance(value, Mapping) and isinstance(lower.get(key), dict):
            _lay_over(lower[key], value)
        else:
            lower[key] = deepcopy(value)


def _overlap(one: KeyPath, other: KeyPath) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
