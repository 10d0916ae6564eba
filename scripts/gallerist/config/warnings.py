"""What a checked configuration may say, but probably does not mean."""

from gallerist.io.errors import first_of
from gallerist.io.files import canonical_json
from gallerist.settings.configuration import Configuration

_NAMED = 3
"""So many of the experiments that share a warning are named, as a sweep may make many."""


def find_warnings(config: Configuration) -> list[str]:
    """Lines about what a checked configuration may say but probably does not mean."""
    found = dict[str, list[str]]()
    shrunk = config.augmentation.max_side
    for name, settings in config.experiments.items():
        given = dict(settings)
        frozen, size = given.get("freeze_until"), given.get("image_size") or 0
        warnings = {
            "the backbone is random and none of it is trained": (
                given.get("weights") == "random" and frozen == "everything"
            ),
            "nothing is frozen, so trunk_cache keeps nothing": (
                given.get("trunk_cache") == "float16" and frozen == "nothing"
            ),
            f"augmentation.max_side shrinks the copies to {shrunk} pixels, and image_size enlarges "
            f"them again to {size}": given.get("augmented") and shrunk < size,
        }
        for warning in (warning for warning, holds in warnings.items() if holds):
            found.setdefault(warning, []).append(f"experiments.{name}")
    lines = [f"{first_of(names, _NAMED)}: {warning}" for warning, names in found.items()]
    texts = {name: canonical_json(each.model_dump()) for name, each in config.experiments.items()}
    for warning, text_of in (
        ("have the same settings", texts.__getitem__),
        ("would share their files on a disk that ignores capitals", str.lower),
    ):
        first: dict[str, str] = {}
        same = [(first.setdefault(text_of(name), name), name) for name in texts]
        lines += [
            f"experiments.{other} and experiments.{name} {warning}"
            for other, name in same
            if other != name
        ]
    return lines
