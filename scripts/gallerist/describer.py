"""A trained network as a describer: pictures, or rows of its trunk, in; vectors out."""

import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cached_property

import keras
import numpy as np

from gallerist.engine import Engine, Forward, compile_network
from gallerist.features import Vectors, normalise
from gallerist.files import PathLike, sha256_of_file
from gallerist.network import without_head
from gallerist.picture_batches import decoded_ahead
from gallerist.preprocessing import Preprocessing
from gallerist.progress import Progress
from gallerist.trunk_cache import TrunkCache, check_trunk


class ModelRefused(ValueError):
    """A model file cannot be read, or is not a network that `training.save` stored."""


class Describer:
    """A trained network without its head, ready to describe pictures.

    network: the network without its head. preprocessing: what comes before it.
    model_sha256: of the model file. engine_name: what described, in words, when something has been.
    """

    def __init__(
        self,
        model: PathLike,
        preprocessing: PathLike,
        *,
        threads: int,
        engine: Engine = "auto",
        xla: bool = False,
    ) -> None:
        """Load a `.keras` file (without executing anything stored in it) and its preprocessing.

        threads: of the network and of decoding. engine, xla: see `engine.compile_network`, which is
        called when the first batch is described; for a few pictures "tensorflow" is ready sooner.
        Raises ModelRefused naming the file when it is damaged or holds something else.
        """
        self.preprocessing = Preprocessing.read(preprocessing)
        self.model_sha256 = sha256_of_file(model)
        self.network = _headless(model)
        self.engine_name: str | None = None
        self._threads, self._engine, self._xla = threads, engine, xla

    @property
    def feature_length(self) -> int:
        """Numbers in a vector."""
        return int(self.network.output_shape[-1])

    def describe(self, paths: Sequence[PathLike], *, batch_size: int | None = None) -> Vectors:
        """All vectors of `vectors_of_pictures` as one array, scaled to length 1.

        Returns (n, feature_length) float32. Raises `features.NotFinite`.
        """
        batches = list(self.vectors_of_pictures(paths, batch_size=batch_size))
        return normalise(np.concatenate([np.empty((0, self.feature_length)), *batches]))

    def vectors_of_pictures(
        self, paths: Sequence[PathLike], *, batch_size: int | None = None
    ) -> Iterator[Vectors]:
        """Batches of (n, feature_length) float32 rows as the network gives them, one a path.

        batch_size: see `picture_batches.decoded_ahead`, which decodes the next batches while the
        network works on this one.
        Raises `images.BadImage` naming the file that cannot be decoded.
        """
        batches = decoded_ahead(
            paths, self.preprocessing, threads=self._threads, batch_size=batch_size
        )
        progress = Progress("images", len(paths))
        with closing(batches):
            for pixels in batches:
                yield self._of_pixels(pixels)
                progress.advance(len(pixels))

    def vectors_of_rows(self, rows: TrunkCache, *, batch_size: int = 256) -> Iterator[Vectors]:
        """The same vectors from stored rows of this network's trunk, in their order.

        Only what comes after the trunk is computed. float16 keeps 11 bits of a row's numbers, so
        that vectors from such rows are equal to about three digits.
        Raises at once `trunk_cache.TrunkMismatch` when the rows are of another trunk or of
        differently prepared pictures, and `trunk.NoBackbone` when this network has no trunk.
        """
        from gallerist.trunk import after_trunk, trunk_identity

        check_trunk(rows, trunk_identity(self.network), self.preprocessing.sha256)
        return self._after_trunk(self._compiled(after_trunk(self.network)), rows, batch_size)

    def _after_trunk(self, forward: Forward, rows: TrunkCache, size: int) -> Iterator[Vectors]:
        progress = Progress("images", len(rows))
        for block in rows.blocks(size):
            yield forward(block)
            progress.advance(len(block))

    @cached_property
    def _of_pixels(self) -> Forward:
        return self._compiled(self.network)

    def _compiled(self, network: keras.Model) -> Forward:
        forward = compile_network(
            network, engine=self._engine, threads=self._threads, xla=self._xla
        )
        self.engine_name = forward.name
        return forward


def _headless(model: PathLike) -> keras.Model:
    try:
        if not zipfile.is_zipfile(model):  # Keras would call it "not found"
            raise ValueError("not a whole .keras file")
        return without_head(keras.models.load_model(os.fspath(model), compile=False))
    except Exception as error:  # Keras raises everything from KeyError to BadZipFile
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelRefused(
            f"{os.fspath(model)} cannot be read as a trained network ({reason}). "
            "Remove it and train it again."
        ) from error
