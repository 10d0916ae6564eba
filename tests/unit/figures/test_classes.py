"""Bars by class: the right means, in order, with their intervals, and every class named."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from kept_figures import keep_figures
from pictures import assert_whole, has_colour, pixels
from PIL import Image

from gallerist.evaluation.bootstrap import IntervalSettings, mean_intervals
from gallerist.evaluation.relevance import Confusion
from gallerist.evaluation.scores import Scores
from gallerist.figures import classes as module
from gallerist.figures.classes import ClassBar, class_bars, draw_class_bars


def evaluated(classes: int, each: int = 6) -> tuple[np.ndarray, list[str], list[str]]:
    """Values, labels and originals of queries, two queries an original."""
    generator = np.random.default_rng(4)
    labels = [f"class_{n}_{'x' * (n % 19)}" for n in range(classes) for _ in range(each)]
    originals = [f"original {n // 2}" for n in range(classes * each)]
    return (generator.random(classes * each) < 0.8).astype(float), labels, originals


def bars_of(values, labels, originals, *, seed, rounds=10_000, level=0.95) -> list[ClassBar]:
    column = np.asarray(values, dtype=np.float64)
    ids = tuple(f"q{number}" for number in range(len(column)))
    scores = Scores(ids, tuple(labels), tuple(originals), {"v": column, "w": 1 - column}, {})
    return class_bars(scores, "v", IntervalSettings(seed, rounds, level))


def test_means_and_counts_are_those_of_pandas():
    values, labels, originals = evaluated(10)
    bars = bars_of(values, labels, originals, seed=1)
    grouped = pd.Series(values).groupby(labels)
    names = [bar.name for bar in bars]
    assert sorted(names) == sorted(set(labels))
    np.testing.assert_allclose([bar.mean for bar in bars], grouped.mean()[names])
    np.testing.assert_array_equal([bar.queries for bar in bars], grouped.size()[names])


def test_intervals_are_those_of_the_class_alone():
    values, labels, originals = evaluated(3)
    bars = bars_of(values, labels, originals, seed=7)
    for bar in bars:
        rows = [i for i, label in enumerate(labels) if label == bar.name]
        alone = mean_intervals(
            {"v": values[rows]}, [originals[i] for i in rows], IntervalSettings(7)
        )["v"]
        assert (bar.low, bar.high) == (alone.low, alone.high)


def test_the_level_is_that_of_the_bootstrap_and_the_title_says_it(figures, tmp_path):
    wide = bars_of(*evaluated(3), seed=7, rounds=1500, level=0.99)
    narrow = bars_of(*evaluated(3), seed=7, rounds=1500, level=0.5)
    widths = np.array([[bar.high - bar.low for bar in bars] for bars in (wide, narrow)])
    assert (widths[0] >= widths[1]).all()
    assert widths[0].sum() > widths[1].sum()
    draw_class_bars(wide, tmp_path / "bars.png", title="t", metric=METRIC, level=0.99)
    assert "99 % intervals" in figures[0].get_suptitle()


def test_the_order_of_the_queries_does_not_matter():
    values, labels, originals = evaluated(5)
    mixed = np.random.default_rng(0).permutation(len(values))
    one = bars_of(values, labels, originals, seed=7)
    other = bars_of(
        values[mixed], [labels[i] for i in mixed], [originals[i] for i in mixed], seed=7
    )
    assert [bar.name for bar in one] == [bar.name for bar in other]
    np.testing.assert_allclose([bar[1:] for bar in one], [bar[1:] for bar in other])


def test_a_class_of_one_original_has_a_bar_and_no_interval():
    bars = bars_of([1.0, 1.0, 0.0, 1.0], list("aabb"), ["p", "p", "q", "r"], seed=1)
    assert [bar.low is None for bar in bars] == [True, False]
    assert [bar.mean for bar in bars] == [1.0, 0.5]


def test_equal_means_are_ordered_by_queries_then_by_name():
    labels = ["d", "d", "c", "c", "b", "b", "b", "b", "a"]
    bars = bars_of([1, 0, 0, 1, 1, 1, 0, 0, 1], labels, list(map(str, range(9))), seed=1)
    assert [bar.name for bar in bars] == ["a", "b", "c", "d"]


@pytest.fixture
def figures(monkeypatch, tmp_path):
    """The figures that were written, to be looked into."""
    monkeypatch.chdir(tmp_path)
    return keep_figures(monkeypatch, module)


METRIC = "hit rate at 1 (share of queries)"


@pytest.mark.parametrize("count", [1, 10, 34, 35, 67, 120])
def test_every_class_has_its_bar_its_name_and_its_queries_and_nothing_is_cut(
    figures, tmp_path, count
):
    bars = bars_of(*evaluated(count), seed=1)
    draw_class_bars(bars, tmp_path / "bars.png", title="challenge, resnet152", metric=METRIC)
    (figure,) = figures
    names, widths = [], []
    for axis in figure.axes:
        labels = axis.get_yticklabels()
        names += [label.get_text() for label in labels]
        widths += [bar.get_width() for bar in axis.patches]
        extents = [label.get_window_extent() for label in labels]
        assert all(upper.y0 > lower.y0 for upper, lower in pairwise(extents))
        heights = [upper.y0 - lower.y0 for upper, lower in pairwise(extents)]
        assert min(heights, default=99) / figure.dpi * 72 > 7.5 * 0.95  # a letter of 7.5 points
        assert axis.get_xlim()[0] == 0
    assert names == [f"{bar.name} (6)" for bar in bars]
    assert widths == [bar.mean for bar in bars]
    if count == 67:
        assert figure.get_figheight() < figure.get_figwidth()  # fits half a page
    with Image.open(tmp_path / "bars.png") as image:
        picture = np.asarray(image.convert("L"))
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == 255).all()


def test_whiskers_reach_from_end_to_end_of_the_intervals(figures, tmp_path):
    bars = bars_of(*evaluated(5), seed=1)
    draw_class_bars(bars, tmp_path / "bars.png", title="t", metric=METRIC)
    (lines,) = figures[0].axes[0].collections
    drawn = [segment[:, 0].tolist() for segment in lines.get_segments()]
    np.testing.assert_allclose(drawn, [[bar.low, bar.high] for bar in bars])


def test_the_dashed_line_is_the_mean_over_all_queries_not_over_classes(figures, tmp_path):
    values, labels = [1.0, 1.0, 1.0, 0.0], list("aaab")
    bars = bars_of(values, labels, list("pqrs"), seed=1)
    draw_class_bars(bars, tmp_path / "bars.png", title="t", metric=METRIC)
    axis = figures[0].axes[0]
    (dashed,) = [line for line in axis.lines if line.get_linestyle() == "--"]
    assert dashed.get_xdata()[0] == 0.75
    assert "4 queries, 0.750" in figures[0].get_suptitle()


def test_classes_without_any_interval_claim_none(figures, tmp_path):
    draw_class_bars(
        bars_of([1.0], ["a"], ["p"], seed=1), tmp_path / "b.png", title="t", metric=METRIC
    )
    assert "interval" not in figures[0].get_suptitle()


def test_names_with_dollar_signs_and_of_any_length_are_drawn(figures, tmp_path):
    labels = [r"$\frac$", "x" * 300 + "end", "100$ $_$"]
    bars = bars_of([1.0, 0.0, 0.5], labels, list("pqr"), seed=1)
    draw_class_bars(bars, tmp_path / "bars.png", title="a $title$ " * 20, metric=METRIC)
    shown = [label.get_text() for label in figures[0].axes[0].get_yticklabels()]
    assert shown[0] == r"$\frac$ (1)"
    assert shown[2].endswith("end (1)")
    assert figures[0].axes[0].get_window_extent().width > 3 * figures[0].dpi


# The confusion


def draw_confusion(classes, counts, path, *, title):
    module.draw_confusion(Confusion(classes, counts, counts.sum(axis=1), 0), path, title=title)


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
