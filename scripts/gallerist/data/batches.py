"""Pictures as batches of pixels, decoded while the network works on the batches before."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np

from gallerist.data.preprocessing import Pixels, Preprocessing
from gallerist.io.files import PathLike


def decoded_ahead(
    paths: Sequence[PathLike],
    preprocessing: Preprocessing,
    *,
    threads: int,
    batch_size: int | None = None,
    ahead: int = 2,
) -> Generator[Pixels]:
    """Decode and resize files in `threads` threads: uint8 (n, s, s, 3) batches, in the order given.

    Every batch has `batch_size` pictures but the last; None is 32, or two for each thread where
    those are more. While one batch is used, the next `ahead` are decoded, and no more, so that
    memory is bounded. The threads start with the first batch that is asked for, and end with the
    last one, with an error, or when the iterator is closed or dropped.

    Raises BadImage naming the first file, in their order, that cannot be decoded; the batches
    before it have been given by then.
    """
    size = batch_size or max(32, 2 * threads)
    readers = ThreadPoolExecutor(threads, thread_name_prefix="decoding")
    starts = iter(range(0, len(paths), size))
    coming: deque[list[Future[Pixels]]] = deque()

    def begin(count: int) -> None:
        for start in islice(starts, count):
            batch = paths[start : start + size]
            coming.append([readers.submit(preprocessing.load, path) for path in batch])

    try:
        begin(1 + ahead)
        while coming:
            yield np.stack([picture.result() for picture in coming.popleft()])
            begin(1)
    finally:
        readers.shutdown(wait=True, cancel_futures=True)
