"""Batches of P classes with K pictures of each, as losses over pairs need them."""

import numpy as np
import numpy.typing as npt

from gallerist.io.arrays import Integers


class ClassSampler:
    """Draws epochs of whole batches, each of so many classes with as many pictures of each.

    The classes of a batch are drawn alike, whatever their sizes. Each class's pictures, copies
    among them, come once in a drawn order before any comes again. A class of fewer pictures than a
    batch takes of it repeats them.
    batch_size: pictures of a batch, fewer than was asked for where there are too few classes.
    images: pictures of an epoch: as many whole batches as there are pictures for, at least one.
    """

    def __init__(self, targets: npt.ArrayLike, batch_size: int, per_class: int) -> None:
        """targets: (n,) class of each picture. per_class: pictures of a class in a batch."""
        targets = np.asarray(targets)
        self._rows = [np.flatnonzero(targets == each) for each in np.unique(targets)]
        self._classes = max(1, min(batch_size // per_class, len(self._rows)))
        self._per_class = per_class
        self.batch_size = self._classes * per_class
        self.images = max(1, len(targets) // self.batch_size) * self.batch_size

    def order(self, random: np.random.Generator) -> Integers:
        """(images,) positions of an epoch's pictures, one batch after the other."""
        waiting: list[list[int]] = [[] for _ in self._rows]
        order: list[int] = []
        for _ in range(self.images // self.batch_size):
            for chosen in random.choice(len(self._rows), self._classes, replace=False):
                queue = waiting[chosen]
                while len(queue) < self._per_class:
                    queue.extend(random.permutation(self._rows[chosen]).tolist())
                order += queue[: self._per_class]
                del queue[: self._per_class]
        return np.array(order)
