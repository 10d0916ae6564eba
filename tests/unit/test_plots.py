"""Pictures of curves, confusion and comparison: files that open, whole, in fixed colours."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from gallerist.plots import (
    MARKERS,
    PALETTE,
    draw_comparison,
    draw_confusion,
    draw_curves,
    experiment_styles,
)


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def assert_whole(picture: np.ndarray) -> None:
    """Nothing is cut: the outermost pixels are paper."""
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == 255).all()


def has_colour(picture: np.ndarray, colour: str) -> bool:
    exact = np.round(np.array(to_rgb(colour)) * 255)
    return bool((np.abs(picture - exact) <= 2).all(axis=2).any())


def history(epochs: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": float(epoch),
            "accuracy": 1 - 0.8 / epoch,
            "val_accuracy": 0.9 - 0.7 / epoch,
            "loss": 3 / epoch,
            "val_loss": 1 + 3 / epoch,
        }
        for epoch in range(1, epochs + 1)
    ]


@pytest.mark.parametrize("epochs", [1, 2, 12, 200])
def test_curves_show_training_and_validation_and_nothing_is_cut(tmp_path, epochs):
    draw_curves(history(epochs), tmp_path / "curves.png", title="monkeys10, resnet152")
    picture = pixels(tmp_path / "curves.png")
    assert picture.shape[1] > 1.8 * picture.shape[0] > 500
    assert_whole(picture)
    left, right = np.array_split(picture, 2, axis=1)
    for half in (left, right):
        assert has_colour(half, PALETTE[0])
        assert has_colour(half, PALETTE[1])
    assert plt.get_fignums() == []


def test_an_untrained_network_has_a_picture_that_says_so(tmp_path):
    draw_curves([], tmp_path / "curves.png", title="monkeys10, resnet152")
    picture = pixels(tmp_path / "curves.png")
    assert_whole(picture)
    assert not has_colour(picture, PALETTE[0])
    assert (picture[120:260, 100:400] < 128).any()  # the words


def test_a_loss_that_is_not_a_number_leaves_a_gap_and_not_an_error(tmp_path):
    rows = history(5)
    rows[2]["val_loss"] = float("nan")
    rows[3]["loss"] = float("inf")
    draw_curves(rows, tmp_path / "curves.png", title="diverged")
    assert has_colour(pixels(tmp_path / "curves.png"), PALETTE[1])


@pytest.mark.parametrize("count", [1, 2, 10, 25, 26, 67])
def test_a_confusion_of_any_number_of_classes_is_whole(tmp_path, count):
    classes = [f"a_rather_long_class_name_{number}" for number in range(count)]
    counts = np.eye(count, dtype=np.int64) * 7
    draw_confusion(classes, counts, tmp_path / "confusion.png", title="monkeys10, resnet152")
    picture = pixels(tmp_path / "confusion.png")
    assert_whole(picture)
    assert min(picture.shape[:2]) > 300
    assert max(picture.shape[:2]) < 2000
    assert has_colour(picture, "#08306b")  # the darkest of the blues: all of a class's queries
    assert plt.get_fignums() == []


def test_rows_of_a_confusion_are_shares_of_their_class(tmp_path):
    """A class of one query that is right looks like one of a thousand that are."""
    drawn = []
    for few in (1, 1000):
        counts = np.array([[few, 0], [0, 1000]])
        draw_confusion(["a", "b"], counts, tmp_path / "confusion.png", title="t")
        picture = pixels(tmp_path / "confusion.png")
        drawn.append((np.abs(picture - np.array([8, 48, 107])) <= 2).all(axis=2).sum())
    assert drawn[0] == pytest.approx(drawn[1], rel=0.02)  # the numbers in them differ


def test_a_class_without_queries_has_an_empty_row_and_no_warning(tmp_path, recwarn):
    counts = np.array([[2, 1, 1], [0, 0, 0], [0, 1, 3]])
    draw_confusion(["ape", "distractor", "cat"], counts, tmp_path / "c.png", title="t")
    assert_whole(pixels(tmp_path / "c.png"))
    assert not [warning for warning in recwarn if warning.category is RuntimeWarning]


def test_dollar_signs_in_class_names_are_no_formula(tmp_path):
    names = [r"$\frac$", "100$ $_$"]
    draw_confusion(names, np.eye(2, dtype=np.int64), tmp_path / "c.png", title="t")
    assert_whole(pixels(tmp_path / "c.png"))


RATES = {
    "resnet152": {1: 0.9383, 3: 0.9533, 5: 0.955, 10: 0.96},
    "scratch": {1: 0.17, 3: 0.3983, 5: 0.511, 10: 0.6367},
    "efficientnet_lite2_with_a_long_name": {1: 0.5, 3: 0.7, 5: 0.8, 10: 1.0},
}


def test_the_comparison_has_a_line_in_each_experiments_colour(tmp_path):
    draw_comparison(RATES, tmp_path / "comparison.png", title="monkeys10", queries=278)
    picture = pixels(tmp_path / "comparison.png")
    assert_whole(picture)
    assert picture.shape[1] > picture.shape[0] > 300
    for style in experiment_styles(list(RATES)).values():
        assert has_colour(picture, style["color"])
    assert not has_colour(picture, PALETTE[3])
    assert plt.get_fignums() == []


@pytest.mark.parametrize("ks", [(1,), (1, 2), (1, 5, 10, 100), tuple(range(1, 21))])
def test_the_comparison_is_whole_for_any_k(tmp_path, ks):
    rates = {name: {k: 0.2 + 0.001 * k for k in ks} for name in RATES}
    draw_comparison(rates, tmp_path / "comparison.png", title="monkeys10", queries=278)
    assert_whole(pixels(tmp_path / "comparison.png"))


def test_the_order_in_which_k_is_configured_does_not_matter(tmp_path):
    reversed_rates = {name: dict(reversed(rates.items())) for name, rates in RATES.items()}
    draw_comparison(RATES, tmp_path / "one.png", title="t", queries=1)
    draw_comparison(reversed_rates, tmp_path / "other.png", title="t", queries=1)
    np.testing.assert_array_equal(pixels(tmp_path / "one.png"), pixels(tmp_path / "other.png"))


def test_an_experiment_keeps_its_style_when_others_are_added_behind_it():
    few, many = experiment_styles(["a", "b"]), experiment_styles(["a", "b", "c", "d"])
    assert {name: many[name] for name in few} == few


def test_sixty_four_experiments_are_told_apart():
    styles = experiment_styles([f"e{number}" for number in range(len(PALETTE) * len(MARKERS))])
    assert len({(style["color"], style["marker"]) for style in styles.values()}) == len(styles)
