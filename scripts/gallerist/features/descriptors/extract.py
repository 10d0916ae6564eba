"""Classical descriptors of many pictures, side by side."""

import inspect
from collections.abc import Generator, Sequence
from contextlib import closing

import numpy as np

from gallerist.data.preprocessing import Preprocessing
from gallerist.features.descriptors.registry import DESCRIPTORS
from gallerist.io.arrays import Vectors
from gallerist.io.files import PathLike, canonical_json, sha256_of_text
from gallerist.io.parallel import ordered, stack_batches
from gallerist.settings.descriptors import WholePicture
from gallerist.workflow.progress import Progress


class DescriptorExtractor:
    """A descriptor with its settings, for files: see `extractors.Extractor`."""

    def __init__(self, settings: WholePicture, *, max_pixels: int, threads: int) -> None:
        """settings: of an experiment. max_pixels: see `Preprocessing`.

        threads: that decode and compute, a picture at a time; vectors do not depend on them.
        """
        self._function, self._threads = DESCRIPTORS[settings.descriptor], threads
        self._settings = settings.model_dump(
            include={*inspect.signature(self._function).parameters}
        )
        self._pictures = Preprocessing(settings.image_size, max_pixels, settings.look)
        model = {"descriptor": settings.descriptor, **self._settings}
        self.model = sha256_of_text(canonical_json(model))
        self.preprocessing = self._pictures.sha256
        self.length = len(self._function(np.zeros((1, 1, 3), np.uint8), **self._settings))

    def batches(
        self, paths: Sequence[PathLike], *, batch_size: int = 256, ahead: int = 2
    ) -> Generator[Vectors]:
        """Batches of (batch_size, length) float32 rows, in the order given; the last is smaller.

        While one batch is used, the next `ahead` are made, and no more, so that memory is bounded.
        The threads end with the last batch, with an error, or when the iterator is closed.

        Raises `decoding.BadImage` naming the first file, in their order, that cannot be decoded,
        after the batches before it.
        """
        # Threads, not processes: a picture takes milliseconds, and decoders, filters and NumPy's
        # sums let other threads run. A new process would import the script first, and so run it.
        progress = Progress("images", len(paths))
        vectors = ordered(
            self._vector,
            paths,
            threads=self._threads,
            ahead=ahead * batch_size,
            name="extraction",
        )
        with closing(stack_batches(vectors, batch_size)) as batches:
            for rows in batches:
                yield rows
                progress.advance(len(rows))

    def _vector(self, path: PathLike) -> Vectors:
        return self._function(self._pictures.load(path), **self._settings)
