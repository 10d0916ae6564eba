"""The default run's computing in one process, to measure what the workflow around it costs.

    python -m benchmarks.plain --folder FOLDER              computes it once
    python -m benchmarks.plain --rounds 3 --against CHECKOUT...   in turn with whole workflows

The same networks, epochs, descriptors, fusion, searches, evaluations, figures and challenge, by the
library's own functions, without Snakemake, MLflow and records; TensorFlow is loaded once. It does
what config/config.yaml asks for, not every configuration: no archives, reductions or re-rankings.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from benchmarks.machine import Machine
from gallerist.config.completion import complete
from gallerist.data.manifest import Manifest
from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.features.store import Features, read_sets, write_features
from gallerist.workflow.experiments import Experiment
from gallerist.workflow.plan import CHALLENGE_PARTS, Plan
from gallerist.workflow.results import vector_files

CHECKOUT = Path(__file__).resolve().parents[1]
SEARCHED = {"": ("gallery", "query"), "challenge/": CHALLENGE_PARTS}
"""Folder of the rankings -> the two parts that are searched."""


class PlainRun:
    """A run from drawing the pictures to the comparison; its methods are its stages, in order."""

    def __init__(self, config: Mapping[str, Any], folder: Path) -> None:
        """`config`: complete; everything is written below `folder`."""
        self.config, self.plan = config, Plan(config, str(folder))
        self.file = self.plan.results.file
        self.threads = os.cpu_count() or 1
        self.max_pixels = config["dataset"]["images"]["max_pixels"]
        self.manifests: dict[str, Manifest] = {}
        self.weights: dict[str, Any] = {}
        asked = config["evaluation"]
        self.intervals = IntervalSettings(
            asked["seed"], asked["bootstrap_rounds"], asked["confidence"]
        )

    def title(self, experiment: str) -> str:
        """What figures are headed by."""
        return f"{self.config['dataset']['name']}, {experiment}"

    def prepare_pictures(self) -> None:
        """Draw and import all pictures, split and augment them, look for leaks."""
        from gallerist.challenge.drawing import draw_challenge
        from gallerist.data.augmentation import augment
        from gallerist.data.near_duplicates import find_leaks, write_leaks
        from gallerist.data.silhouettes import draw_tree
        from gallerist.data.splitting import split
        from gallerist.settings.augmentation import Augmentation
        from gallerist.settings.challenge import EmbeddedChallenge

        dataset = self.config["dataset"]
        draw_tree(self.file("source"), **dataset["embedded"])
        embedded = EmbeddedChallenge(**self.config["challenge"]["embedded"])
        draw_challenge(self.file("challenge/source"), embedded)
        for part in (*self.plan.imported, *self.plan.challenge_parts):
            self.manifests[part] = self.imported(part)
        held_out = dataset["split"]["validation"]
        # In the order in which the rule names them, for the parts are drawn one after the other.
        shares = {"training": 1 - held_out, "validation": held_out}
        self.manifests |= split(self.manifests["originals"], shares, seed=dataset["split"]["seed"])
        self.manifests["augmented"] = augment(
            self.manifests["training"],
            self.file("augmented"),
            Augmentation(**self.config["augmentation"]),
            max_pixels=self.max_pixels,
            threads=self.threads,
        )
        for part, manifest in self.manifests.items():
            manifest.write(self.file(f"manifests/{part}.csv"))
        parts = ("training", "validation", "gallery", "query")
        compared = {part: self.manifests[part] for part in parts}
        write_leaks(
            self.file("reports/leaks.csv"), find_leaks(compared, dataset["near_duplicate_distance"])
        )

    def imported(self, part: str) -> Manifest:
        """Look at every picture of a part."""
        from gallerist.data.importing import import_folder

        return import_folder(
            self.plan.part_folder(part),
            part=part,
            min_side=self.config["dataset"]["images"]["min_side"],
            max_pixels=self.max_pixels,
            threads=self.threads,
            flat=part in CHALLENGE_PARTS,
        ).manifest

    def keep_trunks(self) -> None:
        """Fetch pretrained weights, and compute frozen layers once for every picture."""
        from gallerist.networks.weights import fetch

        for name, experiment in self.plan.pretrained.items():
            kept = self.file(f"weights/{name}.weights.h5")
            Path(kept).parent.mkdir(parents=True, exist_ok=True)
            settings = experiment.settings
            self.weights[name] = fetch(settings["backbone"], settings["weights"], kept)
        for name in self.plan.trunks:
            users = [each for each in self.plan.experiments.values() if each.trunk == name]
            parts = {part for each in users for part in self.plan.training_parts(each.name)}
            self.keep_trunk(name, sorted(parts | {"gallery", "query"}))

    def keep_trunk(self, name: str, parts: list[str]) -> None:
        """Compute one backbone's frozen layers for the pictures of these parts."""
        from gallerist.networks.trunk_cache import write_trunk_cache

        from gallerist.data.preprocessing import Preprocessing, decode_ahead
        from gallerist.networks import trunk
        from gallerist.networks.architectures import backbone_on_pixels
        from gallerist.networks.inference import compile_network

        experiment = self.plan.trunks[name]
        settings = experiment.trunk_settings
        preprocessing = Preprocessing(settings["image_size"], self.max_pixels, settings["look"])
        network = backbone_on_pixels(
            settings["backbone"],
            settings["image_size"],
            settings["freeze_until"],
            self.weights[str(experiment.pretrained)].file,
        )
        forward = compile_network(trunk.trunk_of(network), engine="auto", threads=self.threads)
        for part in parts:
            images = self.manifests[part]
            rows, ids, origin = vector_files(self.file(f"trunks/{name}/{part}"))
            write_trunk_cache(
                forward.stream(decode_ahead(images.paths, preprocessing, threads=self.threads)),
                images.ids,
                part=part,
                trunk=trunk.trunk_identity(network),
                preprocessing=preprocessing.sha256,
                values=trunk.cut_of_network(network).values,
                dtype=settings["trunk_cache"],
                rows=rows,
                ids_file=ids,
                origin=origin,
            )

    def train(self, experiment: Experiment) -> None:
        """Train one network, and draw its curves."""
        import keras

        from gallerist.data.preprocessing import Preprocessing
        from gallerist.figures.training_curves import draw_training_curves
        from gallerist.networks.architectures import architecture
        from gallerist.networks.trunk import after_trunk, trunk_identity
        from gallerist.settings.networks import read_network
        from gallerist.training import loop
        from gallerist.training.batches import TrainingData
        from gallerist.training.history import read_history

        keras.backend.clear_session()
        name, settings = experiment.name, read_network(**experiment.extraction)
        parts = self.plan.training_parts(name)
        paths = [self.file(f"manifests/{part}.csv") for part in parts if part != "validation"]
        images = Manifest.read(*paths)
        preprocessing = Preprocessing(settings.image_size, self.max_pixels, settings.look)
        data = TrainingData(
            images, self.manifests["validation"], preprocessing, settings.batch_size, settings.seed
        )
        weights = self.weights.get(experiment.pretrained or "")
        network = architecture(settings).build(
            len(images.classes), weights.file if weights else None, settings.seed
        )
        rows = self.plan.training_rows(name)
        trained_part = after_trunk(network) if rows else network
        batches = data.rows(trunk_identity(network), rows) if rows else data.pictures(self.threads)
        trained = loop.train(trained_part, *batches, settings=settings)
        history = self.file(f"models/{name}/history.csv")
        Path(history).parent.mkdir(parents=True, exist_ok=True)
        loop.save(network, self.file(f"models/{name}/model.keras"))
        preprocessing.write(self.file(f"models/{name}/preprocessing.json"))
        trained.write_history(history)
        curves = self.file(f"models/{name}/curves.png")
        draw_training_curves(read_history(history), curves, title=self.title(name))

    def extract(self, experiment: Experiment) -> None:
        """Write the vectors of every part that is searched, or that a fusion learns from."""
        name = experiment.name
        fused = [each for each in self.plan.experiments.values() if name in each.members]
        parts = ["gallery", "query", *CHALLENGE_PARTS, *(["validation"] if fused else [])]
        if experiment.kind == "fused_vectors":
            self.fuse(experiment)
            return
        extractor = self.extractor(experiment)
        for part in parts:
            rows = self.plan.extraction_rows(name, part) if experiment.kind == "network" else []
            ids = self.manifests[part].ids
            if rows:
                from gallerist.networks.trunk_cache import TrunkCache

                batches = extractor.batches_of_rows(TrunkCache.read(*rows))
            else:
                batches = extractor.batches(self.manifests[part].paths)
            write_features(batches, ids, extractor, self.plan.features(name, part))

    def extractor(self, experiment: Experiment) -> Any:
        """What makes a vector of a picture; key points learn their words first."""
        if experiment.kind == "network":
            from gallerist.features.network import NetworkExtractor

            model = self.file(f"models/{experiment.name}/model.keras")
            preprocessing = self.file(f"models/{experiment.name}/preprocessing.json")
            return NetworkExtractor(model, preprocessing, threads=self.threads)
        if experiment.kind == "descriptor":
            from gallerist.features.descriptors.extract import DescriptorExtractor

            return DescriptorExtractor(
                experiment.extraction, max_pixels=self.max_pixels, threads=self.threads
            )
        from gallerist.features.vocabulary import WordExtractor

        settings = experiment.extraction
        return WordExtractor(
            self.learned_words(experiment),
            settings["encoding"],
            square_root=settings["square_root"],
            threads=self.threads,
        )

    def learned_words(self, experiment: Experiment) -> Any:
        """The vocabulary of key points of the training pictures, drawn on some of them."""
        from gallerist.features.key_points import Detector
        from gallerist.features.vocabulary import Vocabulary, count_words, learn, sample
        from gallerist.figures.key_points import draw

        settings, training = experiment.extraction, self.manifests["training"]
        keys = ("descriptor", "max_side", "max_points")
        detector = Detector(*(settings[key] for key in keys), settings.get("root", False))
        descriptors = sample(
            training.paths,
            detector,
            at_most=settings["sample"],
            seed=settings["seed"],
            threads=self.threads,
        )
        words = learn(descriptors, settings["words"], settings["seed"], detector=detector)
        if settings["encoding"] == "bag_of_words":
            words = count_words(words, training.paths, threads=self.threads)
        file = self.file(f"vocabularies/{experiment.name}.npz")
        words.write(file)
        one_a_class = {each.label: each.path for each in reversed(training.pictures)}
        shown = [one_a_class[label] for label in sorted(one_a_class)[:4]]
        picture = self.file(f"vocabularies/{experiment.name}.png")
        draw(shown, picture, detector=detector, title=f"{self.title(experiment.name)}: key points")
        return Vocabulary.read(file)

    def fuse(self, experiment: Experiment) -> None:
        """Weigh an experiment's members by the validation pictures, and put vectors together."""
        from gallerist.features.fusion import Fusion, learn_weights
        from gallerist.io.files import write_json

        name, validation = experiment.name, self.manifests["validation"]

        def members(part: str) -> dict[str, Features]:
            sets = read_sets(self.plan.member_features(name, part))
            return dict(zip(experiment.members, sets, strict=True))

        known = {each: it.rows_of(validation.ids) for each, it in members("validation").items()}
        learned = learn_weights(known, validation.labels, experiment.settings["seed"])
        weights = self.file(f"fusions/{name}.json")
        write_json(weights, dict(learned.weights))
        for part in ("gallery", "query", *CHALLENGE_PARTS):
            sets = members(part)
            ids, fusion = self.manifests[part].ids, Fusion.of(sets, weights)
            write_features(fusion.batches(ids), ids, fusion, self.plan.features(name, part))

    def search(self, experiment: Experiment) -> None:
        """Rank the gallery for all queries, and the challenge's."""
        from gallerist.search.gallery import search_gallery
        from gallerist.settings.ranking import Search

        for folder, parts in SEARCHED.items():
            gallery, queries = (
                Features.read(*self.plan.features(experiment.name, part)) for part in parts
            )
            depth = self.config["search"]["depth"] or len(gallery.ids)
            settings = Search(**experiment.settings["search"])
            ranking, _ = search_gallery(queries, gallery, depth, settings, threads=self.threads)
            ranking.write(self.plan.ranking(experiment.name, folder))

    def everything(self) -> None:
        """All stages, one after the other."""
        from benchmarks.plain_results import compare, evaluate_experiment, grade_challenge
        from gallerist.networks.runtime import configure

        experiments = self.plan.experiments.values()
        configure(threads=self.threads)
        self.prepare_pictures()
        self.keep_trunks()
        for each in experiments:
            if each.kind == "network":
                self.train(each)
        for each in experiments:  # a fusion stands behind its members
            self.extract(each)
            self.search(each)
        compare(self, [evaluate_experiment(self, each) for each in experiments])
        grade_challenge(self)


def measured(command: list[str], folder: Path) -> dict[str, float]:
    """Processor seconds of a command and all its children, and wall seconds.

    Raises CalledProcessError, with what it said, when it fails.
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"processor": processor, "wall": wall}


def run_workflow(checkout: Path) -> dict[str, float]:
    """The default run of a clean copy of a checkout, with the checkout's own environment."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "gallerist")
        kept = subprocess.run(
            ["git", "-C", checkout, "ls-files", "-z"], check=True, capture_output=True
        )
        subprocess.run(
            ["rsync", "-a", "--from0", "--files-from=-", f"{checkout}/", f"{copy}/"],
            check=True,
            input=kept.stdout,
        )
        programs = checkout / ".venv/bin"
        run = f"PYTHONPATH={copy}/scripts PATH={programs}:$PATH {programs}/snakemake --cores all"
        return measured(["bash", "-c", f"{run} 2>/dev/null"], copy)


def run_plain() -> dict[str, float]:
    """The same computing in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.plain", "--folder", folder]
        return measured([*command], CHECKOUT)


def compare_sides(rounds: int, checkouts: list[Path]) -> None:
    """Measure all sides in turn; print medians, and ratios as medians over the rounds."""
    sides: dict[str, Any] = {"plain": run_plain}
    sides |= {str(each): lambda each=each: run_workflow(each) for each in checkouts}
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, run in sides.items():
            seen[name].append(run())
            print(number + 1, name, json.dumps(seen[name][-1]), file=sys.stderr, flush=True)
    print(*Machine.here().lines, sep="\n")
    print("| side | processor s | wall s | processor, times plain | wall, times plain |")
    print("|---|---|---|---|---|")
    for name, each in seen.items():
        figures = [f"{median(one[kind] for one in each):.0f}" for kind in ("processor", "wall")]
        pairs = [*zip(each, seen["plain"], strict=True)]
        figures += [
            f"{median(one[kind] / plain[kind] for one, plain in pairs):.2f}"
            for kind in ("processor", "wall")
        ]
        print(f"| {name} | {' | '.join(figures)} |")


def main() -> None:
    """Compute once, or measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plain", description=__doc__)
    parser.add_argument("--folder", type=Path, help="compute once, into this folder")
    parser.add_argument("--config", type=Path, default=CHECKOUT / "config/config.yaml")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is measured")
    parser.add_argument("--against", type=Path, nargs="+", default=[CHECKOUT], metavar="CHECKOUT")
    asked = parser.parse_args()
    if asked.folder:
        config = complete(yaml.safe_load(asked.config.read_text(encoding="utf-8")))
        PlainRun(config, asked.folder).everything()
    else:
        compare_sides(asked.rounds, [each.resolve() for each in asked.against])


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow loads
    main()
