"""What the descriptors share."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gallerist.features.descriptors.cells import at_least, cell_histograms, cell_index


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 5))
def test_cells_are_those_of_array_split_up_to_a_pixel_and_none_is_empty(height, width, grid):
    pixels = at_least(np.zeros((height, width, 3), np.uint8), grid)
    cells = cell_index(pixels, grid)
    assert cells.shape == pixels.shape[:2]
    assert np.array_equal(np.unique(cells), np.arange(grid * grid))
    heights = np.bincount(cells[:, 0] // grid)
    assert heights.max() - heights.min() <= 1
    widths = np.bincount(cells[0] % grid)
    assert widths.max() - widths.min() <= 1


def test_cells_are_counted_row_by_row():
    assert cell_index(np.zeros((2, 4)), 2).tolist() == [[0, 0, 1, 1], [2, 2, 3, 3]]


def test_small_pictures_are_repeated_and_large_ones_left():
    pixels = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    assert at_least(pixels, 2).tolist() == [pixels[0].tolist()] * 2
    assert at_least(pixels, 1) is pixels


def test_a_cell_histogram_is_numpys_over_its_pixels():
    random = np.random.default_rng(5)
    bins, weights = random.integers(0, 6, (9, 10)), random.random((9, 10))
    found = cell_histograms(bins, cell_index(bins, 2), grid=2, count=6, weights=weights)
    expected, _ = np.histogram(bins[5:, :5], np.arange(7), weights=weights[5:, :5])
    np.testing.assert_allclose(found[2], expected / 20)
