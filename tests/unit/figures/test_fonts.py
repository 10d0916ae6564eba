"""Names in any script are drawn with letters of their own, none as a box."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from gallerist.figures import fonts, picture_grid
from gallerist.figures.picture_grid import Tile, draw_grid
from gallerist.figures.style import entitle, save, shorten, text_width

NAMES = {
    "Chinese": ("猫", "狗"),
    "Japanese": ("ネコ", "いぬ"),
    "Korean": ("고양이", "강아지"),
    "Arabic": ("قطة", "كلب"),
    "Hebrew": ("חתול", "כלב"),
    "Devanagari": ("बिल्ली", "कुत्ता"),
    "Thai": ("แมว", "สุนัข"),
    "Bengali": ("বিড়াল", "কুকুর"),
    "Greek": ("γάτα", "σκύλος"),
    "Cyrillic": ("кошка", "собака"),
    "mixed": ("cat 猫 قطة", "dog 狗 كلب"),
}


def ink(path):
    """The dark pixels of a picture."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L")) < 128


def drawn_by_matplotlib(path, name):
    figure = Figure(figsize=(3, 1))
    axes = figure.subplots()
    axes.set_yticks([0], [shorten(name, points=9, inches=2)])
    save(figure, path)
    return ink(path)


def drawn_in_grid(path, name):
    white = Image.new("RGB", (40, 40), "white")
    draw_grid([[Tile(white, below=name)]], path, title="t", side=160, nothing="")
    return ink(path)


@pytest.mark.parametrize("drawn", [drawn_by_matplotlib, drawn_in_grid])
@pytest.mark.parametrize("script", NAMES)
@pytest.mark.filterwarnings("error:Glyph")  # what Matplotlib says of a box
def test_two_names_of_one_script_look_different(tmp_path, drawn, script):
    one, other = (drawn(tmp_path / f"{n}.png", name) for n, name in enumerate(NAMES[script]))
    assert one.any()
    shape = np.minimum(one.shape, other.shape)
    assert (one[: shape[0], : shape[1]] != other[: shape[0], : shape[1]]).any()


@pytest.mark.parametrize("script", NAMES)
def test_no_letter_of_these_scripts_is_missing(script):
    for name in NAMES[script]:
        assert fonts.drawable(name) == name
        for file, piece in fonts.runs(name):
            found = picture_grid._font_of(file, 20)
            missing = found.getmask("\U0010fffe").getbbox(), bytes(found.getmask("\U0010fffe"))
            for letter in piece.replace(" ", ""):
                assert (found.getmask(letter).getbbox(), bytes(found.getmask(letter))) != missing


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\tb", "a[9]b"), ("\udcff.png", "[DCFF].png"), ("\U0010fffe", "[10FFFE]"), ("a\nb", "a\nb")],
)
def test_a_character_that_no_font_has_stands_as_its_code(name, shown):
    assert fonts.drawable(name) == shown


@given(st.text(max_size=12))
def test_any_text_is_drawn_without_a_box_and_without_an_error(text):
    shown = fonts.drawable(text)
    assert fonts.drawable(shown) == shown
    pieces = list(fonts.runs(shown))
    assert "".join(piece for _, piece in pieces) == shown
    canvas = ImageDraw.Draw(Image.new("RGB", (300, 40)))
    picture_grid._write(canvas, (0, 0), shown.replace("\n", " "), 250, "black")
    assert text_width(shorten(text.replace("\n", " "), points=9, inches=1.5), 9) <= 1.5 or text


@pytest.mark.filterwarnings("error:Glyph")
def test_a_title_of_any_letters_is_written(tmp_path):
    figure = Figure(figsize=(4, 2))
    entitle(figure, "猫 قطة кот \udcff\t")
    save(figure, tmp_path / "title.png")
    assert ink(tmp_path / "title.png").any()


def test_a_name_in_our_own_letters_needs_no_other_font():
    for name in ("cat", "Löwe", "coup_de_cœur", "кот", "γάτα", "قطة"):
        assert fonts.families(name) == []
        assert [file for file, _ in fonts.runs(name)] == [fonts.files()[0]]
