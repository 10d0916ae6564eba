"""Who may answer whom: folds and originals."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.data.groups import answer_groups, draw_folds
from gallerist.data.manifest import DISTRACTOR, Manifest, Picture
from gallerist.io.errors import UserError


def picture(label, source, copy=0):
    name = f"{source}-{copy}" if copy else source
    return Picture(name, f"{name}.jpg", label, "gallery", source, 64, 64, "0" * 16)


@st.composite
def galleries(draw):
    """Classes of originals, some with copies, and distractors, in any order."""
    rows = [picture(DISTRACTOR, f"z{number}") for number in range(draw(st.integers(0, 3)))]
    for label in "abcd":
        for number in range(draw(st.integers(2, 9))):
            copies = draw(st.integers(0, 2))
            rows += [picture(label, f"{label}{number}", copy) for copy in range(copies + 1)]
    draw(st.randoms(use_true_random=False)).shuffle(rows)
    return Manifest(rows)


@settings(deadline=None)
@given(galleries(), st.integers(2, 4), st.integers(0, 99), st.sampled_from(["class", "original"]))
def test_every_picture_but_distractors_is_in_one_fold(gallery, number, seed, by):
    folds = draw_folds(gallery, number=number, by=by, seed=seed)
    known = [each for each in gallery if each.label != DISTRACTOR]
    assert set(folds) == {each.id for each in known}
    assert set(folds.values()) == {str(each + 1) for each in range(number)}
    keys = {each.id: each.label if by == "class" else each.source_id for each in known}
    assert len({(keys[name], fold) for name, fold in folds.items()}) == len(set(keys.values()))
    again = draw_folds(Manifest(reversed(gallery.pictures)), number=number, by=by, seed=seed)
    assert again == folds


@settings(deadline=None)
@given(galleries(), st.integers(2, 4), st.integers(0, 99))
def test_folds_by_original_are_of_one_size_and_have_their_share_of_each_class(
    gallery, number, seed
):
    folds = draw_folds(gallery, number=number, by="original", seed=seed)
    originals = {
        each.source_id: (each.label, folds[each.id]) for each in gallery if each.id in folds
    }
    for label in (None, *"abcd"):
        counts = Counter(fold for of, fold in originals.values() if label in (None, of))
        sizes = [counts[str(each + 1)] for each in range(number)]
        assert max(sizes) - min(sizes) <= 1


def test_another_seed_draws_other_folds():
    gallery = Manifest(picture(label, f"{label}{n}") for label in "abcd" for n in range(9))
    drawn = {
        tuple(draw_folds(gallery, number=2, by=by, seed=seed).items())
        for seed in range(10)
        for by in ("class", "original")
    }
    assert len(drawn) > 10


@pytest.mark.parametrize(("by", "what"), [("class", "1 classes"), ("original", "3 originals")])
def test_more_folds_than_there_is_to_deal_are_refused(by, what):
    gallery = Manifest(picture("a", f"a{n % 3}", n // 3) for n in range(6))
    with pytest.raises(UserError, match=rf"evaluation\.folds\.number is 4.*{what}: ask for fewer"):
        draw_folds(gallery, number=4, by=by, seed=1)


def test_a_fold_of_originals_asks_the_others_and_one_of_classes_itself():
    rows = [picture(label, f"{label}{n}") for label in "ab" for n in range(2)]
    gallery = Manifest([*rows, picture(DISTRACTOR, "z")])
    folds = {"number": 2, "by": "original", "seed": 1}
    apart = answer_groups(gallery, {"folds": folds})
    assert apart.folds
    assert not apart.admits("a0", "a0")
    assert apart.admits("a0", "a1")
    within = answer_groups(gallery, {"folds": {**folds, "by": "class"}})
    assert within.admits("a0", "a1")
    assert not within.admits("a0", "b1")
    assert all(each.admits("a0", "z") and each.admits("z", "a0") for each in (apart, within))


def test_copies_of_an_original_do_not_answer_each_other():
    gallery = Manifest([picture("a", "a0"), picture("a", "a0", 1), picture("a", "a1")])
    groups = answer_groups(gallery, {"leave_out": "original"})
    assert not groups.folds
    assert not groups.admits("a0", "a0-1")
    assert groups.admits("a0-1", "a1")
    assert answer_groups(gallery, None) is None
