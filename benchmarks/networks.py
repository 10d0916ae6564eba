"""The networks that are measured: ours, as the workflow makes it, and its backbone alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import threads
from gallerist.data.preprocessing import Preprocessing

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Measured:
    """A transfer network with the published settings, and random weights: they take as long.

    stages: the layers before this one are frozen.
    """

    backbone: str = "ResNet152"
    image_size: int = 224
    freeze_until: str = "conv5"
    classes: int = 10

    def build(self) -> "keras.Model":
        """As rule train_network builds it; equal calls give equal weights."""
        from gallerist.networks.architectures import Head, Transfer

        head = Head("published", dropout=0.1, dropout_seed=999, l1=0.01, l2=0.01)
        network = Transfer(self.backbone, self.image_size, self.freeze_until, "flatten", head)
        return network.build(self.classes, None, seed=99)

    def store(self, folder: Path) -> tuple[Path, Path]:
        """Write it as rule train_network does: the model file, and its preprocessing."""
        from gallerist.training.loop import save

        model, preprocessing = folder / "model.keras", folder / "preprocessing.json"
        save(self.build(), model)
        Preprocessing(self.image_size).write(preprocessing)
        return model, preprocessing


SMALL = Measured("VGG16", 32, "block5")
"""For quick looks: few layers, and scaled as ResNet152, so that the published way fits it."""


def configured() -> str:
    """TensorFlow, with all the threads that this process may use; what it computes on."""
    from gallerist.networks.runtime import configure

    return configure(threads=threads())


def backbone_of(network: "keras.Model") -> "keras.Model":
    """The backbone inside one of our networks, with its weights: scaled pixels -> maps."""
    return network.get_layer("backbone").layer
