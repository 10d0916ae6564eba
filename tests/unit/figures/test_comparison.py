"""The comparison of all experiments as pictures: files that open, whole, in fixed colours."""

import itertools
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from kept_figures import keep_figures
from pictures import assert_whole, has_colour, pixels
from PIL import Image

from gallerist.evaluation.curves import Curve, CurveError, ks_up_to
from gallerist.figures import comparison
from gallerist.figures import style as palette
from gallerist.figures.comparison import (
    draw_comparison,
    draw_hit_rates,
    draw_hit_rates_among_distractors,
    draw_precision_recall,
)
from gallerist.figures.style import PALETTE, styles

RATES = {
    "resnet152": {1: 0.9383, 3: 0.9533, 5: 0.955, 10: 0.96},
    "scratch": {1: 0.17, 3: 0.3983, 5: 0.511, 10: 0.6367},
    "efficientnet_lite2_with_a_long_name": {1: 0.5, 3: 0.7, 5: 0.8, 10: 1.0},
}


@pytest.fixture
def figures(monkeypatch, tmp_path):
    """The figures that were written, to be looked into."""
    monkeypatch.chdir(tmp_path)
    return keep_figures(monkeypatch, comparison)


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


def made(count, at, intervals=True) -> dict[str, Curve]:
    places = np.asarray(at, dtype=float)
    curves = {}
    for number in range(count):
        means = np.linspace(0.1 + 0.8 * number / count, 0.95, len(places))
        width = 0.05 if intervals else np.nan
        curves[f"experiment_{number}_of_a_rather_long_name"] = Curve(
            places, means, means - width, np.minimum(means + width, 1)
        )
    return curves


def draw_each(name, curves, path):
    styles = palette.styles(list(curves))
    if name == "growth":
        draw_hit_rates_among_distractors(curves, styles, path, title="monkeys10", k=5)
    else:
        function = draw_hit_rates if name == "hits" else draw_precision_recall
        function(curves, styles, path, title="monkeys10")


PLACES = {"hits": ks_up_to(200), "precision": np.linspace(0, 1, 11), "growth": [0, 10, 100, 5335]}


@pytest.mark.parametrize("count", [1, 8, 40])
@pytest.mark.parametrize("name", PLACES)
def test_all_experiments_are_drawn_and_named_and_nothing_is_cut(figures, tmp_path, name, count):
    curves = made(count, PLACES[name])
    draw_each(name, curves, tmp_path / "curves.png")
    (figure,) = figures
    (axis,), (legend,) = figure.axes, figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(curves)
    assert legend.get_window_extent().y1 <= axis.get_tightbbox().y0 + 1
    for line, (title, style) in zip(axis.lines, palette.styles(list(curves)).items(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), curves[title].means)
        assert (line.get_color(), line.get_marker()) == (style["color"], style["marker"])
    assert len(axis.collections) == count
    assert "95 % intervals" in axis.get_title()
    assert axis.get_xlabel().endswith(")")
    assert axis.get_ylabel().endswith(")")
    with Image.open(tmp_path / "curves.png") as image:
        picture = np.asarray(image.convert("L"))
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == 255).all()


def test_bands_of_many_experiments_do_not_hide_the_lines(figures, tmp_path):
    for count in (1, 8, 40):
        draw_each("hits", made(count, range(1, 11)), tmp_path / "curves.png")
        faint = figures[-1].axes[0].collections[0].get_alpha()
        assert 1 - (1 - faint) ** count < 0.6


@pytest.mark.parametrize(("depth", "scale"), [(1, "linear"), (50, "linear"), (51, "log")])
def test_the_axis_of_k_is_logarithmic_beyond_fifty(figures, tmp_path, depth, scale):
    draw_each("hits", made(2, ks_up_to(depth)), tmp_path / "curves.png")
    axis = figures[0].axes[0]
    assert axis.get_xscale() == scale
    ticks = [label.get_text() for label in axis.get_xticklabels()]
    assert ticks[0] == "1"
    low, high = axis.get_xlim()
    assert low < 1 <= depth < high
    assert all(low <= float(tick) <= high for tick in ticks)


@pytest.mark.parametrize(("counts", "scale"), [([0, 10, 20], "linear"), ([0, 5, 5335], "symlog")])
def test_growth_keeps_zero_and_names_the_whole_number_of_distractors(
    figures, tmp_path, counts, scale
):
    draw_each("growth", made(2, counts), tmp_path / "curves.png")
    axis = figures[0].axes[0]
    assert axis.get_xscale() == scale
    low, high = axis.get_xlim()
    assert low <= 0 < counts[-1] <= high
    extents = [label.get_window_extent() for label in axis.get_xticklabels()]
    if scale == "symlog":
        assert {"0", "5335"} <= {label.get_text() for label in axis.get_xticklabels()}
        assert all(one.x1 < other.x0 for one, other in itertools.pairwise(extents))


def test_the_title_says_which_intervals_are_drawn(figures, tmp_path):
    curves = made(2, range(1, 11))
    draw_hit_rates(curves, palette.styles(list(curves)), tmp_path / "c.png", title="t", level=0.9)
    assert figures[0].axes[0].get_title() == "t, bands: 90 % intervals"


def test_curves_without_intervals_claim_none(figures, tmp_path):
    draw_each("hits", made(2, range(1, 11), intervals=False), tmp_path / "curves.png")
    assert "interval" not in figures[0].axes[0].get_title()


def test_an_experiment_without_a_style_is_named(tmp_path):
    with pytest.raises(CurveError, match="no style for experiment_0"):
        draw_hit_rates(made(1, [1]), {}, tmp_path / "curves.png", title="t")


@pytest.mark.parametrize("name", PLACES)
def test_where_no_curve_is_known_the_picture_says_so(figures, tmp_path, name):
    draw_each(name, {}, tmp_path / "curves.png")
    assert [text.get_text() for text in figures[0].axes[0].texts] == ["not known of any experiment"]
    assert "interval" not in figures[0].axes[0].get_title()
    assert figures[0].axes[0].get_xlabel()
