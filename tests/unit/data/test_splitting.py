"""Splits: complete, without leaks, seeded, and as large as was asked for."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallerist.data.manifest import DISTRACTOR, Manifest, Picture
from gallerist.data.splitting import choose_unseen, split
from gallerist.io.errors import UserError

FOUR = ("training", "validation", "gallery", "query")


def picture(label: str, source: str, copy: int = 0) -> Picture:
    name = f"{source}-{copy}" if copy else source
    return Picture(name, f"{label}/{name}.jpg", label, "original", source, 64, 64, "0" * 16)


@st.composite
def collections(draw, least: int = 4) -> Manifest:
    """Up to four classes of originals, some with copies, in any order."""
    rows = []
    for label in draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True)):
        for number in range(draw(st.integers(least, 30))):
            copies = draw(st.integers(0, 2)) if number < 3 else 0
            rows += [picture(label, f"{label}{number}", copy) for copy in range(copies + 1)]
    draw(st.randoms(use_true_random=False)).shuffle(rows)
    return Manifest(tuple(rows))


@st.composite
def fractions(draw) -> dict[str, float]:
    weights = draw(st.lists(st.integers(1, 20), min_size=1, max_size=4))
    total = sum(weights)
    return {part: weight / total for part, weight in zip(FOUR, weights, strict=False)}


seeds = st.integers(0, 2**32)


def part_of_sources(parts: dict[str, Manifest]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for part, members in parts.items():
        for member in members:
            found.setdefault(member.source_id, set()).add(part)
    return found


@settings(deadline=None)
@given(collections(), fractions(), seeds)
def test_every_picture_is_in_one_part_and_says_which(pictures, shares, seed):
    parts = split(pictures, shares, seed=seed)
    assert list(parts) == list(shares)
    assert Counter(p.id for members in parts.values() for p in members) == Counter(pictures.ids)
    assert all(member.part == part for part, members in parts.items() for member in members)
    unchanged = {(p.id, p.path, p.label, p.source_id) for p in pictures}
    assert {
        (p.id, p.path, p.label, p.source_id) for members in parts.values() for p in members
    } == unchanged


@settings(deadline=None)
@given(collections(), fractions(), seeds)
def test_copies_of_one_original_never_lie_on_both_sides(pictures, shares, seed):
    parts = split(pictures, shares, seed=seed)
    assert all(len(found) == 1 for found in part_of_sources(parts).values())


@settings(deadline=None)
@given(collections(), fractions(), seeds)
def test_parts_keep_the_order_of_the_manifest(pictures, shares, seed):
    position = {name: number for number, name in enumerate(pictures.ids)}
    for members in split(pictures, shares, seed=seed).values():
        places = [position[name] for name in members.ids]
        assert places == sorted(places)


@settings(deadline=None)
@given(collections(), fractions(), seeds, st.randoms(use_true_random=False))
def test_the_order_of_the_files_does_not_matter(pictures, shares, seed, shuffler):
    shuffled = list(pictures)
    shuffler.shuffle(shuffled)
    before = part_of_sources(split(pictures, shares, seed=seed))
    assert part_of_sources(split(Manifest(tuple(shuffled)), shares, seed=seed)) == before


@settings(deadline=None)
@given(collections(), fractions(), seeds)
def test_a_new_class_moves_no_picture_of_the_others(pictures, shares, seed):
    more = Manifest((*(picture("new", f"new{n}") for n in range(9)), *pictures))
    before = part_of_sources(split(pictures, shares, seed=seed))
    after = part_of_sources(split(more, shares, seed=seed))
    assert {source: after[source] for source in before} == before


@settings(deadline=None)
@given(collections(), fractions(), seeds)
def test_copies_do_not_change_where_originals_go(pictures, shares, seed):
    originals = Manifest(tuple(p for p in pictures if p.id == p.source_id))
    assert part_of_sources(split(originals, shares, seed=seed)) == part_of_sources(
        split(pictures, shares, seed=seed)
    )


@settings(deadline=None)
@given(collections(), fractions(), seeds)
def test_every_class_gets_its_share_within_one_picture_and_at_least_one(pictures, shares, seed):
    parts = split(pictures, shares, seed=seed)
    for label in pictures.classes:
        total = len({p.source_id for p in pictures if p.label == label})
        wanted = {part: share * total for part, share in shares.items()}
        for part, members in parts.items():
            count = len({p.source_id for p in members if p.label == label})
            assert count >= 1
            if min(wanted.values()) >= 1:  # else the smallest part's one takes from the others
                assert math.floor(wanted[part] + 1e-9) <= count <= math.ceil(wanted[part] - 1e-9)


@pytest.mark.parametrize(
    ("total", "shares", "expected"),
    [
        (10, {"training": 0.8, "validation": 0.2}, (8, 2)),
        (60, {"training": 0.8, "validation": 0.2}, (48, 12)),
        (7, {"training": 0.5, "gallery": 0.3, "query": 0.2}, (4, 2, 1)),  # 3.5, 2.1, 1.4
        (100, {"training": 0.71, "validation": 0.29}, (71, 29)),  # .29 * 100 is below 29 in floats
        (3, {"training": 0.9, "gallery": 0.05, "query": 0.05}, (1, 1, 1)),
        (5, {"training": 0.9, "gallery": 0.05, "query": 0.05}, (3, 1, 1)),
        (4, {"training": 1.0}, (4,)),
    ],
)
def test_shares_of_worked_cases(total, shares, expected):
    pictures = Manifest(tuple(picture("cat", f"c{n}") for n in range(total)))
    parts = split(pictures, shares, seed=99)
    assert tuple(len(members) for members in parts.values()) == expected


def test_another_seed_splits_otherwise_and_one_seed_always_alike():
    pictures = Manifest(tuple(picture("cat", f"c{n}") for n in range(40)))
    shares = {"training": 0.5, "validation": 0.5}
    drawn = [tuple(split(pictures, shares, seed=seed)["training"].ids) for seed in range(20)]
    assert len(set(drawn)) == 20
    random.seed(1)
    assert tuple(split(pictures, shares, seed=3)["training"].ids) == drawn[3]


def test_every_original_is_as_likely_to_be_held_out():
    pictures = Manifest(tuple(picture("cat", f"c{n}") for n in range(20)))
    shares = {"training": 0.8, "validation": 0.2}
    held_out = Counter(
        name for seed in range(500) for name in split(pictures, shares, seed=seed)["validation"].ids
    )
    # Binomial(500, .2): mean 100, standard deviation 8.9; five of them either way.
    assert len(held_out) == 20
    assert all(55 < count < 145 for count in held_out.values())


def test_classes_that_are_too_small_are_all_named_with_what_to_do():
    rows = [picture("cat", f"c{n}") for n in range(5)]
    rows += [picture("dog", "d0"), picture("ant", "a0"), picture("ant", "a1")]
    rows += [picture("dog", "d0", copy) for copy in (1, 2, 3)]  # copies are no originals
    shares = {"training": 0.5, "gallery": 0.3, "query": 0.2}
    with pytest.raises(UserError, match=r"ant \(2\), dog \(1\).*at least 3.*add pictures"):
        split(Manifest(tuple(rows)), shares, seed=1)


def test_fractions_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match=r"add up to 0\.9, not 1"):
        split(Manifest(()), {"training": 0.7, "validation": 0.2}, seed=1)


def test_parts_of_one_original_stay_together_whatever_their_classes():
    rows = [picture("cat", f"c{n}") for n in range(4)]
    rows.append(Picture("x", "dog/x.jpg", "dog", "original", "c0", 64, 64, "0" * 16))
    parts = split(Manifest(rows), {"training": 0.5, "query": 0.5}, seed=1)
    assert any({"c0", "x"} <= set(part.ids) for part in parts.values())
    assert sum(map(len, parts.values())) == len(rows)


# Classes that nothing is learned from

SHARES = {"training": 0.5, "validation": 0.1, "gallery": 0.3, "query": 0.1}


def animals(per_class: int = 20) -> Manifest:
    return Manifest(tuple(picture(c, f"{c}{n}") for c in "abcd" for n in range(per_class)))


@settings(deadline=None)
@given(collections(), fractions(), seeds, st.sets(st.sampled_from("abcd")))
def test_training_and_search_share_no_class_where_some_are_unseen(pictures, shares, seed, unseen):
    parts = split(pictures, shares, seed=seed, unseen=unseen)
    for part, members in parts.items():
        wanted = unseen if part in ("gallery", "query") else set("abcd") - unseen
        assert set(members.classes) == wanted.intersection(pictures.classes)
    # All are there, but for classes that no part is left for.
    placed = {name for members in parts.values() for name in members.ids}
    left = {label for part in parts for label in parts[part].classes}
    assert placed == {p.id for p in pictures if p.label in left}


def test_unseen_and_other_classes_are_divided_in_the_proportions_of_the_shares():
    parts = split(animals(), SHARES, seed=1, unseen={"a", "b"})
    counts = {part: Counter(members.labels) for part, members in parts.items()}
    # 5 : 1 of 20 are 16.67 and 3.33; 3 : 1 of 20 are 15 and 5.
    assert counts == {
        "training": {"c": 17, "d": 17},
        "validation": {"c": 3, "d": 3},
        "gallery": {"a": 15, "b": 15},
        "query": {"a": 5, "b": 5},
    }


def test_a_class_needs_only_as_many_originals_as_parts_it_goes_to():
    rows = [picture(c, f"{c}{n}") for c in "ab" for n in range(2)]
    assert split(Manifest(tuple(rows)), SHARES, seed=1, unseen={"a"})
    with pytest.raises(UserError, match=r"into training, validation: b \(1\).*least 2"):
        split(Manifest(tuple(rows[:3])), SHARES, seed=1, unseen={"a"})


@pytest.mark.parametrize(("wanted", "count"), [(1, 1), (3, 3), (0.5, 2), (0.1, 1), (0.7, 3)])
def test_unseen_classes_are_drawn_by_number_or_share_and_distractors_are_always(wanted, count):
    classes = ["d", "a", DISTRACTOR, "c", "b"]
    drawn = {seed: choose_unseen(classes, wanted, seed=seed) for seed in range(40)}
    assert all(len(each) == count + 1 and DISTRACTOR in each for each in drawn.values())
    assert len(set(drawn.values())) > 2
    assert choose_unseen(sorted(classes), wanted, seed=3) == drawn[3]
    assert set.union(*map(set, drawn.values())) == set(classes)


def test_unseen_classes_may_be_named():
    assert choose_unseen("abcd", ["b", "a"], seed=1) == {"a", "b", DISTRACTOR}
    with pytest.raises(UserError, match=r"names e, f, but no class is called so; there are: a, b"):
        choose_unseen("abcd", ["f", "a", "e"], seed=1)


@pytest.mark.parametrize("wanted", [4, 5, 0.95, ["a", "b", "c", "d"]])
def test_a_class_to_learn_from_has_to_be_left(wanted):
    with pytest.raises(UserError, match=r"unseen_classes leaves no class to learn from: \d of 4"):
        choose_unseen("abcd", wanted, seed=1)
