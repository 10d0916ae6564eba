"""A trained network for pictures of another size than it was made for."""

from collections.abc import Callable

import keras

from gallerist.features.views import FIXED_SIZE, ViewsRefused
from gallerist.networks.architectures import EMBEDDING, InferenceMode


def at_image_size(network: keras.Model, image_size: int) -> keras.Model:
    """A network without its head for pictures of another size, with the same layers and weights.

    network: as `without_head` gives it. The vectors have the same length. Where sizes differ by
    whole `views.STEP`s it is the network that a build at that size gives; otherwise convolutions
    with a stride may be padded on the other side.
    Raises views.ViewsRefused where the network flattens its last map.
    """
    if isinstance(network.get_layer(EMBEDDING), keras.layers.Flatten):
        raise ViewsRefused(FIXED_SIZE)

    def fitted(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, InferenceMode):
            inside = _on_other_pixels(layer.layer, image_size, _unsized)
            return InferenceMode(inside, name=layer.name)
        return layer

    return _on_other_pixels(network, image_size, fitted)


def _on_other_pixels(
    model: keras.Model,
    image_size: int,
    layer_for: Callable[[keras.layers.Layer], keras.layers.Layer],
) -> keras.Model:
    """Call a functional model's layers, or others for them, on pixels of another size."""
    (given,) = model.inputs
    pixels = keras.Input((image_size, image_size, 3), dtype=given.dtype, name="pixels")
    return keras.models.clone_model(
        keras.Model(given, model.outputs[0], name=model.name),  # not compiled, whatever `model` is
        input_tensors=pixels,
        clone_function=layer_for,
    )


def _unsized(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer itself; or its layers in a new row, where a row (as in ConvNeXt) has a size."""
    if isinstance(layer, keras.Sequential):
        return keras.Sequential(layer.layers, name=layer.name)
    return layer
