"""The pretrained networks that an experiment can start from: a table of what each expects.

The configuration reads it, so Keras is imported only where a network is built.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


class BackboneError(ValueError):
    """A backbone cannot be built as asked."""


@dataclass(frozen=True)
class Scaling:
    """What becomes of RGB pixels, 0-255, before the network: (pixel - mean) / deviation.

    kind: how keras.applications calls it: "caffe", "torch" or "tf" (from -1 to 1); "inside" where
        the network scales by itself; the network's own name where it needs something else.
    mean, deviation: in RGB order. channels: "rgb", or "bgr" to turn the order round.
    """

    kind: str
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: str = "rgb"


@dataclass(frozen=True)
class Backbone:
    """A classification network without its classifier, and the pictures it expects.

    image_size: pixels a side of the pictures that it was made for, which Keras takes by default.
    min_image_size: pixels a side below which it cannot be built.
    """

    name: str
    scaling: Scaling
    image_size: int
    min_image_size: int

    def build(self, image_size: int) -> "keras.Model":
        """Random weights; (n, image_size, image_size, 3) scaled pixels -> (n, h, w, c) features.

        Equal calls give equal layer names, whatever was built before.
        Raises BackboneError where the pictures are too small for it.
        """
        if image_size < self.min_image_size:
            raise BackboneError(
                f"{self.name} needs pictures of {self.min_image_size} pixels a side or more; "
                f"image_size is {image_size}"
            )
        shape = (image_size, image_size, 3)
        if self.name == "EfficientNetLite2":
            from gallerist.networks import efficientnet_lite2

            return efficientnet_lite2.build(shape)
        import keras

        application = getattr(keras.applications, self.name)
        with _counting_from_zero():
            return application(include_top=False, weights=None, input_shape=shape)


@contextmanager
def _counting_from_zero() -> Iterator[None]:
    """Let Keras number the layers without a name of their own from 0, and then go on as before.

    It counts what the process has built, so that InceptionV3's last convolution would be called
    conv2d_93 only where it comes first. What is frozen, and which rows of a trunk belong to a
    network, is found by the names.
    """
    from keras.src.backend.common import global_state

    counts = global_state.get_global_attribute("object_name_uids")
    global_state.set_global_attribute("object_name_uids", defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute("object_name_uids", counts)


CAFFE_MEAN = (123.68, 116.779, 103.939)
"""ImageNet mean, RGB, of the networks ported from Caffe (mode "caffe" of keras.applications)."""

TORCH_MEAN = (123.675, 116.28, 103.53)
TORCH_STD = (58.395, 57.12, 57.375)
"""ImageNet mean and deviation, RGB order, in 0-255 units (keras.applications, mode "torch")."""

_ROOTS = (0.229**0.5, 0.224**0.5, 0.225**0.5)

CAFFE = Scaling("caffe", CAFFE_MEAN, channels="bgr")
TORCH = Scaling("torch", TORCH_MEAN, TORCH_STD)
TO_ONE = Scaling("tf", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
INSIDE = Scaling("inside")
# EfficientNetB0 to B7 take (pixel / 255 - mean) inside, but must then be divided by these roots
# once more. Keras adds that layer only where it downloads the weights itself, not for weights from
# a file; this is the same division, moved before the subtraction.
EFFICIENTNET = Scaling(
    "efficientnet",
    tuple(mean * (1 - root) for mean, root in zip(TORCH_MEAN, _ROOTS, strict=True)),
    _ROOTS,
)
LITE = Scaling("efficientnet_lite", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))

_TABLE = {
    "ConvNeXtBase": (INSIDE, 224, 32),
    "ConvNeXtLarge": (INSIDE, 224, 32),
    "ConvNeXtSmall": (INSIDE, 224, 32),
    "ConvNeXtTiny": (INSIDE, 224, 32),
    "ConvNeXtXLarge": (INSIDE, 224, 32),
    "DenseNet121": (TORCH, 224, 32),
    "DenseNet169": (TORCH, 224, 32),
    "DenseNet201": (TORCH, 224, 32),
    "EfficientNetB0": (EFFICIENTNET, 224, 32),
    "EfficientNetB1": (EFFICIENTNET, 240, 32),
    "EfficientNetB2": (EFFICIENTNET, 260, 32),
    "EfficientNetB3": (EFFICIENTNET, 300, 32),
    "EfficientNetB4": (EFFICIENTNET, 380, 32),
    "EfficientNetB5": (EFFICIENTNET, 456, 32),
    "EfficientNetB6": (EFFICIENTNET, 528, 32),
    "EfficientNetB7": (EFFICIENTNET, 600, 32),
    "EfficientNetLite2": (LITE, 260, 32),
    "EfficientNetV2B0": (INSIDE, 224, 32),
    "EfficientNetV2B1": (INSIDE, 240, 32),
    "EfficientNetV2B2": (INSIDE, 260, 32),
    "EfficientNetV2B3": (INSIDE, 300, 32),
    "EfficientNetV2L": (INSIDE, 480, 32),
    "EfficientNetV2M": (INSIDE, 480, 32),
    "EfficientNetV2S": (INSIDE, 384, 32),
    "InceptionResNetV2": (TO_ONE, 299, 75),
    "InceptionV3": (TO_ONE, 299, 75),
    "MobileNet": (TO_ONE, 224, 32),
    "MobileNetV2": (TO_ONE, 224, 32),
    "MobileNetV3Large": (INSIDE, 224, 32),
    "MobileNetV3Small": (INSIDE, 224, 32),
    "NASNetLarge": (TO_ONE, 331, 32),
    "NASNetMobile": (TO_ONE, 224, 32),
    "ResNet101": (CAFFE, 224, 32),
    "ResNet101V2": (TO_ONE, 224, 32),
    "ResNet152": (CAFFE, 224, 32),
    "ResNet152V2": (TO_ONE, 224, 32),
    "ResNet50": (CAFFE, 224, 32),
    "ResNet50V2": (TO_ONE, 224, 32),
    "VGG16": (CAFFE, 224, 32),
    "VGG19": (CAFFE, 224, 32),
    "Xception": (TO_ONE, 299, 71),
}

BACKBONES = {name: Backbone(name, *row) for name, row in _TABLE.items()}
"""Every classification network of keras.applications, and EfficientNetLite2; sorted by name."""
