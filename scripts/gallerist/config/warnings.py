"""What a complete configuration may say, but probably does not mean."""

from collections.abc import Mapping
from typing import Any

from gallerist.io.files import canonical_json

_NAMED = 3
"""So many of the experiments that share a warning are named, as a sweep may make many."""


def find_warnings(config: Mapping[str, Any]) -> list[str]:
    """Lines about what a complete configuration may say but probably does not mean."""
    experiments, found = config["experiments"], dict[str, list[str]]()
    shrunk = config["augmentation"]["max_side"]
    for name, settings in experiments.items():
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
        for warning in (warning for warning, holds in warnings.items() if holds):
            found.setdefault(warning, []).append(f"experiments.{name}")
    lines = []
    for warning, names in found.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        lines.append(f"{', '.join(names[:_NAMED])}{more}: {warning}")
    equal_texts = {
        "have the same settings": {name: canonical_json(experiments[name]) for name in experiments},
        "would share their files on a disk that ignores capitals": {
            name: name.lower() for name in experiments
        },
    }
    for warning, texts in equal_texts.items():
        first: dict[str, str] = {}
        for name, text in texts.items():
            if name != (other := first.setdefault(text, name)):
                lines.append(f"experiments.{other} and experiments.{name} {warning}")
    return lines
