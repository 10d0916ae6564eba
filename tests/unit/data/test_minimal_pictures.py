"""One minimal file of each kind that was once read wrongly: the right pixels, or refused."""

import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from checkout import SHARED

from gallerist.data.decoding import BadImage, read_image
from gallerist.data.fast_jpeg import decode_plain_jpeg

SCRIPT = SHARED / "cases/pictures/make.py"
REFUSED = {
    "f_missing_rows.png": "fewer rows than it says",
    "f_quick_path_cut_plus_preview.jpg": "truncated",
    "m_html_bom.jpg": "an HTML page",
    "m_ico.ico": "truncated",
    "m_jp2.jp2": "JPEG 2000",
    "m_jxl.jxl": "JPEG XL",
    "m_ppm.ppm": "a PNM picture",
    "m_psd.psd": "a Photoshop document",
    "m_svg_bom.svg": "an SVG drawing",
    "m_svg_comment.svg": "an SVG drawing",
    "m_svg_doctype.svg": "an SVG drawing",
    "m_utf8_text.jpg": "text",
    "s_bomb_limit_of_pillow.webp": "more than 100000000 in all",
    "s_int16_called_32.tif": "signed integer pixels",
    "s_palette_missing.png": "its palette is missing",
    "m_avif_mif1.avif": "damaged AVIF",
    "m_heic_heim.heic": "damaged HEIC",
    "m_heic_hevc.heic": "damaged HEIC",
}
COARSE = {"s_bmp_444.bmp": 6, "f_bmp_1555_alpha.bmp": 2, "f_icc_bgr.png": 2}
"""Most that the mean differs: colours of 4 and 5 bits, and a profile of rounded primaries."""

pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="the shared files are not here")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("minimal")
    shutil.copyfile(SCRIPT, folder / "make.py")
    subprocess.run([sys.executable, folder / "make.py"], check=True, stdout=subprocess.PIPE)
    return folder


def test_each_file_has_the_pixels_that_a_browser_shows_or_is_refused_by_its_reason(made):
    expected = np.load(made / "expected.npz", allow_pickle=False)
    # What takes much memory is tried in a process of its own: test_room.py.
    files = [path for path in sorted((made / "files").iterdir()) if "memory" not in path.name]
    assert len(files) > 45
    for path in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.name in REFUSED:
                with pytest.raises(BadImage, match=REFUSED[path.name]):
                    read_image(path, max_pixels=100_000_000)
                continue
            pixels = read_image(path, max_pixels=100_000_000)
        if path.name in expected.files:
            right = expected[path.name]
            assert pixels.shape == right.shape, path.name
            off = np.abs(pixels.astype(int) - right).mean()
            assert off <= COARSE.get(path.name, 0.5), path.name


def test_the_quick_way_leaves_a_picture_that_was_cut_short(made):
    cut = made / "files/f_quick_path_cut_plus_preview.jpg"
    assert decode_plain_jpeg(cut.read_bytes(), max_pixels=10**8) is None
