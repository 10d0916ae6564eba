"""An encoder in an ONNX file: read by OpenVINO, and written as the exported networks are.

Nothing of the file is executed but the standard operators that OpenVINO has; operators of anybody
else, and data outside the file's folder, are refused by it.
"""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from gallerist.io.arrays import AnyArray
from gallerist.io.errors import UserError
from gallerist.io.files import (
    PathLike,
    canonical_json,
    replacing,
    sha256_of_file,
    sha256_of_text,
    write_json,
)
from gallerist.networks.exported import EXACT, compared, export_files, import_openvino, probe

MOST_BYTES = 8 << 30
"""Of a file that is downloaded."""

Pooling = Literal["flatten", "avg", "max", "first"]

_RANGES = {
    "NominalRange_0_255": (0.0, 1.0),
    "Normalized_0_1": (0.0, 255.0),
    "Normalized_1_1": (127.5, 127.5),
}
"""Of ONNX's own metadata of images (docs/MetadataProps.md): mean and deviation."""


@dataclass(frozen=True)
class Given:
    """What an ONNX encoder is given, and what is taken of it.

    image_size: pixels a side. layout: of its input. mean, deviation: of pixels from 0 to 255, in
    RGB order. channels: their order in the input. output: its name, or that of a tensor inside.
    pooling: what makes a vector of what is no vector: all numbers, the mean or the maximum over
    places, or the first of tokens. resizing, crop_ratio: see `data.preprocessing`.
    """

    image_size: int
    layout: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    channels: str
    output: str
    pooling: Pooling
    resizing: str
    crop_ratio: float | None


def import_onnx(file: PathLike, settings: Mapping[str, Any], path: PathLike) -> Given:
    """Write the three files beside `path` that `exported.Exported.read` reads.

    settings: of the experiment; a key that is null is taken from the file's metadata, its shapes,
    or a default. Returns what was used.
    Raises UserError in one line that names the file.
    """
    openvino = import_openvino()
    try:
        whole = openvino.Core().read_model(file)
        given = _described(whole, settings)
        batch = _image_input(whole).partial_shape[0]
        network = _from_pixels(_cut(whole, given), given)
        pixels = probe((given.image_size, given.image_size, 3), np.uint8)
        if batch.is_static and not _takes_several(network, pixels):
            network.reshape([batch.get_length(), *pixels.shape[1:]])
        graph, weights, description = export_files(path)
        with replacing(graph) as new_graph, replacing(weights) as new_weights:
            openvino.serialize(network, str(new_graph), str(new_weights))
        expected = compared(np.concatenate([_run(network, each[None]) for each in pixels]))
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    except Exception as error:  # OpenVINO raises everything from RuntimeError to its own
        raise UserError(f"{file} cannot be used as an encoder: {_reason_of(error)}") from error
    if not np.isfinite(expected).all():
        raise UserError(f"{file} gives numbers that are not finite. Are mean and deviation right?")
    sums = {each.suffix: sha256_of_file(each) for each in (graph, weights)}
    # The weights may lie in files beside the one that is named.
    identity = {"onnx": sha256_of_file(file), "weights": sums[weights.suffix], **asdict(given)}
    write_json(
        description,
        {
            "files": sums,
            "model": sha256_of_text(canonical_json(identity)),
            "trunk": None,
            "length": int(network.outputs[0].partial_shape[1].get_length()),
            "sizes": "fixed",
            "expected": {"pixels": expected.tolist()},
            "facts": {"onnx": asdict(given)},
        },
    )
    return given


def _described(whole: Any, settings: Mapping[str, Any]) -> Given:
    said = _metadata(whole)
    known = {key: value for key, value in settings.items() if value is not None}
    image = _image_input(whole)
    shape = image.partial_shape
    sides = [side.get_length() if side.is_static else None for side in shape]
    layout = known.get("layout") or said.get("layout") or _layout(sides)
    size: Any = known.get("image_size") or said.get("image_size")
    height, width = sides[2:] if layout == "NCHW" else sides[1:3]
    fixed: Any = height or width
    if size is None and fixed is None:
        raise UserError("it takes pictures of any size: say which by image_size, such as 224")
    if fixed is not None and {height or fixed, width or fixed} != {size or fixed}:
        raise UserError(f"it takes pictures of {height}x{width}: leave image_size out")
    for key in ("mean", "deviation"):
        if key not in known and key not in said:
            raise UserError(
                f"it does not say how pixels are scaled: give {key}, three numbers for red, green "
                "and blue from 0 to 255; ImageNet's are mean: [123.675, 116.28, 103.53], "
                "deviation: [58.395, 57.12, 57.375]"
            )
    defaults: dict[str, Any] = {
        "channels": "rgb",
        "pooling": "flatten",
        "resizing": "squeeze",
        "crop_ratio": None,
    }
    chosen = {key: known.get(key, said.get(key, default)) for key, default in defaults.items()}
    return Given(
        image_size=size or fixed,
        layout=layout,
        mean=_three(known.get("mean", said.get("mean")), "mean"),
        deviation=_three(known.get("deviation", said.get("deviation")), "deviation"),
        output=known.get("output") or said.get("output") or _only_output(whole),
        **chosen,
    )


def _metadata(whole: Any) -> dict[str, Any]:
    """What the file says of its input: our keys, and ONNX's own of images."""
    held = whole.get_rt_info("framework").value if whole.has_rt_info("framework") else {}
    texts = {key: text for key, text in held.items() if isinstance(text, str)}
    said: dict[str, Any] = {}
    if "Image.BitmapPixelFormat" in texts:
        said["channels"] = texts["Image.BitmapPixelFormat"].removesuffix("8").lower()
    if texts.get("Image.NominalPixelRange") in _RANGES:
        mean, deviation = _RANGES[texts["Image.NominalPixelRange"]]
        said |= {"mean": [mean] * 3, "deviation": [deviation] * 3}
    for key in Given.__dataclass_fields__:
        if key in texts:
            try:
                said[key] = json.loads(texts[key])
            except ValueError:
                said[key] = texts[key]
    return said


def _image_input(whole: Any) -> Any:
    images = [each for each in whole.get_parameters() if each.partial_shape.rank.get_length() == 4]
    if len(images) != 1:
        shapes = ", ".join(f"{each.get_friendly_name()} {each.partial_shape}"
                           for each in whole.get_parameters())  # fmt: skip
        raise UserError(f"one input must be a picture, of four dimensions; it takes {shapes}")
    return images[0]


def _layout(sides: Sequence[int | None]) -> str:
    if sides[1] == 3 and sides[3] != 3:
        return "NCHW"
    if sides[3] == 3 and sides[1] != 3:
        return "NHWC"
    raise UserError("its shape does not tell where the channels are: give layout, NCHW or NHWC")


def _output(whole: Any, name: str) -> Any:
    """An output, or a tensor inside, such as what a classifier is given."""
    try:
        return whole.output(name)
    except RuntimeError:
        names = ", ".join(_output_names(whole))
    try:
        return whole.add_outputs(name)[0]
    except RuntimeError as error:
        raise UserError(f"it has no output {name!r}: it has {names}, and tensors inside") from error


def _only_output(whole: Any) -> str:
    names = _output_names(whole)
    if len(names) > 1:
        raise UserError(f"it has several outputs: name one by output ({', '.join(names)})")
    return names[0]


def _output_names(whole: Any) -> list[str]:
    return [sorted(each.names)[0] if each.names else f"{i}" for i, each in enumerate(whole.outputs)]


def _three(values: Any, key: str) -> tuple[float, ...]:
    if not isinstance(values, Sequence) or len(values) != 3:
        raise UserError(f"{key} must be three numbers, found {values!r}")
    if key == "deviation" and not all(float(each) > 0 for each in values):
        raise UserError(f"deviation must be above 0, found {values!r}")
    return tuple(float(each) for each in values)


def _cut(whole: Any, given: Given) -> Any:
    """The network from picture to vector, of a fixed size, for as many pictures as it can."""
    openvino = import_openvino()
    operators = openvino.opset13
    image = _image_input(whole)
    vector = _output(whole, given.output).get_node().input_value(0)
    rank = vector.get_partial_shape().rank.get_length()
    places = (
        list(range(2, rank)) if given.layout == "NCHW" and rank > 3 else list(range(1, rank - 1))
    )
    if given.pooling == "first":
        if rank != 3:
            raise UserError("pooling: first is of tokens, an output of three dimensions")
        vector = operators.gather(vector, np.int64(0), np.int64(1)).output(0)
    elif given.pooling in ("avg", "max") and places:
        reduce = operators.reduce_mean if given.pooling == "avg" else operators.reduce_max
        vector = reduce(vector, np.array(places), keep_dims=False).output(0)
    if vector.get_partial_shape().rank.get_length() != 2:
        vector = operators.reshape(vector, np.array([0, -1]), special_zero=True).output(0)
    if vector.get_element_type() != openvino.Type.f32:
        vector = operators.convert(vector, "f32").output(0)
    network = openvino.Model([operators.result(vector)], [image], "encoder")
    sides = [3, given.image_size, given.image_size]
    sides = sides if given.layout == "NCHW" else sides[1:] + sides[:1]
    try:
        network.reshape([-1, *sides])
    except RuntimeError:  # where it only takes the number that it was exported for
        network.reshape([image.partial_shape[0].get_length(), *sides])
    return network


def _from_pixels(network: Any, given: Given) -> Any:
    """The same of (n, size, size, 3) uint8 RGB pixels, scaled in float32."""
    openvino = import_openvino()
    from openvino.preprocess import PrePostProcessor  # type: ignore[import-untyped]

    before = PrePostProcessor(network)
    taken = before.input(0)
    taken.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    taken.model().set_layout(openvino.Layout(given.layout))
    steps = taken.preprocess().convert_element_type(openvino.Type.f32)
    steps = steps.mean([*given.mean]).scale([*given.deviation])
    if given.channels == "bgr":
        steps.reverse_channels()
    built = before.build()
    built.get_parameters()[0].set_friendly_name("pixels")
    built.results[0].set_friendly_name("of pixels")
    return built


def _takes_several(network: Any, pixels: AnyArray) -> bool:
    """Whether what was exported for a fixed number of pictures gives each of two its own vector."""
    try:
        together = _run(network, pixels)
        alone = np.concatenate([_run(network, each[None]) for each in pixels])
    except RuntimeError:
        return False
    return together.shape == alone.shape and bool(np.allclose(together, alone, 1e-3, 1e-4))


def _run(network: Any, pixels: AnyArray) -> AnyArray:
    """What OpenVINO itself gives, in float32, for pictures at once, or as many as it takes."""
    batch = network.inputs[0].partial_shape[0]
    count = batch.get_length() if batch.is_static else len(pixels)
    fixed = network.clone()
    fixed.reshape([count, *pixels.shape[1:]])
    compiled = import_openvino().Core().compile_model(fixed, "CPU", dict(EXACT))
    filled = np.resize(pixels, (count, *pixels.shape[1:]))
    return np.array(next(iter(compiled(filled).values())))[: len(pixels)]


def _reason_of(error: Exception) -> str:
    """What OpenVINO says, in one line, without its places in its source and its advice."""
    text = str(error).partition("FrontEnd API failed with ")[2] or str(error)
    lines = [
        line for line in text.splitlines() if not line.startswith(("Exception from", "Check "))
    ]
    unknown = [line for line in lines if "No conversion rule found for operations" in line]
    words = " ".join(unknown or lines).partition("To facilitate")[0]
    return textwrap.shorten(words.lstrip("- "), 300) or type(error).__name__
