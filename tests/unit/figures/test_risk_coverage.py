"""Risk against coverage, drawn: files that open, whole, with and without a threshold."""

import numpy as np
import pytest
from pictures import assert_whole, has_colour, pixels

from gallerist.evaluation.abstaining import FirstAnswers
from gallerist.evaluation.abstaining_report import Abstaining
from gallerist.evaluation.risk_coverage import curve, risk_coverage
from gallerist.evaluation.threshold import Promise, Threshold
from gallerist.figures.risk_coverage import draw_risk_coverage, draw_risks
from gallerist.figures.style import PALETTE, RELEVANT, WRONG, styles

FIRST = FirstAnswers(
    ("a", "b", "c", "d"),
    np.array([0.1, 0.2, 0.3, 0.4]),
    np.array([False, False, True, False]),
    np.array([0.3, 0.4, 0.3, 0.6]),
)


@pytest.mark.parametrize("below", [None, 0.25, np.inf])
@pytest.mark.parametrize("open_set", [True, False])
def test_curves_are_drawn_whole(tmp_path, below, open_set):
    first = FIRST if open_set else FirstAnswers(*list(vars(FIRST).values())[:3], None)
    threshold = Threshold(below, Promise(0.05, 0.95, 0.5), 200)
    reached = None if below is None else risk_coverage(first, 0.5, np.array([below]))
    found = Abstaining(threshold, curve(first, 0.5), reached)
    draw_risk_coverage(found, tmp_path / "drawn.png", title="monkeys10, resnet152")
    picture = pixels(tmp_path / "drawn.png")
    assert_whole(picture)
    assert has_colour(picture, RELEVANT)
    assert has_colour(picture, WRONG) == open_set


def test_experiments_are_drawn_beside_each_other(tmp_path):
    closed = FirstAnswers(*list(vars(FIRST).values())[:3], None)
    curves = {"one": curve(FIRST, 0.5), "other": curve(closed, 0.5)}
    draw_risks(curves, styles([*curves]), tmp_path / "drawn.png", title="monkeys10")
    picture = pixels(tmp_path / "drawn.png")
    assert_whole(picture)
    assert all(has_colour(picture, colour) for colour in PALETTE[:2])
