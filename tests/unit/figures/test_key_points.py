"""gallerist.figures.key_points: points drawn where they are, in one whole PNG."""

import cv2
import numpy as np
import pytest

from gallerist.data.decoding import BadImage, read_image
from gallerist.features.key_points import Detector, KeyPoints
from gallerist.figures import key_points as key_point_pictures
from gallerist.figures.key_points import SHOWN, draw, with_key_points

DETECTOR = Detector("sift", max_side=120, max_points=300)


def one_point(x, y, size, angle):
    def number(value):
        return np.array([value], dtype=np.float32)

    place = np.array([[x, y]], dtype=np.float32)
    return KeyPoints(
        place, number(size), number(angle), number(1), np.zeros((1, 128), dtype=np.float32)
    )


@pytest.fixture
def paths(tmp_path):
    coarse = np.random.default_rng(1).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "many.png"), cv2.resize(coarse, (200, 300)))
    cv2.imwrite(str(tmp_path / "none $x$ _.png"), np.full((50, 80, 3), 255, dtype=np.uint8))
    return [tmp_path / "many.png", tmp_path / "none $x$ _.png"]


@pytest.fixture
def captions(monkeypatch):
    """What stands below the pictures of the figures that are drawn."""
    seen = []

    def noted(rows, path, **texts):
        seen.extend(tile.below for row in rows for tile in row)
        original(rows, path, **texts)

    original = key_point_pictures.draw_grid
    monkeypatch.setattr(key_point_pictures, "draw_grid", noted)
    return seen


def test_a_row_of_pictures_says_how_many_points_each_has(paths, tmp_path, captions):
    draw(paths, tmp_path / "row.png", detector=DETECTOR, title="SIFT of $5 _pictures_")
    count = len(DETECTOR.detect_in_file(paths[0]))
    assert count > SHOWN
    assert captions == [
        f"many.png\n{count} key points ({SHOWN} strongest drawn)",
        "none $x$ _.png\n0 key points",
    ]
    pixels = read_image(tmp_path / "row.png")
    greens = (pixels[:, :, 1] > 200) & (pixels[:, :, 0] < 60) & (pixels[:, :, 2] < 60)
    assert greens[:, : pixels.shape[1] // 2].sum() > 100
    assert not greens[:, pixels.shape[1] // 2 :].any()


def test_without_pictures_the_figure_says_so(tmp_path):
    draw([], tmp_path / "row.png", detector=DETECTOR, title="nothing")
    assert read_image(tmp_path / "row.png").min() < 100


def test_a_bad_picture_is_named_and_no_file_is_left(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(BadImage, match=r"bad\.png"):
        draw([tmp_path / "bad.png"], tmp_path / "row.png", detector=DETECTOR, title="bad")
    assert not (tmp_path / "row.png").exists()


def test_a_point_is_a_circle_of_its_size_and_a_radius_in_its_direction():
    black = np.zeros((600, 600, 3), dtype=np.uint8)
    drawn = with_key_points(black, one_point(300, 200, 80, 90))[:, :, 1] > 0
    rows, columns = np.nonzero(drawn)
    # The circle has the diameter of the point, within a line's width.
    assert (columns.min(), columns.max()) == pytest.approx((260, 340), abs=2)
    assert (rows.min(), rows.max()) == pytest.approx((160, 240), abs=2)
    assert drawn[205:235, 300].all()  # 90 degrees is down
    assert not drawn[165:195, 300].any()
    assert not black.any()


def test_points_on_an_enlarged_picture_stay_at_their_places():
    black = np.zeros((60, 100, 3), dtype=np.uint8)
    drawn = with_key_points(black, one_point(40, 20, 10, 0))
    assert drawn.shape == (360, 600, 3)
    rows, columns = np.nonzero(drawn[:, :, 1])
    assert (rows.min() + rows.max()) / 2 == pytest.approx(20 * 6 + 2.5, abs=1.5)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(40 * 6 + 2.5, abs=1.5)
    assert columns.max() - columns.min() == pytest.approx(60, abs=3)


def test_the_same_pictures_give_the_same_file(paths, tmp_path):
    for name in ("a.png", "b.png"):
        draw(paths, tmp_path / name, detector=DETECTOR, title="same")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), read_image(tmp_path / "b.png"))
