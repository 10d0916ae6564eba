"""The pictures a network is trained on and those it is watched on, as batches of either kind."""

from collections.abc import Sequence
from dataclasses import dataclass

from gallerist.data.manifest import Manifest
from gallerist.data.preprocessing import Preprocessing
from gallerist.io.files import PathLike
from gallerist.networks.trunk_cache import JoinedRows, TrunkCache, check_trunk
from gallerist.training.batches import Batches, ImageBatches, RowBatches, targets_of


@dataclass(frozen=True)
class TrainingData:
    """Training pictures, with their copies, and held-out ones.

    The classes are those of the training pictures, numbered in their order. Batches of training
    pictures are shuffled by `seed`, in the same order whether pictures or rows are read.
    """

    training: Manifest
    held_out: Manifest
    preprocessing: Preprocessing
    batch_size: int
    seed: int

    @property
    def digest(self) -> str:
        """Equal exactly when pictures, classes and preprocessing are."""
        return "-".join((self.training.digest, self.held_out.digest, self.preprocessing.sha256))

    def pictures(self, threads: int) -> tuple[Batches, Batches]:
        """Batches that `threads` threads decode from files, of training and held-out pictures.

        Raises ValueError when a held-out picture is of a class that training lacks.
        """

        def batches(images: Manifest, seed: int | None) -> ImageBatches:
            return ImageBatches(
                images.paths,
                targets_of(images, self.training.classes),
                self.preprocessing,
                batch_size=self.batch_size,
                threads=threads,
                seed=seed,
            )

        return batches(self.training, self.seed), batches(self.held_out, None)

    def rows(self, trunk: str, files: Sequence[PathLike]) -> tuple[Batches, Batches]:
        """Batches of rows that the trunk of that identity made, from where they are kept.

        files: rows, ids and origin of each part, the held-out part last.
        Raises trunk_cache.TrunkMismatch when they are of another trunk, of differently prepared
        pictures, or of other pictures; ValueError as `pictures`.
        """
        caches = [TrunkCache.read(*files[start : start + 3]) for start in range(0, len(files), 3)]
        for cache in caches:
            check_trunk(cache, trunk, self.preprocessing.sha256)
        *taught, watched = caches
        return (
            self._row_batches(JoinedRows(taught), self.training, self.seed),
            self._row_batches(JoinedRows([watched]), self.held_out, None),
        )

    def _row_batches(self, rows: JoinedRows, images: Manifest, seed: int | None) -> Batches:
        positions = rows.positions_of(images.ids)
        targets = targets_of(images, self.training.classes)
        return RowBatches(rows, positions, targets, batch_size=self.batch_size, seed=seed)
