"""The descriptors of key points, detected once a picture and kept."""

import os
from contextlib import AbstractContextManager
from dataclasses import replace
from threading import Lock

import numpy as np

from gallerist.data.manifest import Manifest
from gallerist.features.key_points import Detector, root_sift
from gallerist.io.arrays import AnyArray
from gallerist.io.files import PathLike
from gallerist.workflow.stores import open_store


class KeptKeyPoints(AbstractContextManager["KeptKeyPoints"]):
    """Gives what `Detector.descriptors` does, of pictures in manifests; to several threads.

    Numbers of SIFT are whole and below 256, so they are kept as bytes, and its square roots are
    taken afterwards. What is detected within a block is kept, and found, when it ends.
    """

    def __init__(self, detector: Detector, folder: PathLike, *manifests: PathLike) -> None:
        """folder: of the stores. manifests: files."""
        self._detector, self._plain = detector, replace(detector, root=False)
        self._store = open_store(folder, Detector, self._plain.to_json())
        self.folder = self._store.folder
        self._ids = {row.path: row.id for path in manifests for row in Manifest.read(path)}
        self._kept = np.float32 if detector.kind == "surf" else np.uint8
        self._lock = Lock()

    def __enter__(self) -> "KeptKeyPoints":
        self._adding = self._store.adding()
        self._additions = self._adding.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._adding.__exit__(None, None, None)

    def __call__(self, path: PathLike) -> AnyArray:
        """The descriptors of a picture file: see `key_points.KeyPoints`."""
        picture = self._ids[os.fspath(path)]
        if picture in self._store:
            found = self._store.rows_of(picture)
        else:
            found = self._plain.descriptors(path).astype(self._kept)
            with self._lock:
                self._additions.add([picture], found)
        if self._detector.kind != "sift":
            return found
        numbers = found.astype(np.float32)
        return root_sift(numbers) if self._detector.root else numbers
