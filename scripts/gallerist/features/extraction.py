"""Every picture of an experiment extracted once: into its store, and from there into its parts."""

import zlib
from collections.abc import Mapping, Sequence
from itertools import islice

from gallerist.data.manifest import Manifest
from gallerist.features.extractors import Extractor
from gallerist.features.store import write_features
from gallerist.io.files import PathLike
from gallerist.io.row_store import RowStore
from gallerist.workflow.run import Run
from gallerist.workflow.stores import open_store


def extract_parts(
    run: Run,
    extractor: Extractor,
    manifests: Mapping[str, PathLike],
    outputs: Mapping[str, Sequence[PathLike]],
    folder: PathLike,
    *beside: object,
) -> None:
    """What a job of an extracting rule does, and records.

    manifests: of each part. outputs: of the rule; those of parts are the part's files.
    folder, beside: see `Extraction`. The rule's parameter `shard` says which one of how many.
    """
    parts = {part: Manifest.read(path) for part, path in manifests.items()}
    extraction = Extraction(extractor, parts, folder, *beside)
    extraction.fill(*run.param("shard"))
    run.metrics(extraction.write({part: outputs[part] for part in parts if part in outputs}))
    run.tag(store=extraction.folder)
    for part, images in parts.items():
        run.dataset(part, manifests[part], images.digest, len(images))


class Extraction:
    """The vectors of all parts that one extractor is asked for.

    folder: that they are kept in.
    """

    def __init__(
        self, extractor: Extractor, parts: Mapping[str, Manifest], folder: PathLike, *beside: object
    ) -> None:
        """folder: of its stores; what the one of this extractor has is not computed again.

        beside: what can change a bit of a vector besides, such as the device.
        """
        self._extractor, self._parts = extractor, parts
        what = (extractor.model, extractor.preprocessing, *beside)
        self._store: RowStore = open_store(folder, type(extractor), *what)
        self._paths = {row.id: row.path for images in parts.values() for row in images}
        self.folder = self._store.folder
        self._stored = len(self._paths) - len(self._store.missing(self._paths))

    def fill(self, shard: int = 0, shards: int = 1) -> None:
        """Compute what the store lacks of all pictures, or of those that fall to one shard.

        A picture stands in one shard, whatever parts it is in. What has been computed before an
        error, such as a bad picture, is kept.
        """
        mine = (each for each in self._paths if zlib.crc32(each.encode()) % shards == shard)
        missing = self._store.missing(mine)
        if not missing:
            return
        waiting = iter(missing)
        # Before it is counted how long vectors take: the call may first compute what lies before.
        batches = self._extractor.batches([self._paths[each] for each in missing])
        with self._store.adding() as additions:
            for batch in batches:
                additions.add(list(islice(waiting, len(batch))), batch)

    def write(self, files: Mapping[str, Sequence[PathLike]]) -> dict[str, float]:
        """Write the files of parts, see `store.write_features`; of none in a shard.

        Returns what a record says: pictures, those computed now and those that were there, of all
        parts together; extraction_seconds is what computing them took, whenever that was.
        """
        if files:
            self._store.merge()
        images, rate = len(self._paths), len(self._store) / max(self._store.seconds, 1e-9)
        metrics = {
            "images": images,
            "vectors_computed": self._store.computed,
            "vectors_stored": self._stored,
            "extraction_seconds": images / rate if rate else 0.0,
            "images_per_second": rate,
            "images_without_content": 0.0,
            "feature_length": self._extractor.length,
        }
        for part, names in files.items():
            ids = self._parts[part].ids
            written = write_features(self._store.batches(ids), ids, self._extractor, names)
            metrics[f"{part}_images"] = len(ids)
            metrics["images_without_content"] += written["images_without_content"]
        return metrics
