"""EfficientNet-Lite2 as a Keras network, with the ImageNet weights of an installed package.

Architecture: M. Tan, Q. Le, EfficientNet (2019), scaled by width 1.1 and depth 1.2, in its Lite
form: ReLU6, no squeeze-and-excitation; the stem and the last convolution are not made wider, the
first and the last stage not deeper. `lite2_weights` reads the published weights.

Layers are named in the manner of keras.applications, so that the first layer of a stage is found by
its prefix: stem_, block1a_, block2a_, block2b_ ... block7a_, top_.
"""

from typing import Any

import keras

from gallerist.io.files import PathLike
from gallerist.networks.lite2_weights import read_state_dict

IMAGE_SIZE = 260
"""Pixels a side of the pictures that the weights were trained on."""

FEATURES = 1280
"""Channels of the last feature map."""

INPUT_MEAN, INPUT_SCALE = 127.0, 128.0
"""The network wants RGB as (value - INPUT_MEAN) / INPUT_SCALE, of values from 0 to 255."""

_STEM = 32

STAGES = (
    (1, 3, 1, 1, 16),
    (3, 3, 2, 6, 24),
    (3, 5, 2, 6, 48),
    (4, 3, 2, 6, 88),
    (4, 5, 1, 6, 120),
    (5, 5, 2, 6, 208),
    (1, 3, 1, 6, 352),
)
"""EfficientNet-B0's stages, scaled: filters x 1.1 to a multiple of 8, blocks x 1.2 rounded up.

Of each: inverted residual blocks, side of the kernel, stride of the first block, expansion,
filters."""


def build(
    input_shape: tuple[int | None, int | None, int] = (IMAGE_SIZE, IMAGE_SIZE, 3),
) -> keras.Model:
    """Build the network without top and with random weights.

    input_shape: (height, width, 3), of any height and width, None included.
    The model takes float32 (n, height, width, 3), already normalised (see INPUT_MEAN), and gives
    the last feature map (n, ceil(height / 32), ceil(width / 32), 1280), values from 0 to 6.
    """
    inputs = keras.Input(input_shape, name="normalised_image")
    x = keras.layers.Conv2D(
        _STEM, 3, strides=2, padding="same", use_bias=False,
        kernel_initializer=_initializer(), name="stem_conv",
    )(inputs)  # fmt: skip
    x = _relu6(_batch_norm(x, "stem_bn"), "stem_activation")
    for number, (blocks, kernel, stride, expansion, filters) in enumerate(STAGES, 1):
        for letter in "abcde"[:blocks]:
            first = stride if letter == "a" else 1
            x = _inverted_residual(x, f"block{number}{letter}", kernel, first, expansion, filters)
    x = _pointwise(x, FEATURES, "top_conv")
    x = _relu6(_batch_norm(x, "top_bn"), "top_activation")
    return keras.Model(inputs, x, name="efficientnet_lite2")


def load_imagenet_weights(model: keras.Model, file: PathLike) -> None:
    """Fill a model made by `build` with the ImageNet weights of the packaged file, or a copy of it.

    Raises UserError where it is another file.
    """
    tensors = read_state_dict(file)
    in_order = (tensors[name] for name in tensors if not name.endswith("num_batches_tracked"))
    for layer in model.layers:  # whose weights stand in the file's order, layer by layer
        weights = [next(in_order) for _ in layer.weights]
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            # PyTorch has (out, in, h, w), depthwise (channels, 1, h, w);
            # Keras has (h, w, in, out), depthwise (h, w, channels, 1).
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            weights = [weights[0].transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))]
        layer.set_weights(weights)


def _inverted_residual(
    inputs: Any, name: str, kernel: int, stride: int, expansion: int, filters: int
) -> Any:
    x, channels = inputs, inputs.shape[-1]
    if expansion != 1:
        x = _pointwise(x, channels * expansion, f"{name}_expand_conv")
        x = _relu6(_batch_norm(x, f"{name}_expand_bn"), f"{name}_expand_activation")
    x = keras.layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", use_bias=False,
        depthwise_initializer=_initializer(), name=f"{name}_dwconv",
    )(x)  # fmt: skip
    x = _relu6(_batch_norm(x, f"{name}_bn"), f"{name}_activation")
    x = _batch_norm(_pointwise(x, filters, f"{name}_project_conv"), f"{name}_project_bn")
    if stride == 1 and channels == filters:
        x = keras.layers.Add(name=f"{name}_add")([x, inputs])
    return x


def _pointwise(x: Any, filters: int, name: str) -> Any:
    start = _initializer()
    return keras.layers.Conv2D(filters, 1, use_bias=False, kernel_initializer=start, name=name)(x)


def _batch_norm(x: Any, name: str) -> Any:
    return keras.layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=name)(x)


def _relu6(x: Any, name: str) -> Any:
    return keras.layers.ReLU(6.0, name=name)(x)


def _initializer() -> Any:
    """A new one for each layer: an initializer used twice gives the same numbers twice."""
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="truncated_normal")
