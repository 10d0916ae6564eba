"""The configuration: checked as a whole before any job runs, and completed with every default.

Lists of values to try become experiments of their own before anything else looks at them (sweeps).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from gallerist.config.checks import CHECKS
from gallerist.config.messages import TEXT_CHECKS, format_path, format_problems
from gallerist.config.schema import KeyPath, Model, group_of, kinds, validate_key
from gallerist.config.sweeps import Expansion, expand
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, canonical_json
from gallerist.networks.backbones import BACKBONES
from gallerist.settings.base import Settings
from gallerist.settings.configuration import Configuration, kind_of
from gallerist.settings.networks import Transfer

Config = dict[str, Any]

_NAMED = 3
"""A sweep's experiments are often remarked on together: so many are named."""


class ConfigurationError(UserError):
    """The configuration cannot be run. `problems` has one line for each thing to mend."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


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
        whole = model.model_validate(expansion.config, context=TEXT_CHECKS)
    except ValidationError as error:
        _add(problems, format_problems(error, model).items(), expansion)
        whole = _usable(model, expansion.config)
    unusable = list(problems)
    for parts, find in CHECKS:
        if not any(_overlap(part, broken) for part in parts for broken in unusable):
            _add(problems, find(whole), expansion)
    if problems:
        raise ConfigurationError(
            tuple(f"{format_path(path)}: {problem}" for path, problem in problems.items())
        )
    experiments = dict(whole.experiments)
    for name, settings in experiments.items():
        if isinstance(settings, Transfer) and settings.image_size is None:
            size = BACKBONES[settings.backbone].image_size
            experiments[name] = settings.model_copy(update={"image_size": size})
    return whole.model_copy(update={"experiments": experiments})


def complete(config: Mapping[str, Any], model: type[Configuration] = Configuration) -> Config:
    """The same as plain dicts, lists and scalars, for Snakemake. It is its own completion."""
    return check(config, model).model_dump()


def _usable(model: Model, given: Any) -> Any:
    """What is right of broken settings. The rest has its default, or is absent."""
    right: dict[str, Any] = {}
    given = given if isinstance(given, Mapping) else {}
    for name, field in model.model_fields.items():
        if name == "experiments" and issubclass(model, Configuration):
            right[name] = _usable_experiments(model, given.get(name))
        elif name in given:
            try:
                right[name] = validate_key(model, name, given[name], TEXT_CHECKS)
            except ValidationError:
                if (group := group_of(field)) and isinstance(given[name], Mapping):
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

    Raises ConfigurationError, also when a file is missing or is not YAML.
    """
    merged: Config = {}
    for path in paths:
        try:
            config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigurationError((f"there is no file {path}",)) from None
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise ConfigurationError((f"{path} is not YAML: {reason}",)) from None
        _lay_over(merged, config if isinstance(config, Mapping) else {})
    return complete(merged)


def _lay_over(lower: Config, upper: Mapping[str, Any]) -> None:
    for key, value in upper.items():
        if isinstance(value, Mapping) and isinstance(lower.get(key), dict):
            _lay_over(lower[key], value)
        else:
            lower[key] = deepcopy(value)


def find_warnings(config: Mapping[str, Any]) -> list[str]:
    """Lines about what a complete configuration may say but probably does not mean."""
    lines = []
    experiments = config["experiments"]
    for warning, names in _experiments_by_warning(config).items():
        lines.append(f"{_some(names)}: {warning}")
    for one, other in _equal_pairs(
        {name: canonical_json(experiments[name]) for name in experiments}
    ):
        lines.append(f"experiments.{one} and experiments.{other} have the same settings")
    for one, other in _equal_pairs({name: name.lower() for name in experiments}):
        lines.append(
            f"experiments.{one} and experiments.{other} would share their files on a disk "
            "that ignores capitals"
        )
    return lines


def _experiments_by_warning(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Each warning about settings, with the experiments that it is about."""
    found: dict[str, list[str]] = {}
    shrunk = config["augmentation"]["max_side"]
    for name, settings in config["experiments"].items():
        frozen, size = settings.get("freeze_until"), settings.get("image_size") or 0
        warnings = {
            "the backbone is random and none of it is trained": (
                settings.get("weights") == "random" and frozen == "everything"
            ),
            "nothing is frozen, so trunk_cache keeps nothing": (
                settings.get("trunk_cache") == "float16" and frozen == "nothing"
            ),
            f"augmentation.max_side shrinks the copies to {shrunk} pixels, and image_size enlarges "
            f"them again to {size}": settings.get("augmented") and shrunk < size,
        }
        for warning, holds in warnings.items():
            if holds:
                found.setdefault(warning, []).append(f"experiments.{name}")
    return found


def _some(names: Sequence[str]) -> str:
    """The first of many names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _equal_pairs(values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Names whose values are equal, each with the first of them."""
    first: dict[str, str] = {}
    for name, value in values.items():
        if value in first:
            yield first[value], name
        first.setdefault(value, name)


def _add(
    problems: dict[KeyPath, str], found: Iterable[tuple[KeyPath, str]], expansion: Expansion
) -> None:
    """Add what is found to the problems, one a key as it was written."""
    for path, problem in found:
        problems.setdefault(expansion.written(path), problem)


def _overlap(one: KeyPath, other: KeyPath) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
