"""Whatever the data set, a figure has a bounded size, and says what it leaves out."""

import numpy as np
import pytest
from kept_figures import keep_figures
from PIL import Image

from gallerist.evaluation.curves import Curve
from gallerist.evaluation.relevance import evaluate
from gallerist.figures import answer_strips, classes, comparison, picture_grid
from gallerist.figures.classes import ClassBar
from gallerist.figures.picture_grid import Tile, draw_grid
from gallerist.figures.style import styles
from gallerist.search.ranking import Ranking

PIXELS = 60_000_000
"""Of one picture, at most."""


def size(path):
    with Image.open(path) as image:
        assert image.width * image.height < PIXELS
        return image.size


def many_classes(count):
    """An evaluation of a query of each class; every third finds a picture of the next class."""
    labels = [f"class_{number:05d}" for number in range(count)]
    gallery = {f"g{number}": label for number, label in enumerate(labels)}
    queries = {f"q{number}": label for number, label in enumerate(labels)}
    first = [(n + (n % 3 == 0)) % count for n in range(count)]
    answers = tuple((f"g{n}",) for n in first)
    return evaluate(Ranking(tuple(queries), answers, ((0.5,),) * count), queries, gallery)


@pytest.mark.parametrize("count", [100, 101, 4000])
def test_a_confusion_shows_the_classes_with_most_wrong_answers(tmp_path, monkeypatch, count):
    figures = keep_figures(monkeypatch, classes)
    found = many_classes(count).confusion(most=100)
    assert len(found.classes) == 100
    assert found.left_out == count - 100
    if count > 300:  # there are as many that are wrong, or taken for another
        assert all(int(name[6:]) % 3 < 2 for name in found.classes)
    classes.draw_confusion(found, tmp_path / "confusion.png", title="t")
    title = " ".join(figures[0].axes[0].get_title().split())
    assert (f"100 of {count} classes" in title) == (count > 100)
    assert (f"{count - 100} more in" in title) == (count > 100)
    if count == 4000:
        monkeypatch.undo()
        classes.draw_confusion(found, tmp_path / "confusion.png", title="t")
        assert max(size(tmp_path / "confusion.png")) < 3000


def test_a_confusion_of_some_classes_counts_their_queries_alike():
    whole, some = many_classes(50).confusion(), many_classes(50).confusion(most=20)
    rows = [whole.classes.index(name) for name in some.classes]
    np.testing.assert_array_equal(some.counts, whole.counts[np.ix_(rows, rows)])
    np.testing.assert_array_equal(some.totals, whole.totals[rows])
    assert whole.left_out == 0
    np.testing.assert_array_equal(whole.totals, whole.counts.sum(axis=1))


@pytest.mark.parametrize("count", [120, 121, 4000])
def test_bars_of_very_many_classes_are_the_best_and_the_worst(tmp_path, monkeypatch, count):
    figures = keep_figures(monkeypatch, classes)
    bars = [ClassBar(f"c{n}", 2, 1 - n / count, None, None) for n in range(count)]
    classes.draw_class_bars(bars, tmp_path / "bars.png", title="t", metric="m")
    (figure,) = figures
    names = [each.get_text() for axis in figure.axes for each in axis.get_yticklabels()]
    assert names[:60] == [f"c{n} (2)" for n in range(60)]
    assert names[60:] == [f"c{n} (2)" for n in range(count - 60, count)]
    title = " ".join(figure.get_suptitle().split())
    assert (f"120 of {count} classes, the best and the worst" in title) == (count > 120)
    assert f"all {2 * count} queries" in title
    assert figure.get_figheight() < 12


@pytest.mark.parametrize("count", [60, 61, 1000])
def test_of_very_many_experiments_the_best_are_compared(tmp_path, monkeypatch, count):
    figures = keep_figures(monkeypatch, comparison)
    names = [f"e{n}" for n in range(count)]
    rates = {name: {1: n / count, 10: n / count} for n, name in enumerate(names)}
    comparison.draw_comparison(rates, tmp_path / "c.png", title="t", queries=9)
    at = np.array([1.0, 2.0])
    none = np.full(2, np.nan)
    curves = {name: Curve(at, np.full(2, n / count), none, none) for n, name in enumerate(names)}
    comparison.draw_hit_rates(curves, styles(names), tmp_path / "h.png", title="t")
    labels = [each.get_text() for each in figures[0].axes[0].get_yticklabels()]
    assert labels == names[::-1][:60]
    legend = [each.get_text() for each in figures[1].legends[0].get_texts()]
    assert legend == [name for name in names if name in labels]
    for figure in figures:
        titles = [figure.get_suptitle(), *(axis.get_title() for axis in figure.axes)]
        said = " ".join(" ".join(titles).split())
        assert (f"60 of {count} experiments, the best, and {count - 60} more" in said) == (
            count > 60
        )
        assert figure.get_figheight() < 15


def test_a_grid_of_very_many_pictures_shows_the_first_and_counts_the_others(tmp_path, monkeypatch):
    written = []
    write = picture_grid._write

    def noted(draw, place, line, *given, **how):
        written.append(line)
        write(draw, place, line, *given, **how)

    monkeypatch.setattr(picture_grid, "_write", noted)
    tile = Tile(Image.new("RGB", (8, 8)), below="x")
    draw_grid([[tile] * 1000] * 300, tmp_path / "grid.png", title="t", side=128, nothing="")
    assert "260 more rows and 960 more pictures in a row are not drawn" in written
    assert written.count("x") == 40 * 40
    size(tmp_path / "grid.png")


def test_of_very_many_answers_only_those_that_are_drawn_are_read(tmp_path, monkeypatch):
    read = []

    def small(path, limit):
        read.append(path)
        return Image.new("RGB", (9, 9))

    monkeypatch.setattr(answer_strips, "thumbnail", small)
    tiles = [(f"a{n}.png", "cat", None) for n in range(1000)]
    rows = [(f"q{n}.png", "cat", tiles) for n in range(100)]
    answer_strips.draw(rows, tmp_path / "strips.png", title="t", max_pixels=10**8)
    assert len(read) == 40 * 40
    size(tmp_path / "strips.png")


def test_large_photos_beside_each_other_are_small_before_the_next_is_read(tmp_path):
    path = tmp_path / "large.png"
    Image.new("RGB", (3000, 2000), "red").save(path)
    assert answer_strips.thumbnail(str(path), {"max_pixels": 10**8}).size == (128, 85)
