"""A transfer network in two halves: what is computed once for a picture, and what is trained.

The trunk is the frozen half: pixels to one row of numbers. The other half makes of rows what the
network gives. One after the other they compute what the network computes. The second shares its
layers with the network, so that training it trains the network. Where the halves part is found by
`graph_cut`.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import keras

from gallerist.io.files import canonical_json
from gallerist.networks.architectures import InferenceMode, backbone_on_pixels
from gallerist.networks.graph_cut import Call, Cut, Graph, Part, Step, cut_of, reading_step


class Halves:
    """A network divided in two. It is followed and cut once, which takes seconds for a large one.

    graph: of the network. cut: where its backbone is cut; as text a line for the log.
    """

    def __init__(self, network: keras.Model) -> None:
        """network: as Transfer.build makes it or without its head, fresh or loaded.

        Raises ValueError for one that was not made from a backbone.
        """
        self.graph, self._name = Graph.of(network), network.name
        calls = self.graph.calls
        places = [i for i, c in enumerate(calls) if isinstance(c.operation, InferenceMode)]
        if len(places) != 1:
            raise ValueError(
                f"the network {network.name} has no backbone, of which a frozen part could be "
                "computed beforehand: only transfer networks have one"
            )
        (place,) = places
        self._before, self._after = calls[:place], calls[place + 1 :]
        (self._image,) = self.graph.inputs
        (self._given,) = calls[place].inputs  # what the backbone is given, and what it gives
        (self._maps,) = calls[place].outputs
        self.cut = cut_of(calls[place].operation.layer)

    def trunk(self) -> keras.Model:
        """The frozen half: (n, s, s, 3) RGB pixels 0-255 of any dtype -> (n, d) float32 rows.

        A row holds what crosses the cut, each tensor flattened row-major, one after the other.
        Where nothing is worth storing, it holds the pixels. Always in inference mode. The layers
        are shared with the network.
        """
        cut, image = self.cut, self._image
        pixels = keras.Input(batch_shape=image.shape, dtype=image.dtype, name="pixels")
        made = [part for part in cut.parts if not _is_image(part, cut)]
        rows = []
        if made:
            (scaled,) = _replay(self._before, {id(image): pixels}, [self._given])
            maps = [_flat(part.tensor, part.step) for part in made]
            (given,) = cut.graph.inputs
            frozen = InferenceMode(keras.Model(given, maps), name="trunk")
            rows = keras.tree.flatten(frozen(scaled))
        if len(made) < len(cut.parts):
            rows = [_flat(pixels, (1, 1)), *rows]
        row = rows[0] if len(rows) == 1 else keras.layers.Concatenate(dtype="float32")(rows)
        return keras.Model(pixels, row, name="trunk")

    def after_trunk(self, last: str | None = None) -> keras.Model:
        """The half that is trained: (n, d) rows of any float dtype -> what the network gives.

        All layers are those of the network, with their weights and the state of their random seeds,
        and under their names, but for those of the backbone, which are inside the layer "backbone":
        what is trained here is trained there. As in the network, the backbone is in inference mode
        throughout.
        last: name of the layer after which it ends; None is the network's own end.
        """
        cut = self.cut
        after = self.graph if last is None else self.graph.up_to(last)
        rows = keras.Input((cut.values,), dtype="float32", name="rows")
        stored: list[Any] = []
        start = 0
        for part in cut.parts:
            piece = keras.ops.reshape(rows[:, start : start + part.values], (-1, *part.shape))
            if _is_image(part, cut):
                (piece,) = _replay(self._before, {id(self._image): piece}, [self._given])
            stored.append(piece)
            start += part.values
        maps = _tail(cut, stored) if cut.tail else stored[0]
        calls = [call for call in self._after if call in after.calls]
        outputs = _replay(calls, {id(self._maps): maps}, after.outputs)
        return keras.Model(rows, outputs if len(outputs) > 1 else outputs[0], name=self._name)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of everything that the rows of the trunk depend on but the pictures.

        That is the size of the images, every operation of the trunk with its settings and weights,
        and what of it is stored. Names do not count, nor does what comes after the cut: networks
        whose rows are equal because only their heads, poolings or training differ have one.
        """
        digest = hashlib.sha256()
        for piece in self._identity_parts():
            digest.update(piece)
        return digest.hexdigest()

    def _identity_parts(self) -> Iterator[bytes]:
        (scaled,) = self.cut.graph.inputs
        numbers = {id(self._image): 0, id(scaled): 0}
        yield canonical_json(self._image.shape[1:]).encode()
        if not self.cut.is_empty:
            yield from _serialise(self._before, numbers)
            numbers[id(scaled)] = numbers[id(self._given)]
            yield from _serialise(self.cut.trunk, numbers)
        yield canonical_json(
            [[numbers[id(part.tensor)], part.step, part.shape] for part in self.cut.parts]
        ).encode()


def load_trunk(
    settings: Mapping[str, Any], weights: str | None
) -> tuple[keras.Model, dict[str, Any]]:
    """The trunk of a backbone as the experiments on it have it, and its description.

    settings: `Experiment.trunk_settings`. weights: a Keras weights file, or None for random ones.
    The description has the fields of `exported.Exported` that tell of a trunk.
    """
    halves = Halves(
        backbone_on_pixels(
            settings["backbone"], settings["image_size"], settings["freeze_until"], weights
        )
    )
    cut, identity = halves.cut, halves.identity
    facts = {"cut": str(cut), "share_of_multiply_adds": cut.trunk_share}
    described = {"model": identity, "trunk": identity, "length": cut.values, "facts": facts}
    return halves.trunk(), described


class _AtEveryPosition(keras.layers.Wrapper):  # type: ignore[misc]
    """A convolution with a window of 1x1, without its stride; its weights are the layer's own."""

    def call(self, maps: keras.KerasTensor) -> keras.KerasTensor:
        """(n, h, w, c) -> (n, h, w, filters)."""
        maps = keras.ops.conv(maps, self.layer.kernel, data_format="channels_last")
        if self.layer.use_bias:
            maps = maps + self.layer.bias
        return maps if self.layer.activation is None else self.layer.activation(maps)


def _is_image(part: Part, cut: Cut) -> bool:
    return any(part.tensor is tensor for tensor in cut.graph.inputs)


def _flat(tensor: Any, step: Step) -> Any:
    """(n, ...) -> (n, values), of a map every `step`-th row and column."""
    thinned = tensor if step == (1, 1) else tensor[:, :: step[0], :: step[1]]
    return keras.layers.Flatten(dtype="float32")(thinned)


def _replay(calls: Iterable[Call], tensors: Mapping[int, Any], wanted: Iterable[Any]) -> list[Any]:
    """Call all again, from new tensors in the place of old ones; the new ones of those wanted."""
    known = dict(tensors)
    for call in calls:
        outputs = keras.tree.flatten(call.again(known))
        known.update(zip(map(id, call.outputs), outputs, strict=True))
    return [known[id(tensor)] for tensor in wanted]


def _tail(cut: Cut, stored: list[Any]) -> Any:
    """From the stored tensors to the backbone's last map, in inference mode."""
    given = [keras.Input(part.shape, dtype=part.tensor.dtype) for part in cut.parts]
    whole = {id(p.tensor): x for p, x in zip(cut.parts, given, strict=True) if p.step == (1, 1)}
    thin = {
        (id(p.tensor), p.step): x for p, x in zip(cut.parts, given, strict=True) if p.step != (1, 1)
    }
    for call in cut.tail:
        step = reading_step(call.operation)
        source = (id(call.inputs[0]), step)
        if step is not None and source in thin:
            outputs = [_on_thinned(call.operation, thin[source])]
        else:
            outputs = keras.tree.flatten(call.again(whole))
        whole.update(zip(map(id, call.outputs), outputs, strict=True))
    (maps,) = cut.graph.outputs
    return InferenceMode(keras.Model(given, whole[id(maps)]), name="backbone")(stored)


def _on_thinned(operation: Any, tensor: Any) -> Any:
    if not isinstance(operation, keras.layers.Conv2D):
        return tensor  # the largest or the mean of one value is that value
    name = f"{operation.name}_at_every_position"
    return _AtEveryPosition(operation, dtype=operation.dtype_policy, name=name)(tensor)


def _serialise(calls: Iterable[Call], numbers: dict[int, int]) -> Iterator[bytes]:
    """Each call's operation, arguments and weights; tensors as numbers, given as they are made."""
    for call in calls:
        arguments = keras.tree.map_structure(
            lambda x: f"tensor {numbers[id(x)]}" if isinstance(x, keras.KerasTensor) else x,
            (call.args, {name: x for name, x in call.kwargs.items() if x is not None}),
        )
        for tensor in call.outputs:
            numbers[id(tensor)] = len(numbers)
        operation = keras.saving.serialize_keras_object(call.operation)
        yield canonical_json([_nameless(operation), _nameless(arguments)]).encode()
        for weight in getattr(call.operation, "weights", ()):
            values = weight.numpy()
            yield f"{values.dtype} {values.shape}".encode()
            yield values.tobytes()


_BESIDE_THE_POINT = ("name", "trainable", "module", "build_config", "shared_object_id")


def _nameless(value: Any) -> Any:
    """A serialised operation without what changes nothing in inference: names, how it began."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "DTypePolicy":
            return value["config"]["name"]
        return {
            key: _nameless(content)
            for key, content in value.items()
            if key not in _BESIDE_THE_POINT
            and not key.endswith(("_initializer", "_regularizer", "_constraint"))
        }
    if isinstance(value, list | tuple):
        return [_nameless(content) for content in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return _nameless(keras.saving.serialize_keras_object(value))
