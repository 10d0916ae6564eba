"""Experiments of kind `network`: a pretrained backbone, or a small network from random weights."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, model_validator

from gallerist.settings.base import (
    ALL_DIFFER,
    OFF,
    Count,
    Float,
    Natural,
    NonNegative,
    OpenShare,
    Positive,
    Seed,
    Settings,
    Side,
    key,
)
from gallerist.settings.losses import CLASSIFICATION, LOSSES, Loss
from gallerist.settings.ranking import (
    CROP_RATIO,
    KIND,
    LOOK,
    RESIZING,
    CropRatio,
    Look,
    RankedByVectors,
    Resizing,
)
from gallerist.settings.texts import Layer, Weights

# fmt: off
Backbone = Literal[
    "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtTiny", "ConvNeXtXLarge",
    "DenseNet121", "DenseNet169", "DenseNet201", "EfficientNetB0", "EfficientNetB1",
    "EfficientNetB2", "EfficientNetB3", "EfficientNetB4", "EfficientNetB5", "EfficientNetB6",
    "EfficientNetB7", "EfficientNetLite2", "EfficientNetV2B0", "EfficientNetV2B1",
    "EfficientNetV2B2", "EfficientNetV2B3", "EfficientNetV2L", "EfficientNetV2M",
    "EfficientNetV2S", "InceptionResNetV2", "InceptionV3", "MobileNet", "MobileNetV2",
    "MobileNetV3Large", "MobileNetV3Small", "NASNetLarge", "NASNetMobile", "ResNet101",
    "ResNet101V2", "ResNet152", "ResNet152V2", "ResNet50", "ResNet50V2", "VGG16", "VGG19",
    "Xception",
]
# fmt: on


class EarlyStopping(Settings):
    """Stops when the validation loss no longer falls. `null`: always runs every epoch."""

    min_delta: NonNegative = key(0.1, "loss", doc="A fall of less than this counts as none.")
    patience: Natural = key(3, "epochs", doc="Epochs without a fall before it stops.")


class ScratchEarlyStopping(EarlyStopping):
    """The same with other defaults, for networks from random weights."""

    min_delta: NonNegative = key(0.0, "loss", doc="A fall of less than this counts as none.")
    patience: Natural = key(5, "epochs", doc="Epochs without a fall before it stops.")


class ReduceLearningRate(Settings):
    """How the learning rate falls."""

    factor: OpenShare = key(0.5, "factor", doc="The learning rate is multiplied by this.")
    patience: Natural = key(3, "epochs", doc="Epochs without a fall before it is lowered.")


class Views(Settings):
    """Several looks at each gallery and query picture, whose vectors are averaged. `null`: one.
    Training is as without.
    """

    flip: bool = key(True, doc="Looks at the mirror image too.")
    scales: Annotated[list[Annotated[Float, Field(gt=0, le=4)]], ALL_DIFFER] = key(
        [1.0],
        expects="a list of different numbers above 0, such as [0.71, 1.0, 1.41]",
        min_length=1,
    )
    """Sizes, as parts of `image_size`, in steps of 32 pixels. Others than 1 need a transfer network
    whose pooling is not `flatten`."""


class Trained(Settings):
    """The keys of every network that is trained. They stand after its own."""

    loss: Loss = key(
        None,
        noun="a loss",
        expects=f"one of {', '.join(LOSSES)}, or a group with such a name and its keys",
        example="triplet",
        absent=True,
    )
    """What is learned. `classification`, as without the key: cross-entropy of a classifier. The
    others are losses for retrieval, which need no classifier: docs/experiments.md."""
    head: Literal["published", "standard"] = key("published", noun="a head")
    """The classifier. `published`: softmax and then dropout, which caps the training accuracy;
    `standard`: dropout and then softmax. Features are taken before it."""
    dropout: Float = key(0.1, "fraction", ge=0, lt=1)
    """Share of the values dropped in training."""
    dropout_seed: Seed = key(999, doc="Chooses the dropped values.")
    l1: NonNegative = key(0.01, doc="L1 penalty on the classifier's weights.")
    l2: NonNegative = key(0.01, doc="L2 penalty on the classifier's weights.")
    augmented: bool = key(True)
    """Trains on the augmented copies too, not only on the originals."""
    learning_rate: Positive = key(1e-5, doc="Step size of Adam.")
    batch_size: Count = key(16, "pictures", doc="Pictures a training step.")
    epochs: Natural = key(20, "epochs")
    """Passes over the training pictures at most. 0: no training, the backbone's features as they
    are."""
    early_stopping: EarlyStopping | None = key(EarlyStopping)
    reduce_learning_rate: ReduceLearningRate | None = key(None)
    """Lowers the learning rate when the validation loss no longer falls. `null`: never; `{}`: with
    its defaults."""
    restore_best_weights: bool = key(True)
    """Keeps the weights of the epoch with the lowest validation loss, not the last ones."""
    seed: Seed = key(99)
    """Draws the classifier's first weights and the order of the training pictures."""
    views: Views | None = key(None)

    @model_validator(mode="before")
    @classmethod
    def _judged_by_retrieval(cls, given: Any) -> Any:
        """Where accuracies decide, and not a loss, a rise of any size counts, unless it is said."""
        loss = given.get("loss") if isinstance(given, Mapping) else None
        stopping = given.get("early_stopping", {}) if loss else None
        if loss in (None, CLASSIFICATION) or not isinstance(stopping, Mapping):
            return given
        return {**given, "early_stopping": {"min_delta": 0.0, **stopping}}


class _TransferKeys(Settings):
    network: Literal["transfer"] = KIND
    backbone: Backbone = key(..., noun="a backbone", example="ResNet152")
    """The network to start from, without its classifier."""
    weights: Weights = key(
        "auto", expects="auto, imagenet, random or the path of a weights file (.h5, .keras)"
    )
    """What the backbone starts from. `auto`: ImageNet where it can be had, else random, and said
    so. `imagenet`: or the run stops. `random`. Or a Keras weights file without the classifier.
    EfficientNetLite2's ImageNet weights come with Gallerist; the others are downloaded."""
    freeze_until: Layer = key(
        "everything",
        expects="nothing, everything or the beginning of a layer's name",
        example="conv5",
    )
    """Layers before the first one whose name begins so are not trained, such as `conv5` of ResNet
    or `block7` of EfficientNet. `nothing`: every layer is trained. `everything`: only the
    classifier is."""
    pooling: Literal["flatten", "avg", "max", "gem", "rmac"] = key("flatten", noun="a pooling")
    """How the backbone's last feature map becomes a vector: every value of it (`flatten`), or each
    channel's average, maximum, generalised mean (`gem`), whose exponent is learned, or the sum of
    the maxima of regions (`rmac`)."""
    image_size: Side | None = key(None, "pixels", example=224)
    """Pictures are resized to a square of this side. `null`: the size the backbone was made for."""
    look: Look = LOOK
    resizing: Resizing = RESIZING
    crop_ratio: CropRatio | None = CROP_RATIO
    trunk_cache: Annotated[Literal["float32", "float16", False], OFF] = key(
        "float32", noun="a way to keep the frozen layers' output"
    )
    """Frozen layers are computed once for every picture, and what they give is kept on the disk,
    for all experiments that share them. `float32`: exact. `float16`: half the disk, rounded. `off`
    (or `false`): every epoch computes them again."""


class Transfer(RankedByVectors, Trained, _TransferKeys):
    """A pretrained backbone, part of it trained further with a new classifier."""


class _ScratchKeys(Settings):
    network: Literal["scratch"] = KIND
    image_size: Side = key(224, "pixels")
    """Pictures are resized to a square of this side. At least 73 with `padding` valid."""
    look: Look = LOOK
    resizing: Resizing = RESIZING
    crop_ratio: CropRatio | None = CROP_RATIO
    padding: Literal["valid", "same"] = key("valid", noun="a padding")
    """Border of the convolutions. `valid`: none, the maps shrink. `same`: zeros, for small
    pictures."""
    batch_normalisation: Literal["precise", "moving"] = key("precise", noun="a batch normalisation")
    """Its averages, before an epoch is judged. `precise`: estimated again over training pictures
    with the weights of the moment. `moving`: as Keras moves them by a hundredth of every batch, as
    published."""


class Scratch(RankedByVectors, Trained, _ScratchKeys):
    """A small convolutional network, trained from random weights."""

    dropout: Float = key(0.2, "fraction", ge=0, lt=1)
    """Share of the values dropped in training, at each of the dropout layers."""
    l1: NonNegative = key(0.01, doc="L1 penalty on every layer's weights.")
    l2: NonNegative = key(0.01, doc="L2 penalty on every layer's weights.")
    learning_rate: Positive = key(0.001, doc="Step size of Adam.")
    epochs: Natural = key(50, "epochs")
    """Passes over the training pictures at most. 0: no training, a random network's features."""
    early_stopping: ScratchEarlyStopping | None = key(ScratchEarlyStopping)
    """Stops when the validation loss no longer falls. `null`: always runs every epoch."""
    reduce_learning_rate: ReduceLearningRate | None = key(ReduceLearningRate)
    """Lowers the learning rate when the validation loss no longer falls. `null`: never."""
    seed: Seed = key(99, doc="Draws the first weights and the order of the training pictures.")


Network = Annotated[Transfer | Scratch, Field(discriminator="network")]
_NETWORK: TypeAdapter[Network] = TypeAdapter(Network, config=ConfigDict(defer_build=True))


def read_network(**settings: Any) -> Network:
    """The settings of a network, of whichever kind they name. Raises pydantic's ValidationError."""
    return _NETWORK.validate_python(settings)
