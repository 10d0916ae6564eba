"""Experiments that differ in their seed only, which are one line of the comparison."""

import re
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from gallerist.io.files import canonical_json
from gallerist.settings.base import Settings


def groups(experiments: Mapping[str, Settings]) -> dict[str, list[str]]:
    """Experiments with the same settings in all but `seed`: name of the group -> theirs.

    experiments: of a checked configuration, swept or written by hand. Every experiment is in one
    group, alone where no other has its settings; of those with the same seed too, only the first.
    A group is called what its members' names share; its members stand in the order given.
    """
    members: dict[str, dict[Any, str]] = {}
    for name, settings in experiments.items():
        others = canonical_json(settings.model_dump(exclude={"seed"}))
        members.setdefault(others, {}).setdefault(getattr(settings, "seed", None), name)
    named: dict[str, list[str]] = {}
    for by_seed in members.values():
        name = _shared_name(by_seed)
        if name in named or (name in experiments and name not in by_seed.values()):
            name = f"{next(iter(by_seed.values()))}_and_{len(by_seed) - 1}_more"
        named[name] = list(by_seed.values())
    return named


def _shared_name(by_seed: Mapping[Any, str]) -> str:
    """What the names of one group share: all but their seeds, or else their first words."""
    names = list(by_seed.values())
    if len(names) == 1:
        return names[0]
    swept = {re.sub(rf"-seed{seed}(?=-|$)", "", name) for seed, name in by_seed.items()}
    numbered = {re.sub(rf"[-_]*(seed)?[-_]*{seed}$", "", name) for seed, name in by_seed.items()}
    for shared in (swept, numbered):
        if len(shared) == 1 and all(shared):
            return shared.pop()
    tokens = zip(*(re.split(r"([-_])", name) for name in names), strict=False)
    shared_words = "".join(each[0] for each in takewhile(lambda each: len({*each}) == 1, tokens))
    return shared_words.rstrip("-_") or f"{names[0]}_and_{len(names) - 1}_more"
