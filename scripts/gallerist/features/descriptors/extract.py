"""Classical describers over many pictures, side by side."""

import inspect
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np

from gallerist.data.preprocessing import Preprocessing
from gallerist.features.descriptors import registry as descriptors
from gallerist.features.store import Vectors
from gallerist.io.files import PathLike, canonical_json, sha256_of_text
from gallerist.workflow.progress import Progress


def descriptor_settings(settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A describer's name and keyword arguments, from an experiment's settings.

    What the function does not take, such as the picture's size, is left out.
    """
    name = str(settings["descriptor"])
    taken = inspect.signature(descriptors.get(name)).parameters
    return name, {key: value for key, value in settings.items() if key in taken}


def model_of(name: str, settings: Mapping[str, Any]) -> str:
    """Identity of a describer with its settings: vectors of two are not comparable."""
    return sha256_of_text(canonical_json({"descriptor": name, **settings}))


def describe_in_parallel(
    name: str,
    settings: Mapping[str, Any],
    paths: Sequence[PathLike],
    preprocessing: Preprocessing,
    *,
    threads: int,
    batch_size: int = 256,
    ahead: int = 2,
) -> Generator[Vectors]:
    """Describe files by the describer `name`: batches of (n, d) float32 rows, in the order given.

    settings: its keyword arguments. threads: that decode and describe, a picture at a time; the
    vectors do not depend on their number. Every batch has `batch_size` rows but the last. While one
    batch is used, the next `ahead` are made, and no more, so that memory is bounded. The threads
    end with the last batch, with an error, or when the iterator is closed or dropped.

    Raises at once `descriptors.UnknownDescriptor`; while it is used `images.BadImage` naming the
    first file, in their order, that cannot be decoded, after the batches before it.
    """
    # Threads, not processes: a picture takes milliseconds, and decoders, filters and NumPy's sums
    # let other threads run. A new process would import the stage's script first, and so run it.
    describe = descriptors.get(name)

    def vector_of(path: PathLike) -> descriptors.Vector:
        return describe(preprocessing.load(path), **settings)

    def batches() -> Generator[Vectors]:
        workers = ThreadPoolExecutor(threads, thread_name_prefix="describing")
        starts = iter(range(0, len(paths), batch_size))
        coming: deque[list[Future[descriptors.Vector]]] = deque()
        progress = Progress("images", len(paths))

        def begin(count: int) -> None:
            for start in islice(starts, count):
                batch = paths[start : start + batch_size]
                coming.append([workers.submit(vector_of, path) for path in batch])

        try:
            begin(1 + ahead)
            while coming:
                rows = np.stack([vector.result() for vector in coming.popleft()])
                yield rows
                progress.advance(len(rows))
                begin(1)
        finally:
            workers.shutdown(wait=True, cancel_futures=True)

    return batches()
