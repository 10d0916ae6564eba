"""Each picture is extracted once, whatever parts and shards it is in, and always alike."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from gallerist.data.decoding import BadImage
from gallerist.data.manifest import Manifest, Picture
from gallerist.features.descriptors.extract import DescriptorExtractor
from gallerist.features.descriptors.registry import DESCRIPTORS
from gallerist.features.extraction import Extraction
from gallerist.features.kept_key_points import KeptKeyPoints
from gallerist.features.key_points import Detector
from gallerist.features.vocabulary import WordExtractor, count_words, learn, sample
from gallerist.io.files import sha256_of_file
from gallerist.settings.descriptors import read_descriptor
from gallerist.workflow.results import vector_files

MAX_PIXELS = 10_000
PARTS = ("training", "gallery", "query")


def drawn(folder, number):
    path = folder / f"pictures/{number}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((96, 80), Image.Resampling.BICUBIC).save(path)
    name = sha256_of_file(path)[:16]
    return Picture(name, str(path), "noise", "", name, 96, 80, "0" * 16)


@pytest.fixture
def pictures(tmp_path):
    return [drawn(tmp_path, number) for number in range(14)]


@pytest.fixture
def parts(pictures):
    """The last of the gallery's are queries too."""
    cut = {"training": slice(0, 5), "gallery": slice(5, 11), "query": slice(9, 13)}
    return {part: Manifest(tuple(pictures[some])) for part, some in cut.items()}


def extractor_of(descriptor="hog", threads=2):
    settings = read_descriptor(descriptor=descriptor, image_size=48)
    return DescriptorExtractor(settings, max_pixels=MAX_PIXELS, threads=threads)


class Counting:
    """An extractor that notes which files it was asked for."""

    def __init__(self, extractor):
        self.extractor, self.asked = extractor, Counter()

    def __getattr__(self, name):
        return getattr(self.extractor, name)

    def batches(self, paths):
        self.asked.update(paths)
        return self.extractor.batches(paths)


def files_of(folder):
    return {part: vector_files(str(folder / part)) for part in PARTS}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def extract(folder, parts, counting=None):
    """Metrics, and what was written."""
    extraction = Extraction(counting or Counting(extractor_of()), parts, folder / "store")
    extraction.fill()
    metrics = extraction.write({part: vector_files(str(folder / part)) for part in parts})
    return metrics, contents(folder)


def counts(metrics):
    return metrics["vectors_computed"], metrics["vectors_stored"]


def test_a_picture_of_two_parts_is_computed_once(tmp_path, parts):
    counting = Counting(extractor_of())
    metrics, written = extract(tmp_path, parts, counting)
    assert counts(metrics) == (13, 0)
    assert set(counting.asked.values()) == {1}
    assert metrics["images"] == 13
    assert [metrics[f"{part}_images"] for part in PARTS] == [5, 6, 4]
    for part in PARTS:
        vectors = np.load(tmp_path / f"{part}.npy")
        expected = np.concatenate([*extractor_of().batches(parts[part].paths)]).astype(float)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_array_equal(vectors, expected.astype(np.float32))
    assert len(written) == 9


def test_added_removed_renamed_and_moved_pictures_compute_one_none_none_and_none(
    tmp_path, parts, pictures
):
    _, before = extract(tmp_path, parts)
    assert counts(extract(tmp_path, parts)[0]) == (0, 13)

    added = {**parts, "gallery": Manifest((*parts["gallery"], pictures[13]))}
    metrics, after = extract(tmp_path, added)
    assert counts(metrics) == (1, 13)
    assert {name for name in before if before[name] != after[name]} == {
        *("gallery.npy", "gallery.ids.csv", "gallery.origin.json")
    }

    removed = {**parts, "gallery": Manifest(parts["gallery"].pictures[1:])}
    assert counts(extract(tmp_path, removed)[0]) == (0, 12)

    renamed = replace(parts["query"].pictures[0], path=str(tmp_path / "renamed.png"))
    others = {**parts, "query": Manifest((renamed, *parts["query"].pictures[1:]))}
    assert counts(extract(tmp_path, others)[0]) == (0, 13)

    moved = {
        **parts,
        "training": Manifest(parts["training"].pictures[1:]),
        "gallery": Manifest((parts["training"].pictures[0], *parts["gallery"])),
    }
    assert counts(extract(tmp_path, moved)[0]) == (0, 13)
    metrics, again = extract(tmp_path, parts)
    assert counts(metrics) == (0, 13)
    assert again == before


@pytest.mark.parametrize("shards", [1, 3, 8])
def test_shards_give_the_bytes_of_one_job(tmp_path, parts, shards):
    _, whole = extract(tmp_path / "whole", parts)
    shared = Counting(extractor_of())
    for shard in reversed(range(shards)):
        part = Extraction(shared, parts, tmp_path / "shared/store")
        part.fill(shard, shards)
        assert "feature_length" in part.write({})
    metrics, gathered = extract(tmp_path / "shared", parts, shared)
    assert gathered == whole
    assert counts(metrics) == (0, 13)
    assert len(shared.asked) == 13
    assert set(shared.asked.values()) == {1}


def test_a_lost_store_is_computed_again(tmp_path, parts):
    _, before = extract(tmp_path, parts)
    for path in tmp_path.glob("store/*/*"):
        path.unlink()
    metrics, after = extract(tmp_path, parts)
    assert counts(metrics) == (13, 0)
    assert after == before


def test_other_settings_or_another_device_have_a_store_of_their_own(tmp_path, parts):
    extract(tmp_path, parts)
    for extractor, beside in (("gabor", ()), ("hog", ("GPU",))):
        other = Extraction(Counting(extractor_of(extractor)), parts, tmp_path / "store", *beside)
        other.fill()
        assert counts(other.write({})) == (13, 0)
    assert counts(extract(tmp_path, parts)[0]) == (0, 13)


def test_what_was_computed_before_a_bad_picture_is_kept(tmp_path, parts, pictures):
    extractor = extractor_of()
    extractor.batches = lambda paths: DescriptorExtractor.batches(extractor, paths, batch_size=2)
    path = tmp_path / "pictures/7.png"
    content = path.read_bytes()
    path.write_text("no picture")
    with pytest.raises(BadImage, match=r"7\.png"):
        extract(tmp_path, parts, Counting(extractor))
    path.write_bytes(content)
    metrics, _ = extract(tmp_path, parts)
    assert counts(metrics) == (7, 6)


def bits(batches):
    return [row.tobytes() for batch in batches for row in batch]


@pytest.fixture(params=[*DESCRIPTORS, "bag_of_words", "vlad"])
def make(request, pictures):
    """The extractor of a descriptor, or of words, with some threads."""
    if request.param in DESCRIPTORS:
        return lambda threads: extractor_of(request.param, threads)
    paths, detector = [each.path for each in pictures], Detector("sift", 96, 60, root=True)
    descriptors = sample(paths, detector, at_most=400, seed=1, threads=2)
    words = count_words(learn(descriptors, 9, 1, detector=detector), paths, threads=2)
    return lambda threads: WordExtractor(words, request.param, square_root=True, threads=threads)


def test_a_vector_hangs_on_its_picture_and_extractor_alone(make, pictures):
    """Not on the pictures beside it, their order, the batch, or the threads: to the last bit."""
    paths = [each.path for each in pictures]
    alone = [bits(make(1).batches([path])) for path in paths]
    expected = [vector for (vector,) in alone]
    assert bits(make(3).batches(paths, batch_size=5)) == expected
    assert bits(make(2).batches(paths[::-1], batch_size=3)) == expected[::-1]
    order = np.random.default_rng(2).permutation(len(paths))
    mixed = bits(make(4).batches([paths[each] for each in order], batch_size=100))
    assert mixed == [expected[each] for each in order]


@pytest.mark.parametrize(
    "detector",
    [Detector("sift", 96, 60, root=True), Detector("sift", 96, 60), Detector("orb", 96, 60)],
)
def test_kept_key_points_are_those_that_are_detected(tmp_path, pictures, detector, monkeypatch):
    manifest = tmp_path / "manifest.csv"
    Manifest(tuple(pictures)).write(manifest)
    expected = [detector.descriptors(each.path) for each in pictures]
    assert sum(map(len, expected)) > 10
    with KeptKeyPoints(detector, tmp_path / "store", manifest) as detect:
        found = [detect(each.path) for each in pictures]
    with KeptKeyPoints(detector, tmp_path / "store", manifest) as detect:
        monkeypatch.setattr(Detector, "descriptors", None)
        again = [detect(each.path) for each in pictures]
    for one, other, right in zip(found, again, expected, strict=True):
        np.testing.assert_array_equal(one, right, strict=True)
        np.testing.assert_array_equal(other, right, strict=True)
