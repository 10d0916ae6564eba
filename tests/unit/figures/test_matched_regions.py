"""The picture of what made pairs match."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from gallerist.figures.matched_regions import MatchedRegions, Similarity, draw

GREEN, BLUE = (0, 200, 0), (0, 0, 200)


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def pair(query_map=None, answer_map=None, labels=("cat", "dog"), size=(40, 40), kind=np.uint8):
    blank = np.zeros(size, np.float32)
    return MatchedRegions(
        np.full((*size, 3), GREEN, kind), np.full((*size, 3), BLUE, kind),
        labels,
        Similarity(
            0.8765, blank if query_map is None else query_map,
            blank if answer_map is None else answer_map,
        ),
    )  # fmt: skip


def places(picture: np.ndarray, colour) -> np.ndarray:
    """(n, 2) rows and columns of the pixels of that colour."""
    return np.argwhere((np.abs(picture - np.asarray(colour)) <= 4).all(axis=2))


def heated(colour, heat: float) -> np.ndarray:
    """Three fifths of the heat's colour on a grey of the same mean."""
    return 0.6 * 255 * np.array(matplotlib.colormaps["inferno"](heat)[:3]) + 0.4 * np.mean(colour)


@pytest.fixture
def output(tmp_path):
    return tmp_path / "similarity.png"


def assert_whole(picture: np.ndarray) -> None:
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == 255).all()


def test_query_its_heat_answer_and_its_heat_stand_in_this_order(output):
    full, half = np.ones((40, 40)), np.full((40, 40), 0.5)
    draw([pair(full, half)], output, title="t")
    picture = pixels(output)
    order = [GREEN, heated(GREEN, 1.0), BLUE, heated(BLUE, 0.5)]
    found = [places(picture, colour) for colour in order]
    assert min(map(len, found)) > 2000
    columns = [np.median(each[:, 1]) for each in found]
    assert columns == sorted(columns)
    assert columns[3] - columns[0] > 0.6 * picture.shape[1]
    assert_whole(picture)


def test_heat_lies_where_the_map_says(output):
    corner = np.zeros((40, 40))
    corner[:20, :20] = 1
    draw([pair(np.full((40, 40), 0.5), corner)], output, title="t")
    picture = pixels(output)
    hot, cold = places(picture, heated(BLUE, 1.0)), places(picture, heated(BLUE, 0.0))
    assert len(hot) > 1000
    assert len(cold) == pytest.approx(3 * len(hot), rel=0.2)
    assert (hot.mean(axis=0) < cold.mean(axis=0)).all()


def test_floats_up_to_255_are_drawn_as_bytes_are(output):
    draw([pair()], output, title="t")
    expected = pixels(output)
    draw([pair(kind=np.float32)], output, title="t")
    np.testing.assert_array_equal(pixels(output), expected)


def test_class_names_and_cosine_are_the_captions(output, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "PIL.ImageDraw.ImageDraw.text", lambda self, place, text, *_, **__: drawn.append(text)
    )
    draw([pair(labels=("cat", "sheepdog"))], output, title="t")
    assert [text for text in drawn if text in ("cat", "sheepdog")] == ["cat", "sheepdog"]
    assert "cosine 0.876" in drawn or "cosine 0.877" in drawn


def test_every_pair_is_a_row(output):
    draw([pair()], output, title="t")
    one = pixels(output).shape
    draw([pair()] * 3, output, title="t")
    three = pixels(output)
    assert three.shape[1] == one[1]
    assert three.shape[0] > 1.8 * one[0]
    rows = np.unique(places(three, GREEN)[:, 0])
    assert np.count_nonzero(np.diff(rows) > 5) == 2  # two gaps between three pictures


@pytest.mark.parametrize("size", [(40, 80), (90, 30)])
def test_a_picture_keeps_its_proportions(output, size):
    draw([pair(size=size)], output, title="t")
    height, width = np.ptp(places(pixels(output), GREEN), axis=0)
    assert height / width == pytest.approx(size[0] / size[1], rel=0.05)


@pytest.mark.parametrize("label", ["$_$", "W" * 90, "", "a_" * 40])
def test_any_class_name_is_drawn_and_nothing_runs_over_the_edge(output, label):
    draw([pair(labels=(label, label))], output, title="costs $5 and $6 " * 10)
    assert_whole(pixels(output))


def test_without_pairs_it_says_so(output):
    draw([], output, title=" ")
    picture = pixels(output)
    assert (picture < 128).any()
    assert_whole(picture)


def test_drawing_needs_no_tensorflow():
    code = "import sys, gallerist.figures.matched_regions; print('tensorflow' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
