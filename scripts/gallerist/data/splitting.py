"""Splitting pictures into parts: by class, seeded, copies of one original kept together."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping

from gallerist.data.manifest import Manifest
from gallerist.io.errors import UserError


def split(pictures: Manifest, fractions: Mapping[str, float], *, seed: int) -> dict[str, Manifest]:
    """Divide the pictures of every class among the parts named in `fractions`.

    fractions: part -> share of each class's originals; they add up to 1. Each part gets its share
        rounded by largest remainder, and at least one original of every class.
    seed: decides the order of a class's originals, by a hash of seed and source id. The order of
        the files does not matter, and neither do the other classes.

    Pictures with one `source_id` go to the same part. Returns part -> manifest, in the order of
    `pictures`. Raises UserError naming every class that has fewer originals than parts, and
    ValueError when the fractions do not add up to 1 or a copy has another class than its original.
    """
    if not math.isclose(sum(fractions.values()), 1.0, abs_tol=1e-9):
        raise ValueError(f"the fractions add up to {sum(fractions.values()):g}, not 1")
    originals: dict[str, set[str]] = defaultdict(set)
    label_of: dict[str, str] = {}
    sources = pictures.sources
    for row, (source, found) in enumerate(zip(sources, pictures.labels, strict=True)):
        label = label_of.setdefault(source, found)
        if label != found:
            raise ValueError(f"{pictures[row].path} is of class {found}, its original of {label}")
        originals[label].add(source)
    small = [
        f"{label} ({len(ids)})" for label, ids in originals.items() if len(ids) < len(fractions)
    ]
    if small:
        raise UserError(
            f"too few pictures to split into {', '.join(fractions)}: {', '.join(sorted(small))}. "
            f"Every class needs at least {len(fractions)}; add pictures or remove the class."
        )
    part_of: dict[str, str] = {}
    for ids in originals.values():
        shuffled = sorted(ids, key=lambda source: _order_key(seed, source))
        start = 0
        for part, count in _shares(len(shuffled), fractions).items():
            for source in shuffled[start : start + count]:
                part_of[source] = part
            start += count
    rows: dict[str, list[int]] = {part: [] for part in fractions}
    for row, source in enumerate(sources):
        rows[part_of[source]].append(row)
    return {part: pictures.of_rows(members, part) for part, members in rows.items()}


def _order_key(seed: int, source_id: str) -> str:
    return hashlib.sha256(f"{seed} {source_id}".encode()).hexdigest()


def _shares(total: int, fractions: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers that add up to `total`, nearest to the fractions, none below 1."""
    exact = {part: fraction * total for part, fraction in fractions.items()}
    shares = {part: max(1, math.floor(share)) for part, share in exact.items()}
    while sum(shares.values()) != total:
        step = 1 if sum(shares.values()) < total else -1
        candidates = [part for part in shares if step > 0 or shares[part] > 1]
        chosen = max(candidates, key=lambda part: step * (exact[part] - shares[part]))
        shares[chosen] += step
    return shares
