"""Under which licence a model's weights and pictures are, as far as the repository knows."""

from collections.abc import Iterable, Mapping
from typing import Any

LICENCES = {
    "MobileNetV2": "Apache-2.0",
    "EfficientNet": "Apache-2.0",
    "ConvNeXt": "Apache-2.0",
    "DenseNet": "BSD-3-Clause",
    "ResNet": "MIT",
}
"""How a backbone's name begins -> licence of its ImageNet weights; the source is NOTICE.md."""

UNKNOWN = "that of their authors, see keras.io/api/applications"


def licences(
    networks: Iterable[tuple[Mapping[str, Any], str]], *, embedded: bool
) -> dict[str, str]:
    """What a model holds -> its licence.

    networks: settings of each, and the weights it started from, as its training's record has them.
    embedded: whether the pictures are those that come with Gallerist.
    """
    found = {
        "code": "MIT",
        "pictures": "MIT (animal-mnist)" if embedded else "that of the pictures' owner",
    }
    for settings, started_from in networks:
        if settings["network"] in ("onnx", "keras"):
            found[f"encoder {started_from}"] = "that of the file's owner"
            continue
        backbone = settings.get("backbone")
        if backbone is None or started_from.startswith("random"):
            continue
        if started_from == "imagenet":
            known = (text for name, text in LICENCES.items() if backbone.startswith(name))
            found[f"ImageNet weights of {backbone}"] = next(known, UNKNOWN)
        else:
            found[f"weights {started_from} of {backbone}"] = "that of the file's owner"
    return found
