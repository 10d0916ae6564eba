"""Pictures of curves, confusion and comparison: files that open, whole, in fixed colours."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from kept_figures import keep_figures
from matplotlib.colors import to_rgb
from PIL import Image

from gallerist.figures import plots
from gallerist.figures.plots import draw_comparison, draw_confusion, draw_curves
from gallerist.figures.style import PALETTE, styles


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
    assert max(picture.shape[:2]) < 2200
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


@pytest.fixture
def figures(monkeypatch, tmp_path):
    """The figures that were written, to be looked into."""
    monkeypatch.chdir(tmp_path)
    return keep_figures(monkeypatch, plots)


def test_the_comparison_has_every_experiments_colour(tmp_path):
    draw_comparison(RATES, tmp_path / "comparison.png", title="monkeys10", queries=278)
    picture = pixels(tmp_path / "comparison.png")
    assert_whole(picture)
    assert picture.shape[1] > picture.shape[0] > 300
    for style in styles(list(RATES)).values():
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


@pytest.mark.parametrize("count", [1, 8, 40])
def test_the_comparison_names_every_experiment_whole_and_apart(figures, count):
    rates = {f"experiment_{n}_of_a_long_name": {1: n / 50, 10: n / 45} for n in range(count)}
    draw_comparison(rates, "unused.png", title="monkeys10", queries=278)
    (figure,) = figures
    first = figure.axes[0]
    labels = first.get_yticklabels()
    assert [label.get_text() for label in labels] == list(reversed(rates))
    extents = [label.get_window_extent() for label in labels]
    assert all(extent.x0 >= 0 for extent in extents)
    assert all(lower.y1 <= upper.y0 for upper, lower in pairwise(extents))
    assert figure.get_figheight() < 9.5


def test_the_comparison_draws_the_intervals_it_is_given(figures):
    spans = {name: {k: (v - 0.05, min(1.0, v + 0.02)) for k, v in RATES[name].items()}
             for name in RATES}  # fmt: skip
    draw_comparison(RATES, "unused.png", title="t", queries=9, intervals=spans)
    (figure,) = figures
    assert "95 % intervals" in figure.get_suptitle()
    assert [axis.get_title() for axis in figure.axes] == ["k = 1", "k = 3", "k = 5", "k = 10"]
    for axis, k in zip(figure.axes, (1, 3, 5, 10), strict=True):
        drawn = {tuple(line.get_xdata()) for line in axis.lines if len(line.get_xdata()) == 2}
        assert drawn == {spans[name][k] for name in RATES}
        assert axis.get_xlim()[0] <= min(spans[name][k][0] for name in RATES)


def test_an_interval_that_is_not_known_is_left_out(figures):
    spans = {"resnet152": {1: (0.9, 0.95)}}
    draw_comparison(RATES, "unused.png", title="t", queries=9, intervals=spans, level=0.9)
    drawn = [line for axis in figures[0].axes for line in axis.lines if len(line.get_xdata()) == 2]
    assert len(drawn) == 1
    assert "90 % intervals" in figures[0].get_suptitle()


def test_without_intervals_none_are_claimed(figures):
    draw_comparison(RATES, "unused.png", title="t", queries=9)
    assert "interval" not in figures[0].get_suptitle()


def test_the_comparison_puts_the_best_first_and_keeps_each_experiments_colour(figures):
    draw_comparison(RATES, "unused.png", title="t", queries=9, configured=["removed", *RATES])
    axis = figures[0].axes[0]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == sorted(RATES, key=lambda name: -RATES[name][1])
    looks = styles(["removed", *RATES])
    for row, line in enumerate(axis.lines):
        assert line.get_color() == looks[names[row]]["color"]
        assert line.get_marker() == looks[names[row]]["marker"]


def test_names_in_a_confusion_of_67_classes_do_not_overlap(figures):
    classes = [f"class_{number}" for number in range(67)]
    draw_confusion(classes, np.eye(67, dtype=np.int64), "unused.png", title="t")
    axis = figures[0].axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == classes
    extents = [label.get_window_extent() for label in axis.get_yticklabels()]
    height = np.mean([upper.y0 - lower.y0 for upper, lower in pairwise(extents)])
    points = axis.get_yticklabels()[0].get_fontsize()
    assert height / figures[0].dpi * 72 > points
    assert points / figures[0].get_figwidth() > 0.65  # 4 points on a page 6.3 inches wide
