"""A trained network as an extractor: pictures, or rows of its trunk, in; vectors out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from gallerist.data.preprocessing import Preprocessing, decode_ahead
from gallerist.features.store import normalise
from gallerist.features.views import FIXED_SIZE, Views, ViewsRefused
from gallerist.io.arrays import Pixels, Vectors
from gallerist.io.errors import UserError
from gallerist.io.files import PathLike, sha256_of_file
from gallerist.networks.exported import Exported, Kind
from gallerist.networks.inference import Engine, Forward, compile_exported, engine_for
from gallerist.networks.trunk_rows import TrunkRows, check_trunk
from gallerist.workflow.progress import Progress


class NetworkExtractor:
    """A trained network without its head, for files: see `extractors.Extractor`.

    pictures: how they are read. views: of each. model: SHA-256 of the file. length: numbers in a
    vector. engine_name: what computed, once something has been.
    rows: of its trunk, where the vectors are to be made from these.
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
        """Open a `.keras` file, as it was exported beside it, and its preprocessing.

        model: or an `.xml` file, of a network that is not there for Keras: OpenVINO runs it.

        Keras and TensorFlow are loaded only where `inference.compile_exported` says.
        threads: of the network and of decoding. engine, xla: see `inference.compile_exported`,
        which is called with the first batch.
        views: None is the plain one, as the network was trained.
        Raises UserError naming the file when it is damaged or of another network, and
        views.ViewsRefused where the network cannot take the views.
        """
        self.pictures = Preprocessing.read(preprocessing)
        self.views = views or Views()
        self.rows: TrunkRows | None = None
        self.engine_name: str | None = None
        self._path, self._threads, self._xla = model, threads, xla
        self._engine = engine_for(model, engine)
        remedy = f"Remove {model} and run the workflow, which makes it again."
        of_keras = Path(model).suffix == ".keras"
        self._exported = Exported.read(model, remedy, sha256_of_file(model) if of_keras else None)
        self.model = self._exported.model
        self.length = self._exported.length
        size = self.pictures.image_size
        self._plain = self.views.is_plain(size)
        self._sizes = self.views.sizes(size)
        if self._sizes != (size,) and self._exported.sizes == "fixed":
            raise ViewsRefused(FIXED_SIZE)
        self._forwards: dict[int, Forward] = {}

    @cached_property
    def network(self) -> Any:
        """The network without its head, a keras.Model. Raises UserError where it is damaged."""
        if Path(self._path).suffix != ".keras":
            raise UserError(
                f"{self._path} cannot be run by OpenVINO here as where it was imported: see the "
                "log. Remove it and run the workflow, which imports it again."
            )
        from gallerist.networks.architectures import load_headless

        return load_headless(self._path)

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

        With `rows`, those that are missing are computed by the call, and only what comes after the
        trunk with the batches. float16 keeps 11 bits of a row's
        numbers, so that vectors from such rows are equal to about three digits. Rows are of the
        plain view. Raises UserError when they are of another trunk or of differently prepared
        pictures, ValueError when this network has no trunk, ViewsRefused when this has other views.
        """
        if self.rows is not None:
            return self._batches_of_rows(self.rows, paths)
        return self._batches_of_pictures(paths, batch_size)

    def _batches_of_pictures(
        self, paths: Sequence[PathLike], batch_size: int | None
    ) -> Iterator[Vectors]:
        # Each size is decoded by itself: shrunk from another size it would be blurred twice.
        threads = max(1, self._threads // len(self._sizes))
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
                for size in self._sizes
            ]
            vectors = self._plainly(batches[0]) if self._plain else self._in_views(batches)
            for rows in vectors:
                yield rows
                progress.advance(len(rows))

    def _batches_of_rows(self, rows: TrunkRows, paths: Sequence[PathLike]) -> Iterator[Vectors]:
        if not self._plain:
            raise ViewsRefused(
                "rows of the trunk are of the plain view, at the network's own size: "
                "with other views, extract from the pictures"
            )
        if self._exported.trunk is None:
            raise ValueError("the network has no backbone of which rows could have been kept")
        check_trunk(rows, self._exported.trunk, self.pictures.sha256)
        rows.keep(paths)
        return self._compile("rows").stream(rows.batches(paths))

    def feature_maps(self) -> tuple[Forward, Mapping[str, Any]]:
        """What gives the last feature map of pictures, and how vectors are pooled from it.

        The pooling is as of `feature_map.feature_map_of`, which says which networks have one.
        Raises UserError for another one.
        """
        if "pooling" not in self._exported.facts:
            raise UserError(
                f"{self._path}: the vectors are not made of the last feature map alone, so that no "
                "regions of a picture can be shown for them"
            )
        return self._compile("maps"), self._exported.facts["pooling"]

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
        """What runs the network for pictures of that size."""
        size = pixels.shape[1]
        if size not in self._forwards:
            self._forwards[size] = self._compile("pixels", size)
        return self._forwards[size]

    def _compile(self, kind: Kind, size: int | None = None) -> Forward:
        resized = None if size == self.pictures.image_size else size

        def in_keras() -> Any:
            from gallerist.networks.architectures import resize_input
            from gallerist.networks.feature_map import up_to_feature_map
            from gallerist.networks.trunk import Halves

            if kind == "maps":
                return up_to_feature_map(self.network)
            if kind == "rows":
                return Halves(self.network).after_trunk()
            return resize_input(self.network, resized) if resized else self.network

        forward = compile_exported(
            self._exported,
            in_keras,
            kind=kind,
            image_size=resized,
            engine=self._engine,
            threads=self._threads,
            xla=self._xla,
        )
        self.engine_name = forward.name
        return forward
