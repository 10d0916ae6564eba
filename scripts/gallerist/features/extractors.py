"""What every kind of extractor is: all vectors are made by one.

The kinds: `network.NetworkExtractor`, `descriptors.extract.DescriptorExtractor`,
`vocabulary.WordExtractor`, and of vectors that others made `fusion.Fusion` and
`reduction.Reduced`. Each stands in its own module, so that no stage waits on the others.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from gallerist.features.store import Features, FeatureSource
from gallerist.io.arrays import AnyArray
from gallerist.io.files import PathLike


class Extractor(FeatureSource, Protocol):
    """Pictures to vectors, as one experiment has them made. Not for several threads at once."""

    def batches(self, pictures: Sequence[PathLike], /) -> Iterator[AnyArray]:
        """Batches of (any number, length) vectors, one a picture in their order, of any norm.

        pictures: files; where the extractor works on `Features`, the ids of pictures in them.
        """


def extract(
    extractor: Extractor, pictures: Sequence[PathLike], ids: Sequence[str] | None = None
) -> Features:
    """The vectors of a few pictures, in memory. ids: of the pictures; None, their paths are."""
    vectors = np.concatenate([np.empty((0, extractor.length)), *extractor.batches(pictures)])
    ids = [os.fspath(path) for path in pictures] if ids is None else ids
    return Features.of(vectors, ids, extractor.model, extractor.preprocessing)


def features_of(source: Extractor | Features, pictures: Sequence[PathLike]) -> Features:
    """Vectors that are there, or those of an extractor of these pictures."""
    return source if isinstance(source, Features) else extract(source, pictures)
