"""The two networks: a pretrained backbone with a new head, and a small one from scratch.

Both end in a layer named "embedding", whose output is the feature vector, and a head that
classifies it, or that a loss for retrieval compares. Cutting the head off gives the extractor.
"""

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import keras

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike
from gallerist.networks.backbones import BACKBONES, Scaling
from gallerist.networks.exported import Sizes
from gallerist.networks.heads import EMBEDDING as EMBEDDING
from gallerist.networks.heads import Head as Head
from gallerist.networks.heads import MetricHead, pooling_of
from gallerist.networks.pooling import RMAC, GeM
from gallerist.settings.networks import Network

_RANDOM_BACKBONE = 99
"""Seed of a backbone's random weights."""


@keras.saving.register_keras_serializable(package="gallerist")
class InferenceMode(keras.layers.Wrapper):  # type: ignore[misc]
    """Calls a network in inference mode, in training too: its moving averages stay as they are.

    `network(x, training=False)` does not do it: once that call is part of a functional model, Keras
    3 replaces the argument by the mode of the whole model, and `fit` moves the averages.
    """

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Whatever the network takes and gives."""
        return self.layer(inputs, training=False)

    def compute_output_spec(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Shapes as the network knows them; Keras would trace all of it anew to find them."""
        return self.layer.compute_output_spec(inputs)


@keras.saving.register_keras_serializable(package="gallerist")
class PixelScaling(keras.layers.Layer):  # type: ignore[misc]
    """RGB pixels, 0-255, to the values a network was trained on: (pixel - mean) / deviation.

    The first layer of every model here, so that no stage can feed a network the wrong values.
    mean, deviation: three numbers in RGB order. channels: "rgb", or "bgr" to turn the order round.
    """

    def __init__(
        self,
        mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
        deviation: tuple[float, float, float] = (1.0, 1.0, 1.0),
        channels: str = "rgb",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.mean, self.deviation, self.channels = tuple(mean), tuple(deviation), channels

    def call(self, pixels: keras.KerasTensor) -> keras.KerasTensor:
        """(n, h, w, 3) pixels, any numeric dtype -> the same shape, float."""
        scaled = keras.ops.cast(pixels, self.compute_dtype)
        scaled = (scaled - keras.ops.array(self.mean, self.compute_dtype)) / keras.ops.array(
            self.deviation, self.compute_dtype
        )
        return keras.ops.flip(scaled, axis=-1) if self.channels == "bgr" else scaled

    def get_config(self) -> dict[str, object]:
        """Keras stores this with the model."""
        own = {"mean": self.mean, "deviation": self.deviation, "channels": self.channels}
        return {**super().get_config(), **own}


def scaling_layer(scaling: Scaling) -> PixelScaling:
    """The layer that comes before a backbone, named "pixel_scaling"."""
    return PixelScaling(scaling.mean, scaling.deviation, scaling.channels, name="pixel_scaling")


_POOLINGS = {
    "flatten": keras.layers.Flatten,
    "avg": keras.layers.GlobalAveragePooling2D,
    "max": keras.layers.GlobalMaxPooling2D,
    "gem": GeM,
    "rmac": RMAC,
}


@dataclass(frozen=True)
class Transfer:
    """A pretrained backbone, frozen up to a layer, called in inference mode throughout.

    freeze_until: the first layer of this name, or else whose name starts so, and all that follow
        it, are trained; "nothing" trains every layer, "everything" none.
    pooling: what makes a vector of the last feature map: "flatten", "avg", "max", "rmac" or "gem".
        The exponent of the last one is trained whatever is frozen.
    """

    backbone: str
    image_size: int
    freeze_until: str
    pooling: str
    head: Head

    def build(self, classes: int, weights: str | None, seed: int = 0) -> keras.Model:
        """(n, image_size, image_size, 3) RGB pixels 0-255 -> (n, classes) probabilities.

        weights: a Keras weights file of the backbone, or None for random ones.
        seed: of the head's first weights.
        Raises ValueError when the pictures are too small for the backbone, no layer is called
        `freeze_until`, or the weights do not fit.
        """
        maps = backbone_on_pixels(self.backbone, self.image_size, self.freeze_until, weights)
        keras.utils.set_random_seed(seed)
        pooled = _POOLINGS[self.pooling](name=self.head.pooling_name)(maps.output)
        return keras.Model(maps.input, self.head.attach(pooled, classes), name="transfer")


def backbone_on_pixels(
    name: str, image_size: int, freeze_until: str, weights: str | None
) -> keras.Model:
    """A backbone as every network on it begins: (n, s, s, 3) RGB pixels 0-255 -> (n, h, w, c) maps.

    Random weights, where `weights` is None, are always the same ones, so that experiments with
    different seeds have their frozen layers in common. Errors as of `Transfer.build`.
    """
    chosen = BACKBONES[name]
    keras.utils.set_random_seed(_RANDOM_BACKBONE)
    backbone = chosen.build(image_size)
    if weights is not None:
        try:
            chosen.load_weights(backbone, weights)
        except Exception as error:  # ValueError, OSError, KeyError, BadZipFile ...
            raise ValueError(f"{weights} does not fit {name}: {error}") from error
    freeze(backbone, freeze_until)
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    # As published: what is trained of the backbone keeps its moving averages, too.
    maps = InferenceMode(backbone, name="backbone")(scaling_layer(chosen.scaling)(pixels))
    return keras.Model(pixels, maps, name="backbone_on_pixels")


_BLOCKS = (
    *((8, 7, 3, True), (16, 3, 2, False), (16, 3, 1, True)),
    *((32, 3, 2, False), (32, 3, 1, True)),
)
"""Of the small network: filters, kernel size, stride, and whether dropout follows."""


@dataclass(frozen=True)
class Scratch:
    """The published small network: five convolutions, batch normalisation and dropout.

    padding: "valid" as published (needs 73 pixels a side) or "same" for smaller pictures.
    head.dropout is the rate of every dropout, head.l1 and head.l2 penalise every kernel.
    """

    image_size: int
    padding: str
    head: Head

    def build(self, classes: int, weights: str | None = None, seed: int = 0) -> keras.Model:
        """(n, image_size, image_size, 3) RGB pixels 0-255 -> (n, classes) probabilities.

        seed: of the first weights.
        """
        if weights is not None:
            raise ValueError("a network trained from scratch takes no weights")
        keras.utils.set_random_seed(seed)
        pixels = keras.Input((self.image_size, self.image_size, 3), name="pixels")
        x = keras.layers.Rescaling(1 / 255, name="pixel_scaling")(pixels)
        for number, (filters, kernel, stride, drops) in enumerate(_BLOCKS, start=1):
            x = keras.layers.Conv2D(
                filters,
                kernel,
                stride,
                padding=self.padding,
                activation="relu",
                kernel_regularizer=self.head.regulariser(),
                name=f"conv{number}",
            )(x)
            x = keras.layers.BatchNormalization(name=f"conv{number}_bn")(x)
            if drops:
                seed = self.head.dropout_seed + number
                x = keras.layers.Dropout(self.head.dropout, seed=seed, name=f"dropout{number}")(x)
        x = keras.layers.AveragePooling2D(2, name="pool")(x)
        pooled = keras.layers.Flatten(name=self.head.pooling_name)(x)
        return keras.Model(pixels, self.head.attach(pooled, classes), name="scratch")


def head_of(settings: Network) -> Head:
    """What follows the pooling: a classifier, or what a loss for retrieval compares."""
    usual = (settings.head, settings.dropout, settings.dropout_seed, settings.l1, settings.l2)
    if (loss := settings.loss) is None:
        return Head(*usual)
    return MetricHead(*usual, loss.projection, discarded=not loss.projects)


def architecture(settings: Network) -> Transfer | Scratch:
    """The architecture that a completed experiment of the configuration describes."""
    head = head_of(settings)
    if settings.network == "scratch":
        return Scratch(settings.image_size, settings.padding, head)
    assert settings.image_size is not None, "the configuration is not completed"
    return Transfer(
        settings.backbone, settings.image_size, settings.freeze_until, settings.pooling, head
    )


def freeze(backbone: keras.Model, until: str) -> None:
    """Freeze every layer before the one named `until`, or else the first whose name starts so.

    "nothing" freezes none, "everything" all. Raises ValueError listing what there is to name.
    """
    names = [layer.name for layer in backbone.layers]
    if until == "nothing":
        first = 0
    elif until == "everything":
        first = len(names)
    elif until in names:  # "mixed1" and not "mixed10", whichever comes first
        first = names.index(until)
    else:
        starts = [index for index, name in enumerate(names) if name.startswith(until)]
        if not starts:
            raise ValueError(
                f"freeze_until: no layer of {backbone.name} has a name that starts with "
                f"'{until}'. Names start with: {', '.join(_beginnings(names, backbone.name))}"
            )
        first = starts[0]
    for index, layer in enumerate(backbone.layers):
        layer.trainable = index >= first


def _beginnings(names: list[str], network: str) -> list[str]:
    """The first words of layers' names, each once; after the network's own name where it leads."""
    own = f"{network}_"  # as in convnext_tiny_stage_3_block_0_layernorm
    leading = [own if name.startswith(own) else "" for name in names]
    words = [
        first + name.removeprefix(first).split("_")[0]
        for first, name in zip(leading, names, strict=True)
    ]
    return list(dict.fromkeys(words))


def without_head(model: keras.Model) -> keras.Model:
    """The network without its head: pixels -> (n, features), not yet normalised."""
    return keras.Model(model.input, model.get_layer(EMBEDDING).output, name="extractor")


def load_headless(model: PathLike) -> keras.Model:
    """A stored network without its head; nothing that is stored in the file is executed.

    Raises UserError naming the file when it is damaged or holds something else, FileNotFoundError.
    """
    try:
        if not zipfile.is_zipfile(model):  # Keras would call it "not found"
            raise ValueError("not a whole .keras file")
        with zipfile.ZipFile(model) as archive:
            if b"keras_hub" in archive.read("config.json"):
                import keras_hub  # noqa: F401  registers its layers
        stored = keras.models.load_model(os.fspath(model), compile=False, safe_mode=True)
        return without_head(stored)
    except Exception as error:  # Keras raises everything from KeyError to BadZipFile
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{os.fspath(model)} cannot be read as a trained network ({reason}). "
            "Remove it and train it again."
        ) from error


def sizes_of(network: keras.Model) -> Sizes:
    """Which sizes of pictures a network takes, without its head."""
    pooling = pooling_of(network)
    if isinstance(pooling, keras.layers.Flatten):
        return "fixed"
    # The regions of R-MAC are worked out from the size when the layer is called.
    return "by Keras" if isinstance(pooling, RMAC) else "any"


def resize_input(network: keras.Model, image_size: int) -> keras.Model:
    """A network without its head for pictures of another size, with the same layers and weights.

    network: as `without_head` gives it. The vectors have the same length. Where sizes
    differ by whole steps of 32 pixels it is the network that a build at that size gives; otherwise
    convolutions with a stride may be padded on the other side.
    Raises ValueError where the network flattens its last map.
    """
    if sizes_of(network) == "fixed":
        raise ValueError("a network that flattens its last map takes pictures of one size")

    def fit_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, InferenceMode):
            inside = _on_other_pixels(layer.layer, image_size, _without_size)
            return InferenceMode(inside, name=layer.name)
        return layer

    return _on_other_pixels(network, image_size, fit_layer)


def _on_other_pixels(
    model: keras.Model,
    image_size: int,
    layer_for: Callable[[keras.layers.Layer], keras.layers.Layer],
) -> keras.Model:
    """Call a functional model's layers, or others for them, on pixels of another size."""
    (given,) = model.inputs
    pixels = keras.Input((image_size, image_size, 3), dtype=given.dtype, name="pixels")
    return keras.models.clone_model(
        keras.Model(given, model.outputs[0], name=model.name),  # not compiled, whatever `model` is
        input_tensors=pixels,
        clone_function=layer_for,
    )


def _without_size(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer itself; or its layers in a new row, where a row (as in ConvNeXt) has a size."""
    if isinstance(layer, keras.Sequential):
        return keras.Sequential(layer.layers, name=layer.name)
    return layer
