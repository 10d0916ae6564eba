"""Names of metrics that several packages agree on: as columns, as MLflow's metrics and curves."""

import re
from collections.abc import Iterable

HIT_RATE = "hit rate at k"
"""The curve of an experiment's row whose step is k."""

OUTLINE = ("kind", "backbone", "weights", "pooling", "image_size", "epochs")
"""The short parameters of an experiment's row, in the order of their columns."""


def top(k: int) -> str:
    """The published name of the hit rate at k: top-5."""
    return f"top-{k}"


def k_of(name: str) -> int | None:
    """The k of a hit rate by its published name; None for another metric."""
    found = re.fullmatch(r"top-(\d+)", name)
    return int(found[1]) if found else None


def accuracies(names: Iterable[str]) -> list[str]:
    """The hit rates among the names of metrics by their k, then mAP where it is there."""
    known = set(names)
    rates = sorted(k for k in map(k_of, known) if k is not None)
    return [*map(top, rates), *({"mAP"} & known)]
