"""How pictures are read is said once: all that look at pixels see the same colours, and limits."""

import numpy as np
import pytest
from coded_pictures import RGB, encoded, profile
from PIL import Image

from gallerist.data.decoding import BadImage, read_image
from gallerist.data.importing import import_folder
from gallerist.data.preprocessing import Preprocessing
from gallerist.features.key_points import Detector
from gallerist.figures.answer_strips import draw

READERS = {
    "reader": read_image,
    "networks and descriptors": lambda path, **how: Preprocessing(48, **how).load(path),
    "key points": lambda path, **how: Detector("sift", 48, 10, **how).prepare(path),
    "import": lambda path, **how: import_folder(
        path.parent, part="gallery", min_side=1, flat=True, **{"max_pixels": 10**8, **how}
    ).manifest.pictures[0].phash,
}  # fmt: skip


@pytest.fixture
def pictures(tmp_path):
    """A picture in another colour space, and one without whose numbers are the same."""
    turned = np.ascontiguousarray(RGB[:, :, ::-1])
    (tmp_path / "own").mkdir()
    (tmp_path / "none").mkdir()
    own, none = tmp_path / "own" / "a.png", tmp_path / "none" / "a.png"
    own.write_bytes(encoded(turned, "PNG", icc_profile=profile(6.0)))
    none.write_bytes(encoded(turned, "PNG"))
    return own, none


@pytest.mark.parametrize("reader", READERS)
def test_the_setting_decides_what_every_reader_sees(pictures, reader):
    read = READERS[reader]
    own, none = pictures
    plain = read(none)
    assert np.array_equal(read(none, profiles="ignore"), plain)
    assert np.array_equal(read(own, profiles="ignore"), plain)
    assert not np.array_equal(read(own), plain)


@pytest.mark.parametrize("reader", ["reader", "networks and descriptors", "key points"])
def test_the_limit_reaches_every_reader(pictures, reader):
    _, none = pictures
    with pytest.raises(BadImage, match="more than 100 in all"):
        READERS[reader](none, max_pixels=100)


def test_figures_show_what_was_compared(pictures, tmp_path):
    own, none = map(str, pictures)
    drawn = {}
    for name, path, how in (
        ("own", own, {}),
        ("ignored", own, {"profiles": "ignore"}),
        ("none", none, {}),
    ):
        draw([(path, "a", [])], tmp_path / f"{name}.png", title="t", **how)
        drawn[name] = np.asarray(Image.open(tmp_path / f"{name}.png"))
    assert np.array_equal(drawn["ignored"], drawn["none"])
    assert not np.array_equal(drawn["own"], drawn["none"])
