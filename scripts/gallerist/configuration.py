"""The configuration: checked as a whole before any job runs, and completed with every default.

Lists of values to try become experiments of their own before anything else looks at them (sweeps).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from gallerist.backbones import BACKBONES, Backbone
from gallerist.configuration_problems import schema_problems, spelled
from gallerist.configuration_schema import (
    PACKAGED_SCHEMA,
    KeyPath,
    filled,
    read_schema,
    yaml_scalar,
)
from gallerist.files import PathLike, canonical_json
from gallerist.sweeps import Expansion, expand

Config = dict[str, Any]

SOURCES = ("embedded", "folder", "archive")
SHARES = ("validation", "training", "gallery", "query")
TREE = ("training", "validation/gallery", "validation/query")
EMBEDDED_PER_CLASS = 580
"""Pictures of the scarcest class that differ enough from all others (silhouettes.draw_tree)."""

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
    for parts, check in _CHECKS:
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
    for _, settings, backbone in _backbones(whole):
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


Problems = Iterator[tuple[KeyPath, str]]


def _add(
    problems: dict[KeyPath, str], found: Iterable[tuple[KeyPath, str]], expansion: Expansion
) -> None:
    """Add what is found to the problems, one a key as it was written."""
    for path, problem in found:
        problems.setdefault(expansion.written(path), problem)


def _overlap(one: KeyPath, other: KeyPath) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _check_source(whole: Config, _: Mapping[str, Any]) -> Problems:
    dataset = whole["dataset"]
    given = [source for source in SOURCES if dataset.get(source) is not None]
    if not given:
        yield (
            ("dataset",),
            "no source of pictures. Give one of embedded ({} for its defaults), folder, archive.",
        )
    elif len(given) > 1:
        yield (
            ("dataset",),
            f"{' and '.join(given)} are both sources of pictures. Keep one; null takes one away.",
        )
    if given == ["embedded"] and dataset["layout"] != "tree":
        yield ("dataset", "layout"), "the embedded pictures come as a tree: leave layout out."


def _check_embedded(whole: Config, _: Mapping[str, Any]) -> Problems:
    embedded = whole["dataset"].get("embedded")
    if embedded is None:
        return
    counts = [embedded[f"{part}_per_class"] for part in ("training", "gallery", "query")]
    if sum(counts) > EMBEDDED_PER_CLASS:
        yield (
            ("dataset", "embedded"),
            f"{' + '.join(map(str, counts))} = {sum(counts)} pictures a class (training, gallery, "
            f"query), but only {EMBEDDED_PER_CLASS} differ enough from each other.",
        )


def _check_folder(whole: Config, _: Mapping[str, Any]) -> Problems:
    folder, layout = whole["dataset"].get("folder"), whole["dataset"]["layout"]
    if folder is None:
        return
    path = ("dataset", "folder")
    if layout == "tree":
        missing = [each for each in TREE if not (Path(folder) / each).is_dir()]
        if missing:
            yield (
                path,
                f"{folder!r} lacks {', '.join(f'{each}/' for each in missing)}, which layout: tree "
                "needs. If it holds one folder a class, write layout: classes.",
            )
    elif not _has_folders(Path(folder)):
        yield path, f"{folder!r} holds no folders, but layout: classes needs one folder a class."


def _has_folders(folder: Path) -> bool:
    try:
        return any(each.is_dir() and not each.name.startswith(".") for each in folder.iterdir())
    except OSError:
        return False


def _check_split(whole: Config, config: Mapping[str, Any]) -> Problems:
    path = ("dataset", "split")
    split = whole["dataset"]["split"]
    if whole["dataset"]["layout"] == "tree":
        for share in SHARES[1:]:
            if share in split:
                yield (
                    (*path, share),
                    "layout: tree has its own folder for this part: remove the key. "
                    "Only validation is split, from training.",
                )
        return
    given = config["dataset"].get("split", {})
    missing = [share for share in SHARES if share not in given]
    if missing:
        yield path, f"layout: classes needs a share for {', '.join(missing)} too."
        return
    shares = [split[share] for share in SHARES]
    if not math.isclose(sum(shares), 1, abs_tol=1e-9):
        sum_ = " + ".join(map(yaml_scalar, shares))
        yield path, f"{', '.join(SHARES)} must add up to 1, but {sum_} = {sum(shares):.6g}."


def _check_depth(whole: Config, _: Mapping[str, Any]) -> Problems:
    depth, evaluation = whole["search"]["depth"], whole["evaluation"]
    for key, wanted in (
        ("k", max(evaluation["k"])),
        ("answers_drawn", evaluation["answers_drawn"]),
    ):
        if wanted > depth:
            yield (
                ("evaluation", key),
                f"{wanted} is more than the {depth} answers kept for a query. "
                f"Raise search.depth to {wanted}, or ask for fewer.",
            )


def _check_image_sizes(whole: Config, _: Mapping[str, Any]) -> Problems:
    for name, settings, backbone in _backbones(whole):
        size, least = settings.get("image_size"), backbone.min_image_size
        if isinstance(size, int) and size < least:
            yield (
                ("experiments", name, "image_size"),
                f"{size} pixels a side are too few for {backbone.name}, which needs {least}. "
                f"It was made for {backbone.image_size}.",
            )


def _backbones(whole: Config) -> Iterator[tuple[str, dict[str, Any], Backbone]]:
    """Each experiment that names a backbone: its name, settings and backbone."""
    experiments = whole.get("experiments") if isinstance(whole, dict) else None
    for name, settings in experiments.items() if isinstance(experiments, dict) else ():
        named = settings.get("backbone") if isinstance(settings, dict) else None
        if isinstance(named, str) and named in BACKBONES:
            yield name, settings, BACKBONES[named]


_DATASET, _SPLIT = ("dataset",), ("dataset", "split")
_SOURCES = [("dataset", source) for source in SOURCES]
_LAYOUT = ("dataset", "layout")
_CHECKS: list[tuple[list[KeyPath], Callable[[Config, Mapping[str, Any]], Problems]]] = [
    ([*_SOURCES, _LAYOUT], _check_source),
    ([("dataset", "embedded")], _check_embedded),
    ([("dataset", "folder"), _LAYOUT], _check_folder),
    ([_SPLIT, _LAYOUT], _check_split),
    ([("search",), ("evaluation", "k"), ("evaluation", "answers_drawn")], _check_depth),
    ([], _check_image_sizes),  # of the experiments that are right so far
]
