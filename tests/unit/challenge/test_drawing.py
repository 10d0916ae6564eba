"""The embedded challenge: what is drawn, names without a class, and what is refused."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from gallerist.challenge import drawing as challenge_drawing
from gallerist.challenge.drawing import draw_challenge, outline
from gallerist.challenge.truth import Truth
from gallerist.data import silhouettes
from gallerist.data.silhouettes import CLASSES, draw_tree
from gallerist.io.errors import UserError
from gallerist.settings.challenge import EmbeddedChallenge
from gallerist.settings.dataset import EmbeddedPictures

SMALL = {
    "gallery_per_class": 4,
    "query_per_class": 3,
    "distractors": 25,
    "image_size": 48,
    "seed": 99,
}


def drawn_into(folder, **changes):
    return draw_challenge(folder, EmbeddedChallenge(**{**SMALL, **changes}))


@pytest.fixture(scope="module", autouse=True)
def remembered_choice():
    """Choose among the silhouettes of a seed once for all tests of this file: it takes seconds."""
    choose = silhouettes.without_near_duplicates
    known: dict[tuple[int, ...], list[int]] = {}

    def remember(images, rows):
        key = tuple(rows)
        if key not in known:
            known[key] = choose(images, rows)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(silhouettes, "without_near_duplicates", remember)
        patch.setattr(challenge_drawing, "without_near_duplicates", remember)
        yield


@pytest.fixture(scope="module")
def challenge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "challenge"
    counts = drawn_into(folder)
    assert counts == {"gallery": 65, "query": 30, "distractors": 25}
    return folder


@pytest.fixture(scope="module")
def truth(challenge):
    return Truth.read(challenge / "ground_truth.json")


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_the_truth_is_of_the_pictures(challenge, truth):
    for part in ("gallery", "query"):
        assert {path.name for path in (challenge / part).iterdir()} == set(getattr(truth, part))
    assert Counter(truth.query.values()) == dict.fromkeys(CLASSES, 3)
    assert Counter(truth.gallery.values()) == {**dict.fromkeys(CLASSES, 4), "distractor": 25}
    assert len(truth.answerable) == 30


def test_half_of_the_queries_are_sketches_with_one_query_a_class_too(tmp_path, truth):
    assert Counter(map(truth.domain, truth.query)) == {"photo": 15, "sketch": 15}
    drawn_into(tmp_path / "one", query_per_class=1, distractors=0)
    one = Truth.read(tmp_path / "one/ground_truth.json")
    assert Counter(map(one.domain, one.query)) == {"photo": 5, "sketch": 5}


def test_sketches_are_lines_and_photos_are_not(challenge, truth):
    dark = {"photo": [], "sketch": []}
    for name in truth.query:
        picture = pixels(challenge / "query" / name)
        assert (picture.shape, picture.dtype) == ((48, 48), np.uint8)
        dark[truth.domain(name)].append((picture < 128).mean())
    assert np.mean(dark["sketch"]) < np.mean(dark["photo"]) / 2
    assert min(dark["sketch"]) > 0


def test_an_outline_runs_along_the_edge_and_leaves_the_inside_white():
    square = np.zeros((28, 28), np.uint8)
    square[8:20, 8:20] = 255
    line = np.asarray(outline(square, 112))
    # 112 pixels with a margin of 7: 98 for 28, so the square is from 35 to 77.
    assert line[40:72, 40:72].min() == 255
    assert (line[33:38, 45:65].min(axis=0) < 128).all()
    assert (line[45:65, 74:79].min(axis=1) < 128).all()
    assert line[:30].min() == 255


def test_names_are_numbers_in_no_order_of_classes_and_of_neither_part(challenge, truth):
    together = sorted([*truth.gallery, *truth.query])
    assert together == [f"{number:02d}.png" for number in range(1, 96)]
    labels = [truth.gallery[name] for name in sorted(truth.gallery)]
    neighbours = sum(a == b for a, b in pairwise(labels))
    assert neighbours < 30  # of 64 pairs; 24 + 30 if they were sorted by class
    assert {name < "50.png" for name in truth.query} == {True, False}


def test_no_two_pictures_are_equal(challenge):
    drawn = [content for name, content in files(challenge).items() if name.endswith(".png")]
    assert len(set(drawn)) == len(drawn) == 95


def test_all_digits_stay_different_when_enlarged():
    digits = challenge_drawing._digits(1797, 1)
    assert len({digit.tobytes() for digit in digits}) == 1797
    assert all(digit.shape == (28, 28) and digit.max() > 200 for digit in digits)


def test_the_same_seed_draws_the_same_bytes_and_another_one_others(challenge, tmp_path):
    drawn_into(tmp_path / "again")
    assert files(tmp_path / "again") == files(challenge)
    drawn_into(tmp_path / "other", seed=1)
    assert files(tmp_path / "other") != files(challenge)


def test_no_silhouette_is_in_the_embedded_data_set_of_the_same_seed(challenge, truth, tmp_path):
    tree = {"training_per_class": 40, "gallery_per_class": 20, "query_per_class": 10}
    draw_tree(tmp_path / "tree", EmbeddedPictures(**tree, image_size=48, seed=99))
    known = {pixels(path).tobytes() for path in (tmp_path / "tree").rglob("*.png")}
    assert len(known) == 700
    drawn = {pixels(path).tobytes() for path in challenge.rglob("*.png")}
    assert not drawn & known


def test_a_larger_challenge_keeps_the_animals_of_a_smaller_one(challenge, tmp_path):
    drawn_into(tmp_path / "large", gallery_per_class=6, distractors=30)

    def gallery(folder):
        return {pixels(path).tobytes() for path in (folder / "gallery").iterdir()}

    assert gallery(challenge) < gallery(tmp_path / "large")


def test_the_most_that_the_settings_allow_can_be_drawn(tmp_path):
    most = {"gallery_per_class": 100, "query_per_class": 100, "distractors": 1700}
    assert drawn_into(tmp_path / "most", **most, image_size=28) == {
        "gallery": 2700,
        "query": 1000,
        "distractors": 1700,
    }


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("distractors", 1701),
        ("distractors", -1),
        ("gallery_per_class", 101),
        ("query_per_class", 0),
        ("image_size", 7),
    ],
)
def test_more_or_less_than_can_be_drawn_is_no_setting(setting, value):
    with pytest.raises(ValidationError, match=setting):
        EmbeddedChallenge(**{**SMALL, setting: value})


def test_a_folder_that_holds_something_is_left_alone(challenge):
    before = files(challenge)
    with pytest.raises(UserError, match="holds something already"):
        drawn_into(challenge)
    assert files(challenge) == before
