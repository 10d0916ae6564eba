"""A Keras network written for OpenVINO, so that those who only run it need neither of Keras's."""

import logging
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from gallerist.io.arrays import AnyArray
from gallerist.io.files import PathLike, replacing, sha256_of_file, write_json
from gallerist.networks.exported import (
    Kind,
    compared,
    export_files,
    import_openvino,
    probe,
)
from gallerist.networks.frozen_graph import (
    input_dtype,
    pack_input,
    quiet_tensorflow,
    write_frozen_graph,
)

logger = logging.getLogger("gallerist")


def convert(model: keras.Model) -> Any:
    """A network of one input as an openvino.Model, with its weights of now, its outputs in order.

    Raises whatever OpenVINO does for a network that it does not know how to run.
    """
    with tempfile.TemporaryDirectory(prefix="gallerist-") as folder:
        graph = Path(folder) / "network.pb"
        names = write_frozen_graph(model, graph)
        converted = import_openvino().Core().read_model(graph)
        results = [converted.output(name).node for name in names]
        return import_openvino().Model(results, converted.get_parameters())


def export(
    path: PathLike, graphs: Mapping[tuple[Kind, ...], keras.Model], **described: Any
) -> None:
    """Write the three files beside `path` that `exported.Exported.read` reads.

    graphs: networks of one input each, by the kinds of their outputs in order; the first names what
    it is given. One that OpenVINO cannot take is left out with a warning: Keras runs it then.
    described: the other fields of Exported.
    """
    openvino = import_openvino()
    results, given, expected = [], [], {}
    for kinds, model in graphs.items():
        try:
            converted = convert(model)
        except Exception as error:  # conversion raises everything from OSError to its own
            logger.warning("OpenVINO cannot run the network %s (%s)", model.name, reason_of(error))
            continue
        converted.get_parameters()[0].set_friendly_name(kinds[0])
        given += converted.get_parameters()
        results += converted.results
        for kind, result, made in zip(kinds, converted.results, probe_keras(model), strict=True):
            result.set_friendly_name(f"of {kind}")
            outputs = compared(made)
            expected[kind] = outputs.tolist() if np.isfinite(outputs).all() else None
    graph, weights, description = export_files(path)
    # Weights that two graphs have in common are written once.
    with replacing(graph) as new_graph, replacing(weights) as new_weights:
        openvino.serialize(openvino.Model(results, given), str(new_graph), str(new_weights))
    files = {file.suffix: sha256_of_file(file) for file in (graph, weights)}
    write_json(description, {"files": files, "expected": expected, **described})


def probe_keras(model: keras.Model) -> list[AnyArray]:
    """What Keras gives for two random inputs, by output."""
    inputs = probe(tuple(model.inputs[0].shape[1:]), input_dtype(model))
    with quiet_tensorflow():
        outputs = model(pack_input(model, inputs), training=False)
    return [np.asarray(output) for output in keras.tree.flatten(outputs)]


def reason_of(error: Exception) -> str:
    """What an error says, in one line, without OpenVINO's places in its source and its advice."""
    text = str(error).partition("FrontEnd API failed with ")[2] or str(error)
    text = text.partition("To facilitate")[0]
    return textwrap.shorten(text, 300) or type(error).__name__
