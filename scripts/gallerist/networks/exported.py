"""A network as OpenVINO reads it, in three files that `export` writes and that need no Keras.

STEM.xml and STEM.bin are in OpenVINO's own format, weights in float32. STEM.json ties them to what
they were made from, and says what they take and give.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from gallerist.io.arrays import AnyArray
from gallerist.io.errors import UserError
from gallerist.io.files import NotJson, PathLike, read_json, sha256_of_file
from gallerist.io.imports import without

Kind = Literal["pixels", "rows", "maps"]
"""What a graph makes a vector of: pictures, or rows that the trunk of its network made of them; or
"maps", where it gives the last feature map of pictures."""

Sizes = Literal["fixed", "any", "by Keras"]
"""Whether a network takes pictures of another size than it was built for: no; yes; or only when
Keras builds it anew, because what it does depends on the size."""

EXACT: Mapping[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
"""How OpenVINO compiles whatever runs here: in float32 where the processor has shorter numbers too;
and not pinned, because the first thread of every process would be on the first processor."""

SUFFIXES = (".xml", ".bin", ".json")

MOST_COMPARED = 256
"""Numbers of a vector that are compared with Keras's, evenly spread over it."""


def export_files(path: PathLike) -> tuple[Path, Path, Path]:
    """The graph, its weights and the description that stand beside a model file."""
    graph, weights, description = (Path(path).with_suffix(suffix) for suffix in SUFFIXES)
    return graph, weights, description


@dataclass(frozen=True)
class Exported:
    """A network in OpenVINO's format, opened and checked.

    graph, weights: its files. model: what it is of, the SHA-256 of a .keras file or the identity of
    a trunk. trunk: identity of the network's trunk, of which it takes rows; None without one.
    length: numbers in a vector. sizes: of pictures that it takes.
    expected: of each kind of input, what Keras gave for `probe` at the positions of `compared`;
    None for a network that has diverged. A kind that OpenVINO cannot run is missing.
    facts: what else was noted.
    """

    graph: Path
    weights: Path
    model: str
    trunk: str | None
    length: int
    sizes: Sizes
    expected: Mapping[str, list[list[float]] | None]
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, path: PathLike, remedy: str, model: str | None = None) -> Self:
        """Open the three files beside `path` that `export.export` wrote, and check their hashes.

        remedy: what the user is to do where they are not whole. model: what they must be of.
        Raises UserError naming the file that is missing, damaged, or of another network.
        """
        graph, weights, description = export_files(path)
        try:
            held = read_json(description)
            for file in (graph, weights):
                if held["files"][file.suffix] != sha256_of_file(file):
                    raise UserError(
                        f"{file} is not the file that {description} describes. {remedy}"
                    )
            del held["files"]
            exported = cls(graph, weights, **held)
        except FileNotFoundError as error:
            raise UserError(f"{error.filename} is missing. {remedy}") from error
        except (NotJson, KeyError, TypeError) as error:
            raise UserError(f"{description} is damaged. {remedy}") from error
        if model not in (None, exported.model):
            raise UserError(f"{description} describes another network than {path}. {remedy}")
        return exported

    def network(self, kind: Kind, image_size: int | None = None) -> Any:
        """One of its graphs, for any number of inputs, as an openvino.Model of its own.

        image_size: pixels a side where that is another size than it was built for.
        """
        openvino = import_openvino()
        whole = openvino.Core().read_model(self.graph, self.weights)
        source = "rows" if kind == "rows" else "pixels"
        (given,) = (each for each in whole.get_parameters() if each.get_friendly_name() == source)
        (result,) = (each for each in whole.results if each.get_friendly_name() == f"of {kind}")
        network = openvino.Model([result], [given], self.graph.stem)
        if image_size is not None:
            network.reshape([-1, image_size, image_size, 3])
        return network


def probe(shape: tuple[int, ...], dtype: Any) -> AnyArray:
    """Two random inputs: mosaics of 8x8 colours, to which networks react as to pictures, or rows.

    Noise of single pixels can drive a network so far out that its numbers are mostly rounding.
    """
    random = np.random.default_rng(0)
    if dtype != np.uint8:
        return random.random((2, *shape), np.float32)
    tiles = random.integers(0, 256, (2, 8, 8, shape[2]), np.uint8)
    down, across = (np.arange(side) * 8 // side for side in shape[:2])
    return tiles[:, down][:, :, across]


def compared(outputs: AnyArray) -> AnyArray:
    """(2, ...) what a network gives for `probe` -> (2, at most 511) numbers of it, in float64."""
    rows = np.asarray(outputs, np.float64).reshape(2, -1)
    return rows[:, :: max(1, rows.shape[1] // MOST_COMPARED)]


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry.

    To import it otherwise reports that, and a number of the user's, to Google Analytics, from a
    fork of this process. Where the package openvino_telemetry is not found, OpenVINO takes a
    stand-in of its own, which does nothing, for the rest of the process.
    """
    with without("openvino_telemetry"):
        import openvino  # type: ignore[import-untyped]
    return openvino
