"""Colours, line styles and markers that stay with their experiment, and legends that are whole."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from gallerist.figures.style import (
    CLASS_COLOURS,
    LINESTYLES,
    MARKERS,
    OTHER,
    PALETTE,
    class_colours,
    entitle,
    legend_below,
    rate_axis_bottom,
    save,
    shorten,
    styles,
    text_width,
)

# Machado, Oliveira, Fernandes, A Physiologically-based Model for Simulation of Color Vision
# Deficiency (2009), table 1, severity 1.0; they act on linear RGB.
SEEN = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}


def seen(colours, vision) -> np.ndarray:
    """CIE Lab of colours as somebody sees them."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ SEEN[vision].T, 0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb2lab(shown[None])[0]


@pytest.mark.parametrize("vision", SEEN)
@pytest.mark.parametrize("colours", [PALETTE, CLASS_COLOURS], ids=["experiments", "classes"])
def test_no_two_colours_look_alike_with_any_colour_vision(colours, vision):
    """A difference of 2.3 is just noticed; red and green of a traffic light may fall to 3."""
    pairs = itertools.combinations(seen(colours, vision), 2)
    assert min(float(deltaE_ciede2000(*pair)) for pair in pairs) > 7


def test_every_line_is_seen_on_white():
    white = seen(["white"], "normal")
    assert deltaE_ciede2000(seen(PALETTE, "normal"), white).min() > 25


def test_two_hundred_experiments_differ_and_the_first_ones_in_two_ways():
    names = [f"e{number}" for number in range(len(PALETTE) * len(LINESTYLES) * len(MARKERS))]
    looks = [tuple(style.values()) for style in styles(names).values()]
    assert len(set(looks)) == len(looks) == 224
    assert len({(colour, line) for colour, line, _ in looks[:28]}) == 28
    assert len({colour for colour, _, _ in looks[:7]}) == 7
    assert len({marker for _, _, marker in looks[:7]}) == 7


def test_experiments_of_one_colour_differ_in_line_and_in_marker():
    looks = list(styles([f"e{number}" for number in range(28)]).values())
    for one, other in itertools.combinations(looks, 2):
        if one["color"] == other["color"]:
            assert one["linestyle"] != other["linestyle"]
            assert one["marker"] != other["marker"]


def test_an_experiment_keeps_its_style_when_others_are_added_behind_it():
    few, many = styles(["a", "b"]), styles(["a", "b", "c", "d"])
    assert {name: many[name] for name in few} == few


def test_ten_classes_have_colours_and_the_others_are_grey():
    colours = class_colours([f"class {number}" for number in range(67)])
    assert list(colours.values()) == [*CLASS_COLOURS, *[OTHER] * 57]
    assert len(set(CLASS_COLOURS)) == 10


@pytest.mark.parametrize("lowest", np.linspace(0, 1, 21))
def test_an_axis_of_rates_begins_below_the_lowest_and_leaves_out_no_more_than_that(lowest):
    bottom = rate_axis_bottom(lowest)
    assert 0 <= bottom <= lowest
    assert lowest - bottom < 0.6
    assert bottom < lowest or lowest == 0


@pytest.mark.parametrize("name", ["short", "monkey_" * 30 + "0042", "W" * 90, "", "$_$"])
def test_a_shortened_line_fits_and_keeps_its_end(name):
    line = shorten(name, points=7, inches=1.0)
    assert text_width(line, 7) <= 1.0
    assert line == name or line[-2:] == name[-2:]


@pytest.mark.parametrize("count", [1, 8, 40])
@pytest.mark.parametrize("letters", [3, 25, 200])
def test_a_legend_is_whole_below_the_axes_and_names_everyone(count, letters):
    figure = Figure(figsize=(7.2, 4), layout="constrained")
    axis = figure.subplots()
    names = [f"{number}{'x' * letters}{number}" for number in range(count)]
    lines = {name: axis.plot([0, 1], [0, 1], **style)[0] for name, style in styles(names).items()}
    axis.set(xlabel="k", ylabel="rate")
    legend = legend_below(figure, lines)
    figure.draw_without_rendering()
    shown, plot = legend.get_window_extent(), axis.get_tightbbox()
    assert len(legend.get_texts()) == count
    assert figure.bbox.x0 <= shown.x0 < shown.x1 <= figure.bbox.x1
    assert figure.bbox.y0 - 1 <= shown.y0 < shown.y1 <= plot.y0 + 1
    assert axis.get_window_extent().height > 2.6 * figure.dpi


def test_a_long_title_is_in_lines_over_its_figure_and_no_formula():
    figure = Figure(figsize=(4, 2), layout="constrained")
    axis = figure.subplots()
    entitle(axis, r"a long title of $\frac$ words " * 8)
    figure.draw_without_rendering()
    assert axis.title.get_text().count("\n") > 2
    assert axis.title.get_window_extent().width <= figure.bbox.width


def test_what_reaches_over_the_edge_is_in_the_file(tmp_path):
    figure = Figure(figsize=(2, 2))
    figure.text(0.5, 0.5, "far more than two inches of letters " * 3)
    save(figure, tmp_path / "wide.png")
    with Image.open(tmp_path / "wide.png") as image:
        assert image.format == "PNG"
        picture = np.asarray(image.convert("L"))
    assert picture.shape[1] > 150 * 5
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == 255).all()
    assert [path.name for path in tmp_path.iterdir()] == ["wide.png"]
