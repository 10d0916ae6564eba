"""Packages that are not to be had for a while."""

import importlib
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
        assert sys.modules["colorsys"] is None
        raise ZeroDivisionError
    assert importlib.import_module("colorsys") is before
    assert "a_package_that_is_not_installed" not in sys.modules
