"""The configuration: checked as a whole before any job runs, and completed with every default.

Lists of values to try become experiments of their own before anything else looks at them (sweeps).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from gallerist.config.checks import CHECKS, SOURCES, backbones_of
from gallerist.config.messages import schema_problems, spelled
from gallerist.config.schema import (
    PACKAGED_SCHEMA,
    KeyPath,
    filled,
    read_schema,
)
from gallerist.config.sweeps import Expansion, expand
from gallerist.io.files import PathLike, canonical_json

Config = dict[str, Any]

_NAMED = 3
"""A sweep's experiments are often remarked on together: so many are named."""


class ConfigurationError(ValueError):
    """The configuration cannot be run. `problems` has one line for each thing to mend."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def complete(config: Mapping[str, Any], schema_path: PathLike | None = None) -> Config:
    """Write its sweeps out, check a configuration, and fill in every default.

    config: as read from YAML; not changed. Paths in it are looked up from the working directory.
    schema_path: the schema; by default the one that comes along.

    Returns a new configuration of plain dicts, lists and scalars. It has exactly one of the
    sources `embedded`, `folder` and `archive`, no list of values to try, and is its own completion.
    Raises ConfigurationError with every problem found, each on one line that begins with the key
    as it was written.
    """
    schema = read_schema(Path(schema_path or PACKAGED_SCHEMA))
    expansion = expand(config, schema)
    whole = filled(expansion.config, schema, schema)
    problems = dict(expansion.problems)
    _add(problems, schema_problems(whole, schema).items(), expansion)
    unusable = list(problems)
    for parts, check in CHECKS:
        if not any(_overlap(part, broken) for part in parts for broken in unusable):
            _add(problems, check(whole, config), expansion)
    if problems:
        raise ConfigurationError(
            tuple(f"{spelled(path)}: {problem}" for path, problem in problems.items())
        )
    dataset = whole["dataset"]
    whole["dataset"] = {
        key: value for key, value in dataset.items() if key not in SOURCES or value is not None
    }
    for _, settings, backbone in backbones_of(whole):
        settings["image_size"] = settings["image_size"] or backbone.image_size
    return dict(whole)


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
            said = " ".join(str(error).split())
            raise ConfigurationError((f"{path} is not YAML: {said}",)) from None
        _lay_over(merged, config if isinstance(config, Mapping) else {})
    return complete(merged)


def _lay_over(lower: Config, upper: Mapping[str, Any]) -> None:
    for key, value in upper.items():
        if isinstance(value, Mapping) and isinstance(lower.get(key), dict):
            _lay_over(lower[key], value)
        else:
            lower[key] = deepcopy(value)


def notices(config: Mapping[str, Any]) -> list[str]:
    """Lines about what a complete configuration may say but probably does not mean."""
    lines = []
    experiments = config["experiments"]
    for said, names in _said_of(config).items():
        lines.append(f"{_some(names)}: {said}")
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


def _said_of(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Each remark about settings, with the experiments that it is about."""
    said: dict[str, list[str]] = {}
    shrunk = config["augmentation"]["max_side"]
    for name, settings in config["experiments"].items():
        frozen, size = settings.get("freeze_until"), settings.get("image_size") or 0
        remarks = {
            "the backbone is random and none of it is trained": (
                settings.get("weights") == "random" and frozen == "everything"
            ),
            "nothing is frozen, so trunk_cache keeps nothing": (
                settings.get("trunk_cache") == "float16" and frozen == "nothing"
            ),
            f"augmentation.max_side shrinks the copies to {shrunk} pixels, and image_size enlarges "
            f"them again to {size}": settings.get("augmented") and shrunk < size,
        }
        for remark, holds in remarks.items():
            if holds:
                said.setdefault(remark, []).append(f"experiments.{name}")
    return said


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
