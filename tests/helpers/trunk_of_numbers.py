"""A trunk that is no network: the rows of a picture follow from its id."""

import numpy as np

from gallerist.data.manifest import Manifest, Picture


class TrunkOfNumbers:
    """Stands in for `trunk_rows.Trunk`. asked: the ids of the pictures computed, in order."""

    def __init__(
        self, dtype="float32", length=6, model="t" * 64, preprocessing="p" * 64, before=None
    ):
        """before: called when the first row is asked for."""
        self.dtype, self.length, self.before = dtype, length, before
        self.model, self.preprocessing = model, preprocessing
        self.identity = [model, preprocessing, dtype]
        self.asked = []

    def row(self, picture_id):
        numbers = np.random.default_rng(int(picture_id, 16)).normal(size=self.length)
        return numbers.astype(self.dtype)

    def batches(self, pictures):
        """pictures: rows of a manifest; or paths, which `numbered` gives the ids as names."""
        if self.before:
            self.before()
        for start in range(0, len(pictures), 4):
            ids = [getattr(each, "id", each) for each in pictures[start : start + 4]]
            self.asked += ids
            yield np.stack([self.row(each) for each in ids])


def numbered(count):
    """A manifest of pictures whose paths are their ids."""
    ids = (f"{number:016x}" for number in range(count))
    return Manifest(tuple(Picture(each, each, "x", "training", each, 9, 9, "") for each in ids))
