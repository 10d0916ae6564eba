"""What one changed picture costs: jobs, vectors and processor seconds of the rerun.

    PYTHONPATH=scripts python -m benchmarks.edits FOLDER --against CHECKOUT...

The default configuration, its pictures in a folder, one training of each network; each checkout
with its own environment and configuration, in turn. First all is computed once, then a picture is
added to the gallery, a query gets another name, and a training picture moves to the gallery.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import Machine
from benchmarks.plain import CHECKOUT, CONFIG, copy_of, run_workflow
from benchmarks.tables import Cell, Table
from gallerist.data.silhouettes import draw_tree
from gallerist.settings.dataset import EmbeddedPictures

EXTRACTING = ("extract_features", "describe_images", "encode_key_points")
GALLERY, QUERY, TRAINING = "validation/gallery", "validation/query", "training"


def add_to_gallery(pictures: Path, more: Path) -> None:
    """The first picture of a larger gallery that this one lacks."""
    (name, *_) = sorted(_names(more / GALLERY) - _names(pictures / GALLERY))
    shutil.copy(more / GALLERY / name, pictures / GALLERY / name)


def rename_query(pictures: Path, more: Path) -> None:
    """The first one."""
    first = pictures / QUERY / min(_names(pictures / QUERY))
    first.rename(first.with_name("renamed.png"))


def move_to_gallery(pictures: Path, more: Path) -> None:
    """The first training picture."""
    first = min(_names(pictures / TRAINING))
    (pictures / TRAINING / first).rename(pictures / GALLERY / first)


EDITS: dict[str, Callable[[Path, Path], None]] = {
    "all computed": lambda pictures, more: None,
    "a picture added to the gallery": add_to_gallery,
    "a query renamed": rename_query,
    "a training picture moved to the gallery": move_to_gallery,
}


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.png")}


def configured(config: Path) -> dict[str, Any]:
    """A default configuration for pictures in a folder, with one training of each network."""
    found: dict[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8"))
    del found["dataset"]["embedded"]
    found["dataset"]["folder"] = "pictures"
    for each in found["experiments"].values():
        if isinstance(each.get("seed"), list):
            each["seed"] = each["seed"][0]
    return found


def rerun(checkout: Path, copy: Path) -> dict[str, float]:
    """Run the workflow; what it took, and the jobs and vectors that it computed."""
    began = time.time()
    used = run_workflow(checkout, copy)
    results = copy / "results"
    new = [path for path in results.rglob("*") if path.stat().st_mtime > began]
    records = [json.loads(path.read_text("utf-8")) for path in new if _is_of_extraction(path)]
    vectors = [each["metrics"] for each in records if each["stage"] in EXTRACTING]
    computed = sum(each.get("vectors_computed", each["images"]) for each in vectors)
    jobs = sum(path.suffix == ".tsv" and "benchmarks" in path.parts for path in new)
    return {"jobs": jobs, "vectors": computed, **used}


def _is_of_extraction(path: Path) -> bool:
    return path.name.endswith(".record.json") and "features" in path.parts


def measure(folder: Path, checkouts: list[Path]) -> Table:
    """Every edit on every checkout, in turn; ratios are against the first."""
    drawn = yaml.safe_load(CONFIG.read_text("utf-8"))["dataset"]["embedded"]
    draw_tree(folder / "first", EmbeddedPictures(**drawn))
    drawn["gallery_per_class"] += 1
    draw_tree(more := folder / "more", EmbeddedPictures(**drawn))
    copies: Mapping[Path, Path] = {
        each: copy_of(each, folder / str(number)) for number, each in enumerate(checkouts)
    }
    for checkout, copy in copies.items():
        shutil.copytree(folder / "first", copy / "pictures")
        text = yaml.safe_dump(configured(checkout / "config/config.yaml"), sort_keys=False)
        (copy / "config/config.yaml").write_text(text, encoding="utf-8")
    rows: list[dict[str, Cell]] = []
    for name, edit in EDITS.items():
        against = 0.0
        for checkout, copy in copies.items():
            edit(copy / "pictures", more)
            found = rerun(checkout, copy)
            against = against or found["processor"]
            ratio = found["processor"] / against
            rows.append({"edit": name, "checkout": checkout.name, **found, "of the first": ratio})
            print(rows[-1], flush=True)
    return Table("edits", "What one changed picture costs", tuple(rows))


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edits", description=__doc__)
    parser.add_argument("folder", type=Path, help="a new one, of the copies and their results")
    parser.add_argument("--against", type=Path, nargs="+", default=[CHECKOUT], metavar="CHECKOUT")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True)
    machine = Machine.here()
    found = measure(asked.folder.resolve(), [each.resolve() for each in asked.against])
    print(found.markdown(machine))


if __name__ == "__main__":
    main()
