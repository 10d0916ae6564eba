"""What each loss finds, over seeds, beside cross-entropy and no training.

    PYTHONPATH=scripts python -m benchmarks.loss_accuracy FOLDER [--unseen 5] [--seeds 1 2 3]

FOLDER holds `training`, `validation/gallery` and `validation/query`, a folder a class in each. With
--unseen the last so many classes are not trained on, and only they are searched: each picture of
the gallery and the queries searches all the others. Without, the queries search the gallery. Every
training is written when it is done, and not repeated by another call.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import Machine, threads
from benchmarks.tables import Cell, Table
from gallerist.data.manifest import DISTRACTOR, Manifest, Picture
from gallerist.data.preprocessing import Preprocessing
from gallerist.evaluation.bootstrap import IntervalSettings, mean_intervals
from gallerist.io.arrays import AnyArray, Floats
from gallerist.io.files import write_json

UNTRAINED, CLASSIFICATION = "not trained", "classification"
WAYS: dict[str, Any] = {
    CLASSIFICATION: None,
    **{
        name: {"name": name}
        for name in (
            *("triplet", "semi_hard_triplet", "contrastive", "supcon", "nt_xent"),
            *("multi_similarity", "arcface", "cosface", "proxy_anchor"),
        )
    },
}
HELD_OUT = 0.2
"""Of each class's training pictures, to validate by."""


@dataclass(frozen=True)
class Setting:
    """What all trainings have in common."""

    backbone: str = "EfficientNetLite2"
    image_size: int = 160
    freeze_until: str = "block7"
    batch_size: int = 20
    epochs: int = 5
    learning_rate: float = 1e-4

    def network(self, loss: Any, seed: int = 1) -> Any:
        """Settings of an experiment."""
        from gallerist.settings.networks import read_network

        return read_network(
            network="transfer",
            backbone=self.backbone,
            image_size=self.image_size,
            freeze_until=self.freeze_until,
            pooling="avg",
            head="standard",
            l1=0.0,
            l2=1e-4,
            loss=loss,
            batch_size=self.batch_size,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            early_stopping={"min_delta": 0.0, "patience": 3},
            seed=seed,
        )


def prepare(
    setting: Setting,
    loss: Any,
    training: Manifest,
    validation: Manifest,
    folder: Path,
    seed: int,
) -> "Prepared":
    """A network, and what it is trained on. folder: of rows, which all losses and seeds share."""
    from gallerist.networks.architectures import architecture
    from gallerist.networks.trunk import Halves
    from gallerist.networks.trunk_rows import TrunkRows
    from gallerist.networks.weights import fetch
    from gallerist.training.batches import TrainingData

    settings = setting.network(loss, seed)
    weights = fetch(setting.backbone, "imagenet", folder / "imagenet.weights.h5")
    network = architecture(settings).build(len(training.classes), weights.file, seed)
    halves = Halves(network)
    pictures = Preprocessing(setting.image_size)
    rows = TrunkRows(FrozenLayers(halves, pictures), folder / "rows")
    how = pictures, setting.batch_size, seed, settings.loss
    data = TrainingData(training, validation, *how)
    batches = data.rows(halves.identity, rows)
    return Prepared(settings, halves, halves.after_trunk(), *batches, rows)


class FrozenLayers:
    """The frozen layers of a network that is in memory, in place of `trunk_rows.Trunk`.

    They are compiled with the first row that is not kept.
    """

    dtype = "float32"

    def __init__(self, halves: Any, pictures: Preprocessing) -> None:
        self.halves, self.pictures = halves, pictures
        self.model, self.preprocessing = halves.identity, pictures.sha256
        self.length = halves.cut.values
        self.identity = [self.model, self.preprocessing]

    def batches(self, pictures: Any) -> Iterator[Any]:
        """Rows of pictures, a batch at a time."""
        from gallerist.data.preprocessing import decode_ahead
        from gallerist.networks.tensorflow_inference import compile_network

        forward = compile_network(self.halves.trunk(), threads=threads())
        return forward.stream(decode_ahead(pictures, self.pictures, threads=threads()))


@dataclass(frozen=True)
class Prepared:
    """settings: of the experiment. half: of the network, that is trained. rows: of its trunk."""

    settings: Any
    halves: Any
    half: Any
    training: Any
    validation: Any
    rows: Any


# --- what is found ----------------------------------------------------------------------------


def found_by(
    vectors: Floats, labels: Sequence[str], asking: Sequence[int], gallery: Sequence[int]
) -> dict[str, Floats]:
    """top-1 and mAP@R of each query that has an answer, which is never itself.

    mAP@R: Musgrave et al., A Metric Learning Reality Check (2020).
    """
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    names, columns = np.asarray(labels), np.asarray(gallery)
    top1, map_at_r = [], []
    for query in asking:
        others = columns[columns != query]
        relevant = int((names[others] == names[query]).sum())
        if not relevant or names[query] == DISTRACTOR:
            continue
        order = others[np.argsort(-(unit[others] @ unit[query]), kind="stable")]
        right = names[order[:relevant]] == names[query]
        precision = right.cumsum() / np.arange(1, relevant + 1)
        top1.append(float(right[0]))
        map_at_r.append(float((precision * right).sum() / relevant))
    return {"top-1": np.array(top1), "mAP@R": np.array(map_at_r)}


def manifest_of(folder: Path, part: str, classes: Sequence[str]) -> Manifest:
    """The pictures of some classes."""
    files = [file for name in classes for file in sorted((folder / name).iterdir())]
    return Manifest(
        Picture(f"{part}-{row}", str(file), file.parent.name, part, f"{part}-{row}", 0, 0, "")
        for row, file in enumerate(files)
    )


class Task:
    """What is learned from, and who searches whom. unseen: classes that are searched only."""

    def __init__(self, folder: Path, unseen: int) -> None:
        def classes(part: str) -> list[str]:
            return sorted(each.name for each in (folder / part).iterdir() if each.is_dir())

        every = classes("training")
        learned = every[: len(every) - unseen]
        training = manifest_of(folder / "training", "training", learned)
        held_out = set[int]()
        for name in learned:
            rows = [row for row, label in enumerate(training.labels) if label == name]
            drawn = np.random.default_rng(1).permutation(rows)
            held_out.update(drawn[: round(HELD_OUT * len(rows))].tolist())
        kept = [row for row in range(len(training)) if row not in held_out]
        self.training = training.of_rows(kept, "training")
        self.validation = training.of_rows(sorted(held_out), "validation")
        parts = []
        for part in ("gallery", "query"):
            wanted = [
                each
                for each in classes(f"validation/{part}")
                if not unseen or each in every[len(learned) :]
            ]
            parts.append(manifest_of(folder / "validation" / part, part, wanted))
        self.searched = Manifest([*parts[0], *parts[1]])
        whole = range(len(self.searched))
        split = len(parts[0])
        self.asking, self.gallery = (whole, whole) if unseen else (whole[split:], whole[:split])

    def scores(self, made: Prepared) -> dict[str, Floats]:
        """Of the network as it is."""
        from gallerist.networks.heads import EMBEDDING

        describe, vectors = made.halves.after_trunk(EMBEDDING), []
        made.rows.fill(self.searched)
        for start in range(0, len(self.searched), 64):
            batch = made.rows.store.take(self.searched.ids[start : start + 64])
            vectors.append(np.asarray(describe(batch, training=False), np.float64))
        found = np.concatenate(vectors)
        return found_by(found, self.searched.labels, self.asking, self.gallery)


def run(task: Task, setting: Setting, way: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train once, or not at all, and search."""
    from gallerist.training.loop import train

    loss = WAYS.get(way)
    data = task.training, task.validation
    made = prepare(setting, loss, *data, folder, seed)
    epochs = 0
    if way != UNTRAINED:
        trained = train(made.half, made.training, made.validation, settings=made.settings)
        epochs = len(trained.history)
    scores = task.scores(made)
    return {"epochs": epochs, **{name: values.tolist() for name, values in scores.items()}}


def trained_all(
    task: Task, setting: Setting, seeds: Sequence[int], kept: Path
) -> dict[str, list[dict[str, Any]]]:
    """Every way with every seed, of which those that are kept in a file are done."""
    done: dict[str, list[dict[str, Any]]] = json.loads(kept.read_text()) if kept.is_file() else {}
    rows = Path(tempfile.gettempdir()) / f"gallerist-{kept.stem}"
    for number, seed in enumerate(seeds, start=1):
        for way in (UNTRAINED, *WAYS):
            runs = done.setdefault(way, [])
            if len(runs) < number and (way != UNTRAINED or number == 1):
                runs.append(run(task, setting, way, seed, rows))
                write_json(kept, done)
                means = {name: float(np.mean(runs[-1][name])) for name in ("mAP@R", "top-1")}
                print(seed, way, runs[-1]["epochs"], means, flush=True)
    return done


# --- the table --------------------------------------------------------------------------------


def table_of(name: str, title: str, done: Mapping[str, list[dict[str, Any]]]) -> Table:
    """A row a way: means over seeds, their scatter, and the paired difference to cross-entropy.

    Intervals are of 95 %, over pictures that search; a picture's value is its mean over seeds.
    """
    rows: list[dict[str, Cell]] = []
    for way, runs in done.items():
        row: dict[str, Cell] = {"loss": way, "seeds": len(runs)}
        for metric in ("mAP@R", "top-1"):
            each = np.array([one[metric] for one in runs])
            compared = done[CLASSIFICATION]
            others = compared if way == UNTRAINED else compared[: len(runs)]
            other = np.array([one[metric] for one in others])
            row[metric] = _with_interval(each.mean(axis=0), signed=False)
            if len(each) > 1:
                row[f"{metric}, between seeds"] = f"{each.mean(axis=1).std(ddof=1):.3f}"
            if way != CLASSIFICATION:
                difference = each.mean(axis=0) - other.mean(axis=0)
                row[f"{metric} less cross-entropy's"] = _with_interval(difference, signed=True)
        row["epochs"] = float(np.mean([one["epochs"] for one in runs]))
        rows.append(row)
    notes = (
        "mean over seeds, and its interval of 95 % over the pictures that search (BCa); between "
        "seeds: standard deviation",
        "less cross-entropy's: paired by picture",
    )
    return Table(name, title, tuple(rows), notes)


def _with_interval(values: AnyArray, *, signed: bool) -> str:
    settings = IntervalSettings(seed=1)
    [found] = mean_intervals({"": values}, np.arange(len(values)), settings, signed=signed).values()
    form = "{:+.3f}" if signed else "{:.3f}"
    mean, low, high = (form.format(each) for each in (found.mean, found.low, found.high))
    return f"{mean} ({low} to {high})"


def main() -> None:
    """Train what is missing, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loss_accuracy")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--unseen", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--batch-size", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks"))
    asked = parser.parse_args()
    from benchmarks.networks import configured

    configured()
    setting = Setting(batch_size=asked.batch_size)
    task, name = Task(asked.folder, asked.unseen), f"losses_{asked.folder.name}"
    done = trained_all(task, setting, asked.seeds, asked.output / f"{name}.runs.json")
    title = f"{setting.backbone} at {setting.image_size} pixels, {asked.folder.name}"
    machine = Machine.here()
    table = table_of(name, title, done)
    table.write(asked.output, machine)
    print(table.markdown(machine))


if __name__ == "__main__":
    main()
