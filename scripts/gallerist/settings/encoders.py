"""Experiments by an encoder that others trained: a file, which is taken as it is."""

from typing import Annotated, Any, Literal

from pydantic import Field

from gallerist.settings.base import Float, Positive, Settings, Side, key
from gallerist.settings.networks import Scratch, Transfer
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
from gallerist.settings.texts import File, Text

_THREE = "three numbers, for red, green and blue from 0 to 255"

_OF_THREE: dict[str, Any] = {"expects": _THREE, "min_length": 3, "max_length": 3}


class _OnnxKeys(Settings):
    network: Literal["onnx"] = KIND
    file: File | None = key(None, expects="the path of an .onnx file", example="encoder.onnx")
    """The encoder; its weights may lie in files beside it. Or give `address`."""
    address: Text | None = key(
        None,
        expects="an address, https://...",
        pattern="^https?://",
        example="https://example.org/encoder.onnx",
    )
    """Where it is downloaded from, once, if its `sha256` is right."""
    sha256: str | None = key(
        None, expects="64 hexadecimal digits in lower case", pattern="^[0-9a-f]{64}$"
    )
    """SHA-256 of the file, as `sha256sum` prints it; needed with `address`. Another is refused."""
    image_size: Side | None = key(None, "pixels", example=224)
    """Pictures are resized to a square of this side. `null`: as the file says."""
    layout: Literal["NCHW", "NHWC"] | None = key(None, noun="a layout")
    """Order of the input's dimensions. `null`: by where it has three channels."""
    mean: list[Float] | None = key(None, **_OF_THREE, example=[123.675, 116.28, 103.53])
    """What is subtracted from pixels from 0 to 255. `null`: as the file's metadata says."""
    deviation: list[Positive] | None = key(None, **_OF_THREE, example=[58.395, 57.12, 57.375])
    """What they are divided by then. `null`: as the file's metadata says."""
    channels: Literal["rgb", "bgr"] | None = key(None, noun="an order of channels")
    """Order of the input's channels. `null`: as the metadata says, or rgb."""
    output: Text | None = key(None, example="vector")
    """Name of the output, or of a tensor inside, such as what the classifier is given. `null`: the
    only output."""
    pooling: Literal["flatten", "avg", "max", "first"] | None = key(None, noun="a pooling")
    """How an output that is no vector becomes one: every number of it (`flatten`), the mean or the
    maximum over places or tokens, or the `first` token. `null`: as the metadata says, or
    `flatten`."""
    look: Look = LOOK
    resizing: Resizing | None = key(None, noun="a resizing")
    """How a picture becomes a square, as for other networks: `squeeze`, `crop` or `pad`. `null`: as
    the metadata says, or `squeeze`."""
    crop_ratio: CropRatio | None = CROP_RATIO


class Onnx(RankedByVectors, _OnnxKeys):
    """An encoder in an ONNX file, run by OpenVINO on the processor. What is `null` is taken from
    the file: from its shapes, or from metadata of the same names.
    """


class _KerasKeys(Settings):
    network: Literal["keras"] = KIND
    file: File | None = key(None, expects="the path of a .keras file", example="encoder.keras")
    """A model saved by Keras 3, without code of its own. Or give `preset`."""
    preset: Text | None = key(None, example="resnet_18_imagenet")
    """A backbone of keras_hub by its name, which keras_hub downloads once, or a handle of Kaggle or
    Hugging Face; needs the packages of `envs/requirements-keras-hub.lock`."""
    image_size: Side | None = key(None, "pixels", example=224)
    """Pictures are resized to a square of this side. `null`: the size that the model takes."""
    mean: list[Float] | None = key(None, **_OF_THREE, example=[127.5, 127.5, 127.5])
    """What is subtracted from pixels from 0 to 255. `null`: as the preset says; of a file nothing,
    as many models scale pixels themselves."""
    deviation: list[Positive] | None = key(None, **_OF_THREE, example=[127.5, 127.5, 127.5])
    """What they are divided by then. `null`: as the preset says; of a file nothing."""
    channels: Literal["rgb", "bgr"] = key("rgb", noun="an order of channels")
    """Order of the input's channels."""
    output: Text | None = key(None)
    """Name of the layer whose output is taken, such as the one before the classifier. `null`: the
    last one."""
    pooling: Literal["flatten", "avg", "max", "first"] = key("flatten", noun="a pooling")
    """How an output that is no vector becomes one: every number of it (`flatten`), the mean or the
    maximum over places or tokens, or the `first` token."""
    look: Look = LOOK
    resizing: Resizing = RESIZING
    crop_ratio: CropRatio | None = CROP_RATIO


class KerasFile(RankedByVectors, _KerasKeys):
    """A model in a .keras file, or a preset of keras_hub, used as it is."""


Encoder = Onnx | KerasFile

AnyNetwork = Annotated[Transfer | Scratch | Onnx | KerasFile, Field(discriminator="network")]
