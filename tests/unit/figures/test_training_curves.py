"""Curves of a training: files that open, whole, in fixed colours."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import assert_whole, has_colour, pixels

from gallerist.figures.style import PALETTE
from gallerist.figures.training_curves import draw_training_curves
from gallerist.training.history import Training


def history(epochs: int) -> list[dict[str, float]]:
    return [
        {
            "learning_rate": 0.001,
            "epoch_seconds": 1.0,
            "accuracy": 1 - 0.8 / epoch,
            "val_accuracy": 0.9 - 0.7 / epoch,
            "loss": 3 / epoch,
            "val_loss": 1 + 3 / epoch,
        }
        for epoch in range(1, epochs + 1)
    ]


def draw(rows, folder, title="monkeys10, resnet152"):
    """Draw the curves of a training that left these rows; the picture."""
    Training(tuple(rows), seconds=1.0, images=1).write_history(folder / "history.csv")
    draw_training_curves(folder / "history.csv", folder / "curves.png", title=title)
    return pixels(folder / "curves.png")


@pytest.mark.parametrize("epochs", [1, 2, 12, 200])
def test_curves_show_training_and_validation_and_nothing_is_cut(tmp_path, epochs):
    picture = draw(history(epochs), tmp_path)
    assert picture.shape[1] > 1.8 * picture.shape[0] > 500
    assert_whole(picture)
    left, right = np.array_split(picture, 2, axis=1)
    for half in (left, right):
        assert has_colour(half, PALETTE[0])
        assert has_colour(half, PALETTE[1])
    assert plt.get_fignums() == []


def test_an_untrained_network_has_a_picture_that_says_so(tmp_path):
    picture = draw([], tmp_path)
    assert_whole(picture)
    assert not has_colour(picture, PALETTE[0])
    assert (picture[120:260, 100:400] < 128).any()  # the words


def test_a_loss_that_is_not_a_number_leaves_a_gap_and_not_an_error(tmp_path):
    rows = history(5)
    rows[2]["val_loss"] = float("nan")
    rows[3]["loss"] = float("inf")
    assert has_colour(draw(rows, tmp_path, "diverged"), PALETTE[1])
