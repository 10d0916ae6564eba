"""Sweeps: an entry whose keys list several values stands for one experiment a combination.

    resnet152: {network: transfer, epochs: [10, 50], seed: [1, 2]}

is resnet152-epochs10-seed1, resnet152-epochs10-seed2, resnet152-epochs50-seed1 and
resnet152-epochs50-seed2. A name depends on the entry and on its own values alone, so that another
value in a list leaves the experiments that are there, and what they have computed, as they are.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import product
from math import isfinite, prod
from typing import Any

from pydantic import BaseModel, ValidationError

from gallerist.config.schema import (
    KeyPath,
    Model,
    group_of,
    kinds,
    takes_list,
    validate_key,
    yaml_scalar,
)
from gallerist.io.files import sha256_of_text
from gallerist.settings.base import LONGEST_NAME
from gallerist.settings.configuration import Configuration

LARGEST = 1000
"""Experiments that one entry may make."""

_LONGEST_WORD = 40
_KEYS_LEFT_OUT = ("network", "backbone", "name")
"""Of a name: ResNet50 needs no `backbone` before it."""


@dataclass(frozen=True)
class Expansion:
    """A configuration without lists of values to try, and the way back to what was written.

    problems: written path -> what is wrong with a list, in words.
    entries: name of an expanded experiment -> its entry, and for each key that had a list the
    index of the value it took.
    """

    config: Any
    problems: dict[KeyPath, str] = field(default_factory=dict)
    entries: dict[str, tuple[str, Mapping[KeyPath, int]]] = field(default_factory=dict)

    def written(self, path: KeyPath) -> KeyPath:
        """Where in the written configuration a path of the expanded one comes from."""
        if len(path) < 2 or path[0] != "experiments" or path[1] not in self.entries:
            return path
        entry, chosen = self.entries[str(path[1])]
        steps: list[str | int] = ["experiments", entry]
        for end in range(3, len(path) + 1):
            steps.append(path[end - 1])
            if path[2:end] in chosen:
                steps.append(chosen[path[2:end]])
        return tuple(steps)


def expand(config: Any, model: Model = Configuration) -> Expansion:
    """Write every list of values to try out as experiments of their own.

    config: as written; not changed. What is no sweep, or no configuration, stays as it is.
    model: of the configuration. A key takes a list of values unless its own type is a list.

    Experiments stand where their entry stood; the values of the last key, in the model's order of
    keys, change fastest. The result is its own expansion.
    """
    experiments = config.get("experiments") if isinstance(config, Mapping) else None
    if not isinstance(experiments, Mapping):
        return Expansion(config)
    expanded: dict[Any, Any] = {}
    expansion = Expansion({**config, "experiments": expanded})
    swept = {}
    for entry, settings in experiments.items():
        if isinstance(entry, str) and isinstance(settings, Mapping):
            found = _Reader(model, ("experiments", entry), expansion.problems).read(settings)
            if found != [_Alternative(settings)]:
                swept[entry] = found
    taken = experiments.keys() - swept
    for entry, settings in experiments.items():
        if entry not in swept:
            expanded[entry] = settings
            continue
        for alternative in swept[entry]:
            name = _name(entry, alternative.labels)
            if name in taken:
                expansion.problems.setdefault(
                    ("experiments", entry),
                    f"its lists make an experiment {name}, but another one has this name. "
                    "Rename one of the two.",
                )
                continue
            taken.add(name)
            expanded[name] = alternative.value
            expansion.entries[name] = entry, alternative.chosen
    return expansion


_Slot = tuple[Model, str] | None
"""Where a value stands: a key of a model. Without one, nothing is known of the value."""


@dataclass(frozen=True)
class _Alternative:
    """A value with one choice made from each of its lists."""

    value: Any
    labels: tuple[str, ...] = ()
    chosen: Mapping[KeyPath, int] = field(default_factory=dict)


class _Reader:
    """Finds the alternatives of one entry, and what is wrong with its lists."""

    def __init__(self, model: Model, entry: KeyPath, problems: dict[KeyPath, str]) -> None:
        self._kinds, self._entry, self._problems = kinds(model), entry, problems

    def read(self, settings: Mapping[Any, Any]) -> list[_Alternative]:
        """The alternatives of an entry, of whatever kind; one where there are too many."""
        key = next((key for key in self._kinds if key in settings), None)
        if key is None:
            return [_Alternative(settings)]
        found = []
        for kind in self._of_key(settings[key], None, (key,)):
            model = self._kinds[key].get(kind.value) if isinstance(kind.value, str) else None
            found += [
                _Alternative(
                    each.value, (*kind.labels, *each.labels), {**kind.chosen, **each.chosen}
                )
                for each in self._group({**settings, key: kind.value}, model, ())
            ]
        if len(found) > LARGEST:
            self._too_many((), f"{len(found)} experiments")
        return found if len(found) <= LARGEST else found[:1]

    def _group(
        self, value: Mapping[Any, Any], model: Model | None, written: KeyPath
    ) -> list[_Alternative]:
        """The combinations of the alternatives of a group's keys."""
        known = model.model_fields if model else {}
        parts = {}
        for key in [*(key for key in known if key in value), *(k for k in value if k not in known)]:
            if model is None or key not in known:
                parts[key] = [_Alternative(value[key])]
            elif found := self._of_key(value[key], (model, key), (*written, key)):
                parts[key] = found
        listed = {key: len(found) for key, found in parts.items() if len(found) > 1}
        made = f"{prod(listed.values())} experiments"
        if len(listed) > 1:
            made = " x ".join(f"{key} ({count})" for key, count in listed.items()) + f" = {made}"
        elif listed:
            written = (*written, *listed)
        if prod(listed.values()) > LARGEST:
            self._too_many(written, made)
            parts = {key: found[:1] for key, found in parts.items()}
        return [
            _Alternative(
                {key: each.value for key, each in zip(parts, combination, strict=True)},
                tuple(label for each in combination for label in each.labels),
                {key: index for each in combination for key, index in each.chosen.items()},
            )
            for combination in product(*parts.values())
        ]

    def _of_key(self, value: Any, slot: _Slot, written: KeyPath) -> list[_Alternative]:
        if isinstance(value, list) and not (slot and takes_list(slot[0].model_fields[slot[1]])):
            return self._list(value, slot, written)
        if isinstance(value, Mapping):
            return self._group(value, _group_of(slot, value), written)
        return [_Alternative(value)]

    def _list(self, values: list[Any], slot: _Slot, written: KeyPath) -> list[_Alternative]:
        keys = tuple(step for step in written if isinstance(step, str))
        found: dict[str, _Alternative] = {}
        for index, value in enumerate(values):
            place = (*written, index)
            is_group = isinstance(value, Mapping)
            made = (
                self._group(value, _group_of(slot, value), place)
                if is_group
                else [_Alternative(value)]
            )
            for each in made:
                identity = repr(_read(slot, each.value))
                if identity in found:
                    first = found[identity].chosen[keys]
                    equal = "has the same settings" if is_group else "is the same"
                    self._problem(place, f"{equal} as the list's value [{first}]. Remove one.")
                else:
                    found[identity] = replace(each, chosen={**each.chosen, keys: index})
        if not values:
            self._problem(written, "an empty list. Give it a value, or leave the key out.")
        words = [_label(keys, each.value, slot) for each in found.values()]
        times = Counter(word.lower() for word in words)
        return [  # words that differ at most in capitals with a hash of what they stand for
            replace(each, labels=(word if times[word.lower()] == 1 else f"{word}_{_hash(text)}",))
            for word, (text, each) in zip(words, found.items(), strict=True)
        ]

    def _too_many(self, written: KeyPath, made: str) -> None:
        limit = f"one entry may make {LARGEST} at most"
        self._problem(written, f"{made}, but {limit}. Shorten its lists.")

    def _problem(self, written: KeyPath, problem: str) -> None:
        self._problems.setdefault((*self._entry, *written), problem)


def _group_of(slot: _Slot, value: Any) -> Model | None:
    return group_of(slot[0].model_fields[slot[1]], value) if slot else None


def _read(slot: _Slot, value: Any) -> Any:
    """The value with its type and every default; as it is where it is wrong."""
    try:
        read = validate_key(*slot, value) if slot else value
    except ValidationError:
        return value
    return read.model_dump() if isinstance(read, BaseModel) else read


def _name(entry: str, labels: Sequence[str]) -> str:
    """Join an entry's name and the labels. They begin with letters, so no two joins are equal."""
    name = "-".join([entry, *labels])
    if len(name) <= LONGEST_NAME:
        return name
    digest = sha256_of_text(name)[:8]
    return f"{name[: LONGEST_NAME - 9].rstrip('-_.')}-{digest}"


def _label(keys: KeyPath, value: Any, slot: _Slot) -> str:
    """Key and value as a part of a name: epochs10, head_standard, early_stopping_patience3."""
    key = re.sub(r"[^A-Za-z0-9]+", "_", "_".join(map(str, keys))) or "_"
    word = _word(value, slot)
    if keys[-1] in _KEYS_LEFT_OUT and isinstance(value, str) and word[0].isalpha():
        return word
    joint = "" if key[-1].isalpha() and word[0].isdigit() else "_"
    return f"{key}{joint}{word}"


def _word(value: Any, slot: _Slot) -> str:
    """A value in letters, digits, underscores, and the dots and hyphens of numbers (0.5, 1e-5)."""
    if isinstance(value, Mapping):
        group = _group_of(slot, value)
        known = group.model_fields if group else {}
        parts = [
            _label((str(key),), each, (group, key) if group and key in known else None)
            for key, each in value.items()
        ]
        return _short("_".join(parts) or "defaults")
    read = _read(slot, value)
    by_name = isinstance(value, str) and (read is None or isinstance(read, Mapping))
    value = value if by_name else read
    if value is None or isinstance(value, bool):
        return yaml_scalar(value)
    if isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        return _number(value)
    # The last part of a path is what its writer tells files apart by.
    text = re.split(r"[/\\]", str(value).rstrip("/\\"))[-1]
    stem = re.sub(r"(\.weights)?\.(h5|keras)$", "", text)
    return _short(re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_") or _hash(text))


def _short(word: str) -> str:
    if len(word) <= _LONGEST_WORD:
        return word
    return f"{word[:_LONGEST_WORD].rstrip('-_.')}_{_hash(word)}"


def _hash(text: str) -> str:
    return sha256_of_text(text)[:6]


def _number(value: int | float) -> str:
    """The shorter of 0.0025 and 2.5e-3, in digits where both are as long: 0.05, 1e-5, 400."""
    exact = Decimal(repr(value)).normalize()
    plain, scientific = f"{abs(exact):f}", f"{abs(exact):e}".replace("e+", "e")
    many = abs(exact) >= 10**7 or "." in plain
    return "minus" * (exact < 0) + (min(plain, scientific, key=len) if many else plain)
