"""Classical descriptors of many pictures, side by side."""

import inspect
from typing import Unpack

import numpy as np

from gallerist.data.decoding import Reading
from gallerist.data.preprocessing import Preprocessing
from gallerist.features.descriptors.registry import DESCRIPTORS
from gallerist.features.extractors import PictureByPicture
from gallerist.io.arrays import Vectors
from gallerist.io.files import PathLike, canonical_json, sha256_of_text
from gallerist.settings.descriptors import WholePicture


class DescriptorExtractor(PictureByPicture):
    """A descriptor with its settings, for files: see `extractors.Extractor`."""

    def __init__(self, settings: WholePicture, *, threads: int, **reading: Unpack[Reading]) -> None:
        """settings: of an experiment. reading: see `Preprocessing`.

        threads: that decode and compute, a picture at a time; vectors do not depend on them.
        """
        self._function, self.threads = DESCRIPTORS[settings.descriptor], threads
        self._settings = settings.model_dump(
            include={*inspect.signature(self._function).parameters}
        )
        self._pictures = Preprocessing.of(settings.model_dump(), **reading)
        model = {"descriptor": settings.descriptor, **self._settings}
        self.model = sha256_of_text(canonical_json(model))
        self.preprocessing = self._pictures.sha256
        self.length = len(self._function(np.zeros((1, 1, 3), np.uint8), **self._settings))

    def vector(self, path: PathLike) -> Vectors:
        """The vector of one picture."""
        return self._function(self._pictures.load(path), **self._settings)
