"""Which store keeps what a job computes of pictures, and which stores are no longer used."""

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gallerist import LIBRARY
from gallerist.io.files import PathLike, canonical_json, sha256_of_file, sha256_of_text
from gallerist.io.row_store import RowStore, keys_in
from gallerist.records.record import read_record
from gallerist.settings.configuration import Configuration
from gallerist.workflow.dependencies import COPYING, RECORD_KEEPING, library_files
from gallerist.workflow.plan import Plan

STORE_TAGS = ("store", "key_points", "trunk_store")
"""Tags of a record by which a job names the stores that it used."""

PACKAGES = (
    *("numpy", "pillow", "pi-heif", "opencv-python-headless", "scikit-image", "mahotas"),
    "scikit-learn",
    *("openvino", "tensorflow", "keras"),
)
"""Packages whose next version may give a row other bits."""


def open_store(folder: PathLike, maker: type, *what: object, copies: bool = False) -> RowStore:
    """The store below `folder` of what the class `maker`, so configured, makes of pictures.

    what: everything beside the picture that can change a bit, as JSON values. The code of the
    maker, and of what it imports, and the packages' versions are taken in too: rows of other code
    lie in a store of their own. copies: whether there are augmented copies among the pictures.
    """
    without = RECORD_KEEPING if copies else RECORD_KEEPING | COPYING
    source = Path(str(sys.modules[maker.__module__].__file__))
    code = [source, *library_files(source, LIBRARY, without=without)]
    parts = [list(what), [sha256_of_file(file) for file in code], [*map(_version, PACKAGES)]]
    identity = sha256_of_text(canonical_json(parts))
    return RowStore(Path(folder) / identity[:16], identity)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def unused_files(config: Configuration, root: PathLike = "results") -> list[Path]:
    """The files of stores that no experiment of a configuration uses any more.

    Those of stores that no job names in its record, and those without any picture of a manifest;
    indexes that no search names. root: the folder of all results.
    """
    plan = Plan(config, root)
    records = [Path(each) for name in plan.experiments for each in plan.upstream_records(name)]
    records += [Path(plan.results.file(f"manifests/{part}.record.json")) for part in plan.users]
    tags = [read_record(path).tags for path in {*records} if path.exists()]
    used = {Path(each[name]) for each in tags for name in STORE_TAGS if name in each}
    manifests = (plan.results.folder / "manifests").glob("*.csv")
    pictures = {row.partition(",")[0] for path in manifests for row in path.open(encoding="utf-8")}
    segments = [
        path
        for path in sorted(plan.results.folder.glob("store/*/*/*/*.arrow"))
        if path.parent not in used or pictures.isdisjoint(keys_in(path))
    ]
    searched = {Path(file) for each in tags for file in each.get("indexes", "").split()}
    indexes = sorted(plan.results.folder.glob("store/indexes/*/*"))
    return segments + [path for path in indexes if path.with_suffix(".faiss") not in searched]
