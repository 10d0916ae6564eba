"""Classical descriptors of many pictures, side by side."""

import inspect
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any

from gallerist.data.preprocessing import Preprocessing
from gallerist.features.descriptors.registry import descriptor, vector_length
from gallerist.io.arrays import Vectors
from gallerist.io.files import PathLike, canonical_json, sha256_of_text
from gallerist.io.parallel import ordered, stack_batches
from gallerist.workflow.progress import Progress


class DescriptorExtractor:
    """A descriptor with its settings, for files: see `extractors.Extractor`."""

    def __init__(
        self, name: str, settings: Mapping[str, Any], pictures: Preprocessing, *, threads: int
    ) -> None:
        """settings: the descriptor's keyword arguments. pictures: how they are read.

        threads: that decode and compute, a picture at a time; vectors do not depend on them.
        Raises UserError where no descriptor has that name.
        """
        self._function = descriptor(name)
        self._settings, self._pictures, self._threads = settings, pictures, threads
        self.model = sha256_of_text(canonical_json({"descriptor": name, **settings}))
        self.preprocessing = pictures.sha256
        self.length = vector_length(name, settings)

    @classmethod
    def of(
        cls, settings: Mapping[str, Any], *, max_pixels: int, threads: int
    ) -> "DescriptorExtractor":
        """That of an experiment of a complete configuration."""
        name = str(settings["descriptor"])
        parameters = inspect.signature(descriptor(name)).parameters
        own = {key: value for key, value in settings.items() if key in parameters}
        pictures = Preprocessing(settings["image_size"], max_pixels, settings["look"])
        return cls(name, own, pictures, threads=threads)

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
