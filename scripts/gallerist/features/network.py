"""A trained network as a describer: pictures, or rows of its trunk, in; vectors out."""

import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain

import keras
import numpy as np

from gallerist.data.batches import decoded_ahead
from gallerist.data.preprocessing import Pixels, Preprocessing
from gallerist.features.network_sizes import at_image_size
from gallerist.features.store import Vectors, normalise
from gallerist.features.views import Views, ViewsRefused
from gallerist.io.files import PathLike, sha256_of_file
from gallerist.networks.architectures import without_head
from gallerist.networks.inference import Engine, Forward, compile_network
from gallerist.networks.trunk_cache import TrunkCache, check_trunk
from gallerist.workflow.progress import Progress


class ModelRefused(ValueError):
    """A model file cannot be read, or is not a network that `training.save` stored."""


class Describer:
    """A trained network without its head, ready to describe pictures.

    network: the network without its head. preprocessing: what comes before it.
    views: how it looks at a picture. model_sha256: of the model file.
    engine_name: what described, in words, when something has been.
    """

    def __init__(
        self,
        model: PathLike,
        preprocessing: PathLike,
        *,
        threads: int,
        engine: Engine = "auto",
        xla: bool = False,
        views: Views | None = None,
    ) -> None:
        """Load a `.keras` file (without executing anything stored in it) and its preprocessing.

        threads: of the network and of decoding. engine, xla: see `engine.compile_network`, which is
        called when the first batch is described; for a few pictures "tensorflow" is ready sooner.
        views: how to look at a picture; None looks once, as the network was trained.
        Raises ModelRefused naming the file when it is damaged or holds something else, and
        views.ViewsRefused where the network cannot take the views.
        """
        self.preprocessing = Preprocessing.read(preprocessing)
        self.model_sha256 = sha256_of_file(model)
        self.network = _headless(model)
        self.views = views or Views()
        self.engine_name: str | None = None
        self._threads, self._engine, self._xla = threads, engine, xla
        size = self.preprocessing.image_size
        self._plain = self.views.is_plain(size)
        self._networks = {
            each: self.network if each == size else at_image_size(self.network, each)
            for each in self.views.sizes(size)
        }
        self._forwards: dict[int, Forward] = {}

    @property
    def feature_length(self) -> int:
        """Numbers in a vector."""
        return int(self.network.output_shape[-1])

    @property
    def preprocessing_sha256(self) -> str:
        """Identity of what comes before the network, views included: goes with the features."""
        return self.views.identity(self.preprocessing.image_size, self.preprocessing.sha256)

    def describe(self, paths: Sequence[PathLike], *, batch_size: int | None = None) -> Vectors:
        """All vectors of `vectors_of_pictures` as one array, scaled to length 1.

        Returns (n, feature_length) float32. Raises `features.NotFinite`.
        """
        batches = list(self.vectors_of_pictures(paths, batch_size=batch_size))
        return normalise(np.concatenate([np.empty((0, self.feature_length)), *batches]))

    def vectors_of_pictures(
        self, paths: Sequence[PathLike], *, batch_size: int | None = None
    ) -> Iterator[Vectors]:
        """Batches of (n, feature_length) float32 rows, one a path.

        They are as the network gives them; with several views, each view's row is scaled to length
        1, and their mean has a length of 1 where all views agree, and less otherwise.
        batch_size: see `picture_batches.decoded_ahead`, which decodes the next batches while the
        network works on this one.
        Raises `images.BadImage` naming the file that cannot be decoded; with several views
        `features.NotFinite`.
        """
        # Each size is decoded by itself: shrunk from another size it would be blurred twice.
        threads = max(1, self._threads // len(self._networks))
        progress = Progress("images", len(paths))
        with ExitStack() as readers:
            batches = [
                readers.enter_context(
                    closing(
                        decoded_ahead(
                            paths,
                            replace(self.preprocessing, image_size=size),
                            threads=threads,
                            batch_size=batch_size,
                        )
                    )
                )
                for size in self._networks
            ]
            seen = self._plainly(batches[0]) if self._plain else self._in_views(batches)
            for rows in seen:
                yield rows
                progress.advance(len(rows))

    def vectors_of_rows(self, rows: TrunkCache, *, batch_size: int = 256) -> Iterator[Vectors]:
        """The same vectors from stored rows of this network's trunk, in their order.

        Only what comes after the trunk is computed. float16 keeps 11 bits of a row's numbers, so
        that vectors from such rows are equal to about three digits. Rows are of the plain view.
        Raises at once `trunk_cache.TrunkMismatch` when the rows are of another trunk or of
        differently prepared pictures, `trunk.NoBackbone` when this network has no trunk, and
        `views.ViewsRefused` when this describer looks at pictures in other ways.
        """
        from gallerist.networks.trunk import after_trunk, trunk_identity

        if not self._plain:
            raise ViewsRefused(
                "rows of the trunk are of pictures looked at once, at the network's own size: "
                "with other views, describe the pictures"
            )
        check_trunk(rows, trunk_identity(self.network), self.preprocessing.sha256)
        forward = self._compiled(after_trunk(self.network), batch_size)
        return self._after_trunk(forward, rows, batch_size)

    def _after_trunk(self, forward: Forward, rows: TrunkCache, size: int) -> Iterator[Vectors]:
        progress = Progress("images", len(rows))
        for vectors in forward.stream(rows.blocks(size)):
            yield vectors
            progress.advance(len(vectors))

    def _plainly(self, batches: Iterator[Pixels]) -> Iterator[Vectors]:
        for first in batches:
            yield from self._forward(first).stream(chain([first], batches))

    def _in_views(self, batches: Sequence[Iterator[Pixels]]) -> Iterator[Vectors]:
        for sizes in zip(*batches, strict=True):
            mirrored = [pixels[:, :, ::-1] for pixels in sizes] if self.views.flip else []
            views = (*sizes, *mirrored)
            rows = [normalise(self._forward(pixels)(pixels)) for pixels in views]
            yield np.asarray(np.mean(rows, axis=0, dtype=np.float64), dtype=np.float32)

    def _forward(self, pixels: Pixels) -> Forward:
        """What runs the network for pictures of that size, made ready for such batches."""
        count, size = pixels.shape[:2]
        if size not in self._forwards:
            self._forwards[size] = self._compiled(self._networks[size], count)
        return self._forwards[size]

    def _compiled(self, network: keras.Model, batch_size: int) -> Forward:
        forward = compile_network(
            network,
            engine=self._engine,
            threads=self._threads,
            batch_size=batch_size,
            xla=self._xla,
        )
        self.engine_name = forward.name
        return forward


def _headless(model: PathLike) -> keras.Model:
    try:
        if not zipfile.is_zipfile(model):  # Keras would call it "not found"
            raise ValueError("not a whole .keras file")
        stored = keras.models.load_model(os.fspath(model), compile=False, safe_mode=True)
        return without_head(stored)
    except Exception as error:  # Keras raises everything from KeyError to BadZipFile
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelRefused(
            f"{os.fspath(model)} cannot be read as a trained network ({reason}). "
            "Remove it and train it again."
        ) from error
