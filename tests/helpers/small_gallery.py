"""What tests of registered models share: results of hog on a few pictures, as a run leaves them."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tracked import a_record

from gallerist.data.manifest import Manifest, Picture
from gallerist.evaluation.threshold import Promise, Threshold
from gallerist.features.descriptors.extract import DescriptorExtractor
from gallerist.features.extractors import extract
from gallerist.features.store import write_features
from gallerist.io.files import read_json, sha256_of_file, write_json
from gallerist.records.record import write_record
from gallerist.search.exact import search
from gallerist.settings.descriptors import read_descriptor
from gallerist.workflow.results import Results

HOG = {
    "descriptor": "hog", "image_size": 64, "look": "colour", "orientations": 9, "cells": 8,
    "cell_pixels": 8, "block": 2, "search": {"metric": "cosine"},
}  # fmt: skip
MAX_PIXELS = 1_000_000
GALLERY_SIZE, QUERY_SIZE = 12, 10
EXTRACTOR = DescriptorExtractor(read_descriptor(**HOG), max_pixels=MAX_PIXELS, threads=1)


@dataclass(frozen=True)
class SmallGallery:
    """A folder of results, a configuration that it could be of, and its query pictures."""

    root: Path
    config: dict
    queries: Manifest

    @property
    def results(self):
        return Results.of(self.config, self.root)

    def add_experiment(self, name, hits, settings=HOG):
        """An experiment as evaluated: hits has 0 or 1 for each query, its top-1."""
        self.config["experiments"][name] = settings
        folder = self.results.folder
        gallery = Manifest.read(folder / "manifests/gallery.csv")
        stem = folder / "features" / name
        files = [stem / f"gallery.{suffix}" for suffix in ("npy", "ids.csv", "origin.json")]
        write_features(EXTRACTOR.batches(gallery.paths), gallery.ids, EXTRACTOR, files)
        evaluation = folder / "evaluation" / name
        evaluation.mkdir(parents=True)
        with (evaluation / "queries.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("query_id", "path", "class", "original", "first_right", "top-1"))
            for query, hit in zip(self.queries, hits, strict=True):
                writer.writerow((query.id, query.path, query.label, query.id, 2 - hit, hit))
        metrics = {"top-1": {"mean": sum(hits) / len(hits)}}
        write_json(evaluation / "metrics.json", {"metrics": metrics})
        record = a_record(
            self.config["dataset"]["name"],
            stage="evaluate_retrieval",
            experiment=name,
            title=name,
            destination="comparison",
            tags={"weights": "none"},
        )
        write_record(evaluation / "experiment.record.json", record)

    def add_threshold(self, name, below):
        """The threshold of an experiment, as its evaluation leaves it; None takes it away."""
        path = self.results.folder / f"evaluation/{name}/metrics.json"
        found = read_json(path)
        found.pop("abstaining", None)
        if below is not None:
            found["abstaining"] = Threshold(below, Promise(0.05, 0.95, 0.5), 200).as_json()
        write_json(path, found)


def small_gallery(root):
    """Results without any experiment, of pictures that are all different."""
    config = {
        "dataset": {
            "name": "small",
            "folder": "pictures",
            "images": {"max_pixels": MAX_PIXELS, "profiles": "apply"},
        },
        "experiments": {},
        "search": {"depth": 5},
        "compute": {"engine": "auto"},
        "evaluation": {
            "decided_by": "top-1",
            "confidence": 0.95,
            "bootstrap_rounds": 1000,
            "seed": 99,
        },
        "tracking": {"uri": None, "patience": 30},
    }
    folder = root / "small"
    for part, count in (("gallery", GALLERY_SIZE), ("query", QUERY_SIZE)):
        pictures = [drawn(folder / "source", part, number) for number in range(count)]
        Manifest(tuple(pictures)).write(folder / f"manifests/{part}.csv")
    return SmallGallery(root, config, Manifest.read(folder / "manifests/query.csv"))


def drawn(folder, part, number):
    label = ("cat", "dog")[number % 2]
    path = folder / part / label / f"{number}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = [number, len(part)]
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((90, 70), Image.Resampling.BICUBIC).save(path)
    identifier = sha256_of_file(path)[:16]
    return Picture(identifier, str(path), label, part, identifier, 90, 70, "0" * 16)


def features(manifest):
    return extract(EXTRACTOR, manifest.paths, manifest.ids)


def ranked(small, depth):
    """The ranking of all queries, as rule search_gallery makes it."""
    gallery = features(Manifest.read(small.results.path("manifests/gallery.csv")))
    queries = features(small.queries)
    return search(
        *(queries.vectors, queries.ids, gallery.vectors, gallery.ids, depth), metric="cosine"
    )
