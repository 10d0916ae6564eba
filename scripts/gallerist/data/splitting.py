"""Splitting pictures into parts: by class, seeded, copies of one original kept together."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Mapping

from gallerist.data.manifest import DISTRACTOR, Manifest
from gallerist.io.errors import UserError, first_of

LEARNED = ("training", "validation")
"""The parts that are learned from, which hold no class that is to be unseen."""


def choose_unseen(
    classes: Collection[str], wanted: int | float | Collection[str], *, seed: int
) -> frozenset[str]:
    """The classes that nothing is learned from, `DISTRACTOR` always among them.

    wanted: how many (int), which share of them (float, rounded), or their names. seed: draws them,
        by a hash of seed and class, so that neither the order nor the pictures matter.

    Raises UserError for a name that is no class, and unless at least one class is left of either
    kind.
    """
    known = sorted(set(classes) - {DISTRACTOR})
    if isinstance(wanted, int | float):
        count = wanted if isinstance(wanted, int) else max(1, round(wanted * len(known)))
        chosen = sorted(known, key=lambda label: _order_key(seed, label))[:count]
    else:
        chosen, count = [*wanted], len(wanted)
        if strange := sorted(set(chosen) - set(known)):
            raise UserError(
                f"dataset.split.unseen_classes names {first_of(strange)}, but no class is called "
                f"so; there are: {first_of(known, 20)}"
            )
    if count >= len(known):
        raise UserError(
            f"dataset.split.unseen_classes leaves no class to learn from: {count} of {len(known)}. "
            "Ask for fewer"
        )
    return frozenset({*chosen, DISTRACTOR})


def split(
    pictures: Manifest,
    fractions: Mapping[str, float],
    *,
    seed: int,
    unseen: Collection[str] | None = None,
) -> dict[str, Manifest]:
    """Divide the pictures of every class among the parts named in `fractions`.

    fractions: part -> share of each class's originals; they add up to 1. Each part gets its share
        rounded by largest remainder, and at least one original of every class.
    seed: decides the order of a class's originals, by a hash of seed and source id. The order of
        the files does not matter, and neither do the other classes.
    unseen: classes, or None. Then theirs are divided among the other parts than LEARNED, and those
        of all other classes among LEARNED, each in the proportions of `fractions`; a picture that
        no part is left for is in none.

    Pictures with one `source_id` go to the same part. Returns part -> manifest, in the order of
    `pictures`. An original whose parts are of several classes, as boxes in a photo may be, counts
    for the class of its first one. Raises UserError naming every class that has fewer originals
    than parts, and ValueError when the fractions do not add up to 1.
    """
    if not math.isclose(sum(fractions.values()), 1.0, abs_tol=1e-9):
        raise ValueError(f"the fractions add up to {sum(fractions.values()):g}, not 1")
    originals: dict[str, set[str]] = defaultdict(set)
    label_of: dict[str, str] = {}
    sources = pictures.sources
    for source, found in zip(sources, pictures.labels, strict=True):
        originals[label_of.setdefault(source, found)].add(source)
    shares = {label: _of_class(label, fractions, unseen) for label in originals}
    _require_enough({label: len(ids) for label, ids in originals.items()}, shares)
    part_of: dict[str, str] = {}
    for label, ids in originals.items():
        shuffled = sorted(ids, key=lambda source: _order_key(seed, source))
        start = 0
        for part, count in _shares(len(shuffled), shares[label]).items():
            for source in shuffled[start : start + count]:
                part_of[source] = part
            start += count
    rows: dict[str, list[int]] = {part: [] for part in fractions}
    for row, source in enumerate(sources):
        if source in part_of:
            rows[part_of[source]].append(row)
    return {part: pictures.of_rows(members, part) for part, members in rows.items()}


def _of_class(
    label: str, fractions: Mapping[str, float], unseen: Collection[str] | None
) -> dict[str, float]:
    """The parts that pictures of a class go to, with shares that add up to 1; none if there are."""
    if unseen is None:
        return dict(fractions)
    own = {part: of for part, of in fractions.items() if (part in LEARNED) != (label in unseen)}
    total = sum(own.values())
    return {part: share / total for part, share in own.items()}


def _require_enough(counts: Mapping[str, int], shares: Mapping[str, Mapping[str, float]]) -> None:
    small = sorted(label for label, count in counts.items() if count < len(shares[label]))
    if small:
        parts = dict.fromkeys(part for label in small for part in shares[label])
        named = ", ".join(f"{label} ({counts[label]})" for label in small)
        raise UserError(
            f"too few pictures to split into {', '.join(parts)}: {named}. Every class needs at "
            f"least {max(len(shares[label]) for label in small)}; add pictures or remove the class."
        )


def _order_key(seed: int, source_id: str) -> str:
    return hashlib.sha256(f"{seed} {source_id}".encode()).hexdigest()


def _shares(total: int, fractions: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers that add up to `total`, nearest to the fractions, none below 1."""
    if not fractions:
        return {}
    exact = {part: fraction * total for part, fraction in fractions.items()}
    shares = {part: max(1, math.floor(share)) for part, share in exact.items()}
    while sum(shares.values()) != total:
        step = 1 if sum(shares.values()) < total else -1
        candidates = [part for part in shares if step > 0 or shares[part] > 1]
        chosen = max(candidates, key=lambda part: step * (exact[part] - shares[part]))
        shares[chosen] += step
    return shares
