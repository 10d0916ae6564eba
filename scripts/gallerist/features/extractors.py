"""What every kind of extractor is: all vectors are made by one.

The kinds: `network.NetworkExtractor`, `descriptors.extract.DescriptorExtractor`,
`vocabulary.WordExtractor`, and of vectors that others made `fusion.Fusion` and
`reduction.Reduced`. Each stands in its own module, so that no stage waits on the others.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np

from gallerist.features.store import Features, FeatureSource
from gallerist.io.arrays import AnyArray
from gallerist.io.files import PathLike
from gallerist.io.parallel import in_useful_threads, stack_batches
from gallerist.workflow.progress import Progress

Result = TypeVar("Result")


class Extractor(FeatureSource, Protocol):
    """Pictures to vectors, as one experiment has them made. Not for several threads at once."""

    def batches(self, pictures: Sequence[PathLike], /) -> Iterator[AnyArray]:
        """Batches of (any number, length) vectors, one a picture in their order, of any norm.

        pictures: files; where the extractor works on `Features`, the ids of pictures in them.
        """


def in_threads(
    function: Callable[[Any], Result], items: Sequence[Any], threads: int
) -> Generator[Result]:
    """`function` of each item, in their order: see `parallel.in_useful_threads`.

    Progress is logged. OpenCV works in the threads that it is called from.
    """
    progress, before = Progress("images", len(items)), cv2.getNumThreads()
    cv2.setNumThreads(1)  # a picture has a thread already
    results = in_useful_threads(function, items, threads=threads, ahead=4, name="extraction")
    try:
        with closing(results):
            for result in results:
                yield result
                progress.advance()
    finally:
        cv2.setNumThreads(before)


class PictureByPicture(ABC):
    """What extractors share that make one vector after the other. threads: that do."""

    threads: int

    @abstractmethod
    def vector(self, path: PathLike) -> AnyArray:
        """The vector of one picture. Raises `decoding.BadImage` naming the file."""

    def batches(self, paths: Sequence[PathLike], *, batch_size: int = 32) -> Generator[AnyArray]:
        """Batches of (batch_size, length) float32 rows, in the order given; the last is smaller.

        A few pictures are worked on ahead, so that memory is bounded. The threads end with the last
        batch, with an error, or when the iterator is closed. An error of a picture comes after the
        batches before it.
        """
        return stack_batches(in_threads(self.vector, paths, self.threads), batch_size)


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
