"""Descriptors by name, and what must hold for every one of them on every picture."""

import inspect

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gallerist.features.descriptors.registry import DESCRIPTORS

CASES = [
    *(
        ("colour_histogram", {"space": space, "bins": 3, "joint": joint, "soft": soft, "grid": 2})
        for space in ("rgb", "linear_rgb", "hsv", "lab")
        for joint in (True, False)
        for soft in (True, False)
    ),
    ("local_binary_patterns", {"pattern": "uniform", "points": 16, "radius": 2.5, "grid": 3}),
    ("local_binary_patterns", {"pattern": "ror", "points": 8, "radius": 1.0, "grid": 1}),
    ("local_binary_patterns", {"pattern": "nri_uniform", "points": 8, "radius": 1.0, "grid": 2}),
    ("haralick", {"levels": 8, "distance": 1}),
    ("haralick", {"levels": 256, "distance": 5}),
    ("gabor", {"scales": 4, "orientations": 3}),
    ("hog", {"orientations": 9, "cells": 3, "cell_pixels": 8, "block": 2}),
    ("edge_histogram", {"orientations": 5, "signed": False, "grid": 3}),
    ("edge_histogram", {"orientations": 8, "signed": True, "grid": 1}),
    ("hu_moments", {}),
    ("zernike_moments", {"degree": 8}),
]
CASES = [
    (name, given_ | ({"square_root": True} if "grid" in given_ else {})) for name, given_ in CASES
]
every_descriptor = pytest.mark.parametrize(("name", "chosen"), CASES, ids=str)

NO_CONTENT = {"gabor", "hog", "edge_histogram", "hu_moments", "zernike_moments"}
"""They describe differences within a picture, which a plain one does not have."""


def pictures():
    """Noise of any shape, of few or many values, from one pixel to a strip."""
    sides = st.sampled_from([1, 2, 3, 7, 16, 33])

    def noise(height, width, lowest, spread, seed):
        values = np.random.default_rng(seed).integers(0, spread, (height, width, 3))
        return np.minimum(lowest + values, 255).astype(np.uint8)

    return st.builds(
        noise, sides, sides, st.integers(0, 255), st.integers(1, 256), st.integers(0, 99)
    )


def test_every_descriptor_is_tried_here():
    assert {name for name, _ in CASES} == set(DESCRIPTORS)
    assert all(function.__name__ == name for name, function in DESCRIPTORS.items())


@every_descriptor
@settings(deadline=None, max_examples=15)
@given(pixels=pictures())
@example(pixels=np.zeros((1, 1, 3), np.uint8))
@example(pixels=np.full((1, 9, 3), 255, np.uint8))
@example(pixels=np.zeros((3, 400, 3), np.uint8))
@example(pixels=np.full((64, 64, 3), 255, np.uint8))
@example(pixels=np.eye(17, dtype=np.uint8)[:, :, None].repeat(3, axis=2) * 255)
def test_every_picture_has_a_finite_vector_whose_length_is_known_before(name, chosen, pixels):
    before = pixels.copy()
    vector = DESCRIPTORS[name](pixels, **chosen)
    assert vector.dtype == np.float32
    assert vector.shape == DESCRIPTORS[name](np.zeros((1, 1, 3), np.uint8), **chosen).shape
    assert np.isfinite(vector).all()
    assert np.array_equal(pixels, before)
    assert np.array_equal(vector, DESCRIPTORS[name](pixels, **chosen))


@every_descriptor
@pytest.mark.parametrize("value", [0, 1, 77, 128, 254, 255])
def test_a_plain_picture_has_zeros_exactly_where_there_is_nothing_to_describe(name, chosen, value):
    plain = np.full((40, 31, 3), value, np.uint8)
    assert DESCRIPTORS[name](plain, **chosen).any() == (name not in NO_CONTENT)


@every_descriptor
def test_pixels_need_not_be_contiguous_nor_writable(name, chosen):
    noise = np.random.default_rng(3).integers(0, 256, (80, 60, 3), dtype=np.uint8)
    view = noise[::2, ::-2]
    view.flags.writeable = False
    function = DESCRIPTORS[name]
    assert np.array_equal(function(view, **chosen), function(view.copy(), **chosen))


@every_descriptor
def test_settings_are_keyword_arguments_without_defaults(name, chosen):
    parameters = list(inspect.signature(DESCRIPTORS[name]).parameters.values())[1:]
    assert {p.name for p in parameters} == set(chosen)
    assert all(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)
