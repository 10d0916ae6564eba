"""Finished results of two descriptors on a few pictures with hostile names, as a run leaves them.

They are made by the library as the rules make them, so that the page shows what a run would.
"""

import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from tracked import a_record

from gallerist.data.domains import write_domains
from gallerist.data.manifest import Manifest, Picture
from gallerist.data.near_duplicates import find_leaks, write_leaks
from gallerist.evaluation import comparison, tables
from gallerist.evaluation.bootstrap import IntervalSettings
from gallerist.evaluation.curves import curves_of, write_curves
from gallerist.evaluation.doubtful_labels import Doubt, write_doubts
from gallerist.evaluation.relevance import evaluate
from gallerist.evaluation.scores import score
from gallerist.evaluation.significance import better_than, find_differences, write_differences
from gallerist.features.descriptors.extract import DescriptorExtractor
from gallerist.features.extractors import extract
from gallerist.features.store import write_features
from gallerist.io.files import sha256_of_file, write_json, write_text
from gallerist.records.record import Artifact, write_record
from gallerist.search.exact import search
from gallerist.settings.descriptors import read_descriptor

COLOUR = {"descriptor": "colour_histogram", "search": {"metric": "cosine"}}
HOG = {"descriptor": "hog", "search": {"metric": "cosine"}}
EXPERIMENTS = {"hog": HOG, "colour": COLOUR}
MAX_PIXELS = 1_000_000

HOSTILE = "\"><img src=x onerror=document.title='owned'>"
RIGHT_TO_LEFT = "\u202egpj.\u05d0\u05d1"
CLASSES = ("cat", HOSTILE, "dog & <b>cow</b>")
NAMES = ("<script>alert(1)<", "'quoted' \"twice\"", RIGHT_TO_LEFT, "x" * 251, "${7*7}{{7*7}}")
"""Of files, each once; the others are numbered. With its ending one has 255 letters."""

METRICS = ("top-1", "top-3", "mAP", "MRR")
COSTS = ("epochs_run", "training_seconds", "trunk_seconds", "extraction_images_per_second",
         "parameters", "parameters_trained", "feature_length")  # fmt: skip
SETTINGS = IntervalSettings(99, 200, 0.95)


@dataclass(frozen=True)
class Browsed:
    """Results that can be looked at. root: of all. gallery, queries: manifests of the data set."""

    root: Path
    gallery: Manifest
    queries: Manifest
    name: str = "small"

    @property
    def folder(self):
        return self.root / self.name


def draw(path, label, seed):
    """A picture of a class: its colour, and stripes in its direction, much disturbed."""
    random = np.random.default_rng([label, seed])
    y, x = np.mgrid[:60, :80]
    angle = label * np.pi / 3 + random.normal(0, 0.5)
    stripes = np.sin((x * np.cos(angle) + y * np.sin(angle)) / 3) > 0
    colour = np.roll([220, 90, 40], label) + random.integers(-60, 60, 3)
    pixels = np.where(stripes[..., None], colour, 235) + random.normal(0, 12, (60, 80, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def part(folder, name, per_class, names=()):
    """The manifest of new pictures, `per_class` of each of CLASSES."""
    pictures = []
    for number in range(per_class * len(CLASSES)):
        label = number % len(CLASSES)
        stem = names[number] if number < len(names) else f"{name}_{number}"
        path = folder / "source" / name / CLASSES[label].replace("/", "_") / f"{stem}.png"
        draw(path, label, number + 1000 * len(name))
        identity = sha256_of_file(path)[:16]
        title = unicodedata.normalize("NFC", CLASSES[label])
        pictures.append(
            Picture(identity, str(path), title, name, identity, 80, 60, f"{number:016x}")
        )
    return Manifest(tuple(pictures))


DOMAINS = ("photo", "<i>sketch</i>", "photo")
"""Of the queries, in turn."""


def browsed(root, gallery_per_class=6, queries_per_class=4, domains=()):
    """Results of EXPERIMENTS, compared. One query is in the training pictures, too.

    domains: of the queries, in turn, where they have any.
    """
    folder = root / "small"
    gallery = part(folder, "gallery", gallery_per_class)
    queries = part(folder, "query", queries_per_class, NAMES)
    leaked = queries.pictures[0]
    training = Manifest(
        (Picture(leaked.id, leaked.path, "cat", "training", leaked.id, 80, 60, leaked.phash),)
    )
    parts = {"training": training, "gallery": gallery, "query": queries}
    for name, manifest in parts.items():
        manifest.write(folder / f"manifests/{name}.csv")
    write_leaks(folder / "reports/leaks.csv", find_leaks(parts, 0))
    of_query = {name: domains[row % 3] for row, name in enumerate(queries.ids) if domains}
    if domains:
        write_domains(folder / "domains.csv", of_query)
    made = Browsed(root, gallery, queries)
    origin = folder / "origin/0123456789abcdef/config.yaml"
    config = {
        "dataset": {"name": "small", "images": {"max_pixels": MAX_PIXELS, "profiles": "apply"}},
        "experiments": EXPERIMENTS,
        "compute": {"engine": "auto", "gpu_precision": "float32", "gpu_xla": False},
    }
    write_text(origin, yaml.safe_dump(config, sort_keys=False))
    found = {
        name: _evaluated(made, name, settings, origin, of_query)
        for name, settings in EXPERIMENTS.items()
    }
    _compare(made, found)
    return made


def _evaluated(made, name, settings, origin, domains):
    """Metrics, record and scores of one experiment, whose files are written."""
    folder, evaluation = made.folder, made.folder / "evaluation" / name
    extractor = DescriptorExtractor(read_descriptor(**settings), max_pixels=MAX_PIXELS, threads=1)
    for each in (made.gallery, made.queries):
        stem = folder / "features" / name / each.pictures[0].part
        files = [f"{stem}.{suffix}" for suffix in ("npy", "ids.csv", "origin.json")]
        write_features(extractor.batches(each.paths), each.ids, extractor, files)
    vectors = [extract(extractor, each.paths, each.ids) for each in (made.queries, made.gallery)]
    pairs = [part for each in vectors for part in (each.vectors, each.ids)]
    ranking = search(*pairs, len(made.gallery), metric="cosine")
    ranking.write(folder / f"rankings/{name}.csv")
    found = evaluate(ranking, made.queries.label_of, made.gallery.label_of)
    scores = score(found.ranks, made.queries, found.queries, METRICS, domains)
    counts = scores.counts(excluded=found.excluded, gallery=made.gallery)
    metrics = {"experiment": name, **counts, "confidence": 0.95, **scores.as_json(SETTINGS)}
    write_json(evaluation / "metrics.json", metrics)
    tables.write_answers(evaluation / "answers.csv", found, made.queries, made.gallery, 10)
    written = evaluation / "queries.csv"
    tables.write_queries(written, scores, made.queries, found.ranks, found.excluded)
    tables.write_classes(evaluation / "classes.csv", scores, SETTINGS)
    if domains:
        tables.write_domains(evaluation / "domains.csv", scores, SETTINGS)
    curves = curves_of(
        found, found.ranks, scores.originals, made.gallery, SETTINGS, by_distance=True
    )
    write_curves(evaluation / "curves.csv", curves)
    Image.new("RGB", (30, 20), "white").save(evaluation / "classes.png")
    record = a_record(
        "small",
        stage="evaluate_retrieval",
        experiment=name,
        title=name,
        destination="comparison",
        tags={"weights": "none"},
        parameters={"descriptor": settings["descriptor"]},
        metrics={**dict.fromkeys(COSTS, 1.0), **counts},
        artifacts=(Artifact(str(origin)),),
    )
    write_record(evaluation / "experiment.record.json", record)
    return metrics, record, scores


def doubted(made):
    """Two queries and a gallery picture, each beside pictures of the next class."""
    pictures = *made.queries.pictures[:2], made.gallery.pictures[0]
    after = dict(zip(CLASSES, (*CLASSES[1:], CLASSES[0]), strict=True))
    near = {label: [each.id for each in made.gallery if each.label == label] for label in CLASSES}
    return [
        Doubt(
            *(each.id, each.part, each.label, after[each.label], 0.9 - number / 10, 0.05, 1, None),
            *(("hog", "colour"), tuple(near[after[each.label]])),
        )
        for number, each in enumerate(pictures)
    ]


def _compare(made, found):
    folder = made.folder / "comparison"
    differences = find_differences({name: each[2] for name, each in found.items()}, SETTINGS)
    write_differences(folder / "differences.csv", differences)
    metrics, records = ([each[place] for each in found.values()] for place in (0, 1))
    rows = comparison.table_rows(records, metrics, "top-1", better_than(differences, "top-1"))
    comparison.write_table(folder / "comparison.csv", rows)
    write_doubts(folder / "doubtful_labels.csv", doubted(made))
    record = a_record(
        "small",
        stage="compare_experiments",
        title="compare_experiments",
        parameters={"decided_by": "top-1", "confidence": 0.95},
    )
    write_record(folder / "comparison.record.json", record)
