"""Which region made two pictures match: Grad-CAM on the similarity of their vectors.

R. R. Selvaraju et al., Grad-CAM (2017), weigh the channels of the last feature map by the gradient
of a class's score. L. Chen et al., Adapting Grad-CAM for Embedding Networks (2020), carry it over
to networks that give vectors, of which here the cosine similarity takes the place of the score.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from gallerist.figures.matched_regions import Similarity
from gallerist.io.arrays import AnyArray, Floats, Vectors

Pooled = tuple[Floats, Callable[[Floats], Floats]]


class SimilarityMaps:
    """A network prepared to say where two pictures are alike."""

    def __init__(self, maps_of: Callable[[AnyArray], AnyArray], pooling: Mapping[str, Any]) -> None:
        """maps_of: (2, s, s, 3) uint8 pixels -> (2, h, w, channels), the last feature maps.

        pooling: what makes vectors of them, see `feature_map.feature_map_of`.
        """
        self._maps_of, self._pooling = maps_of, pooling

    def __call__(self, query: AnyArray, answer: AnyArray) -> Similarity:
        """Where the query is like the answer, and where the answer is like the query.

        query, answer: (h, w, 3) RGB pixels 0-255 of any dtype, in the size of the network.
        A map is of the gradient of the cosine by that picture's feature map, with the length of its
        vector held fixed: its mean over the positions weighs the channels, what speaks against the
        match counts as 0, and the rest is enlarged bilinearly and divided by its own maximum.
        A map of zeros says that nowhere does anything speak for the match, or that a vector is 0.
        Raises ValueError for pictures of another size.
        """
        try:
            maps = self._maps_of(np.stack((query, answer)).astype(np.uint8)).astype(np.float64)
        except ValueError as error:
            raise ValueError(
                f"{error}: load it with the preprocessing that is stored beside the network"
            ) from error
        vectors, slopes_of = pool(maps, **self._pooling)
        cosine, towards = _cosine(vectors)
        heats = np.maximum((slopes_of(towards)[:, None, None] * maps).sum(axis=3), 0)
        return Similarity(
            cosine, _enlarged(heats[0], query.shape), _enlarged(heats[1], answer.shape)
        )


def pool(maps: Floats, *, pooling: str, **settings: Any) -> Pooled:
    """The vectors of feature maps, and how they change with the maps.

    maps: (n, h, w, channels). pooling, settings: as `feature_map.feature_map_of` gives them.
    Returns (n, d) vectors, and the function from a gradient by the vectors, (n, d), to the mean
    over the positions of the gradient by the maps, (n, channels).
    """
    poolings: dict[str, Callable[..., Pooled]] = {
        "avg": lambda: (maps.mean(axis=(1, 2)), lambda towards: towards / maps[0, ..., 0].size),
        "max": lambda: (maps.max(axis=(1, 2)), lambda towards: towards / maps[0, ..., 0].size),
        "flatten": lambda **given: _flatten(maps, **given),
        "gem": lambda **given: _generalised_mean(maps, **given),
        "rmac": lambda **given: _regional_maxima(maps, **given),
    }
    return poolings[pooling](**settings)


def _flatten(maps: Floats, block: int) -> Pooled:
    """block: positions a side that are averaged first; what they leave at the edge is left out."""
    count, height, width, channels = maps.shape
    rows, columns = height // block, width // block
    blocks = maps[:, : rows * block, : columns * block]
    means = blocks.reshape(count, rows, block, columns, block, channels).mean(axis=(2, 4))

    def slopes(towards: Floats) -> Floats:
        summed = towards.reshape(means.shape).sum(axis=(1, 2))
        return np.asarray(summed / (height * width))

    return means.reshape(count, -1), slopes


def _generalised_mean(maps: Floats, p: float, epsilon: float) -> Pooled:
    kept = np.maximum(maps, epsilon)
    largest = kept.max(axis=(1, 2), keepdims=True)
    shares = kept / largest
    mean = (shares**p).mean(axis=(1, 2))
    change = (shares ** (p - 1) * (maps > epsilon)).mean(axis=(1, 2)) * mean ** (1 / p - 1)
    vectors = largest[:, 0, 0] * mean ** (1 / p)
    return vectors, lambda towards: towards * change / maps[0, ..., 0].size


def _regional_maxima(maps: Floats, regions: Sequence[Sequence[int]]) -> Pooled:
    maxima = [maps[:, y : y + side, x : x + side].max(axis=(1, 2)) for y, x, side in regions]
    lengths = [np.linalg.norm(each, axis=1, keepdims=True) for each in maxima]
    units = [each / np.maximum(of, 1e-12) for each, of in zip(maxima, lengths, strict=True)]

    def slopes(towards: Floats) -> Floats:
        across = [
            (towards - unit * (unit * towards).sum(axis=1, keepdims=True)) / np.maximum(of, 1e-12)
            for unit, of in zip(units, lengths, strict=True)
        ]
        return np.asarray(np.sum(across, axis=0) / maps[0, ..., 0].size)

    return np.sum(units, axis=0), slopes


def _cosine(rows: Floats) -> tuple[float, Floats]:
    """The cosine of two rows, (2, d), and the direction of its gradient by each of them, (2, d).

    The length of the own vector is held fixed, so that the direction is the other one's unit
    vector. The whole gradient is at right angles to the own vector: it tells how the two could
    become more alike still, is 0 where they are the same, and under average pooling gives maps that
    sum to 0 however much the pictures have in common. Zeros where a vector is 0.
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        return 0.0, np.zeros_like(rows)
    units = rows / lengths
    return float(np.clip(units[0] @ units[1], -1, 1)), units[::-1]


def _enlarged(heat: Floats, shape: tuple[int, ...]) -> Vectors:
    """(rows, columns) from 0 up -> (h, w) from 0 to 1."""
    height, width = shape[:2]
    large = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    peak = large.max()
    return np.asarray(large / peak if peak > 0 else large, dtype=np.float32)
