"""An encoder in a .keras file, loaded without its code, or of keras_hub; stored as trained ones."""

import json
import os
import textwrap
import zipfile
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, replacing, sha256_of_file
from gallerist.networks.architectures import InferenceMode, PixelScaling
from gallerist.networks.export import export
from gallerist.networks.heads import EMBEDDING


def import_keras(file: PathLike, settings: Mapping[str, Any], path: PathLike) -> int:
    """Write a network that gives vectors of pixels, and the three files for OpenVINO beside it.

    file: or the name of a preset, where settings have one. settings: of the experiment. path: of
    the network, a .keras file.
    Returns pixels a side. Raises UserError in one line that names the file: where it is damaged,
    needs code of its own (a Lambda, a layer that Keras does not have), or takes no pictures.
    """
    try:
        loaded, scaling = _of_preset(os.fspath(file)) if settings["preset"] else _of_file(file)
        given = {key: value for key, value in settings.items() if value is not None}
        network, size = _on_pixels(loaded, {**settings, **scaling, **given})
    except Exception as error:  # Keras raises everything from KeyError to BadZipFile
        reason = textwrap.shorten(str(error), 300) or type(error).__name__
        raise UserError(f"{os.fspath(file)} cannot be used as an encoder: {reason}") from error
    with replacing(path) as temporary:
        network.save(os.fspath(temporary))
    length = network.outputs[0].shape[-1]
    described = {"model": sha256_of_file(path), "trunk": None, "length": length}
    export(path, {("pixels",): network}, **described, sizes="fixed", facts={})
    return size


def _of_file(file: PathLike) -> tuple[keras.Model, dict[str, Any]]:
    """The model of a file, and that pixels are not scaled for it."""
    if not zipfile.is_zipfile(file):  # Keras would call it "not found"
        raise ValueError("it is not a whole .keras file")
    if own := _own_code(file):
        raise ValueError(f"it needs code of its own: {', '.join(sorted(own))}")
    loaded = keras.models.load_model(os.fspath(file), compile=False, safe_mode=True)
    return loaded, {"mean": [0.0] * 3, "deviation": [1.0] * 3}


def _of_preset(name: str) -> tuple[keras.Model, dict[str, Any]]:
    """A backbone of keras_hub, and how its preset scales pixels: pixel * scale + offset."""
    try:
        import keras_hub
    except ImportError as error:
        raise ValueError(
            "a preset needs keras_hub: .venv/bin/python -m pip install --no-deps "
            "--require-hashes -r envs/requirements-keras-hub.lock"
        ) from error
    backbone = keras_hub.models.Backbone.from_preset(name)
    converter = keras_hub.layers.ImageConverter.from_preset(name)
    scale = np.broadcast_to(1.0 if converter.scale is None else converter.scale, 3)
    offset = np.broadcast_to(0.0 if converter.offset is None else converter.offset, 3)
    # Its layers are Keras's own, mostly; the class of the whole is keras_hub's.
    loaded = keras.Model(backbone.input, backbone.output)
    return loaded, {"mean": (-offset / scale).tolist(), "deviation": (1 / scale).tolist()}


def _own_code(file: PathLike) -> set[str]:
    """The classes that a model is made of and Keras does not have, or that hold Python code."""
    with zipfile.ZipFile(file) as archive:
        waiting = [json.loads(archive.read("config.json"))]
    found = set[str]()
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            name = str(each.get("registered_name") or each.get("class_name"))
            place = str(each.get("module")).partition(".")[0]
            known = place in ("keras", "builtins", "gallerist") or not each.get("registered_name")
            if each.get("class_name") == "Lambda" or not known:
                found.add(name)
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return found


def _on_pixels(loaded: keras.Model, settings: Mapping[str, Any]) -> tuple[keras.Model, int]:
    """(n, s, s, 3) RGB pixels 0-255 -> (n, length), and s."""
    if len(loaded.inputs) != 1 or len(loaded.inputs[0].shape) != 4:
        raise ValueError("it does not take one picture: one input of four dimensions")
    _, *sides, channels = loaded.inputs[0].shape
    size = settings["image_size"] or sides[0] or sides[1]
    if size is None:
        raise ValueError("it takes pictures of any size: say which by image_size, such as 224")
    if channels not in (3, None) or {side or size for side in sides} != {size}:
        raise ValueError(f"it takes {(*sides, channels)} and not {(size, size, 3)}")
    if settings["output"]:
        loaded = keras.Model(loaded.inputs, loaded.get_layer(settings["output"]).output)
    if len(loaded.outputs) != 1:
        raise ValueError("it has several outputs: name the layer of one by output")
    pixels = keras.Input((size, size, 3), name="pixels")
    scaling = PixelScaling(settings["mean"], settings["deviation"], settings["channels"])
    made = InferenceMode(loaded, name="encoder")(scaling(pixels))
    places = tuple(range(1, len(made.shape) - 1))
    if settings["pooling"] == "first":
        if len(places) != 1:
            raise ValueError("pooling: first is of tokens, an output of three dimensions")
        made = made[:, 0]
    elif settings["pooling"] != "flatten" and places:
        pool = keras.ops.mean if settings["pooling"] == "avg" else keras.ops.max
        made = pool(made, axis=places)
    vector = keras.layers.Flatten(name=EMBEDDING, dtype="float32")(made)
    return keras.Model(pixels, vector, name="encoder_on_pixels"), size
