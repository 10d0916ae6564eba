"""Packages that are not to be had for a while."""

import importlib
import subprocess
import sys
from contextlib import suppress

import pytest

from gallerist.io.imports import without


def test_a_package_cannot_be_imported_meanwhile_and_can_be_afterwards(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with without("colorsys"), pytest.raises(ImportError):
        importlib.import_module("colorsys")
    assert importlib.import_module("colorsys").rgb_to_hsv(1, 1, 1) == (0, 0, 1)


def test_a_package_that_was_imported_before_is_the_same_afterwards_even_after_an_error():
    before = importlib.import_module("colorsys")
    with suppress(ZeroDivisionError), without("colorsys", "a_package_that_is_not_installed"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("colorsys")
        raise ZeroDivisionError
    assert importlib.import_module("colorsys") is before
    assert "a_package_that_is_not_installed" not in sys.modules


WITHOUT_PANDAS = """
import sys
from gallerist.io.imports import without

with without("pandas"):
    import pyarrow
    import sklearn.base

    numbers = pyarrow.array([1, 2]).to_numpy().tolist()
left_out = "pandas" not in sys.modules
import pandas

series = pandas.Series([3, 4])
print(numbers, left_out, pyarrow.array(series).to_pylist(), pyarrow.table({"a": [5]}).to_pandas())
"""


def test_pyarrow_and_scikit_learn_do_without_pandas_until_it_is_there():
    command = [sys.executable, "-c", WITHOUT_PANDAS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[1,", "2]", "True", "[3,", "4]", "a", "0", "5"]
