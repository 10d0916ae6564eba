"""A transfer network in two halves: what is computed once for a picture, and what is trained.

`trunk_of` gives the frozen half: pixels to one row of numbers. `after_trunk` gives the other half:
rows to what the network gives. One after the other they compute what the network computes. The
second shares its layers with the network, so that training it trains the network. Where the halves
part is found by `graph_cut`.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from gallerist.io.files import canonical_json
from gallerist.networks.architectures import InferenceMode, backbone_on_pixels
from gallerist.networks.graph_cut import Call, Cut, Graph, Part, Step, cut_of, reading_step


def cut_of_network(network: keras.Model) -> Cut:
    """Where the backbone of a network is cut, in shapes, sizes and names, for the log.

    network: as Transfer.build makes it or without its head, fresh or loaded.
    Raises ValueError for another one.
    """
    return cut_of(_Anatomy.of(network).backbone)


def has_frozen_layers(network: keras.Model) -> bool:
    """Whether a network has a backbone of which a layer is frozen, so that it has a trunk."""
    backbones = [each.layer for each in network.layers if isinstance(each, InferenceMode)]
    return any(not layer.trainable for backbone in backbones for layer in backbone.layers)


def trunk_of(network: keras.Model) -> keras.Model:
    """The frozen half: (n, s, s, 3) RGB pixels 0-255 of any dtype -> (n, d) float32 rows.

    A row holds what crosses the cut, each tensor flattened row-major, one after the other. Where
    nothing is worth storing, it holds the pixels. Always in inference mode. The layers are shared
    with `network`, which may be with its head or without, fresh or loaded.
    Raises ValueError where it was not made from a backbone.
    """
    anatomy = _Anatomy.of(network)
    cut = cut_of(anatomy.backbone)
    (image,) = anatomy.graph.inputs
    pixels = keras.Input(batch_shape=image.shape, dtype=image.dtype, name="pixels")
    made = [part for part in cut.parts if not _is_image(part, cut)]
    rows = []
    if made:
        (scaled,) = _replay(anatomy.before, {id(image): pixels}, [anatomy.given])
        maps = [_flat(part.tensor, part.step) for part in made]
        (given,) = cut.graph.inputs
        frozen = InferenceMode(keras.Model(given, maps), name="trunk")
        rows = keras.tree.flatten(frozen(scaled))
    if len(made) < len(cut.parts):
        rows = [_flat(pixels, (1, 1)), *rows]
    row = rows[0] if len(rows) == 1 else keras.layers.Concatenate(dtype="float32")(rows)
    return keras.Model(pixels, row, name="trunk")


def load_trunk(
    settings: Mapping[str, Any], weights: str | None
) -> tuple[keras.Model, dict[str, Any]]:
    """The trunk of a backbone as the experiments on it have it, and its description.

    settings: `Experiment.trunk_settings`. weights: a Keras weights file, or None for random ones.
    The description has the fields of `exported.Exported` that tell of a trunk.
    """
    network = backbone_on_pixels(
        settings["backbone"], settings["image_size"], settings["freeze_until"], weights
    )
    cut = cut_of_network(network)
    facts = {"cut": str(cut), "share_of_multiply_adds": cut.trunk_share}
    identity = trunk_identity(network)
    described = {"model": identity, "trunk": identity, "length": cut.values, "facts": facts}
    return trunk_of(network), described


def after_trunk(network: keras.Model) -> keras.Model:
    """The half that is trained: (n, d) rows of any float dtype -> what `network` gives.

    All layers are those of `network`, with their weights and the state of their random seeds, and
    under their names, but for those of the backbone, which are inside the layer "backbone": what is
    trained here is trained there. As in the network, the backbone is in inference mode throughout.
    To extract from rows, give it the network without its head.
    Raises ValueError where it was not made from a backbone.
    """
    anatomy = _Anatomy.of(network)
    cut = cut_of(anatomy.backbone)
    (image,) = anatomy.graph.inputs
    rows = keras.Input((cut.values,), dtype="float32", name="rows")
    stored: list[Any] = []
    start = 0
    for part in cut.parts:
        piece = keras.ops.reshape(rows[:, start : start + part.values], (-1, *part.shape))
        if _is_image(part, cut):
            (piece,) = _replay(anatomy.before, {id(image): piece}, [anatomy.given])
        stored.append(piece)
        start += part.values
    maps = _tail(cut, stored) if cut.tail else stored[0]
    outputs = _replay(anatomy.after, {id(anatomy.maps): maps}, anatomy.graph.outputs)
    return keras.Model(rows, outputs if len(outputs) > 1 else outputs[0], name=network.name)


def trunk_identity(network: keras.Model) -> str:
    """SHA-256 of everything that the rows of `trunk_of` depend on but the pictures.

    That is the size of the images, every operation of the trunk with its settings and weights, and
    what of it is stored. Names do not count, nor does what comes after the cut: networks whose rows
    are equal because only their heads, poolings or training differ have one identity.
    Raises ValueError where the network was not made from a backbone.
    """
    anatomy = _Anatomy.of(network)
    digest = hashlib.sha256()
    for piece in _identity_parts(anatomy, cut_of(anatomy.backbone)):
        digest.update(piece)
    return digest.hexdigest()


class _AtEveryPosition(keras.layers.Wrapper):  # type: ignore[misc]
    """A convolution with a window of 1x1, without its stride; its weights are the layer's own."""

    def call(self, maps: keras.KerasTensor) -> keras.KerasTensor:
        """(n, h, w, c) -> (n, h, w, filters)."""
        maps = keras.ops.conv(maps, self.layer.kernel, data_format="channels_last")
        if self.layer.use_bias:
            maps = maps + self.layer.bias
        return maps if self.layer.activation is None else self.layer.activation(maps)


@dataclass(frozen=True)
class _Anatomy:
    """A network as what comes before its backbone, the backbone, and what comes after it.

    given, maps: the tensor that the backbone is given, and the one it gives.
    """

    graph: Graph
    before: tuple[Call, ...]
    given: Any
    backbone: keras.Model
    maps: Any
    after: tuple[Call, ...]

    @classmethod
    def of(cls, network: keras.Model) -> "_Anatomy":
        graph = Graph.of(network)
        places = [i for i, c in enumerate(graph.calls) if isinstance(c.operation, InferenceMode)]
        if len(places) != 1:
            raise ValueError(
                f"the network {network.name} has no backbone, of which a frozen part could be "
                "computed beforehand: only transfer networks have one"
            )
        (place,) = places
        call = graph.calls[place]
        (given,) = call.inputs
        (maps,) = call.outputs
        backbone = call.operation.layer
        return cls(graph, graph.calls[:place], given, backbone, maps, graph.calls[place + 1 :])


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


def _identity_parts(anatomy: _Anatomy, cut: Cut) -> Iterator[bytes]:
    """What `trunk_identity` is the hash of, piece by piece."""
    (image,) = anatomy.graph.inputs
    (scaled,) = cut.graph.inputs
    numbers = {id(image): 0, id(scaled): 0}
    yield canonical_json(image.shape[1:]).encode()
    if not cut.is_empty:
        yield from _serialise(anatomy.before, numbers)
        numbers[id(scaled)] = numbers[id(anatomy.given)]
        yield from _serialise(cut.trunk, numbers)
    yield canonical_json(
        [[numbers[id(part.tensor)], part.step, part.shape] for part in cut.parts]
    ).encode()


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
