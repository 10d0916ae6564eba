"""The descriptors of key points, detected once a picture and kept."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock

import numpy as np

from gallerist.data.manifest import Manifest
from gallerist.features.key_points import Detector, root_sift
from gallerist.features.vocabulary import Detect
from gallerist.io.arrays import AnyArray
from gallerist.io.files import PathLike
from gallerist.workflow.stores import open_store


@contextmanager
def kept_key_points(detector: Detector, folder: PathLike, *manifests: PathLike) -> Iterator[Detect]:
    """A function that gives what `Detector.descriptors` does, of any picture in the manifests.

    folder: of the stores. Safe in several threads. Numbers of SIFT are whole and below 256, so they
    are kept as bytes, and its square roots are taken afterwards.
    """
    plain = replace(detector, root=False)
    store = open_store(folder, Detector, plain.to_json())
    ids = {os.fspath(row.path): row.id for path in manifests for row in Manifest.read(path)}
    kept = np.float32 if detector.kind == "surf" else np.uint8
    lock = Lock()
    with store.adding() as additions:

        def detect(path: PathLike) -> AnyArray:
            picture = ids[os.fspath(path)]
            if picture in store:
                found = store.rows_of(picture)
            else:
                found = plain.descriptors(path).astype(kept)
                with lock:
                    additions.add([picture], found)
            if detector.kind != "sift":
                return found
            numbers = found.astype(np.float32)
            return root_sift(numbers) if detector.root else numbers

        yield detect
