"""The embedded data set: what is drawn, into which part, and what is refused."""

import gzip
import pickle
from collections import Counter
from pathlib import Path

import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from gallerist.data import silhouettes
from gallerist.data.silhouettes import CLASSES, draw, load
from gallerist.io.errors import UserError
from gallerist.settings.dataset import EmbeddedPictures

PARTS = ("training", "validation/gallery", "validation/query")
SMALL = {
    "training_per_class": 6,
    "gallery_per_class": 4,
    "query_per_class": 3,
    "image_size": 48,
    "seed": 99,
}


def draw_tree(folder, **settings):
    return silhouettes.draw_tree(folder, EmbeddedPictures(**settings))


@pytest.fixture(scope="module", autouse=True)
def remembered_hashes():
    """Hash each silhouette once for all tests of this file: it takes seconds."""
    computed = silhouettes._perceptual_hash
    known: dict[bytes, np.uint64] = {}

    def remember(silhouette):
        key = silhouette.tobytes()
        if key not in known:
            known[key] = computed(silhouette)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(silhouettes, "_perceptual_hash", remember)
        yield


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "source"
    assert draw_tree(folder, **SMALL) == {"training": 60, "gallery": 40, "query": 30}
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_package_holds_ten_classes_of_a_thousand_silhouettes():
    images, labels = load()
    assert images.shape == (10_000, 28, 28)
    assert images.dtype == np.uint8
    assert Counter(labels) == dict.fromkeys(CLASSES, 1000)


def test_what_is_read_equals_what_an_ordinary_unpickler_reads():
    path = silhouettes.packaged_file(
        "animal-mnist", "animal_mnist/data/Animal_MNIST/animal_data_version_3.gz"
    )
    # The one file whose content the lock pins by hash, read as its authors do.
    with gzip.open(path) as file:
        np.testing.assert_array_equal(load()[0], pickle.load(file), strict=True)


def test_classes_look_like_their_names():
    images, labels = load()
    cover = (images > 127).mean((1, 2))
    grey = ((images > 60) & (images < 200)).mean((1, 2))
    mean_cover = {name: cover[np.array(labels) == name].mean() for name in CLASSES}
    mean_grey = {name: grey[np.array(labels) == name].mean() for name in CLASSES}
    assert max(mean_grey, key=mean_grey.get) == "zebra"
    thinnest = sorted(mean_cover, key=mean_cover.get)[:2]
    assert set(thinnest) == {"giraffe", "bird"}


def test_every_class_gets_its_number_of_pictures_in_every_part(tree):
    for part, count in zip(PARTS, (6, 4, 3), strict=True):
        assert {folder.name for folder in (tree / part).iterdir()} == set(CLASSES)
        for folder in (tree / part).iterdir():
            assert len(list(folder.glob("*.png"))) == count


def test_a_file_is_named_for_its_row_in_the_package(tree):
    images, labels = load()
    paths = list(tree.rglob("*.png"))
    assert len({path.name for path in paths}) == len(paths)
    for path in paths:
        row = int(path.stem)
        assert labels[row] == path.parent.name
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            np.testing.assert_array_equal(picture, draw(images[row], SMALL["image_size"]))


def test_no_two_pictures_of_a_tree_are_near_duplicates(tmp_path):
    folder = tmp_path / "source"
    draw_tree(folder, **{**SMALL, "training_per_class": 40, "image_size": 96})
    paths = sorted(folder.rglob("*.png"))
    hashes = []
    for path in paths:
        with Image.open(path) as picture:
            hashes.append(imagehash.phash(picture).hash.ravel())
    bits = np.array(hashes)
    distances = (bits[:, None] != bits[None]).sum(-1)
    assert distances[~np.eye(len(paths), dtype=bool)].min() > 4


def test_a_picture_is_a_dark_animal_on_white_paper_with_a_margin():
    silhouette = np.zeros((28, 28), np.uint8)
    silhouette[:, 7:21] = 255
    picture = np.asarray(draw(silhouette, 96))
    assert picture.shape == (96, 96)
    assert picture.dtype == np.uint8
    assert (picture[[0, 5, 90, 95]] == 255).all(), "the margin is paper"
    assert (picture[10:86, 32:64] == 30).all(), "the animal is ink"
    assert (picture[10:86, :24] == 255).all()
    assert (picture[10:86, 72:] == 255).all()
    np.testing.assert_array_equal(picture, picture[:, ::-1], "enlarging moves nothing")


def test_enlarging_keeps_the_shape():
    images, _ = load()
    for row in range(0, 10_000, 500):
        drawn = draw(images[row], 128)
        shrunk = np.asarray(drawn.crop((8, 8, 120, 120)).resize((28, 28), Image.Resampling.BOX))
        animal, original = shrunk < 142, images[row] > 127
        assert (animal & original).sum() > 0.85 * (animal | original).sum()


def test_equal_settings_draw_equal_files(tree, tmp_path):
    draw_tree(tmp_path / "again", **SMALL)
    assert files(tmp_path / "again") == files(tree)


def test_another_seed_draws_another_sample(tree, tmp_path):
    draw_tree(tmp_path / "other", **{**SMALL, "seed": 100})
    assert files(tmp_path / "other").keys() != files(tree).keys()


def test_another_size_draws_the_same_silhouettes(tree, tmp_path):
    draw_tree(tmp_path / "larger", **{**SMALL, "image_size": 64})
    assert files(tmp_path / "larger").keys() == files(tree).keys()


@pytest.mark.parametrize("key", ["training_per_class", "gallery_per_class", "query_per_class"])
def test_a_larger_count_keeps_the_pictures_of_a_smaller_one(tree, tmp_path, key):
    draw_tree(tmp_path / "more", **{**SMALL, key: 30})
    more, before = files(tmp_path / "more"), files(tree)
    assert before.items() <= more.items()
    assert len(more) > len(before)


@given(st.integers(3, 40), st.data())
def test_parts_never_share_a_silhouette_and_always_get_their_number(available, data):
    training = data.draw(st.integers(1, available - 2))
    gallery = data.draw(st.integers(1, available - training - 1))
    query = data.draw(st.integers(1, available - training - gallery))
    rows = list(range(100, 100 + available))
    parts = silhouettes._share_out(rows, training, gallery, query)
    counts = {part: len(chosen) for part, chosen in parts.items()}
    assert counts == {"training": training, "gallery": gallery, "query": query}
    together = [row for chosen in parts.values() for row in chosen]
    assert len(set(together)) == len(together)
    assert set(together) <= set(rows)


def test_the_sample_does_not_depend_on_the_order_in_the_package():
    images, _ = load()
    some = images[:400]
    mixed = np.random.default_rng(5).permutation(len(some))
    there = silhouettes.distinct_in_seeded_order(some, 7)
    here = silhouettes.distinct_in_seeded_order(some[mixed], 7)
    np.testing.assert_array_equal(some[mixed][here], some[there])


def test_equal_silhouettes_are_offered_once():
    images, _ = load()
    twice = np.concatenate([images[:50], images[:50]])
    distinct = {image.tobytes() for image in images[:50]}
    rows = silhouettes.distinct_in_seeded_order(twice, 1)
    assert {twice[row].tobytes() for row in rows} == distinct
    assert len(rows) == len(distinct)


def test_too_many_pictures_are_refused_by_the_names_of_their_keys(tmp_path):
    with pytest.raises(UserError) as refusal:
        draw_tree(
            tmp_path / "source", **{**SMALL, "training_per_class": 580, "gallery_per_class": 100}
        )
    for key in ("training_per_class", "gallery_per_class", "query_per_class"):
        assert f"dataset.embedded.{key}" in str(refusal.value)
    assert "580 + 100 + 3 = 683" in str(refusal.value)
    assert list(tmp_path.iterdir()) == [], "nothing is left of a tree that was not finished"


def test_too_small_pictures_are_refused(tmp_path):
    with pytest.raises(ValidationError, match=r"image_size\n.*greater than or equal to 8"):
        draw_tree(tmp_path / "source", **{**SMALL, "image_size": 7})


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    kept = tmp_path / "photos" / "mine.txt"
    kept.parent.mkdir()
    kept.write_text("do not lose me")
    with pytest.raises(UserError, match="holds something already"):
        draw_tree(kept.parent, **SMALL)
    assert files(tmp_path) == {"photos/mine.txt": b"do not lose me"}


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "source").mkdir()
    draw_tree(tmp_path / "source", **SMALL)
    assert len(files(tmp_path / "source")) == 130


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((5, 28, 28), np.float64), r"float64 \(5, 28, 28\)"),
        (np.zeros((5, 32, 32), np.uint8), r"uint8 \(5, 32, 32\)"),
        ([1, 2, 3], "holds a list, not an array"),
    ],
)
def test_a_package_with_other_content_is_refused(tmp_path, monkeypatch, content, message):
    for name, value in (("data", content), ("label", np.zeros(5, int))):
        with gzip.open(tmp_path / f"animal_{name}_version_3.gz", "wb") as file:
            pickle.dump(value, file)
    monkeypatch.setattr(silhouettes, "packaged_file", lambda _, path: tmp_path / Path(path).name)
    with pytest.raises(UserError, match=message):
        load()


def test_a_label_without_a_class_is_refused(tmp_path, monkeypatch):
    for name, value in (("data", np.zeros((2, 28, 28), np.uint8)), ("label", np.array([0, -1]))):
        with gzip.open(tmp_path / f"animal_{name}_version_3.gz", "wb") as file:
            pickle.dump(value, file)
    monkeypatch.setattr(silhouettes, "packaged_file", lambda _, path: tmp_path / Path(path).name)
    with pytest.raises(UserError, match="labels other than 0 to 9"):
        load()


def test_a_hostile_package_is_refused_by_name(tmp_path, monkeypatch):
    path = tmp_path / "animal_data_version_3.gz"
    with gzip.open(path, "wb") as file:
        pickle.dump(print, file)
    monkeypatch.setattr(silhouettes, "packaged_file", lambda _, name: path)
    with pytest.raises(UserError, match=r"animal_data_version_3\.gz.*builtins\.print"):
        load()
