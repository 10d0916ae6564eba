"""The last feature map of a network, and what makes a vector of it: what explains its vectors."""

from typing import Any

import keras

from gallerist.networks.graph_cut import Graph
from gallerist.networks.pooling import RMAC, GeM, regions

_POOLING = (
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling2D,  # this gives maps of one position where `keepdims` is set
    keras.layers.GlobalMaxPooling2D,
)
"""What only makes a map coarser: the small network from scratch pools to a single position."""


def feature_map_of(graph: Graph) -> tuple[Any, dict[str, Any]]:
    """The last feature map, a Keras tensor (n, h, w, channels), and how vectors are pooled from it.

    It is the last one before anything pools: that of the backbone, or else of the last convolution
    and what follows it. graph: of a network without its head. The pooling is described for
    `figures.grad_cam.pool`, in JSON values. A linear layer after the mean over the positions is
    done at each position instead, which gives the same vector.
    Raises ValueError where no layer gives a feature map, or the vector is not made of the last one
    alone, in one of the ways of `architectures`.
    """
    unpooled = [call for call in graph.calls if not isinstance(call.operation, _POOLING)]
    maps = [call for call in unpooled if len(call.outputs[0].shape) == 4]
    if not maps:
        raise ValueError(
            "no layer of the network gives a feature map (n, h, w, channels): there is no place in "
            "the picture that its vector comes from"
        )
    (tensor,) = maps[-1].outputs
    *blocks, last = graph.calls[graph.calls.index(maps[-1]) + 1 :] or [maps[-1]]
    projection = None
    averaged = blocks and isinstance(blocks[-1].operation, keras.layers.GlobalAveragePooling2D)
    if averaged and isinstance(last.operation, keras.layers.Dense):
        (*blocks, last), projection = blocks, last.operation
    read = [id(x) for call in (*blocks, last) for x in call.inputs]
    made = [id(x) for call in blocks for x in call.outputs]
    described = _describe(last.operation, tensor.shape[1:3])
    if described is None or read != [id(tensor), *made] or len(blocks) > ("block" in described):
        raise ValueError(
            "the vector of the network is not made of its last feature map alone (shape "
            f"{tuple(tensor.shape)}), so that this map cannot explain it"
        )
    if blocks:
        described["block"] = blocks[0].operation.pool_size[0]
    return tensor if projection is None else projection(tensor), described


def up_to_feature_map(network: keras.Model) -> keras.Model:
    """(n, s, s, 3) pixels -> the last feature map of a network without its head.

    Raises ValueError as `feature_map_of`.
    """
    graph = Graph.of(network)
    return keras.Model(graph.inputs, feature_map_of(graph)[0], name="feature_map")


def _describe(layer: Any, shape: tuple[int, int]) -> dict[str, Any] | None:
    if isinstance(layer, keras.layers.Flatten):
        return {"pooling": "flatten", "block": 1}
    if isinstance(layer, keras.layers.GlobalAveragePooling2D):
        return {"pooling": "avg"}
    if isinstance(layer, keras.layers.GlobalMaxPooling2D):
        return {"pooling": "max"}
    if isinstance(layer, GeM):
        return {"pooling": "gem", "p": float(layer.p), "epsilon": layer.epsilon}
    if isinstance(layer, RMAC):
        return {"pooling": "rmac", "regions": regions(*shape)}
    return None
