"""Several views of one picture: at several sizes and mirrored, for one vector.

The configuration reads this, so it knows of networks only what a table says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gallerist.io.errors import UserError
from gallerist.io.files import canonical_json, sha256_of_text
from gallerist.networks.backbones import BACKBONES

STEP = 32
"""Pixels by which sizes differ. The usual backbones halve a picture five times. A size that differs
by whole steps is odd and even at the same layers, where Keras has fixed on which side to pad."""


FIXED_SIZE = (
    "views.scales: this network flattens its last feature map, so that its vectors would have "
    "another length at another size. Take scales: [1.0], with flip if you like, or a transfer "
    "network with another pooling, such as avg or gem."
)
"""Why a network has one size of pictures, and the way out: what ViewsRefused says."""


class ViewsRefused(UserError):
    """Views that a network cannot take. The message is complete."""


@dataclass(frozen=True)
class Views:
    """The views of a picture; its vector is the mean of theirs.

    Each view's vector is scaled to length 1 before (A. Gordo et al., End-to-end learning of deep
    visual representations for image retrieval, 2017; F. Radenovic, G. Tolias, O. Chum, Fine-tuning
    CNN image retrieval with no human annotation, 2018).

    flip: every size mirrored, left for right, too.
    scales: of the network's image_size, above 0; 1 is the size that it was made for.
    """

    flip: bool = False
    scales: Sequence[float] = (1.0,)

    def sizes(self, image_size: int) -> tuple[int, ...]:
        """Pixels a side of the views, rising: as many as scales.

        Each is image_size and a whole number of STEPs, as near to the scale as that comes.
        Raises ViewsRefused where no pixel is left, or two scales have one size.
        """
        by_scale = {
            scale: image_size + STEP * round(image_size * (scale - 1) / STEP)
            for scale in self.scales
        }
        small = [f"{scale:g}" for scale, size in by_scale.items() if size < 1]
        if small:
            raise ViewsRefused(
                f"views.scales: {', '.join(small)} of {image_size} pixels is nothing, as sizes "
                f"differ by {STEP} pixels. Take larger scales, or a larger image_size."
            )
        if len(set(by_scale.values())) < len(self.scales):
            sizes = ", ".join(f"{scale:g} is {size}" for scale, size in by_scale.items())
            raise ViewsRefused(
                f"views.scales: each gives another size, in steps of {STEP} pixels; of image_size "
                f"{image_size}, {sizes} pixels. Take scales that are further apart, each once."
            )
        return tuple(sorted(by_scale.values()))

    def is_plain(self, image_size: int) -> bool:
        """Whether they are one view, at the size that the network was made for."""
        return not self.flip and self.sizes(image_size) == (image_size,)

    def identity(self, image_size: int, preprocessing: str) -> str:
        """SHA-256 of how pictures are prepared and viewed; features of others do not compare.

        preprocessing: the SHA-256 of the preprocessing, which is the answer for the plain view.
        """
        if self.is_plain(image_size):
            return preprocessing
        described = {"flip": self.flip, "sizes": self.sizes(image_size)}
        return sha256_of_text(canonical_json({"preprocessing": preprocessing, "views": described}))


def refuse(settings: Mapping[str, Any]) -> None:
    """Raise ViewsRefused where an experiment's network cannot take its views.

    settings: of an experiment with a network, complete. Without `views` all is well.
    """
    size = settings["image_size"]
    views = Views(**settings.get("views") or {})
    sizes = views.sizes(size)
    if sizes == (size,):
        return
    if settings["network"] != "transfer" or settings["pooling"] == "flatten":
        raise ViewsRefused(FIXED_SIZE)
    backbone = BACKBONES[settings["backbone"]]
    if sizes[0] < backbone.min_image_size:
        raise ViewsRefused(
            f"views.scales: the smallest view has {sizes[0]} pixels a side, and {backbone.name} "
            f"needs {backbone.min_image_size}. Take larger scales, or a larger image_size."
        )
