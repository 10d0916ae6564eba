"""Where Keras publishes ImageNet weights without the classifier, and the digests of the files.

Copied from keras.applications, which has most digests only inside the functions that build the
networks, and builds the whole network before every attempt at a download.
"""

from typing import NamedTuple

_STORE = "https://storage.googleapis.com"
_KERAS = f"{_STORE}/tensorflow/keras-applications"
_NO_TOP = "weights_tf_dim_ordering_tf_kernels_notop.h5"


class Published(NamedTuple):
    """One file, in legacy HDF5.

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


PUBLISHED = {
    "ConvNeXtBase": Published(
        f"{_KERAS}/convnext/convnext_base_notop.h5",
        "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45",
    ),
    "ConvNeXtLarge": Published(
        f"{_KERAS}/convnext/convnext_large_notop.h5",
        "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd",
    ),
    "ConvNeXtSmall": Published(
        f"{_KERAS}/convnext/convnext_small_notop.h5",
        "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab",
    ),
    "ConvNeXtTiny": Published(
        f"{_KERAS}/convnext/convnext_tiny_notop.h5",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
    "ConvNeXtXLarge": Published(
        f"{_KERAS}/convnext/convnext_xlarge_notop.h5",
        "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
    ),
    "DenseNet121": Published(
        f"{_KERAS}/densenet/densenet121_{_NO_TOP}", "30ee3e1110167f948a6b9946edeeb738"
    ),
    "DenseNet169": Published(
        f"{_KERAS}/densenet/densenet169_{_NO_TOP}", "b8c4d4c20dd625c148057b9ff1c1176b"
    ),
    "DenseNet201": Published(
        f"{_KERAS}/densenet/densenet201_{_NO_TOP}", "c13680b51ded0fb44dff2d8f86ac8bb1"
    ),
    **{
        f"EfficientNet{size}": Published(
            f"{_STORE}/keras-applications/efficientnet{size.lower()}_notop.h5", digest
        )
        for size, digest in {
            "B0": "50bc09e76180e00e4465e1a485ddc09d",
            "B1": "74c4e6b3e1f6a1eea24c589628592432",
            "B2": "111f8e2ac8aa800a7a99e3239f7bfb39",
            "B3": "af6d107764bb5b1abb91932881670226",
            "B4": "ebc24e6d6c33eaebbd558eafbeedf1ba",
            "B5": "38879255a25d3c92d5e44e04ae6cec6f",
            "B6": "9ecce42647a20130c1f39a5d4cb75743",
            "B7": "cbcfe4450ddf6f3ad90b1b398090fe4a",
        }.items()
    },
    **{
        f"EfficientNetV2{size}": Published(
            f"{_KERAS}/efficientnet_v2/efficientnetv2-{size.lower()}_notop.h5", digest
        )
        for size, digest in {
            "B0": "893217f2bb855e2983157299931e43ff",
            "B1": "0e80663031ca32d657f9caa404b6ec37",
            "B2": "1dfe2e7a5d45b6632553a8961ea609eb",
            "B3": "f6abf7b5849ac99a89b50dd3fd532856",
            "L": "b0b66b5c863aef5b46e8608fe1711615",
            "M": "1b8dc055df72dde80d614482840fe342",
            "S": "af0682fb74e8c54910f2d4393339c070",
        }.items()
    },
    "InceptionResNetV2": Published(
        f"{_KERAS}/inception_resnet_v2/inception_resnet_v2_{_NO_TOP}",
        "d19885ff4a710c122648d3b5c3b684e4",
    ),
    "InceptionV3": Published(
        f"{_KERAS}/inception_v3/inception_v3_{_NO_TOP}", "bcbd6486424b2319ff4ef7d526e38f63"
    ),
    "MobileNet": Published(f"{_KERAS}/mobilenet/mobilenet_1_0_224_tf_no_top.h5", None),
    "MobileNetV2": Published(
        f"{_KERAS}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        None,
    ),
    "MobileNetV3Large": Published(
        f"{_KERAS}/mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        "07fb09a5933dd0c8eaafa16978110389",
    ),
    "MobileNetV3Small": Published(
        f"{_KERAS}/mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
        "d3e8ec802a04aa4fc771ee12a9a9b836",
    ),
    "NASNetLarge": Published(
        f"{_KERAS}/nasnet/NASNet-large-no-top.h5",
        "d81d89dc07e6e56530c4e77faddd61b5",
        cached_as="nasnet_large_no_top.h5",
    ),
    "NASNetMobile": Published(
        f"{_KERAS}/nasnet/NASNet-mobile-no-top.h5",
        "1ed92395b5b598bdda52abe5c0dbfd63",
        cached_as="nasnet_mobile_no_top.h5",
    ),
    "ResNet101": Published(
        f"{_KERAS}/resnet/resnet101_{_NO_TOP}", "88cf7a10940856eca736dc7b7e228a21"
    ),
    "ResNet101V2": Published(
        f"{_KERAS}/resnet/resnet101v2_{_NO_TOP}", "c0ed64b8031c3730f411d2eb4eea35b5"
    ),
    "ResNet152": Published(
        f"{_KERAS}/resnet/resnet152_{_NO_TOP}",
        "a4cdce05b519d72205245c6f7ffd368180c7065d46c7a6bfc27902f0278c828a",
    ),
    "ResNet152V2": Published(
        f"{_KERAS}/resnet/resnet152v2_{_NO_TOP}", "ed17cf2e0169df9d443503ef94b23b33"
    ),
    "ResNet50": Published(
        f"{_KERAS}/resnet/resnet50_{_NO_TOP}", "4d473c1dd8becc155b73f8504c6f6626"
    ),
    "ResNet50V2": Published(
        f"{_KERAS}/resnet/resnet50v2_{_NO_TOP}", "fac2f116257151a9d068a22e544a4917"
    ),
    "VGG16": Published(f"{_KERAS}/vgg16/vgg16_{_NO_TOP}", "6d6bbae143d832006294945121d1f1fc"),
    "VGG19": Published(f"{_KERAS}/vgg19/vgg19_{_NO_TOP}", "253f8cb515780f3b799900260a226db6"),
    "Xception": Published(
        f"{_KERAS}/xception/xception_{_NO_TOP}", "b0042744bf5b25fce3cb969f33bebb97"
    ),
}
"""Backbone -> its weights. Of the MobileNets those for pictures of 224 pixels, whatever the size
of the experiment's: Keras has others for smaller pictures, too."""
