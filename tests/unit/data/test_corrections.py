"""Corrections of a data set: their file, and what they do to an import."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallerist.data.corrections import Correction, correct, read_corrections, write_corrections
from gallerist.data.examining import Problem
from gallerist.data.importing import Import
from gallerist.data.manifest import Manifest, Picture
from gallerist.io.errors import UserError


def picture(name, label):
    return Picture(name, f"pictures/{label}/{name}.png", label, "gallery", name, 9, 9, "0" * 16)


IMPORTED = Import(
    Manifest((picture("a1", "ant"), picture("a2", "ant"), picture("b1", "bee"))),
    (Problem("pictures/z.txt", "skipped", "not an image: text"),),
)

texts = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\0"), max_size=20
)
corrections = st.one_of(
    st.builds(
        Correction, st.text("0123456789abcdef", min_size=1), st.just("bad"), st.just(""), texts
    ),
    st.builds(Correction, st.text("0123456789abcdef", min_size=1), st.just("label"), texts, texts),
    st.builds(
        Correction,
        st.text("0123456789abcdef", min_size=1),
        st.just("leak"),
        st.sampled_from(["query:ab", "no:cd", "gallery:ef"]),
        texts,
    ),
)


@given(st.lists(corrections, max_size=8, unique_by=lambda one: one.subject))
def test_a_file_gives_back_what_was_written(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("corrections") / "c.csv"
    write_corrections(path, written)
    assert list(read_corrections(path)) == written


def test_of_two_about_the_same_the_last_one_counts(tmp_path):
    path = tmp_path / "c.csv"
    first, other, last = (
        Correction("a1", "label", "bee"),
        Correction("a1", "bad"),
        Correction("a1", "label", ""),
    )
    write_corrections(path, [first, other, last])
    assert set(read_corrections(path)) == {other, last}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("id,what\n", "the columns of corrections are picture, action, value, note"),
        ("picture,action,value,note\na1,rotten,,\n", "line 2: 'rotten' is no action"),
        ("picture,action,value,note\n,bad,,\n", "line 2: it names no picture"),
        ("picture,action,value,note\na1,bad,cat,\n", "line 2: a bad picture has no value"),
        ("picture,action,value,note\na1,leak,query,\n", "line 2: the value of a leak is part:id"),
        ("picture,action,value,note\na1,leak,test:b,\n", "line 2: the value of a leak is part:id"),
        ("picture,action,value,note\na1,bad\n", "line 2: a row is picture,action,value,note"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_line(tmp_path, text, reason):
    path = tmp_path / "c.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=f"c.csv.*{reason}"):
        read_corrections(path)


def test_a_bad_picture_is_left_out_and_named():
    found = correct(IMPORTED, [Correction("a2", "bad", "", "blurred")], "gallery")
    assert found.manifest.ids == ["a1", "b1"]
    assert Problem("pictures/ant/a2.png", "skipped", "bad, by the corrections (blurred)") in (
        found.problems
    )
    assert IMPORTED.problems[0] in found.problems


def test_a_picture_of_another_class_moves_there():
    found = correct(IMPORTED, [Correction("a1", "label", "bee")], "gallery")
    assert [(one.id, one.label) for one in found.manifest] == [
        ("a2", "ant"),
        ("a1", "bee"),
        ("b1", "bee"),
    ]
    assert "of class bee, not ant" in found.problems[0].reason


def test_a_class_that_the_part_does_not_have_is_pointed_out():
    found = correct(IMPORTED, [Correction("a1", "label", "been")], "gallery")
    assert "a class without other pictures here" in found.problems[0].reason


def test_a_class_in_doubt_stays_and_is_named():
    found = correct(IMPORTED, [Correction("a1", "label", "", "wasp?")], "gallery")
    assert found.manifest == IMPORTED.manifest
    assert found.problems[0].severity == "warning"
    assert "in doubt" in found.problems[0].reason


@pytest.mark.parametrize(
    ("value", "part", "left_out"),
    [
        ("query:a1", "gallery", True),
        ("query:a1", "originals", True),
        ("query:a1", "query_originals", False),
        ("query:a1", "gallery_originals", True),
        ("query:a1", "query", False),
        ("gallery:x", "gallery", False),
        ("training:x", "originals", False),
        ("validation:x", "originals", True),
        ("no:a1", "gallery", False),
    ],
)
def test_a_leak_is_left_out_of_all_parts_but_one(value, part, left_out):
    found = correct(IMPORTED, [Correction("a1", "leak", value)], part)
    assert ("a1" not in found.manifest.ids) == left_out


def test_corrections_of_other_parts_change_nothing():
    found = correct(
        IMPORTED, [Correction("c9", "bad"), Correction("c9", "label", "ant")], "gallery"
    )
    assert found == IMPORTED


def test_corrections_that_leave_nothing_are_refused():
    every = [Correction(each, "bad") for each in IMPORTED.manifest.ids]
    with pytest.raises(UserError, match="leave no picture of gallery"):
        correct(IMPORTED, every, "gallery")
