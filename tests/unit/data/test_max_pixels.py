"""How large a picture may be is asked for by every reader: none has a limit of its own."""

import ast

import numpy as np
import pytest
from checkout import SCRIPTS
from PIL import Image

from gallerist.data.decoding import BadImage
from gallerist.features.key_points import Detector
from gallerist.figures import answer_strips

READERS = {"read_image", "read_bytes", "decode_image", "read_pixels", "Preprocessing"}
BELOW = {"gallerist/data/decoding.py"}
"""Where they are made."""


def calls(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name == "of" and isinstance(node.func, ast.Attribute):  # Preprocessing.of
                name = getattr(node.func.value, "id", "")
            if name in READERS and not (
                name == "read_bytes" and isinstance(node.func, ast.Attribute)
            ):
                yield name, node


def test_whoever_reads_a_picture_says_how_large_it_may_be():
    lacking, found = [], set()
    for file in sorted(SCRIPTS.rglob("*.py")):
        relative = file.relative_to(SCRIPTS).as_posix()
        for name, node in calls(file) if relative not in BELOW else ():
            found.add(name)
            named = {each.arg for each in node.keywords}
            if not (
                {"max_pixels", None} & named or (name == "Preprocessing" and len(node.args) > 1)
            ):
                lacking.append(f"{relative}, line {node.lineno}: {name}")
    assert found >= {"read_image", "read_bytes", "decode_image", "read_pixels", "Preprocessing"}
    assert lacking == []


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (90, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_key_points_are_looked_for_in_pictures_of_the_configured_size(photo):
    for kind in ("sift", "orb", "surf"):
        with pytest.raises(BadImage, match="more than 7199 in all"):
            Detector(kind, 60, 10, max_pixels=7199).detect_in_file(photo)
        assert Detector(kind, 60, 10, max_pixels=7200).prepare(photo).shape == (60, 53, 3)


def test_the_limit_is_no_part_of_what_a_detector_is():
    one, other = (Detector("sift", 60, 10, max_pixels=limit) for limit in (1, 10**9))
    assert one == other
    assert one.to_json() == other.to_json()


def test_pictures_of_answers_are_drawn_up_to_the_configured_size(photo, tmp_path):
    drawn = []
    for limit in (7199, 7200):
        answer_strips.draw(
            [(str(photo), "cat", [])], tmp_path / "strip.png", title="t", max_pixels=limit
        )
        with Image.open(tmp_path / "strip.png") as image:
            drawn.append(np.asarray(image.convert("RGB")))
    grey = [(pixels == 200).all(axis=2).sum() for pixels in drawn]
    assert grey[0] > 100 * 100
    assert grey[1] < 100
