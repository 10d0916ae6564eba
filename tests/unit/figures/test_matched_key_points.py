"""The picture of matched points."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from gallerist.features.key_points import KeyPoints
from gallerist.figures.matched_key_points import (
    GAP,
    MatchedPictures,
    _side_by_side,
    draw,
)
from gallerist.figures.style import RELEVANT, WRONG
from gallerist.search.geometric_verification import Matches


def placed(positions: np.ndarray, descriptors: np.ndarray) -> KeyPoints:
    """Key points of which nothing matters but where they are and how they look."""
    number = np.ones(len(positions), np.float32)
    return KeyPoints(positions, number, number, number, descriptors)


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def pair(inliers=(True, True, False), query_size=(80, 120), answer_size=(60, 100), caption="q / a"):
    count = len(inliers)
    places = np.linspace(10, 50, count)
    query = placed(np.column_stack([places, places]).astype(np.float32), np.zeros((count, 4)))
    answer = placed(np.column_stack([places, places[::-1]]).astype(np.float32), query.descriptors)
    index = np.arange(count)
    matches = Matches(np.column_stack([index, index]), np.array(inliers, dtype=bool), np.eye(2, 3))
    return MatchedPictures(
        np.full((*query_size, 3), 60, np.uint8), np.full(answer_size, 90, np.uint8),
        query, answer, matches, caption,
    )  # fmt: skip


def green(picture: np.ndarray) -> int:
    exact = np.round(np.array(to_rgb(RELEVANT)) * 255)
    return int((np.abs(picture - exact) <= 6).all(axis=2).sum())


def reddish(picture: np.ndarray) -> int:
    """Pixels of a faint red line on grey."""
    return int((picture[:, :, 0] > picture[:, :, 1] + 15).sum())


@pytest.fixture
def output(tmp_path):
    return tmp_path / "matches.png"


def test_inliers_are_green_and_other_matches_faint(output):
    draw([pair((True, True, True))], output, title="matches")
    agreeing = pixels(output)
    draw([pair((False, False, False))], output, title="matches")
    others = pixels(output)
    assert green(agreeing) > 100
    assert reddish(agreeing) == 0
    assert green(others) == 0
    assert reddish(others) > 100
    full = np.round(np.array(to_rgb(WRONG)) * 255)
    assert not (np.abs(others - full) <= 30).all(axis=2).any()


def test_the_two_pictures_stand_side_by_side_on_white():
    board = _side_by_side(pair())
    assert board.shape == (80, 120 + GAP + 100, 3)
    assert (board[:, :120] == 60).all()
    assert (board[:60, 120 + GAP :] == 90).all()
    assert (board[60:, 120 + GAP :] == 255).all()
    assert (board[:, 120 : 120 + GAP] == 255).all()


def test_pairs_are_stacked(output):
    draw([pair()], output, title="one")
    one = pixels(output).shape
    draw([pair(), pair(), pair(query_size=(300, 20))], output, title="three")
    three = pixels(output)
    assert three.shape[1] == one[1]
    assert three.shape[0] > 2.5 * one[0]


def test_nothing_is_cut(output):
    draw([pair(caption="cost $5 and $6 " + "x" * 20)], output, title="dollars $a$ $")
    picture = pixels(output)
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == 255).all()


def test_lines_begin_and_end_at_their_points(output, monkeypatch):
    seen = []
    monkeypatch.setattr("cv2.line", lambda board, start, end, *_, **__: seen.append((start, end)))
    shown = pair((True, False))
    draw([shown], output, title="matches")
    factor = 1050 / (120 + GAP + 100)
    for number, (start, end) in zip((1, 0), seen, strict=True):  # inliers are drawn last, on top
        places = (np.array([start, end]) / 16 + 0.5) / factor - 0.5
        np.testing.assert_allclose(places[0], shown.query.positions[number], atol=0.05)
        expected = shown.answer.positions[number] + [120 + GAP, 0]
        np.testing.assert_allclose(places[1], expected, atol=0.05)


def test_a_pair_without_matches_is_drawn(output):
    draw([pair(())], output, title="nothing alike")
    picture = pixels(output)
    assert green(picture) == 0
    assert (np.abs(picture - 60) <= 1).all(axis=2).any()


def test_without_pairs_it_says_so(output):
    draw([], output, title="matches")
    assert (pixels(output) < 128).any()
