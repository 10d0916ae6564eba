"""The pictures of one part, or stored rows of them, as the batches a network is trained on.

These are plain iterators. Keras would wrap a PyDataset into a TensorFlow generator, and the first
one of a process tells glibc, on Python 3.11, to take the memory of every tensor above 128 KB from
the kernel and to give it back after use (`ApplyPython311MemoryPatch`). When the last block of
ResNet152 is trained, fresh pages then cost .005 s of processor time a picture, of .034 in all.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gallerist.data.manifest import Manifest
from gallerist.data.preprocessing import Preprocessing, decode_ahead
from gallerist.data.reading import Readable
from gallerist.io.arrays import AnyArray, Integers
from gallerist.io.parallel import ordered
from gallerist.networks.trunk_rows import TrunkRows, check_trunk
from gallerist.settings.losses import MetricLoss
from gallerist.training.sampling import ClassSampler

Targets = npt.NDArray[np.int32]
Batch = tuple[AnyArray, Targets]

AHEAD = 2
"""Batches that are read while the network works on another one, and no more of them."""

MOST_KEPT = 512 << 20
"""Bytes of decoded pictures that are kept for the epochs to come. Of more none is kept: each epoch
decodes them, which takes .34 s of a processor for 960 of 96 pixels, two thirds of them warped."""


def targets_of(images: Manifest, classes: Sequence[str]) -> Targets:
    """(n,) int32 position of each picture's label among the classes of the training pictures.

    Raises ValueError naming the labels that are none of them.
    """
    position = {name: index for index, name in enumerate(classes)}
    if unknown := sorted(set(images.labels) - set(position)):
        raise ValueError(f"validation has classes that training lacks: {', '.join(unknown)}")
    return np.array([position[label] for label in images.labels], dtype=np.int32)


class Batches(ABC):
    """Inputs and classes of one part, a batch at a time, read while the network computes.

    The order of an epoch depends on the seed, the epoch's number and the number of pictures alone.
    So training on stored rows sees the order of training on the pictures, and training that was
    stopped goes on in the order it would have had.
    """

    def __init__(
        self,
        targets: npt.ArrayLike,
        batch_size: int,
        seed: int | None,
        per_class: int | None = None,
    ) -> None:
        """targets: (n,) class indices. seed: of the shuffling; None keeps the order as it is.

        per_class: pictures that a batch has of each of its classes, see `ClassSampler`, which may
        make it smaller; None is any.
        """
        self.targets: Targets = np.asarray(targets, dtype=np.int32)
        self.batch_size, self.seed = batch_size, seed
        self._sampler = ClassSampler(self.targets, batch_size, per_class) if per_class else None
        if self._sampler:
            self.batch_size = self._sampler.batch_size

    @property
    def images(self) -> int:
        """Pictures in an epoch."""
        return self._sampler.images if self._sampler else len(self.targets)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self.images // self.batch_size)

    def order(self, epoch: int) -> Integers:
        """(images,) positions in the order of an epoch, which is counted from 1."""
        if self.seed is None:
            return np.arange(self.images)
        random = np.random.default_rng([self.seed, epoch])
        return self._sampler.order(random) if self._sampler else random.permutation(self.images)

    def epoch(self, number: int, start: int = 0) -> Generator[Batch]:
        """(inputs, class indices) batches of an epoch, counted from 1; the last may be smaller.

        start: batches that are left out at the beginning, since they were trained on before.
        Close it, or drop it, to end the reading early. Errors of the reading come out of it.
        """
        order = self.order(number)
        starts = range(start * self.batch_size, self.images, self.batch_size)
        chunks = [order[i : i + self.batch_size] for i in starts]
        with closing(self._inputs(chunks)) as inputs:
            for chunk, batch in zip(chunks, inputs, strict=True):
                yield batch, self.targets[chunk]

    @abstractmethod
    def _inputs(self, chunks: Sequence[Integers]) -> Generator[AnyArray]:
        """What stands at these positions, a chunk at a time, read ahead in bounded memory."""


class ImageBatches(Batches):
    """Pixels, uint8 (n, s, s, 3), decoded from files; once, where all fit into `MOST_KEPT`.

    An epoch raises `decoding.BadImage`, which names the file, where one is no picture.
    """

    def __init__(
        self,
        pictures: Sequence[Readable],
        targets: npt.ArrayLike,
        preprocessing: Preprocessing,
        batch_size: int,
        threads: int,
        seed: int | None,
        per_class: int | None = None,
    ) -> None:
        """pictures: (n), files or rows of a manifest. threads: that decode."""
        super().__init__(targets, batch_size, seed, per_class)
        self.pictures, self.preprocessing, self.threads = pictures, preprocessing, threads
        side = preprocessing.image_size
        self._fit = len(pictures) * side * side * 3 <= MOST_KEPT
        self._kept: dict[int, AnyArray] = {}

    def _inputs(self, chunks: Sequence[Integers]) -> Generator[AnyArray]:
        if self._fit and all(row in self._kept for chunk in chunks for row in chunk):
            return (np.stack([self._kept[row] for row in chunk]) for chunk in chunks)
        decoded = decode_ahead(
            [self.pictures[row] for chunk in chunks for row in chunk],
            self.preprocessing,
            threads=self.threads,
            batch_size=self.batch_size,
            ahead=AHEAD,
        )
        return self._keeping(decoded, chunks) if self._fit else decoded

    def _keeping(
        self, decoded: Generator[AnyArray], chunks: Sequence[Integers]
    ) -> Generator[AnyArray]:
        with closing(decoded):
            for chunk, batch in zip(chunks, decoded, strict=True):
                self._kept.update(zip(chunk.tolist(), batch, strict=True))
                yield batch


class RowBatches(Batches):
    """Rows, (n, values) in the type they are stored in, of what frozen layers made of pictures."""

    def __init__(
        self,
        take: Callable[[Sequence[str]], AnyArray],
        ids: Sequence[str],
        targets: npt.ArrayLike,
        batch_size: int,
        seed: int | None,
        per_class: int | None = None,
    ) -> None:
        """take: the rows of pictures by their ids; called in another thread. ids: (n,)."""
        super().__init__(targets, batch_size, seed, per_class)
        self.take, self.ids = take, ids

    def _inputs(self, chunks: Sequence[Integers]) -> Generator[AnyArray]:
        wanted = ([self.ids[row] for row in chunk] for chunk in chunks)
        return ordered(self.take, wanted, threads=1, ahead=AHEAD, name="rows")


@dataclass(frozen=True)
class TrainingData:
    """Training pictures, with their copies, and validation pictures.

    The classes are those of the training pictures, numbered in their order. Batches of training
    pictures are shuffled by `seed`, in the same order whether pictures or rows are read.
    loss: for retrieval, which decides what a batch is made of, and takes validation pictures of any
    class, numbered by themselves.
    """

    training: Manifest
    validation: Manifest
    preprocessing: Preprocessing
    batch_size: int
    seed: int
    loss: MetricLoss | None = None

    @property
    def digest(self) -> str:
        """Equal exactly when pictures, classes and preprocessing are."""
        return "-".join((self.training.digest, self.validation.digest, self.preprocessing.sha256))

    def pictures(self, threads: int) -> tuple[Batches, Batches]:
        """Batches that `threads` threads decode from files, of training and validation pictures.

        Raises ValueError when a validation picture is of a class that training lacks.
        """
        return self._both(
            lambda images, targets, seed, per_class: ImageBatches(
                images.pictures,
                targets,
                self.preprocessing,
                batch_size=self.batch_size,
                threads=threads,
                seed=seed,
                per_class=per_class,
            )
        )

    def rows(self, trunk: str, rows: TrunkRows) -> tuple[Batches, Batches]:
        """Batches of rows that the trunk of that identity made; those that are lost are made again.

        Raises UserError when they are of another trunk or of differently prepared pictures;
        ValueError as `pictures`.
        """
        check_trunk(rows, trunk, self.preprocessing.sha256)

        def batches(
            images: Manifest, targets: Targets, seed: int | None, per_class: int | None
        ) -> RowBatches:
            rows.fill(images)
            take, size = rows.store.take, self.batch_size
            return RowBatches(take, images.ids, targets, size, seed, per_class)

        return self._both(batches)

    def _both(
        self, made: Callable[[Manifest, Targets, int | None, int | None], Batches]
    ) -> tuple[Batches, Batches]:
        """Training and validation, of what makes batches: pictures, classes, seed, per class."""
        per_class = getattr(self.loss, "pictures_per_class", None)
        held_out, classes = self.validation, self.training.classes
        training = made(self.training, targets_of(self.training, classes), self.seed, per_class)
        known = held_out.classes if self.loss else classes
        return training, made(held_out, targets_of(held_out, known), None, None)
