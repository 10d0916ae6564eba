"""The pretrained networks that an experiment can start from: a table of what each expects.

The configuration reads it, so Keras is imported only where a network is built.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin

from gallerist.io.errors import UserError

if TYPE_CHECKING:
    import keras


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
        Raises UserError where the pictures are too small for it.
        """
        if image_size < self.min_image_size:
            raise UserError(
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

    def load_weights(self, model: "keras.Model", file: str) -> None:
        """Fill a network that `build` made from a Keras weights file, or EfficientNetLite2's .pth.

        Raises whatever Keras does for a file that does not fit.
        """
        if self.name == "EfficientNetLite2" and file.endswith(".pth"):
            from gallerist.networks import efficientnet_lite2

            efficientnet_lite2.load_imagenet_weights(model, file)
        else:
            model.load_weights(file)


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


class Published(NamedTuple):
    """A file of ImageNet weights without the classifier, in legacy HDF5.

    digest: SHA-256 or MD5 of the file, whichever is known; None where Keras gives none.
    cached_as: its name in Keras's cache, where that is not the last part of the address.
    """

    address: str
    digest: str | None
    cached_as: str | None = None

    @property
    def file(self) -> str:
        """Its name in Keras's cache, so that Keras's download and ours are one."""
        return self.cached_as or self.address.rpartition("/")[2]


_TABLE = """
ConvNeXtBase      inside            224 32 convnext/convnext_base_notop.h5 40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45
ConvNeXtLarge     inside            224 32 convnext/convnext_large_notop.h5 96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd
ConvNeXtSmall     inside            224 32 convnext/convnext_small_notop.h5 6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab
ConvNeXtTiny      inside            224 32 convnext/convnext_tiny_notop.h5 d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1
ConvNeXtXLarge    inside            224 32 convnext/convnext_xlarge_notop.h5 de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05
DenseNet121       torch             224 32 densenet/densenet121_* 30ee3e1110167f948a6b9946edeeb738
DenseNet169       torch             224 32 densenet/densenet169_* b8c4d4c20dd625c148057b9ff1c1176b
DenseNet201       torch             224 32 densenet/densenet201_* c13680b51ded0fb44dff2d8f86ac8bb1
EfficientNetB0    efficientnet      224 32 /keras-applications/efficientnetb0_notop.h5 50bc09e76180e00e4465e1a485ddc09d
EfficientNetB1    efficientnet      240 32 /keras-applications/efficientnetb1_notop.h5 74c4e6b3e1f6a1eea24c589628592432
EfficientNetB2    efficientnet      260 32 /keras-applications/efficientnetb2_notop.h5 111f8e2ac8aa800a7a99e3239f7bfb39
EfficientNetB3    efficientnet      300 32 /keras-applications/efficientnetb3_notop.h5 af6d107764bb5b1abb91932881670226
EfficientNetB4    efficientnet      380 32 /keras-applications/efficientnetb4_notop.h5 ebc24e6d6c33eaebbd558eafbeedf1ba
EfficientNetB5    efficientnet      456 32 /keras-applications/efficientnetb5_notop.h5 38879255a25d3c92d5e44e04ae6cec6f
EfficientNetB6    efficientnet      528 32 /keras-applications/efficientnetb6_notop.h5 9ecce42647a20130c1f39a5d4cb75743
EfficientNetB7    efficientnet      600 32 /keras-applications/efficientnetb7_notop.h5 cbcfe4450ddf6f3ad90b1b398090fe4a
EfficientNetLite2 efficientnet_lite 260 32 - -
EfficientNetV2B0  inside            224 32 efficientnet_v2/efficientnetv2-b0_notop.h5 893217f2bb855e2983157299931e43ff
EfficientNetV2B1  inside            240 32 efficientnet_v2/efficientnetv2-b1_notop.h5 0e80663031ca32d657f9caa404b6ec37
EfficientNetV2B2  inside            260 32 efficientnet_v2/efficientnetv2-b2_notop.h5 1dfe2e7a5d45b6632553a8961ea609eb
EfficientNetV2B3  inside            300 32 efficientnet_v2/efficientnetv2-b3_notop.h5 f6abf7b5849ac99a89b50dd3fd532856
EfficientNetV2L   inside            480 32 efficientnet_v2/efficientnetv2-l_notop.h5 b0b66b5c863aef5b46e8608fe1711615
EfficientNetV2M   inside            480 32 efficientnet_v2/efficientnetv2-m_notop.h5 1b8dc055df72dde80d614482840fe342
EfficientNetV2S   inside            384 32 efficientnet_v2/efficientnetv2-s_notop.h5 af0682fb74e8c54910f2d4393339c070
InceptionResNetV2 tf                299 75 inception_resnet_v2/inception_resnet_v2_* d19885ff4a710c122648d3b5c3b684e4
InceptionV3       tf                299 75 inception_v3/inception_v3_* bcbd6486424b2319ff4ef7d526e38f63
MobileNet         tf                224 32 mobilenet/mobilenet_1_0_224_tf_no_top.h5 -
MobileNetV2       tf                224 32 mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5 -
MobileNetV3Large  inside            224 32 mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5 07fb09a5933dd0c8eaafa16978110389
MobileNetV3Small  inside            224 32 mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5 d3e8ec802a04aa4fc771ee12a9a9b836
NASNetLarge       tf                331 32 nasnet/NASNet-large-no-top.h5 d81d89dc07e6e56530c4e77faddd61b5 nasnet_large_no_top.h5
NASNetMobile      tf                224 32 nasnet/NASNet-mobile-no-top.h5 1ed92395b5b598bdda52abe5c0dbfd63 nasnet_mobile_no_top.h5
ResNet101         caffe             224 32 resnet/resnet101_* 88cf7a10940856eca736dc7b7e228a21
ResNet101V2       tf                224 32 resnet/resnet101v2_* c0ed64b8031c3730f411d2eb4eea35b5
ResNet152         caffe             224 32 resnet/resnet152_* a4cdce05b519d72205245c6f7ffd368180c7065d46c7a6bfc27902f0278c828a
ResNet152V2       tf                224 32 resnet/resnet152v2_* ed17cf2e0169df9d443503ef94b23b33
ResNet50          caffe             224 32 resnet/resnet50_* 4d473c1dd8becc155b73f8504c6f6626
ResNet50V2        tf                224 32 resnet/resnet50v2_* fac2f116257151a9d068a22e544a4917
VGG16             caffe             224 32 vgg16/vgg16_* 6d6bbae143d832006294945121d1f1fc
VGG19             caffe             224 32 vgg19/vgg19_* 253f8cb515780f3b799900260a226db6
Xception          tf                299 71 xception/xception_* b0042744bf5b25fce3cb969f33bebb97
"""  # noqa: E501
"""Every classification network of keras.applications, and EfficientNetLite2; sorted by name.

The columns are name, scaling, image_size, min_image_size; where Keras publishes its weights, "*"
for an ending that most have; their digest, and their name in Keras's cache where that is another.
The last three are copied from keras.applications, which has most digests only inside the functions
that build the networks, and builds a whole network before every attempt at a download. Of the
MobileNets they are for pictures of 224 pixels, whatever the size of the experiment's: Keras has
others for smaller pictures, too."""

_STORE = "https://storage.googleapis.com/tensorflow/keras-applications/"
_ENDING = "weights_tf_dim_ordering_tf_kernels_notop.h5"

BACKBONES: dict[str, Backbone] = {}
"""By name, sorted."""

PUBLISHED: dict[str, Published] = {}
"""Backbone -> its ImageNet weights, of those that Keras publishes."""

_SCALINGS = {each.kind: each for each in (CAFFE, TORCH, TO_ONE, INSIDE, EFFICIENTNET, LITE)}
for _name, _scaling, _size, _least, _path, _digest, *_cached in map(
    str.split, _TABLE.strip().splitlines()
):
    BACKBONES[_name] = Backbone(_name, _SCALINGS[_scaling], int(_size), int(_least))
    if _path != "-":
        _address = urljoin(_STORE, _path.replace("*", _ENDING))
        PUBLISHED[_name] = Published(_address, None if _digest == "-" else _digest, *_cached)
