"""The pretrained networks that an experiment can start from."""

from dataclasses import dataclass

import keras

from gallerist import efficientnet_lite2

CAFFE_MEAN = (123.68, 116.779, 103.939)
"""ImageNet mean, RGB, of the networks ported from Caffe (mode "caffe" of keras.applications)."""

TORCH_MEAN = (123.675, 116.28, 103.53)
TORCH_STD = (58.395, 57.12, 57.375)
"""ImageNet mean and deviation, RGB order, in 0-255 units (keras.applications, mode "torch")."""

_ROOTS = (0.229**0.5, 0.224**0.5, 0.225**0.5)


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


@dataclass(frozen=True)
class Scaling:
    """The arguments of a `PixelScaling`; as they stand, for networks that scale inside."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: str = "rgb"


@dataclass(frozen=True)
class Backbone:
    """A classification network without its classifier, and the pixel values it expects."""

    name: str
    scaling: Scaling

    def build(self, image_size: int) -> keras.Model:
        """Random weights; (n, image_size, image_size, 3) scaled pixels -> (n, h, w, c) features."""
        shape = (image_size, image_size, 3)
        if self.name == "EfficientNetLite2":
            return efficientnet_lite2.build(shape)
        application = getattr(keras.applications, self.name)
        return application(include_top=False, weights=None, input_shape=shape)

    def scaling_layer(self) -> PixelScaling:
        """The layer that comes before the backbone."""
        scaling = self.scaling
        return PixelScaling(scaling.mean, scaling.deviation, scaling.channels, name="pixel_scaling")


_INSIDE = Scaling()
# EfficientNetB0 takes (pixel / 255 - mean) inside, but must then be divided by these roots once
# more. Keras adds that layer only where it downloads the weights itself, not for weights from a
# file; this is the same division, moved before the subtraction.
_EFFICIENTNET = Scaling(
    tuple(mean * (1 - root) for mean, root in zip(TORCH_MEAN, _ROOTS, strict=True)), _ROOTS
)
_CAFFE = Scaling(CAFFE_MEAN, channels="bgr")
_TORCH = Scaling(TORCH_MEAN, TORCH_STD)
_TO_ONE = Scaling((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
_LITE = Scaling((127.0, 127.0, 127.0), (128.0, 128.0, 128.0))

BACKBONES = {
    name: Backbone(name, scaling)
    for name, scaling in {
        "ConvNeXtTiny": _INSIDE,
        "DenseNet121": _TORCH,
        "EfficientNetB0": _EFFICIENTNET,
        "EfficientNetLite2": _LITE,
        "MobileNetV2": _TO_ONE,
        "ResNet50": _CAFFE,
        "ResNet101": _CAFFE,
        "ResNet152": _CAFFE,
    }.items()
}
