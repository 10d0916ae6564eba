"""What every kind of extractor is, and what is done with one: all vectors are made through here.

The kinds: `network.NetworkExtractor`, `descriptors.extract.DescriptorExtractor`,
`vocabulary.WordExtractor`, and of vectors that others made `fusion.Fusion` and
`reduction.Reduced`. Each stands in its own module, so that no stage waits on the others.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from gallerist.features.store import Features, FeatureSummary, write_features
from gallerist.io.arrays import AnyArray
from gallerist.io.files import PathLike


class Extractor(Protocol):
    """Pictures to vectors, as one experiment has them made. Not for several threads at once.

    model, preprocessing: SHA-256 of what makes the vectors, and of what is done to a picture
    before; vectors compare only where both are equal. length: numbers in a vector.
    """

    @property
    def model(self) -> str: ...  # noqa: D102

    @property
    def preprocessing(self) -> str: ...  # noqa: D102

    @property
    def length(self) -> int: ...  # noqa: D102

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


def write_extracted(
    extractor: Extractor,
    pictures: Sequence[PathLike],
    ids: Sequence[str],
    files: Sequence[PathLike],
    batches: Iterator[AnyArray] | None = None,
) -> FeatureSummary:
    """Write the vectors of many pictures, batch by batch. Raises as `store.write_features`.

    files: of vectors, ids and origin. batches: of the extractor, where they are made already.
    """
    vectors, ids_file, origin = files[:3]
    return write_features(
        extractor.batches(pictures) if batches is None else batches,
        ids,
        model=extractor.model,
        preprocessing=extractor.preprocessing,
        vectors=vectors,
        ids_file=ids_file,
        origin=origin,
        length=extractor.length,
    )
