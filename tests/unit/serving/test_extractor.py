"""One extractor an experiment: what the workflow's scripts write is what a single query gets."""

import ast
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
from checkout import LIBRARY, SCRIPTS
from PIL import Image

from gallerist.data.decoding import MAX_PIXELS
from gallerist.data.preprocessing import Preprocessing
from gallerist.features.descriptors.extract import DescriptorExtractor
from gallerist.features.extractors import extract
from gallerist.features.fusion import Fusion
from gallerist.features.key_points import Detector
from gallerist.features.network import NetworkExtractor
from gallerist.features.reduction import Reduced, fit
from gallerist.features.store import Features, check_comparable, write_features
from gallerist.features.vocabulary import WordExtractor, count_words, learn, sample
from gallerist.io.errors import UserError
from gallerist.io.files import write_json
from gallerist.networks.architectures import Head, Scratch
from gallerist.serving.extractor import extractor_of
from gallerist.settings.descriptors import read_descriptor
from gallerist.training.loop import save
from gallerist.workflow.results import Results

IDS = tuple(f"picture{number}" for number in range(6))
HOG = {
    "descriptor": "hog", "image_size": 64, "look": "colour", "orientations": 9, "cells": 4,
    "cell_pixels": 8, "block": 2,
}  # fmt: skip
HU = {"descriptor": "hu_moments", "image_size": 64, "look": "grey"}
EXPERIMENTS = {
    "network": {"network": "scratch"},
    "hog": HOG,
    "hu": HU,
    "sift": {"descriptor": "sift", "encoding": "bag_of_words", "square_root": True},
    "weighted": {"fusion": "weighted", "of": ["hog", "hu", "sift"]},
    "alone": {"fusion": "concatenation", "of": ["hu"]},
    "reduced": {**HOG, "reduction": {"method": "pca_whitening"}},
    "reduced_fusion": {
        "fusion": "concatenation",
        "of": ["hog", "sift"],
        "reduction": {"method": "pca"},
    },
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number, name in enumerate(IDS):
        pixels = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        large = Image.fromarray(pixels).resize((90, 70), Image.Resampling.BICUBIC)
        large.save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in IDS]


@pytest.fixture(scope="module")
def results(paths, tmp_path_factory):
    """The gallery's vectors of each experiment, written as the scripts write them."""
    folder = tmp_path_factory.mktemp("results")

    def written(extractor, name, pictures=IDS, part="features"):
        stem = folder / part / name / "gallery"
        files = [f"{stem}.{suffix}" for suffix in ("npy", "ids.csv", "origin.json")]
        write_features(extractor.batches(pictures), IDS, extractor, files)
        return Features.read(*files)

    model = folder / "models/network/model.keras"
    model.parent.mkdir(parents=True)
    save(Scratch(73, "valid", Head("standard", 0.1, 1, 0.0, 0.0)).build(3, seed=1), model)
    Preprocessing(73).write(model.with_name("preprocessing.json"))
    network = NetworkExtractor(model, model.with_name("preprocessing.json"), threads=2)
    written(network, "network", paths)
    members = {
        name: written(
            DescriptorExtractor(
                read_descriptor(**EXPERIMENTS[name]), max_pixels=MAX_PIXELS, threads=2
            ),
            name,
            paths,
        )
        for name in ("hog", "hu")
    }
    detector = Detector("sift", 90, 40)
    vocabulary = learn(
        sample(paths, detector, at_most=200, seed=1, threads=2), 9, 1, detector=detector
    )
    vocabulary = count_words(vocabulary, paths, threads=2)
    vocabulary.write(folder / "vocabularies/sift.npz")
    words = WordExtractor(vocabulary, "bag_of_words", square_root=True, threads=2)
    members["sift"] = written(words, "sift", paths)
    weights = folder / "features/weighted/weights.json"
    write_json(weights, {"hog": 0.75, "hu": 0.0, "sift": 0.25})
    written(Fusion.of(members, weights), "weighted")
    written(Fusion.of({"hu": members["hu"]}, None), "alone")
    both = {name: members[name] for name in ("hog", "sift")}
    unreduced = written(Fusion.of(both, None), "reduced_fusion")
    for name, source in (("reduced", members["hog"]), ("reduced_fusion", unreduced)):
        reduction = fit("pca", 3, source.vectors, seed=1)
        reduction.write(folder / f"reductions/{name}.npz")
        written(Reduced(source, reduction), name, part="reduced")
    return Results(folder)


def extractor(results, name):
    return extractor_of(results, name, EXPERIMENTS, threads=2, max_pixels=MAX_PIXELS)


def gallery_of(results, name):
    reduced = "reduction" in EXPERIMENTS[name]
    return Features.read(*results.features(name, "gallery", reduced=reduced))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_vector_of_a_single_query_is_the_row_of_the_gallery(name, results, paths):
    gallery = gallery_of(results, name)
    one = extractor(results, name)
    assert (one.model, one.preprocessing, one.length) == (
        gallery.model,
        gallery.preprocessing,
        gallery.length,
    )
    # Of products of matrices the last bits depend on how many rows there are.
    same = name not in ("reduced", "reduced_fusion")
    for row, path in enumerate(paths):
        query = extract(one, [path], ["query"])
        check_comparable(query, gallery)
        np.testing.assert_allclose(query.vectors[0], gallery.vectors[row], atol=0 if same else 1e-5)
        np.testing.assert_allclose(query.norms[0], gallery.norms[row], rtol=0 if same else 1e-5)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_pictures_have_no_vectors(name, results):
    none = extract(extractor(results, name), [])
    assert none.vectors.shape == (0, gallery_of(results, name).length)


def test_vectors_of_another_extractor_are_refused(results, paths):
    query = extract(extractor(results, "hog"), paths[:1])
    with pytest.raises(UserError, match=r"different models .*: run the workflow again"):
        check_comparable(query, gallery_of(results, "hu"))


def calls_of(path):
    """Names of what a file calls, with the class where it is a method of one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_vectors_are_given_their_identity_in_one_place():
    """Whoever writes features names their source; `extract` alone makes some in memory."""
    made = {"Features.of", "Features"}
    found = {
        path.relative_to(SCRIPTS).as_posix()
        for path in [*LIBRARY.rglob("*.py"), *SCRIPTS.glob("*.py")]
        if made & set(calls_of(path))
    }
    assert found == {"gallerist/features/extractors.py"}
