"""Pictures that were written: opened, whole, and in the colours that they should have."""

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def assert_whole(picture: np.ndarray) -> None:
    """Nothing is cut: the outermost pixels are paper."""
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == 255).all()


def has_colour(picture: np.ndarray, colour: str) -> bool:
    exact = np.round(np.array(to_rgb(colour)) * 255)
    return bool((np.abs(picture - exact) <= 2).all(axis=2).any())
