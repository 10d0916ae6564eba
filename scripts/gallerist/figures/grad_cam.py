"""Which region made two pictures match: Grad-CAM on the similarity of their vectors.

R. R. Selvaraju et al., Grad-CAM (2017), weigh the channels of the last feature map by the gradient
of a class's score. L. Chen et al., Adapting Grad-CAM for Embedding Networks (2020), carry it over
to networks that give vectors, of which here the cosine similarity takes the place of the score.
"""

import cv2
import keras
import numpy as np
import tensorflow as tf

from gallerist.figures.matched_regions import Similarity
from gallerist.io.arrays import AnyArray, Floats, Vectors
from gallerist.networks.graph_cut import Graph

_POOLING = (
    keras.layers.AveragePooling2D,
    keras.layers.MaxPooling2D,
    keras.layers.GlobalAveragePooling2D,  # these give maps of one position where `keepdims` is set
    keras.layers.GlobalMaxPooling2D,
)
"""What only makes a map coarser: the small network from scratch pools to a single position."""


class SimilarityMaps:
    """A network without its head, prepared to say where two pictures are alike.

    It is divided, sharing its weights, at the last feature map (n, h, w, channels) in it before
    anything pools: that of its backbone, or else of its last convolution and what follows it.
    """

    def __init__(self, network: keras.Model) -> None:
        """Divide a functional model: (n, s, s, 3) pixels -> (n, features).

        Raises ValueError where no layer gives a feature map, or the vector is not made of the last
        one alone.
        """
        self._size = tuple(network.input_shape[1:])
        self._maps_of, self._vectors_of = _halves(network)

    def __call__(self, query: AnyArray, answer: AnyArray) -> Similarity:
        """Where the query is like the answer, and where the answer is like the query.

        query, answer: (h, w, 3) RGB pixels 0-255 of any dtype, in the size of the network.
        A map is of the gradient of the cosine by that picture's feature map, with the length of its
        vector held fixed: its mean over the positions weighs the channels, what speaks against the
        match counts as 0, and the rest is enlarged bilinearly and divided by its own maximum.
        A map of zeros says that nowhere does anything speak for the match, or that a vector is 0.
        Raises ValueError for pictures of another size.
        """
        pictures = (query, answer)
        for picture in pictures:
            self._check(picture.shape)
        maps = self._maps_of(np.stack(pictures).astype(np.float32), training=False)
        with tf.GradientTape() as tape:
            tape.watch(maps)
            vectors = tf.cast(self._vectors_of(maps, training=False), tf.float32)
        cosine, towards = _cosine(vectors.numpy())
        gradients = tape.gradient(vectors, maps, output_gradients=tf.constant(towards))
        values, slopes = (tf.cast(each, tf.float64).numpy() for each in (maps, gradients))
        weights = slopes.mean(axis=(1, 2), keepdims=True)
        heats = np.maximum((weights * values).sum(axis=3), 0)
        return Similarity(
            cosine, _enlarged(heats[0], query.shape), _enlarged(heats[1], answer.shape)
        )

    def _check(self, shape: tuple[int, ...]) -> None:
        fits = len(shape) == len(self._size) and all(
            wanted in (None, side) for side, wanted in zip(shape, self._size, strict=True)
        )
        if not fits:
            raise ValueError(
                f"a picture of shape {shape} was given to a network for {self._size}: load it with "
                "the preprocessing that is stored beside the network"
            )


def _halves(network: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Pixels -> the last feature maps, and these -> vectors, by the layers of the network."""
    graph = Graph.of(network)
    unpooled = [call for call in graph.calls if not isinstance(call.operation, _POOLING)]
    found = [x for call in unpooled for x in call.outputs if len(x.shape) == 4]
    if not found:
        raise ValueError(
            f"no layer of the network {network.name} gives a feature map (n, h, w, channels): "
            "there is no place in the picture that its vector comes from"
        )
    (pixels,), (vectors,) = graph.inputs, graph.outputs
    try:
        return keras.Model(pixels, found[-1]), keras.Model(found[-1], vectors)
    except ValueError as error:
        raise ValueError(
            f"the vector of the network {network.name} is not made of its last feature map alone "
            f"(shape {tuple(found[-1].shape)}), so that this map cannot explain it"
        ) from error


def _cosine(vectors: Vectors) -> tuple[float, Vectors]:
    """The cosine of two rows, (2, d), and the direction of its gradient by each of them, (2, d).

    The length of the own vector is held fixed, so that the direction is the other one's unit
    vector. The whole gradient is at right angles to the own vector: it tells how the two could
    become more alike still, is 0 where they are the same, and under average pooling gives maps that
    sum to 0 however much the pictures have in common. Zeros where a vector is 0.
    """
    rows = vectors.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        return 0.0, np.zeros_like(vectors)
    units = rows / lengths
    return float(np.clip(units[0] @ units[1], -1, 1)), units[::-1].astype(np.float32)


def _enlarged(heat: Floats, shape: tuple[int, ...]) -> Vectors:
    """(rows, columns) from 0 up -> (h, w) from 0 to 1."""
    height, width = shape[:2]
    large = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    peak = large.max()
    return np.asarray(large / peak if peak > 0 else large, dtype=np.float32)
