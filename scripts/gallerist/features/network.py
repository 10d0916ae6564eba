"""A trained network as an extractor: pictures, or rows of its trunk, in; vectors out."""

import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain

import keras
import numpy as np

from gallerist.data.preprocessing import Preprocessing, decode_ahead
from gallerist.features.store import normalise
from gallerist.features.views import FIXED_SIZE, Views, ViewsRefused
from gallerist.io.arrays import Pixels, Vectors
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, sha256_of_file
from gallerist.networks.architectures import EMBEDDING, InferenceMode, without_head
from gallerist.networks.inference import Engine, Forward, compile_network
from gallerist.networks.trunk_cache import TrunkCache, check_trunk
from gallerist.workflow.progress import Progress


class NetworkExtractor:
    """A trained network without its head, for files: see `extractors.Extractor`.

    network: the network without its head. pictures: how they are read. views: of each. model:
    SHA-256 of the file. engine_name: what computed, once something has been.
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

        threads: of the network and of decoding. engine, xla: see `inference.compile_network`, which
        is called with the first batch; for a few pictures "tensorflow" is ready sooner.
        views: None is the plain one, as the network was trained.
        Raises UserError naming the file when it is damaged or holds something else, and
        views.ViewsRefused where the network cannot take the views.
        """
        self.pictures = Preprocessing.read(preprocessing)
        self.model = sha256_of_file(model)
        self.network = _headless(model)
        self.views = views or Views()
        self.engine_name: str | None = None
        self._threads, self._engine, self._xla = threads, engine, xla
        size = self.pictures.image_size
        self._plain = self.views.is_plain(size)
        self._networks = {
            each: self.network if each == size else resize_input(self.network, each)
            for each in self.views.sizes(size)
        }
        self._forwards: dict[int, Forward] = {}

    @property
    def length(self) -> int:
        """Numbers in a vector."""
        return int(self.network.output_shape[-1])

    @property
    def preprocessing(self) -> str:
        """Identity of what comes before the network, views included: goes with the features."""
        return self.views.identity(self.pictures.image_size, self.pictures.sha256)

    def batches(
        self, paths: Sequence[PathLike], *, batch_size: int | None = None
    ) -> Iterator[Vectors]:
        """Batches of (n, length) float32 rows, one a path.

        They are as the network gives them; with several views, each view's row is scaled to length
        1, and their mean has a length of 1 where all views agree, and less otherwise.
        batch_size: see `preprocessing.decode_ahead`, which decodes the next batches while the
        network works on this one.
        Raises `decoding.BadImage` naming the file that cannot be decoded; with several views
        UserError.
        """
        # Each size is decoded by itself: shrunk from another size it would be blurred twice.
        threads = max(1, self._threads // len(self._networks))
        progress = Progress("images", len(paths))
        with ExitStack() as readers:
            batches = [
                readers.enter_context(
                    closing(
                        decode_ahead(
                            paths,
                            replace(self.pictures, image_size=size),
                            threads=threads,
                            batch_size=batch_size,
                        )
                    )
                )
                for size in self._networks
            ]
            vectors = self._plainly(batches[0]) if self._plain else self._in_views(batches)
            for rows in vectors:
                yield rows
                progress.advance(len(rows))

    def batches_of_rows(self, rows: TrunkCache, *, batch_size: int = 256) -> Iterator[Vectors]:
        """The same vectors from stored rows of this network's trunk, in their order.

        Only what comes after the trunk is computed. float16 keeps 11 bits of a row's numbers, so
        that vectors from such rows are equal to about three digits. Rows are of the plain view.
        Raises at once UserError when the rows are of another trunk or of differently prepared
        pictures, ValueError when this network has no trunk, ViewsRefused when this has other views.
        """
        from gallerist.networks.trunk import after_trunk, trunk_identity

        if not self._plain:
            raise ViewsRefused(
                "rows of the trunk are of the plain view, at the network's own size: "
                "with other views, extract from the pictures"
            )
        check_trunk(rows, trunk_identity(self.network), self.pictures.sha256)
        forward = self._compile(after_trunk(self.network), batch_size)
        return self._after_trunk(forward, rows, batch_size)

    def _after_trunk(self, forward: Forward, rows: TrunkCache, size: int) -> Iterator[Vectors]:
        progress = Progress("images", len(rows.ids))
        for vectors in forward.stream(rows.rows.blocks(size)):
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
            self._forwards[size] = self._compile(self._networks[size], count)
        return self._forwards[size]

    def _compile(self, network: keras.Model, batch_size: int) -> Forward:
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
        raise UserError(
            f"{os.fspath(model)} cannot be read as a trained network ({reason}). "
            "Remove it and train it again."
        ) from error


def resize_input(network: keras.Model, image_size: int) -> keras.Model:
    """A network without its head for pictures of another size, with the same layers and weights.

    network: as `architectures.without_head` gives it. The vectors have the same length. Where sizes
    differ by whole `views.STEP`s it is the network that a build at that size gives; otherwise
    convolutions with a stride may be padded on the other side.
    Raises views.ViewsRefused where the network flattens its last map.
    """
    if isinstance(network.get_layer(EMBEDDING), keras.layers.Flatten):
        raise ViewsRefused(FIXED_SIZE)

    def fit_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, InferenceMode):
            inside = _on_other_pixels(layer.layer, image_size, _without_size)
            return InferenceMode(inside, name=layer.name)
        return layer

    return _on_other_pixels(network, image_size, fit_layer)


def _on_other_pixels(
    model: keras.Model,
    image_size: int,
    layer_for: Callable[[keras.layers.Layer], keras.layers.Layer],
) -> keras.Model:
    """Call a functional model's layers, or others for them, on pixels of another size."""
    (given,) = model.inputs
    pixels = keras.Input((image_size, image_size, 3), dtype=given.dtype, name="pixels")
    return keras.models.clone_model(
        keras.Model(given, model.outputs[0], name=model.name),  # not compiled, whatever `model` is
        input_tensors=pixels,
        clone_function=layer_for,
    )


def _without_size(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer itself; or its layers in a new row, where a row (as in ConvNeXt) has a size."""
    if isinstance(layer, keras.Sequential):
        return keras.Sequential(layer.layers, name=layer.name)
    return layer
