"""Arrays that are mapped files: what is copied of them does not stay in memory."""

import sys

import numpy as np
import psutil
import pytest

from gallerist.io.arrays import release_pages, take_rows


@pytest.fixture
def mapped(tmp_path):
    """40 MB."""
    np.save(tmp_path / "rows.npy", np.arange(10_000_000, dtype=np.float32).reshape(-1, 250))
    return np.load(tmp_path / "rows.npy", mmap_mode="r")


@pytest.mark.parametrize("rows", [[], [3], [39_999, 0, 7, 7], [*range(0, 40_000, 97)]])
def test_rows_are_those_of_numpy(mapped, rows):
    chosen = np.array(rows, np.intp)
    expected = np.array(mapped)[chosen]
    for vectors in (mapped, np.array(mapped), np.asfortranarray(mapped)):
        taken = take_rows(vectors, chosen)
        np.testing.assert_array_equal(taken, expected)
        assert taken.dtype == np.float32


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what is mapped of a file")
def test_no_page_of_a_mapped_file_stays(mapped, tmp_path):
    def resident():
        maps = psutil.Process().memory_maps()
        return sum(each.rss for each in maps if each.path == str(tmp_path / "rows.npy"))

    assert float(mapped.sum(dtype=np.float64)) > 0
    assert resident() > 39e6
    release_pages(mapped)
    assert resident() < 1e6
    take_rows(mapped, np.arange(0, 40_000, 40))
    assert resident() < 1e6
